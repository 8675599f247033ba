/*
 * identity.c - from a proved principal to the question for the host.  Decides
 * nothing: without the host's yes nobody gets in.  Runs where authentication
 * runs; may block as names.c does.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/identity.h"

#include <string.h>

#include "sasl/krb.h"
#include "sasl/note.h"
#include "sasl/world.h"

enum { LEVEL_ERROR, LEVEL_DEBUG = 3 };

static void
log_mapping(const struct identity *identity, const struct mech_peer *peer,
            const char *problem)
{
    struct note note;

    note_init(&note);
    note_text(&note, "principal", identity->principal);
    note_text(&note, "requested", identity->requested);
    if (problem[0] != '\0')
        note_text(&note, "problem", problem);
    else if (identity->names.mailbox[0] != '\0')
        note_text(&note, "mailbox", identity->names.mailbox);
    note_text(&note, "by", identity->names.rung);
    peer->log(peer->log_arg, problem[0] != '\0' ? LEVEL_ERROR : LEVEL_DEBUG,
              "kpop.mapped", note.text);
}

int
identity_ask(struct identity *identity, struct sasl_world *world,
             const struct mech_peer *peer, struct mech_ask *ask)
{
    struct names_answer *names = &identity->names;
    struct krb *krb = NULL;
    int status = STATUS_TEMP;

    names->rung = "";
    names->problem[0] = '\0';
    if (krb_take(world, &krb) == 0)
        status = names_ladder(world, krb->context, identity->principal,
                              identity->requested, names);
    krb_give(world, krb);
    if (status != STATUS_OK) {
        log_mapping(identity, peer,
                    names->problem[0] != '\0' ? names->problem
                                              : "no Kerberos context");
        return status;
    }
    log_mapping(identity, peer, "");
    memset(ask, 0, sizeof(*ask));
    ask->need = MECH_AUTHORIZE;
    ask->authcid = identity->principal;
    ask->requested = identity->requested;
    ask->local = names->mailbox;
    return STATUS_PENDING;
}
