/*
 * maildir_internal.h - what maildir.c and maildir_commit.c share.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_MAILDIR_INTERNAL_H
#define KPOPD_MAILDIR_INTERNAL_H

#include "plugin/host/kpopd/maildir.h"
#include "plugin/host/kpopd/maildir_index.h"
#include "plugin/host/kpopd/maildir_list.h"

#define NO_MESSAGE UINT32_MAX

struct maildir {
    char *path;
    int fd; /* of the maildir; holds the lock */
    maildir_count_fn *count_octets;
    struct maildir_list list;
    bool loaded;      /* the list is here, and not only in the index */
    char *index_path; /* or NULL */
    struct maildir_head head;   /* of the index, while it is not loaded */
    struct maildir_stamp stamp; /* before the list was read */
    bool sure;                  /* the stamp will tell every change */
    size_t unknown;             /* messages without a size */
    size_t unsaved;             /* sizes that the index lacks */
    int folder_fd;  /* of the last message that was opened, or -1 */
    uint8_t folder; /* which */
    int msg_fd;   /* the message that is being read, or -1 */
    uint32_t msg; /* which; NO_MESSAGE */
    uint64_t msg_size; /* octets it had when it was opened */
};

/* What an error of the disk means to the client. */
int32_t maildir_result(int error);
/* A line that names the path; of the maildir when msg is NULL. */
void maildir_log(const struct maildir *maildir, const struct maildir_msg *msg,
                 const char *what, int error);
/* Reading works, QUIT will fail: better known, and logged, before. */
bool maildir_can_write(const struct maildir *maildir);
/* And its folder. */
void maildir_close_message(struct maildir *maildir);
/* Brings the list from the index, if it is not here yet.  KPOP_OK; KPOP_TEMP
 * when index and maildir have both changed; KPOP_NO_MEMORY, KPOP_PERM. */
int32_t maildir_load(struct maildir *maildir);
/* maildir_open() without the lock: from the index or from the folders. */
int32_t maildir_enter(struct maildir *maildir);
/* maildir_open() with the lock, but without waiting: KPOP_OK, KPOP_IN_USE, or
 * KPOP_PENDING when it would wait or is not as easy as that. */
int32_t maildir_enter_now(struct maildir *maildir);
/* The message that maildir_read_now() reads; false, and nothing has changed,
 * when it would wait or is not where the list says. */
bool maildir_open_message_now(struct maildir *maildir, uint32_t number);
/* Keeps what was learned, when it is enough to be worth a write. */
void maildir_save(struct maildir *maildir);
/* Looks for the present names of all messages.  KPOP_OK or an error. */
int32_t maildir_follow(struct maildir *maildir);

#endif
