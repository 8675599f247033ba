/*
 * sources.h - where an auth process learns of passwords, secrets and locked
 * accounts: the values of `passwords` and `secrets`, opened for one pool.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_SOURCES_H
#define KPOPD_SOURCES_H

#include <stddef.h>
#include <stdint.h>

#include "plugin/host/kpopd/passdb.h"
#include "plugin/host/kpopd/secretdb.h"
#include "plugin/host/kpopd/secretlocks.h"
#include "plugin/host/kpopd/settings.h"

struct sources {
    const struct settings *settings; /* lent */
    struct passdb *passdb;           /* NULL unless passwords = file: */
    struct secretlocks *locks;       /* NULL unless secrets = file: */
};

/* A password to be checked; all lent. */
struct sources_login {
    const char *user;
    const char *peer;
    const void *password;
    size_t password_size;
};

/* Opens what the pool needs; 0, or -1 with a sentence and in *key_out the key
 * to blame.  sources_close() in either case. */
int sources_open(struct sources *sources, const struct settings *settings,
                 enum auth_pool pool, const char **key_out, char *error,
                 size_t error_size);
void sources_close(struct sources *sources);
/* Another request: what follows goes by the files of now. */
void sources_turn(struct sources *sources);

/* KPOP_OK; KPOP_AUTH, perhaps with a reason; KPOP_TEMP with a sentence. */
int32_t sources_verify(struct sources *sources,
                       const struct sources_login *login, char *reason,
                       size_t reason_size);
/* KPOP_OK; KPOP_AUTH: there is none; KPOP_TEMP with a sentence.  The caller
 * wipes *secret_out. */
int32_t sources_lookup(const struct sources *sources, const char *user,
                       struct secretdb_secret *secret_out, char *error,
                       size_t error_size);
/*
 * May this account be used at all, whatever it logs in with?  KPOP_OK;
 * KPOP_DENIED: one of the files says it is locked; KPOP_TEMP with a sentence:
 * a file could not be read, so that nobody knows.
 */
int32_t sources_unlocked(struct sources *sources, const char *user,
                         char *error, size_t error_size);

#endif
