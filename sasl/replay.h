/*
 * replay.h - is the replay cache's file the one we made?
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_REPLAY_H
#define KPOP_SASL_REPLAY_H

#include <stddef.h>

#include "kpop/status.h"

/*
 * Is path our own private regular file?  Made with mode 0600 when missing.
 * STATUS_OK; STATUS_CONTINUE: it was missing and is made; STATUS_PERM with a
 * sentence that names the path.
 */
int replay_prepare(const char *path, char *error, size_t error_size) MUST_USE;

/*
 * The same for a check before anything runs: makes nothing, and root, who
 * checks for another user, is not asked to own it.  STATUS_OK, STATUS_PERM.
 */
int replay_inspect(const char *path, char *error, size_t error_size) MUST_USE;

#endif
