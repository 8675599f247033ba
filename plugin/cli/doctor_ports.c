/*
 * doctor_ports.c - is each port of listen_* and metrics free, or kpopd's
 * already, and for one of them alone?  Binds it for a moment without
 * listening; who holds it is read from /proc.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/cli/doctor.h"

enum { PLACES_MAX = 100 };

static const char *const keys[] = { "listen_kpop", "listen_pop3",
                                    "listen_pop3s" };

/* Where something is served. */
struct place {
    const char *key;
    char where[64];   /* as it was written */
    char address[64]; /* without brackets */
    unsigned char binary[16];
    unsigned port;
    bool four, six;   /* both for "*" */
};

/* Who listens at a port. */
struct holder {
    long pid; /* 0: not to be seen */
    bool is_trusted; /* root's, or the caller's own */
    char name[32];
};

/* ---- telling ---- */

typedef void say_fn(struct doctor *doctor, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool
is_metrics(const char *key)
{
    return strcmp(key, "metrics") == 0;
}

/* Mail is served without metrics. */
static say_fn *
say_of(const char *key)
{
    return is_metrics(key) ? doctor_warn : doctor_error;
}

/* ---- who has it ---- */

/* A line of the table: number local:port remote:port state queues timer
 * retransmissions uid timeout inode.  0: not what is looked for. */
static unsigned long
read_line(char *line, unsigned port)
{
    enum { LOCAL = 1, STATE = 3, INODE = 9, LISTENS = 0x0a };
    const char *words[INODE + 1];
    const char *colon;
    char *rest = line;

    for (size_t i = 0; i <= INODE; i++) {
        words[i] = strtok_r(rest, " \n", &rest);
        if (words[i] == NULL)
            return 0;
    }
    colon = strchr(words[LOCAL], ':');
    if (colon == NULL || strtoul(colon + 1, NULL, 16) != port
        || strtoul(words[STATE], NULL, 16) != LISTENS)
        return 0;
    return strtoul(words[INODE], NULL, 10);
}

/* The inode of a socket that listens at the port, from /proc/net; 0 = none. */
static unsigned long
find_inode(const char *table, unsigned port)
{
    FILE *file = fopen(table, "re");
    unsigned long found = 0;
    char line[512];

    while (file != NULL && found == 0
           && fgets(line, sizeof(line), file) != NULL)
        found = read_line(line, port);
    if (file != NULL)
        (void)fclose(file);
    return found;
}

static bool
has_socket(const char *pid, const char *socket_name)
{
    char path[320];
    char link[64];
    const struct dirent *entry;
    bool found = false;
    DIR *folder;

    snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
    folder = opendir(path);
    while (folder != NULL && !found && (entry = readdir(folder)) != NULL) {
        ssize_t len = readlinkat(dirfd(folder), entry->d_name, link,
                                 sizeof(link) - 1);

        link[len < 0 ? 0 : len] = '\0';
        found = strcmp(link, socket_name) == 0;
    }
    if (folder != NULL)
        (void)closedir(folder);
    return found;
}

static void
name_holder(const char *pid, struct holder *holder)
{
    struct stat st;
    char path[64];
    FILE *file;

    holder->pid = strtol(pid, NULL, 10);
    snprintf(path, sizeof(path), "/proc/%.20s", pid);
    holder->is_trusted = stat(path, &st) == 0
                         && (st.st_uid == 0 || st.st_uid == geteuid());
    snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
    file = fopen(path, "re");
    if (file == NULL)
        return;
    if (fgets(holder->name, sizeof(holder->name), file) != NULL)
        holder->name[strcspn(holder->name, "\n")] = '\0';
    (void)fclose(file);
}

static struct holder
find_holder(unsigned port)
{
    struct holder holder = { 0, false, "" };
    unsigned long inode = find_inode("/proc/net/tcp", port);
    const struct dirent *entry;
    char wanted[64];
    DIR *folder;

    if (inode == 0)
        inode = find_inode("/proc/net/tcp6", port);
    if (inode == 0 || (folder = opendir("/proc")) == NULL)
        return holder;
    snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
    while (holder.pid == 0 && (entry = readdir(folder)) != NULL) {
        if (isdigit((unsigned char)entry->d_name[0])
            && has_socket(entry->d_name, wanted))
            name_holder(entry->d_name, &holder);
    }
    (void)closedir(folder);
    return holder;
}

/* The systemd unit of a process, or "". */
static void
find_unit(long pid, char *out, size_t size)
{
    char path[64];
    char line[512];
    FILE *file;

    out[0] = '\0';
    snprintf(path, sizeof(path), "/proc/%ld/cgroup", pid);
    file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        const char *slash = strrchr(line, '/');
        const char *end = strstr(line, ".service\n");

        if (slash != NULL && end > slash
            && strspn(slash + 1, "abcdefghijklmnopqrstuvwxyz"
                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789.:_@-")
                   == strcspn(slash + 1, "\n"))
            snprintf(out, size, "%.*s", (int)(end + 8 - slash - 1),
                     slash + 1);
    }
    if (file != NULL)
        (void)fclose(file);
}

static void
tell_taken(struct doctor *doctor, const struct place *place)
{
    struct holder holder = find_holder(place->port);
    say_fn *say = say_of(place->key);
    char unit[128];

    /* systemd holds sockets for kpopd; anybody can be called so. */
    if (holder.is_trusted
        && (strcmp(holder.name, "kpopd") == 0
            || strcmp(holder.name, "systemd") == 0))
        return;
    if (holder.pid == 0) {
        doctor_mend(doctor, "ss -tlnp 'sport = :%u'", place->port);
        say(doctor, "%s: %s is taken, by whom can't be seen from here",
            place->key, place->where);
        return;
    }
    find_unit(holder.pid, unit, sizeof(unit));
    if (unit[0] != '\0')
        doctor_mend(doctor, "systemctl disable --now %s", unit);
    else
        doctor_mend(doctor, "kill %ld", holder.pid);
    say(doctor, "%s: %s is taken by %s, process %ld", place->key,
        place->where, holder.name, holder.pid);
}

/* ---- is it free? ---- */

/* 0 or errno. */
static int
try_bind(int family, const char *address, unsigned port)
{
    struct sockaddr_in6 six = { .sin6_family = AF_INET6,
                                .sin6_port = htons((uint16_t)port) };
    struct sockaddr_in four = { .sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port) };
    bool is_six = family == AF_INET6;
    void *binary = is_six ? (void *)&six.sin6_addr : (void *)&four.sin_addr;
    const void *name = is_six ? (void *)&six : (void *)&four;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int yes = 1;
    int code = 0;

    if (fd < 0)
        return 0; /* this machine has no such family */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (is_six)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes));
    if (strcmp(address, "*") != 0)
        (void)inet_pton(family, address, binary);
    if (bind(fd, name, is_six ? sizeof(six) : sizeof(four)) != 0)
        code = errno;
    (void)close(fd);
    return code;
}

/* "*:PORT", ADDRESS:PORT or [ADDRESS]:PORT; what is none, the rest tells. */
static bool
read_place(const char *key, const char *word, struct place *out)
{
    const char *colon = strrchr(word, ':');
    int len;

    if (colon == NULL)
        return false;
    memset(out, 0, sizeof(*out));
    out->key = key;
    snprintf(out->where, sizeof(out->where), "%.60s", word);
    out->port = (unsigned)strtoul(colon + 1, NULL, 10);
    if (word[0] == '[')
        word++;
    len = (int)(colon - word);
    if (len > 0 && word[len - 1] == ']')
        len--;
    snprintf(out->address, sizeof(out->address), "%.*s", len, word);
    out->four = inet_pton(AF_INET, out->address, out->binary) == 1;
    out->six = !out->four
               && inet_pton(AF_INET6, out->address, out->binary) == 1;
    if (strcmp(out->address, "*") == 0)
        out->four = out->six = true;
    return (out->four || out->six) && out->port <= 65535;
}

static void
check_place(struct doctor *doctor, const struct place *place)
{
    say_fn *say = say_of(place->key);
    char quoted[DOCTOR_TEXT_MAX];
    int code = 0;

    if (place->port == 0)
        return; /* the kernel chooses */
    if (place->four)
        code = try_bind(AF_INET, place->address, place->port);
    if (code == 0 && place->six)
        code = try_bind(AF_INET6, place->address, place->port);
    if (code == EADDRINUSE) {
        tell_taken(doctor, place);
    } else if (code == EADDRNOTAVAIL && is_metrics(place->key)) {
        doctor_edit(doctor, place->key);
        say(doctor, "%s: this machine has no address %s", place->key,
            place->address);
    } else if (code == EADDRNOTAVAIL) {
        doctor_mend(doctor, "sed -i -E '/^%s *=/s/%s/*:%u/' %s", place->key,
                    place->where[0] == '[' ? "\\[[^]]*\\]:[0-9]+"
                                           : place->where,
                    place->port, doctor_quote(doctor->cli->config, quoted));
        say(doctor, "%s: this machine has no address %s (the command serves "
            "all it has)", place->key, place->address);
    } else if (code == EACCES && geteuid() != 0 && place->port < 1024) {
        doctor_mend(doctor, "sudo kpopctl -c %s doctor",
                    doctor_quote(doctor->cli->config, quoted));
        doctor_warn(doctor, "%s: whether %s is free only root can try",
                    place->key, place->where);
    }
}

/* ---- two of ours at one place ---- */

static bool
is_any(const struct place *place)
{
    static const unsigned char zeros[sizeof(place->binary)];

    return memcmp(place->binary, zeros, sizeof(zeros)) == 0;
}

static bool
meet(const struct place *a, const struct place *b)
{
    return a->port != 0 && a->port == b->port
           && ((a->four && b->four) || (a->six && b->six))
           && (is_any(a) || is_any(b)
               || memcmp(a->binary, b->binary, sizeof(a->binary)) == 0);
}

static const char *
say_line(const struct doctor *doctor, const char *key, char *out)
{
    unsigned long line = doctor_line(doctor, key);

    if (line != 0)
        snprintf(out, DOCTOR_NAME_MAX, "%s (line %lu)", key, line);
    else
        snprintf(out, DOCTOR_NAME_MAX, "%s (by default)", key);
    return out;
}

/* True when the place, the last one, was told to be that of another, too. */
static bool
check_pairs(struct doctor *doctor, const struct place *places, size_t last)
{
    const struct place *place = &places[last];
    char mine[DOCTOR_NAME_MAX];
    char other[DOCTOR_NAME_MAX];

    for (size_t i = 0; i < last; i++) {
        if (!meet(&places[i], place))
            continue;
        doctor_edit(doctor, doctor_line(doctor, place->key) != 0
                                ? place->key
                                : places[i].key);
        say_of(place->key)(doctor, "%s has %s and %s has %s: only one of them "
                           "can be served",
                           say_line(doctor, places[i].key, other),
                           places[i].where,
                           say_line(doctor, place->key, mine), place->where);
        return true;
    }
    return false;
}

/* ---- the socket of the metrics ---- */

static void
check_socket(struct doctor *doctor, const char *path)
{
    char folder[DOCTOR_TEXT_MAX];
    char quoted[DOCTOR_TEXT_MAX];
    struct stat st;
    int code;

    if (lstat(path, &st) == 0) {
        if (S_ISSOCK(st.st_mode))
            return; /* kpopd's, or left behind by one */
        doctor_edit(doctor, "metrics");
        doctor_warn(doctor, "metrics: %s is there and no socket, so that "
                    "kpopd makes none", path);
        return;
    }
    code = errno;
    doctor_folder(path, folder);
    if (code == EACCES || (stat(folder, &st) == 0 && S_ISDIR(st.st_mode)))
        return;
    if (code == ENOENT)
        doctor_mend(doctor, "install -d -m 755 %s",
                    doctor_quote(folder, quoted));
    else
        doctor_edit(doctor, "metrics");
    doctor_warn(doctor, "metrics: the folder %s: %s", folder,
                strerror(code));
}

/* ---- the look ---- */

static void
check_words(struct doctor *doctor, const char *key, struct place *places,
            size_t *count)
{
    char *words = cli_copy(doctor_value(doctor, key));
    char *rest = words;
    const char *word;

    while ((word = strtok_r(rest, " \t", &rest)) != NULL
           && *count < PLACES_MAX) {
        if (!read_place(key, word, &places[*count]))
            continue;
        if (!check_pairs(doctor, places, *count))
            check_place(doctor, &places[*count]);
        (*count)++;
    }
    free(words);
}

void
doctor_ports(struct doctor *doctor)
{
    const char *metrics = doctor_value(doctor, "metrics");
    struct place places[PLACES_MAX];
    size_t count = 0;

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        check_words(doctor, keys[i], places, &count);
    if (strncmp(metrics, "unix:/", 6) == 0)
        check_socket(doctor, metrics + 5);
    else
        check_words(doctor, "metrics", places, &count);
}
