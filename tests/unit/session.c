/*
 * session.c - sessions of the module: breaches of the ABI, ends at every open
 * question, clocks, backpressure and counters.  What is said to clients is
 * tested by the dialogues.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>

#include "tests/lib/check.h"
#include "tests/unit/stub.h"

static struct stub stub;

static const char login[] = "USER alice\r\nPASS secret\r\n";
static const char whole[] =
    "USER alice\r\nPASS secret\r\nLIST\r\nRETR 1\r\nDELE 2\r\nQUIT\r\n";
static const char hello[] =
    "\0\0\0\x13KRB5_SENDAUTH_V1.0\0\0\0\0\x09KPOPV1.0\0\0\0\0\x04n\x02zz";
enum { HELLO = sizeof(hello) - 1 };

static void
begin(const struct kpop_host *table)
{
    stub_begin(&stub, table);
    CHECK_INT(stub_connect(&stub, "pop3"), KPOP_OK);
}

static uint32_t
wants(void)
{
    return stub.api->wants(stub.session);
}

/* ---- breaches of the ABI ---- */

TEST(done_without_an_open_question_is_invalid_and_logged)
{
    struct kpop_op *op;

    begin(&stub_passwords);
    stub.mode = STUB_LATER;
    stub_say(&stub, "USER alice\r\nPASS wrong\r\n");
    op = stub.kept;
    CHECK(op != NULL);
    CHECK(stub_answer(&stub));
    CHECK_INT(stub.api->done(op, KPOP_OK), KPOP_INVALID);
    CHECK_INT(stub.api->done(NULL, KPOP_OK), KPOP_INVALID);
    CHECK_INT(stub.misuses, 1);
    CHECK(stub_logged(&stub, "done() without an open question"));
    stub_end(&stub);
}

static int32_t
verify_twice(void *conn, struct kpop_op *op, const char *user,
             const void *password, size_t size)
{
    (void)conn, (void)user, (void)password, (void)size;
    CHECK_INT(stub.api->done(op, KPOP_OK), KPOP_OK);
    CHECK_INT(stub.api->done(op, KPOP_OK), KPOP_INVALID);
    return KPOP_OK;
}

TEST(done_and_a_result_together_log_nobody_in)
{
    struct kpop_host table = stub_passwords;

    table.verify_password = verify_twice;
    begin(&table);
    stub_say(&stub, login);
    CHECK(stub_got(&stub, "-ERR [SYS/TEMP]"));
    CHECK_INT(stub.boxes, 0);
    CHECK_INT(stub.misuses, 2);
    stub_end(&stub);
}

TEST(ok_without_its_fact_is_a_failure)
{
    begin(&stub_passwords);
    stub.silent[STUB_AUTHORIZE] = true;
    stub_say(&stub, login);
    CHECK(stub_got(&stub, "-ERR [SYS/TEMP]"));
    stub.silent[STUB_AUTHORIZE] = false;
    stub.silent[STUB_OPEN] = true;
    stub_say(&stub, login);
    CHECK_INT(stub.asked[STUB_OPEN], 1);
    CHECK_INT(stub.misuses, 2);
    CHECK((wants() & KPOP_IS_LOGGED_IN) == 0);
    stub_end(&stub);
}

TEST(results_that_a_question_cannot_have_are_failures)
{
    static const int32_t odd[] = { 17, KPOP_CONTINUE, KPOP_TAKEN, KPOP_GONE,
                                   KPOP_INVALID, -99 };

    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        begin(&stub_passwords);
        stub.answers[STUB_OPEN] = odd[i];
        stub_say(&stub, login);
        CHECK(stub_got(&stub, "-ERR [SYS/TEMP]"));
        CHECK_INT(stub.misuses, 1);
        CHECK_INT(stub.closes, 1); /* it was put, so it is closed */
        stub_end(&stub);
    }
}

TEST(a_fetch_of_more_than_the_buffer_drops_the_connection)
{
    begin(&stub_passwords);
    stub_say(&stub, login);
    stub.answers[STUB_FETCH] = 1 << 20;
    stub_say(&stub, "RETR 1\r\n");
    CHECK_INT(stub.misuses, 1);
    CHECK(!stub_got(&stub, "\r\n.\r\n"));
    stub_end(&stub);
}

static int32_t
verify_put_box(void *conn, struct kpop_op *op, const char *user,
               const void *password, size_t size)
{
    (void)conn, (void)user, (void)password, (void)size;
    CHECK_INT(stub.api->put_box(op, &stub, 1, 1), KPOP_INVALID);
    CHECK_INT(stub.api->put_mechanisms(op, "KPOP"), KPOP_INVALID);
    return KPOP_OK;
}

TEST(facts_that_were_not_asked_for_fail_the_question)
{
    struct kpop_host table = stub_passwords;

    table.verify_password = verify_put_box;
    begin(&table);
    stub_say(&stub, login);
    CHECK(stub_got(&stub, "-ERR [SYS/TEMP]"));
    CHECK_INT(stub.asked[STUB_AUTHORIZE], 0);
    CHECK_INT(stub.misuses, 2);
    stub_end(&stub);
}

static int32_t
authorize_badly(void *conn, struct kpop_op *op,
                const struct kpop_identity *identity)
{
    char big[KPOP_USER_MAX + 2];

    (void)conn, (void)identity;
    memset(big, 'a', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    CHECK_INT(stub.api->put_user(op, big), KPOP_INVALID);
    return KPOP_OK;
}

TEST(a_user_name_that_is_too_long_logs_nobody_in)
{
    struct kpop_host table = stub_passwords;

    table.authorize = authorize_badly;
    begin(&table);
    stub_say(&stub, login);
    CHECK(stub_got(&stub, "-ERR [SYS/TEMP]"));
    CHECK_INT(stub.boxes, 0);
    stub_end(&stub);
}

static const char *unclean;

static int32_t
authorize_unclean(void *conn, struct kpop_op *op,
                  const struct kpop_identity *identity)
{
    (void)conn, (void)identity;
    CHECK_INT(stub.api->put_user(NULL, "alice"), KPOP_INVALID);
    CHECK_INT(stub.api->put_user(op, unclean), KPOP_INVALID);
    return KPOP_OK;
}

TEST(a_user_name_that_is_none_or_unclean_logs_nobody_in)
{
    static const char *const names[] = { "al\nice", "alice\x7f", "", NULL };
    struct kpop_host table = stub_passwords;

    table.authorize = authorize_unclean;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        unclean = names[i];
        begin(&table);
        stub_say(&stub, login);
        CHECK(stub_got(&stub, "-ERR [SYS/TEMP]"));
        CHECK_INT(stub.boxes, 0);
        CHECK(stub_logged(&stub, "a value that is not allowed"));
        stub_end(&stub);
    }
}

static int32_t
open_twice(void *conn, struct kpop_op *op, const struct kpop_open *what)
{
    (void)what;
    stub.boxes++;
    CHECK_INT(stub.api->put_box(op, conn, 2, 10), KPOP_OK);
    CHECK_INT(stub.api->put_box(op, conn, 2, 10), KPOP_INVALID);
    return KPOP_OK;
}

TEST(a_second_box_fails_open_and_the_first_is_closed)
{
    struct kpop_host table = stub_passwords;

    table.open = open_twice;
    begin(&table);
    stub_say(&stub, login);
    CHECK_INT(stub.closes, 1);
    CHECK(stub_got(&stub, "-ERR [SYS/TEMP]"));
    stub_end(&stub);
}

static int32_t
mechanisms_later(void *conn, struct kpop_op *op,
                 const struct kpop_facts *facts)
{
    (void)conn, (void)op, (void)facts;
    return KPOP_PENDING;
}

TEST(mechanisms_cannot_be_kept)
{
    struct kpop_host table = stub_exchange;

    table.exchange_mechanisms = mechanisms_later;
    begin(&table);
    CHECK_INT(stub.misuses, 1);
    stub_say(&stub, "USER alice\r\nPASS secret\r\n");
    CHECK_INT(stub.asked[STUB_START], 0);
    stub_end(&stub);
}

/* ---- ends ---- */

/* Hangs up at the n-th question; false when there are fewer. */
static bool
hang_up_at(const struct kpop_host *table, const char *service, unsigned n)
{
    stub_begin(&stub, table);
    CHECK_INT(stub_connect(&stub, service), KPOP_OK);
    stub.mode = STUB_LATER;
    if (strcmp(service, "kpop") == 0)
        stub_say_bytes(&stub, hello, HELLO);
    for (unsigned i = 0; i <= n; i++) {
        if (i == 0 && strcmp(service, "kpop") != 0)
            stub_say(&stub, whole);
        if (stub.kept == NULL && (wants() & KPOP_WANT_READ) != 0)
            stub_say(&stub, whole);
        if (stub.kept == NULL)
            return false;
        if (i < n) {
            CHECK(stub_answer(&stub));
            stub_drain(&stub);
        }
    }
    stub_hangup(&stub);
    return true;
}

static void
check_hang_ups(const struct kpop_host *table, const char *service)
{
    unsigned n = 0;

    for (;; n++) {
        bool more = hang_up_at(table, service, n);

        if (more) {
            CHECK_INT(stub.cancels, 1);
            CHECK(stub_answer(&stub));
        }
        stub_end(&stub); /* checks boxes and exchanges */
        if (!more)
            break;
    }
    CHECK(n >= 5);
}

TEST(a_hang_up_at_each_question_closes_and_ends_exactly_once)
{
    check_hang_ups(&stub_passwords, "pop3");
    check_hang_ups(&stub_exchange, "pop3");
    check_hang_ups(&stub_exchange, "kpop");
}

TEST(a_box_that_comes_late_is_closed_when_open_is_done)
{
    begin(&stub_exchange);
    stub_say(&stub, "USER alice\r\n");
    stub.mode = STUB_LATER;
    stub_say(&stub, "PASS secret\r\n");
    CHECK(stub_answer(&stub));
    CHECK_INT(stub.asked[STUB_OPEN], 1);
    stub_hangup(&stub);
    CHECK_INT(stub.closes, 0);
    CHECK(stub_answer(&stub));
    CHECK_INT(stub.closes, 1);
    stub_end(&stub);
}

TEST(done_inside_cancel_is_an_answer)
{
    for (unsigned n = 0; n < 8; n++) {
        stub_begin(&stub, &stub_passwords);
        CHECK_INT(stub_connect(&stub, "pop3"), KPOP_OK);
        stub.mode = STUB_LATER;
        stub_say(&stub, whole);
        for (unsigned i = 0; i < n; i++) {
            (void)stub_answer(&stub);
            stub_drain(&stub);
        }
        stub.end_in_cancel = true;
        stub_hangup(&stub);
        CHECK(stub.kept == NULL);
        stub_end(&stub);
    }
}

TEST(a_session_is_closed_once)
{
    struct kpop_session *session;
    struct kpop_stats stats = { .size = sizeof(stats) };

    begin(&stub_passwords);
    stub.mode = STUB_LATER;
    stub_say(&stub, login);
    session = stub.session;
    stub_hangup(&stub);
    stub.api->session_close(session); /* the question keeps it */
    stub.api->session_close(NULL);
    CHECK(stub_answer(&stub));
    stub.api->stats(stub.plugin, &stats);
    CHECK_INT(stats.sessions_open, 0);
    CHECK(stub_logged(&stub, "session.end "));
    CHECK(strstr(strstr(stub.log, "session.end ") + 1, "session.end ")
          == NULL);
    stub_end(&stub);
}

TEST(session_close_inside_each_callback_is_survived)
{
    for (int which = STUB_START; which < STUB_QUESTIONS; which++) {
        const struct kpop_host *table =
            which == STUB_AUTHORIZE || which == STUB_PASSWORD
                ? &stub_passwords
                : &stub_exchange;

        for (int mode = STUB_RETURNS; mode <= STUB_LATER; mode++) {
            bool kpop = which == STUB_STEP;

            stub_begin(&stub, table);
            CHECK_INT(stub_connect(&stub, kpop ? "kpop" : "pop3"), KPOP_OK);
            if (kpop)
                stub_say_bytes(&stub, hello, HELLO);
            stub.close_inside[which] = true;
            stub.mode = (enum stub_mode)mode;
            for (const char *at = whole; *at != '\0'; at++) {
                if (stub.asked[which] > 0)
                    break;
                /* By hand: the session may be gone after any call. */
                while ((wants() & KPOP_WANT_READ) == 0) {
                    CHECK(stub.kept != NULL);
                    (void)stub_answer(&stub);
                    if (stub.asked[which] > 0)
                        break;
                    stub_drain(&stub);
                }
                if (stub.asked[which] == 0)
                    (void)stub.api->input(stub.session, at, 1, 0);
                if (stub.asked[which] == 0)
                    stub_drain(&stub);
            }
            while (stub.asked[which] == 0 && stub_answer(&stub))
                if (stub.asked[which] == 0)
                    stub_drain(&stub);
            CHECK_INT(stub.asked[which], 1);
            stub.session = NULL;
            stub_end(&stub);
        }
    }
}

static int32_t
open_that_ticks_and_closes(void *conn, struct kpop_op *op,
                           const struct kpop_open *what)
{
    struct kpop_session *session = stub.session;

    (void)what;
    stub.boxes++;
    CHECK_INT(stub.api->put_box(op, conn, 2, 60), KPOP_OK);
    stub.api->tick(session, 100000);
    CHECK_INT(stub.api->done(op, KPOP_OK), KPOP_OK);
    stub.session = NULL;
    stub.api->session_close(session);
    CHECK_INT(stub.closes, 0); /* the session waits for us to return */
    return KPOP_PENDING;
}

/* Time runs out in it as well. */
TEST(session_close_inside_a_callback_that_ticked_is_survived)
{
    struct kpop_host table = stub_passwords;

    table.open = open_that_ticks_and_closes;
    stub_begin(&stub, &table);
    CHECK_INT(stub_connect(&stub, "pop3"), KPOP_OK);
    CHECK_INT(stub.api->input(stub.session, login, strlen(login), 0),
              strlen(login));
    CHECK_INT(stub.boxes, 1);
    CHECK_INT(stub.closes, 1);
    stub_end(&stub);
}

/* Asked by a done(), so that nothing of the session's runs meanwhile. */
static int32_t
authorize_that_answers_and_hears(void *conn, struct kpop_op *op,
                                 const struct kpop_identity *identity)
{
    (void)conn, (void)identity;
    CHECK_INT(stub.api->put_user(op, "alice"), KPOP_OK);
    CHECK_INT(stub.api->done(op, KPOP_OK), KPOP_OK);
    CHECK_INT(stub.api->input(stub.session, "NOOP\r\n", 6, 0), 6);
    return KPOP_PENDING;
}

static int32_t
authorize_that_answers_and_closes(void *conn, struct kpop_op *op,
                                  const struct kpop_identity *identity)
{
    struct kpop_session *session = stub.session;

    (void)conn, (void)identity;
    CHECK_INT(stub.api->put_user(op, "alice"), KPOP_OK);
    CHECK_INT(stub.api->done(op, KPOP_OK), KPOP_OK);
    stub.session = NULL;
    stub.api->session_close(session);
    return KPOP_PENDING;
}

/* Up to a password that is looked at later. */
static void
begin_later(struct kpop_host *table)
{
    stub_begin(&stub, table);
    CHECK_INT(stub_connect(&stub, "pop3"), KPOP_OK);
    stub.mode = STUB_LATER;
    CHECK_INT(stub.api->input(stub.session, login, strlen(login), 0),
              strlen(login));
    CHECK_INT(stub.asked[STUB_PASSWORD], 1);
}

TEST(input_within_a_question_that_a_done_asked_is_heard)
{
    struct kpop_host table = stub_passwords;

    table.authorize = authorize_that_answers_and_hears;
    begin_later(&table);
    CHECK(stub_answer(&stub)); /* password, authorize */
    CHECK(stub_answer(&stub)); /* open */
    stub_drain(&stub);
    CHECK_INT(stub.boxes, 1);
    CHECK((wants() & KPOP_IS_LOGGED_IN) != 0);
    CHECK((wants() & KPOP_WANT_READ) != 0);
    stub_end(&stub);
}

TEST(session_close_within_a_question_that_a_done_asked_is_survived)
{
    struct kpop_host table = stub_passwords;

    table.authorize = authorize_that_answers_and_closes;
    begin_later(&table);
    CHECK(stub_answer(&stub));
    CHECK_INT(stub.boxes, 0);
    stub_end(&stub);
}

TEST(the_box_is_closed_before_the_answer_to_quit)
{
    begin(&stub_passwords);
    stub_say(&stub, login);
    stub.mode = STUB_LATER;
    stub_say(&stub, "QUIT\r\n");
    CHECK_INT(stub.closes, 0);
    CHECK(stub_answer(&stub));
    CHECK_INT(stub.closes, 1);
    CHECK(!stub_got(&stub, "+OK bye"));
    stub_drain(&stub);
    CHECK(stub_got(&stub, "+OK bye"));
    CHECK((wants() & KPOP_WANT_CLOSE) != 0);
    stub_end(&stub);
}

TEST(parted_is_who_said_quit_behind_a_login)
{
    begin(&stub_passwords);
    stub_say(&stub, login);
    CHECK((wants() & KPOP_IS_PARTED) == 0);
    stub_say(&stub, "QUIT\r\n");
    stub_drain(&stub);
    CHECK((wants() & KPOP_IS_PARTED) != 0);
    stub_end(&stub);

    begin(&stub_passwords);
    stub_say(&stub, "QUIT\r\n");
    stub_drain(&stub);
    CHECK((wants() & KPOP_WANT_CLOSE) != 0);
    CHECK((wants() & KPOP_IS_PARTED) == 0);
    stub_end(&stub);

    begin(&stub_passwords);
    stub_say(&stub, login);
    stub.api->session_stop(stub.session, 0);
    stub_drain(&stub);
    CHECK((wants() & KPOP_WANT_CLOSE) != 0);
    CHECK((wants() & KPOP_IS_PARTED) == 0);
    stub_end(&stub);
}

TEST(a_half_close_while_the_host_thinks_still_commits)
{
    begin(&stub_passwords);
    stub.mode = STUB_LATER;
    stub_say(&stub, whole);
    stub.api->input_end(stub.session, 0);
    stub_answer_all(&stub);
    CHECK_INT(stub.asked[STUB_COMMIT], 1);
    CHECK_INT(stub.deleted, 1);
    stub_end(&stub);
}

TEST(a_hang_up_never_commits)
{
    begin(&stub_passwords);
    stub_say(&stub, login);
    stub_say(&stub, "DELE 1\r\n");
    stub_end(&stub);
    CHECK_INT(stub.asked[STUB_COMMIT], 0);
    CHECK(stub_logged(&stub, "reason=hangup"));
}

/* ---- clocks ---- */

TEST(login_has_its_time_and_commands_do_not_extend_it)
{
    begin(&stub_passwords);
    stub.api->tick(stub.session, 0);
    CHECK_INT(stub.api->deadline(stub.session), 60000);
    stub.api->input(stub.session, "NOOP\r\n", 6, 30000);
    stub_drain(&stub);
    stub.api->tick(stub.session, 30000);
    CHECK_INT(stub.api->deadline(stub.session), 60000);
    stub.api->tick(stub.session, 59999);
    CHECK((wants() & KPOP_WANT_CLOSE) == 0);
    stub.api->tick(stub.session, 60000);
    CHECK((wants() & KPOP_WANT_CLOSE) != 0);
    stub_end(&stub);
    CHECK(stub_logged(&stub, "reason=timeout"));
}

TEST(a_silent_kpop_client_is_told_after_ten_seconds)
{
    stub_begin(&stub, &stub_exchange);
    CHECK_INT(stub_connect(&stub, "kpop"), KPOP_OK);
    CHECK_INT(stub.api->deadline(stub.session), 10000);
    stub.api->tick(stub.session, 10000);
    stub_drain(&stub);
    CHECK(stub_got(&stub, "-ERR [AUTH]"));
    stub_end(&stub);
}

TEST(idle_time_is_counted_from_the_last_progress)
{
    begin(&stub_passwords);
    stub_say(&stub, login);
    CHECK_INT(stub.api->deadline(stub.session), 0); /* no time was told */
    stub.api->tick(stub.session, 1000);
    CHECK_INT(stub.api->deadline(stub.session), 601000);
    (void)stub.api->input(stub.session, "DELE 1\r\n", 8, 5000);
    CHECK_INT(stub.api->deadline(stub.session), 605000);
    stub_drain(&stub);
    stub.api->tick(stub.session, 6000);
    CHECK_INT(stub.api->deadline(stub.session), 606000);
    (void)stub.api->input(stub.session, "NO", 2, 9000); /* no command */
    CHECK_INT(stub.api->deadline(stub.session), 606000);
    stub.api->tick(stub.session, 606000);
    CHECK((wants() & KPOP_WANT_CLOSE) != 0);
    CHECK_INT(stub.closes, 1);
    CHECK_INT(stub.asked[STUB_COMMIT], 0);
    stub_end(&stub);
}

TEST(the_store_s_time_is_not_the_client_s)
{
    begin(&stub_passwords);
    stub_say(&stub, login);
    stub.api->tick(stub.session, 0);
    stub.mode = STUB_LATER;
    (void)stub.api->input(stub.session, "RETR 1\r\n", 8, 0);
    CHECK((wants() & KPOP_IS_BUSY) != 0);
    CHECK(stub.api->deadline(stub.session) == UINT64_MAX);
    stub_end(&stub);
}

TEST(a_login_that_hangs_is_given_up)
{
    for (int i = 0; i < 2; i++) {
        begin(i == 0 ? &stub_passwords : &stub_exchange);
        stub.mode = STUB_LATER;
        stub_say(&stub, login);
        stub.api->tick(stub.session, 1);
        CHECK_INT(stub.api->deadline(stub.session), 60000);
        stub.api->tick(stub.session, 60000);
        CHECK((wants() & KPOP_WANT_CLOSE) != 0);
        CHECK_INT(stub.cancels, 1);
        CHECK(stub.api->deadline(stub.session) == UINT64_MAX);
        stub_end(&stub);
        CHECK(stub_logged(&stub, "reason=timeout"));
    }
}

TEST(a_last_answer_that_nobody_takes_is_given_up)
{
    const void *data;

    begin(&stub_passwords);
    stub.api->tick(stub.session, 0);
    (void)stub.api->input(stub.session, "QUIT\r\n", 6, 1000);
    CHECK((wants() & (KPOP_WANT_CLOSE | KPOP_WANT_WRITE))
          == (KPOP_WANT_CLOSE | KPOP_WANT_WRITE));
    CHECK_INT(stub.api->deadline(stub.session), 31000);
    stub.api->tick(stub.session, 31000);
    CHECK_INT(stub.api->output(stub.session, &data), 0);
    CHECK_INT(wants(), KPOP_WANT_CLOSE);
    stub_end(&stub);
}

/* ---- octets ---- */

TEST(one_piece_waits_while_the_host_thinks_and_no_more)
{
    begin(&stub_passwords);
    stub.mode = STUB_LATER;
    stub_say(&stub, login);
    CHECK((wants() & KPOP_WANT_READ) != 0);
    CHECK_INT(stub.api->input(stub.session, "NOOP\r\n", 6, 0), 6);
    CHECK((wants() & KPOP_WANT_READ) == 0);
    CHECK_INT(stub.api->input(stub.session, "NOOP\r\n", 6, 0), 0);
    stub_answer_all(&stub);
    CHECK((wants() & KPOP_WANT_READ) != 0);
    stub_end(&stub);
}

TEST(a_client_that_does_not_read_is_not_read_from)
{
    size_t total = 0;
    size_t n;

    begin(&stub_passwords);
    stub_say(&stub, login);
    do {
        n = stub.api->input(stub.session, "RETR 1\r\n", 8, 0);
        total += n;
    } while (n > 0 && total < 1000000);
    CHECK(total < 100000);
    CHECK((wants() & KPOP_WANT_READ) == 0);
    stub_drain(&stub);
    CHECK((wants() & KPOP_WANT_READ) != 0);
    stub_end(&stub);
}

TEST(input_takes_at_most_its_limit_at_once)
{
    static char big[KPOP_READ_MAX + 1];

    memset(big, '\n', sizeof(big));
    begin(&stub_passwords);
    CHECK_INT(stub.api->input(stub.session, big, sizeof(big), 0),
              KPOP_READ_MAX);
    stub_end(&stub);
}

TEST(wrote_is_held_to_what_there_was)
{
    begin(&stub_passwords);
    stub.api->wrote(stub.session, 1000000);
    stub_say(&stub, login);
    CHECK((wants() & KPOP_IS_LOGGED_IN) != 0);
    stub_end(&stub);
}

/* ---- facts, policies, counters ---- */

TEST(only_known_services_with_sane_facts_are_served)
{
    static char big[2000];
    struct kpop_facts facts = { .size = sizeof(facts), .service = "imap" };

    stub_begin(&stub, &stub_passwords);
    CHECK_INT(stub_connect(&stub, "imap"), KPOP_INVALID);
    CHECK_INT(stub_connect(&stub, "pop3s"), KPOP_INVALID); /* no TLS */
    memset(big, 'x', sizeof(big) - 1);
    facts.service = "pop3";
    facts.peer_address = big;
    CHECK_INT(stub.api->session_new(stub.plugin, &facts, &stub, 0,
                                    &stub.session), KPOP_INVALID);
    facts.size = 8;
    CHECK_INT(stub.api->session_new(stub.plugin, &facts, &stub, 0,
                                    &stub.session), KPOP_INVALID);
    CHECK_INT(stub.api->session_new(stub.plugin, NULL, &stub, 0,
                                    &stub.session), KPOP_INVALID);
    /* An older host's: up to the service alone. */
    facts.size = offsetof(struct kpop_facts, session_id);
    CHECK_INT(stub.api->session_new(stub.plugin, &facts, &stub, 0,
                                    &stub.session), KPOP_OK);
    stub_end(&stub);
}

/* Half a pointer is none. */
TEST(facts_that_end_within_a_member_are_read_up_to_it)
{
    struct kpop_facts facts = { .size = sizeof(facts), .service = "pop3",
                                .session_id = "s", .peer_address = "p" };

    facts.size = offsetof(struct kpop_facts, peer_address)
                 + sizeof(char *) / 2;
    stub_begin(&stub, &stub_passwords);
    CHECK_INT(stub.api->session_new(stub.plugin, &facts, &stub, 0,
                                    &stub.session), KPOP_OK);
    CHECK(!stub_logged(&stub, "peer=p"));
    stub_end(&stub);
}

static void
check_plaintext(const char *policy, uint32_t ssf, bool allowed)
{
    struct kpop_facts facts = { .size = sizeof(facts), .service = "pop3",
                                .ssf = ssf };

    stub_begin(&stub, &stub_passwords);
    CHECK_INT(stub.api->set(stub.plugin, "plaintext", policy, NULL, 0),
              KPOP_OK);
    CHECK_INT(stub.api->ready(stub.plugin, NULL, 0), KPOP_OK);
    CHECK_INT(stub.api->session_new(stub.plugin, &facts, &stub, 0,
                                    &stub.session), KPOP_OK);
    stub_say(&stub, "CAPA\r\n");
    CHECK_INT(stub_got(&stub, "\r\nUSER\r\n"), allowed);
    stub_say(&stub, login);
    CHECK_INT(stub.asked[STUB_PASSWORD], allowed ? 1 : 0);
    stub_end(&stub);
}

TEST(passwords_in_the_clear_follow_the_policy)
{
    check_plaintext("tls", 0, false);
    check_plaintext("tls", 256, true);
    check_plaintext("never", 256, false);
    check_plaintext("always", 0, true);
}

TEST(a_host_without_verify_password_has_no_user)
{
    struct kpop_host table = stub_passwords;

    table.verify_password = NULL;
    begin(&table);
    stub_say(&stub, "CAPA\r\n");
    CHECK(!stub_got(&stub, "\r\nUSER\r\n"));
    stub_say(&stub, login);
    CHECK(!stub_got(&stub, "messages"));
    stub_end(&stub);
}

TEST(counters_add_up_over_sessions)
{
    struct kpop_stats stats = { .size = sizeof(stats) };

    begin(&stub_passwords);
    stub_say(&stub, "USER alice\r\nPASS wrong\r\n");
    stub_say(&stub, whole);
    stub.api->stats(stub.plugin, &stats);
    CHECK_INT(stats.sessions_open, 1);
    stub_hangup(&stub);
    stub.out_len = 0;
    CHECK_INT(stub_connect(&stub, "kpop"), KPOP_OK);
    stub_hangup(&stub);
    stub.api->stats(stub.plugin, &stats);
    CHECK_INT(stats.sessions_open, 0);
    CHECK_INT(stats.sessions, 2);
    CHECK_INT(stats.logins, 1);
    CHECK_INT(stats.login_failures, 1);
    CHECK_INT(stats.kpop_refusals, 1);
    CHECK_INT(stats.commands, 8);
    CHECK_INT(stats.messages_retrieved, 1);
    CHECK_INT(stats.messages_deleted, 1);
    CHECK_INT(stats.commits_failed, 0);
    CHECK_INT(stats.octets_in, sizeof(whole) - 1 + 24);
    stats.size = 8; /* an older host: no more is written */
    stats.sessions = 77;
    stub.api->stats(stub.plugin, &stats);
    CHECK_INT(stats.sessions, 77);
    stub_end(&stub);
}

TEST(no_password_is_ever_logged)
{
    begin(&stub_passwords);
    stub_say(&stub, "USER alice\r\nPASS hunter2\r\nPASS hunter2\r\n");
    stub_say(&stub, whole);
    stub_end(&stub);
    CHECK(stub_logged(&stub, "auth.fail session="));
    CHECK(stub_logged(&stub, "auth.ok session="));
    CHECK(!stub_logged(&stub, "hunter2"));
    CHECK(!stub_logged(&stub, "secret"));
    CHECK(stub_logged(&stub, "user=alice reason=quit"));
}

TEST(store_failures_are_no_login_failures)
{
    struct kpop_stats stats = { .size = sizeof(stats) };

    begin(&stub_passwords);
    stub.answers[STUB_OPEN] = KPOP_IN_USE;
    stub_say(&stub, login);
    CHECK(stub_got(&stub, "-ERR [IN-USE]"));
    CHECK(stub_logged(&stub, "op=open result=in-use"));
    CHECK(!stub_logged(&stub, "auth.fail"));
    stub.api->stats(stub.plugin, &stats);
    CHECK_INT(stats.login_failures, 0);
    stub_end(&stub);
}

TEST(the_same_kpop_step_may_be_asked_again_after_temp)
{
    stub_begin(&stub, &stub_exchange);
    CHECK_INT(stub_connect(&stub, "kpop"), KPOP_OK);
    stub_say_bytes(&stub, hello, HELLO);
    stub.answers[STUB_STEP] = KPOP_TEMP;
    stub_say(&stub, login);
    CHECK(stub_got(&stub, "-ERR [SYS/TEMP]"));
    CHECK_INT(stub.ends, 0);
    stub.answers[STUB_STEP] = 0;
    stub_say(&stub, login);
    CHECK_INT(stub.ends, 1);
    CHECK((wants() & KPOP_IS_LOGGED_IN) != 0);
    stub_end(&stub);
}

TEST(a_taken_connection_is_the_host_s)
{
    const void *data;

    begin(&stub_exchange);
    stub.answers[STUB_START] = KPOP_TAKEN;
    stub_say(&stub, "USER alice\r\n");
    (void)stub.api->input(stub.session, "PASS secret\r\nSTAT\r\n", 19, 0);
    CHECK((wants() & KPOP_IS_TAKEN) != 0);
    CHECK((wants() & KPOP_WANT_READ) == 0);
    CHECK_MEM(data, stub.api->remainder(stub.session, &data), "STAT\r\n", 6);
    CHECK_INT(stub.ends, 1);
    CHECK(stub.api->deadline(stub.session) == 0
          || stub.api->deadline(stub.session) == UINT64_MAX);
    stub_end(&stub);
}

/* One that only passes connections on has no store. */
TEST(a_host_without_a_store_opens_no_maildrop)
{
    struct kpop_host table = stub_exchange;

    table.open = NULL;
    table.list = NULL;
    table.fetch = NULL;
    table.commit = NULL;
    table.close = NULL;
    begin(&table);
    stub_say(&stub, login);
    CHECK(stub_got(&stub, "-ERR [SYS/PERM]"));
    CHECK((wants() & KPOP_IS_LOGGED_IN) == 0);
    CHECK(stub_logged(&stub, "op=open result=perm"));
    stub_end(&stub);
}

TEST(stls_is_done_by_a_host_that_has_tls_of_its_own)
{
    struct kpop_facts facts = { .size = sizeof(facts), .service = "pop3",
                                .flags = KPOP_FACT_HOST_TLS };

    stub_begin(&stub, &stub_passwords);
    CHECK_INT(stub.api->session_new(stub.plugin, &facts, &stub, 0,
                                    &stub.session), KPOP_OK);
    stub_say(&stub, "CAPA\r\nSTLS\r\n");
    CHECK(stub_got(&stub, "\r\nSTLS\r\n"));
    CHECK(stub_got(&stub, "+OK begin TLS\r\n"));
    CHECK((wants() & KPOP_WANT_TLS) != 0);
    CHECK((wants() & KPOP_WANT_READ) == 0);
    CHECK_INT(stub.api->tls_started(stub.session, &facts, 1), KPOP_INVALID);
    facts.tls_version = "TLSv1.3";
    CHECK_INT(stub.api->tls_started(stub.session, &facts, 1), KPOP_OK);
    CHECK((wants() & KPOP_WANT_TLS) == 0);
    stub_say(&stub, login);
    CHECK((wants() & KPOP_IS_LOGGED_IN) != 0);
    stub_end(&stub);
}

TEST(octets_behind_stls_of_the_host_end_the_session)
{
    struct kpop_facts facts = { .size = sizeof(facts), .service = "pop3",
                                .flags = KPOP_FACT_HOST_TLS };

    stub_begin(&stub, &stub_passwords);
    CHECK_INT(stub.api->session_new(stub.plugin, &facts, &stub, 0,
                                    &stub.session), KPOP_OK);
    stub_say(&stub, "STLS\r\nNOOP\r\n");
    CHECK((wants() & KPOP_WANT_CLOSE) != 0);
    CHECK((wants() & KPOP_WANT_TLS) == 0);
    stub_end(&stub);
}

TEST(tls_started_without_need_is_invalid)
{
    struct kpop_facts facts = { .size = sizeof(facts), .service = "pop3",
                                .ssf = 256 };

    begin(&stub_passwords);
    CHECK_INT(stub.api->tls_started(stub.session, &facts, 0), KPOP_INVALID);
    stub_end(&stub);
}

TEST(a_service_that_stops_ends_an_idle_session_without_commit)
{
    begin(&stub_passwords);
    stub_say(&stub, login);
    stub_say(&stub, "DELE 1\r\n");
    stub.api->session_stop(stub.session, 5);
    stub_drain(&stub);
    CHECK(stub_got(&stub, "-ERR [SYS/TEMP]"));
    CHECK((wants() & KPOP_WANT_CLOSE) != 0);
    CHECK_INT(stub.closes, 1);
    stub_end(&stub);
    CHECK_INT(stub.asked[STUB_COMMIT], 0);
}

TEST_MAIN("session",
          T(done_without_an_open_question_is_invalid_and_logged),
          T(done_and_a_result_together_log_nobody_in),
          T(ok_without_its_fact_is_a_failure),
          T(results_that_a_question_cannot_have_are_failures),
          T(a_fetch_of_more_than_the_buffer_drops_the_connection),
          T(facts_that_were_not_asked_for_fail_the_question),
          T(a_user_name_that_is_too_long_logs_nobody_in),
          T(a_user_name_that_is_none_or_unclean_logs_nobody_in),
          T(a_second_box_fails_open_and_the_first_is_closed),
          T(mechanisms_cannot_be_kept),
          T(a_hang_up_at_each_question_closes_and_ends_exactly_once),
          T(a_box_that_comes_late_is_closed_when_open_is_done),
          T(done_inside_cancel_is_an_answer),
          T(a_session_is_closed_once),
          T(session_close_inside_each_callback_is_survived),
          T(session_close_inside_a_callback_that_ticked_is_survived),
          T(input_within_a_question_that_a_done_asked_is_heard),
          T(session_close_within_a_question_that_a_done_asked_is_survived),
          T(the_box_is_closed_before_the_answer_to_quit),
    T(parted_is_who_said_quit_behind_a_login),
          T(a_half_close_while_the_host_thinks_still_commits),
          T(a_hang_up_never_commits),
          T(login_has_its_time_and_commands_do_not_extend_it),
          T(a_silent_kpop_client_is_told_after_ten_seconds),
          T(idle_time_is_counted_from_the_last_progress),
          T(the_store_s_time_is_not_the_client_s),
          T(a_login_that_hangs_is_given_up),
          T(a_last_answer_that_nobody_takes_is_given_up),
          T(one_piece_waits_while_the_host_thinks_and_no_more),
          T(a_client_that_does_not_read_is_not_read_from),
          T(input_takes_at_most_its_limit_at_once),
          T(wrote_is_held_to_what_there_was),
          T(only_known_services_with_sane_facts_are_served),
          T(facts_that_end_within_a_member_are_read_up_to_it),
          T(passwords_in_the_clear_follow_the_policy),
          T(a_host_without_verify_password_has_no_user),
          T(counters_add_up_over_sessions),
          T(no_password_is_ever_logged),
          T(store_failures_are_no_login_failures),
          T(the_same_kpop_step_may_be_asked_again_after_temp),
          T(a_taken_connection_is_the_host_s),
          T(a_host_without_a_store_opens_no_maildrop),
          T(stls_is_done_by_a_host_that_has_tls_of_its_own),
          T(octets_behind_stls_of_the_host_end_the_session),
          T(tls_started_without_need_is_invalid),
          T(a_service_that_stops_ends_an_idle_session_without_commit))
