/*
 * apop.c - APOP (RFC 1939): the digest of the greeting's time stamp and the
 * secret.  The message is "banner SP user SP digest"; the session vouches for
 * the banner being the one it sent.  Runs where secrets are readable.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "sasl/shared.h"
#include "sasl/world.h"

static int
apop_start(struct sasl_world *world, const struct mech_peer *peer,
           void **state_out)
{
    (void)peer;
    return shared_start(world, DIGEST_APOP, state_out);
}

static int
apop_step(void *state, const uint8_t *in, size_t in_len, struct buf *out,
          struct mech_ask *ask)
{
    struct shared *shared = state;
    enum shared_stage stage = shared->stage;
    const uint8_t *space;
    size_t len;

    (void)out;
    shared->stage = SHARED_ENDED;
    if (stage != SHARED_WAIT_MESSAGE)
        return STATUS_INVALID;
    space = in == NULL || in_len == 0 ? NULL : memchr(in, ' ', in_len);
    if (space == NULL)
        return STATUS_AUTH;
    len = (size_t)(space - in);
    if (len < 3 || len > CHALLENGE_OCTETS_MAX || in[0] != '<' ||
        in[len - 1] != '>' || !clean_text(in, len))
        return STATUS_AUTH;
    memcpy(shared->challenge, in, len);
    shared->challenge[len] = '\0';
    return shared_judge(shared, space + 1, in_len - len - 1, ask);
}

const struct mech mech_apop = {
    .name = "APOP",
    .start = apop_start,
    .step = apop_step,
    .resume = shared_resume,
    .free = shared_free,
};
