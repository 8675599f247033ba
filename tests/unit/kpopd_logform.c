/*
 * kpopd_logform.c - what the journal gets of a line.  The form for syslog is
 * looked at in kpopd_logsocket.c.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/kpopd/logform.h"

#include <stdlib.h>
#include <string.h>

#include "tests/lib/check.h"

#define HEAD                                                                  \
    "PRIORITY=6\nSYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=kpopd\nMESSAGE="

static char *out; /* of its own size, so that ASan sees an octet too many */

/* Of a line; text that ends with a NUL. */
static const char *
journal(const char *line)
{
    char *copy = strdup(line);
    size_t len;

    free(out);
    out = malloc(LOGFORM_MAX);
    CHECK(out != NULL && copy != NULL);
    len = logform_journal(6, copy, strlen(copy), out);
    free(copy);
    CHECK(len > 0 && len < LOGFORM_MAX);
    out[len] = '\0';
    return out;
}

TEST(each_pair_becomes_a_field)
{
    CHECK_STR(journal("event=auth.ok level=info pid=7 session=1f user=alice"),
              HEAD "event=auth.ok level=info pid=7 session=1f user=alice\n"
                   "KPOP_EVENT=auth.ok\nKPOP_LEVEL=info\nKPOP_PID=7\n"
                   "KPOP_SESSION=1f\nKPOP_USER=alice\n");
    CHECK_STR(journal(""), HEAD "\n");
    CHECK_STR(journal("a= b=1  "), HEAD "a= b=1  \nKPOP_A=\nKPOP_B=1\n");
}

TEST(quotes_are_taken_off)
{
    CHECK_STR(strstr(journal("a=\"x y=1\" b=2"), "\nKPOP"),
              "\nKPOP_A=x y=1\nKPOP_B=2\n");
    CHECK_STR(strstr(journal("a=\"\\\"q\\\\\\x0A\""), "\nKPOP"),
              "\nKPOP_A=\"q\\\\x0A\n");
    CHECK_STR(strstr(journal("a=\"\" b=1"), "\nKPOP"),
              "\nKPOP_A=\nKPOP_B=1\n");
    CHECK_STR(strstr(journal("a=\"no end"), "\nKPOP"), "\nKPOP_A=no end\n");
    CHECK_STR(strstr(journal("a=\"\\"), "\nKPOP"), "\nKPOP_A=\\\n");
    CHECK_STR(strstr(journal("a=\"x\"y=1 b=2"), "\nKPOP"),
              "\nKPOP_A=x\nKPOP_B=2\n");
}

TEST(what_is_no_pair_is_no_field)
{
    CHECK_STR(journal("some words, A=1 =2 \xc3\xa4=3 k-v=4 a.b=5"),
              HEAD "some words, A=1 =2 \xc3\xa4=3 k-v=4 a.b=5\n");
}

TEST(names_fit_the_journal)
{
    char line[LOG_LINE_MAX];
    const char *at;

    memset(line, 'k', 200);
    memcpy(line + 200, "=v", 3);
    at = strstr(journal(line), "\nKPOP_");
    CHECK(at != NULL);
    CHECK_INT(strcspn(at + 1, "="), 64);
    CHECK_STR(strchr(at + 1, '='), "=v\n");
}

TEST(longest_lines_fit)
{
    static const char *const units[] = { "a= ", "a=b ", "a ", "= ",
                                         "a=\"\\\\\" " };
    char line[LOG_LINE_MAX + 1];
    size_t u;
    size_t i;

    for (u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
        for (i = 0; i < LOG_LINE_MAX; i++)
            line[i] = units[u][i % strlen(units[u])];
        line[LOG_LINE_MAX] = '\0';
        journal(line);
    }
    free(out);
    out = NULL;
}

TEST_MAIN("kpopd_logform", T(each_pair_becomes_a_field),
          T(quotes_are_taken_off), T(what_is_no_pair_is_no_field),
          T(names_fit_the_journal), T(longest_lines_fit))
