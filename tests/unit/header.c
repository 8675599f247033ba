/*
 * header.c - which headers need UTF-8, and what clients without it are shown.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kpop/header.h"

#include <stdio.h>
#include <string.h>

#include "tests/lib/check.h"

#define NOBODY "<invalid@internationalized-address.invalid>"

/* ---- the look ---- */

static bool
needs_utf8(const char *header, size_t piece)
{
    struct header_look look = { 0 };
    size_t len = strlen(header);
    size_t at = 0;

    while (at < len && !look.ended) {
        size_t some = len - at < piece ? len - at : piece;
        size_t used = header_look(&look, (const uint8_t *)header + at, some);

        CHECK(used == some || look.ended);
        at += used;
    }
    return header_needs_utf8(&look);
}

static void
check_needs(const char *header, bool wanted)
{
    for (size_t piece = 1; piece < 8; piece++)
        CHECK_INT(needs_utf8(header, piece), wanted);
    CHECK_INT(needs_utf8(header, 1000), wanted);
}

TEST(utf_8_beyond_ascii_needs_utf8)
{
    check_needs("", false);
    check_needs("A: b\n\n", false);
    check_needs("A: \xc3\xbc\n\nbody", true);
    check_needs("A: b\r\nB: \xe2\x82\xac\r\n\r\n", true);
    check_needs("A: \xf0\x9f\x92\xa9", true);
    check_needs("A: \xed\x9f\xbf \xee\x80\x80 \xf4\x8f\xbf\xbf\n\n", true);
}

TEST(octets_that_are_no_utf_8_are_none_of_our_business)
{
    static const char *const headers[] = {
        "A: \xe4\n\n", "A: \xc3\n\n", "A: \xc3\xbc \xfc\n\n",
        "A: \xc0\xaf\n\n", "A: \xe0\x9f\xbf\n\n", "A: \xed\xa0\x80\n\n",
        "A: \xf0\x8f\xbf\xbf\n\n", "A: \xf4\x90\x80\x80\n\n",
        "A: \xf5\x80\x80\x80\n\n", "A: \x80\n\n", "A: \xe2\x82", "A: \xff",
    };

    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        check_needs(headers[i], false);
}

TEST(body_does_not_count)
{
    check_needs("A: b\n\n\xc3\xbc\n", false);
    check_needs("A: b\r\n\r\n\xc3\xbc\r\n", false);
    check_needs("\n\xc3\xbc\n", false);
    check_needs("\r\n\xc3\xbc\n", false);
    check_needs("A: b\n\r\r\n\xc3\xbc: c\n\n", true); /* no blank line */
}

TEST(look_says_where_the_header_ends)
{
    static const char text[] = "A: b\r\n\r\nbody\n";
    struct header_look look = { 0 };

    CHECK_INT(header_look(&look, (const uint8_t *)text, sizeof(text) - 1), 8);
    CHECK(look.ended);
    CHECK_INT(header_look(&look, (const uint8_t *)text, 4), 0);
}

/* ---- the other form ---- */

static char result[4096];

static const char *
downgraded(const char *header)
{
    struct buf out;

    buf_init(&out, sizeof(result) - 1);
    header_downgrade((const uint8_t *)header, strlen(header), &out);
    CHECK(!buf_failed(&out));
    if (buf_len(&out) > 0)
        memcpy(result, buf_data(&out), buf_len(&out));
    result[buf_len(&out)] = '\0';
    buf_reset(&out);
    return result;
}

TEST(fields_in_ascii_stay_as_they_are)
{
    static const char header[] = "A: b\r\nFrom: \"x\" <a@b>\n c\nX\n: y\n\r\n";

    CHECK_STR(downgraded(header), header);
    CHECK_STR(downgraded(""), "");
}

TEST(subject_becomes_encoded_words)
{
    CHECK_STR(downgraded("Subject: Gr\xc3\xbc\xc3\x9f" "e\n"),
              "Subject: =?UTF-8?B?R3LDvMOfZQ==?=\r\n");
    CHECK_STR(downgraded("SUBJECT:\r\n \xc3\xbc\r\n\tx\r\n"),
              "SUBJECT: =?UTF-8?B?w7wJeA==?=\r\n");
}

TEST(long_subject_is_split_between_characters)
{
    static const char eleven[] = "aaaaaaaaaaa";
    char header[100];

    /* 44 octets, then a character of two, which no longer fits into 45. */
    snprintf(header, sizeof(header), "Subject: %s%s%s%s\xc3\xbc!\n", eleven,
             eleven, eleven, eleven);
    CHECK_STR(downgraded(header),
              "Subject: =?UTF-8?B?"
              "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="
              "?=\r\n =?UTF-8?B?w7wh?=\r\n");
}

TEST(display_names_are_encoded_and_addresses_kept)
{
    CHECK_STR(downgraded("From: J\xc3\xbcrgen <j@b.example>\n"),
              "From: =?UTF-8?B?SsO8cmdlbg==?=\r\n <j@b.example>\r\n");
    CHECK_STR(downgraded("To: \"J\xc3\xbc, x\" <j@b>, Bob <bob@b>, c@d\n"),
              "To: =?UTF-8?B?SsO8LCB4?=\r\n <j@b>,\r\n Bob <bob@b>,\r\n"
              " c@d\r\n");
    CHECK_STR(downgraded("Cc: c@d (J\xc3\xbc)\n"), "Cc: c@d\r\n");
}

TEST(addresses_that_need_utf_8_belong_to_nobody)
{
    CHECK_STR(downgraded("From: j\xc3\xbc@b.example\n"),
              "From: " NOBODY "\r\n");
    CHECK_STR(downgraded("To: Bob <bob@b\xc3\xbc.example>, c@d\n"),
              "To: Bob\r\n " NOBODY ",\r\n c@d\r\n");
    CHECK_STR(downgraded("To: Bob\r\n <bob@b\xc3\xbc.example>\r\n"),
              "To: Bob\r\n " NOBODY "\r\n");
    CHECK_STR(downgraded("To: J\xc3\xbc <j\xc3\xbc@b>\n"),
              "To: =?UTF-8?B?SsO8?=\r\n " NOBODY "\r\n");
    CHECK_STR(downgraded("To: Gr\xc3\xbcn: a@b, c@d;\n"),
              "To: internationalized-address:;\r\n");
}

TEST(parameters_that_need_utf_8_are_left_out)
{
    CHECK_STR(downgraded("Content-Disposition: attachment; "
                         "filename=\"\xc3\xbc;x\"; size=3\n"),
              "Content-Disposition: attachment;\r\n size=3\r\n");
    CHECK_STR(downgraded("Content-Type: text/plain; name=\xc3\xbc\n"),
              "Content-Type: text/plain\r\n");
    CHECK_STR(downgraded("Content-Type: \xc3\xbc; a=b\n"), "");
}

TEST(other_fields_that_need_utf_8_are_left_out)
{
    CHECK_STR(downgraded("X-Y: \xc3\xbc\n z\nA: b\n\n"), "A: b\n\n");
    CHECK_STR(downgraded("X\xc3\xbc: y\nno field \xc3\xbc\nA: b\n"),
              "A: b\n");
    CHECK_STR(downgraded(" \xc3\xbc\nA: b\n"), "A: b\n");
}

/* Whatever is in it: ASCII, and no longer than promised. */
TEST(result_is_ascii_whatever_the_header)
{
    static const char pieces[][9] = { "From: ", "\xc3\xbc", "<", ">", "\"",
                                      "(", ")", ",", ";", ":", "\\", "\n",
                                      "\r\n ", "a@b", "Subject:", "\n\n" };
    uint64_t seed = 1;
    char header[400];

    for (int round = 0; round < 20000; round++) {
        struct buf out;
        size_t len = 0;

        for (int n = 0; n < 40; n++) {
            const char *piece;

            seed = seed * 6364136223846793005u + 1442695040888963407u;
            piece = pieces[seed >> 60];
            memcpy(header + len, piece, strlen(piece));
            len += strlen(piece);
        }
        buf_init(&out, HEADER_GROWTH * len);
        header_downgrade((const uint8_t *)header, len, &out);
        CHECK(!buf_failed(&out));
        for (size_t i = 0; i < buf_len(&out); i++)
            CHECK(buf_data(&out)[i] < 0x80);
        buf_reset(&out);
    }
}

int
main(int argc, char **argv)
{
    static const struct check_test tests[] = {
        T(utf_8_beyond_ascii_needs_utf8),
        T(octets_that_are_no_utf_8_are_none_of_our_business),
        T(body_does_not_count), T(look_says_where_the_header_ends),
        T(fields_in_ascii_stay_as_they_are),
        T(subject_becomes_encoded_words),
        T(long_subject_is_split_between_characters),
        T(display_names_are_encoded_and_addresses_kept),
        T(addresses_that_need_utf_8_belong_to_nobody),
        T(parameters_that_need_utf_8_are_left_out),
        T(other_fields_that_need_utf_8_are_left_out),
        T(result_is_ascii_whatever_the_header),
    };

    return check_main(argc, argv, "header", tests,
                      sizeof(tests) / sizeof(tests[0]));
}
