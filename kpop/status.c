/*
 * status.c - what results are called in logs and in replies.  Knows nothing
 * but the numbers; runs wherever the module runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kpop/status.h"

const char *
status_name(int status)
{
    static const char *const names[] = {
        "ok",   "pending", "auth",  "denied", "temp",    "perm",
        "in-use", "delay", "gone", "invalid", "no-memory",
    };
    const int count = (int)(sizeof(names) / sizeof(names[0]));

    if (status >= 0)
        return status == STATUS_CONTINUE ? "continue"
               : status == STATUS_TAKEN  ? "taken"
                                         : names[0];
    return status > -count ? names[-status] : "unknown";
}

const char *
status_response_code(int status)
{
    switch (status) {
    case STATUS_AUTH:
    case STATUS_DENIED:
        return "[AUTH] ";
    case STATUS_TEMP:
    case STATUS_NO_MEMORY:
    case STATUS_INVALID: /* a host that broke the contract, for once */
        return "[SYS/TEMP] ";
    case STATUS_PERM:
        return "[SYS/PERM] ";
    case STATUS_IN_USE:
        return "[IN-USE] ";
    case STATUS_DELAY:
        return "[LOGIN-DELAY] ";
    default:
        return "";
    }
}
