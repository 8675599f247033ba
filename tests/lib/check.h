/*
 * check.h - our wrapper around CUnit: prints both values, is safe in if/else,
 * and reports in TAP ("ok 1 - name"), which tests/run adds up.
 *
 *   TEST(stat_counts_messages) { CHECK_INT(got, 2); }
 *   TEST_MAIN("trans", T(stat_counts_messages), T(...))
 *
 * A CHECK that fails ends its test (CUnit's FATAL), values on stderr.
 * SKIP("reason") ends a test as skipped.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_CHECK_H
#define KPOP_TESTS_CHECK_H

#include <stddef.h>
#include <stdint.h>

struct check_test {
    const char *name;
    void (*run)(void);
};

#define TEST(name) static void name(void)
#define T(name) { #name, name }
#define TEST_MAIN(suite, ...)                                               \
    int                                                                     \
    main(int argc, char **argv)                                             \
    {                                                                       \
        static const struct check_test tests[] = { __VA_ARGS__ };           \
        return check_main(argc, argv, suite, tests,                         \
                          sizeof(tests) / sizeof(tests[0]));                \
    }

#define CHECK(condition)                                                    \
    check_true((condition) ? 1 : 0, #condition, __FILE__, __LINE__)
#define CHECK_INT(got, want)                                                \
    check_int((intmax_t)(got), (intmax_t)(want), #got, __FILE__, __LINE__)
#define CHECK_STR(got, want)                                                \
    check_str((got), (want), #got, __FILE__, __LINE__)
#define CHECK_MEM(got, got_len, want, want_len)                             \
    check_mem((got), (got_len), (want), (want_len), #got, __FILE__, __LINE__)
#define SKIP(reason) check_skip((reason))

/* Runs the tests whose names contain argv[1], or all; the exit status. */
int check_main(int argc, char **argv, const char *suite,
               const struct check_test *tests, size_t count);
void check_true(int ok, const char *what, const char *file, int line);
void check_int(intmax_t got, intmax_t want, const char *what,
               const char *file, int line);
void check_str(const char *got, const char *want, const char *what,
               const char *file, int line);
void check_mem(const void *got, size_t got_len, const void *want,
               size_t want_len, const char *what, const char *file, int line);
void check_skip(const char *reason);

#endif
