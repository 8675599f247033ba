/*
 * header.h - does the header of a message need UTF-8 (RFC 6532), and its form
 * for clients that have none (RFC 6858).
 *
 * A header with other octets of 8 bits is no UTF-8 and no business of these
 * RFCs: it is sent as it is.  So are the headers inside of a body.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_HEADER_H
#define KPOP_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kpop/buf.h"

/* A look at a header, window by window.  All zero before the first. */
struct header_look {
    bool ended;      /* the blank line has passed */
    bool in_line;    /* octets of this line were seen */
    bool after_cr;   /* and they were one CR */
    bool eight_bit;
    bool ill_formed; /* not UTF-8 (RFC 3629) */
    uint8_t left;    /* octets of this character that are due */
    uint8_t low;     /* and what the next one may be */
    uint8_t high;
};

/* Returns how many of the octets are the header's, the blank line included. */
size_t header_look(struct header_look *look, const uint8_t *data, size_t len);
bool header_needs_utf8(const struct header_look *look);

/* Three octets, an address and its comma, may become NOBODY's 47. */
enum { HEADER_GROWTH = 20 };

/*
 * The header without what a client without UTF-8 can't be shown: names and
 * subjects in encoded words (RFC 2047), addresses that need UTF-8 replaced by
 * an invalid one, other fields and parameters left out.  out fails when there
 * is no memory.
 */
void header_downgrade(const uint8_t *header, size_t len, struct buf *out);

#endif
