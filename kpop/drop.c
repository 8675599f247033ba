/*
 * drop.c - see drop.h.  Marks only; nothing here removes a message.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kpop/drop.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int
drop_open(struct drop *drop, uint32_t count, uint64_t octets)
{
    uint8_t *marks = NULL;

    if (drop->is_open || count > DROP_MESSAGES_MAX)
        return STATUS_INVALID;
    if (count > 0) {
        marks = calloc(count, 1);
        if (marks == NULL)
            return STATUS_NO_MEMORY;
    }
    memset(drop, 0, sizeof(*drop));
    drop->is_open = true;
    drop->marks = marks;
    drop->count = count;
    drop->octets = count == 0 ? 0 : octets;
    return STATUS_OK;
}

void
drop_close(struct drop *drop)
{
    free(drop->marks);
    memset(drop, 0, sizeof(*drop));
}

bool
drop_is_deleted(const struct drop *drop, uint32_t msg)
{
    assert(msg < drop->count);
    return (drop->marks[msg] & MARK_DELETE) != 0;
}

void
drop_delete(struct drop *drop, uint32_t msg, uint64_t octets)
{
    assert(!drop_is_deleted(drop, msg));
    drop->marks[msg] |= MARK_DELETE;
    drop->deleted++;
    if (msg >= drop->last)
        drop->last = msg + 1;
    /* A store that disagrees with itself must not wrap the total. */
    if (octets > UINT64_MAX - drop->deleted_octets)
        octets = UINT64_MAX - drop->deleted_octets;
    drop->deleted_octets += octets;
}

void
drop_undelete_all(struct drop *drop)
{
    uint32_t msg;

    for (msg = 0; msg < drop->count && drop->deleted > 0; msg++)
        drop->marks[msg] &= (uint8_t)~MARK_DELETE;
    drop->deleted = 0;
    drop->deleted_octets = 0;
    drop->last = 0;
}

void
drop_delete_retrieved(struct drop *drop)
{
    uint32_t msg;

    for (msg = 0; msg < drop->count; msg++)
        if ((drop->marks[msg] & MARK_RETRIEVED) != 0
            && !drop_is_deleted(drop, msg))
            drop_delete(drop, msg, 0);
}

void
drop_set_retrieved(struct drop *drop, uint32_t msg)
{
    assert(msg < drop->count);
    drop->marks[msg] |= MARK_RETRIEVED;
    if (msg >= drop->last)
        drop->last = msg + 1;
}

uint32_t
drop_left(const struct drop *drop)
{
    return drop->count - drop->deleted;
}

uint64_t
drop_left_octets(const struct drop *drop)
{
    if (drop->octets == ENGINE_OCTETS_UNKNOWN)
        return ENGINE_OCTETS_UNKNOWN;
    return drop->octets > drop->deleted_octets
               ? drop->octets - drop->deleted_octets
               : 0;
}

uint32_t
drop_range(const struct drop *drop, uint32_t *first, uint32_t max)
{
    uint32_t left;

    while (*first < drop->count && drop_is_deleted(drop, *first))
        (*first)++;
    left = drop->count - *first;
    return left < max ? left : max;
}
