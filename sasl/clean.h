/*
 * clean.h - which names may go further than the octets they came in.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_CLEAN_H
#define KPOP_SASL_CLEAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NAME_OCTETS_MAX = 255 }; /* KPOP_USER_MAX of the ABI */

/*
 * A mailbox owner that may become a file name, a shell word, a key: 1 to 255
 * of A-Z a-z 0-9 . _ + @ -, neither "." nor "-" first, ".." nowhere.
 */
bool clean_mailbox(const char *name);

/* Well-formed UTF-8 (RFC 3629) without NUL; empty is well-formed. */
bool clean_utf8(const uint8_t *data, size_t len);

/* UTF-8 without control characters (C0, DEL, C1): can be shown. */
bool clean_text(const uint8_t *data, size_t len);

/* A name somebody asked for: clean_text of 1 to 255 octets. */
bool clean_request(const uint8_t *data, size_t len);

#endif
