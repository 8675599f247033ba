/*
 * kpop.c - mechanism "KPOP": the AP-REQ proves who it is, the name of USER
 * says which mailbox, the host decides.  Runs where the keytab is readable.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "sasl/apreq.h"
#include "sasl/clean.h"
#include "sasl/identity.h"
#include "sasl/world.h"

enum kpop_stage { WAIT_APREQ, WAIT_NAME, WAIT_ANSWER, ENDED };

struct kpop {
    struct sasl_world *world;
    const struct mech_peer *peer;
    enum kpop_stage stage;
    struct identity identity; /* its principal is proved by the AP-REQ */
};

static int
step_apreq(struct kpop *kpop, const uint8_t *in, size_t in_len,
           struct buf *out)
{
    struct apreq_message message = { in, in_len };
    int status = apreq_verify(kpop->world, kpop->peer, &message,
                              kpop->identity.principal, out);

    kpop->stage = status == STATUS_OK ? WAIT_NAME : ENDED;
    return status == STATUS_OK ? STATUS_CONTINUE : status;
}

static int
step_name(struct kpop *kpop, const uint8_t *in, size_t in_len,
          struct mech_ask *ask)
{
    int status;

    if (in == NULL || !clean_request(in, in_len)) {
        kpop->stage = ENDED;
        return STATUS_AUTH;
    }
    memcpy(kpop->identity.requested, in, in_len);
    kpop->identity.requested[in_len] = '\0';
    status = identity_ask(&kpop->identity, kpop->world, kpop->peer, ask);
    if (status == STATUS_PENDING)
        kpop->stage = WAIT_ANSWER;
    return status;
}

/* ---- the mechanism ---- */

static int
kpop_start(struct sasl_world *world, const struct mech_peer *peer,
           void **state_out)
{
    struct kpop *kpop = calloc(1, sizeof(*kpop));

    *state_out = kpop;
    if (kpop == NULL)
        return STATUS_NO_MEMORY;
    kpop->world = world;
    kpop->peer = peer;
    return STATUS_OK;
}

static int
kpop_step(void *state, const uint8_t *in, size_t in_len, struct buf *out,
          struct mech_ask *ask)
{
    struct kpop *kpop = state;

    switch (kpop->stage) {
    case WAIT_APREQ:
        return step_apreq(kpop, in, in_len, out);
    case WAIT_NAME:
        return step_name(kpop, in, in_len, ask);
    case WAIT_ANSWER:
    case ENDED:
        break;
    }
    return STATUS_INVALID;
}

static int
kpop_resume(void *state, int result, const uint8_t *secret, size_t secret_len,
            struct buf *out, struct mech_ask *ask)
{
    struct kpop *kpop = state;

    (void)secret;
    (void)secret_len;
    (void)out;
    (void)ask;
    if (kpop->stage != WAIT_ANSWER || result > STATUS_OK ||
        result == STATUS_PENDING)
        return STATUS_INVALID;
    /* The AP-REQ is spent, so a passing trouble must not cost the login. */
    kpop->stage = result == STATUS_TEMP ? WAIT_NAME : ENDED;
    return result;
}

static void
kpop_free(void *state)
{
    if (state == NULL)
        return;
    wipe(state, sizeof(struct kpop));
    free(state);
}

const struct mech mech_kpop = {
    .name = "KPOP",
    .start = kpop_start,
    .step = kpop_step,
    .resume = kpop_resume,
    .free = kpop_free,
};
