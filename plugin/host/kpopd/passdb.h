/*
 * passdb.h - users and password hashes of `passwords = file:PATH`.
 *
 * Lines are user:hash, hashes of crypt(3); `#` begins a comment line.  The
 * file is read again when it has changed.  An unknown user costs as much as a
 * known one.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_PASSDB_H
#define KPOPD_PASSDB_H

#include <stddef.h>
#include <stdint.h>

struct passdb;

/* Limits: larger files belong into a directory service. */
enum {
    PASSDB_FILE_MAX = 32 * 1024 * 1024,
    PASSDB_LINE_MAX = 1024
};

/* NULL with a sentence when the file can't be used. */
struct passdb *passdb_open(const char *path, char *error, size_t error_size);
void passdb_close(struct passdb *db); /* wipes */
/* A login begins or goes on: from now on the file is looked at once for all
 * that it asks, not for each question. */
void passdb_turn(struct passdb *db);
/*
 * KPOP_OK, KPOP_AUTH, or KPOP_TEMP with a sentence in error when the file
 * can't be read now.
 */
int32_t passdb_verify(struct passdb *db, const char *user,
                      const void *password, size_t password_size, char *error,
                      size_t error_size);
/* KPOP_OK, also for a user who is not there; KPOP_DENIED when the user's hash
 * begins with ! or *; KPOP_TEMP as above. */
int32_t passdb_unlocked(struct passdb *db, const char *user, char *error,
                        size_t error_size);

#endif
