/*
 * line.c - tests of kpop/line.c: line ends, the limit, overlong lines.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kpop/line.h"

#include <string.h>

#include "tests/lib/check.h"

/* Feeds all of text in pieces of `piece` octets; the results, one letter
 * each: R(eady) T(oo long) E(ndless), and the last line in *line. */
static void
feed(struct line *line, const char *text, size_t len, size_t piece,
     char *results)
{
    size_t at = 0;

    line_init(line);
    while (at < len) {
        size_t part = len - at < piece ? len - at : piece;
        size_t used;
        enum line_result result;

        result = line_feed(line, (const uint8_t *)text + at, part, &used);
        CHECK(used > 0 && used <= part);
        at += used;
        if (result == LINE_MORE)
            continue;
        *results++ = result == LINE_READY ? 'R'
                     : result == LINE_TOO_LONG ? 'T' : 'E';
        if (at < len)
            line_clear(line);
    }
    *results = '\0';
}

static void
check_line(const char *text, const char *want)
{
    struct line line;
    char results[8];
    size_t piece;

    for (piece = 1; piece <= strlen(text); piece++) {
        feed(&line, text, strlen(text), piece, results);
        CHECK_STR(results, "R");
        CHECK_MEM(line.data, line.len, want, strlen(want));
    }
}

TEST(crlf_ends_a_line)
{
    check_line("NOOP\r\n", "NOOP");
}

TEST(bare_lf_ends_a_line)
{
    check_line("NOOP\n", "NOOP");
}

TEST(only_one_cr_is_taken_off)
{
    check_line("a\rb\r\r\n", "a\rb\r");
}

TEST(empty_line_is_a_line)
{
    check_line("\r\n", "");
    check_line("\n", "");
}

TEST(octets_behind_the_line_are_left)
{
    struct line line;
    size_t used;

    line_init(&line);
    CHECK_INT(line_feed(&line, (const uint8_t *)"A\nB\n", 4, &used),
              LINE_READY);
    CHECK_INT(used, 2);
}

TEST(nul_passes)
{
    struct line line;
    size_t used;

    line_init(&line);
    CHECK_INT(line_feed(&line, (const uint8_t *)"A\0B\r\n", 5, &used),
              LINE_READY);
    CHECK_MEM(line.data, line.len, "A\0B", 3);
}

/* len octets with CRLF, then NOOP. */
static void
check_long(size_t len, const char *want)
{
    static char text[ENGINE_SWALLOW_MAX + 1000];
    const size_t pieces[] = { 1, 7, 254, 255, 256, sizeof(text) };
    struct line line;
    char results[16];
    size_t i;

    memset(text, 'x', len);
    memcpy(text + len - 2, "\r\nNOOP\r\n", 8);
    for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        feed(&line, text, len + 6, pieces[i], results);
        CHECK_STR(results, want);
        CHECK_MEM(line.data, line.len, "NOOP", 4);
    }
}

TEST(line_of_255_octets_is_accepted)
{
    check_long(255, "RR");
}

TEST(line_of_256_octets_is_too_long_and_the_next_in_step)
{
    check_long(256, "TR");
    check_long(257, "TR");
    check_long(5000, "TR");
}

TEST(longest_swallowed_line_is_still_in_step)
{
    check_long(ENGINE_SWALLOW_MAX, "TR");
}

TEST(line_without_end_is_given_up_at_the_same_octet)
{
    static char text[ENGINE_SWALLOW_MAX + 1];
    const size_t pieces[] = { 1, 100, 255, sizeof(text) };
    struct line line;
    char results[16];
    size_t i;

    memset(text, 'x', sizeof(text));
    for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        feed(&line, text, sizeof(text), pieces[i], results);
        CHECK_STR(results, "E");
        feed(&line, text, sizeof(text) - 1, pieces[i], results);
        CHECK_STR(results, "");
    }
}

TEST(cleared_line_is_wiped)
{
    struct line line;
    size_t used;

    line_init(&line);
    CHECK_INT(line_feed(&line, (const uint8_t *)"PASS x\r\n", 8, &used),
              LINE_READY);
    line_clear(&line);
    CHECK_INT(line.len, 0);
    CHECK_MEM(line.data, 6, "\0\0\0\0\0\0", 6);
}

TEST(overlong_line_keeps_nothing)
{
    static const uint8_t zeros[ENGINE_LINE_MAX];
    struct line line;
    uint8_t text[256];
    size_t used;

    memset(text, 's', sizeof(text));
    line_init(&line);
    CHECK_INT(line_feed(&line, text, 200, &used), LINE_MORE);
    CHECK_INT(line_feed(&line, text, 100, &used), LINE_MORE);
    CHECK_MEM(line.data, sizeof(line.data), zeros, sizeof(zeros));
}

TEST_MAIN("line", T(crlf_ends_a_line), T(bare_lf_ends_a_line),
          T(only_one_cr_is_taken_off), T(empty_line_is_a_line),
          T(octets_behind_the_line_are_left), T(nul_passes),
          T(line_of_255_octets_is_accepted),
          T(line_of_256_octets_is_too_long_and_the_next_in_step),
          T(longest_swallowed_line_is_still_in_step),
          T(line_without_end_is_given_up_at_the_same_octet),
          T(cleared_line_is_wiped), T(overlong_line_keeps_nothing))
