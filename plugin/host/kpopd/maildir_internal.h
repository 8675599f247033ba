/*
 * maildir_internal.h - what maildir.c and maildir_commit.c share.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_MAILDIR_INTERNAL_H
#define KPOPD_MAILDIR_INTERNAL_H

#include "plugin/host/kpopd/maildir.h"
#include "plugin/host/kpopd/maildir_list.h"

#define NO_MESSAGE UINT32_MAX

struct maildir {
    char *path;
    int fd; /* of the maildir; holds the lock */
    maildir_count_fn *count_octets;
    struct maildir_list list;
    int msg_fd;   /* the message that is being read, or -1 */
    uint32_t msg; /* which; NO_MESSAGE */
    uint64_t msg_size; /* octets it had when it was opened */
};

/* What an error of the disk means to the client. */
int32_t maildir_result(int error);
/* A line that names the path; of the maildir when msg is NULL. */
void maildir_log(const struct maildir *maildir, const struct maildir_msg *msg,
                 const char *what, int error);
void maildir_close_message(struct maildir *maildir);
/* Looks for the present names of all messages.  KPOP_OK or an error. */
int32_t maildir_follow(struct maildir *maildir);

#endif
