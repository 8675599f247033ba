/*
 * stuff.h - a stored message made into its wire form, piece by piece.
 *
 * LF and CRLF become CRLF; a CR elsewhere passes as it is, except that a CR at
 * the very end is completed to CRLF; a message without a final line end gets
 * one; a line that begins with '.' gets another (RFC 1939 section 3).  NUL
 * passes, unless no_nuls.  State carries over between pieces, so splits never
 * matter.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_STUFF_H
#define KPOP_STUFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kpop/buf.h"

/* All zero is the state before the first piece, except body_left. */
struct stuff {
    bool mid_line;      /* octets of this line were given already */
    bool after_cr;      /* the last octet was CR */
    bool in_body;       /* the blank line has passed */
    bool done;          /* TOP has all its lines */
    bool no_nuls;       /* to be set: NUL becomes 0x80 */
    bool header_ends;   /* to be set: a message has a blank line in any case */
    uint64_t body_left; /* body lines still wanted; UINT64_MAX = all */
};

/* A message of which body_lines lines are wanted; UINT64_MAX for RETR. */
void stuff_init(struct stuff *stuff, uint64_t body_lines);
/* Appends the wire form of a piece to out: at most 2 * len + 1 octets.
 * Returns true when TOP needs no more. */
bool stuff_piece(struct stuff *stuff, const uint8_t *data, size_t len,
                 struct buf *out);
/* Ends the last line when it is open; does not add the final ".". */
void stuff_end(struct stuff *stuff, struct buf *out);
/* The octets of a piece on the wire without dot stuffing; *state is 0 at the
 * first piece; data NULL ends.  See wire_octets() of the ABI. */
uint64_t stuff_wire_octets(uint32_t *state, const void *data, size_t len);

#endif
