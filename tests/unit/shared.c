/*
 * shared.c - tests of CRAM-MD5 (RFC 2195) and APOP (RFC 1939): the RFCs'
 * vectors, what is refused, and that an unknown user looks like a wrong
 * digest.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "sasl/digest.h"
#include "sasl/mech.h"
#include "tests/lib/check.h"

#define CRAM_VECTOR "<1896.697170952@postoffice.reston.mci.net>"
#define APOP_VECTOR "<1896.697170952@dbc.mtview.ca.us>"
#define TANSTAAF "tanstaaf"
#define ZEROS "00000000000000000000000000000000"

static const struct sasl_settings settings = {
    "mail.example.org", "/nonexistent/keytab", "pop", "/nonexistent/replay",
    "EXAMPLE.ORG",      "",                    false, false,
    MECH_NAME_EMAIL
};

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
    struct sasl_world *world;
    void *state;
    struct buf out;
    struct mech_ask ask;
};

static void
talk_start(struct talk *talk, const char *name)
{
    char error[256];

    memset(talk, 0, sizeof(*talk));
    talk->mech = mech_find(name);
    CHECK(talk->mech != NULL);
    buf_init(&talk->out, 1024);
    CHECK_INT(sasl_world_new(&settings, &talk->world, error, sizeof(error)),
              STATUS_OK);
    CHECK_INT(talk->mech->start(talk->world, &peer, &talk->state), STATUS_OK);
}

static int
talk_step(struct talk *talk, const char *text)
{
    return talk->mech->step(talk->state, (const uint8_t *)text,
                            text == NULL ? 0 : strlen(text), &talk->out,
                            &talk->ask);
}

static int
talk_answer(struct talk *talk, int result, const char *secret)
{
    return talk->mech->resume(talk->state, result, (const uint8_t *)secret,
                              secret == NULL ? 0 : strlen(secret),
                              &talk->out, &talk->ask);
}

static void
talk_end(struct talk *talk)
{
    talk->mech->free(talk->state);
    sasl_world_free(talk->world);
    buf_reset(&talk->out);
}

static void
make(enum digest_kind kind, const char *secret, const char *challenge,
     char *hex)
{
    const struct digest_secret key = { (const uint8_t *)secret,
                                       strlen(secret) };

    CHECK_INT(digest_make(kind, &key, challenge, hex), STATUS_OK);
}

/* To where the client's answer is due; the challenge and its digest. */
static void
cram_asks(struct talk *talk, char *challenge, char *hex)
{
    talk_start(talk, "cram-md5");
    CHECK_INT(talk_step(talk, NULL), STATUS_CONTINUE);
    CHECK(buf_len(&talk->out) < 256);
    memcpy(challenge, buf_data(&talk->out), buf_len(&talk->out));
    challenge[buf_len(&talk->out)] = '\0';
    make(DIGEST_CRAM, "secret", challenge, hex);
}

TEST(c1_the_vectors_of_the_rfcs)
{
    char hex[DIGEST_HEX + 1];

    make(DIGEST_CRAM, "tanstaaftanstaaf", CRAM_VECTOR, hex);
    CHECK_STR(hex, "b913a602c7eda7a495b4e6e7334d3890");
    make(DIGEST_APOP, TANSTAAF, APOP_VECTOR, hex);
    CHECK_STR(hex, "c4c9334bac560ecc979e58001b3e22fb");
}

TEST(apop_of_the_rfc_logs_in)
{
    struct talk talk;

    talk_start(&talk, "apop");
    CHECK_INT(talk_step(&talk, APOP_VECTOR
                        " mrose c4c9334bac560ecc979e58001b3e22fb"),
              STATUS_PENDING);
    CHECK_INT(talk.ask.need, MECH_SECRET);
    CHECK_STR(talk.ask.user, "mrose");
    CHECK_INT(talk_answer(&talk, STATUS_OK, TANSTAAF), STATUS_PENDING);
    CHECK_INT(talk.ask.need, MECH_AUTHORIZE);
    CHECK_STR(talk.ask.authcid, "mrose");
    CHECK_STR(talk.ask.requested, "");
    CHECK_STR(talk.ask.local, "mrose");
    CHECK_INT(talk_answer(&talk, STATUS_OK, NULL), STATUS_OK);
    CHECK_INT(talk_answer(&talk, STATUS_OK, NULL), STATUS_INVALID);
    talk_end(&talk);
}

TEST(cram_asks_then_logs_in)
{
    char challenge[256];
    char answer[320];
    char hex[DIGEST_HEX + 1];
    struct talk talk;

    cram_asks(&talk, challenge, hex);
    CHECK(challenge[0] == '<' && strstr(challenge, "@mail.example.org>"));
    (void)snprintf(answer, sizeof(answer), "alice %s", hex);
    CHECK_INT(talk_step(&talk, answer), STATUS_PENDING);
    CHECK_INT(talk_answer(&talk, STATUS_OK, "secret"), STATUS_PENDING);
    CHECK_STR(talk.ask.local, "alice");
    CHECK_INT(talk_answer(&talk, STATUS_OK, NULL), STATUS_OK);
    CHECK_INT(talk_step(&talk, answer), STATUS_INVALID);
    talk_end(&talk);
}

TEST(c3_a_user_may_have_spaces)
{
    char challenge[256];
    char answer[320];
    char hex[DIGEST_HEX + 1];
    struct talk talk;

    cram_asks(&talk, challenge, hex);
    (void)snprintf(answer, sizeof(answer), "alice in wonderland %s", hex);
    CHECK_INT(talk_step(&talk, answer), STATUS_PENDING);
    CHECK_STR(talk.ask.user, "alice in wonderland");
    CHECK_INT(talk_answer(&talk, STATUS_OK, "secret"), STATUS_PENDING);
    CHECK_STR(talk.ask.local, ""); /* no file name: nobody's mailbox */
    talk_end(&talk);
}

TEST(c4_a_challenge_never_repeats)
{
    char one[256];
    char other[256];
    char hex[DIGEST_HEX + 1];
    struct talk talk;

    cram_asks(&talk, one, hex);
    talk_end(&talk);
    cram_asks(&talk, other, hex);
    talk_end(&talk);
    CHECK(strcmp(one, other) != 0);
}

TEST(c2_what_is_no_answer_is_refused)
{
    static const char *const bad[] = {
        "", "alice", " ", ZEROS, " " ZEROS, "alice" ZEROS,
        "alice " ZEROS "0", "alice 0" ZEROS " ",
        "alice 0000000000000000000000000000000A",
        "alice 0000000000000000000000000000000g",
        "ali\nce " ZEROS, "ali\xff " ZEROS,
    };
    char challenge[256];
    char hex[DIGEST_HEX + 1];
    struct talk talk;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cram_asks(&talk, challenge, hex);
        CHECK_INT(talk_step(&talk, bad[i]), STATUS_AUTH);
        CHECK_INT(talk_answer(&talk, STATUS_OK, "secret"), STATUS_INVALID);
        talk_end(&talk);
    }
    talk_start(&talk, "CRAM-MD5");
    CHECK_INT(talk_step(&talk, "alice " ZEROS), STATUS_AUTH);
    CHECK_INT(talk_step(&talk, NULL), STATUS_INVALID);
    talk_end(&talk);
}

TEST(what_is_no_apop_message_is_refused)
{
    static const char *const bad[] = {
        "", "<a@b>", "<a@b> ", "<a@b> alice", "<a@b> " ZEROS,
        "<a@b>  " ZEROS, "a@b alice " ZEROS, "<a@b alice " ZEROS,
        "<> alice " ZEROS,
        "<a@b> alice 0000000000000000000000000000000A",
    };
    struct talk talk;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        talk_start(&talk, "APOP");
        CHECK_INT(talk_step(&talk, bad[i]), STATUS_AUTH);
        talk_end(&talk);
    }
    talk_start(&talk, "APOP");
    CHECK_INT(talk_step(&talk, NULL), STATUS_AUTH);
    talk_end(&talk);
}

/* The result of alice's answer to a secret of the host. */
static int
result_of(const char *digest, int result, const char *secret)
{
    char message[128];
    struct talk talk;
    int status;

    talk_start(&talk, "APOP");
    (void)snprintf(message, sizeof(message), "<a@b> alice %s", digest);
    CHECK_INT(talk_step(&talk, message), STATUS_PENDING);
    status = talk_answer(&talk, result, secret);
    if (status != STATUS_PENDING)
        CHECK_INT(talk_answer(&talk, STATUS_OK, secret), STATUS_INVALID);
    talk_end(&talk);
    return status;
}

TEST(r39_48_time_stamps_differ_and_have_a_safe_alphabet)
{
    char one[DIGEST_STAMP_MAX], two[DIGEST_STAMP_MAX];

    CHECK_INT(digest_stamp("mail.example.org", one), STATUS_OK);
    CHECK_INT(digest_stamp("mail.example.org", two), STATUS_OK);
    CHECK(strncmp(one, two, 1 + DIGEST_HEX) != 0);
    CHECK_INT(strspn(one + 1, "abcdefghijklmnopqrstuvwxyz0123456789.@"),
              strlen(one) - 2);
    CHECK_STR(strchr(one, '@'), "@mail.example.org>");
    /* mpop refuses colons. */
    CHECK_INT(digest_stamp("::1", one), STATUS_OK);
    CHECK_STR(strchr(one, '@'), "@..1>");
}

TEST(r39_48_longest_host_name_fits_a_time_stamp)
{
    char host[300], stamp[DIGEST_STAMP_MAX];

    memset(host, 'h', sizeof(host) - 1);
    host[sizeof(host) - 1] = '\0';
    CHECK_INT(digest_stamp(host, stamp), STATUS_OK);
    CHECK_INT(strlen(strchr(stamp, '@')), 255 + 2);
}

TEST(only_the_right_secret_goes_on)
{
    char hex[DIGEST_HEX + 1];
    char of_nothing[DIGEST_HEX + 1];

    make(DIGEST_APOP, "secret", "<a@b>", hex);
    make(DIGEST_APOP, "", "<a@b>", of_nothing);
    CHECK_INT(result_of(hex, STATUS_OK, "secret"), STATUS_PENDING);
    CHECK_INT(result_of(hex, STATUS_OK, "Secret"), STATUS_AUTH);
    CHECK_INT(result_of(hex, STATUS_AUTH, NULL), STATUS_AUTH);
    /* A secret that came with a no is not looked at. */
    CHECK_INT(result_of(hex, STATUS_AUTH, "secret"), STATUS_AUTH);
    CHECK_INT(result_of(of_nothing, STATUS_OK, ""), STATUS_AUTH);
    CHECK_INT(result_of(of_nothing, STATUS_OK, NULL), STATUS_AUTH);
    CHECK_INT(result_of(hex, STATUS_TEMP, NULL), STATUS_TEMP);
    CHECK_INT(result_of(hex, STATUS_DENIED, NULL), STATUS_DENIED);
    CHECK_INT(result_of(hex, STATUS_CONTINUE, "secret"), STATUS_INVALID);
    CHECK_INT(result_of(hex, STATUS_PENDING, "secret"), STATUS_INVALID);
}

TEST(the_dummy_secret_opens_nothing)
{
    const struct digest_secret dummy = { (const uint8_t *)"nobody's secret",
                                         sizeof("nobody's secret") };
    char hex[DIGEST_HEX + 1];

    CHECK_INT(digest_make(DIGEST_APOP, &dummy, "<a@b>", hex), STATUS_OK);
    CHECK_INT(result_of(hex, STATUS_AUTH, NULL), STATUS_AUTH);
}

TEST_MAIN("shared",
          T(c1_the_vectors_of_the_rfcs),
          T(apop_of_the_rfc_logs_in),
          T(cram_asks_then_logs_in),
          T(c3_a_user_may_have_spaces),
          T(c4_a_challenge_never_repeats),
          T(c2_what_is_no_answer_is_refused),
          T(what_is_no_apop_message_is_refused),
          T(r39_48_time_stamps_differ_and_have_a_safe_alphabet),
          T(r39_48_longest_host_name_fits_a_time_stamp),
          T(only_the_right_secret_goes_on),
          T(the_dummy_secret_opens_nothing))
