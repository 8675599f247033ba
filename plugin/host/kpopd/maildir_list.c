/*
 * maildir_list.c - reads, orders and follows the names of a maildir.  It
 * opens directories only, never a message.  Runs in store threads with the
 * rights of run_as.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/maildir_list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/maildir.h"

/* So often at most, while other programs rename messages. */
#define READINGS 3

const char *const maildir_folder_names[FOLDER_COUNT] = { "new", "cur" };

void
maildir_list_free(struct maildir_list *list)
{
    free(list->msgs);
    free(list->text);
    memset(list, 0, sizeof(*list));
}

const char *
maildir_list_name(const struct maildir_list *list,
                  const struct maildir_msg *msg)
{
    return list->text + msg->name;
}

/* Keeps a name; where it is, or UINT32_MAX without memory. */
static uint32_t
keep_name(struct maildir_list *list, const char *name)
{
    size_t len = strlen(name) + 1;
    size_t at = list->text_len;
    size_t room = list->text_room;
    char *text;

    if (len > room - at) {
        room = room < 512 ? 512 : room + room / 2;
        if (room > UINT32_MAX - 1)
            return UINT32_MAX;
        text = realloc(list->text, room);
        if (text == NULL)
            return UINT32_MAX;
        list->text = text;
        list->text_room = room;
    }
    memcpy(list->text + at, name, len);
    list->text_len += len;
    return (uint32_t)at;
}

static void
set_name(struct maildir_msg *msg, const char *name, uint32_t at)
{
    msg->name = at;
    msg->base_len = (uint8_t)strcspn(name, ":"); /* NAME_MAX is 255 */
    msg->unique_len = (uint8_t)strcspn(name, ",:");
    msg->hashed = !maildir_list_is_uidl(name, msg->unique_len);
}

/* The value of ",KEY=digits" before the flags; false when there is none. */
static bool
number(const char *name, char key, uint64_t *value_out)
{
    const char pair[] = { ',', key, '=', '\0' };
    const char *end = strchrnul(name, ':');
    const char *at = strstr(name, pair);
    const char *digits;
    uint64_t value = 0;

    if (at == NULL || at >= end)
        return false;
    digits = at + 3;
    for (at = digits; *at >= '0' && *at <= '9' && at < digits + 18; at++)
        value = value * 10 + (uint64_t)(*at - '0');
    *value_out = value;
    return at > digits && (at == end || *at == ',');
}

/*
 * ",W=" is the size with CRLF that whoever delivered has counted, as Dovecot
 * does.  It is believed as far as it can be true for ",S=", the size as
 * stored: to open each message would take a large maildrop a second.
 */
static bool
told_size(const char *name, uint64_t *octets_out)
{
    uint64_t stored;

    return number(name, 'S', &stored) && number(name, 'W', octets_out)
           && *octets_out >= stored && *octets_out - stored <= stored;
}

static int32_t
add(struct maildir_list *list, const char *name, enum maildir_folder folder,
    uint64_t octets, uint64_t file)
{
    struct maildir_msg *msg;
    uint32_t at;

    if (list->count == list->room) {
        size_t room = list->room == 0 ? 16 : list->room * 2;
        struct maildir_msg *msgs;

        if (room > MAILDIR_MESSAGES_MAX)
            return KPOP_PERM;
        msgs = realloc(list->msgs, room * sizeof(msgs[0]));
        if (msgs == NULL)
            return KPOP_NO_MEMORY;
        list->msgs = msgs;
        list->room = room;
    }
    at = keep_name(list, name);
    if (at == UINT32_MAX)
        return KPOP_NO_MEMORY;
    msg = &list->msgs[list->count++];
    memset(msg, 0, sizeof(*msg));
    msg->octets = octets;
    msg->file = file;
    msg->folder = (uint8_t)folder;
    set_name(msg, name, at);
    return KPOP_OK;
}

static void
log_odd_entry(const char *path, enum maildir_folder folder, const char *name,
              const char *why)
{
    char quoted[PATH_MAX];
    char full[PATH_MAX + NAME_MAX + 8];

    snprintf(full, sizeof(full), "%s/%s/%s", path,
             maildir_folder_names[folder], name);
    log_event(KPOP_LOG_WARNING, "store.skip", "path=%s text=\"%s\"",
              log_quote(full, quoted, sizeof(quoted)), why);
}

/* The owner's bits can't be overruled; else the kernel is asked. */
static bool
is_readable(int dir_fd, const char *name, const struct stat *st, uid_t self)
{
    return (st->st_uid == self && (st->st_mode & S_IRUSR) != 0)
           || faccessat(dir_fd, name, R_OK, AT_EACCESS) == 0;
}

/*
 * KPOP_OK: a message.  KPOP_GONE: none; *why_out says why, or NULL when it is
 * not there.  KPOP_TEMP, errno: that can't be told, so there is no list: a
 * client that misses a message forgets it and fetches it again later, and
 * QUIT would take it for one that was deleted.
 */
static int32_t
check_entry(struct maildir_list *list, int dir_fd,
            const struct dirent *entry, uid_t self, struct stat *st_out,
            const char **why_out)
{
    *why_out = "it is no plain file";
    if (entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN)
        return KPOP_GONE;
    if (fstatat(dir_fd, entry->d_name, st_out, AT_SYMLINK_NOFOLLOW) == 0) {
        if (!S_ISREG(st_out->st_mode))
            return KPOP_GONE;
        if (is_readable(dir_fd, entry->d_name, st_out, self))
            return KPOP_OK;
    }
    list->unsure = true;
    list->moved = list->moved || errno == ENOENT;
    *why_out = errno == ENOENT ? NULL : strerror(errno);
    return errno == ENOENT || errno == EACCES ? KPOP_GONE : KPOP_TEMP;
}

/* Flags and folders don't change it; another file of the name, and one that
 * was changed in place, differ. */
static uint64_t
file_mark(const struct stat *st)
{
    const uint64_t prime = 0x9E3779B97F4A7C15u;
    uint64_t mark = (uint64_t)st->st_ino * prime;

    mark = (mark ^ mark >> 29 ^ (uint64_t)st->st_size) * prime;
    mark = (mark ^ mark >> 29 ^ (uint64_t)st->st_mtim.tv_sec) * prime;
    return (mark ^ mark >> 29 ^ (uint64_t)st->st_mtim.tv_nsec) * prime;
}

static int32_t
read_entries(struct maildir_list *list, DIR *dir, enum maildir_folder folder,
             const char *log_path)
{
    const struct dirent *entry;
    const uid_t self = geteuid();
    const char *why;
    struct stat st;
    uint64_t octets;
    int32_t rc = KPOP_OK;

    while (rc == KPOP_OK) {
        errno = 0;
        entry = readdir(dir);
        if (entry == NULL)
            return errno == 0 ? KPOP_OK : KPOP_TEMP;
        if (entry->d_name[0] == '.')
            continue;
        /* Nothing is asked of its file: RETR sees whether it can be read. */
        if (entry->d_type == DT_REG && told_size(entry->d_name, &octets)) {
            rc = add(list, entry->d_name, folder, octets, 0);
            continue;
        }
        rc = check_entry(list, dirfd(dir), entry, self, &st, &why);
        if (rc == KPOP_OK)
            rc = add(list, entry->d_name, folder, KPOP_UNKNOWN,
                     file_mark(&st));
        else if (rc == KPOP_GONE && why != NULL && log_path != NULL)
            log_odd_entry(log_path, folder, entry->d_name, why);
        rc = rc == KPOP_GONE ? KPOP_OK : rc;
    }
    return rc;
}

static int32_t
read_folder(struct maildir_list *list, int dir_fd, const char *path,
            enum maildir_folder folder, bool log_odd)
{
    char quoted[PATH_MAX];
    int fd = openat(dir_fd, maildir_folder_names[folder],
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    int32_t rc = KPOP_TEMP;

    if (dir != NULL) {
        rc = read_entries(list, dir, folder, log_odd ? path : NULL);
    } else if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP
               || errno == EACCES) {
        rc = KPOP_PERM;
    }
    if (rc != KPOP_OK)
        log_event(KPOP_LOG_ERROR, "store.fail",
                  "path=%s folder=%s error=\"%s\" text=\"the maildir can't "
                  "be listed\"",
                  log_quote(path, quoted, sizeof(quoted)),
                  maildir_folder_names[folder],
                  rc == KPOP_NO_MEMORY ? "out of memory" : strerror(errno));
    if (dir != NULL)
        closedir(dir);
    else if (fd >= 0)
        close(fd);
    return rc;
}

/* The time of delivery, which unique names begin with. */
static uint64_t
delivery_time(const char *name)
{
    uint64_t seconds = 0;
    size_t i;

    for (i = 0; name[i] >= '0' && name[i] <= '9' && i < 18; i++)
        seconds = seconds * 10 + (uint64_t)(name[i] - '0');
    return i > 0 ? seconds : UINT64_MAX;
}

/* As strcmp(), of names that end before these lengths. */
static int
compare(const char *name, size_t len, const char *other, size_t other_len)
{
    int order = memcmp(name, other, len < other_len ? len : other_len);

    return order != 0 ? order : (len > other_len) - (len < other_len);
}

int
maildir_list_order(const struct maildir_list *a,
                   const struct maildir_msg *one,
                   const struct maildir_list *b,
                   const struct maildir_msg *other)
{
    const char *name = maildir_list_name(a, one);
    const char *other_name = maildir_list_name(b, other);
    uint64_t time = delivery_time(name);
    uint64_t other_time = delivery_time(other_name);
    int order;

    if (time != other_time)
        return time < other_time ? -1 : 1;
    order = compare(name, one->unique_len, other_name, other->unique_len);
    return order != 0 ? order
                      : compare(name, one->base_len, other_name,
                                other->base_len);
}

/* By time, unique part, base, so that flags and folders never change the
 * order and names that share a part are neighbours. */
static int
by_order(const void *a, const void *b, void *arg)
{
    const struct maildir_list *list = arg;
    const struct maildir_msg *one = a;
    const struct maildir_msg *other = b;
    int order = maildir_list_order(list, one, list, other);

    if (order == 0 && one->folder != other->folder)
        return one->folder < other->folder ? -1 : 1;
    return order != 0 ? order
                      : strcmp(maildir_list_name(list, one),
                               maildir_list_name(list, other));
}

static int
by_base(const void *a, const void *b, void *arg)
{
    const struct maildir_list *list = arg;
    const struct maildir_msg *const *one = a;
    const struct maildir_msg *const *other = b;

    return compare(maildir_list_name(list, *one), (*one)->base_len,
                   maildir_list_name(list, *other), (*other)->base_len);
}

/* Pointers to the messages, sorted by base; NULL without memory. */
static struct maildir_msg **
sort_by_base(const struct maildir_list *list)
{
    struct maildir_msg **sorted = calloc(list->count + 1, sizeof(*sorted));
    union {
        const struct maildir_list *from;
        void *to;
    } arg = { list };
    size_t i;

    if (sorted == NULL)
        return NULL;
    for (i = 0; i < list->count; i++)
        sorted[i] = &list->msgs[i];
    qsort_r(sorted, list->count, sizeof(sorted[0]), by_base, arg.to);
    return sorted;
}

/* In their order. */
static void
mark_same(struct maildir_list *list)
{
    struct maildir_msg *msg = list->msgs;
    struct maildir_msg *end = msg + list->count;

    for (msg++; msg < end; msg++) {
        const char *last = maildir_list_name(list, msg - 1);
        const char *name = maildir_list_name(list, msg);

        if (compare(last, msg[-1].unique_len, name, msg->unique_len) != 0)
            continue;
        msg[-1].hashed = msg->hashed = true;
        if (compare(last, msg[-1].base_len, name, msg->base_len) == 0)
            list->moved = msg[-1].same_base = msg->same_base = true;
    }
}

static void
trim(struct maildir_list *list)
{
    struct maildir_msg *msgs;
    char *text;

    msgs = realloc(list->msgs, list->count * sizeof(msgs[0]));
    if (msgs != NULL) {
        list->msgs = msgs;
        list->room = list->count;
    }
    text = realloc(list->text, list->text_len);
    if (text != NULL) {
        list->text = text;
        list->text_room = list->text_len;
    }
}

int32_t
maildir_list_read(struct maildir_list *list, int dir_fd, const char *path,
                  bool log_odd)
{
    int left = READINGS;
    int32_t rc;

    memset(list, 0, sizeof(*list));
    do {
        maildir_list_free(list);
        /* new before cur: what moves meanwhile is seen twice, not missed. */
        rc = read_folder(list, dir_fd, path, FOLDER_NEW, log_odd);
        if (rc == KPOP_OK)
            rc = read_folder(list, dir_fd, path, FOLDER_CUR, log_odd);
        if (rc != KPOP_OK || list->count == 0)
            continue;
        qsort_r(list->msgs, list->count, sizeof(list->msgs[0]), by_order,
                list);
        mark_same(list);
    } while (rc == KPOP_OK && list->moved && --left > 0);
    if (rc != KPOP_OK)
        maildir_list_free(list);
    if (list->count > 0)
        trim(list);
    return rc;
}

static bool
is_same_file(const struct maildir_list *a, const struct maildir_msg *one,
             const struct maildir_list *b, const struct maildir_msg *other)
{
    return one->folder == other->folder
           && strcmp(maildir_list_name(a, one), maildir_list_name(b, other))
                  == 0;
}

/* The first of `sorted` (of list `present`) with the base of msg. */
static struct maildir_msg **
find_base(const struct maildir_list *list, const struct maildir_msg *msg,
          const struct maildir_list *present, struct maildir_msg **sorted)
{
    const char *name = maildir_list_name(list, msg);
    size_t low = 0;
    size_t high = present->count;
    size_t middle;

    while (low < high) {
        middle = low + (high - low) / 2;
        if (compare(maildir_list_name(present, sorted[middle]),
                    sorted[middle]->base_len, name, msg->base_len)
            < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return &sorted[low];
}

/*
 * Follows one message.  Where several files share a base, only the very same
 * name counts: better a message that is gone than the wrong one.
 */
static int
follow(struct maildir_list *list, struct maildir_msg *msg,
       const struct maildir_list *present, struct maildir_msg **sorted)
{
    struct maildir_msg **at = find_base(list, msg, present, sorted);
    const struct maildir_msg *found = NULL;
    size_t matches = 0;
    uint32_t name;

    for (; *at != NULL && (*at)->base_len == msg->base_len
           && memcmp(maildir_list_name(present, *at),
                     maildir_list_name(list, msg), msg->base_len)
                  == 0;
         at++) {
        if (is_same_file(list, msg, present, *at)) {
            msg->gone = false;
            return 0;
        }
        found = *at;
        matches++;
    }
    msg->gone = matches != 1 || msg->same_base;
    if (msg->gone)
        return 0;
    name = keep_name(list, maildir_list_name(present, found));
    if (name == UINT32_MAX)
        return -1;
    msg->name = name;
    msg->folder = found->folder;
    return 0;
}

int
maildir_list_follow(struct maildir_list *list,
                    const struct maildir_list *present)
{
    struct maildir_msg **sorted = sort_by_base(present);
    int rc = sorted == NULL ? -1 : 0;
    size_t i;

    for (i = 0; i < list->count && rc == 0; i++)
        rc = follow(list, &list->msgs[i], present, sorted);
    free(sorted);
    return rc;
}
