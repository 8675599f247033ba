/*
 * external.c - tests of EXTERNAL (RFC 4422 appendix A): whose name the
 * certificate gives, which mailbox is asked for, and what ends it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdbool.h>
#include <string.h>

#include "sasl/clean.h"
#include "sasl/mech.h"
#include "tests/lib/check.h"
#include "tests/unit/cert_fixture.h"

/* A literal with NULs inside, without the one at its end. */
#define MESSAGE(text) (text), sizeof(text) - 1
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ALICE "alice@example.org"

struct talk {
    const struct mech *mech;
    struct sasl_world *world;
    void *state;
    struct buf out;
    struct mech_ask ask;
    char log[300]; /* the last line; "" = nothing was logged */
    uint8_t der[CERT_OCTETS_MAX];
    struct mech_peer peer;
};

static void
keep_log(void *arg, unsigned level, const char *event, const char *line)
{
    struct talk *talk = arg;

    CHECK_INT(level, 2);
    CHECK_STR(event, "auth.certificate");
    CHECK(strlen(line) < sizeof(talk->log));
    strcpy(talk->log, line);
}

/* Of an address and a common name; certificate NULL = the client showed none.
 * What was lent for the start is gone after it. */
static void
start(struct talk *talk, enum mech_name_kind kind, X509 *certificate)
{
    const struct sasl_settings settings = {
        .hostname = "mail.test", .keytab = "/nonexistent",
        .services = "pop", .replay_cache = "/nonexistent", .realms = "",
        .principal_map = "", .client_name = kind,
    };
    char error[200];

    memset(talk, 0, sizeof(*talk));
    talk->mech = mech_find("external");
    CHECK(talk->mech != NULL);
    CHECK_STR(talk->mech->name, "EXTERNAL");
    buf_init(&talk->out, 1024);
    CHECK_INT(sasl_world_new(&settings, &talk->world, error, sizeof(error)),
              STATUS_OK);
    talk->peer = (struct mech_peer){ .address = "192.0.2.1",
                                     .session_id = "s1",
                                     .has_tls = true,
                                     .log = keep_log,
                                     .log_arg = talk };
    if (certificate != NULL) {
        talk->peer.certificate_size = cert_finish(certificate, talk->der);
        talk->peer.certificate = talk->der;
    }
    CHECK_INT(talk->mech->start(talk->world, &talk->peer, &talk->state),
              STATUS_OK);
    memset(talk->der, 0, sizeof(talk->der));
}

static X509 *
named(const char *address, const char *common_name)
{
    const struct cert_name name = { GEN_EMAIL, address, strlen(address) };
    X509 *certificate = cert_new();

    cert_add_names(certificate, &name, 1);
    cert_add_cn(certificate, V_ASN1_UTF8STRING, common_name,
                strlen(common_name));
    return certificate;
}

static void
start_alice(struct talk *talk)
{
    start(talk, MECH_NAME_EMAIL, named(ALICE, "Alice A."));
    CHECK_STR(talk->log, "");
}

static int
step(struct talk *talk, const char *data, size_t len)
{
    return talk->mech->step(talk->state, (const uint8_t *)data, len,
                            &talk->out, &talk->ask);
}

static int
answer(struct talk *talk, int result)
{
    return talk->mech->resume(talk->state, result, NULL, 0, &talk->out,
                              &talk->ask);
}

/* Nothing was said to the client in all of it. */
static void
end(struct talk *talk)
{
    CHECK_INT(buf_len(&talk->out), 0);
    talk->mech->free(talk->state);
    buf_reset(&talk->out);
    sasl_world_free(talk->world);
}

static void
check_asked(const struct talk *talk, const char *authcid,
            const char *requested, const char *local)
{
    CHECK_INT(talk->ask.need, MECH_AUTHORIZE);
    CHECK_STR(talk->ask.authcid, authcid);
    CHECK_STR(talk->ask.requested, requested);
    CHECK_STR(talk->ask.local, local);
    CHECK(talk->ask.user == NULL && talk->ask.password == NULL);
}

TEST(empty_authzid_is_the_own_mailbox)
{
    struct talk talk;

    start_alice(&talk);
    CHECK_INT(step(&talk, MESSAGE("")), STATUS_PENDING);
    check_asked(&talk, ALICE, "", ALICE);
    CHECK_INT(answer(&talk, STATUS_OK), STATUS_OK);
    end(&talk);
}

TEST(own_authzid_is_the_own_mailbox)
{
    struct talk talk;

    start_alice(&talk);
    CHECK_INT(step(&talk, MESSAGE(ALICE)), STATUS_PENDING);
    check_asked(&talk, ALICE, ALICE, ALICE);
    CHECK_INT(answer(&talk, STATUS_OK), STATUS_OK);
    end(&talk);
}

TEST(another_authzid_is_passed_on_and_gives_no_mailbox)
{
    static const char *const others[] = { "bob@example.org", "alice",
                                          "Alice@example.org",
                                          "alice@example.or",
                                          "alice@example.org.", " " };
    struct talk talk;

    for (size_t i = 0; i < COUNT(others); i++) {
        start_alice(&talk);
        CHECK_INT(step(&talk, others[i], strlen(others[i])), STATUS_PENDING);
        check_asked(&talk, ALICE, others[i], "");
        /* The host may have reasons of its own. */
        CHECK_INT(answer(&talk, STATUS_OK), STATUS_OK);
        end(&talk);
    }
}

TEST(unclean_authzid_is_refused_and_nobody_is_asked)
{
    static const struct {
        const char *text;
        size_t len;
    } bad[] = {
        { MESSAGE("\0") },
        { MESSAGE(ALICE "\0") },
        { MESSAGE(ALICE "\0bob") },
        { MESSAGE("\0" ALICE) },
        { MESSAGE(ALICE "\r\n") },
        { MESSAGE("ali\x7f" "ce") },
        { MESSAGE("ali\xc2\x85" "ce") },
        { MESSAGE("\xe4nne") },
        { MESSAGE("\xc0\x80") },
    };
    char text[NAME_OCTETS_MAX + 2];
    struct talk talk;

    for (size_t i = 0; i < COUNT(bad); i++) {
        start_alice(&talk);
        CHECK_INT(step(&talk, bad[i].text, bad[i].len), STATUS_AUTH);
        CHECK(talk.ask.authcid == NULL);
        CHECK_INT(answer(&talk, STATUS_OK), STATUS_INVALID);
        end(&talk);
    }
    memset(text, 'a', sizeof(text));
    start_alice(&talk);
    CHECK_INT(step(&talk, text, NAME_OCTETS_MAX + 1), STATUS_AUTH);
    end(&talk);
    start_alice(&talk);
    CHECK_INT(step(&talk, text, NAME_OCTETS_MAX), STATUS_PENDING);
    text[NAME_OCTETS_MAX] = '\0';
    check_asked(&talk, ALICE, text, "");
    end(&talk);
}

TEST(server_asks_first_by_an_empty_challenge)
{
    struct talk talk;

    start_alice(&talk);
    CHECK_INT(step(&talk, NULL, 0), STATUS_CONTINUE);
    CHECK_INT(buf_len(&talk.out), 0);
    CHECK_INT(step(&talk, MESSAGE("")), STATUS_PENDING);
    check_asked(&talk, ALICE, "", ALICE);
    CHECK_INT(answer(&talk, STATUS_OK), STATUS_OK);
    end(&talk);
}

TEST(setting_says_which_name_is_taken)
{
    static const struct {
        enum mech_name_kind kind;
        const char *name, *local;
    } kinds[] = {
        { MECH_NAME_EMAIL, ALICE, ALICE },
        { MECH_NAME_LOCAL, "alice", "alice" },
        { MECH_NAME_CN, "Alice A.", "" }, /* no mailbox has a blank */
    };
    struct talk talk;

    for (size_t i = 0; i < COUNT(kinds); i++) {
        start(&talk, kinds[i].kind, named(ALICE, "Alice A."));
        CHECK_INT(step(&talk, MESSAGE("")), STATUS_PENDING);
        check_asked(&talk, kinds[i].name, "", kinds[i].local);
        end(&talk);
    }
}

TEST(name_that_is_no_mailbox_gives_none)
{
    static const char *const names[] = { "../alice", ".alice", "-alice",
                                         "a/b", "al ice", "\xc3\xa4nne" };
    struct talk talk;

    for (size_t i = 0; i < COUNT(names); i++) {
        start(&talk, MECH_NAME_CN, named(ALICE, names[i]));
        CHECK_INT(step(&talk, names[i], strlen(names[i])), STATUS_PENDING);
        check_asked(&talk, names[i], names[i], "");
        end(&talk);
    }
}

static void
check_refused(struct talk *talk, const char *authzid)
{
    CHECK_INT(step(talk, NULL, 0), STATUS_CONTINUE);
    CHECK_INT(step(talk, authzid, strlen(authzid)), STATUS_AUTH);
    CHECK(talk->ask.authcid == NULL);
    CHECK_INT(answer(talk, STATUS_OK), STATUS_INVALID);
    end(talk);
}

TEST(without_certificate_nobody_gets_in)
{
    struct talk talk;

    start(&talk, MECH_NAME_EMAIL, NULL);
    CHECK(strstr(talk.log, "showed no certificate") != NULL);
    check_refused(&talk, "");
    start(&talk, MECH_NAME_EMAIL, NULL);
    check_refused(&talk, ALICE);
}

TEST(certificate_without_the_name_lets_nobody_in)
{
    static const struct cert_name two[] = { { GEN_EMAIL, MESSAGE(ALICE) },
                                            { GEN_EMAIL, MESSAGE(ALICE) } };
    struct talk talk;
    X509 *certificate = cert_new();

    cert_add_cn(certificate, V_ASN1_UTF8STRING, MESSAGE("alice"));
    start(&talk, MECH_NAME_EMAIL, certificate);
    CHECK(strstr(talk.log, "tls_client_name") != NULL);
    check_refused(&talk, "alice");
    certificate = cert_new();
    cert_add_names(certificate, two, COUNT(two));
    start(&talk, MECH_NAME_EMAIL, certificate);
    CHECK(strstr(talk.log, "or several") != NULL);
    check_refused(&talk, ALICE);
}

TEST(a_no_of_the_host_is_final)
{
    static const int results[] = { STATUS_AUTH, STATUS_DENIED, STATUS_TEMP,
                                   STATUS_DELAY, STATUS_NO_MEMORY };
    struct talk talk;

    for (size_t i = 0; i < COUNT(results); i++) {
        start_alice(&talk);
        CHECK_INT(step(&talk, MESSAGE("")), STATUS_PENDING);
        CHECK_INT(answer(&talk, results[i]), results[i]);
        CHECK_INT(answer(&talk, STATUS_OK), STATUS_INVALID);
        CHECK_INT(step(&talk, MESSAGE("")), STATUS_INVALID);
        end(&talk);
    }
}

/* While the host takes its time (its answer comes later), and what is no
 * answer at all. */
TEST(nothing_but_the_hosts_answer_opens)
{
    static const int results[] = { STATUS_CONTINUE, STATUS_TAKEN,
                                   STATUS_PENDING };
    struct talk talk;

    for (size_t i = 0; i < COUNT(results); i++) {
        start_alice(&talk);
        CHECK_INT(step(&talk, MESSAGE("")), STATUS_PENDING);
        CHECK_INT(answer(&talk, results[i]), STATUS_INVALID);
        CHECK_INT(answer(&talk, STATUS_OK), STATUS_INVALID);
        end(&talk);
    }
    start_alice(&talk);
    CHECK_INT(answer(&talk, STATUS_OK), STATUS_INVALID);
    CHECK_INT(step(&talk, MESSAGE("")), STATUS_INVALID);
    end(&talk);
}

TEST(step_while_the_host_decides_ends_it)
{
    struct talk talk;

    start_alice(&talk);
    CHECK_INT(step(&talk, MESSAGE("")), STATUS_PENDING);
    CHECK_INT(step(&talk, MESSAGE("bob@example.org")), STATUS_INVALID);
    CHECK_INT(answer(&talk, STATUS_OK), STATUS_INVALID);
    end(&talk);
}

TEST(after_the_end_nothing_goes_on)
{
    struct talk talk;

    start_alice(&talk);
    CHECK_INT(step(&talk, MESSAGE("")), STATUS_PENDING);
    CHECK_INT(answer(&talk, STATUS_OK), STATUS_OK);
    CHECK_INT(step(&talk, NULL, 0), STATUS_INVALID);
    CHECK_INT(step(&talk, MESSAGE("")), STATUS_INVALID);
    CHECK_INT(answer(&talk, STATUS_OK), STATUS_INVALID);
    end(&talk);
    start_alice(&talk);
    CHECK_INT(step(&talk, MESSAGE("\n")), STATUS_AUTH);
    CHECK_INT(step(&talk, MESSAGE("")), STATUS_INVALID);
    end(&talk);
    mech_find("EXTERNAL")->free(NULL);
}

TEST_MAIN("external",
          T(empty_authzid_is_the_own_mailbox),
          T(own_authzid_is_the_own_mailbox),
          T(another_authzid_is_passed_on_and_gives_no_mailbox),
          T(unclean_authzid_is_refused_and_nobody_is_asked),
          T(server_asks_first_by_an_empty_challenge),
          T(setting_says_which_name_is_taken),
          T(name_that_is_no_mailbox_gives_none),
          T(without_certificate_nobody_gets_in),
          T(certificate_without_the_name_lets_nobody_in),
          T(a_no_of_the_host_is_final),
          T(nothing_but_the_hosts_answer_opens),
          T(step_while_the_host_decides_ends_it),
          T(after_the_end_nothing_goes_on))
