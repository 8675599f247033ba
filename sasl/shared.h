/*
 * shared.h - a login by a shared secret, as CRAM-MD5 and APOP have it: fetch
 * the secret, compare the digests, ask whether the user may come in.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_SHARED_H
#define KPOP_SASL_SHARED_H

#include "sasl/clean.h"
#include "sasl/digest.h"
#include "sasl/mech.h"

enum { CHALLENGE_OCTETS_MAX = 512 };

enum shared_stage {
    SHARED_WAIT_MESSAGE,
    SHARED_WAIT_ANSWER,    /* the client's, to our challenge */
    SHARED_WAIT_SECRET,    /* the host looks it up */
    SHARED_WAIT_AUTHORIZE, /* the host decides */
    SHARED_ENDED
};

struct shared {
    struct sasl_world *world;
    enum digest_kind kind;
    enum shared_stage stage;
    char user[NAME_OCTETS_MAX + 1];
    char digest[DIGEST_HEX + 1]; /* the client's */
    char challenge[CHALLENGE_OCTETS_MAX + 1];
};

int shared_start(struct sasl_world *world, enum digest_kind kind,
                 void **state_out) MUST_USE;
/* "user SP digest", the last SP separates.  STATUS_PENDING or STATUS_AUTH. */
int shared_judge(struct shared *shared, const uint8_t *in, size_t in_len,
                 struct mech_ask *ask) MUST_USE;
/* The members of struct mech. */
int shared_resume(void *state, int result, const uint8_t *secret,
                  size_t secret_len, struct buf *out,
                  struct mech_ask *ask) MUST_USE;
void shared_free(void *state);

#endif
