/* LDFLAGS: -Wl,--wrap=mech_find */
/*
 * exchange.c - the module's own mechanisms driven directly, as a process that
 * only authenticates does: who gets one, who gets in, and what happens to a
 * question whose exchange is gone.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "sasl/mech.h"
#include "tests/lib/check.h"
#include "tests/unit/stub.h"

static struct stub stub;
static struct kpop_exchange *exchange;
static unsigned completed;
static int32_t completed_with;

static const char good[] = "\0alice\0secret";
static const char wrong[] = "\0alice\0guess";
static const char other[] = "bob\0alice\0secret";

static void
complete(void *arg, int32_t result)
{
    CHECK(arg == &stub);
    completed++;
    completed_with = result;
}

static int32_t
make(const char *mechanism, const char *service, uint32_t ssf)
{
    struct kpop_facts facts = { .size = sizeof(facts), .service = service,
                                .session_id = "s7", .ssf = ssf };

    completed = 0;
    return stub.api->exchange_new(stub.plugin, &facts, &stub, mechanism,
                                  &exchange);
}

static int32_t
step(const char *data, size_t size)
{
    return stub.api->exchange_step(exchange, data, size, complete, &stub);
}

static void
begin(void)
{
    stub_begin(&stub, &stub_passwords);
    CHECK_INT(make("PLAIN", "pop3", 0), KPOP_OK);
}

static void
end(void)
{
    stub.api->exchange_free(exchange);
    stub_end(&stub);
}

static const char *
user(void)
{
    struct kpop_outcome outcome = { .size = sizeof(outcome) };

    stub.api->exchange_outcome(exchange, &outcome);
    return outcome.user;
}

TEST(a_right_password_and_authorize_give_the_user)
{
    struct kpop_outcome outcome = { .size = sizeof(outcome) };

    begin();
    CHECK_STR(user(), "");
    CHECK_INT(step(good, sizeof(good) - 1), KPOP_OK);
    stub.api->exchange_outcome(exchange, &outcome);
    CHECK_STR(outcome.user, "alice");
    CHECK_STR(outcome.authcid, "alice");
    CHECK_INT(outcome.challenge_size, 0);
    CHECK_INT(stub.asked[STUB_AUTHORIZE], 1);
    CHECK(stub_logged(&stub, "auth.ok session=s7 "));
    end();
    CHECK(!stub_logged(&stub, "secret"));
}

TEST(a_wrong_password_is_not_even_authorized)
{
    begin();
    CHECK_INT(step(wrong, sizeof(wrong) - 1), KPOP_AUTH);
    CHECK_INT(stub.asked[STUB_AUTHORIZE], 0);
    CHECK_STR(user(), "");
    CHECK(stub_logged(&stub, "auth.fail session=s7 "));
    CHECK(stub_logged(&stub, "claimed=alice"));
    end();
    CHECK(!stub_logged(&stub, "guess"));
}

TEST(another_s_mailbox_is_denied)
{
    begin();
    CHECK_INT(step(other, sizeof(other) - 1), KPOP_DENIED);
    CHECK_STR(user(), "");
    CHECK(stub_logged(&stub, "auth.denied session=s7 "));
    CHECK(stub_logged(&stub, "requested=bob"));
    end();
}

TEST(authorize_without_a_user_lets_nobody_in)
{
    begin();
    stub.silent[STUB_AUTHORIZE] = true;
    CHECK_INT(step(good, sizeof(good) - 1), KPOP_TEMP);
    CHECK_STR(user(), "");
    CHECK(stub_logged(&stub, "auth.error session=s7 "));
    end();
}

TEST(a_refusal_after_put_user_names_nobody)
{
    static const int32_t refusals[] = { KPOP_AUTH, KPOP_DENIED, KPOP_TEMP,
                                        KPOP_PERM, KPOP_DELAY };

    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        begin();
        stub.answers[STUB_AUTHORIZE] = refusals[i];
        CHECK_INT(step(good, sizeof(good) - 1), refusals[i]);
        CHECK_STR(user(), "");
        end();
    }
}

TEST(mechanisms_are_there_only_where_they_are_allowed)
{
    begin();
    stub.api->exchange_free(exchange);
    exchange = NULL;
    CHECK_INT(make("PLAIN", "kpop", 0), KPOP_DENIED);
    CHECK_INT(make("KPOP", "pop3", 0), KPOP_DENIED);
    CHECK_INT(make("GSSAPI", "pop3", 0), KPOP_DENIED);
    CHECK_INT(make("", "pop3", 0), KPOP_DENIED);
    CHECK_INT(make("PLAIN", "imap", 0), KPOP_INVALID);
    CHECK_INT(stub.api->set(stub.plugin, "plaintext", "tls", NULL, 0),
              KPOP_OK);
    CHECK_INT(stub.api->ready(stub.plugin, NULL, 0), KPOP_OK);
    CHECK_INT(make("PLAIN", "pop3", 0), KPOP_DENIED);
    CHECK_INT(make("PLAIN", "pop3", 128), KPOP_OK);
    stub.api->exchange_free(exchange);
    CHECK_INT(make("KPOP", "kpop", 0), KPOP_OK);
    end();
}

TEST(a_host_without_authorize_has_no_exchanges)
{
    stub_begin(&stub, &stub_exchange);
    CHECK_INT(make("PLAIN", "pop3", 0), KPOP_DENIED);
    exchange = NULL;
    end();
}

TEST(kept_questions_complete_exactly_once)
{
    begin();
    stub.mode = STUB_LATER;
    CHECK_INT(step(good, sizeof(good) - 1), KPOP_PENDING);
    CHECK_INT(step(good, sizeof(good) - 1), KPOP_INVALID);
    CHECK(stub_answer(&stub)); /* the password; now authorize is open */
    CHECK_INT(completed, 0);
    CHECK(stub_answer(&stub));
    CHECK_INT(completed, 1);
    CHECK_INT(completed_with, KPOP_OK);
    CHECK_STR(user(), "alice");
    CHECK(!stub_answer(&stub));
    end();
    CHECK_INT(completed, 1);
}

TEST(done_inside_the_callback_is_a_plain_result)
{
    begin();
    stub.mode = STUB_INSIDE;
    CHECK_INT(step(good, sizeof(good) - 1), KPOP_OK);
    CHECK_INT(completed, 0);
    end();
}

TEST(an_exchange_freed_while_pending_completes_into_nothing)
{
    for (unsigned n = 0; n < 2; n++) {
        begin();
        stub.mode = STUB_LATER;
        CHECK_INT(step(good, sizeof(good) - 1), KPOP_PENDING);
        if (n == 1)
            CHECK(stub_answer(&stub));
        stub.api->exchange_free(exchange);
        exchange = NULL;
        CHECK(stub_answer(&stub));
        CHECK_INT(completed, 0);
        CHECK_INT(stub.asked[STUB_AUTHORIZE], n);
        end();
    }
}

static void
complete_and_free(void *arg, int32_t result)
{
    complete(arg, result);
    stub.api->exchange_free(exchange);
    exchange = NULL;
}

TEST(an_exchange_may_be_freed_by_its_completion)
{
    begin();
    stub.mode = STUB_LATER;
    CHECK_INT(stub.api->exchange_step(exchange, wrong, sizeof(wrong) - 1,
                                      complete_and_free, &stub),
              KPOP_PENDING);
    CHECK(stub_answer(&stub));
    CHECK_INT(completed, 1);
    CHECK_INT(completed_with, KPOP_AUTH);
    end();
}

static int32_t
verify_and_free(void *conn, struct kpop_op *op, const char *name,
                const void *password, size_t size)
{
    (void)conn, (void)op, (void)name, (void)password, (void)size;
    stub.api->exchange_free(exchange);
    exchange = NULL;
    return KPOP_OK;
}

TEST(an_exchange_freed_inside_a_callback_asks_nothing_more)
{
    struct kpop_host table = stub_passwords;

    table.verify_password = verify_and_free;
    stub_begin(&stub, &table);
    CHECK_INT(make("PLAIN", "pop3", 0), KPOP_OK);
    CHECK_INT(step(good, sizeof(good) - 1), KPOP_TEMP);
    CHECK_INT(stub.asked[STUB_AUTHORIZE], 0);
    end();
}

TEST(an_exchange_that_is_over_takes_no_step)
{
    begin();
    CHECK_INT(step(wrong, sizeof(wrong) - 1), KPOP_AUTH);
    CHECK_INT(step(good, sizeof(good) - 1), KPOP_INVALID);
    CHECK_INT(stub.api->exchange_step(NULL, good, 1, complete, &stub),
              KPOP_INVALID);
    end();
}

TEST(no_initial_response_is_asked_for)
{
    begin();
    CHECK_INT(step(NULL, 0), KPOP_CONTINUE);
    CHECK_INT(step(good, sizeof(good) - 1), KPOP_OK);
    end();
}

TEST(junk_is_a_failed_login)
{
    static const char *const junk[] = { "", "alice", "alice\0secret" };
    static const size_t sizes[] = { 0, 5, 12 };

    for (size_t i = 0; i < 3; i++) {
        begin();
        CHECK_INT(step(junk[i], sizes[i]), KPOP_AUTH);
        CHECK_INT(stub.asked[STUB_PASSWORD], 0);
        end();
    }
}

TEST(an_older_host_s_outcome_is_not_written_past_its_size)
{
    struct kpop_outcome outcome = { .size = 8, .user = "untouched" };

    begin();
    CHECK_INT(step(good, sizeof(good) - 1), KPOP_OK);
    stub.api->exchange_outcome(exchange, &outcome);
    CHECK_STR(outcome.user, "untouched");
    end();
}

/* ---- mechanisms with bugs ---- */

const struct mech *__real_mech_find(const char *name);
const struct mech *__wrap_mech_find(const char *name);

static const struct mech *buggy; /* in place of each, or NULL */
static int buggy_status;         /* of its step */
static enum mech_need buggy_need;

const struct mech *
__wrap_mech_find(const char *name)
{
    return buggy != NULL ? buggy : __real_mech_find(name);
}

static int
buggy_start(struct sasl_world *world, const struct mech_peer *peer,
            void **state_out)
{
    (void)world, (void)peer;
    *state_out = &buggy_status;
    return STATUS_OK;
}

static int
buggy_step(void *state, const uint8_t *in, size_t in_len, struct buf *out,
           struct mech_ask *ask)
{
    (void)in, (void)in_len, (void)out;
    memset(ask, 0, sizeof(*ask));
    ask->need = buggy_need;
    ask->user = "alice";
    ask->password = (const uint8_t *)"secret";
    ask->password_len = 6;
    return *(int *)state;
}

/* Believes any answer. */
static int
buggy_resume(void *state, int result, const uint8_t *known, size_t known_len,
             struct buf *out, struct mech_ask *ask)
{
    (void)state, (void)known, (void)out, (void)ask;
    CHECK_INT(known_len, 0);
    return result;
}

static void
buggy_free(void *state)
{
    (void)state;
}

static void
begin_buggy(const struct kpop_host *table, int status, enum mech_need need)
{
    static const struct mech mech = { "KPOP", buggy_start, buggy_step,
                                      buggy_resume, buggy_free, NULL };

    stub_begin(&stub, table);
    buggy = &mech;
    buggy_status = status;
    buggy_need = need;
    CHECK_INT(make("KPOP", "kpop", 0), KPOP_OK);
}

static void
end_buggy(void)
{
    CHECK_STR(user(), "");
    CHECK_INT(stub.asked[STUB_AUTHORIZE], 0);
    CHECK(!stub_logged(&stub, "auth.ok"));
    end();
    buggy = NULL;
}

TEST(a_mechanism_that_forgets_authorize_lets_nobody_in)
{
    static const int statuses[] = { STATUS_OK, STATUS_PENDING };

    for (size_t i = 0; i < 2; i++) {
        begin_buggy(&stub_passwords, statuses[i], MECH_PASSWORD);
        CHECK_INT(step("", 0), KPOP_TEMP);
        CHECK_INT(stub.asked[STUB_PASSWORD], i);
        CHECK(stub_logged(&stub, "mechanism ended without authorize"));
        CHECK_INT(step("", 0), KPOP_INVALID); /* it is over */
        end_buggy();
    }
}

TEST(a_mechanism_in_disorder_is_no_fault_of_the_host_s)
{
    begin_buggy(&stub_passwords, STATUS_INVALID, MECH_PASSWORD);
    CHECK_INT(step("", 0), KPOP_TEMP);
    CHECK_INT(stub.misuses, 0);
    end_buggy();
}

TEST(what_the_host_cannot_be_asked_it_answers_with_no)
{
    static const enum mech_need needs[] = { MECH_PASSWORD, MECH_SECRET };
    struct kpop_host table = stub_passwords;

    table.verify_password = NULL; /* lookup_secret is none's */
    for (size_t i = 0; i < 2; i++) {
        begin_buggy(&table, STATUS_PENDING, needs[i]);
        CHECK_INT(step("", 0), KPOP_AUTH);
        end_buggy();
    }
}

TEST_MAIN("exchange", T(a_right_password_and_authorize_give_the_user),
          T(a_wrong_password_is_not_even_authorized),
          T(another_s_mailbox_is_denied),
          T(authorize_without_a_user_lets_nobody_in),
          T(a_refusal_after_put_user_names_nobody),
          T(mechanisms_are_there_only_where_they_are_allowed),
          T(a_host_without_authorize_has_no_exchanges),
          T(kept_questions_complete_exactly_once),
          T(done_inside_the_callback_is_a_plain_result),
          T(an_exchange_freed_while_pending_completes_into_nothing),
          T(an_exchange_may_be_freed_by_its_completion),
          T(an_exchange_freed_inside_a_callback_asks_nothing_more),
          T(an_exchange_that_is_over_takes_no_step),
          T(no_initial_response_is_asked_for), T(junk_is_a_failed_login),
          T(an_older_host_s_outcome_is_not_written_past_its_size),
          T(a_mechanism_that_forgets_authorize_lets_nobody_in),
          T(a_mechanism_in_disorder_is_no_fault_of_the_host_s),
          T(what_the_host_cannot_be_asked_it_answers_with_no))
