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

#include <stdbool.h>
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

/* ---- for secretlocks.c ---- */

/* Whether a secret that begins so locks its user. */
bool secretdb_is_lock(char first);
extern const char secretdb_double[]; /* what is wrong with a second line */
/* A line user:secret without its end; lent, and wiped afterwards.  NULL, or
 * what is wrong with it. */
typedef const char *secretdb_line_fn(void *arg, const char *line, size_t len,
                                     unsigned long number);
/* All lines; 0, or -1 with a sentence. */
int secretdb_scan(const char *path, secretdb_line_fn *take, void *arg,
                  char *error, size_t error_size);

#endif
