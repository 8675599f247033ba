/*
 * secretdb.h - users and secrets of `secrets = file:PATH`, for APOP,
 * CRAM-MD5 and SCRAM.
 *
 * Lines are user:secret; all behind the first colon is the secret, `#` begins
 * a comment line.  One that begins with ! or * locks the account, so no
 * secret can begin with them.  The secrets are plain text, so the file must
 * be mode 0600 and auth_user's own.  It is read for every lookup and kept
 * nowhere.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_SECRETDB_H
#define KPOPD_SECRETDB_H

#include <stddef.h>
#include <stdint.h>

enum { SECRETDB_FILE_MAX = 4 * 1024 * 1024, SECRETDB_SECRET_MAX = 255 };

struct secretdb_secret {
    size_t size;
    char data[SECRETDB_SECRET_MAX];
};

/* 0, or -1 with a sentence when the file can't be used. */
int secretdb_check(const char *path, char *error, size_t error_size);
/*
 * KPOP_OK, KPOP_AUTH for a user who is not there, or KPOP_TEMP with a
 * sentence.  The caller wipes *secret_out.
 */
int32_t secretdb_lookup(const char *path, const char *user,
                        struct secretdb_secret *secret_out, char *error,
                        size_t error_size);
/* KPOP_OK, also for a user who is not there; KPOP_DENIED when the user is
 * locked; KPOP_TEMP with a sentence. */
int32_t secretdb_unlocked(const char *path, const char *user, char *error,
                          size_t error_size);

#endif
