/*
 * listen_unix.h - a Unix socket to listen at.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_LISTEN_UNIX_H
#define KPOPD_LISTEN_UNIX_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Has this mode from its first moment.  A socket that a dead process left is
 * replaced; one where somebody listens, and any other file, is left alone.
 * The descriptor, or -1 with a sentence.
 */
int listen_unix(const char *path, mode_t mode, int backlog, char *error,
                size_t error_size);

#endif
