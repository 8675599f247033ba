/*
 * base64.h - the alphabet of SASL on a line (RFC 4648 section 4).
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_BASE64_H
#define KPOP_BASE64_H

#include <stddef.h>
#include <stdint.h>

#include "kpop/buf.h"

/* Appends the text of len octets, padded, without line ends. */
void base64_encode(struct buf *out, const uint8_t *data, size_t len);
/*
 * Appends the octets of a text.  Strict: STATUS_INVALID for any other
 * character, blanks and line ends included, padding that is missing or
 * inside, and bits behind the last octet; out is then as it was.
 * STATUS_OK, STATUS_NO_MEMORY.
 */
int base64_decode(struct buf *out, const uint8_t *text, size_t len) MUST_USE;

#endif
