/*
 * trans.c - tests of kpop/trans.c, retr.c, drop.c and put.c: what the store is
 * asked, what becomes of its answers, and of the wrong ones.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/unit/peer.h"

#define ONE "A: b\r\n\r\none\r\n"
#define TWO "C: d\r\n\r\ntwo\r\n..\r\n"
#define LIST_FAILED                                                         \
    "-ERR [SYS/TEMP] the maildrop cannot be read, try again later\r\n"

static struct peer peer;

static void
logged_in(void)
{
    peer_init(&peer, false);
    peer_logged_in(&peer);
}

static void
logged_in_to(uint32_t count)
{
    peer_init(&peer, false);
    peer.count = count;
    peer_logged_in(&peer);
}

/* ---- STAT ---- */

TEST(stat_of_a_known_total_asks_nobody)
{
    logged_in();
    peer_send(&peer, "STAT\r\n");
    CHECK_BOTH(&peer, "+OK 2 200\r\n", "");
    peer_end(&peer);
}

TEST(stat_excludes_deleted)
{
    logged_in();
    peer_send(&peer, "DELE 1\r\nSTAT\r\n");
    CHECK_BOTH(&peer, "+OK message 1 is marked\r\n+OK 1 190\r\n",
               "LIST 0 1;");
    peer_end(&peer);
}

TEST(stat_of_an_unknown_total_asks_once)
{
    peer_init(&peer, false);
    peer.unknown_octets = true;
    peer.count = 1025;
    peer_greeted(&peer);
    peer_send(&peer, "USER a\r\nPASS x\r\n");
    CHECK(peer_saw(&peer, "+OK maildrop has 1025 messages\r\n"));
    peer_forget(&peer);
    peer_send(&peer, "STAT\r\nSTAT\r\n");
    CHECK_BOTH(&peer, "+OK 1025 12298\r\n+OK 1025 12298\r\n",
               "LIST 0 1024;LIST 1024 1;");
    peer_end(&peer);
}

TEST(stat_of_an_unknown_total_after_dele_counts_the_rest)
{
    peer_init(&peer, false);
    peer.unknown_octets = true;
    peer_logged_in(&peer);
    peer_send(&peer, "DELE 1\r\nSTAT\r\nRSET\r\nSTAT\r\n");
    CHECK_BOTH(&peer,
               "+OK message 1 is marked\r\n+OK 1 12\r\n+OK 2 messages\r\n"
               "+OK 2 22\r\n",
               "LIST 0 1;LIST 0 2;");
    peer_end(&peer);
}

TEST(stat_that_fails_remembers_nothing)
{
    peer_init(&peer, false);
    peer.unknown_octets = true;
    peer_logged_in(&peer);
    peer.list = STATUS_TEMP;
    peer_send(&peer, "STAT\r\n");
    CHECK_SEEN(&peer, LIST_FAILED);
    peer.list = STATUS_OK;
    peer_send(&peer, "STAT\r\n");
    CHECK_SEEN(&peer, "+OK 2 22\r\n");
    peer_end(&peer);
}

TEST(deleting_more_octets_than_the_total_does_not_wrap)
{
    static char text[150];

    peer_init(&peer, false);
    memset(text, 'x', sizeof(text));
    peer.texts[0] = peer.texts[1] = text;
    peer.lens[0] = peer.lens[1] = sizeof(text);
    peer_logged_in(&peer);
    peer_send(&peer, "DELE 1\r\nDELE 2\r\nSTAT\r\n");
    CHECK(peer_saw(&peer, "\r\n+OK 0 0\r\n"));
    peer_end(&peer);
}

/* ---- LIST and UIDL ---- */

TEST(list_gives_number_and_octets)
{
    logged_in();
    peer_send(&peer, "LIST\r\nLIST 2\r\n");
    CHECK_BOTH(&peer, "+OK 2 messages\r\n1 10\r\n2 12\r\n.\r\n+OK 2 12\r\n",
               "LIST 0 2;LIST 1 1;");
    peer_end(&peer);
}

TEST(uidl_gives_number_and_id)
{
    logged_in();
    peer_send(&peer, "UIDL\r\nUIDL 2\r\n");
    CHECK_BOTH(&peer, "+OK 2 messages\r\n1 u1\r\n2 u2\r\n.\r\n+OK 2 u2\r\n",
               "LIST 0 2;LIST 1 1;");
    peer_end(&peer);
}

TEST(list_of_an_empty_maildrop_asks_nobody)
{
    logged_in_to(0);
    peer_send(&peer, "LIST\r\nUIDL\r\nSTAT\r\nRETR 1\r\n");
    CHECK_BOTH(&peer, "+OK 0 messages\r\n.\r\n+OK 0 messages\r\n.\r\n"
                      "+OK 0 0\r\n-ERR no such message\r\n", "");
    peer_end(&peer);
}

TEST(list_omits_deleted_and_does_not_ask_for_the_first_ones)
{
    logged_in_to(4);
    peer_send(&peer, "DELE 1\r\nDELE 3\r\n");
    peer_forget(&peer);
    peer_send(&peer, "LIST\r\nUIDL\r\n");
    CHECK_BOTH(&peer, "+OK 2 messages\r\n2 12\r\n4 12\r\n.\r\n"
                      "+OK 2 messages\r\n2 u2\r\n4 u4\r\n.\r\n",
               "LIST 1 3;LIST 1 3;");
    peer_end(&peer);
}

TEST(list_asks_for_64_messages_at_a_time)
{
    logged_in_to(130);
    peer_send(&peer, "LIST\r\n");
    CHECK_STR(peer.asked, "LIST 0 64;LIST 64 64;LIST 128 2;");
    CHECK(peer_saw(&peer, "\r\n130 12\r\n.\r\n"));
    peer_end(&peer);
}

TEST(list_that_fails_at_first_says_so)
{
    static const int results[] = { STATUS_TEMP, STATUS_GONE, STATUS_AUTH,
                                   STATUS_IN_USE, STATUS_NO_MEMORY };
    size_t i;

    for (i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        logged_in();
        peer.list = results[i];
        peer_send(&peer, "LIST\r\n");
        CHECK_SEEN(&peer, LIST_FAILED);
        CHECK(!engine_is_closing(peer.engine));
        peer_end(&peer);
    }
}

TEST(list_that_fails_for_good_is_the_administrators)
{
    logged_in();
    peer.list = STATUS_PERM;
    peer_send(&peer, "LIST 1\r\n");
    CHECK_SEEN(&peer, "-ERR [SYS/PERM] the maildrop cannot be read, tell "
                      "your administrator\r\n");
    peer_end(&peer);
}

TEST(list_that_fails_later_closes_without_the_dot)
{
    logged_in_to(65);
    peer.hold = NEED(ENGINE_LIST);
    peer_send(&peer, "LIST\r\n");
    engine_answer(peer.engine,
                  peer_answer(&peer, engine_request(peer.engine)));
    engine_answer(peer.engine, STATUS_TEMP);
    peer_run(&peer);
    CHECK(engine_is_closing(peer.engine));
    CHECK_STR(engine_end_reason(peer.engine), "store-error");
    CHECK(peer_saw(&peer, "\r\n64 12\r\n"));
    CHECK(!peer_saw(&peer, "\r\n.\r\n"));
    CHECK(!peer_saw(&peer, "ERR"));
    peer_end(&peer);
}

TEST(list_with_too_few_messages_fails)
{
    logged_in();
    peer.list_short = 1;
    peer_send(&peer, "LIST\r\nLIST 1\r\nDELE 1\r\nUIDL 1\r\n");
    CHECK_SEEN(&peer, LIST_FAILED LIST_FAILED LIST_FAILED LIST_FAILED);
    peer.list_short = -1;
    peer_send(&peer, "LIST\r\nDELE 1\r\n");
    CHECK_SEEN(&peer, LIST_FAILED LIST_FAILED);
    peer.list_short = 0;
    peer_send(&peer, "LIST 1\r\n");
    CHECK_SEEN(&peer, "+OK 1 10\r\n");
    peer_end(&peer);
}

TEST(ids_that_break_the_rfc_never_reach_the_client)
{
    static const char *const ids[] = {
        "",     " ",    "a b", "a\x7f", "\xc3\xa9", "a\r\nb",
        ("1234567890123456789012345678901234567890123456789012345678901234567"
         "8901"),
    };
    size_t i;

    logged_in();
    for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        peer.uidl = ids[i];
        peer_send(&peer, "UIDL\r\nUIDL 1\r\n");
        CHECK_SEEN(&peer, LIST_FAILED LIST_FAILED);
    }
    peer.uidl = ids[i - 1] + 1;
    peer_send(&peer, "UIDL 1\r\n");
    CHECK_INT(peer.seen_len, 6 + 70 + 2);
    peer_end(&peer);
}

TEST(sizes_that_overflow_fail)
{
    logged_in();
    peer.hold = NEED(ENGINE_LIST);
    peer_send(&peer, "LIST\r\n");
    CHECK_INT(engine_put_msg(peer.engine, UINT64_MAX, "u"), STATUS_INVALID);
    engine_answer(peer.engine, STATUS_OK);
    peer_run(&peer);
    CHECK_SEEN(&peer, LIST_FAILED);
    peer_send(&peer, "LIST\r\n");
    CHECK_INT(engine_put_msg(peer.engine, UINT64_MAX - 1, "u"), STATUS_OK);
    CHECK_INT(engine_put_msg(peer.engine, 1, "u"), STATUS_INVALID);
    engine_answer(peer.engine, STATUS_OK);
    peer_run(&peer);
    CHECK_SEEN(&peer, LIST_FAILED);
    peer_end(&peer);
}

TEST(facts_nobody_asked_for_are_refused)
{
    logged_in();
    CHECK_INT(engine_put_msg(peer.engine, 1, "u"), STATUS_INVALID);
    CHECK_INT(engine_put_box(peer.engine, 1, 1), STATUS_INVALID);
    CHECK_INT(engine_put_user(peer.engine, "bob"), STATUS_INVALID);
    CHECK_INT(engine_put_challenge(peer.engine, "x", 1), STATUS_INVALID);
    CHECK_INT(engine_put_policy(peer.engine, 1, 1), STATUS_INVALID);
    CHECK_INT(engine_put_envelope(peer.engine, "a", "b"), STATUS_INVALID);
    engine_answer(peer.engine, STATUS_OK);
    CHECK_STR(engine_user(peer.engine), "alice");
    peer_send(&peer, "STAT\r\n");
    CHECK_SEEN(&peer, "+OK 2 200\r\n");
    peer_end(&peer);
}

TEST(facts_that_do_not_fit_fail_the_login)
{
    static char name[ENGINE_USER_MAX + 2];
    const char *const names[] = { "", "a\nb", "a\x7f", name };
    size_t i;

    memset(name, 'n', sizeof(name) - 1);
    for (i = 0; i < 4; i++) {
        peer_init(&peer, false);
        peer_greeted(&peer);
        peer.user = names[i];
        peer_send(&peer, "USER a\r\nPASS x\r\n");
        CHECK(peer_saw(&peer, "-ERR [SYS/TEMP]"));
        CHECK(!engine_is_logged_in(peer.engine));
        peer_end(&peer);
    }
}

TEST(second_box_and_absurd_counts_fail_the_login)
{
    peer_init(&peer, false);
    peer_greeted(&peer);
    peer.hold = NEED(ENGINE_OPEN);
    peer_send(&peer, "USER a\r\nPASS x\r\n");
    CHECK_INT(engine_put_box(peer.engine, 3, 3), STATUS_OK);
    CHECK_INT(engine_put_box(peer.engine, 3, 3), STATUS_INVALID);
    engine_answer(peer.engine, STATUS_OK);
    peer_run(&peer);
    CHECK(!engine_is_logged_in(peer.engine));
    peer_send(&peer, "USER a\r\nPASS x\r\n");
    CHECK_INT(engine_put_box(peer.engine, UINT32_MAX, 3), STATUS_INVALID);
    engine_answer(peer.engine, STATUS_OK);
    peer_run(&peer);
    CHECK(!engine_is_logged_in(peer.engine));
    peer_end(&peer);
}

/* ---- numbers ---- */

TEST(numbers_are_strict)
{
    static const char *const bad[] = {
        "0", "3", "-1", "+1", "1x", "x", "0x1", "1 ", " 1", "1 2", "",
        "4294967297", "18446744073709551617", "18446744073709551616",
        "99999999999999999999999999999", "1.",
    };
    size_t i;
    char line[64];

    logged_in();
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        static const char *const verbs[] = { "LIST", "UIDL", "RETR", "DELE" };
        size_t v;

        for (v = 0; v < 4; v++) {
            (void)snprintf(line, sizeof(line), "%s %s\r\n", verbs[v], bad[i]);
            peer_send(&peer, line);
            CHECK(peer_saw(&peer, "-ERR "));
            CHECK_STR(peer.asked, "");
            peer_forget(&peer);
        }
    }
    peer_send(&peer, "LIST 0000000000000000000000001\r\n");
    CHECK_SEEN(&peer, "+OK 1 10\r\n");
    peer_end(&peer);
}

TEST(top_arguments_are_strict)
{
    static const char *const bad[] = {
        "", " ", " 1", " 1 ", " 1 -1", " 1 x", " 1 2 3", " 1  2", "  1 2",
        " 3 0", " 0 0", " 1 18446744073709551616", " 1 2 ", " x 2",
    };
    size_t i;
    char line[64];

    logged_in();
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        (void)snprintf(line, sizeof(line), "TOP%s\r\n", bad[i]);
        peer_send(&peer, line);
        CHECK(peer_saw(&peer, "-ERR "));
        CHECK_STR(peer.asked, "");
        peer_forget(&peer);
    }
    peer_end(&peer);
}

TEST(commands_without_arguments_take_none)
{
    logged_in();
    peer_send(&peer, "STAT 1\r\nNOOP x\r\nRSET 1\r\nQUIT now\r\nRETR\r\n"
                     "DELE\r\n");
    CHECK_BOTH(&peer, "-ERR this command takes no argument\r\n"
                      "-ERR this command takes no argument\r\n"
                      "-ERR this command takes no argument\r\n"
                      "-ERR this command takes no argument\r\n"
                      "-ERR a message number is wanted here\r\n"
                      "-ERR a message number is wanted here\r\n", "");
    peer_end(&peer);
}

/* ---- DELE, RSET, QUIT ---- */

TEST(deleted_message_is_gone_for_every_command)
{
    logged_in();
    peer_send(&peer, "DELE 1\r\n");
    peer_forget(&peer);
    peer_send(&peer, "DELE 1\r\nRETR 1\r\nTOP 1 0\r\nLIST 1\r\nUIDL 1\r\n");
    CHECK_BOTH(&peer, "-ERR that message is deleted\r\n"
                      "-ERR that message is deleted\r\n"
                      "-ERR that message is deleted\r\n"
                      "-ERR that message is deleted\r\n"
                      "-ERR that message is deleted\r\n", "");
    peer_end(&peer);
}

TEST(dele_that_cannot_ask_for_the_size_marks_nothing)
{
    logged_in();
    peer.list = STATUS_TEMP;
    peer_send(&peer, "DELE 1\r\nQUIT\r\n");
    CHECK_BOTH(&peer, LIST_FAILED "+OK bye, 0 messages deleted\r\n",
               "LIST 0 1;COMMIT 0 0;");
    peer_end(&peer);
}

TEST(quit_commits_the_marks)
{
    struct engine_counts counts;

    logged_in_to(3);
    peer_send(&peer, "DELE 2\r\nRETR 1\r\nRETR 3\r\nDELE 3\r\nTOP 1 0\r\n");
    peer_forget(&peer);
    peer_send(&peer, "QUIT\r\n");
    CHECK_BOTH(&peer, "+OK bye, 2 messages deleted\r\n", "COMMIT 2 1 3;");
    CHECK(engine_is_closing(peer.engine));
    CHECK_STR(engine_end_reason(peer.engine), "quit");
    engine_get_counts(peer.engine, &counts);
    CHECK_INT(counts.deleted, 2);
    CHECK_INT(counts.retrieved, 2);
    peer_end(&peer);
}

TEST(quit_commits_when_nothing_is_marked_and_when_empty)
{
    logged_in_to(0);
    peer_send(&peer, "QUIT\r\nQUIT\r\n");
    CHECK_BOTH(&peer, "+OK bye, 0 messages deleted\r\n", "COMMIT;");
    peer_end(&peer);
}

TEST(rset_takes_back_deletions_and_keeps_what_was_retrieved)
{
    logged_in();
    peer_send(&peer, "RETR 1\r\nDELE 1\r\nDELE 2\r\nRSET\r\nSTAT\r\n");
    CHECK(peer_saw(&peer, "\r\n+OK 2 200\r\n"));
    peer_forget(&peer);
    peer_send(&peer, "QUIT\r\n");
    CHECK_STR(peer.asked, "COMMIT 2 0;");
    peer_end(&peer);
}

TEST(failed_commit_says_so)
{
    static const struct {
        int result;
        const char *reply;
    } rows[] = {
        { STATUS_TEMP, "-ERR [SYS/TEMP] some deleted messages not removed, "
                       "try again later\r\n" },
        { STATUS_PERM, "-ERR [SYS/PERM] some deleted messages not removed, "
                       "tell your administrator\r\n" },
        { STATUS_GONE, "-ERR [SYS/TEMP] some deleted messages not removed, "
                       "try again later\r\n" },
        { STATUS_TAKEN, "-ERR [SYS/TEMP] some deleted messages not removed, "
                        "try again later\r\n" },
    };
    struct engine_counts counts;
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        logged_in();
        peer.commit = rows[i].result;
        peer_send(&peer, "DELE 1\r\n");
        peer_forget(&peer);
        peer_send(&peer, "QUIT\r\n");
        CHECK_STR(peer.seen, rows[i].reply);
        CHECK(engine_is_closing(peer.engine));
        CHECK_STR(engine_end_reason(peer.engine), "commit-failed");
        engine_get_counts(peer.engine, &counts);
        CHECK_INT(counts.deleted, 0);
        peer_end(&peer);
    }
}

TEST(half_close_behind_quit_still_commits)
{
    logged_in();
    peer_send(&peer, "DELE 1\r\n");
    peer_forget(&peer);
    peer.hold = NEED(ENGINE_COMMIT);
    peer_send(&peer, "QUIT\r\n");
    engine_input_end(peer.engine);
    engine_timeout(peer.engine);
    engine_stop(peer.engine);
    CHECK(!engine_is_closing(peer.engine));
    peer.hold = 0;
    peer_run(&peer);
    CHECK_BOTH(&peer, "+OK bye, 1 messages deleted\r\n", "COMMIT 1 0;");
    peer_end(&peer);
}

TEST(half_close_without_quit_commits_nothing)
{
    logged_in();
    peer_send(&peer, "DELE 1\r\nQUIT");
    peer_forget(&peer);
    engine_input_end(peer.engine);
    peer_run(&peer);
    CHECK(engine_is_closing(peer.engine));
    CHECK_STR(engine_end_reason(peer.engine), "eof");
    CHECK_BOTH(&peer, "", "");
    CHECK_STR(engine_user(peer.engine), "alice");
    peer_end(&peer);
}

/* ---- RETR and TOP ---- */

TEST(retr_gives_the_message)
{
    logged_in();
    peer_send(&peer, "RETR 1\r\nRETR 2\r\n");
    CHECK_BOTH(&peer, "+OK message follows\r\n" ONE ".\r\n"
                      "+OK message follows\r\n" TWO ".\r\n",
               "FETCH 0 0;FETCH 0 10;FETCH 1 0;FETCH 1 12;");
    peer_end(&peer);
}

TEST(retr_by_short_reads_is_the_same)
{
    uint32_t size;

    for (size = 1; size < 14; size++) {
        logged_in();
        peer.fetch_max = size;
        peer_send(&peer, "RETR 2\r\nTOP 2 1\r\n");
        CHECK_SEEN(&peer, "+OK message follows\r\n" TWO ".\r\n"
                          "+OK message follows\r\nC: d\r\n\r\ntwo\r\n.\r\n");
        peer_end(&peer);
    }
}

TEST(retr_of_an_empty_message_is_only_the_dot)
{
    logged_in();
    peer.texts[0] = "";
    peer_send(&peer, "RETR 1\r\nQUIT\r\n");
    CHECK_BOTH(&peer, "+OK message follows\r\n.\r\n"
                      "+OK bye, 0 messages deleted\r\n",
               "FETCH 0 0;COMMIT 2 0;");
    peer_end(&peer);
}

TEST(retr_that_fails_at_first_says_so)
{
    static const struct {
        int result;
        const char *reply;
    } rows[] = {
        { STATUS_GONE, "-ERR message is gone\r\n" },
        { STATUS_TEMP, "-ERR [SYS/TEMP] the message cannot be read, try "
                       "again later\r\n" },
        { STATUS_PERM, "-ERR [SYS/PERM] the message cannot be read, tell "
                       "your administrator\r\n" },
        { STATUS_AUTH, "-ERR [SYS/TEMP] the message cannot be read, try "
                       "again later\r\n" },
        { ENGINE_FETCH_SIZE + 1, "-ERR [SYS/TEMP] the message cannot be "
                                 "read, try again later\r\n" },
    };
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        logged_in();
        peer.fetch = rows[i].result;
        peer.fetch_from = 0;
        peer_send(&peer, "RETR 1\r\n");
        CHECK_STR(peer.seen, rows[i].reply);
        peer_forget(&peer);
        peer_send(&peer, "QUIT\r\n");
        CHECK_STR(peer.asked, "COMMIT 0 0;");
        peer_end(&peer);
    }
}

/* Nothing of it is out as long as the header is looked at. */
TEST(retr_read_error_in_the_header_says_so)
{
    peer_init(&peer, false);
    peer.settings.options = OPTION_UTF8;
    peer_logged_in(&peer);
    peer.fetch = STATUS_TEMP;
    peer.fetch_from = 4;
    peer.fetch_max = 4;
    peer_send(&peer, "RETR 1\r\nNOOP\r\n");
    CHECK_BOTH(&peer, "-ERR [SYS/TEMP] the message cannot be read, try again "
               "later\r\n+OK\r\n", "FETCH 0 0;FETCH 0 4;");
    peer_end(&peer);
}

TEST(retr_read_error_drops_connection_without_final_dot)
{
    static const int results[] = { STATUS_TEMP, STATUS_GONE, STATUS_PERM,
                                   ENGINE_FETCH_SIZE + 1 };
    size_t i;

    for (i = 0; i < 4; i++) {
        logged_in();
        peer.fetch = results[i];
        peer.fetch_from = 6; /* behind the header */
        peer.fetch_max = 6;
        peer_send(&peer, "RETR 1\r\nQUIT\r\n");
        CHECK_BOTH(&peer, "+OK message follows\r\nA: b\r\n\r\n",
                   "FETCH 0 0;FETCH 0 6;");
        CHECK(engine_is_closing(peer.engine));
        CHECK_STR(engine_end_reason(peer.engine), "store-error");
        peer_end(&peer);
    }
}

TEST(error_where_the_end_should_be_is_no_whole_message)
{
    struct engine_counts counts;

    logged_in();
    peer.fetch = STATUS_TEMP;
    peer.fetch_from = 10;
    peer_send(&peer, "RETR 1\r\n");
    CHECK_SEEN(&peer, "+OK message follows\r\n" ONE);
    engine_get_counts(peer.engine, &counts);
    CHECK_INT(counts.retrieved, 0);
    peer_end(&peer);
}

TEST(top_stops_reading_when_it_has_its_lines)
{
    static char text[3 * ENGINE_FETCH_SIZE];

    memset(text, '\n', sizeof(text));
    logged_in();
    peer.texts[0] = text;
    peer.lens[0] = sizeof(text);
    peer_send(&peer, "TOP 1 2\r\n");
    CHECK_BOTH(&peer, "+OK message follows\r\n\r\n\r\n\r\n.\r\n",
               "PEEK 0 0;");
    peer_end(&peer);
}

TEST(top_does_not_count_as_retrieved)
{
    logged_in();
    peer_send(&peer, "TOP 1 99999\r\nQUIT\r\n");
    CHECK(peer_saw(&peer, "+OK message follows\r\n" ONE ".\r\n"));
    CHECK_STR(peer.asked, "PEEK 0 0;PEEK 0 10;COMMIT 0 0;");
    peer_end(&peer);
}

/* ---- segments ---- */

TEST(any_pieces_give_the_same_session)
{
    static const char session[] =
        "CAPA\r\nUSER alice\r\nPASS x\r\nSTAT\r\nLIST\r\nUIDL\nTOP 2 0\r\n"
        "RETR 1\r\nRETR 2\r\nDELE 1\r\nLIST\r\nXYZZY\r\nRSET\r\nNOOP\r\n"
        "DELE 2\r\nQUIT\r\nSTAT\r\n";
    char *whole, *asked;
    size_t piece, len;

    peer_init(&peer, false);
    peer_greeted(&peer);
    peer_send(&peer, session);
    whole = peer.seen;
    len = peer.seen_len;
    asked = strdup(peer.asked);
    peer.seen = NULL;
    peer_end(&peer);
    for (piece = 1; piece < 50; piece++) {
        peer_init(&peer, false);
        peer_greeted(&peer);
        CHECK_INT(peer_send_pieces(&peer, session, sizeof(session) - 1,
                                   piece), sizeof(session) - 1);
        CHECK_STR(peer.asked, asked);
        CHECK_MEM(peer.seen, peer.seen_len, whole, len);
        peer_end(&peer);
    }
    free(whole);
    free(asked);
}

TEST_MAIN("trans", T(stat_of_a_known_total_asks_nobody),
          T(stat_excludes_deleted), T(stat_of_an_unknown_total_asks_once),
          T(stat_of_an_unknown_total_after_dele_counts_the_rest),
          T(stat_that_fails_remembers_nothing),
          T(deleting_more_octets_than_the_total_does_not_wrap),
          T(list_gives_number_and_octets), T(uidl_gives_number_and_id),
          T(list_of_an_empty_maildrop_asks_nobody),
          T(list_omits_deleted_and_does_not_ask_for_the_first_ones),
          T(list_asks_for_64_messages_at_a_time),
          T(list_that_fails_at_first_says_so),
          T(list_that_fails_for_good_is_the_administrators),
          T(list_that_fails_later_closes_without_the_dot),
          T(list_with_too_few_messages_fails),
          T(ids_that_break_the_rfc_never_reach_the_client),
          T(sizes_that_overflow_fail), T(facts_nobody_asked_for_are_refused),
          T(facts_that_do_not_fit_fail_the_login),
          T(second_box_and_absurd_counts_fail_the_login),
          T(numbers_are_strict), T(top_arguments_are_strict),
          T(commands_without_arguments_take_none),
          T(deleted_message_is_gone_for_every_command),
          T(dele_that_cannot_ask_for_the_size_marks_nothing),
          T(quit_commits_the_marks),
          T(quit_commits_when_nothing_is_marked_and_when_empty),
          T(rset_takes_back_deletions_and_keeps_what_was_retrieved),
          T(failed_commit_says_so), T(half_close_behind_quit_still_commits),
          T(half_close_without_quit_commits_nothing),
          T(retr_gives_the_message), T(retr_by_short_reads_is_the_same),
          T(retr_of_an_empty_message_is_only_the_dot),
          T(retr_that_fails_at_first_says_so),
          T(retr_read_error_in_the_header_says_so),
          T(retr_read_error_drops_connection_without_final_dot),
          T(error_where_the_end_should_be_is_no_whole_message),
          T(top_stops_reading_when_it_has_its_lines),
          T(top_does_not_count_as_retrieved),
          T(any_pieces_give_the_same_session))
