/*
 * permit.h - which request of a worker an auth process allows now.
 *
 * As in OpenSSH's monitor: a table, and whatever is not in it is a violation
 * after which the channel is closed.  The worker faces the network; the auth
 * process must assume that it says anything.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_PERMIT_H
#define KPOPD_PERMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "plugin/host/kpopd/authmsg.h"
#include "plugin/host/kpopd/control.h"
#include "plugin/host/kpopd/settings.h"

enum permit_state {
    PERMIT_ABSENT,    /* no such exchange, or its answer was given */
    PERMIT_CONTINUING /* a step may come */
};

/* Messages of one exchange; GSSAPI with all its rounds needs fewer. */
enum { PERMIT_STEPS_MAX = 16 };

bool permit_request(enum permit_state state, enum auth_request_type type);
/* Whether an exchange goes on behind a result; else it is over for both sides
 * without a word.  What failed for the moment may be asked again. */
bool permit_goes_on(int32_t result);
/* The state after a request was answered with result. */
enum permit_state permit_after(enum auth_request_type type, int32_t result,
                               unsigned steps);
/* The one pool that may run a mechanism; POOL_COUNT when none that is wanted
 * has it. */
enum auth_pool permit_pool(const char *mechanism,
                           const struct settings *settings);
/* Whether the client speaks first in a mechanism (RFC 4422 section 3): without
 * an initial response the server's challenge is empty. */
bool permit_client_first(const char *mechanism);

#endif
