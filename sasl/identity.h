/*
 * identity.h - a principal that was proved, the mailbox it asks for and the
 * one it would get; what KPOP and GSSAPI ask the host about.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_IDENTITY_H
#define KPOP_SASL_IDENTITY_H

#include "sasl/apreq.h"
#include "sasl/clean.h"
#include "sasl/mech.h"
#include "sasl/names.h"

struct identity {
    char principal[PRINCIPAL_MAX + 1];
    char requested[NAME_OCTETS_MAX + 1]; /* "" = its own */
    struct names_answer names;
};

/*
 * Climbs the ladder of names.h, logs what it found and asks for the host's
 * decision: STATUS_PENDING; STATUS_TEMP, STATUS_NO_MEMORY.
 */
int identity_ask(struct identity *identity, struct sasl_world *world,
                 const struct mech_peer *peer, struct mech_ask *ask) MUST_USE;

#endif
