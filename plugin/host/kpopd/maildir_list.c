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
}

static int32_t
add(struct maildir_list *list, const char *name, enum maildir_folder folder,
    uint64_t file)
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
    msg->octets = KPOP_UNKNOWN;
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
is_readable(int dir_fd, const char *name, const struct stat *st)
{
    return (st->st_uid == geteuid() && (st->st_mode & S_IRUSR) != 0)
           || faccessat(dir_fd, name, R_OK, AT_EACCESS) == 0;
}

/* NULL when the entry is a message, else why not. */
static const char *
entry_fault(int dir_fd, const struct dirent *entry, struct stat *st_out,
            bool *unsure)
{
    if (entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN)
        return "it is no plain file";
    if (fstatat(dir_fd, entry->d_name, st_out, AT_SYMLINK_NOFOLLOW) == 0) {
        if (!S_ISREG(st_out->st_mode))
            return "it is no plain file";
        if (is_readable(dir_fd, entry->d_name, st_out))
            return NULL;
    }
    *unsure = true;
    return errno == ENOENT ? "it is gone" : strerror(errno);
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
    const char *fault;
    struct stat st;
    int32_t rc = KPOP_OK;

    for (errno = 0; rc == KPOP_OK && (entry = readdir(dir)) != NULL;
         errno = 0) {
        if (entry->d_name[0] == '.')
            continue;
        fault = entry_fault(dirfd(dir), entry, &st, &list->unsure);
        if (fault == NULL)
            rc = add(list, entry->d_name, folder, file_mark(&st));
        else if (log_path != NULL)
            log_odd_entry(log_path, folder, entry->d_name, fault);
    }
    if (rc == KPOP_OK && errno != 0)
        rc = KPOP_TEMP;
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
    size_t len =
        one->base_len < other->base_len ? one->base_len : other->base_len;
    int order;

    if (time != other_time)
        return time < other_time ? -1 : 1;
    order = memcmp(name, other_name, len);
    return order != 0 ? order : (int)one->base_len - (int)other->base_len;
}

/* By time, then base, so that flags and folders never change the order. */
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
    size_t len = (*one)->base_len < (*other)->base_len ? (*one)->base_len
                                                       : (*other)->base_len;
    int order = memcmp(maildir_list_name(list, *one),
                       maildir_list_name(list, *other), len);

    return order != 0 ? order
                      : (int)(*one)->base_len - (int)(*other)->base_len;
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

/* Bases sort their common unique parts together but for what is between
 * "x" and "x," in the alphabet, so unique parts are compared by themselves. */
static int
by_unique(const void *a, const void *b, void *arg)
{
    const struct maildir_list *list = arg;
    const struct maildir_msg *const *one = a;
    const struct maildir_msg *const *other = b;
    size_t len = (*one)->unique_len < (*other)->unique_len
                     ? (*one)->unique_len
                     : (*other)->unique_len;
    int order = memcmp(maildir_list_name(list, *one),
                       maildir_list_name(list, *other), len);

    return order != 0 ? order
                      : (int)(*one)->unique_len - (int)(*other)->unique_len;
}

static int
mark_same(struct maildir_list *list)
{
    struct maildir_msg **sorted = sort_by_base(list);
    size_t i;

    if (sorted == NULL)
        return -1;
    for (i = 1; i < list->count; i++)
        if (by_base(&sorted[i - 1], &sorted[i], list) == 0)
            sorted[i - 1]->same_base = sorted[i]->same_base = true;
    qsort_r(sorted, list->count, sizeof(sorted[0]), by_unique, list);
    for (i = 1; i < list->count; i++)
        if (by_unique(&sorted[i - 1], &sorted[i], list) == 0)
            sorted[i - 1]->same_unique = sorted[i]->same_unique = true;
    free(sorted);
    return 0;
}

static void
trim(struct maildir_list *list)
{
    struct maildir_msg *msgs;
    char *text;

    if (list->count == 0) {
        maildir_list_free(list);
        return;
    }
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
    int32_t rc;

    memset(list, 0, sizeof(*list));
    /* new before cur: what moves meanwhile is seen twice, not missed. */
    rc = read_folder(list, dir_fd, path, FOLDER_NEW, log_odd);
    if (rc == KPOP_OK)
        rc = read_folder(list, dir_fd, path, FOLDER_CUR, log_odd);
    if (rc != KPOP_OK) {
        maildir_list_free(list);
        return rc;
    }
    if (list->count == 0)
        return KPOP_OK;
    qsort_r(list->msgs, list->count, sizeof(list->msgs[0]), by_order, list);
    trim(list);
    if (mark_same(list) != 0) {
        maildir_list_free(list);
        return KPOP_NO_MEMORY;
    }
    return KPOP_OK;
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
    size_t len;
    int order;

    while (low < high) {
        middle = low + (high - low) / 2;
        len = sorted[middle]->base_len < msg->base_len
                  ? sorted[middle]->base_len
                  : msg->base_len;
        order = memcmp(maildir_list_name(present, sorted[middle]), name, len);
        if (order == 0)
            order = (int)sorted[middle]->base_len - (int)msg->base_len;
        if (order < 0)
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

bool
maildir_list_number(const struct maildir_list *list,
                    const struct maildir_msg *msg, char key,
                    uint64_t *value_out)
{
    const char *name = maildir_list_name(list, msg);
    const char *end = name + msg->base_len;
    const char *at = name + msg->unique_len;
    uint64_t value;
    size_t i;

    for (; at + 3 < end; at++) {
        if (at[0] != ',' || at[1] != key || at[2] != '=')
            continue;
        value = 0;
        for (i = 3; at + i < end && at[i] >= '0' && at[i] <= '9' && i < 21;
             i++)
            value = value * 10 + (uint64_t)(at[i] - '0');
        if (i == 3 || i > 20 || (at + i < end && at[i] != ','))
            return false;
        *value_out = value;
        return true;
    }
    return false;
}
