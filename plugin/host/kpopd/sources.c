/*
 * sources.c - asks the file, PAM, saslauthd or sasldb that the configuration
 * names.  Runs in auth processes, as auth_user.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/sources.h"

#include <stdio.h>
#include <string.h>

#include "plugin/host/kpopd/cyrus.h"
#include "plugin/host/kpopd/pam.h"

static int
open_passwords(struct sources *sources, enum auth_pool pool, char *error,
               size_t error_size)
{
    const struct settings *s = sources->settings;

    switch (s->password_source) {
    case PASSWORDS_NONE:
        break;
    case PASSWORDS_FILE:
        /* All pools: a locked account is locked for tickets too. */
        sources->passdb = passdb_open(s->password_where, error, error_size);
        return sources->passdb != NULL ? 0 : -1;
    case PASSWORDS_PAM:
        if (pool != POOL_OUTSIDE)
            return 0;
        return pam_check_service(s->password_where, error, error_size);
    case PASSWORDS_SASLAUTHD:
        if (pool != POOL_OUTSIDE)
            return 0;
        return cyrus_begin(error, error_size);
    }
    return 0;
}

static int
open_secrets(struct sources *sources, enum auth_pool pool, char *error,
             size_t error_size)
{
    const struct settings *s = sources->settings;

    switch (s->secret_source) {
    case SECRETS_NONE:
        break;
    case SECRETS_FILE:
        if (secretdb_check(s->secret_where, error, error_size) != 0)
            return -1;
        sources->locks = secretlocks_new(s->secret_where);
        if (sources->locks != NULL)
            return 0;
        snprintf(error, error_size, "out of memory");
        return -1;
    case SECRETS_SASLDB:
        if (pool != POOL_PASSWORD)
            return 0;
        if (cyrus_check_file(s->secret_where, error, error_size) != 0)
            return -1;
        return cyrus_begin(error, error_size);
    }
    return 0;
}

int
sources_open(struct sources *sources, const struct settings *settings,
             enum auth_pool pool, const char **key_out, char *error,
             size_t error_size)
{
    memset(sources, 0, sizeof(*sources));
    sources->settings = settings;
    *key_out = "secrets";
    if (open_secrets(sources, pool, error, error_size) != 0)
        return -1;
    *key_out = "passwords";
    return open_passwords(sources, pool, error, error_size);
}

void
sources_close(struct sources *sources)
{
    passdb_close(sources->passdb);
    sources->passdb = NULL;
    secretlocks_free(sources->locks);
    sources->locks = NULL;
}

void
sources_turn(struct sources *sources)
{
    if (sources->passdb != NULL)
        passdb_turn(sources->passdb);
    if (sources->locks != NULL)
        secretlocks_turn(sources->locks);
}

static struct cyrus_source
cyrus_source_of(const struct settings *s, const char *path)
{
    const struct cyrus_source source = { path, s->hostname };

    return source;
}

int32_t
sources_verify(struct sources *sources, const struct sources_login *login,
               char *reason, size_t reason_size)
{
    const struct settings *s = sources->settings;
    const struct cyrus_source source = cyrus_source_of(s, s->password_where);
    const struct pam_login pam = { s->password_where, login->user,
                                   login->peer, login->password,
                                   login->password_size };

    reason[0] = '\0';
    switch (s->password_source) {
    case PASSWORDS_NONE:
        break;
    case PASSWORDS_FILE:
        return passdb_verify(sources->passdb, login->user, login->password,
                             login->password_size, reason, reason_size);
    case PASSWORDS_PAM:
        /* Without it PAM would go by its service "other". */
        if (pam_check_service(s->password_where, reason, reason_size) != 0)
            return KPOP_TEMP;
        return pam_verify(&pam, reason, reason_size);
    case PASSWORDS_SASLAUTHD:
        return cyrus_verify(&source, login->user, login->password,
                            login->password_size, reason, reason_size);
    }
    return KPOP_AUTH;
}

int32_t
sources_lookup(const struct sources *sources, const char *user,
               struct secretdb_secret *secret_out, char *error,
               size_t error_size)
{
    const struct settings *s = sources->settings;
    const struct cyrus_source source = cyrus_source_of(s, s->secret_where);

    memset(secret_out, 0, sizeof(*secret_out));
    switch (s->secret_source) {
    case SECRETS_NONE:
        break;
    case SECRETS_FILE:
        return secretdb_lookup(s->secret_where, user, secret_out, error,
                               error_size);
    case SECRETS_SASLDB:
        return cyrus_lookup(&source, user, secret_out, error, error_size);
    }
    return KPOP_AUTH;
}

int32_t
sources_unlocked(struct sources *sources, const char *user, char *error,
                 size_t error_size)
{
    int32_t rc = KPOP_OK;

    if (sources->passdb != NULL)
        rc = passdb_unlocked(sources->passdb, user, error, error_size);
    if (rc == KPOP_OK && sources->locks != NULL)
        rc = secretlocks_ask(sources->locks, user, error, error_size);
    return rc;
}
