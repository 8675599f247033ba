/*
 * logsocket.h - lines to the syslog daemon, as datagrams that never block.
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

/* Makes the socket, once, and connects it if somebody listens at `path`,
 * which must stay.  False without a socket; errno. */
bool logsocket_open(const char *path);
/* For who closes descriptors; -1 without one. */
int logsocket_descriptor(void);
/* At most LOG_LINE_MAX.  False when the line is lost: the daemon is slow, or
 * there is none. */
bool logsocket_send(int priority, const char *text, size_t len);

#endif
