/*
 * cyrus.h - one login through Cyrus SASL (libsasl2).  sasl.h itself stays in
 * cyrus.c.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_CYRUS_H
#define KPOP_SASL_CYRUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kpop/buf.h"
#include "kpop/status.h"

struct cyrus;

/* Lent for the call. */
struct cyrus_settings {
    const char *mechanism; /* the only one; static */
    const char *hostname;
    void *credential;      /* gss_cred_id_t, needed until the first step
                              returns; NULL = none */
    unsigned max_ssf;      /* strongest security layer to offer; 0 = none */
    size_t packet_max;     /* of a layer */
};

/*
 * Starts the library, and cyrus_free() ends it, as the library counts.
 * STATUS_OK;
 * STATUS_TEMP with a sentence in error; STATUS_NO_MEMORY.
 */
int cyrus_new(const struct cyrus_settings *settings, struct cyrus **cyrus_out,
              char *error, size_t error_size) MUST_USE;
void cyrus_free(struct cyrus *cyrus); /* NULL is allowed */
/* The library has its mechanism's module; else what to do, in cyrus_text(). */
bool cyrus_has_module(struct cyrus *cyrus);

/*
 * One message of the client.  STATUS_CONTINUE, STATUS_OK with what the client
 * is told appended to out; STATUS_AUTH; STATUS_TEMP: the library can't do
 * this; STATUS_NO_MEMORY.  STATUS_OK means that the client is who
 * cyrus_authcid() says, not that it may come in.
 */
int cyrus_step(struct cyrus *cyrus, const uint8_t *in, size_t in_len,
               struct buf *out) MUST_USE;

/* What the library said of a failure; for the log; lent. */
const char *cyrus_text(const struct cyrus *cyrus);
/* Whom the mechanism proved, and whom the client asked to be; "" = nobody. */
const char *cyrus_authcid(const struct cyrus *cyrus);
const char *cyrus_authzid(const struct cyrus *cyrus);

/* ---- after STATUS_OK: the security layer ---- */

/* Its strength, 0 = there is none; STATUS_OK, STATUS_TEMP: who doesn't know
 * must not take it for none. */
int cyrus_ssf(const struct cyrus *cyrus, unsigned *ssf_out) MUST_USE;
size_t cyrus_clear_max(const struct cyrus *cyrus); /* 0 = not known */
/* One packet, with its length in front.  STATUS_OK, STATUS_TEMP,
 * STATUS_NO_MEMORY. */
int cyrus_encode(struct cyrus *cyrus, const uint8_t *clear, size_t len,
                 struct buf *out) MUST_USE;
/* One packet, without it.  STATUS_OK, STATUS_INVALID, STATUS_NO_MEMORY. */
int cyrus_decode(struct cyrus *cyrus, const uint8_t *packet, size_t len,
                 struct buf *out) MUST_USE;

#endif
