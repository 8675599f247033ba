/*
 * maildir.c - opens, locks and reads a maildir.  Flags are not set here and
 * nothing is ever created in it.  Runs in store threads with the
 * rights of run_as.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/maildir_internal.h"
#include "plugin/host/kpopd/settings.h"

/* What an error of the disk means to the client. */
int32_t
maildir_result(int error)
{
    switch (error) {
    case ENOENT:
        return KPOP_GONE;
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
    case ENOTDIR:
    case EISDIR:
        return KPOP_PERM;
    case ENOMEM:
        return KPOP_NO_MEMORY;
    default:
        return KPOP_TEMP;
    }
}

void
maildir_log(const struct maildir *maildir, const struct maildir_msg *msg,
            const char *what, int error)
{
    char full[PATH_MAX + NAME_MAX + 8];
    char quoted[PATH_MAX];

    if (msg != NULL)
        snprintf(full, sizeof(full), "%s/%s/%s", maildir->path,
                 maildir_folder_names[msg->folder],
                 maildir_list_name(&maildir->list, msg));
    else
        snprintf(full, sizeof(full), "%s", maildir->path);
    log_event(KPOP_LOG_ERROR, "store.fail",
              "path=%s call=%s error=\"%s\"",
              log_quote(full, quoted, sizeof(quoted)), what,
              strerror(error));
}

static void
log_refused(const char *path, int error)
{
    char quoted[PATH_MAX];
    const char *text = strerror(error);
    struct stat st;

    if (error == ENOENT)
        text = "there is no such maildir; create it with new, cur and tmp";
    /* O_DIRECTORY hides that it was a link. */
    else if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
        text = "it is a symbolic link, which kpopd does not follow";
    else if (error == ENOTDIR)
        text = kpopd_maildirs_only;
    else if (error == EACCES && access(path, R_OK | X_OK) == 0)
        text = "it is outside of the store's folder: name the folder where it "
               "really is in sandbox_paths; or that was made or mounted since "
               "kpopd began: reload";
    else if (error == EACCES)
        text = "the user run_as may not read it";
    log_event(KPOP_LOG_ERROR, "store.fail", "path=%s call=open text=\"%s\"",
              log_quote(path, quoted, sizeof(quoted)), text);
}

static int32_t
lock(struct maildir *maildir)
{
    int32_t rc;
    int error;

    maildir->fd = open(maildir->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW
                                          | O_NONBLOCK | O_CLOEXEC);
    if (maildir->fd < 0) {
        error = errno;
        log_refused(maildir->path, error);
        rc = maildir_result(error);
        return rc == KPOP_GONE ? KPOP_PERM : rc;
    }
    /* On the directory itself: nothing to clean up, and the lock dies with
     * the process. */
    if (flock(maildir->fd, LOCK_EX | LOCK_NB) == 0)
        return KPOP_OK;
    if (errno == EWOULDBLOCK)
        return KPOP_IN_USE;
    maildir_log(maildir, NULL, "flock", errno);
    return KPOP_TEMP;
}

bool
maildir_can_write(const struct maildir *maildir)
{
    char quoted[PATH_MAX];
    size_t i;

    for (i = 0; i < 2; i++) {
        if (faccessat(maildir->fd, maildir_folder_names[i], W_OK | X_OK, 0)
            == 0)
            continue;
        log_event(KPOP_LOG_WARNING, "store.readonly",
                  "path=%s folder=%s error=\"%s\" text=\"messages can be "
                  "read but not deleted; give it to the user run_as\"",
                  log_quote(maildir->path, quoted, sizeof(quoted)),
                  maildir_folder_names[i], strerror(errno));
        return false;
    }
    return true;
}

static struct maildir *
new_maildir(const char *path, const char *index_directory,
            maildir_count_fn *count_fn)
{
    char index_path[PATH_MAX];
    struct maildir *maildir = calloc(1, sizeof(*maildir));

    if (maildir == NULL)
        return NULL;
    maildir->fd = -1;
    maildir->msg_fd = -1;
    maildir->folder_fd = -1;
    maildir->msg = NO_MESSAGE;
    maildir->count_octets = count_fn;
    maildir->path = strdup(path);
    if (index_directory != NULL
        && maildir_index_path(index_directory, path, index_path) == 0)
        maildir->index_path = strdup(index_path);
    if (maildir->path != NULL)
        return maildir;
    maildir_close(maildir);
    return NULL;
}

int32_t
maildir_open(const char *path, const char *index_directory,
             maildir_count_fn *count_fn, struct maildir **maildir_out)
{
    struct maildir *maildir = new_maildir(path, index_directory, count_fn);
    int32_t rc = KPOP_NO_MEMORY;

    *maildir_out = NULL;
    if (maildir != NULL)
        rc = lock(maildir);
    if (rc == KPOP_OK)
        rc = maildir_enter(maildir);
    if (rc != KPOP_OK) {
        maildir_close(maildir);
        return rc;
    }
    *maildir_out = maildir;
    return KPOP_OK;
}

int32_t
maildir_open_now(const char *path, const char *index_directory,
                 maildir_count_fn *count_fn, struct maildir **maildir_out)
{
    struct maildir *maildir = new_maildir(path, index_directory, count_fn);
    int32_t rc = KPOP_NO_MEMORY;

    *maildir_out = NULL;
    if (maildir != NULL)
        rc = maildir_enter_now(maildir);
    if (rc != KPOP_OK) {
        maildir_close(maildir);
        return rc;
    }
    *maildir_out = maildir;
    return KPOP_OK;
}

static void
close_folder(struct maildir *maildir)
{
    if (maildir->folder_fd >= 0)
        close(maildir->folder_fd);
    maildir->folder_fd = -1;
}

static void
close_file(struct maildir *maildir)
{
    if (maildir->msg_fd >= 0)
        close(maildir->msg_fd);
    maildir->msg_fd = -1;
    maildir->msg = NO_MESSAGE;
}

void
maildir_close_message(struct maildir *maildir)
{
    close_file(maildir);
    close_folder(maildir);
}

void
maildir_close(struct maildir *maildir)
{
    if (maildir == NULL)
        return;
    maildir_close_message(maildir);
    if (maildir->fd >= 0)
        close(maildir->fd);
    maildir_list_free(&maildir->list);
    free(maildir->index_path);
    free(maildir->path);
    free(maildir);
}

uint32_t
maildir_count(const struct maildir *maildir)
{
    return (uint32_t)(maildir->loaded ? maildir->list.count
                                      : maildir->head.count);
}

void
maildir_uidl(const struct maildir *maildir, uint32_t msg,
             char uidl_out[KPOP_UIDL_MAX + 1])
{
    maildir_list_uidl(&maildir->list, &maildir->list.msgs[msg], uidl_out);
}

const char *
maildir_base(const struct maildir *maildir, uint32_t msg, size_t *len_out,
             bool *alone_out)
{
    const struct maildir_msg *found = &maildir->list.msgs[msg];

    *len_out = found->base_len;
    *alone_out = !found->same_base;
    return maildir_list_name(&maildir->list, found);
}

/* Kept from message to message, until maildir_close_message(). */
static int
open_folder(struct maildir *maildir, const struct maildir_msg *msg)
{
    if (maildir->folder_fd >= 0 && maildir->folder == msg->folder)
        return maildir->folder_fd;
    close_folder(maildir);
    maildir->folder = msg->folder;
    maildir->folder_fd =
        openat(maildir->fd, maildir_folder_names[msg->folder],
               O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return maildir->folder_fd;
}

/* Descriptor of the message by its present name, or -1 with errno. */
static int
open_named(struct maildir *maildir, const struct maildir_msg *msg,
           uint64_t *size_out)
{
    int folder = open_folder(maildir, msg);
    struct stat st;
    int error;
    int fd;

    if (folder < 0)
        return -1;
    fd = openat(folder, maildir_list_name(&maildir->list, msg),
                O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    error = errno;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        *size_out = (uint64_t)st.st_size;
        return fd;
    }
    if (fd >= 0) {
        close(fd);
        error = EISDIR; /* it was replaced by something odd */
    }
    errno = error;
    return -1;
}

/* Looks for the present names of all messages.  KPOP_OK or an error. */
int32_t
maildir_follow(struct maildir *maildir)
{
    struct maildir_list present;
    int32_t rc = maildir_list_read(&present, maildir->fd, maildir->path,
                                   false);

    if (rc != KPOP_OK)
        return rc;
    if (maildir_list_follow(&maildir->list, &present) != 0)
        rc = KPOP_NO_MEMORY;
    maildir_list_free(&present);
    return rc;
}

/* Opens a message, following it when it was renamed. */
static int32_t
open_message(struct maildir *maildir, uint32_t number)
{
    struct maildir_msg *msg = &maildir->list.msgs[number];
    int tries;
    int32_t rc;
    int error;
    int fd;

    if (maildir->msg == number && maildir->msg_fd >= 0)
        return KPOP_OK;
    close_file(maildir);
    /* readdir may miss what is renamed while it runs: look twice. */
    for (tries = 0;; tries++) {
        if (msg->gone && tries == 0)
            return KPOP_GONE;
        fd = msg->gone ? -1 : open_named(maildir, msg, &maildir->msg_size);
        error = msg->gone ? ENOENT : errno;
        if (fd >= 0 || error != ENOENT || tries == 2)
            break;
        close_folder(maildir);
        rc = maildir_follow(maildir);
        if (rc != KPOP_OK)
            return rc;
    }
    if (fd < 0) {
        if (error != ENOENT)
            maildir_log(maildir, msg, "open", error);
        return maildir_result(error);
    }
    maildir->msg_fd = fd;
    maildir->msg = number;
    return KPOP_OK;
}

static int32_t
read_at(struct maildir *maildir, uint64_t offset, void *buffer,
        uint32_t size, int flags)
{
    struct iovec iov = { buffer, size };
    ssize_t got;
    int error;

    if (size > KPOP_FETCH_MAX || offset > (uint64_t)INT64_MAX - size)
        return KPOP_INVALID;
    if (offset > 0 && offset == maildir->msg_size) {
        maildir_close_message(maildir); /* the end is known */
        return 0;
    }
    do
        got = preadv2(maildir->msg_fd, &iov, 1, (off_t)offset, flags);
    while (got < 0 && errno == EINTR);
    if (got > 0)
        return (int32_t)got;
    if (got == 0 && offset < maildir->msg_size) {
        /* Half a message must not look like a whole one. */
        maildir_log(maildir, &maildir->list.msgs[maildir->msg],
                    "read of a message that became shorter", EIO);
        maildir_close_message(maildir);
        return KPOP_TEMP;
    }
    if (got == 0) {
        /* A parked session holds no message open. */
        maildir_close_message(maildir);
        return 0;
    }
    if (flags != 0 && (errno == EAGAIN || errno == EOPNOTSUPP))
        return KPOP_PENDING;
    error = errno;
    maildir_log(maildir, &maildir->list.msgs[maildir->msg], "read", error);
    maildir_close_message(maildir);
    return error == ENOENT ? KPOP_TEMP : maildir_result(error);
}

int32_t
maildir_read(struct maildir *maildir, uint32_t msg, uint64_t offset,
             void *buffer, uint32_t size)
{
    int32_t rc = maildir_load(maildir);

    if (rc == KPOP_OK)
        rc = open_message(maildir, msg);
    close_folder(maildir);
    return rc == KPOP_OK ? read_at(maildir, offset, buffer, size, 0) : rc;
}

int32_t
maildir_read_now(struct maildir *maildir, uint32_t msg, uint64_t offset,
                 void *buffer, uint32_t size)
{
    if ((maildir->msg != msg || maildir->msg_fd < 0)
        && !maildir_open_message_now(maildir, msg))
        return KPOP_PENDING;
    return read_at(maildir, offset, buffer, size, RWF_NOWAIT);
}

bool
maildir_size_is_known(const struct maildir *maildir, uint32_t msg)
{
    return maildir->loaded
           && maildir->list.msgs[msg].octets != KPOP_UNKNOWN;
}

static int32_t
count_wire(struct maildir *maildir, uint64_t *octets_out)
{
    char buffer[16 * 1024];
    uint32_t state = 0;
    uint64_t octets = 0;
    uint64_t offset;
    int32_t got;

    for (offset = 0; offset < maildir->msg_size; offset += (uint64_t)got) {
        got = read_at(maildir, offset, buffer, sizeof(buffer), 0);
        if (got < 0)
            return got;
        octets += maildir->count_octets(&state, buffer, (size_t)got);
    }
    *octets_out = octets + maildir->count_octets(&state, NULL, 0);
    return KPOP_OK;
}

int32_t
maildir_size(struct maildir *maildir, uint32_t number, uint64_t *octets_out)
{
    int32_t rc = maildir_load(maildir);
    struct maildir_msg *msg;

    if (rc != KPOP_OK)
        return rc;
    msg = &maildir->list.msgs[number];
    if (msg->octets != KPOP_UNKNOWN) {
        *octets_out = msg->octets;
        return KPOP_OK;
    }
    rc = open_message(maildir, number);
    if (rc == KPOP_OK)
        rc = count_wire(maildir, octets_out);
    close_file(maildir);
    if (rc == KPOP_GONE) {
        *octets_out = 0;
        msg->gone = true;
        rc = KPOP_OK;
    }
    if (rc == KPOP_OK) {
        msg->octets = *octets_out;
        maildir->unknown--;
        maildir->unsaved += !msg->gone;
        maildir_save(maildir);
    }
    return rc;
}
