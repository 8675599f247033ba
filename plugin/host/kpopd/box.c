/*
 * box.c - see box.h.  Runs in store threads with the rights of run_as.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/box.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "plugin/host/kpopd/maildir_internal.h"
#include "plugin/host/kpopd/policy.h"
#include "plugin/host/kpopd/sdps.h"
#include "plugin/host/kpopd/uidlmap.h"

enum { PREFIX_MAX = SDPS_ADDRESS_MAX + 32 };

/* A message of a view: which one of the maildir, and its envelope. */
struct seen {
    uint32_t msg;
    struct envelope envelope;
};

struct box {
    const struct settings *settings;
    struct maildir *maildir;
    struct uidlmap *uidls; /* NULL: nothing was imported */
    bool knows_uidls;      /* uidls was looked for */
    struct seen *view; /* with SDPS; else NULL, and msg is the maildir's */
    uint32_t count;
    char user[KPOP_USER_MAX + 1];
    char requested[KPOP_USER_MAX + 1];
    char path[];
};

struct box *
box_new(const struct settings *settings, const char *path, const char *user,
        const char *requested)
{
    struct box *box = calloc(1, sizeof(*box) + strlen(path) + 1);

    if (box == NULL)
        return NULL;
    box->settings = settings;
    memcpy(box->path, path, strlen(path) + 1);
    snprintf(box->user, sizeof(box->user), "%s", user);
    snprintf(box->requested, sizeof(box->requested), "%s", requested);
    return box;
}

void
box_free(struct box *box)
{
    if (box == NULL)
        return;
    maildir_close(box->maildir);
    uidlmap_free(box->uidls);
    free(box->view);
    free(box);
}

/* ---- open ---- */

/* EXPIRE looks for uidls, now and at QUIT. */
static int32_t
open_maildir(struct box *box, maildir_count_fn *count_fn)
{
    int32_t rc = maildir_open(box->path, box->settings->index_dir, count_fn,
                              &box->maildir);

    if (rc == KPOP_OK && policy_expires(box->settings))
        rc = maildir_load(box->maildir);
    return rc;
}

/* The policies come while the maildrop is locked: one login a user at a time.
 * A login that fails behind policy_login() has been one. */
static int32_t
keep_policies(struct box *box, maildir_count_fn *count_fn)
{
    struct timespec now;
    int32_t rc;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    rc = policy_login(box->settings, box->user, &now);
    if (rc != KPOP_OK
        || !policy_expire(box->settings, box->user, box->maildir, &now))
        return rc;
    maildir_close(box->maildir);
    box->maildir = NULL;
    return open_maildir(box, count_fn);
}

/* A message that can't be read has no known envelope; RETR will say why.  A
 * disk that fails must not hide mail. */
static int32_t
read_envelope(struct box *box, uint32_t msg, struct envelope *envelope)
{
    char header[SDPS_HEADER_MAX];
    int32_t got = maildir_read(box->maildir, msg, 0, header, sizeof(header));

    if (got == KPOP_TEMP || got == KPOP_NO_MEMORY)
        return got;
    sdps_read(header, got > 0 ? (size_t)got : 0, box->settings->sdps_headers,
              envelope);
    return KPOP_OK;
}

static int32_t
select_mail(struct box *box)
{
    uint32_t count = maildir_count(box->maildir);
    size_t local = sdps_local_part(box->requested);
    int32_t rc = KPOP_OK;
    uint32_t msg;

    box->view = calloc((size_t)count + 1, sizeof(box->view[0]));
    if (box->view == NULL)
        return KPOP_NO_MEMORY;
    for (msg = 0; msg < count && rc == KPOP_OK; msg++) {
        struct seen *seen = &box->view[box->count];

        seen->msg = msg;
        rc = read_envelope(box, msg, &seen->envelope);
        if (local == 0
            || sdps_is_for(&seen->envelope, box->requested, local))
            box->count++;
    }
    maildir_close_message(box->maildir);
    return rc;
}

int32_t
box_open(struct box *box, maildir_count_fn *count_fn)
{
    int32_t rc = open_maildir(box, count_fn);

    if (rc == KPOP_OK)
        rc = keep_policies(box, count_fn);
    if (rc == KPOP_OK && box->settings->sdps)
        return select_mail(box);
    if (rc == KPOP_OK)
        box->count = maildir_count(box->maildir);
    return rc;
}

int32_t
box_open_now(struct box *box, maildir_count_fn *count_fn)
{
    const struct settings *s = box->settings;
    int32_t rc;

    /* These have files of their own. */
    if (s->sdps || s->login_delay > 0 || policy_expires(s))
        return KPOP_PENDING;
    rc = maildir_open_now(box->path, s->index_dir, count_fn, &box->maildir);
    if (rc == KPOP_OK)
        box->count = maildir_count(box->maildir);
    return rc;
}

/* ---- messages ---- */

uint32_t
box_count(const struct box *box)
{
    return box->count;
}

uint64_t
box_total(const struct box *box)
{
    return box->view != NULL ? KPOP_UNKNOWN : maildir_total(box->maildir);
}

static uint32_t
number(const struct box *box, uint32_t msg)
{
    return box->view != NULL ? box->view[msg].msg : msg;
}

/* What the session sees above the stored octets; how many. */
static uint32_t
prefix(const struct box *box, uint32_t msg, char text[PREFIX_MAX])
{
    const struct envelope *envelope = box_envelope(box, msg);

    if (envelope == NULL || envelope->has_return_path)
        return 0;
    return (uint32_t)snprintf(text, PREFIX_MAX, "Return-Path: <%s>\r\n",
                              envelope->sender);
}

const struct envelope *
box_envelope(const struct box *box, uint32_t msg)
{
    return box->view != NULL ? &box->view[msg].envelope : NULL;
}

void
box_uidl(const struct box *box, uint32_t msg,
         char uidl_out[KPOP_UIDL_MAX + 1])
{
    uint32_t at = number(box, msg);
    const char *imported = NULL;
    const char *base;
    bool alone;
    size_t len;

    maildir_uidl(box->maildir, at, uidl_out);
    base = maildir_base(box->maildir, at, &len, &alone);
    if (alone)
        imported = uidlmap_find(box->uidls, base, len);
    if (imported != NULL)
        snprintf(uidl_out, KPOP_UIDL_MAX + 1, "%s", imported);
    else
        uidlmap_avoid(box->uidls, uidl_out);
}

int32_t
box_size(struct box *box, uint32_t msg, uint64_t *octets_out)
{
    char text[PREFIX_MAX];
    int32_t rc = KPOP_OK;

    if (!box->knows_uidls)
        rc = uidlmap_load(box->settings, box->user, &box->uidls);
    if (rc != KPOP_OK)
        return rc;
    box->knows_uidls = true;
    rc = maildir_size(box->maildir, number(box, msg), octets_out);
    if (rc == KPOP_OK)
        *octets_out += prefix(box, msg, text);
    return rc;
}

void
box_rest(struct box *box)
{
    maildir_close_message(box->maildir);
}

bool
box_size_is_known(const struct box *box, uint32_t msg)
{
    return box->knows_uidls
           && maildir_size_is_known(box->maildir, number(box, msg));
}

int32_t
box_read_now(struct box *box, uint32_t msg, uint64_t offset, void *buffer,
             uint32_t size)
{
    char text[PREFIX_MAX];
    uint32_t above = prefix(box, msg, text);

    if (offset >= above)
        return maildir_read_now(box->maildir, number(box, msg),
                                offset - above, buffer, size);
    above -= (uint32_t)offset;
    if (size > above)
        size = above;
    memcpy(buffer, text + offset, size);
    return (int32_t)size;
}

int32_t
box_read(struct box *box, uint32_t msg, uint64_t offset, void *buffer,
         uint32_t size)
{
    char text[PREFIX_MAX];
    uint32_t above = prefix(box, msg, text);

    if (offset < above)
        return box_read_now(box, msg, offset, buffer, size);
    return maildir_read(box->maildir, number(box, msg), offset - above,
                        buffer, size);
}

/* ---- commit ---- */

bool
box_must_commit(const struct box *box, const uint8_t *marks, uint32_t count)
{
    uint8_t wanted = KPOP_MARK_DELETE;
    uint32_t i;

    if (policy_expires(box->settings) || box->settings->retr_sets_seen)
        wanted |= KPOP_MARK_RETRIEVED;
    for (i = 0; i < count && (marks[i] & wanted) == 0; i++)
        continue;
    return i < count;
}

static int32_t
commit_maildir(struct box *box, const uint8_t *marks, uint32_t count)
{
    struct timespec now;
    int32_t rc;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    policy_note(box->settings, box->user, box->maildir, marks, &now);
    rc = maildir_commit(box->maildir, marks, count);
    if (box->settings->retr_sets_seen)
        maildir_mark_seen(box->maildir, marks, count);
    return rc;
}

int32_t
box_commit(struct box *box, const uint8_t *marks, uint32_t count)
{
    uint32_t all = maildir_count(box->maildir);
    uint8_t *all_marks;
    uint32_t i;
    int32_t rc;

    if (count != box->count)
        return KPOP_INVALID;
    if (box->view == NULL)
        return commit_maildir(box, marks, count);
    all_marks = calloc((size_t)all + 1, 1);
    if (all_marks == NULL)
        return KPOP_TEMP;
    for (i = 0; i < count; i++)
        all_marks[number(box, i)] = marks[i];
    rc = commit_maildir(box, all_marks, all);
    free(all_marks);
    return rc;
}
