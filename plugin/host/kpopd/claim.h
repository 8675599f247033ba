/*
 * claim.h - whom a login claims to be, read off its message before anybody
 * has checked it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_CLAIM_H
#define KPOPD_CLAIM_H

#include <stdbool.h>
#include <stddef.h>

/* How the messages of a mechanism name the user. */
enum claim_form {
    CLAIM_NONE,  /* not to be guessed: tickets */
    CLAIM_PLAIN, /* authzid NUL user NUL password */
    CLAIM_CRAM,  /* user SP digest */
    CLAIM_APOP,  /* banner SP user SP digest */
    CLAIM_SCRAM  /* ...,...,n=user,... */
};

/* Lent from the message, not terminated; any octets. */
struct claim {
    const char *name;
    size_t len;
};

enum claim_form claim_form(const char *mechanism);
/* False when the message names nobody. */
bool claim_find(enum claim_form form, const void *data, size_t size,
                struct claim *claim_out);

#endif
