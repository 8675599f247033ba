/*
 * maildir_enter.c - how a session comes to the list of a maildir: from the
 * index while the folders' times vouch for it, else from the folders, with
 * the sizes the index knows.  Runs in store threads with the rights of
 * run_as.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <unistd.h>

#include "plugin/host/kpopd/maildir_internal.h"

/* So many new sizes are worth a write before the last one is known: whoever
 * hangs up half way through a large maildir has not done it for nothing. */
#define ENOUGH 8192

static void
count_unknown(struct maildir *maildir)
{
    size_t i;

    maildir->unknown = 0;
    for (i = 0; i < maildir->list.count; i++)
        maildir->unknown += maildir->list.msgs[i].octets == KPOP_UNKNOWN;
}

/* Reads the folders. */
static int32_t
read_folders(struct maildir *maildir)
{
    struct maildir_stamp after;
    bool settled = false;
    bool known = maildir_stamp_read(maildir->fd, maildir_stat,
                                    &maildir->stamp)
                 == 0;
    int32_t rc;

    if (known)
        settled = maildir_stamp_settled(maildir->fd, &maildir->stamp);
    rc = maildir_list_read(&maildir->list, maildir->fd, maildir->path, true);
    if (rc != KPOP_OK)
        return rc;
    maildir->loaded = true;
    count_unknown(maildir);
    /* An index that is sure is asked no more, so it is none where deletions
     * would fail: each login is to warn.  Rights change the times, too. */
    maildir->sure = maildir_can_write(maildir) && settled
                    && !maildir->list.unsure
                    && maildir_stamp_read(maildir->fd, maildir_stat, &after)
                           == 0
                    && maildir_stamp_same(&maildir->stamp, &after);
    return KPOP_OK;
}

/* From the head of the index alone; false when the folders must be read. */
static bool
enter_by_index(struct maildir *maildir)
{
    struct maildir_stamp now;

    return maildir_index_head(maildir->index_path, &maildir->head)
           && maildir->head.sure == 1
           && maildir_stamp_read(maildir->fd, maildir_stat, &now) == 0
           && maildir_stamp_same(&maildir->head.stamp, &now);
}

int32_t
maildir_enter(struct maildir *maildir)
{
    int32_t rc;

    if (maildir->index_path != NULL && enter_by_index(maildir)) {
        maildir->stamp = maildir->head.stamp;
        maildir->sure = true;
        return KPOP_OK;
    }
    rc = read_folders(maildir);
    if (rc != KPOP_OK || maildir->index_path == NULL)
        return rc;
    if (maildir->unknown > 0)
        maildir->unknown -=
            maildir_index_sizes(maildir->index_path, &maildir->list);
    /* Next time without reading the folders. */
    if (maildir->sure && maildir->unknown == 0)
        maildir_index_save(maildir->index_path, &maildir->stamp, true,
                           &maildir->list);
    return KPOP_OK;
}

int32_t
maildir_load(struct maildir *maildir)
{
    int32_t rc;

    if (maildir->loaded)
        return KPOP_OK;
    if (maildir_index_list(maildir->index_path, &maildir->head,
                           &maildir->list)) {
        maildir->loaded = true;
        count_unknown(maildir);
        return KPOP_OK;
    }
    rc = read_folders(maildir);
    if (rc != KPOP_OK)
        return rc;
    /* The client has been told of these messages and no others. */
    if (maildir_stamp_same(&maildir->head.stamp, &maildir->stamp)
        && maildir->sure && maildir->list.count == maildir->head.count)
        return KPOP_OK;
    maildir_log(maildir, NULL, "index", ESTALE);
    (void)unlink(maildir->index_path); /* whatever it is, the last time */
    maildir_list_free(&maildir->list);
    maildir->loaded = false;
    return KPOP_TEMP;
}

void
maildir_save(struct maildir *maildir)
{
    if (maildir->index_path == NULL || maildir->unsaved == 0
        || (maildir->unknown > 0 && maildir->unsaved < ENOUGH))
        return;
    maildir->unsaved = 0;
    maildir_index_save(maildir->index_path, &maildir->stamp, maildir->sure,
                       &maildir->list);
}

uint64_t
maildir_total(const struct maildir *maildir)
{
    uint64_t octets = 0;
    size_t i;

    if (!maildir->loaded)
        return maildir->head.octets;
    for (i = 0; i < maildir->list.count && maildir->unknown == 0; i++)
        octets += maildir->list.msgs[i].octets;
    return maildir->unknown == 0 ? octets : KPOP_UNKNOWN;
}
