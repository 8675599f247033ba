/*
 * logsocket.h - log lines as datagrams, to the syslog daemon or the journal,
 * that never block.
 *
 * One socket for all processes: the master opens it with its own rights and
 * its children inherit it.  It stays the same descriptor when the daemon is
 * started anew, because it is then only connected again; so threads need no
 * lock, and what one process connects serves all.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_LOGSOCKET_H
#define KPOPD_LOGSOCKET_H

#include <stdbool.h>
#include <stddef.h>

/* Makes the socket, once for each path, and connects it if somebody listens at
 * `path`, which must stay; children that were started for another path keep
 * theirs.  False, with errno, when nobody does yet, or without a socket (see
 * logsocket_descriptor()). */
bool logsocket_open(const char *path);
/* For who closes descriptors; -1 without one. */
int logsocket_descriptor(void);
/* One datagram.  False when it is lost: the daemon is slow, or there is
 * none. */
bool logsocket_send(const char *octets, size_t len);

#endif
