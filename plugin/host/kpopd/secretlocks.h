/*
 * secretlocks.h - whom the file of `secrets` locks.
 *
 * Every login asks, tickets too, so the file is not read for each: the names
 * of those who are locked are kept until the file changes.  No secret is.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_SECRETLOCKS_H
#define KPOPD_SECRETLOCKS_H

#include <stddef.h>
#include <stdint.h>

struct secretlocks;

/* Nothing is read yet.  NULL without memory. */
struct secretlocks *secretlocks_new(const char *path);
void secretlocks_free(struct secretlocks *locks); /* NULL is allowed */
/* As passdb_turn(). */
void secretlocks_turn(struct secretlocks *locks);
/* KPOP_OK, also for a user who is not there; KPOP_DENIED when the user is
 * locked; KPOP_TEMP with a sentence. */
int32_t secretlocks_ask(struct secretlocks *locks, const char *user,
                        char *error, size_t error_size);

#endif
