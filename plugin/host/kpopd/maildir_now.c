/*
 * maildir_now.c - opens a maildir, or a message of it, without waiting for a
 * disk, so that a worker need not hand it to a store thread: whatever the
 * kernel does not have in memory makes the whole call come back as
 * KPOP_PENDING, with nothing done and nothing logged.  Only what the index
 * vouches for comes in this way.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "plugin/host/kpopd/maildir_internal.h"

/* open(2) that fails with EAGAIN instead of asking the disk; on a kernel that
 * can't (before 5.12) with another error. */
static int
open_cached(int folder, const char *name, int flags, unsigned resolve)
{
    struct open_how how;

    memset(&how, 0, sizeof(how));
    how.flags = (unsigned)flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    how.resolve = RESOLVE_CACHED | resolve;
    return (int)syscall(SYS_openat2, folder, name, &how, sizeof(how));
}

/* What is open has its inode in memory. */
static int
stat_cached(int folder, const char *name, struct stat *st)
{
    int fd = open_cached(folder, name, O_RDONLY | O_DIRECTORY, 0);
    int rc;

    if (fd < 0)
        return -1;
    rc = fstat(fd, st);
    close(fd);
    return rc;
}

/* By its name in the list: whoever renamed it is followed in a thread. */
bool
maildir_open_message_now(struct maildir *maildir, uint32_t number)
{
    char path[NAME_MAX + 8];
    const struct maildir_msg *msg;
    struct stat st;
    int fd;

    if (!maildir->loaded || maildir->list.msgs[number].gone)
        return false;
    msg = &maildir->list.msgs[number];
    snprintf(path, sizeof(path), "%s/%s", maildir_folder_names[msg->folder],
             maildir_list_name(&maildir->list, msg));
    fd = open_cached(maildir->fd, path, O_RDONLY | O_NOCTTY,
                     RESOLVE_NO_SYMLINKS);
    if (fd < 0)
        return false;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return false;
    }
    maildir_close_message(maildir);
    maildir->msg_fd = fd;
    maildir->msg = number;
    maildir->msg_size = (uint64_t)st.st_size;
    return true;
}

static bool
read_head(const char *path, struct maildir_head *head_out)
{
    struct iovec iov = { head_out, sizeof(*head_out) };
    int fd = open_cached(AT_FDCWD, path, O_RDONLY, 0);
    ssize_t got;

    if (fd < 0)
        return false;
    got = preadv2(fd, &iov, 1, 0, RWF_NOWAIT);
    close(fd);
    return got == (ssize_t)sizeof(*head_out)
           && maildir_index_is_head(head_out);
}

/*
 * The index first: it is sure of local file systems alone, where flock(2)
 * asks no server.  Whoever replaced it before we had the lock has changed the
 * times of the folders, or it says the same.
 */
int32_t
maildir_enter_now(struct maildir *maildir)
{
    struct maildir_stamp now;

    if (maildir->index_path == NULL
        || !read_head(maildir->index_path, &maildir->head)
        || maildir->head.sure != 1)
        return KPOP_PENDING;
    maildir->fd = open_cached(AT_FDCWD, maildir->path,
                              O_RDONLY | O_DIRECTORY, 0);
    if (maildir->fd < 0)
        return KPOP_PENDING;
    if (flock(maildir->fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? KPOP_IN_USE : KPOP_PENDING;
    if (maildir_stamp_read(maildir->fd, stat_cached, &now) != 0
        || !maildir_stamp_same(&maildir->head.stamp, &now))
        return KPOP_PENDING;
    maildir->stamp = now;
    maildir->sure = true;
    return KPOP_OK;
}
