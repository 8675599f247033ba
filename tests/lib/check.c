/*
 * check.c - runs the unit tests of one program under CUnit and reports in TAP.
 * It must never let a failed check pass on to the next statement: CUnit jumps
 * out of the test.  It runs as whoever runs the tests.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/lib/check.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/CUnit.h>
#include <CUnit/TestDB.h>
#include <CUnit/TestRun.h>

static const char *skip_reason;

/* CUnit counts the assertion, and leaves the test when it failed. */
static void
decide(bool ok, const char *what, const char *file, int line)
{
    CU_assertImplementation(ok ? CU_TRUE : CU_FALSE, (unsigned)line, what,
                            file, "", CU_TRUE);
}

static void
say_place(const char *what, const char *file, int line)
{
    fprintf(stderr, "# %s:%d: %s\n", file, line, what);
}

void
check_true(int ok, const char *what, const char *file, int line)
{
    if (!ok)
        say_place(what, file, line);
    decide(ok != 0, what, file, line);
}

void
check_int(intmax_t got, intmax_t want, const char *what, const char *file,
          int line)
{
    if (got != want) {
        say_place(what, file, line);
        fprintf(stderr, "#   got:  %jd\n#   want: %jd\n", got, want);
    }
    decide(got == want, what, file, line);
}

/* Octets as a C string would show them, at most the first 2000. */
static void
say_octets(const char *label, const void *data, size_t len)
{
    const unsigned char *octets = data;
    size_t i, shown = len < 2000 ? len : 2000;

    fprintf(stderr, "#   %s (%zu octets) \"", label, len);
    for (i = 0; i < shown; i++) {
        if (octets[i] == '\r')
            fputs("\\r", stderr);
        else if (octets[i] == '\n')
            fputs("\\n", stderr);
        else if (octets[i] < 0x20 || octets[i] > 0x7e)
            fprintf(stderr, "\\x%02x", octets[i]);
        else
            fputc(octets[i], stderr);
    }
    fprintf(stderr, "\"%s\n", shown < len ? " ..." : "");
}

static void
say_string(const char *label, const char *text)
{
    if (text == NULL)
        fprintf(stderr, "#   %s NULL\n", label);
    else
        say_octets(label, text, strlen(text));
}

void
check_str(const char *got, const char *want, const char *what,
          const char *file, int line)
{
    bool same = got == want
                || (got != NULL && want != NULL && strcmp(got, want) == 0);

    if (!same) {
        say_place(what, file, line);
        say_string("got: ", got);
        say_string("want:", want);
    }
    decide(same, what, file, line);
}

void
check_mem(const void *got, size_t got_len, const void *want, size_t want_len,
          const char *what, const char *file, int line)
{
    bool same = got_len == want_len
                && (got_len == 0 || memcmp(got, want, got_len) == 0);

    if (!same) {
        say_place(what, file, line);
        say_octets("got: ", got, got_len);
        say_octets("want:", want, want_len);
    }
    decide(same, what, file, line);
}

/* CUnit knows no skipping: its own way out of a test is used, without the
 * failed assertion. */
void
check_skip(const char *reason)
{
    CU_pTest test = CU_get_current_test();

    skip_reason = reason;
    if (test == NULL || test->pJumpBuf == NULL)
        abort();
    longjmp(*test->pJumpBuf, 1);
}

static bool
is_wanted(const struct check_test *test, int argc, char **argv)
{
    return argc < 2 || strstr(test->name, argv[1]) != NULL;
}

static void
give_up(const char *what)
{
    printf("Bail out! CUnit: %s: %s\n", what, CU_get_error_msg());
    exit(2);
}

/* One TAP line; true unless the test failed. */
static bool
run_one(CU_pSuite suite, const struct check_test *test, int number)
{
    CU_pTest registered = CU_add_test(suite, test->name, test->run);
    bool ok;

    if (registered == NULL)
        give_up(test->name);
    skip_reason = NULL;
    if (CU_run_test(suite, registered) != CUE_SUCCESS)
        give_up(test->name);
    ok = CU_get_number_of_failures() == 0;
    printf("%sok %d - %s: %s", ok ? "" : "not ", number, suite->pName,
           test->name);
    if (ok && skip_reason != NULL)
        printf(" # SKIP %s", skip_reason);
    putchar('\n');
    fflush(stdout);
    return ok;
}

int
check_main(int argc, char **argv, const char *suite,
           const struct check_test *tests, size_t count)
{
    CU_pSuite registered;
    int number = 0, failed = 0;
    size_t i;

    if (CU_initialize_registry() != CUE_SUCCESS)
        give_up("registry");
    registered = CU_add_suite(suite, NULL, NULL);
    if (registered == NULL)
        give_up(suite);
    for (i = 0; i < count; i++)
        if (is_wanted(&tests[i], argc, argv)
            && !run_one(registered, &tests[i], ++number))
            failed++;
    printf("1..%d\n", number);
    CU_cleanup_registry();
    return failed == 0 ? 0 : 1;
}
