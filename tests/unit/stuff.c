/*
 * stuff.c - tests of kpop/stuff.c: every message is cut at each position, and
 * octet by octet, and must always give the same wire form.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kpop/stuff.h"

#include <string.h>

#include "tests/lib/check.h"

#define ALL UINT64_MAX

/* The wire form of text, cut behind `first` octets and then every `piece`. */
static void
make_wire(const char *text, size_t len, uint64_t lines, size_t first,
          size_t piece, struct buf *out)
{
    struct stuff stuff;
    size_t at = 0, part = first;
    bool done = false;

    buf_init(out, 100000);
    stuff_init(&stuff, lines);
    while (at < len && !done) {
        if (part > len - at)
            part = len - at;
        done = stuff_piece(&stuff, (const uint8_t *)text + at, part, out);
        at += part;
        part = piece;
    }
    stuff_end(&stuff, out);
}

static uint64_t
count_wire(const char *text, size_t len, size_t first, size_t piece)
{
    uint32_t state = 0;
    uint64_t total = 0;
    size_t at = 0, part = first;

    while (at < len) {
        if (part > len - at)
            part = len - at;
        total += stuff_wire_octets(&state, text + at, part);
        at += part;
        part = piece;
    }
    total += stuff_wire_octets(&state, NULL, 0);
    CHECK_INT(state, 0);
    return total;
}

/* stuffing: how many dots were added. */
static void
check_wire(const char *text, size_t len, uint64_t lines, const char *want,
           size_t want_len, size_t stuffing)
{
    size_t first, piece;

    for (first = 0; first <= len; first++) {
        for (piece = 1; piece <= len + 1; piece += len > 0 ? len : 1) {
            struct buf out;

            make_wire(text, len, lines, first, piece, &out);
            CHECK_MEM(buf_data(&out), buf_len(&out), want, want_len);
            buf_reset(&out);
            if (lines == ALL)
                CHECK_INT(count_wire(text, len, first, piece),
                          want_len - stuffing);
        }
    }
}

#define WIRE(text, want, dots)                                              \
    check_wire(text, sizeof(text) - 1, ALL, want, sizeof(want) - 1, dots)
#define TOP(text, lines, want)                                              \
    check_wire(text, sizeof(text) - 1, lines, want, sizeof(want) - 1, 0)

TEST(empty_message_stays_empty)
{
    WIRE("", "", 0);
}

TEST(lf_becomes_crlf)
{
    WIRE("a\nb\n\nc\n", "a\r\nb\r\n\r\nc\r\n", 0);
}

TEST(crlf_stays)
{
    WIRE("a\r\nb\r\n\r\nc\r\n", "a\r\nb\r\n\r\nc\r\n", 0);
}

TEST(missing_last_line_end_is_added)
{
    WIRE("a\nb", "a\r\nb\r\n", 0);
    WIRE("a", "a\r\n", 0);
}

TEST(cr_at_the_end_is_completed)
{
    WIRE("a\r", "a\r\n", 0);
    WIRE("\r", "\r\n", 0);
    WIRE("a\n\r", "a\r\n\r\n", 0);
    WIRE("a\r\r", "a\r\r\n", 0);
}

TEST(cr_elsewhere_passes)
{
    WIRE("a\rb\n", "a\rb\r\n", 0);
    WIRE("\ra\n", "\ra\r\n", 0);
    WIRE("a\r\r\n", "a\r\r\n", 0);
    WIRE("\r\r\n", "\r\r\n", 0);
}

TEST(dot_at_the_beginning_of_a_line_is_doubled)
{
    WIRE(".", "..\r\n", 1);
    WIRE(".\n", "..\r\n", 1);
    WIRE("..\n", "...\r\n", 1);
    WIRE(".x\n.y\n", "..x\r\n..y\r\n", 2);
    WIRE("a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n", 1);
    WIRE("\n.\n", "\r\n..\r\n", 1);
}

TEST(dot_elsewhere_is_not_doubled)
{
    WIRE("a.\n", "a.\r\n", 0);
    WIRE("a..b\n", "a..b\r\n", 0);
    WIRE("\r.\n", "\r.\r\n", 0);
    WIRE("a\r.\n", "a\r.\r\n", 0);
}

TEST(nul_passes)
{
    WIRE("a\0b\n\0", "a\0b\r\n\0\r\n", 0);
}

TEST(worst_case_is_twice_the_octets)
{
    struct stuff stuff;
    struct buf out;

    buf_init(&out, 9);
    stuff_init(&stuff, ALL);
    CHECK(!stuff_piece(&stuff, (const uint8_t *)"\n\n\n\n", 4, &out));
    CHECK(!buf_failed(&out));
    CHECK_INT(buf_len(&out), 8);
    buf_reset(&out);
}

TEST(output_without_room_fails)
{
    struct stuff stuff;
    struct buf out;

    buf_init(&out, 3);
    stuff_init(&stuff, ALL);
    CHECK(!stuff_piece(&stuff, (const uint8_t *)"abcd", 4, &out));
    CHECK(buf_failed(&out));
    CHECK_INT(buf_len(&out), 0);
    buf_reset(&out);
}

TEST(top_0_gives_headers_and_the_blank_line)
{
    TOP("A: b\nC: d\n\nbody\n", 0, "A: b\r\nC: d\r\n\r\n");
    TOP("A: b\r\n\r\nbody\r\n", 0, "A: b\r\n\r\n");
}

TEST(top_counts_lines_of_the_body)
{
    TOP("A: b\n\n1\n2\n3\n", 1, "A: b\r\n\r\n1\r\n");
    TOP("A: b\n\n1\n2\n3\n", 2, "A: b\r\n\r\n1\r\n2\r\n");
}

TEST(top_counts_blank_lines_of_the_body)
{
    TOP("A: b\n\n\n\n3\n", 2, "A: b\r\n\r\n\r\n\r\n");
}

TEST(top_of_more_lines_than_there_are_is_the_message)
{
    TOP("A: b\n\n1\n2", 3, "A: b\r\n\r\n1\r\n2\r\n");
    TOP("A: b\n\n1\n2", UINT64_MAX - 1, "A: b\r\n\r\n1\r\n2\r\n");
}

TEST(top_without_blank_line_is_the_message)
{
    TOP("A: b\nC: d", 0, "A: b\r\nC: d\r\n");
}

TEST(top_without_headers_starts_with_the_body)
{
    TOP("\n1\n2\n", 1, "\r\n1\r\n");
}

TEST(line_of_two_crs_is_not_the_blank_line)
{
    TOP("A: b\n\r\r\nC: d\n\nbody\n", 0,
        "A: b\r\n\r\r\nC: d\r\n\r\n");
}

TEST(top_says_when_it_needs_no_more)
{
    struct stuff stuff;
    struct buf out;

    buf_init(&out, 100);
    stuff_init(&stuff, 1);
    CHECK(!stuff_piece(&stuff, (const uint8_t *)"A: b\n\n1", 7, &out));
    CHECK(stuff_piece(&stuff, (const uint8_t *)"\n2\n", 3, &out));
    CHECK(stuff_piece(&stuff, (const uint8_t *)"3\n", 2, &out));
    CHECK_MEM(buf_data(&out), buf_len(&out), "A: b\r\n\r\n1\r\n", 11);
    buf_reset(&out);
}

TEST_MAIN("stuff", T(empty_message_stays_empty), T(lf_becomes_crlf),
          T(crlf_stays), T(missing_last_line_end_is_added),
          T(cr_at_the_end_is_completed), T(cr_elsewhere_passes),
          T(dot_at_the_beginning_of_a_line_is_doubled),
          T(dot_elsewhere_is_not_doubled), T(nul_passes),
          T(worst_case_is_twice_the_octets), T(output_without_room_fails),
          T(top_0_gives_headers_and_the_blank_line),
          T(top_counts_lines_of_the_body),
          T(top_counts_blank_lines_of_the_body),
          T(top_of_more_lines_than_there_are_is_the_message),
          T(top_without_blank_line_is_the_message),
          T(top_without_headers_starts_with_the_body),
          T(line_of_two_crs_is_not_the_blank_line),
          T(top_says_when_it_needs_no_more))
