/*
 * tool.h - how kpopctl talks to a running kpopd: where its socket is, and the
 * words of both.
 *
 * The socket is state_dir/control, which only its owner may use; the master
 * asks the kernel besides who calls.  A request is one line: "who", "stats",
 * or "kick" TAB WORD, a session's id or a user.  The answer is lines of fields
 * with TABs between them, which hold no control characters:
 *
 *   kpopd  TOOL_PROTOCOL  VERSION         first
 *   session ID USER ADDRESS PORT MECHANISM TLS LISTENER SECONDS STATE
 *   kicked ID USER STATE                  "gone", or "here": it takes longer
 *   number NAME VALUE
 *   process KIND PID SESSIONS GENERATION
 *   error SENTENCE
 *   end                                   last; nothing is missing
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_TOOL_H
#define KPOPD_TOOL_H

#include <stdbool.h>
#include <sys/un.h>

#define TOOL_PROTOCOL "1"
#define TOOL_SOCKET "control"

/* kpopctl waits longer than the master lets anybody wait. */
enum { TOOL_KICK_MS = 30000, TOOL_WAIT_S = 40 };

/* False when the path is too long for a socket. */
bool tool_address(const char *state_dir, struct sockaddr_un *address_out);

#endif
