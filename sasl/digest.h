/*
 * digest.h - what CRAM-MD5 and APOP count on: MD5 and HMAC-MD5 in hex, a
 * comparison whose time tells nothing, and random octets.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_DIGEST_H
#define KPOP_SASL_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kpop/status.h"

enum { DIGEST_HEX = 32 }; /* lower-case digits of an MD5 */

enum digest_kind {
    DIGEST_APOP, /* MD5 of challenge and secret (RFC 1939) */
    DIGEST_CRAM  /* HMAC-MD5 of the challenge (RFC 2195) */
};

struct digest_secret {
    const uint8_t *data;
    size_t len;
};

/* STATUS_OK; STATUS_TEMP when the library has no MD5 (FIPS mode). */
int digest_make(enum digest_kind kind, const struct digest_secret *secret,
                const char *challenge, char hex_out[DIGEST_HEX + 1]) MUST_USE;

/* Exactly DIGEST_HEX lower-case digits. */
bool digest_is_hex(const uint8_t *data, size_t len);

/* Of two digests of DIGEST_HEX octets, in constant time. */
bool digest_same(const char *a, const char *b);

enum { DIGEST_STAMP_MAX = 320 }; /* of octets, with its NUL */

/*
 * A time-stamp that nobody can foresee, "<128 random bits.seconds@hostname>"
 * (RFC 1939 section 7, RFC 2195 section 2): hostname has up to 255 octets of
 * [A-Za-z0-9.-].  STATUS_OK; STATUS_TEMP when the kernel has no random bits.
 */
int digest_stamp(const char *hostname,
                 char stamp_out[DIGEST_STAMP_MAX]) MUST_USE;

#endif
