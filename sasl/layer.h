/*
 * layer.h - a security layer that a login has negotiated (RFC 4422 section
 * 3.7): packets with their length in front, inside them the clear octets.
 *
 * The mechanism makes it, whoever moves the octets of the connection owns it
 * from then on.  It does no I/O.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_LAYER_H
#define KPOP_SASL_LAYER_H

#include <stddef.h>
#include <stdint.h>

#include "kpop/buf.h"
#include "kpop/status.h"

/* The largest packet we take, without its four octets of length. */
enum { LAYER_PACKET_MAX = 65536 };

struct mech_layer {
    unsigned ssf;      /* bits: 1 integrity, more confidentiality */
    size_t packet_max; /* of what we take; at most LAYER_PACKET_MAX */
    size_t clear_max;  /* octets that one encode() takes */
    /* Appends one packet, length first, of 1..clear_max octets.  STATUS_OK,
     * STATUS_TEMP, STATUS_NO_MEMORY. */
    int (*encode)(void *state, const uint8_t *clear, size_t len,
                  struct buf *out);
    /*
     * Appends the clear octets of one packet, which comes without its length.
     * STATUS_INVALID, why in error: forged, damaged, replayed, dropped before
     * it, out of order (RFC 4121 section 4.2.4 sequence numbers), of the
     * wrong direction or protection; the connection must end then.
     * STATUS_OK, STATUS_NO_MEMORY.
     */
    int (*decode)(void *state, const uint8_t *packet, size_t len,
                  struct buf *out, const char **error_out);
    void (*free)(void *state); /* NULL is allowed; wipes */
    void *state;
};

#endif
