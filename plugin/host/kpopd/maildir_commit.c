/*
 * maildir_commit.c - QUIT: removes what is marked, durably, or says what
 * could not be removed.  Never touches a message that is not marked.  Runs in
 * store threads with the rights of run_as.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/maildir_internal.h"

/* The worse of two results of a commit. */
static int32_t
worse(int32_t a, int32_t b)
{
    if (a == KPOP_OK)
        return b;
    return b == KPOP_PERM ? b : a;
}

/* KPOP_OK, KPOP_GONE, or an error that has been logged. */
static int32_t
remove_message(const struct maildir *maildir, const struct maildir_msg *msg,
               const int folders[FOLDER_COUNT])
{
    int error;

    if (msg->gone)
        return KPOP_GONE;
    if (unlinkat(folders[msg->folder],
                 maildir_list_name(&maildir->list, msg), 0)
        == 0)
        return KPOP_OK;
    error = errno;
    if (error == ENOENT)
        return KPOP_GONE;
    maildir_log(maildir, msg, "unlink", error);
    return maildir_result(error) == KPOP_PERM ? KPOP_PERM : KPOP_TEMP;
}

/* Removes all that is marked.  *missing_out: how many had another name. */
static int32_t
remove_marked(const struct maildir *maildir, uint8_t *todo,
              const int folders[FOLDER_COUNT], size_t *missing_out)
{
    int32_t rc = KPOP_OK;
    int32_t one;
    size_t i;

    *missing_out = 0;
    for (i = 0; i < maildir->list.count; i++) {
        if (!todo[i])
            continue;
        one = remove_message(maildir, &maildir->list.msgs[i], folders);
        if (one == KPOP_GONE) {
            (*missing_out)++;
            continue;
        }
        todo[i] = 0;
        rc = worse(rc, one);
    }
    return rc;
}

static int32_t
sync_folders(const struct maildir *maildir, const int folders[FOLDER_COUNT])
{
    char quoted[PATH_MAX];
    int32_t rc = KPOP_OK;
    int error;
    int i;

    for (i = 0; i < FOLDER_COUNT; i++) {
        if (fsync(folders[i]) == 0)
            continue;
        error = errno;
        log_event(KPOP_LOG_ERROR, "store.fail",
                  "path=%s folder=%s call=fsync error=\"%s\"",
                  log_quote(maildir->path, quoted, sizeof(quoted)),
                  maildir_folder_names[i], strerror(error));
        rc = worse(rc, maildir_result(error) == KPOP_PERM ? KPOP_PERM
                                                     : KPOP_TEMP);
    }
    return rc;
}

static int32_t
commit_in(struct maildir *maildir, uint8_t *todo,
          const int folders[FOLDER_COUNT])
{
    size_t missing;
    int32_t rc = remove_marked(maildir, todo, folders, &missing);
    int32_t again = KPOP_OK;
    int tries;

    /* Renamed meanwhile: look for them; what is really gone is deleted. */
    for (tries = 0; missing > 0 && again == KPOP_OK && tries < 2; tries++) {
        again = maildir_follow(maildir);
        if (again == KPOP_OK)
            again = remove_marked(maildir, todo, folders, &missing);
    }
    rc = worse(rc, again);
    return worse(rc, sync_folders(maildir, folders));
}

int32_t
maildir_commit(struct maildir *maildir, const uint8_t *marks, uint32_t count)
{
    int folders[FOLDER_COUNT] = { -1, -1 };
    int32_t rc = KPOP_OK;
    size_t marked = 0;
    uint8_t *todo;
    uint32_t i;

    maildir_close_message(maildir);
    rc = maildir_load(maildir);
    if (rc != KPOP_OK)
        return KPOP_TEMP;
    todo = calloc((size_t)count + 1, 1);
    if (todo == NULL || count != maildir->list.count) {
        free(todo);
        return todo == NULL ? KPOP_TEMP : KPOP_INVALID;
    }
    for (i = 0; i < count; i++) {
        todo[i] = (marks[i] & KPOP_MARK_DELETE) != 0;
        marked += todo[i];
    }
    for (i = 0; i < FOLDER_COUNT && marked > 0 && rc == KPOP_OK; i++) {
        folders[i] = openat(maildir->fd, maildir_folder_names[i],
                            O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (folders[i] < 0) {
            maildir_log(maildir, NULL, "open", errno);
            rc = KPOP_TEMP;
        }
    }
    if (marked > 0 && rc == KPOP_OK)
        rc = commit_in(maildir, todo, folders);
    for (i = 0; i < FOLDER_COUNT; i++)
        if (folders[i] >= 0)
            close(folders[i]);
    free(todo);
    return rc == KPOP_NO_MEMORY ? KPOP_TEMP : rc;
}
