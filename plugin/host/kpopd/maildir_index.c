/*
 * maildir_index.c - reads and writes the index of a maildir.  The file is
 * replaced as a whole by rename, so that a crash leaves the old one or the
 * new one; what the disk does to it shows in its sums.  Runs in store threads
 * with the rights of run_as; never touches the maildir.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/maildir_index.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/maildir.h"

/* Coarser than the clock of any local file system (ext3: one second). */
#define SETTLED_SECONDS 3

enum { HASHED = 1, SAME_BASE = 2 };

/* A message in the file. */
struct disk_msg {
    uint64_t octets;
    uint64_t file;
    uint32_t name;
    uint8_t base_len;
    uint8_t unique_len;
    uint8_t folder;
    uint8_t flags;
};

static const char magic[8] = "KPOPIDX";
/* Says nothing where the order of octets or the structs differ. */
static const uint64_t layout = (uint64_t)0x0102030405 << 16
                               | sizeof(struct disk_msg) << 8
                               | sizeof(struct maildir_head);

/* Against accidents, not against people: those could write the file. */
static uint64_t
sum(uint64_t hash, const void *data, size_t size)
{
    const uint64_t prime = 0x9E3779B97F4A7C15u;
    const unsigned char *at = data;
    uint64_t word;

    for (; size >= sizeof(word); size -= sizeof(word), at += sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        hash = (hash ^ word) * prime;
        hash ^= hash >> 29;
    }
    word = 0;
    if (size > 0) /* an empty list has no memory */
        memcpy(&word, at, size);
    hash = (hash ^ word ^ (uint64_t)size << 56) * prime;
    return hash ^ hash >> 32;
}

static uint64_t
head_sum(const struct maildir_head *head)
{
    return sum(1, head, offsetof(struct maildir_head, head_sum));
}

static void
log_index(const char *path, const char *what)
{
    char quoted[PATH_MAX];

    log_event(KPOP_LOG_WARNING, "store.index", "path=%s text=\"%s\"",
              log_quote(path, quoted, sizeof(quoted)), what);
}

static void
log_failure(const char *path, const char *call, int error)
{
    char text[160];

    snprintf(text, sizeof(text),
             "the index can't be kept, so logins stay slow: %s: %s", call,
             strerror(error));
    log_index(path, text);
}

int
maildir_index_path(const char *directory, const char *maildir,
                   char path_out[PATH_MAX])
{
    char name[MAILDIR_HASH_SIZE];
    int len;

    maildir_hash(maildir, strlen(maildir), name);
    len = snprintf(path_out, PATH_MAX, "%s/%s", directory, name);
    /* Room for the name it is written under. */
    return len > 0 && len < PATH_MAX - 8 ? 0 : -1;
}

/* ---- times ---- */

int
maildir_stat(int dir_fd, const char *name, struct stat *st)
{
    return fstatat(dir_fd, name, st, AT_SYMLINK_NOFOLLOW);
}

int
maildir_stamp_read(int dir_fd, maildir_stat_fn *stat_fn,
                   struct maildir_stamp *stamp_out)
{
    struct stat st;
    int i;

    memset(stamp_out, 0, sizeof(*stamp_out));
    if (fstat(dir_fd, &st) != 0)
        return -1;
    stamp_out->ino = st.st_ino;
    for (i = 0; i < FOLDER_COUNT; i++) {
        if (stat_fn(dir_fd, maildir_folder_names[i], &st) != 0)
            return -1;
        if (!S_ISDIR(st.st_mode)) {
            errno = ENOTDIR;
            return -1;
        }
        stamp_out->folders[i].ino = st.st_ino;
        stamp_out->folders[i].modified_s = st.st_mtim.tv_sec;
        stamp_out->folders[i].modified_ns = st.st_mtim.tv_nsec;
        stamp_out->folders[i].changed_s = st.st_ctim.tv_sec;
        stamp_out->folders[i].changed_ns = st.st_ctim.tv_nsec;
    }
    return 0;
}

bool
maildir_stamp_same(const struct maildir_stamp *a,
                   const struct maildir_stamp *b)
{
    return memcmp(a, b, sizeof(*a)) == 0; /* there is no padding */
}

/* Elsewhere another machine's clock sets the times, or they are cached. */
static bool
is_local(int dir_fd)
{
    static const unsigned long local[] = {
        EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,   BTRFS_SUPER_MAGIC,
        TMPFS_MAGIC,      F2FS_SUPER_MAGIC,  OVERLAYFS_SUPER_MAGIC,
        0x2FC12FC1, /* ZFS */
    };
    struct statfs fs;
    size_t i;

    if (fstatfs(dir_fd, &fs) != 0)
        return false;
    for (i = 0; i < sizeof(local) / sizeof(local[0]); i++)
        if ((unsigned long)fs.f_type == local[i])
            return true;
    return false;
}

bool
maildir_stamp_settled(int dir_fd, const struct maildir_stamp *stamp)
{
    struct timespec now;
    int i;

    if (!is_local(dir_fd) || clock_gettime(CLOCK_REALTIME, &now) != 0)
        return false;
    for (i = 0; i < FOLDER_COUNT; i++)
        if (stamp->folders[i].modified_s > now.tv_sec - SETTLED_SECONDS
            || stamp->folders[i].changed_s > now.tv_sec - SETTLED_SECONDS)
            return false;
    return true;
}

/* ---- reading ---- */

/* All of it, or false. */
static bool
read_whole(int fd, void *data, size_t size, off_t offset)
{
    unsigned char *at = data;
    ssize_t got;

    while (size > 0) {
        got = pread(fd, at, size, offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        offset += got;
        size -= (size_t)got;
    }
    return true;
}

bool
maildir_index_is_head(const struct maildir_head *head)
{
    return memcmp(head->magic, magic, sizeof(magic)) == 0
           && head->layout == layout && head->head_sum == head_sum(head)
           && head->count <= MAILDIR_MESSAGES_MAX
           && head->text_len <= UINT32_MAX;
}

static uint64_t
size_of_file(const struct maildir_head *head)
{
    return sizeof(*head) + head->count * sizeof(struct disk_msg)
           + head->text_len;
}

/* Descriptor, or -1. */
static int
open_index(const char *path, struct maildir_head *head_out)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (fd < 0) {
        if (errno != ENOENT)
            log_failure(path, "open", errno);
        return -1;
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)
        && read_whole(fd, head_out, sizeof(*head_out), 0)
        && maildir_index_is_head(head_out)
        && (uint64_t)st.st_size == size_of_file(head_out))
        return fd;
    log_index(path, "it is damaged or of another version; it will be made "
                    "anew");
    close(fd);
    return -1;
}

bool
maildir_index_head(const char *path, struct maildir_head *head_out)
{
    int fd = open_index(path, head_out);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* Sums don't lie by accident, but an index into memory is checked. */
static bool
take_message(struct maildir_msg *msg, const struct disk_msg *disk,
             const struct maildir_list *list)
{
    if (disk->name >= list->text_len || disk->base_len < disk->unique_len
        || disk->base_len >= list->text_len - disk->name
        || disk->folder >= FOLDER_COUNT
        || ((disk->flags & HASHED) == 0 && disk->unique_len > KPOP_UIDL_MAX))
        return false;
    memset(msg, 0, sizeof(*msg));
    msg->octets = disk->octets;
    msg->file = disk->file;
    msg->name = disk->name;
    msg->base_len = disk->base_len;
    msg->unique_len = disk->unique_len;
    msg->folder = disk->folder;
    msg->hashed = (disk->flags & HASHED) != 0;
    msg->same_base = (disk->flags & SAME_BASE) != 0;
    return true;
}

static bool
take_body(const struct maildir_head *head, const struct disk_msg *disk,
          struct maildir_list *list)
{
    size_t i;

    if (sum(sum(2, disk, (size_t)head->count * sizeof(*disk)), list->text,
            list->text_len)
            != head->body_sum
        || (list->text_len > 0 && list->text[list->text_len - 1] != '\0'))
        return false;
    for (i = 0; i < head->count; i++)
        if (!take_message(&list->msgs[i], &disk[i], list))
            return false;
    list->count = list->room = (size_t)head->count;
    return true;
}

static bool
read_body(int fd, const struct maildir_head *head, struct maildir_list *list)
{
    size_t size = (size_t)head->count * sizeof(struct disk_msg);
    struct disk_msg *disk =
        calloc((size_t)head->count + 1, sizeof(struct disk_msg));
    bool ok;

    list->text_len = list->text_room = (size_t)head->text_len;
    list->text = malloc(list->text_len + 1);
    list->msgs = malloc((size_t)head->count * sizeof(list->msgs[0]) + 1);
    ok = disk != NULL && list->text != NULL && list->msgs != NULL
         && read_whole(fd, disk, size, sizeof(*head))
         && read_whole(fd, list->text, list->text_len,
                       (off_t)(sizeof(*head) + size))
         && take_body(head, disk, list);
    free(disk);
    return ok;
}

bool
maildir_index_list(const char *path, const struct maildir_head *head,
                   struct maildir_list *list_out)
{
    struct maildir_head now;
    int fd = open_index(path, &now);
    bool ok;

    memset(list_out, 0, sizeof(*list_out));
    if (fd < 0)
        return false;
    ok = memcmp(head, &now, sizeof(now)) == 0
         && read_body(fd, head, list_out);
    close(fd);
    if (!ok) {
        log_index(path, "its list is damaged; it will be made anew");
        maildir_list_free(list_out);
    }
    return ok;
}

size_t
maildir_index_sizes(const char *path, struct maildir_list *list)
{
    struct maildir_head head;
    struct maildir_list old;
    size_t learned = 0;
    size_t i;
    size_t at = 0;

    if (!maildir_index_head(path, &head)
        || !maildir_index_list(path, &head, &old))
        return 0;
    for (i = 0; i < list->count; i++) {
        struct maildir_msg *msg = &list->msgs[i];

        /* Both are in the same order, which flags never change. */
        while (at < old.count
               && maildir_list_order(&old, &old.msgs[at], list, msg) < 0)
            at++;
        if (at == old.count)
            break;
        if (maildir_list_order(&old, &old.msgs[at], list, msg) != 0
            || msg->octets != KPOP_UNKNOWN || msg->same_base
            || old.msgs[at].same_base || msg->file != old.msgs[at].file
            || old.msgs[at].octets == KPOP_UNKNOWN)
            continue;
        msg->octets = old.msgs[at].octets;
        learned++;
    }
    maildir_list_free(&old);
    return learned;
}

/* ---- writing ---- */

static bool
write_whole(int fd, const void *data, size_t size)
{
    const unsigned char *at = data;
    ssize_t done;

    while (size > 0) {
        done = write(fd, at, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        at += done;
        size -= (size_t)done;
    }
    return true;
}

/* The messages as they are stored; adds up their sizes. */
static struct disk_msg *
give_messages(const struct maildir_list *list, uint64_t *octets_out)
{
    struct disk_msg *disk = calloc(list->count + 1, sizeof(*disk));
    const struct maildir_msg *msg;
    size_t i;

    *octets_out = 0;
    for (i = 0; disk != NULL && i < list->count; i++) {
        msg = &list->msgs[i];
        disk[i].octets = msg->gone ? KPOP_UNKNOWN : msg->octets;
        disk[i].file = msg->file;
        disk[i].name = msg->name;
        disk[i].base_len = msg->base_len;
        disk[i].unique_len = msg->unique_len;
        disk[i].folder = msg->folder;
        disk[i].flags = (uint8_t)((msg->hashed ? HASHED : 0)
                                  | (msg->same_base ? SAME_BASE : 0));
        if (disk[i].octets == KPOP_UNKNOWN || *octets_out == KPOP_UNKNOWN)
            *octets_out = KPOP_UNKNOWN;
        else
            *octets_out += msg->octets;
    }
    return disk;
}

static bool
write_file(const char *path, const struct maildir_head *head,
           const struct disk_msg *disk, const struct maildir_list *list)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW
                            | O_CLOEXEC, 0600);
    bool ok;
    int error;

    if (fd < 0)
        return false;
    ok = write_whole(fd, head, sizeof(*head))
         && write_whole(fd, disk, list->count * sizeof(*disk))
         && write_whole(fd, list->text, list->text_len) && fsync(fd) == 0;
    error = errno;
    if (close(fd) != 0 && ok) {
        ok = false;
        error = errno;
    }
    errno = error;
    return ok;
}

void
maildir_index_save(const char *path, const struct maildir_stamp *stamp,
                   bool sure, const struct maildir_list *list)
{
    struct maildir_head head = { .layout = layout, .stamp = *stamp };
    struct disk_msg *disk = give_messages(list, &head.octets);
    char fresh[PATH_MAX];

    if (disk == NULL)
        return;
    memcpy(head.magic, magic, sizeof(magic));
    head.sure = sure;
    head.count = list->count;
    head.text_len = list->text_len;
    head.body_sum = sum(sum(2, disk, list->count * sizeof(*disk)),
                        list->text, list->text_len);
    head.head_sum = head_sum(&head);
    /* One name will do: the maildir's lock is ours. */
    snprintf(fresh, sizeof(fresh), "%.*s.new", PATH_MAX - 8, path);
    if (!write_file(fresh, &head, disk, list) || rename(fresh, path) != 0) {
        log_failure(path, "write", errno);
        (void)unlink(fresh);
    }
    free(disk);
}
