/*
 * names.h - from a principal to a mailbox: the ladder.
 *
 *   1 principal_map, decisive for every principal it lists
 *   2 a principal of one component in a realm of `realms`: user@REALM -> user
 *   3 auth_to_local of krb5.conf
 *   4 .k5login of the account that is asked for, where that exists
 *   5 nobody
 *
 * Anonymous principals never get through; user/admin and foreign realms only
 * where 1, a rule of 3, or 4 names them.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_NAMES_H
#define KPOP_SASL_NAMES_H

#include "kpop/status.h"
#include "sasl/clean.h"

struct _krb5_context;
struct sasl_world;

/* What the ladder found. */
struct names_answer {
    char mailbox[NAME_OCTETS_MAX + 1]; /* "" = refused */
    const char *rung; /* "map", "realm", "auth_to_local", "k5login" or, when
                         refused, why: a few words for the log */
    char problem[512]; /* with STATUS_TEMP: a sentence for the admin */
};

/*
 * principal as krb5_unparse_name wrote it; requested the mailbox it asks for,
 * "" = its own.  STATUS_OK, also when refused; STATUS_TEMP when the map can't
 * be read; STATUS_NO_MEMORY.  May block (accounts, .k5login).
 */
int names_ladder(struct sasl_world *world, struct _krb5_context *context,
                 const char *principal, const char *requested,
                 struct names_answer *answer_out) MUST_USE;

#endif
