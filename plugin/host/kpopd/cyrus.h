/*
 * cyrus.h - passwords and secrets by libsasl2, as Cyrus sites have them:
 * `passwords = saslauthd:` and `secrets = sasldb:`.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_CYRUS_H
#define KPOPD_CYRUS_H

#include <stddef.h>
#include <stdint.h>

#include "plugin/host/kpopd/secretdb.h"

/* Where to look: for saslauthd its socket, for a sasldb its file and the
 * realm of users without an @ ("" = the machine's name). */
struct cyrus_source {
    const char *path;
    const char *realm;
};

/* Before the others.  Processes that are forked later have it, too.  0, or -1
 * with a sentence. */
int cyrus_begin(char *error, size_t error_size);
/*
 * KPOP_OK, KPOP_AUTH, or KPOP_TEMP with a sentence when saslauthd did not
 * answer.  It is asked for the service "pop".  May take as long as saslauthd
 * likes; whoever waits has a watchdog.
 */
int32_t cyrus_verify(const struct cyrus_source *source, const char *user,
                     const void *password, size_t password_size, char *error,
                     size_t error_size);
/* KPOP_OK, KPOP_AUTH for a user who is not there, or KPOP_TEMP with a
 * sentence.  The caller wipes *secret_out. */
int32_t cyrus_lookup(const struct cyrus_source *source, const char *user,
                     struct secretdb_secret *secret_out, char *error,
                     size_t error_size);
/* 0, or -1 with a sentence when the sasldb can't be used. */
int cyrus_check_file(const char *path, char *error, size_t error_size);

#endif
