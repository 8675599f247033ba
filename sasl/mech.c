/*
 * mech.c - the table of mechanisms.  A new mechanism is one file and one row;
 * which of them a client may use is decided elsewhere.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/mech.h"

#include <string.h>
#include <strings.h>

#include "sasl/clean.h"
#include "sasl/world.h"

static const struct mech *const mechanisms[] = {
    &mech_kpop,
    &mech_gssapi,
    &mech_plain,
    &mech_external,
    &mech_cram,
    &mech_apop,
    &mech_scram_sha_256_plus,
    &mech_scram_sha_512,
    &mech_scram_sha_256,
    &mech_scram_sha_1,
};

int
mech_ask_own(const char *user, const char *authzid, struct mech_ask *ask)
{
    bool own = authzid[0] == '\0' || strcmp(authzid, user) == 0;

    memset(ask, 0, sizeof(*ask));
    ask->need = MECH_AUTHORIZE;
    ask->authcid = user;
    ask->requested = authzid;
    ask->local = own && clean_mailbox(user) ? user : "";
    return STATUS_PENDING;
}

const struct mech *
mech_find(const char *name)
{
    for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
        if (strcasecmp(name, mechanisms[i]->name) == 0)
            return mechanisms[i];
    }
    return NULL;
}
