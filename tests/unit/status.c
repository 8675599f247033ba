/*
 * status.c - tests of kpop/status.c: words for logs, codes for replies.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kpop/status.h"

#include <stddef.h>

#include "tests/lib/check.h"

TEST(each_result_has_a_word)
{
    static const struct {
        int status;
        const char *name;
    } rows[] = {
        { STATUS_OK, "ok" },           { STATUS_CONTINUE, "continue" },
        { STATUS_TAKEN, "taken" },     { STATUS_PENDING, "pending" },
        { STATUS_AUTH, "auth" },       { STATUS_DENIED, "denied" },
        { STATUS_TEMP, "temp" },       { STATUS_PERM, "perm" },
        { STATUS_IN_USE, "in-use" },   { STATUS_DELAY, "delay" },
        { STATUS_GONE, "gone" },       { STATUS_INVALID, "invalid" },
        { STATUS_NO_MEMORY, "no-memory" },
        { -11, "unknown" },            { -2147483647 - 1, "unknown" },
        { 4096, "ok" },
    };
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        CHECK_STR(status_name(rows[i].status), rows[i].name);
}

TEST(only_bad_credentials_are_auth)
{
    static const struct {
        int status;
        const char *code;
    } rows[] = {
        { STATUS_OK, "" },
        { STATUS_AUTH, "[AUTH] " },
        { STATUS_DENIED, "[AUTH] " },
        { STATUS_TEMP, "[SYS/TEMP] " },
        { STATUS_NO_MEMORY, "[SYS/TEMP] " },
        { STATUS_INVALID, "[SYS/TEMP] " },
        { STATUS_PERM, "[SYS/PERM] " },
        { STATUS_IN_USE, "[IN-USE] " },
        { STATUS_DELAY, "[LOGIN-DELAY] " },
        { STATUS_GONE, "" },
        { -11, "" },
    };
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        CHECK_STR(status_response_code(rows[i].status), rows[i].code);
}

TEST_MAIN("status", T(each_result_has_a_word),
          T(only_bad_credentials_are_auth))
