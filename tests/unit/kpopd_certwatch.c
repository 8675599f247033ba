/*
 * kpopd_certwatch.c - tests of kpopd/certwatch.c: which changes count, when,
 * and how often.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin/host/kpopd/certwatch.h"
#include "tests/lib/check.h"

TEST(nothing_changed_is_nothing)
{
    struct certwatch watch;

    certwatch_begin(&watch, 7);
    CHECK(!certwatch_look(&watch, 7, 0));
    CHECK(!certwatch_look(&watch, 7, 100000));
}

TEST(a_change_counts_once_and_when_it_is_calm)
{
    struct certwatch watch;

    certwatch_begin(&watch, 7);
    CHECK(!certwatch_look(&watch, 8, 1000));
    CHECK(!certwatch_look(&watch, 8, 1000 + CERTWATCH_CALM - 1));
    CHECK(certwatch_look(&watch, 8, 1000 + CERTWATCH_CALM));
    CHECK(!certwatch_look(&watch, 8, 1000 + 2 * CERTWATCH_CALM));
}

TEST(changes_on_the_way_begin_the_wait_again)
{
    struct certwatch watch;

    certwatch_begin(&watch, 7);
    CHECK(!certwatch_look(&watch, 8, 1000));
    CHECK(!certwatch_look(&watch, 9, 1000 + CERTWATCH_CALM));
    CHECK(certwatch_look(&watch, 9, 1000 + 2 * CERTWATCH_CALM));
}

TEST(what_was_taken_back_is_no_change)
{
    struct certwatch watch;

    certwatch_begin(&watch, 7);
    CHECK(!certwatch_look(&watch, 8, 1000));
    CHECK(!certwatch_look(&watch, 7, 1500));
    CHECK(!certwatch_look(&watch, 7, 100000));
}

TEST(print_differs_for_contents_other_files_and_none)
{
    char path[] = "/tmp/kpop-certwatch-XXXXXX";
    char list[100];
    int fd = mkstemp(path);
    uint64_t first, longer, gone;

    CHECK(fd >= 0);
    (void)snprintf(list, sizeof(list), " %s  /nonexistent/key ", path);
    first = certwatch_print(list);
    CHECK(certwatch_print(list) == first);
    CHECK(certwatch_print(path) != first);
    CHECK_INT(write(fd, "x", 1), 1);
    longer = certwatch_print(list);
    CHECK(longer != first);
    (void)close(fd);
    (void)unlink(path);
    gone = certwatch_print(list);
    CHECK(gone != first && gone != longer);
    CHECK(certwatch_print("") == certwatch_print("  "));
}

TEST(files_are_looked_at_now_and_then)
{
    struct certwatch watch = { 0 };

    CHECK(certwatch_is_due(&watch, 1000));
    CHECK(!certwatch_is_due(&watch, 1000));
    CHECK(!certwatch_is_due(&watch, 999 + CERTWATCH_EVERY));
    CHECK(certwatch_is_due(&watch, 1000 + CERTWATCH_EVERY));
    certwatch_begin(&watch, 7);
    CHECK(!certwatch_is_due(&watch, 1001 + CERTWATCH_EVERY));
}

TEST_MAIN("certwatch", T(nothing_changed_is_nothing),
          T(a_change_counts_once_and_when_it_is_calm),
          T(changes_on_the_way_begin_the_wait_again),
          T(what_was_taken_back_is_no_change),
          T(print_differs_for_contents_other_files_and_none),
          T(files_are_looked_at_now_and_then))
