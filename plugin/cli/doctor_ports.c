/*
 * doctor_ports.c - is each port of listen_* free, or kpopd's already?  Binds
 * it for a moment without listening; who holds it is read from /proc.
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

static const char *const keys[] = { "listen_kpop", "listen_pop3",
                                    "listen_pop3s" };

/* Who listens at a port. */
struct holder {
    long pid; /* 0: not to be seen */
    bool is_trusted; /* root's, or the caller's own */
    char name[32];
};

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
tell_taken(struct doctor *doctor, const char *key, const char *where,
           unsigned port)
{
    struct holder holder = find_holder(port);
    char unit[128];

    /* systemd holds sockets for kpopd; anybody can be called so. */
    if (holder.is_trusted
        && (strcmp(holder.name, "kpopd") == 0
            || strcmp(holder.name, "systemd") == 0))
        return;
    if (holder.pid == 0) {
        doctor_mend(doctor, "ss -tlnp 'sport = :%u'", port);
        doctor_error(doctor, "%s: %s is taken, by whom can't be seen from "
                     "here", key, where);
        return;
    }
    find_unit(holder.pid, unit, sizeof(unit));
    if (unit[0] != '\0')
        doctor_mend(doctor, "systemctl disable --now %s", unit);
    else
        doctor_mend(doctor, "kill %ld", holder.pid);
    doctor_error(doctor, "%s: %s is taken by %s, process %ld", key, where,
                 holder.name, holder.pid);
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

/* A word ADDRESS:PORT, which was judged when it was read. */
static void
check_word(struct doctor *doctor, const char *key, char *word)
{
    char where[64];
    char *address = word;
    char *colon = strrchr(word, ':');
    unsigned port = (unsigned)strtoul(colon + 1, NULL, 10);
    char quoted[DOCTOR_TEXT_MAX];
    int code;

    snprintf(where, sizeof(where), "%.60s", word);
    *colon = '\0';
    if (address[0] == '[') {
        address++;
        colon[-1] = '\0';
    }
    if (port == 0)
        return; /* the kernel chooses */
    code = try_bind(strchr(address, ':') != NULL ? AF_INET6 : AF_INET,
                    address, port);
    if (code == 0 && strcmp(address, "*") == 0)
        code = try_bind(AF_INET6, address, port);
    if (code == EADDRINUSE) {
        tell_taken(doctor, key, where, port);
    } else if (code == EADDRNOTAVAIL) {
        doctor_mend(doctor, "sed -i -E '/^%s *=/s/%s/*:%u/' %s", key,
                    strchr(where, '[') != NULL ? "\\[[^]]*\\]:[0-9]+" : where,
                    port, doctor_quote(doctor->cli->config, quoted));
        doctor_error(doctor, "%s: this machine has no address %s (the "
                     "command serves all it has)", key, address);
    } else if (code == EACCES && geteuid() != 0 && port < 1024) {
        doctor_mend(doctor, "sudo kpopctl -c %s doctor",
                    doctor_quote(doctor->cli->config, quoted));
        doctor_warn(doctor, "%s: whether %s is free only root can try", key,
                    where);
    }
}

void
doctor_ports(struct doctor *doctor)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char *words = cli_copy(doctor_value(doctor, keys[i]));
        char *rest = words;
        char *word;

        while ((word = strtok_r(rest, " \t", &rest)) != NULL)
            check_word(doctor, keys[i], word);
        free(words);
    }
}
