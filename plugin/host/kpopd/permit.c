/*
 * permit.c - the table of permit.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/kpopd/permit.h"

#include <stddef.h>
#include <string.h>

static const struct {
    enum permit_state state;
    enum auth_request_type type;
} allowed[] = {
    { PERMIT_ABSENT, AUTH_START },
    { PERMIT_ABSENT, AUTH_DECIDE },
    { PERMIT_CONTINUING, AUTH_STEP },
    { PERMIT_CONTINUING, AUTH_END },
    /* It had expired, or had its last step: nothing wrong. */
    { PERMIT_ABSENT, AUTH_END },
};

static const struct {
    const char *mechanism;
    enum auth_pool pool;
    bool is_server_first;
} mechanisms[] = {
    { "KPOP", POOL_KRB, false },
    { "GSSAPI", POOL_KRB, false },
    /* Where there is somebody outside to ask, the files have no passwords. */
    { "PLAIN", POOL_OUTSIDE, false },
    { "PLAIN", POOL_PASSWORD, false },
    { "CRAM-MD5", POOL_PASSWORD, true },
    { "APOP", POOL_PASSWORD, false },
    { "SCRAM-SHA-1", POOL_PASSWORD, false },
    { "SCRAM-SHA-256", POOL_PASSWORD, false },
    { "SCRAM-SHA-512", POOL_PASSWORD, false },
    { "SCRAM-SHA-256-PLUS", POOL_PASSWORD, false },
    { "EXTERNAL", POOL_PASSWORD, false },
};

bool
permit_request(enum permit_state state, enum auth_request_type type)
{
    size_t i;

    for (i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
        if (allowed[i].state == state && allowed[i].type == type)
            return true;
    return false;
}

enum auth_pool
permit_pool(const char *mechanism, const struct settings *settings)
{
    size_t i;

    for (i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++)
        if (strcmp(mechanisms[i].mechanism, mechanism) == 0
            && kpopd_settings_want_pool(settings, mechanisms[i].pool))
            return mechanisms[i].pool;
    return POOL_COUNT;
}

bool
permit_client_first(const char *mechanism)
{
    size_t i;

    for (i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++)
        if (strcmp(mechanisms[i].mechanism, mechanism) == 0)
            return !mechanisms[i].is_server_first;
    return false;
}

bool
permit_goes_on(int32_t result)
{
    return result == KPOP_CONTINUE || result == KPOP_TEMP;
}

enum permit_state
permit_after(enum auth_request_type type, int32_t result, unsigned steps)
{
    if (type == AUTH_END)
        return PERMIT_ABSENT;
    /* A start that failed left nothing behind. */
    if (type == AUTH_START && result < 0)
        return PERMIT_ABSENT;
    return steps < PERMIT_STEPS_MAX && permit_goes_on(result)
               ? PERMIT_CONTINUING
               : PERMIT_ABSENT;
}
