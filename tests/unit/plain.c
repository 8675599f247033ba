/*
 * plain.c - tests of PLAIN (RFC 4616): which messages are one, what the host
 * is asked, and that the password doesn't stay.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdbool.h>
#include <string.h>

#include "sasl/mech.h"
#include "tests/lib/check.h"

static void
no_log(void *arg, unsigned level, const char *event, const char *line)
{
    (void)arg;
    (void)level;
    (void)event;
    (void)line;
}

static const struct mech_peer peer = {
    .address = "192.0.2.1", .session_id = "s1", .log = no_log
};

struct talk {
    const struct mech *mech;
    void *state;
    struct buf out;
    struct mech_ask ask;
};

static void
talk_start(struct talk *talk)
{
    memset(talk, 0, sizeof(*talk));
    talk->mech = mech_find("plain");
    CHECK(talk->mech != NULL);
    CHECK_STR(talk->mech->name, "PLAIN");
    buf_init(&talk->out, 1024);
    CHECK_INT(talk->mech->start(NULL, &peer, &talk->state), STATUS_OK);
}

static int
talk_step(struct talk *talk, const char *data, size_t len)
{
    return talk->mech->step(talk->state, (const uint8_t *)data, len,
                            &talk->out, &talk->ask);
}

static int
talk_answer(struct talk *talk, int result)
{
    return talk->mech->resume(talk->state, result, NULL, 0, &talk->out,
                              &talk->ask);
}

static void
talk_end(struct talk *talk)
{
    CHECK_INT(buf_len(&talk->out), 0);
    talk->mech->free(talk->state);
    buf_reset(&talk->out);
}

/* A literal with NULs inside, without the one at its end. */
#define MESSAGE(text) (text), sizeof(text) - 1

TEST(mechanisms_are_found_in_any_case)
{
    CHECK(mech_find("PLAIN") == mech_find("pLaIn"));
    CHECK(mech_find("KPOP") != NULL && mech_find("kpop") != NULL);
    CHECK(mech_find("") == NULL);
    CHECK(mech_find("PLAI") == NULL);
    CHECK(mech_find("DIGEST-MD5") == NULL);
    mech_find("PLAIN")->free(NULL);
    mech_find("KPOP")->free(NULL);
}

TEST(without_initial_response_it_is_asked_for)
{
    struct talk talk;

    talk_start(&talk);
    CHECK_INT(talk_step(&talk, NULL, 0), STATUS_CONTINUE);
    CHECK_INT(talk_step(&talk, MESSAGE("\0alice\0secret")), STATUS_PENDING);
    talk_end(&talk);
}

/* R68-6: a decomposed a-umlaut, U+FF41 and U+00B2. */
TEST(names_and_passwords_are_prepared)
{
    struct talk talk;

    talk_start(&talk);
    CHECK_INT(talk_step(&talk, MESSAGE("\0a\xcc\x88nne\0pa\xcc\x88" "ss")),
              STATUS_PENDING);
    CHECK_STR(talk.ask.user, "\xc3\xa4nne");
    CHECK_MEM(talk.ask.password, talk.ask.password_len, "p\xc3\xa4ss", 5);
    CHECK_INT(talk_answer(&talk, STATUS_OK), STATUS_PENDING);
    CHECK_INT((int)talk.ask.need, (int)MECH_AUTHORIZE);
    talk_end(&talk);
}

TEST(password_that_changes_is_tried_as_it_was_typed_too)
{
    struct talk talk;

    talk_start(&talk);
    CHECK_INT(talk_step(&talk, MESSAGE("\0alice\0pw\xc2\xb2")),
              STATUS_PENDING);
    CHECK_MEM(talk.ask.password, talk.ask.password_len, "pw2", 3);
    CHECK_INT(talk_answer(&talk, STATUS_AUTH), STATUS_PENDING);
    CHECK_STR(talk.ask.user, "alice");
    CHECK_MEM(talk.ask.password, talk.ask.password_len, "pw\xc2\xb2", 4);
    CHECK_INT(talk_answer(&talk, STATUS_AUTH), STATUS_AUTH);
    talk_end(&talk);
    talk_start(&talk);
    CHECK_INT(talk_step(&talk, MESSAGE("\0alice\0pw\xc2\xb2")),
              STATUS_PENDING);
    CHECK_INT(talk_answer(&talk, STATUS_TEMP), STATUS_TEMP);
    talk_end(&talk);
    talk_start(&talk);
    CHECK_INT(talk_step(&talk, MESSAGE("\0alice\0pw")), STATUS_PENDING);
    CHECK_INT(talk_answer(&talk, STATUS_AUTH), STATUS_AUTH);
    talk_end(&talk);
}

/* U+00AD is mapped to nothing, U+FDFA to eighteen letters. */
TEST(password_that_saslprep_leaves_nothing_or_too_much_of_stays)
{
    char message[8 + 85 * 3 + 1] = "\0alice\0";
    struct talk talk;

    talk_start(&talk);
    CHECK_INT(talk_step(&talk, MESSAGE("\0alice\0\xc2\xad")),
              STATUS_PENDING);
    CHECK_MEM(talk.ask.password, talk.ask.password_len, "\xc2\xad", 2);
    CHECK_INT(talk_answer(&talk, STATUS_AUTH), STATUS_AUTH);
    talk_end(&talk);
    for (size_t i = 0; i < 85; i++)
        memcpy(message + 7 + i * 3, "\xef\xb7\xba", 3);
    talk_start(&talk);
    CHECK_INT(talk_step(&talk, message, 7 + 85 * 3), STATUS_PENDING);
    CHECK_MEM(talk.ask.password, talk.ask.password_len, message + 7, 85 * 3);
    CHECK_INT(talk_answer(&talk, STATUS_AUTH), STATUS_AUTH);
    talk_end(&talk);
}

/* Each spelling would be a fresh start for who guesses. */
TEST(other_spelling_of_an_ascii_name_is_refused)
{
    struct talk talk;

    talk_start(&talk);
    CHECK_INT(talk_step(&talk, MESSAGE("\0\xef\xbd\x81lice\0secret")),
              STATUS_AUTH);
    talk_end(&talk);
    talk_start(&talk);
    CHECK_INT(talk_step(&talk, MESSAGE("\xef\xbd\x81lice\0alice\0secret")),
              STATUS_AUTH);
    talk_end(&talk);
    talk_start(&talk); /* U+00AD is mapped to nothing */
    CHECK_INT(talk_step(&talk, MESSAGE("\0ali\xc2\xad" "ce\0secret")),
              STATUS_AUTH);
    talk_end(&talk);
}

TEST(password_then_authorize_then_ok)
{
    struct talk talk;
    const uint8_t *password;

    talk_start(&talk);
    CHECK_INT(talk_step(&talk, MESSAGE("\0alice\0sec ret\xc3\xa4")),
              STATUS_PENDING);
    CHECK_INT(talk.ask.need, MECH_PASSWORD);
    CHECK_STR(talk.ask.user, "alice");
    CHECK_MEM(talk.ask.password, talk.ask.password_len, "sec ret\xc3\xa4", 9);
    password = talk.ask.password;
    CHECK_INT(talk_answer(&talk, STATUS_OK), STATUS_PENDING);
    CHECK_INT(talk.ask.need, MECH_AUTHORIZE);
    CHECK_STR(talk.ask.authcid, "alice");
    CHECK_STR(talk.ask.requested, "");
    CHECK_STR(talk.ask.local, "alice");
    CHECK_MEM(password, 9, "\0\0\0\0\0\0\0\0\0", 9);
    CHECK_INT(talk_answer(&talk, STATUS_OK), STATUS_OK);
    CHECK_INT(talk_answer(&talk, STATUS_OK), STATUS_INVALID);
    CHECK_INT(talk_step(&talk, MESSAGE("\0alice\0secret")), STATUS_INVALID);
    talk_end(&talk);
}

TEST(a_no_of_the_host_is_final)
{
    static const int results[] = { STATUS_AUTH, STATUS_TEMP, STATUS_DENIED,
                                   STATUS_NO_MEMORY };
    struct talk talk;

    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        talk_start(&talk);
        CHECK_INT(talk_step(&talk, MESSAGE("\0alice\0secret")),
                  STATUS_PENDING);
        CHECK_INT(talk_answer(&talk, results[i]), results[i]);
        CHECK_INT(talk_answer(&talk, STATUS_OK), STATUS_INVALID);
        talk_end(&talk);
        talk_start(&talk);
        CHECK_INT(talk_step(&talk, MESSAGE("\0alice\0secret")),
                  STATUS_PENDING);
        CHECK_INT(talk_answer(&talk, STATUS_OK), STATUS_PENDING);
        CHECK_INT(talk_answer(&talk, results[i]), results[i]);
        CHECK_INT(talk_answer(&talk, STATUS_OK), STATUS_INVALID);
        talk_end(&talk);
    }
}

TEST(strange_answers_open_nothing)
{
    static const int results[] = { STATUS_CONTINUE, STATUS_TAKEN,
                                   STATUS_PENDING };
    struct talk talk;

    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        talk_start(&talk);
        CHECK_INT(talk_step(&talk, MESSAGE("\0alice\0secret")),
                  STATUS_PENDING);
        CHECK_INT(talk_answer(&talk, results[i]), STATUS_INVALID);
        talk_end(&talk);
    }
    talk_start(&talk);
    CHECK_INT(talk_answer(&talk, STATUS_OK), STATUS_INVALID);
    talk_end(&talk);
}

static void
check_local(const char *message, size_t len, const char *requested,
            const char *local)
{
    struct talk talk;

    talk_start(&talk);
    CHECK_INT(talk_step(&talk, message, len), STATUS_PENDING);
    CHECK_INT(talk_answer(&talk, STATUS_OK), STATUS_PENDING);
    CHECK_STR(talk.ask.requested, requested);
    CHECK_STR(talk.ask.local, local);
    talk_end(&talk);
}

TEST(p2_an_authzid_is_passed_on_and_gives_no_other_mailbox)
{
    check_local(MESSAGE("alice\0alice\0pw"), "alice", "alice");
    check_local(MESSAGE("bob\0alice\0pw"), "bob", "");
    check_local(MESSAGE("\0../alice\0pw"), "", "");
    check_local(MESSAGE("\0alice@example.org\0pw"), "",
                "alice@example.org");
    check_local(MESSAGE("\0\xc3\xa4nne\0pw"), "", "");
}

static int
answer_to(const char *message, size_t len)
{
    struct talk talk;
    int status;

    talk_start(&talk);
    status = talk_step(&talk, message, len);
    talk_end(&talk);
    return status;
}

TEST(p1_what_is_no_plain_message_is_refused)
{
    static const struct {
        const char *data;
        size_t len;
    } bad[] = {
        { MESSAGE("") },
        { MESSAGE("alice") },
        { MESSAGE("\0") },
        { MESSAGE("\0\0") },
        { MESSAGE("alice\0secret") },
        { MESSAGE("\0alice\0") },
        { MESSAGE("\0\0secret") },
        { MESSAGE("x\0\0secret") },
        { MESSAGE("\0alice\0sec\0ret") },
        { MESSAGE("\0alice\0secret\0") },
        { MESSAGE("\0al\xffice\0secret") },
        { MESSAGE("\0alice\0sec\xe4ret") },
        { MESSAGE("\xc0\x80\0alice\0secret") },
        { MESSAGE("\0alice\0\xed\xa0\x80") },
        { MESSAGE("\0alice\0\xf5\x80\x80\x80") },
        { MESSAGE("\0alice\0\xe2\x82") },
        { MESSAGE("\0ali\nce\0secret") },
        { MESSAGE("\0ali\x7f" "ce\0secret") },
        { MESSAGE("bo\rb\0alice\0secret") },
        { MESSAGE("\0alice\xc2\x85\0secret") },
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_INT(answer_to(bad[i].data, bad[i].len), STATUS_AUTH);
}

/* authzid, authcid and password of so many octets. */
static int
answer_to_lengths(size_t authzid, size_t authcid, size_t password)
{
    char message[1024];
    size_t len = authzid + authcid + password + 2;

    memset(message, 'a', sizeof(message));
    message[authzid] = '\0';
    message[authzid + 1 + authcid] = '\0';
    return answer_to(message, len);
}

TEST(p1_fields_have_up_to_255_octets)
{
    CHECK_INT(answer_to_lengths(255, 255, 255), STATUS_PENDING);
    CHECK_INT(answer_to_lengths(256, 1, 1), STATUS_AUTH);
    CHECK_INT(answer_to_lengths(1, 256, 1), STATUS_AUTH);
    CHECK_INT(answer_to_lengths(1, 1, 256), STATUS_AUTH);
    CHECK_INT(answer_to_lengths(0, 1, 1), STATUS_PENDING);
}

TEST_MAIN("plain",
          T(mechanisms_are_found_in_any_case),
          T(without_initial_response_it_is_asked_for),
          T(names_and_passwords_are_prepared),
        T(password_that_changes_is_tried_as_it_was_typed_too),
        T(password_that_saslprep_leaves_nothing_or_too_much_of_stays),
        T(other_spelling_of_an_ascii_name_is_refused),
        T(password_then_authorize_then_ok),
          T(a_no_of_the_host_is_final),
          T(strange_answers_open_nothing),
          T(p2_an_authzid_is_passed_on_and_gives_no_other_mailbox),
          T(p1_what_is_no_plain_message_is_refused),
          T(p1_fields_have_up_to_255_octets))
