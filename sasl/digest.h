/*
 * digest.h - what CRAM-MD5, APOP and SCRAM count on: MD5 and HMAC-MD5 in hex,
 * the proofs of SCRAM, the names of TLS channels, comparisons whose time tells
 * nothing, random octets.
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

/* All of them are lower-case digits. */
bool digest_is_hex(const uint8_t octets[DIGEST_HEX]);

/* The hash of a SCRAM mechanism. */
enum digest_hash { DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA512 };
enum { DIGEST_HASH_MAX = 64 };

size_t digest_size(enum digest_hash hash); /* octets */

/*
 * Octets that stay the same for a user of this host, whether he exists or
 * not: a salt, which need not be secret.  STATUS_OK, STATUS_TEMP.
 */
int digest_salt(const char *hostname, const char *user, uint8_t *salt_out,
                size_t size) MUST_USE;

/* What a SCRAM proof was made of. */
struct digest_scram {
    enum digest_hash hash;
    const uint8_t *salt;
    size_t salt_len;
    int iterations;
    const uint8_t *text; /* AuthMessage */
    size_t text_len;
};

/*
 * Is this the client's proof (RFC 5802 section 3), digest_size() octets, by
 * one who knows the secret?  Compared in constant time.  The server's
 * signature comes with it.  STATUS_OK, STATUS_TEMP.
 */
int digest_scram_check(const struct digest_scram *scram,
                       const struct digest_secret *secret,
                       const uint8_t *proof, bool *same_out,
                       uint8_t signature_out[DIGEST_HASH_MAX]) MUST_USE;

enum { DIGEST_CHANNEL = 16 };

/*
 * The MD5 by which GSSAPI knows channel bindings without addresses (RFC 4121
 * section 4.1.1.2): "type:" and the channel's name (RFC 5056), or the name
 * alone where type is "".  STATUS_OK;
 * STATUS_TEMP when the library has no MD5, or no memory.
 */
int digest_channel(const char *type, const uint8_t *name, size_t len,
                   uint8_t out[DIGEST_CHANNEL]) MUST_USE;

/* Of two digests of DIGEST_HEX octets, in constant time. */
bool digest_same(const char *a, const char *b);

/* 128 bits from the kernel as DIGEST_HEX digits; STATUS_OK, STATUS_TEMP. */
int digest_random(char hex_out[DIGEST_HEX + 1]) MUST_USE;

enum { DIGEST_STAMP_MAX = 320 }; /* of octets, with its NUL */

/*
 * A time-stamp that nobody can foresee, "<128 random bits.seconds@hostname>"
 * (RFC 1939 section 7, RFC 2195 section 2): hostname has up to 255 octets of
 * [A-Za-z0-9.-].  STATUS_OK; STATUS_TEMP when the kernel has no random bits.
 */
int digest_stamp(const char *hostname,
                 char stamp_out[DIGEST_STAMP_MAX]) MUST_USE;

#endif
