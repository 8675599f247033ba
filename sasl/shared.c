/*
 * shared.c - what CRAM-MD5 and APOP have in common.  An unknown user costs
 * the same work and gets the same answer as a wrong digest; secrets are not
 * kept.  Runs where secrets are readable.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/shared.h"

#include <stdlib.h>
#include <string.h>

int
shared_start(struct sasl_world *world, enum digest_kind kind,
             void **state_out)
{
    struct shared *shared = calloc(1, sizeof(*shared));

    *state_out = shared;
    if (shared == NULL)
        return STATUS_NO_MEMORY;
    shared->world = world;
    shared->kind = kind;
    return STATUS_OK;
}

int
shared_judge(struct shared *shared, const uint8_t *in, size_t in_len,
             struct mech_ask *ask)
{
    size_t user_len;

    shared->stage = SHARED_ENDED;
    if (in_len < DIGEST_HEX + 2)
        return STATUS_AUTH;
    user_len = in_len - DIGEST_HEX - 1;
    if (in[user_len] != ' ' || !clean_request(in, user_len) ||
        !digest_is_hex(in + user_len + 1))
        return STATUS_AUTH;
    memcpy(shared->user, in, user_len);
    shared->user[user_len] = '\0';
    memcpy(shared->digest, in + user_len + 1, DIGEST_HEX);
    shared->stage = SHARED_WAIT_SECRET;
    memset(ask, 0, sizeof(*ask));
    ask->need = MECH_SECRET;
    ask->user = shared->user;
    return STATUS_PENDING;
}

/* Is the digest that of the secret?  Counted also when there is none. */
static int
check(const struct shared *shared, const struct digest_secret *known)
{
    static const uint8_t nobody[] = "nobody's secret";
    const struct digest_secret dummy = { nobody, sizeof(nobody) };
    bool is_known = known->data != NULL && known->len > 0;
    char expected[DIGEST_HEX + 1];
    int status = digest_make(shared->kind, is_known ? known : &dummy,
                             shared->challenge, expected);
    bool same = digest_same(expected, shared->digest);

    wipe(expected, sizeof(expected));
    if (status != STATUS_OK)
        return status;
    return same && is_known ? STATUS_OK : STATUS_AUTH;
}

static int
resume_secret(struct shared *shared, int result,
              const struct digest_secret *secret, struct mech_ask *ask)
{
    static const struct digest_secret none = { NULL, 0 };
    int status;

    if (result != STATUS_OK && result != STATUS_AUTH)
        return result > STATUS_OK || result == STATUS_PENDING
                   ? STATUS_INVALID
                   : result;
    status = check(shared, result == STATUS_OK ? secret : &none);
    if (status != STATUS_OK)
        return status;
    shared->stage = SHARED_WAIT_AUTHORIZE;
    return mech_ask_own(shared->user, "", ask);
}

int
shared_resume(void *state, int result, const uint8_t *secret,
              size_t secret_len, struct buf *out, struct mech_ask *ask)
{
    const struct digest_secret given = { secret, secret_len };
    struct shared *shared = state;
    enum shared_stage stage = shared->stage;

    (void)out;
    shared->stage = SHARED_ENDED;
    if (stage == SHARED_WAIT_SECRET)
        return resume_secret(shared, result, &given, ask);
    if (stage != SHARED_WAIT_AUTHORIZE)
        return STATUS_INVALID;
    /* The host has no say in how an exchange goes on. */
    return result > STATUS_OK || result == STATUS_PENDING ? STATUS_INVALID
                                                          : result;
}

void
shared_free(void *state)
{
    if (state == NULL)
        return;
    wipe(state, sizeof(struct shared));
    free(state);
}
