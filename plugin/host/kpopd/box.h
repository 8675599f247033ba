/*
 * box.h - what a session sees of a maildir: all of it, or with SDPS the mail
 * of one recipient, each message with a Return-Path on top.
 *
 * `msg` counts what the session sees.  As in maildir.h, everything may wait
 * for the disk but what is said to be known, and box_read_now().
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_BOX_H
#define KPOPD_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/host/kpopd/maildir.h"
#include "plugin/host/kpopd/settings.h"

struct box;
struct envelope;

/* Nothing is opened yet; the names are copied, settings are lent.  NULL when
 * there is no memory. */
struct box *box_new(const struct settings *settings, const char *path,
                    const char *user, const char *requested);
/* Closes as well.  NULL is allowed. */
void box_free(struct box *box);

/* Locks, keeps the policies, lists, selects.  As maildir_open(), and
 * KPOP_DELAY. */
int32_t box_open(struct box *box, maildir_count_fn *count_fn);
/* The same at once, or KPOP_PENDING: then box_open() in a thread. */
int32_t box_open_now(struct box *box, maildir_count_fn *count_fn);
uint32_t box_count(const struct box *box);
/* As maildir_total(). */
uint64_t box_total(const struct box *box);
void box_uidl(const struct box *box, uint32_t msg,
              char uidl_out[KPOP_UIDL_MAX + 1]);
int32_t box_size(struct box *box, uint32_t msg, uint64_t *octets_out);
/* Behind a run of box_size(): closes what was kept open for the next one. */
void box_rest(struct box *box);
bool box_size_is_known(const struct box *box, uint32_t msg);
int32_t box_read(struct box *box, uint32_t msg, uint64_t offset, void *buffer,
                 uint32_t size);
/* KPOP_PENDING when it would wait. */
int32_t box_read_now(struct box *box, uint32_t msg, uint64_t offset,
                     void *buffer, uint32_t size);
/* NULL without SDPS. */
const struct envelope *box_envelope(const struct box *box, uint32_t msg);
/* There is something to do for these marks. */
bool box_must_commit(const struct box *box, const uint8_t *marks,
                     uint32_t count);
int32_t box_commit(struct box *box, const uint8_t *marks, uint32_t count);

#endif
