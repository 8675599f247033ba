/*
 * cram.c - CRAM-MD5 (RFC 2195): our challenge, the client's keyed digest of
 * it.  A challenge is used once.  Runs where secrets are readable.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "sasl/shared.h"
#include "sasl/world.h"

static int
cram_start(struct sasl_world *world, const struct mech_peer *peer,
           void **state_out)
{
    (void)peer;
    return shared_start(world, DIGEST_CRAM, state_out);
}

static int
challenge(struct shared *shared, struct buf *out)
{
    if (digest_stamp(shared->world->settings.hostname, shared->challenge)
        != STATUS_OK)
        return STATUS_TEMP;
    buf_append_str(out, shared->challenge);
    return STATUS_CONTINUE;
}

static int
cram_step(void *state, const uint8_t *in, size_t in_len, struct buf *out,
          struct mech_ask *ask)
{
    struct shared *shared = state;
    enum shared_stage stage = shared->stage;
    int status;

    shared->stage = SHARED_ENDED;
    if (stage == SHARED_WAIT_ANSWER)
        return in == NULL ? STATUS_AUTH
                          : shared_judge(shared, in, in_len, ask);
    if (stage != SHARED_WAIT_MESSAGE)
        return STATUS_INVALID;
    if (in != NULL)
        return STATUS_AUTH; /* the server speaks first */
    status = challenge(shared, out);
    if (status == STATUS_CONTINUE)
        shared->stage = SHARED_WAIT_ANSWER;
    return status;
}

const struct mech mech_cram = {
    .name = "CRAM-MD5",
    .start = cram_start,
    .step = cram_step,
    .resume = shared_resume,
    .free = shared_free,
};
