/*
 * gssapi.c - mechanism GSSAPI against a real KDC and MIT's library as client:
 * who gets in as whom, and every token and choice that is refused.  Layers
 * are in gsslayer.c.  Skipped where no KDC is installed.
 *
 * SPDX-License-Identifier: MIT
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sasl/token.h"
#include "tests/lib/check.h"
#include "tests/unit/gss_fixture.h"

static int
resume(struct gss_login *login, int result)
{
    return login->mech->resume(login->state, result, NULL, 0, &login->out,
                               &login->ask);
}

/* ---- accepted ---- */

TEST(g4_without_authzid_the_principal_s_own_mailbox_is_asked_for)
{
    struct gss_login login;

    gss_begin(&login);
    CHECK_INT(gss_log_in(&login, ""), STATUS_PENDING);
    CHECK_INT(login.ask.need, MECH_AUTHORIZE);
    CHECK_STR(login.ask.authcid, "alice@EXAMPLE.ORG");
    CHECK_STR(login.ask.requested, "");
    CHECK_STR(login.ask.local, "alice");
    CHECK_INT(buf_len(&login.out), 0);
    CHECK_INT(resume(&login, STATUS_OK), STATUS_OK);
    CHECK_HAS(login.log, "2 sasl.accepted principal=alice@EXAMPLE.ORG "
              "service=pop/localhost@EXAMPLE.ORG kvno=");
    CHECK_HAS(login.log, "enctype=aes256-cts-hmac-sha1-96");
    CHECK_HAS(login.log, "delta=");
    CHECK_LACKS(login.log, "refused");
    gss_end(&login);
}

TEST(g1_without_an_initial_token_an_empty_challenge_asks_for_it)
{
    struct gss_login login;

    gss_begin(&login);
    CHECK_INT(gss_send(&login, NULL, 0), STATUS_CONTINUE);
    CHECK_INT(buf_len(&login.out), 0);
    CHECK_INT(gss_log_in(&login, ""), STATUS_PENDING);
    gss_end(&login);
}

TEST(g1_an_empty_token_is_refused)
{
    struct gss_login login;

    gss_begin(&login);
    CHECK_INT(gss_send(&login, "", 0), STATUS_AUTH);
    gss_again(&login);
    CHECK_INT(gss_send(&login, NULL, 0), STATUS_CONTINUE);
    CHECK_INT(gss_send(&login, NULL, 0), STATUS_AUTH);
    CHECK_INT(gss_send(&login, NULL, 0), STATUS_INVALID);
    gss_end(&login);
}

TEST(g2_no_layer_is_offered_by_default)
{
    struct gss_login login;

    gss_begin(&login);
    CHECK_INT(gss_until_offer(&login), STATUS_CONTINUE);
    CHECK_INT(login.offered, 1);
    CHECK_INT(login.offered_size, 0);
    gss_end(&login);
}

TEST(clients_without_mutual_authentication_get_the_offer_at_once)
{
    struct gss_login login;

    gss_begin(&login);
    login.flags = GSS_C_INTEG_FLAG | GSS_C_CONF_FLAG;
    CHECK_INT(gss_log_in(&login, ""), STATUS_PENDING);
    CHECK_HAS(login.log, "mutual=no");
    gss_end(&login);
}

TEST(g4_the_authzid_is_asked_for_and_mapped)
{
    static const struct {
        const char *authzid;
        size_t len;
        const char *requested;
        const char *local;
    } rows[] = {
        { "alice", 5, "alice", "alice" },
        { "alice\0", 6, "alice", "alice" }, /* old curl */
        { "bob", 3, "bob", "" },
        { "alice@EXAMPLE.ORG", 17, "", "alice" },
        { "alice@OTHER.ORG", 15, "alice@OTHER.ORG", "" },
        { " alice", 6, " alice", "" },
        { "alice ", 6, "alice ", "" },
        { "j\xc3\xbcrgen", 7, "j\xc3\xbcrgen", "" },
    };
    struct gss_login login;

    gss_begin(&login);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        gss_again(&login);
        CHECK_INT(gss_until_offer(&login), STATUS_CONTINUE);
        CHECK_INT(gss_choose(&login, 1, 0, rows[i].authzid, rows[i].len),
                  STATUS_PENDING);
        CHECK_STR(login.ask.authcid, "alice@EXAMPLE.ORG");
        CHECK_STR(login.ask.requested, rows[i].requested);
        CHECK_STR(login.ask.local, rows[i].local);
    }
    gss_end(&login);
}

TEST(g4_an_authzid_that_no_log_or_host_should_see_is_refused)
{
    static const struct {
        const char *authzid;
        size_t len;
    } rows[] = {
        { "ali\0ce", 6 }, { "alice\0\0", 7 }, { "\0alice", 6 },
        { "\0", 1 },      { "alice\n", 6 },   { "al\033ice", 7 },
        { "al\xffice", 7 }, { "\xc0\x80", 2 },
    };
    struct gss_login login;
    char name[300];

    memset(name, 'a', sizeof(name));
    gss_begin(&login);
    for (size_t i = 0; i <= sizeof(rows) / sizeof(rows[0]); i++) {
        bool last = i == sizeof(rows) / sizeof(rows[0]);

        gss_again(&login);
        CHECK_INT(gss_until_offer(&login), STATUS_CONTINUE);
        CHECK_INT(gss_choose(&login, 1, 0, last ? name : rows[i].authzid,
                             last ? 256 : rows[i].len),
                  STATUS_AUTH);
        CHECK_HAS(login.log, "sasl.refused principal=alice@EXAMPLE.ORG");
    }
    gss_end(&login);
}

TEST(g5_every_listed_service_of_the_keytab_will_do)
{
    static const char *const services[] = {
        "pop@localhost", "pop3@localhost",
        "pop/mail.example.org@EXAMPLE.ORG",
    };
    struct gss_login login;

    gss_begin(&login);
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
        gss_again(&login);
        login.service = services[i];
        CHECK_INT(gss_log_in(&login, ""), STATUS_PENDING);
    }
    gss_again(&login);
    login.service = "host@localhost";
    CHECK_INT(gss_log_in(&login, ""), STATUS_DENIED);
    CHECK_HAS(login.log, "1 sasl.refused code=35 principal=alice@EXAMPLE.ORG "
              "service=host/localhost@EXAMPLE.ORG");
    gss_end(&login);
}

/* ---- the host decides ---- */

TEST(a_denied_authorisation_stays_denied)
{
    static const int results[][2] = {
        { STATUS_DENIED, STATUS_DENIED }, { STATUS_AUTH, STATUS_AUTH },
        { STATUS_TEMP, STATUS_TEMP },     { STATUS_DELAY, STATUS_DELAY },
        { STATUS_CONTINUE, STATUS_INVALID },
        { STATUS_PENDING, STATUS_INVALID },
    };
    struct gss_login login;

    gss_begin(&login);
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        gss_again(&login);
        CHECK_INT(gss_log_in(&login, "alice"), STATUS_PENDING);
        /* Nothing but the host's answer goes on from here. */
        CHECK_INT(gss_send(&login, "", 0), STATUS_INVALID);
        CHECK_INT(resume(&login, results[i][0]), results[i][1]);
        CHECK_INT(resume(&login, STATUS_OK), STATUS_INVALID);
        CHECK_INT(gss_send(&login, "", 0), STATUS_INVALID);
    }
    gss_end(&login);
}

TEST(an_answer_to_nothing_opens_nothing)
{
    struct gss_login login;

    gss_begin(&login);
    CHECK_INT(resume(&login, STATUS_OK), STATUS_INVALID);
    gss_again(&login);
    CHECK_INT(gss_until_offer(&login), STATUS_CONTINUE);
    CHECK_INT(resume(&login, STATUS_OK), STATUS_INVALID);
    gss_end(&login);
}

/* ---- the choice of a layer ---- */

TEST(g3_a_choice_that_was_not_offered_is_refused)
{
    static const unsigned choices[][2] = {
        { 0, 0 }, { 2, 65536 }, { 4, 65536 }, { 3, 0 }, { 5, 0 }, { 7, 0 },
        { 6, 65536 }, { 8, 0 }, { 9, 0 }, { 0x81, 0 }, { 1, 1 },
        { 1, 0xffffff },
    };
    struct gss_login login;

    gss_begin(&login);
    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
        gss_again(&login);
        CHECK_INT(gss_until_offer(&login), STATUS_CONTINUE);
        CHECK_INT(gss_choose(&login, choices[i][0], choices[i][1], "", 0),
                  STATUS_AUTH);
        CHECK_HAS(login.log, "2 sasl.refused principal=alice@EXAMPLE.ORG");
        CHECK_HAS(login.log, "problem=");
    }
    gss_end(&login);
}

TEST(g3_a_choice_that_is_too_short_damaged_or_ours_is_refused)
{
    const struct octets *token;
    struct octets copy;
    struct gss_login login;

    gss_begin(&login);
    CHECK_INT(gss_until_offer(&login), STATUS_CONTINUE);
    copy.len = buf_len(&login.out);
    memcpy(copy.data, buf_data(&login.out), copy.len);
    CHECK_INT(gss_send(&login, copy.data, copy.len), STATUS_AUTH);
    CHECK_HAS(login.log, "choice of a layer is none");
    gss_again(&login);
    CHECK_INT(gss_until_offer(&login), STATUS_CONTINUE);
    token = gss_wrapped(&login, "\1\0\0", 3, false);
    CHECK_INT(gss_send(&login, token->data, token->len), STATUS_AUTH);
    gss_again(&login);
    CHECK_INT(gss_until_offer(&login), STATUS_CONTINUE);
    copy = *gss_wrapped(&login, "\1\0\0\0", 4, false);
    copy.data[copy.len - 1] ^= 1;
    CHECK_INT(gss_send(&login, copy.data, copy.len), STATUS_AUTH);
    gss_again(&login);
    CHECK_INT(gss_until_offer(&login), STATUS_CONTINUE);
    CHECK_INT(gss_send(&login, "", 0), STATUS_AUTH);
    gss_end(&login);
}

TEST(g3_a_sealed_choice_is_refused)
{
    const struct octets *token;
    struct gss_login login;

    gss_begin(&login);
    CHECK_INT(gss_until_offer(&login), STATUS_CONTINUE);
    token = gss_wrapped(&login, "\1\0\0\0alice", 9, true);
    CHECK_INT(gss_send(&login, token->data, token->len), STATUS_AUTH);
    CHECK_HAS(login.log, "choice of a layer is sealed");
    gss_end(&login);
}

TEST(an_answer_to_the_ap_rep_must_be_empty)
{
    const struct octets *token;
    struct gss_login login;

    gss_begin(&login);
    token = gss_token(&login);
    CHECK_INT(gss_send(&login, token->data, token->len), STATUS_CONTINUE);
    CHECK_INT(gss_send(&login, "x", 1), STATUS_AUTH);
    gss_end(&login);
}

/* ---- tokens ---- */

TEST(g6_a_replayed_login_is_refused)
{
    struct gss_login login;
    struct octets token;

    gss_begin(&login);
    login.flags = GSS_C_INTEG_FLAG; /* as curl: nothing of ours is in it */
    token = *gss_token(&login);
    CHECK_INT(gss_send(&login, token.data, token.len), STATUS_CONTINUE);
    gss_again(&login);
    CHECK_INT(gss_send(&login, token.data, token.len), STATUS_AUTH);
    CHECK_INT(buf_len(&login.out), 0);
    CHECK_HAS(login.log, "1 sasl.refused principal=alice@EXAMPLE.ORG");
    CHECK_HAS(login.log, "replay");
    CHECK_LACKS(login.log, "sasl.accepted");
    gss_end(&login);
}

TEST(g6_a_replay_in_another_process_is_refused)
{
    struct gss_login login;
    struct gss_login second;
    struct octets token;
    int status = 0;
    pid_t pid;

    gss_begin(&login);
    token = *gss_token(&login);
    CHECK_INT(gss_send(&login, token.data, token.len), STATUS_CONTINUE);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        gss_begin(&second);
        status = gss_send(&second, token.data, token.len);
        status = status == STATUS_AUTH && strstr(second.log, "(replay)") ? 7
                                                                         : 8;
        gss_end(&second);
        _exit(status);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(WEXITSTATUS(status), 7);
    gss_end(&login);
}

TEST(g6_the_environment_and_a_foreign_file_cannot_switch_the_cache_off)
{
    struct gss_login login;
    const struct octets *token;

    gss_begin(&login);
    token = gss_token(&login);
    CHECK_INT(setenv("KRB5RCACHENAME", "none:", 1), 0);
    CHECK_INT(gss_send(&login, token->data, token->len), STATUS_TEMP);
    unsetenv("KRB5RCACHENAME");
    CHECK_HAS(login.log, "0 sasl.refused");
    CHECK_HAS(login.log, "KRB5RCACHENAME");
    gss_end(&login);
}

TEST(the_replay_cache_is_ours_and_not_that_of_krb5_conf)
{
    struct sasl_settings settings = gss_settings();
    struct gss_login login;
    struct stat st;

    settings.replay_cache = realm_path("replay/gssapi");
    gss_begin_with(&login, &settings);
    CHECK_INT(gss_log_in(&login, ""), STATUS_PENDING);
    CHECK_INT(stat(realm_path("replay/gssapi"), &st), 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    CHECK(st.st_size > 0);
    gss_end(&login);
}

/* The framing of a krb5 token around an AP-REQ. */
static const struct octets *
framed(const uint8_t *oid, size_t oid_len, const uint8_t *apreq, size_t len)
{
    static struct octets token;
    size_t inner = oid_len + 2 + len;
    uint8_t *at = token.data;

    *at++ = 0x60;
    *at++ = 0x82;
    *at++ = (uint8_t)(inner >> 8);
    *at++ = (uint8_t)inner;
    memcpy(at, oid, oid_len);
    at += oid_len;
    *at++ = 1;
    *at++ = 0;
    memcpy(at, apreq, len);
    token.len = (size_t)(at - token.data) + len;
    return &token;
}

static const uint8_t krb5_oid[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                    0xf7, 0x12, 0x01, 0x02, 0x02 };

TEST(g7_other_mechanisms_and_garbage_are_refused)
{
    static const uint8_t oids[][11] = {
        { 0x06, 0x06, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02 }, /* SPNEGO */
        { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 1, 2, 2 },
        { 0x06, 0x06, 0x2b, 0x06, 0x01, 0x05, 0x02, 0x05 }, /* IAKERB */
        { 0x06, 0x05, 0x2b, 0x05, 0x01, 0x05, 0x02 },       /* old krb5 */
        { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 3 },
    };
    static const size_t oid_len[] = { 8, 11, 8, 7, 11 };
    const struct octets *token;
    const uint8_t *apreq;
    struct gss_login login;
    struct octets good;
    size_t len;

    gss_begin(&login);
    good = *gss_token(&login);
    CHECK(token_apreq(good.data, good.len, &apreq, &len));
    for (size_t i = 0; i < 5; i++) {
        token = framed(oids[i], oid_len[i], apreq, len);
        gss_again(&login);
        CHECK_INT(gss_send(&login, token->data, token->len), STATUS_AUTH);
        CHECK_HAS(login.log, "2 sasl.refused problem=\"not a Kerberos 5");
    }
    gss_again(&login);
    CHECK_INT(gss_send(&login, apreq, len), STATUS_AUTH);
    gss_again(&login);
    CHECK_INT(gss_send(&login, "NTLMSSP\0\1", 9), STATUS_AUTH);
    good.data[good.len] = 0;
    gss_again(&login);
    CHECK_INT(gss_send(&login, good.data, good.len + 1), STATUS_AUTH);
    /* None of them spent it. */
    gss_again(&login);
    CHECK_INT(gss_send(&login, good.data, good.len), STATUS_CONTINUE);
    gss_end(&login);
}

TEST(g7_a_token_cut_anywhere_is_refused)
{
    struct gss_login login;
    struct octets good;
    int wrong = 0;

    gss_begin(&login);
    good = *gss_token(&login);
    for (size_t len = 0; len < good.len; len++) {
        gss_again(&login);
        wrong += gss_send(&login, good.data, len) != STATUS_AUTH;
    }
    CHECK_INT(wrong, 0);
    gss_end(&login);
}

/* ---- AP-REQs that are bent ---- */

static int
send_apreq(struct gss_login *login, const char *options)
{
    char line[900];
    struct client *client;
    const struct octets *token;
    int status;

    snprintf(line, sizeof(line), "--ccache %s %s", realm_path("alice.cc"),
             options);
    client = client_new(line);
    token = framed(krb5_oid, sizeof(krb5_oid), client->apreq, client->len);
    status = gss_send(login, token->data, token->len);
    client_free(client);
    return status;
}

TEST(an_ap_req_of_another_protocol_is_refused)
{
    struct gss_login login;

    gss_begin(&login);
    CHECK_INT(send_apreq(&login, "--service pop@localhost --gss"),
              STATUS_CONTINUE);
    gss_again(&login);
    CHECK_INT(send_apreq(&login, "--service pop@localhost"), STATUS_AUTH);
    CHECK_HAS(login.log, "1 sasl.refused code=50 principal=alice@");
    CHECK_HAS(login.log, "not made for GSSAPI");
    gss_end(&login);
}

TEST(g9_a_key_newer_than_the_keytab_is_named)
{
    struct gss_login login;

    gss_begin(&login);
    CHECK_INT(send_apreq(&login, "--service pop/rekeyed --gss"), STATUS_AUTH);
    CHECK_HAS(login.log, "0 sasl.refused code=44 "
              "service=pop/rekeyed@EXAMPLE.ORG kvno=2");
    CHECK_HAS(login.log, "keytab=");
    CHECK_INT(buf_len(&login.out), 0);
    gss_end(&login);
}

TEST(g9_the_keytab_is_read_anew_for_every_login)
{
    struct sasl_settings settings = gss_settings();
    struct gss_login login;
    char command[1200];
    char keytab[300];

    snprintf(keytab, sizeof(keytab), "%s", realm_path("gssapi.keytab"));
    settings.keytab = keytab;
    snprintf(command, sizeof(command), "cp %s %s",
             realm_path("kpop.keytab"), keytab);
    CHECK_INT(system(command), 0);
    gss_begin_with(&login, &settings);
    CHECK_INT(gss_log_in(&login, ""), STATUS_PENDING);
    CHECK_INT(unlink(keytab), 0);
    gss_again(&login);
    CHECK_INT(gss_log_in(&login, ""), STATUS_PERM);
    CHECK_HAS(login.log, "0 sasl.refused code=45");
    CHECK_HAS(login.log, keytab);
    CHECK_INT(system(command), 0);
    gss_again(&login);
    CHECK_INT(gss_log_in(&login, ""), STATUS_PENDING);
    gss_end(&login);
}

TEST(g10_a_wrong_clock_is_named)
{
    struct gss_login login;

    gss_begin(&login);
    CHECK_INT(send_apreq(&login, "--service pop@localhost --gss --skew 4000"),
              STATUS_AUTH);
    CHECK_HAS(login.log, "2 sasl.refused code=37 principal=alice@");
    /* A checker lets seconds pass. */
    CHECK(strstr(login.log, "delta=4000") != NULL
          || strstr(login.log, "delta=39") != NULL);
    CHECK_HAS(login.log, "Clock skew");
    gss_end(&login);
}

TEST(a_damaged_ap_req_is_refused_and_a_large_one_taken)
{
    struct gss_login login;

    gss_begin(&login);
    CHECK_INT(send_apreq(&login, "--service pop@localhost --gss "
                         "--flip ticket"),
              STATUS_AUTH);
    CHECK_HAS(login.log, "code=31");
    gss_again(&login);
    CHECK_INT(send_apreq(&login, "--service pop@localhost --gss "
                         "--pad 40000"),
              STATUS_CONTINUE);
    gss_end(&login);
}

TEST(rc4_is_refused_unless_it_is_allowed)
{
    struct sasl_settings settings = gss_settings();
    struct gss_login login;

    settings.keytab = realm_path("weak.keytab");
    gss_begin_with(&login, &settings);
    login.service = "pop/weak@EXAMPLE.ORG";
    CHECK_INT(gss_log_in(&login, ""), STATUS_DENIED);
    CHECK_HAS(login.log, "1 sasl.refused code=14");
    gss_end(&login);
    settings = gss_settings();
    settings.keytab = realm_path("weak.keytab");
    settings.allow_weak_enctypes = true;
    gss_begin_with(&login, &settings);
    login.service = "pop/weak@EXAMPLE.ORG";
    CHECK_INT(gss_log_in(&login, "alice"), STATUS_PENDING);
    CHECK_STR(login.ask.requested, "alice");
    gss_end(&login);
}

/* Found by fuzz_gssapi: libsasl2 takes what it doesn't know for no layer. */
TEST(g3_choices_in_older_tokens_of_rc4_are_looked_at_too)
{
    static const struct {
        const char *choice;
        bool sealed;
        int status;
    } rows[] = {
        { "\1\0\0\0", false, STATUS_PENDING },
        { "\1\0\0\0", true, STATUS_AUTH },
        { "\0\0\0\0", false, STATUS_AUTH },
        { "\x08\0\0\0", false, STATUS_AUTH },
        { "\x09\0\0\0", false, STATUS_AUTH },
        { "\2\0\x10\0", false, STATUS_AUTH },
        { "\x81\0\0\0", false, STATUS_AUTH },
        { "\1\0\0\1", false, STATUS_AUTH },
    };
    struct sasl_settings settings = gss_settings();
    const struct octets *token;
    struct gss_login login;
    char args[600];

    settings.keytab = realm_path("weak.keytab");
    settings.allow_weak_enctypes = true;
    gss_begin_with(&login, &settings);
    login.service = "pop/weak@EXAMPLE.ORG";
    login.flags = GSS_C_INTEG_FLAG | GSS_C_CONF_FLAG;
    /* The session's key is RC4's, too. */
    snprintf(args, sizeof(args), "%s -e arcfour-hmac %s",
             realm_ccache("alice", "rc4.cc"), login.service);
    realm_do("ticket", args);
    setenv("KRB5CCNAME", realm_path("rc4.cc"), 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        gss_again(&login);
        CHECK_INT(gss_until_offer(&login), STATUS_CONTINUE);
        token = gss_wrapped(&login, rows[i].choice, 4, rows[i].sealed);
        CHECK_INT(token->data[0], 0x60);
        CHECK_INT(gss_send(&login, token->data, token->len),
                  rows[i].status);
    }
    gss_again(&login);
    CHECK_INT(gss_until_offer(&login), STATUS_CONTINUE);
    token = gss_wrapped(&login, "\1\0\0", 3, false);
    CHECK_INT(gss_send(&login, token->data, token->len), STATUS_AUTH);
    gss_end(&login);
}

TEST(a_principal_of_another_realm_keeps_its_realm)
{
    struct gss_login login;

    gss_begin(&login);
    realm_ccache("alice@OTHER.ORG", "other.cc");
    setenv("KRB5CCNAME", realm_path("other.cc"), 1);
    login.service = "pop/localhost@EXAMPLE.ORG";
    CHECK_INT(gss_log_in(&login, ""), STATUS_PENDING);
    CHECK_STR(login.ask.authcid, "alice@OTHER.ORG");
    CHECK_STR(login.ask.local, "");
    gss_end(&login);
}

/* ---- many ---- */

TEST(exchanges_may_end_at_every_step)
{
    struct gss_login login;
    const struct octets *token;

    gss_begin(&login);
    for (int i = 0; i < 50; i++) {
        gss_again(&login);
        (void)gss_send(&login, NULL, 0);
        gss_again(&login);
        token = gss_token(&login);
        CHECK_INT(gss_send(&login, token->data, token->len),
                  STATUS_CONTINUE);
        gss_again(&login);
        CHECK_INT(gss_until_offer(&login), STATUS_CONTINUE);
        gss_again(&login);
        CHECK_INT(gss_log_in(&login, ""), STATUS_PENDING);
    }
    gss_end(&login);
}

enum { THREADS = 3, LOGINS = 20 };

static struct crowd {
    struct sasl_world *world;
    struct octets tokens[LOGINS];
    int accepted[THREADS];
    int refused[THREADS];
} crowd;

/* Sends all of them; each was sent by every other thread, too. */
static void *
crowd_member(void *arg)
{
    size_t me = (size_t)((int *)arg - crowd.accepted);
    struct gss_login login;

    for (size_t i = 0; i < LOGINS; i++) {
        const struct octets *token = &crowd.tokens[i];

        gss_attach(&login, crowd.world);
        if (gss_send(&login, token->data, token->len) == STATUS_CONTINUE)
            crowd.accepted[me]++;
        else if (strstr(login.log, "(replay)") != NULL)
            crowd.refused[me]++;
        gss_detach(&login);
    }
    return NULL;
}

TEST(threads_share_a_world_and_a_token_counts_once)
{
    pthread_t threads[THREADS];
    struct gss_login login;
    const char *checker = getenv("KPOP_CHECKER");
    int accepted = 0;
    int refused = 0;

    if (checker != NULL && strcmp(checker, "valgrind") == 0) {
        SKIP("valgrind 3.19 stops all threads while one waits by "
             "F_OFD_SETLKW, as libkrb5 does for its replay cache");
        return;
    }
    gss_begin(&login);
    for (size_t i = 0; i < LOGINS; i++) {
        gss_again(&login);
        crowd.tokens[i] = *gss_token(&login);
    }
    crowd.world = login.world;
    for (size_t i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, crowd_member,
                                 &crowd.accepted[i]), 0);
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
        accepted += crowd.accepted[i];
        refused += crowd.refused[i];
    }
    CHECK_INT(accepted, LOGINS);
    CHECK_INT(refused, LOGINS * (THREADS - 1));
    gss_end(&login);
}

TEST_MAIN("gssapi",
          T(g4_without_authzid_the_principal_s_own_mailbox_is_asked_for),
          T(g1_without_an_initial_token_an_empty_challenge_asks_for_it),
          T(g1_an_empty_token_is_refused),
          T(g2_no_layer_is_offered_by_default),
          T(clients_without_mutual_authentication_get_the_offer_at_once),
          T(g4_the_authzid_is_asked_for_and_mapped),
          T(g4_an_authzid_that_no_log_or_host_should_see_is_refused),
          T(g5_every_listed_service_of_the_keytab_will_do),
          T(a_denied_authorisation_stays_denied),
          T(an_answer_to_nothing_opens_nothing),
          T(g3_a_choice_that_was_not_offered_is_refused),
          T(g3_a_choice_that_is_too_short_damaged_or_ours_is_refused),
          T(g3_a_sealed_choice_is_refused),
          T(an_answer_to_the_ap_rep_must_be_empty),
          T(g6_a_replayed_login_is_refused),
          T(g6_a_replay_in_another_process_is_refused),
          T(g6_the_environment_and_a_foreign_file_cannot_switch_the_cache_off),
          T(the_replay_cache_is_ours_and_not_that_of_krb5_conf),
          T(g7_other_mechanisms_and_garbage_are_refused),
          T(g7_a_token_cut_anywhere_is_refused),
          T(an_ap_req_of_another_protocol_is_refused),
          T(g9_a_key_newer_than_the_keytab_is_named),
          T(g9_the_keytab_is_read_anew_for_every_login),
          T(g10_a_wrong_clock_is_named),
          T(a_damaged_ap_req_is_refused_and_a_large_one_taken),
          T(rc4_is_refused_unless_it_is_allowed),
          T(g3_choices_in_older_tokens_of_rc4_are_looked_at_too),
          T(a_principal_of_another_realm_keeps_its_realm),
          T(exchanges_may_end_at_every_step),
          T(threads_share_a_world_and_a_token_counts_once))
