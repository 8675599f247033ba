/*
 * external.c - EXTERNAL (RFC 4422 appendix A): TLS has proved who the client
 * is, by its certificate; here its name is taken, and the host is asked
 * whether that one may read the mailbox.  There is no secret in it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "sasl/certname.h"
#include "sasl/clean.h"
#include "sasl/world.h"

enum external_stage {
    WAIT_MESSAGE,
    WAIT_AUTHORIZE, /* the host decides */
    ENDED
};

struct external {
    enum external_stage stage;
    bool named;
    char authcid[NAME_OCTETS_MAX + 1];
    char authzid[NAME_OCTETS_MAX + 1];
};

static int
external_start(struct sasl_world *world, const struct mech_peer *peer,
               void **state_out)
{
    struct external *external = calloc(1, sizeof(*external));

    *state_out = external;
    if (external == NULL)
        return STATUS_NO_MEMORY;
    external->named =
        peer->certificate_size > 0
        && certname_get(peer->certificate, peer->certificate_size,
                        world->settings.client_name, external->authcid);
    if (!external->named)
        peer->log(peer->log_arg, 2, "auth.certificate",
                  peer->certificate_size > 0
                      ? "problem=\"the client's certificate has no name of "
                        "the kind that tls_client_name says, or several\""
                      : "problem=\"the client showed no certificate that was "
                        "verified\"");
    return STATUS_OK;
}

static int
external_step(void *state, const uint8_t *in, size_t in_len, struct buf *out,
              struct mech_ask *ask)
{
    struct external *external = state;
    enum external_stage stage = external->stage;

    (void)out;
    if (stage == WAIT_MESSAGE && in == NULL)
        return STATUS_CONTINUE;
    external->stage = ENDED;
    if (stage != WAIT_MESSAGE)
        return STATUS_INVALID;
    if (!external->named || (in_len > 0 && !clean_request(in, in_len)))
        return STATUS_AUTH;
    if (in_len > 0)
        memcpy(external->authzid, in, in_len);
    external->authzid[in_len] = '\0';
    external->stage = WAIT_AUTHORIZE;
    return mech_ask_own(external->authcid, external->authzid, ask);
}

static int
external_resume(void *state, int result, const uint8_t *secret,
                size_t secret_len, struct buf *out, struct mech_ask *ask)
{
    struct external *external = state;
    enum external_stage stage = external->stage;

    (void)secret, (void)secret_len, (void)out, (void)ask;
    external->stage = ENDED;
    /* The host has no say in how an exchange goes on. */
    return stage != WAIT_AUTHORIZE || result > STATUS_OK
                   || result == STATUS_PENDING
               ? STATUS_INVALID
               : result;
}

const struct mech mech_external = {
    .name = "EXTERNAL",
    .start = external_start,
    .step = external_step,
    .resume = external_resume,
    .free = free,
};
