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
#include "sasl/krb.h"
#include "sasl/names.h"
#include "sasl/note.h"
#include "sasl/world.h"

enum { LEVEL_ERROR, LEVEL_DEBUG = 3 };

enum kpop_stage { WAIT_APREQ, WAIT_NAME, WAIT_ANSWER, ENDED };

struct kpop {
    struct sasl_world *world;
    const struct mech_peer *peer;
    enum kpop_stage stage;
    char principal[PRINCIPAL_MAX + 1]; /* proved by the AP-REQ */
    char requested[NAME_OCTETS_MAX + 1];
    struct names_answer names;
};

static void
log_mapping(const struct kpop *kpop, const char *problem)
{
    struct note note;

    note_init(&note);
    note_text(&note, "principal", kpop->principal);
    note_text(&note, "requested", kpop->requested);
    if (problem[0] != '\0')
        note_text(&note, "problem", problem);
    else if (kpop->names.mailbox[0] != '\0')
        note_text(&note, "mailbox", kpop->names.mailbox);
    note_text(&note, "by", kpop->names.rung);
    kpop->peer->log(kpop->peer->log_arg,
                    problem[0] != '\0' ? LEVEL_ERROR : LEVEL_DEBUG,
                    "kpop.mapped", note.text);
}

static int
step_apreq(struct kpop *kpop, const uint8_t *in, size_t in_len,
           struct buf *out)
{
    struct apreq_message message = { in, in_len };
    int status = apreq_verify(kpop->world, kpop->peer, &message,
                              kpop->principal, out);

    kpop->stage = status == STATUS_OK ? WAIT_NAME : ENDED;
    return status == STATUS_OK ? STATUS_CONTINUE : status;
}

static int
step_name(struct kpop *kpop, const uint8_t *in, size_t in_len,
          struct mech_ask *ask)
{
    struct krb *krb = NULL;
    int status = STATUS_TEMP;

    if (in == NULL || !clean_request(in, in_len)) {
        kpop->stage = ENDED;
        return STATUS_AUTH;
    }
    memcpy(kpop->requested, in, in_len);
    kpop->requested[in_len] = '\0';
    if (krb_take(kpop->world, &krb) == 0)
        status = names_ladder(kpop->world, krb->context, kpop->principal,
                              kpop->requested, &kpop->names);
    krb_give(kpop->world, krb);
    if (status != STATUS_OK) {
        log_mapping(kpop, kpop->names.problem[0] != '\0'
                              ? kpop->names.problem
                              : "no Kerberos context");
        return status;
    }
    log_mapping(kpop, "");
    kpop->stage = WAIT_ANSWER;
    memset(ask, 0, sizeof(*ask));
    ask->need = MECH_AUTHORIZE;
    ask->authcid = kpop->principal;
    ask->requested = kpop->requested;
    ask->local = kpop->names.mailbox;
    return STATUS_PENDING;
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
    kpop->names.rung = "";
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
