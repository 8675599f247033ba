/*
 * engine.c - tests of kpop/engine.c: clients that don't read, questions that
 * stay open, clocks, the end of the service.
 * TIME-LIMIT: 120
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/unit/peer.h"

#define STOPPED                                                             \
    "-ERR [SYS/TEMP] the server ends this session, nothing was deleted\r\n"
/* The most that may wait: one window beyond the mark, in its longest form. */
#define OUTPUT_BOUND (ENGINE_OUTPUT_HIGH + 2 * ENGINE_FETCH_SIZE + 1024)

/* RETR of `large`: the reply, CR and a doubled dot a line, the final dot. */
#define WIRE_LEN (21 + sizeof(large) + 2 * (sizeof(large) / 64) + 3)

static struct peer peer;
static char large[200000];

/* Logged in, with a first message of 200 000 octets. */
static void
logged_in_to_large(void)
{
    size_t i;

    for (i = 0; i < sizeof(large); i++)
        large[i] = i % 64 == 63 ? '\n' : i % 64 == 0 ? '.' : 'x';
    peer_init(&peer, false);
    peer.texts[0] = large;
    peer.lens[0] = sizeof(large);
    peer_logged_in(&peer);
}

static void
logged_in(void)
{
    peer_init(&peer, false);
    peer_logged_in(&peer);
}

static size_t
waiting(void)
{
    const uint8_t *data;

    return engine_output(peer.engine, &data);
}

/* ---- clients that don't read ---- */

TEST(message_is_produced_only_as_it_is_read)
{
    logged_in_to_large();
    peer.stalls = true;
    peer_send(&peer, "RETR 1\r\n");
    CHECK(waiting() >= ENGINE_OUTPUT_HIGH);
    CHECK(waiting() <= OUTPUT_BOUND);
    CHECK(engine_request(peer.engine) == NULL);
    CHECK(!engine_wants_input(peer.engine));
    peer.stalls = false;
    peer_run(&peer);
    CHECK(peer_saw(&peer, "x\r\n.\r\n"));
    CHECK_INT(peer.seen_len, WIRE_LEN);
    CHECK(engine_wants_input(peer.engine));
    peer_end(&peer);
}

TEST(message_read_octet_by_octet_is_bounded_and_whole)
{
    size_t total = 0, most = 0;

    logged_in_to_large();
    peer.stalls = true;
    peer_send(&peer, "RETR 1\r\n");
    while (waiting() > 0) {
        if (waiting() > most)
            most = waiting();
        engine_wrote(peer.engine, 1);
        total++;
        peer_run(&peer);
    }
    CHECK(most <= OUTPUT_BOUND);
    CHECK_INT(total, WIRE_LEN);
    peer_end(&peer);
}

TEST(long_list_is_produced_only_as_it_is_read)
{
    peer_init(&peer, false);
    peer.count = 100000;
    peer.unknown_octets = true;
    peer_logged_in(&peer);
    peer.stalls = true;
    peer_send(&peer, "UIDL\r\n");
    CHECK(waiting() >= ENGINE_OUTPUT_HIGH);
    CHECK(waiting() <= OUTPUT_BOUND);
    CHECK(strlen(peer.asked) < 2000);
    peer.asked[0] = '\0';
    peer.stalls = false;
    peer_run(&peer);
    CHECK(peer_saw(&peer, "\r\n100000 u100000\r\n.\r\n"));
    peer_end(&peer);
}

TEST(pipelined_commands_wait_for_a_reader)
{
    static char commands[100 * 8 + 1];
    size_t i, taken;

    for (i = 0; i < 100; i++)
        memcpy(commands + 8 * i, "RETR 1\r\n", 9);
    logged_in_to_large();
    peer.stalls = true;
    taken = peer_send_pieces(&peer, commands, 800, 800);
    CHECK_INT(taken, 8);
    CHECK_INT(engine_input(peer.engine, (const uint8_t *)commands + 8, 792),
              0);
    peer.stalls = false;
    peer_run(&peer);
    CHECK_INT(peer_send_pieces(&peer, commands + 8, 792, 792), 792);
    CHECK_INT(peer.seen_len,
              100 * WIRE_LEN);
    peer_end(&peer);
}

TEST(flood_of_short_commands_is_bounded)
{
    static char commands[20000 * 6];
    size_t i;

    for (i = 0; i < 20000; i++)
        memcpy(commands + 6 * i, "NOOP\r\n", 6);
    logged_in();
    peer.stalls = true;
    CHECK(engine_input(peer.engine, (const uint8_t *)commands,
                       sizeof(commands)) < sizeof(commands));
    CHECK(waiting() <= OUTPUT_BOUND);
    CHECK(!engine_wants_input(peer.engine));
    peer_end(&peer);
}

TEST(drained_session_holds_no_buffers)
{
    const uint8_t *data;

    logged_in_to_large();
    peer_send(&peer, "RETR 1\r\nLIST\r\nSTAT\r\n");
    CHECK_INT(engine_output(peer.engine, &data), 0);
    CHECK(data == NULL);
    peer_end(&peer);
}

/* ---- questions that stay open ---- */

TEST(input_waits_for_the_answer)
{
    logged_in();
    peer.hold = NEED(ENGINE_FETCH);
    CHECK_INT(peer_send_pieces(&peer, "RETR 1\r\nNOOP\r\n", 14, 14), 8);
    CHECK(!engine_wants_input(peer.engine));
    CHECK_INT(peer.seen_len, 0);
    peer.hold = 0;
    peer_run(&peer);
    CHECK(engine_wants_input(peer.engine));
    CHECK(peer_saw(&peer, "\r\n.\r\n"));
    peer_end(&peer);
}

TEST(buffer_of_an_open_fetch_outlives_the_close)
{
    const struct engine_request *request;

    logged_in();
    peer.hold = NEED(ENGINE_FETCH);
    peer_send(&peer, "RETR 1\r\n");
    engine_abort(peer.engine);
    CHECK(engine_is_closing(peer.engine));
    request = engine_request(peer.engine);
    CHECK(request != NULL);
    memset(request->buffer, 'x', request->size);
    engine_answer(peer.engine, request->size);
    peer_run(&peer);
    CHECK(engine_request(peer.engine) == NULL);
    CHECK_SEEN(&peer, "-ERR [SYS/TEMP] the server cannot go on, try again "
                      "later\r\n");
    peer_end(&peer);
}

TEST(box_opened_too_late_is_not_kept)
{
    peer_init(&peer, false);
    peer_greeted(&peer);
    peer.hold = NEED(ENGINE_OPEN);
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    peer_forget(&peer);
    engine_timeout(peer.engine);
    peer.hold = 0;
    peer_run(&peer);
    CHECK(!engine_is_logged_in(peer.engine));
    CHECK_SEEN(&peer, "");
    peer_end(&peer);
}

TEST(message_list_that_comes_too_late_is_forgotten)
{
    logged_in();
    peer.hold = NEED(ENGINE_LIST);
    peer_send(&peer, "LIST\r\n");
    engine_timeout(peer.engine);
    peer.hold = 0;
    peer_run(&peer);
    CHECK_SEEN(&peer, "");
    CHECK_STR(engine_end_reason(peer.engine), "timeout");
    peer_end(&peer);
}

TEST(answer_without_a_question_changes_nothing)
{
    logged_in();
    engine_answer(peer.engine, STATUS_OK);
    engine_answer(peer.engine, STATUS_TEMP);
    peer_send(&peer, "STAT\r\n");
    CHECK_SEEN(&peer, "+OK 2 200\r\n");
    peer_end(&peer);
}

/* ---- ends ---- */

TEST(closing_engine_uses_all_input_and_does_nothing)
{
    peer_init(&peer, false);
    peer_greeted(&peer);
    peer_send(&peer, "QUIT\r\nUSER a\r\nPASS b\r\n");
    peer_forget(&peer);
    CHECK_INT(engine_input(peer.engine, (const uint8_t *)"CAPA\r\n", 6), 6);
    engine_input_end(peer.engine);
    engine_timeout(peer.engine);
    engine_stop(peer.engine);
    engine_abort(peer.engine);
    peer_run(&peer);
    CHECK_BOTH(&peer, "", "");
    CHECK_STR(engine_end_reason(peer.engine), "quit");
    CHECK_INT(engine_timer(peer.engine), ENGINE_TIMER_NONE);
    peer_end(&peer);
}

TEST(nothing_is_taken_before_the_beginning)
{
    peer_init(&peer, false);
    peer.engine = engine_new(&peer.settings);
    CHECK(!engine_wants_input(peer.engine));
    CHECK_INT(engine_input(peer.engine, (const uint8_t *)"QUIT\r\n", 6), 0);
    engine_begin(peer.engine);
    engine_begin(peer.engine);
    peer_run(&peer);
    CHECK_SEEN(&peer, "+OK mail.example.org kpop ready\r\n");
    peer_end(&peer);
}

TEST(half_close_finishes_the_answer)
{
    logged_in_to_large();
    peer.stalls = true;
    peer_send(&peer, "RETR 1\r\n");
    engine_input_end(peer.engine);
    CHECK(!engine_is_closing(peer.engine));
    peer.stalls = false;
    peer_run(&peer);
    CHECK(peer_saw(&peer, "x\r\n.\r\n"));
    CHECK(engine_is_closing(peer.engine));
    CHECK_STR(engine_end_reason(peer.engine), "eof");
    peer_end(&peer);
}

TEST(timer_of_each_state)
{
    peer_init(&peer, false);
    peer_greeted(&peer);
    CHECK_INT(engine_timer(peer.engine), ENGINE_TIMER_LOGIN);
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    CHECK_INT(engine_timer(peer.engine), ENGINE_TIMER_IDLE);
    peer_send(&peer, "QUIT\r\n");
    CHECK_INT(engine_timer(peer.engine), ENGINE_TIMER_NONE);
    peer_end(&peer);
}

TEST(slow_login_is_closed_without_a_word)
{
    peer_init(&peer, false);
    peer_greeted(&peer);
    peer_send(&peer, "USER");
    engine_timeout(peer.engine);
    peer_run(&peer);
    CHECK(engine_is_closing(peer.engine));
    CHECK_SEEN(&peer, "");
    peer_end(&peer);
}

TEST(idle_session_is_closed_without_a_word_and_nothing_committed)
{
    logged_in();
    peer_send(&peer, "DELE 1\r\n");
    peer_forget(&peer);
    engine_timeout(peer.engine);
    peer_run(&peer);
    CHECK(engine_is_closing(peer.engine));
    CHECK_STR(engine_end_reason(peer.engine), "timeout");
    CHECK_BOTH(&peer, "", "");
    peer_end(&peer);
}

TEST(reader_that_sleeps_in_an_answer_gets_no_word_in_it)
{
    logged_in_to_large();
    peer.stalls = true;
    peer_send(&peer, "RETR 1\r\n");
    engine_timeout(peer.engine);
    CHECK(engine_is_closing(peer.engine));
    peer.stalls = false;
    peer_run(&peer);
    CHECK(!peer_saw(&peer, "ERR"));
    CHECK(!peer_saw(&peer, "\r\n.\r\n"));
    peer_end(&peer);
}

TEST(abort_in_an_answer_says_nothing_in_it)
{
    logged_in_to_large();
    peer.stalls = true;
    peer_send(&peer, "RETR 1\r\n");
    engine_abort(peer.engine);
    peer.stalls = false;
    peer_run(&peer);
    CHECK(!peer_saw(&peer, "ERR"));
    CHECK(!peer_saw(&peer, "\r\n.\r\n"));
    CHECK_STR(engine_end_reason(peer.engine), "abort");
    peer_end(&peer);
}

TEST(stop_tells_an_idle_session)
{
    logged_in();
    engine_stop(peer.engine);
    peer_run(&peer);
    CHECK_BOTH(&peer, STOPPED, "");
    CHECK_STR(engine_end_reason(peer.engine), "stop");
    peer_end(&peer);
}

TEST(stop_before_login_says_so)
{
    peer_init(&peer, true);
    peer_greeted(&peer);
    engine_stop(peer.engine);
    peer_run(&peer);
    CHECK_BOTH(&peer,
               "-ERR [SYS/TEMP] the server ends this session, "
               "try again later\r\n",
               "END;");
    peer_end(&peer);
}

TEST(stop_lets_the_answer_be_finished)
{
    logged_in_to_large();
    peer.stalls = true;
    CHECK_INT(peer_send_pieces(&peer, "RETR 1\r\nNOOP\r\n", 14, 14), 8);
    engine_stop(peer.engine);
    CHECK(!engine_is_closing(peer.engine));
    peer.stalls = false;
    peer_run(&peer);
    CHECK(engine_is_closing(peer.engine));
    CHECK(peer_saw(&peer, "x\r\n.\r\n" STOPPED));
    peer_end(&peer);
}

TEST(stop_lets_a_login_be_finished_and_closes)
{
    peer_init(&peer, false);
    peer_greeted(&peer);
    peer.hold = NEED(ENGINE_START);
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    engine_stop(peer.engine);
    peer.hold = 0;
    peer_forget(&peer);
    peer_run(&peer);
    CHECK_BOTH(&peer, "+OK maildrop has 2 messages (200 octets)\r\n" STOPPED,
               "START PLAIN 8;OPEN alice alice PLAIN;");
    peer_end(&peer);
}

TEST(commands_are_counted)
{
    struct engine_counts counts;

    logged_in();
    peer_send(&peer, "NOOP\r\nXYZZY\r\n\r\n");
    engine_get_counts(peer.engine, &counts);
    CHECK_INT(counts.commands, 5);
    CHECK_INT(counts.failures, 0);
    peer_end(&peer);
}

TEST(null_engine_is_freed)
{
    engine_free(NULL);
}

TEST_MAIN("engine", T(message_is_produced_only_as_it_is_read),
          T(message_read_octet_by_octet_is_bounded_and_whole),
          T(long_list_is_produced_only_as_it_is_read),
          T(pipelined_commands_wait_for_a_reader),
          T(flood_of_short_commands_is_bounded),
          T(drained_session_holds_no_buffers), T(input_waits_for_the_answer),
          T(buffer_of_an_open_fetch_outlives_the_close),
          T(box_opened_too_late_is_not_kept),
          T(message_list_that_comes_too_late_is_forgotten),
          T(answer_without_a_question_changes_nothing),
          T(closing_engine_uses_all_input_and_does_nothing),
          T(nothing_is_taken_before_the_beginning),
          T(half_close_finishes_the_answer), T(timer_of_each_state),
          T(slow_login_is_closed_without_a_word),
          T(idle_session_is_closed_without_a_word_and_nothing_committed),
          T(reader_that_sleeps_in_an_answer_gets_no_word_in_it),
          T(abort_in_an_answer_says_nothing_in_it),
          T(stop_tells_an_idle_session), T(stop_before_login_says_so),
          T(stop_lets_the_answer_be_finished),
          T(stop_lets_a_login_be_finished_and_closes),
          T(commands_are_counted), T(null_engine_is_freed))
