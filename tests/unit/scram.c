/*
 * scram.c - SCRAM against a client written here from RFC 5802 alone, the
 * vectors of RFC 5802 and RFC 7677, and every message that is almost right.
 *
 * SPDX-License-Identifier: MIT
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kpop/base64.h"
#include "sasl/digest.h"
#include "sasl/mech.h"
#include "sasl/prep.h"
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
    struct sasl_world *world;
    void *state;
    struct buf out;
    struct mech_ask ask;
    const char *gs2;     /* "n,," */
    char bare[600];      /* client-first-message-bare */
    char first[1200];    /* of the server */
    char nonce[400];
    char salt[64];       /* base64 */
    int iterations;
};

static const char *
out_text(struct talk *talk)
{
    static char text[2000];
    size_t len = buf_len(&talk->out);

    CHECK(len < sizeof(text));
    memset(text, 0, sizeof(text));
    if (len > 0)
        memcpy(text, buf_data(&talk->out), len);
    return text;
}

/* Who the client is talking to, and by which channel. */
static struct mech_peer bound;

static void begin_with(struct talk *talk, const char *mechanism,
                       const struct mech_peer *with);

static void
begin(struct talk *talk, const char *mechanism)
{
    begin_with(talk, mechanism, &peer);
}

static void
begin_with(struct talk *talk, const char *mechanism,
           const struct mech_peer *with)
{
    const struct sasl_settings settings = {
        .hostname = "mail.test", .keytab = "/nonexistent",
        .services = "pop", .replay_cache = "/nonexistent", .realms = "",
        .principal_map = "",
    };
    char error[200];

    memset(talk, 0, sizeof(*talk));
    talk->gs2 = "n,,";
    talk->mech = mech_find(mechanism);
    CHECK(talk->mech != NULL);
    CHECK_INT(sasl_world_new(&settings, &talk->world, error, sizeof(error)),
              STATUS_OK);
    CHECK_INT(talk->mech->start(talk->world, with, &talk->state), STATUS_OK);
    buf_init(&talk->out, 65536);
}

static void
end(struct talk *talk)
{
    talk->mech->free(talk->state);
    buf_reset(&talk->out);
    sasl_world_free(talk->world);
}

static int
say(struct talk *talk, const char *text)
{
    buf_reset(&talk->out);
    return talk->mech->step(talk->state, (const uint8_t *)text, strlen(text),
                            &talk->out, &talk->ask);
}

static int
resume(struct talk *talk, int result, const char *secret)
{
    buf_reset(&talk->out);
    return talk->mech->resume(talk->state, result, (const uint8_t *)secret,
                              secret != NULL ? strlen(secret) : 0, &talk->out,
                              &talk->ask);
}

/* The first message and what the server says to it. */
static int
say_first(struct talk *talk, const char *bare)
{
    char message[1200];
    int status;

    (void)snprintf(talk->bare, sizeof(talk->bare), "%s", bare);
    (void)snprintf(message, sizeof(message), "%s%s", talk->gs2, bare);
    status = say(talk, message);
    if (status != STATUS_CONTINUE)
        return status;
    (void)snprintf(talk->first, sizeof(talk->first), "%s", out_text(talk));
    CHECK_INT(sscanf(talk->first, "r=%399[^,],s=%63[^,],i=%d", talk->nonce,
                     talk->salt, &talk->iterations), 3);
    return status;
}

static const char *
encode(const void *data, size_t len)
{
    static char text[2][1000];
    static int which;
    struct buf out;

    which = !which;
    buf_init(&out, sizeof(text[0]) - 1);
    base64_encode(&out, data, len);
    memset(text[which], 0, sizeof(text[0]));
    memcpy(text[which], buf_data(&out), buf_len(&out));
    buf_reset(&out);
    return text[which];
}

/* The proof of a client with this password, and the server's signature that
 * it then expects. */
static void
count(struct talk *talk, const char *password, const char *without_proof,
      char *proof_out, char *signature_out)
{
    const EVP_MD *md = strstr(talk->mech->name, "512") != NULL ? EVP_sha512()
                       : strstr(talk->mech->name, "256") ? EVP_sha256()
                                                         : EVP_sha1();
    unsigned size = (unsigned)EVP_MD_get_size(md);
    uint8_t salted[64], key[64], stored[64], signature[64];
    char text[4000];
    struct buf salt;

    buf_init(&salt, 100);
    CHECK_INT(base64_decode(&salt, (const uint8_t *)talk->salt,
                            strlen(talk->salt)), STATUS_OK);
    CHECK_INT(PKCS5_PBKDF2_HMAC(password, -1, buf_data(&salt),
                                (int)buf_len(&salt), talk->iterations, md,
                                (int)size, salted), 1);
    buf_reset(&salt);
    (void)snprintf(text, sizeof(text), "%s,%s,%s", talk->bare, talk->first,
                   without_proof);
    HMAC(md, salted, (int)size, (const uint8_t *)"Client Key", 10, key, NULL);
    CHECK_INT(EVP_Digest(key, size, stored, NULL, md, NULL), 1);
    HMAC(md, stored, (int)size, (const uint8_t *)text, strlen(text),
         signature, NULL);
    for (unsigned i = 0; i < size; i++)
        signature[i] ^= key[i];
    (void)snprintf(proof_out, 200, "%s", encode(signature, size));
    HMAC(md, salted, (int)size, (const uint8_t *)"Server Key", 10, key, NULL);
    HMAC(md, key, (int)size, (const uint8_t *)text, strlen(text), signature,
         NULL);
    (void)snprintf(signature_out, 200, "v=%s", encode(signature, size));
}

/* The last message; without_proof NULL: the right one. */
static int
say_final(struct talk *talk, const char *password, const char *without_proof,
          char *signature_out)
{
    char mine[1200], message[1600], proof[200];

    if (without_proof == NULL) {
        (void)snprintf(mine, sizeof(mine), "c=%s,r=%s",
                       encode(talk->gs2, strlen(talk->gs2)), talk->nonce);
        without_proof = mine;
    }
    count(talk, password, without_proof, proof, signature_out);
    (void)snprintf(message, sizeof(message), "%s,p=%s", without_proof, proof);
    return say(talk, message);
}

static const char *const mechanisms[] = { "SCRAM-SHA-1", "SCRAM-SHA-256",
                                          "SCRAM-SHA-512" };

TEST(x1_right_secret_logs_in_and_the_server_proves_itself)
{
    char signature[200];
    struct talk talk;

    for (size_t i = 0; i < 3; i++) {
        begin(&talk, mechanisms[i]);
        CHECK_INT(say_first(&talk, "n=alice,r=abc"), STATUS_CONTINUE);
        CHECK(talk.iterations >= 4096);
        CHECK(strncmp(talk.nonce, "abc", 3) == 0 && strlen(talk.nonce) == 35);
        CHECK_INT(say_final(&talk, "secret", NULL, signature),
                  STATUS_PENDING);
        CHECK_INT(talk.ask.need, MECH_SECRET);
        CHECK_STR(talk.ask.user, "alice");
        CHECK_INT(resume(&talk, STATUS_OK, "secret"), STATUS_PENDING);
        CHECK_INT(talk.ask.need, MECH_AUTHORIZE);
        CHECK_STR(talk.ask.authcid, "alice");
        CHECK_STR(talk.ask.requested, "");
        CHECK_STR(talk.ask.local, "alice");
        CHECK_INT(resume(&talk, STATUS_OK, NULL), STATUS_OK);
        CHECK_STR(out_text(&talk), signature);
        end(&talk);
    }
}

/* RFC 5802 section 5 and RFC 7677 section 3: user, pencil. */
TEST(x1_vectors_of_the_rfcs)
{
    static const struct vector {
        enum digest_hash hash;
        const char *salt, *text, *proof, *signature;
    } vectors[] = {
        { DIGEST_SHA1, "QSXCR+Q6sek8bf92",
          "n=user,r=fyko+d2lbbFgONRv9qkxdawL,"
          "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
          "s=QSXCR+Q6sek8bf92,i=4096,"
          "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
          "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "rmF9pqV8S7suAoZWja4dJRkFsKQ=" },
        { DIGEST_SHA256, "W22ZaJ0SNY7soEsUEjb6gQ==",
          "n=user,r=rOprNGfwEbeRWgbNEkqO,"
          "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
          "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
          "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
          "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
          "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" },
    };
    const struct digest_secret pencil = { (const uint8_t *)"pencil", 6 };

    for (size_t i = 0; i < 2; i++) {
        const struct vector *v = &vectors[i];
        uint8_t signature[DIGEST_HASH_MAX];
        struct buf salt, proof;
        bool same = false;

        buf_init(&salt, 100);
        buf_init(&proof, 100);
        CHECK_INT(base64_decode(&salt, (const uint8_t *)v->salt,
                                strlen(v->salt)), STATUS_OK);
        CHECK_INT(base64_decode(&proof, (const uint8_t *)v->proof,
                                strlen(v->proof)), STATUS_OK);
        const struct digest_scram scram = {
            v->hash, buf_data(&salt), buf_len(&salt), 4096,
            (const uint8_t *)v->text, strlen(v->text),
        };
        CHECK_INT(digest_scram_check(&scram, &pencil, buf_data(&proof), &same,
                                     signature), STATUS_OK);
        CHECK(same);
        CHECK_STR(encode(signature, digest_size(v->hash)), v->signature);
        buf_reset(&salt);
        buf_reset(&proof);
    }
}

TEST(x1_wrong_secret_and_unknown_user_look_alike)
{
    static const struct {
        int result;
        const char *secret;
    } hosts[] = { { STATUS_OK, "another" }, { STATUS_AUTH, NULL },
                  { STATUS_AUTH, "secret" }, { STATUS_OK, "" },
                  { STATUS_OK, NULL } };
    char signature[200];
    struct talk talk;

    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        begin(&talk, "SCRAM-SHA-256");
        CHECK_INT(say_first(&talk, "n=alice,r=abc"), STATUS_CONTINUE);
        CHECK_INT(say_final(&talk, i == 3 || i == 4 ? "nobody's secret"
                                                    : "secret",
                            NULL, signature), STATUS_PENDING);
        CHECK_INT(resume(&talk, hosts[i].result, hosts[i].secret),
                  STATUS_AUTH);
        CHECK_STR(out_text(&talk), "");
        /* It is over. */
        CHECK_INT(say(&talk, "c=biws,r=abc,p=AAAA"), STATUS_INVALID);
        end(&talk);
    }
}

TEST(x1_salt_is_the_users_and_stays_whoever_he_is)
{
    char salts[3][64];
    struct talk talk;

    for (size_t i = 0; i < 3; i++) {
        begin(&talk, "SCRAM-SHA-256");
        CHECK_INT(say_first(&talk, i < 2 ? "n=alice,r=abc" : "n=bob,r=abc"),
                  STATUS_CONTINUE);
        memcpy(salts[i], talk.salt, sizeof(salts[i]));
        end(&talk);
    }
    CHECK_STR(salts[0], salts[1]);
    CHECK(strcmp(salts[0], salts[2]) != 0);
}

TEST(x1_nonce_never_repeats)
{
    char before[400];
    struct talk talk;

    begin(&talk, "SCRAM-SHA-256");
    CHECK_INT(say_first(&talk, "n=alice,r=abc"), STATUS_CONTINUE);
    memcpy(before, talk.nonce, sizeof(before));
    end(&talk);
    begin(&talk, "SCRAM-SHA-256");
    CHECK_INT(say_first(&talk, "n=alice,r=abc"), STATUS_CONTINUE);
    CHECK(strcmp(before, talk.nonce) != 0);
    end(&talk);
}

TEST(without_initial_response_it_is_asked_for)
{
    struct talk talk;

    begin(&talk, "SCRAM-SHA-256");
    CHECK_INT(talk.mech->step(talk.state, NULL, 0, &talk.out, &talk.ask),
              STATUS_CONTINUE);
    CHECK_INT(buf_len(&talk.out), 0);
    CHECK_INT(say_first(&talk, "n=alice,r=abc"), STATUS_CONTINUE);
    end(&talk);
}

TEST(names_with_commas_and_equals_signs)
{
    char signature[200];
    struct talk talk;

    begin(&talk, "SCRAM-SHA-256");
    talk.gs2 = "y,a=b=3Db=2C,";
    CHECK_INT(say_first(&talk, "n=a=2Cb=3D,r=abc"), STATUS_CONTINUE);
    CHECK_INT(say_final(&talk, "secret", NULL, signature), STATUS_PENDING);
    CHECK_STR(talk.ask.user, "a,b=");
    CHECK_INT(resume(&talk, STATUS_OK, "secret"), STATUS_PENDING);
    CHECK_STR(talk.ask.requested, "b=b,");
    CHECK_STR(talk.ask.local, "");
    end(&talk);
}

TEST(authzid_of_another_gives_no_mailbox)
{
    static const char *const gs2[] = { "n,a=bob,", "n,a=alice," };
    char signature[200];
    struct talk talk;

    for (size_t i = 0; i < 2; i++) {
        begin(&talk, "SCRAM-SHA-256");
        talk.gs2 = gs2[i];
        CHECK_INT(say_first(&talk, "n=alice,r=abc"), STATUS_CONTINUE);
        CHECK_INT(say_final(&talk, "secret", NULL, signature),
                  STATUS_PENDING);
        CHECK_INT(resume(&talk, STATUS_OK, "secret"), STATUS_PENDING);
        CHECK_STR(talk.ask.local, i == 0 ? "" : "alice");
        CHECK_INT(resume(&talk, STATUS_DENIED, NULL), STATUS_DENIED);
        CHECK_STR(out_text(&talk), "");
        end(&talk);
    }
}

TEST(first_messages_that_are_refused)
{
    static const char *const wrong[] = {
        "", "n", "n,", "n,,", "n,,n=alice", "n,,n=alice,", "n,,r=abc",
        "n,,n=,r=abc", "n,,n=alice,r=", "n,,n=alice,x=abc",
        "x,,n=alice,r=abc", ",,n=alice,r=abc", "nn,,n=alice,r=abc",
        "p=tls-unique,,n=alice,r=abc", "p=tls-exporter,,n=alice,r=abc",
        "n,bob,n=alice,r=abc", "n,a=,n=alice,r=abc", "n,a,n=alice,r=abc",
        "n,,m=x,n=alice,r=abc", "n,,n=al=ice,r=abc", "n,,n=alice=,r=abc",
        "n,,n=alice=2,r=abc", "n,,n=alice=2D,r=abc", "n,,n=alice=3d,r=abc",
        "n,,n=al\x01ice,r=abc", "n,,n=al\xffice,r=abc", "n,,n=alice,r=a bc",
        "n,,n=alice,r=a\x7f.", "n,,n=alice,r=\xc3\xa4",
        "N,,n=alice,r=abc", "n,,N=alice,r=abc", "n,,n=alice,R=abc",
    };
    struct talk talk;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        begin(&talk, "SCRAM-SHA-256");
        CHECK_INT(say(&talk, wrong[i]), STATUS_AUTH);
        CHECK_INT(buf_len(&talk.out), 0);
        end(&talk);
    }
}

TEST(lengths_of_the_first_message)
{
    char text[3000];
    struct talk talk;

    for (int more = 0; more <= 1; more++) {
        begin(&talk, "SCRAM-SHA-256");
        (void)snprintf(text, sizeof(text), "n,,n=%.*s,r=%.*s", 255,
                       "uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"
                       "uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"
                       "uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"
                       "uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"
                       "uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"
                       "uuuuu", more, "x");
        memset(text + strlen(text), 0, sizeof(text) - strlen(text));
        memset(text + strlen(text), 'r', 256);
        CHECK_INT(say(&talk, text), more == 0 ? STATUS_CONTINUE
                                              : STATUS_AUTH);
        end(&talk);
    }
    begin(&talk, "SCRAM-SHA-256");
    (void)snprintf(text, sizeof(text), "n,,n=alice,r=abc,x=");
    memset(text + strlen(text), 'x', 2100);
    text[2100] = '\0';
    CHECK_INT(say(&talk, text), STATUS_AUTH);
    end(&talk);
}

TEST(a_name_has_up_to_255_octets)
{
    char text[300] = "n,,n=";
    struct talk talk;

    memset(text + 5, 'u', 256);
    memcpy(text + 5 + 255, ",r=abc", 7);
    begin(&talk, "SCRAM-SHA-256");
    CHECK_INT(say(&talk, text), STATUS_CONTINUE);
    end(&talk);
    memcpy(text + 5 + 255, "u,r=abc", 8);
    begin(&talk, "SCRAM-SHA-256");
    CHECK_INT(say(&talk, text), STATUS_AUTH);
    CHECK_INT(buf_len(&talk.out), 0);
    end(&talk);
}

TEST(extensions_behind_the_nonce_are_signed_and_ignored)
{
    char signature[200], without[600];
    struct talk talk;

    begin(&talk, "SCRAM-SHA-256");
    CHECK_INT(say_first(&talk, "n=alice,r=abc,x=1,y=2"), STATUS_CONTINUE);
    (void)snprintf(without, sizeof(without), "c=biws,r=%s,z=3", talk.nonce);
    CHECK_INT(say_final(&talk, "secret", without, signature),
              STATUS_PENDING);
    CHECK_INT(resume(&talk, STATUS_OK, "secret"), STATUS_PENDING);
    CHECK_INT(resume(&talk, STATUS_OK, NULL), STATUS_OK);
    CHECK_STR(out_text(&talk), signature);
    end(&talk);
}

/* %s is the nonce; each has a proof that is right for its text. */
TEST(last_messages_that_are_refused)
{
    static const char *const wrong[] = {
        "c=eSws,r=%s",         /* "y,," instead of "n,," */
        "c=biw=,r=%s",         /* "n," */
        "c=bixhPWJvYiw=,r=%s", /* "n,a=bob," */
        "c=,r=%s", "c=biws,r=%sx", "c=biws,r=abc", "c=biws,r=",
        "r=%s,c=biws", "c=biws", "x=biws,r=%s", "c=bi ws,r=%s",
        "c=biwsAAAA,r=%s",
    };
    char signature[200], without[600];
    struct talk talk;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const char *hole = strstr(wrong[i], "%s");

        begin(&talk, "SCRAM-SHA-256");
        CHECK_INT(say_first(&talk, "n=alice,r=abc"), STATUS_CONTINUE);
        if (hole == NULL)
            (void)snprintf(without, sizeof(without), "%s", wrong[i]);
        else
            (void)snprintf(without, sizeof(without), "%.*s%s%s",
                           (int)(hole - wrong[i]), wrong[i], talk.nonce,
                           hole + 2);
        CHECK_INT(say_final(&talk, "secret", without, signature),
                  STATUS_AUTH);
        end(&talk);
    }
}

TEST(proofs_that_are_refused)
{
    static const char *const wrong[] = {
        "", ",p=", ",p=AAAA", ",p=A", ",q=", ",p=AAAA,x=1", ",",
        ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=",
    };
    char message[800];
    struct talk talk;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        begin(&talk, "SCRAM-SHA-256");
        CHECK_INT(say_first(&talk, "n=alice,r=abc"), STATUS_CONTINUE);
        (void)snprintf(message, sizeof(message), "c=biws,r=%s%s", talk.nonce,
                       wrong[i]);
        CHECK_INT(say(&talk, message), STATUS_AUTH);
        end(&talk);
    }
}

/* Found by fuzz_scram: a comma behind the right proof, which signs none. */
TEST(nothing_stands_behind_the_proof)
{
    static const char *const behind[] = { "", ",", ",,", ",x=1" };
    char message[1200], mine[600], proof[200], signature[200];
    struct talk talk;

    for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]); i++) {
        begin(&talk, "SCRAM-SHA-256");
        CHECK_INT(say_first(&talk, "n=alice,r=abc"), STATUS_CONTINUE);
        (void)snprintf(mine, sizeof(mine), "c=biws,r=%s", talk.nonce);
        count(&talk, "secret", mine, proof, signature);
        (void)snprintf(message, sizeof(message), "%s,p=%s%s", mine, proof,
                       behind[i]);
        CHECK_INT(say(&talk, message), i == 0 ? STATUS_PENDING : STATUS_AUTH);
        end(&talk);
    }
}

TEST(troubles_of_the_host_are_passed_on)
{
    static const int results[] = { STATUS_TEMP, STATUS_PERM, STATUS_DELAY,
                                   STATUS_NO_MEMORY };
    char signature[200];
    struct talk talk;

    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        begin(&talk, "SCRAM-SHA-256");
        CHECK_INT(say_first(&talk, "n=alice,r=abc"), STATUS_CONTINUE);
        CHECK_INT(say_final(&talk, "secret", NULL, signature),
                  STATUS_PENDING);
        CHECK_INT(resume(&talk, results[i], NULL), results[i]);
        end(&talk);
    }
    begin(&talk, "SCRAM-SHA-256");
    CHECK_INT(resume(&talk, STATUS_OK, "secret"), STATUS_INVALID);
    end(&talk);
}

/* ---- SASLprep ---- */

static const char *
prepared(const char *password)
{
    const struct digest_secret given = { (const uint8_t *)password,
                                         strlen(password) };
    static char copy[100];
    struct digest_secret out;
    char *text;

    CHECK_INT(prep_password(&given, &text, &out), STATUS_OK);
    CHECK(out.len < sizeof(copy));
    memcpy(copy, out.data, out.len);
    copy[out.len] = '\0';
    prep_free(text);
    return copy;
}

/* RFC 4013 section 3. */
TEST(saslprep_of_the_rfc)
{
    CHECK_STR(prepared("I\xc2\xadX"), "IX");
    CHECK_STR(prepared("user"), "user");
    CHECK_STR(prepared("USER"), "USER");
    CHECK_STR(prepared("\xc2\xaa"), "a");
    CHECK_STR(prepared("\xe2\x85\xa8"), "IX");
    CHECK_STR(prepared("a\xc2\xa0" "b"), "a b");
    /* e and a combining acute accent. */
    CHECK_STR(prepared("e\xcc\x81"), "\xc3\xa9");
}

TEST(what_saslprep_forbids_stays)
{
    CHECK_STR(prepared("\x07"), "\x07");
    CHECK_STR(prepared("\xd8\xa7\x31"), "\xd8\xa7\x31");
    CHECK_STR(prepared("\xff\xfe"), "\xff\xfe");
}

TEST(prepared_and_composed_password_are_the_same_secret)
{
    char signature[200];
    struct talk talk;

    begin(&talk, "SCRAM-SHA-256");
    CHECK_INT(say_first(&talk, "n=alice,r=abc"), STATUS_CONTINUE);
    CHECK_INT(say_final(&talk, "\xc3\xa9", NULL, signature), STATUS_PENDING);
    CHECK_INT(resume(&talk, STATUS_OK, "e\xcc\x81"), STATUS_PENDING);
    end(&talk);
}

/* ---- channel binding ---- */

static void
begin_bound(struct talk *talk, const char *mechanism, const char *gs2)
{
    bound = peer;
    bound.plus = true;
    bound.bindings[0].type = "tls-exporter";
    bound.bindings[0].data = (const uint8_t *)"0123456789abcdef";
    bound.bindings[0].size = 16;
    bound.bindings[1].type = "tls-server-end-point";
    bound.bindings[1].data = (const uint8_t *)"fedcba";
    bound.bindings[1].size = 6;
    begin_with(talk, mechanism, &bound);
    talk->gs2 = gs2;
}

/* The result of a whole login that names the channel like this. */
static int
bind_by(const char *gs2, const char *channel)
{
    char signature[200], header[200], mine[600];
    struct talk talk;
    int status;

    begin_bound(&talk, "SCRAM-SHA-256-PLUS", gs2);
    status = say_first(&talk, "n=alice,r=abc");
    if (status == STATUS_CONTINUE) {
        (void)snprintf(header, sizeof(header), "%s%s", gs2, channel);
        (void)snprintf(mine, sizeof(mine), "c=%s,r=%s",
                       encode(header, strlen(header)), talk.nonce);
        status = say_final(&talk, "secret", mine, signature);
    }
    if (status == STATUS_PENDING)
        status = resume(&talk, STATUS_OK, "secret");
    if (status == STATUS_PENDING) {
        status = resume(&talk, STATUS_OK, NULL);
        CHECK_STR(out_text(&talk), signature);
    }
    end(&talk);
    return status;
}

TEST(x1_plus_binds_the_channel)
{
    CHECK_INT(bind_by("p=tls-exporter,,", "0123456789abcdef"), STATUS_OK);
    CHECK_INT(bind_by("p=tls-server-end-point,,", "fedcba"), STATUS_OK);
    CHECK_INT(bind_by("p=tls-exporter,a=alice,", "0123456789abcdef"),
              STATUS_OK);
}

TEST(x1_plus_refuses_another_channel)
{
    CHECK_INT(bind_by("p=tls-exporter,,", "0123456789abcdeF"), STATUS_AUTH);
    CHECK_INT(bind_by("p=tls-exporter,,", "0123456789abcde"), STATUS_AUTH);
    CHECK_INT(bind_by("p=tls-exporter,,", "0123456789abcdef0"), STATUS_AUTH);
    CHECK_INT(bind_by("p=tls-exporter,,", ""), STATUS_AUTH);
    CHECK_INT(bind_by("p=tls-exporter,,", "fedcba"), STATUS_AUTH);
}

TEST(x1_plus_refuses_names_that_it_does_not_know)
{
    static const char *const gs2[] = { "p=tls-unique,,", "p=,,", "p,,",
                                       "p=tls-exporte,,", "n,,", "y,,",
                                       "p=TLS-EXPORTER,,", "," };

    for (size_t i = 0; i < sizeof(gs2) / sizeof(gs2[0]); i++)
        CHECK_INT(bind_by(gs2[i], "0123456789abcdef"), STATUS_AUTH);
}

TEST(x1_downgrade_is_refused)
{
    static const struct {
        const char *gs2;
        int status;
    } rows[] = { { "y,,", STATUS_AUTH }, { "n,,", STATUS_CONTINUE },
                 { "p=tls-exporter,,", STATUS_AUTH } };
    struct talk talk;

    for (size_t i = 0; i < 3; i++) {
        begin_bound(&talk, "SCRAM-SHA-256", rows[i].gs2);
        CHECK_INT(say_first(&talk, "n=alice,r=abc"), rows[i].status);
        end(&talk);
    }
}

TEST_MAIN("scram", T(x1_right_secret_logs_in_and_the_server_proves_itself),
          T(x1_vectors_of_the_rfcs),
          T(x1_wrong_secret_and_unknown_user_look_alike),
          T(x1_salt_is_the_users_and_stays_whoever_he_is),
          T(x1_nonce_never_repeats),
          T(x1_plus_binds_the_channel), T(x1_plus_refuses_another_channel),
          T(x1_plus_refuses_names_that_it_does_not_know),
          T(x1_downgrade_is_refused),
          T(without_initial_response_it_is_asked_for),
          T(names_with_commas_and_equals_signs),
          T(authzid_of_another_gives_no_mailbox),
          T(first_messages_that_are_refused),
          T(lengths_of_the_first_message), T(a_name_has_up_to_255_octets),
          T(extensions_behind_the_nonce_are_signed_and_ignored),
          T(last_messages_that_are_refused), T(proofs_that_are_refused),
          T(nothing_stands_behind_the_proof),
          T(troubles_of_the_host_are_passed_on), T(saslprep_of_the_rfc),
          T(what_saslprep_forbids_stays),
          T(prepared_and_composed_password_are_the_same_secret))
