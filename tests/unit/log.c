/*
 * log.c - log lines: nothing a client sends can break or forge one.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "plugin/kpop_plugin.h"
#include "plugin/log.h"
#include "tests/lib/check.h"

static struct log_line line;

TEST(plain_values_stand_as_they_are)
{
    log_start(&line, NULL);
    log_text(&line, "user", "alice@EXAMPLE.ORG");
    log_number(&line, "n", 18446744073709551615u);
    CHECK_STR(line.text, "user=alice@EXAMPLE.ORG n=18446744073709551615");
}

TEST(a_session_s_line_begins_with_id_and_peer)
{
    struct kpop_facts facts = { .size = sizeof(facts), .session_id = "s1",
                                .peer_address = "2001:db8::1" };

    log_start(&line, &facts);
    log_text_if(&line, "user", "");
    log_text(&line, "result", "ok");
    CHECK_STR(line.text, "session=s1 peer=2001:db8::1 result=ok");
}

TEST(blanks_quotes_and_equals_are_quoted)
{
    log_start(&line, NULL);
    log_text(&line, "a", "two words");
    log_text(&line, "b", "say \"x\" \\");
    log_text(&line, "c", "k=v");
    log_text(&line, "d", "");
    CHECK_STR(line.text,
              "a=\"two words\" b=\"say \\\"x\\\" \\\\\" c=\"k=v\" d=\"\"");
}

TEST(control_and_eight_bit_octets_are_escaped)
{
    log_start(&line, NULL);
    log_text(&line, "u", "x\r\ny\x1b\x7f\xc3\xa9\t");
    CHECK_STR(line.text, "u=\"x\\x0D\\x0Ay\\x1B\\x7F\\xC3\\xA9\\x09\"");
}

TEST(lines_made_elsewhere_are_cleaned)
{
    log_start(&line, NULL);
    log_text(&line, "a", "1");
    log_raw(&line, "code=31 text=\"x\ny\"");
    CHECK_STR(line.text, "a=1 code=31 text=\"x\\x0Ay\"");
}

TEST(a_long_value_is_cut_and_leaves_room_for_others)
{
    static char big[10000];

    memset(big, '\n', sizeof(big) - 1);
    log_start(&line, NULL);
    log_text(&line, "a", big);
    log_text(&line, "b", "seen");
    CHECK(line.len < LOG_VALUE_MAX + 40);
    CHECK(strstr(line.text, "...\" b=seen") != NULL);
}

TEST(a_full_line_ends_between_values)
{
    static char big[10000];

    memset(big, 'x', sizeof(big) - 1);
    log_start(&line, NULL);
    for (int i = 0; i < 10; i++)
        log_text(&line, "k", big);
    CHECK(line.len < LOG_LINE_MAX);
    CHECK_INT(strlen(line.text), line.len);
    CHECK_STR(line.text + line.len - 4, "x...");
    log_raw(&line, big);
    CHECK_INT(strlen(line.text), line.len);
}

TEST_MAIN("log", T(plain_values_stand_as_they_are),
          T(a_session_s_line_begins_with_id_and_peer),
          T(blanks_quotes_and_equals_are_quoted),
          T(control_and_eight_bit_octets_are_escaped),
          T(lines_made_elsewhere_are_cleaned),
          T(a_long_value_is_cut_and_leaves_room_for_others),
          T(a_full_line_ends_between_values))
