/*
 * drop.h - what a session remembers of its maildrop: one octet a message.
 *
 * msg counts from 0, msgno (on the wire) from 1.  Sizes are not kept: they
 * are asked from the host when LIST, DELE or STAT need them.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_DROP_H
#define KPOP_DROP_H

#include <stdbool.h>
#include <stdint.h>

#include "kpop/engine.h"
#include "kpop/status.h"

/* 16 MiB of marks; a maildrop beyond this is a mistake of the host's. */
#define DROP_MESSAGES_MAX (UINT32_C(1) << 24)

struct drop {
    bool is_open;
    uint8_t *marks;          /* count octets of MARK_*; NULL when empty */
    uint32_t count;
    uint64_t octets;         /* of all messages, or ENGINE_OCTETS_UNKNOWN */
    uint32_t deleted;
    uint64_t deleted_octets;
    uint32_t last;           /* highest msgno retrieved or deleted, for LAST */
};

/* STATUS_OK, STATUS_INVALID (open already, too many), STATUS_NO_MEMORY. */
int drop_open(struct drop *drop, uint32_t count, uint64_t octets) MUST_USE;
void drop_close(struct drop *drop);

bool drop_is_deleted(const struct drop *drop, uint32_t msg);
/* The message must not be deleted yet; octets is its size. */
void drop_delete(struct drop *drop, uint32_t msg, uint64_t octets);
void drop_undelete_all(struct drop *drop);
/* EXPIRE 0: what was retrieved is deleted, too.  Only right before UPDATE. */
void drop_delete_retrieved(struct drop *drop);
void drop_set_retrieved(struct drop *drop, uint32_t msg);

/* Without the deleted ones. */
uint32_t drop_left(const struct drop *drop);
uint64_t drop_left_octets(const struct drop *drop);

/*
 * The next messages worth asking for: the first from *first on that is not
 * deleted, and how many from there, at most max; 0 when there are none.
 */
uint32_t drop_range(const struct drop *drop, uint32_t *first, uint32_t max);

#endif
