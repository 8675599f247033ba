/* LDFLAGS: -Wl,--wrap=time */
/*
 * tls.c - tests of the stage that speaks TLS, with OpenSSL as the client: the
 * octets, what the handshake tells, and how it ends.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/lib/check.h"
#include "tests/unit/tls_fixture.h"

time_t __real_time(time_t *out);
time_t __wrap_time(time_t *out);

static struct fixture f;
static time_t ahead; /* our clock; OpenSSL's own stays */

time_t
__wrap_time(time_t *out)
{
    time_t now = __real_time(NULL) + ahead;

    if (out != NULL)
        *out = now;
    return now;
}

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

static void
begin(int version)
{
    fixture_init(&f);
    CHECK_INT(fixture_world(&f), STATUS_OK);
    fixture_connect(&f, version, 0);
}

static void
begin_and_shake(int version)
{
    begin(version);
    CHECK(fixture_run(&f));
}

static struct tls_facts
facts(void)
{
    struct tls_facts got;

    CHECK_INT(tls_get_facts(f.tls, &got), STATUS_OK);
    return got;
}

/* Octets go both ways. */
static void
check_echo(void)
{
    char heard[8] = "";

    fixture_say(&f, "hello", 5);
    CHECK_INT(f.news, TLS_OCTETS);
    CHECK_MEM(buf_data(tls_input(f.tls)), buf_len(tls_input(f.tls)), "hello",
              5);
    buf_consume(tls_input(f.tls), 5);
    CHECK_INT(fixture_answer(&f, "world", 5), STATUS_OK);
    CHECK_INT(fixture_hear(&f, heard, 5), 5);
    CHECK_STR(heard, "world");
}

/* ---- octets ---- */

TEST(both_versions_whole_and_in_single_octets)
{
    static const char *const names[] = { "TLSv1.2", "TLSv1.3" };

    for (size_t i = 0; i < 4; i++) {
        begin(versions[i % 2]);
        f.piece = i / 2;
        SSL_set_tlsext_host_name(f.client, "server.example.org");
        CHECK(fixture_run(&f));
        CHECK_STR(facts().version, names[i % 2]);
        CHECK_STR(facts().cipher, SSL_get_cipher_name(f.client));
        CHECK_STR(facts().server_name, "server.example.org");
        CHECK(facts().bits >= 128);
        CHECK(!facts().resumed);
        CHECK_INT(facts().certificate_size, 0);
        CHECK_STR(facts().subject, "");
        check_echo();
        fixture_free(&f);
    }
}

TEST(octets_in_the_clear_come_first_and_are_counted)
{
    begin(0);
    fixture_hang_up(&f);
    fixture_connect(&f, 0, 10);
    CHECK_INT(tls_plain(f.tls), 10);
    tls_plain_wrote(f.tls, 4);
    CHECK_INT(tls_plain(f.tls), 6);
    tls_plain_wrote(f.tls, 6);
    CHECK_INT(tls_plain(f.tls), 0);
    CHECK(fixture_run(&f));
    fixture_free(&f);
}

TEST(one_record_takes_16_kib_of_output)
{
    enum { MUCH = 40000 };
    static char text[MUCH], heard[MUCH];
    size_t used = 0;

    begin_and_shake(0);
    memset(text, 'x', MUCH);
    CHECK_INT(tls_wrap(f.tls, (const uint8_t *)text, MUCH, &used), STATUS_OK);
    CHECK_INT(used, TLS_RECORD_MAX);
    CHECK_INT(fixture_answer(&f, text + used, MUCH - used), STATUS_OK);
    CHECK_INT(fixture_hear(&f, heard, MUCH), MUCH);
    CHECK(memcmp(text, heard, MUCH) == 0);
    fixture_free(&f);
}

static bool
shakes_by(const char *group)
{
    char list[32]; /* its macro wants no const */
    bool stands;

    snprintf(list, sizeof(list), "%s", group);
    fixture_init(&f);
    CHECK_INT(fixture_world(&f), STATUS_OK);
    CHECK_INT(SSL_CTX_set1_groups_list(f.context, list), 1);
    fixture_connect(&f, TLS1_3_VERSION, 0);
    stands = fixture_run(&f);
    CHECK_INT(f.news, stands ? TLS_STANDS : TLS_FAILED);
    fixture_free(&f);
    return stands;
}

TEST(only_curves_are_spoken_because_fields_are_dear)
{
    CHECK(shakes_by("X25519"));
    CHECK(shakes_by("P-256"));
    CHECK(shakes_by("P-384"));
    CHECK(!shakes_by("ffdhe2048"));
    CHECK(!shakes_by("ffdhe8192"));
}

/* ---- the end ---- */

TEST(words_instead_of_tls_get_an_alert)
{
    static const uint8_t alert[] = { 0x15, 3, 1, 0, 2, 2, 10 };

    begin(0);
    buf_append_str(&f.inbox, "USER alice\r\n");
    CHECK_INT(tls_take(f.tls, &f.inbox, &f.problem), TLS_FAILED);
    CHECK(strstr(f.problem, "not TLS") != NULL);
    CHECK_MEM(buf_data(tls_output(f.tls)), buf_len(tls_output(f.tls)), alert,
              sizeof(alert));
    fixture_free(&f);
}

/* Some octets that begin well. */
static void
check_fails(const void *octets, size_t len)
{
    buf_reset(&f.inbox);
    buf_append(&f.inbox, octets, len);
    CHECK_INT(tls_take(f.tls, &f.inbox, &f.problem), TLS_FAILED);
    CHECK(f.problem[0] != '\0');
    /* Sealed, that it is an alert can't be seen in TLS 1.3. */
    CHECK(buf_len(tls_output(f.tls)) >= 7);
    CHECK(buf_data(tls_output(f.tls))[0] == 0x15
          || (tls_stands(f.tls) && buf_data(tls_output(f.tls))[0] == 0x17));
    CHECK(!buf_failed(tls_output(f.tls)));
}

TEST(garbage_is_answered_by_an_alert)
{
    static const char hello[] = "\x16\x03\x01\x00\x08\x01\x00\x00\x04oops";
    static const char old[] = "\x16\x03\x00\x00\x04\x01\x00\x00\x00";
    static const char large[] = "\x17\x03\x03\x50\x00";
    static const char forged[] = "\x17\x03\x03\x00\x20"
                                 "0123456789abcdef0123456789abcdef";

    begin(0);
    check_fails(hello, sizeof(hello) - 1);
    fixture_free(&f);
    begin(0);
    check_fails(old, sizeof(old) - 1);
    fixture_free(&f);
    for (size_t i = 0; i < 2; i++) {
        begin_and_shake(versions[i]);
        /* At its length, before any of its octets came. */
        check_fails(large, sizeof(large) - 1);
        fixture_free(&f);
        begin_and_shake(versions[i]);
        check_fails(forged, sizeof(forged) - 1);
        fixture_free(&f);
    }
}

TEST(what_failed_stays_so)
{
    begin_and_shake(0);
    check_fails("\x17\x03\x03\x50\x00", 5);
    buf_reset(&f.inbox);
    CHECK_INT(SSL_write(f.client, "QUIT\r\n", 6), 6);
    CHECK(BIO_ctrl_pending(f.from_client) > 0);
    f.news = TLS_MORE;
    (void)fixture_run(&f);
    CHECK(f.news != TLS_OCTETS);
    CHECK_INT(buf_len(tls_input(f.tls)), 0);
    fixture_free(&f);
}

TEST(either_side_says_that_it_ends)
{
    char octet;

    for (size_t i = 0; i < 2; i++) {
        begin_and_shake(versions[i]);
        CHECK(!tls_is_shut(f.tls));
        tls_shut(f.tls);
        CHECK(tls_is_shut(f.tls));
        CHECK_INT(fixture_hear(&f, &octet, 1), 0);
        CHECK_INT(SSL_get_shutdown(f.client) & SSL_RECEIVED_SHUTDOWN,
                  SSL_RECEIVED_SHUTDOWN);
        (void)SSL_shutdown(f.client);
        (void)fixture_run(&f);
        CHECK_INT(f.news, TLS_CLOSED);
        fixture_free(&f);
    }
}

TEST(end_in_the_handshake_is_a_failure_or_an_end)
{
    begin(TLS1_2_VERSION);
    (void)SSL_do_handshake(f.client);
    check_fails("\x15\x03\x03\x00\x02\x02\x28", 7); /* handshake_failure */
    fixture_free(&f);
}

TEST(renegotiation_is_refused)
{
    begin_and_shake(TLS1_2_VERSION);
    CHECK_INT(SSL_renegotiate(f.client), 1);
    (void)SSL_do_handshake(f.client);
    CHECK(!fixture_run(&f));
    CHECK(!SSL_is_init_finished(f.client));
    fixture_free(&f);
}

/* A client that asks for new keys and reads no answer. */
TEST(key_updates_cost_a_bounded_buffer)
{
    begin_and_shake(TLS1_3_VERSION);
    f.news = TLS_MORE;
    for (int i = 0; i < 20000 && f.news == TLS_MORE; i++) {
        char octets[256];
        int len;

        CHECK_INT(SSL_key_update(f.client, SSL_KEY_UPDATE_REQUESTED), 1);
        CHECK_INT(SSL_do_handshake(f.client), 1);
        len = BIO_read(f.from_client, octets, sizeof(octets));
        CHECK(len > 0);
        buf_append(&f.inbox, octets, (size_t)len);
        f.news = tls_take(f.tls, &f.inbox, &f.problem);
    }
    CHECK(f.news == TLS_FAILED || f.news == TLS_NO_MEMORY
          || f.news == TLS_MORE);
    CHECK(buf_len(tls_output(f.tls)) <= 128 * 1024);
    fixture_free(&f);
}

/* ---- names of the channel ---- */

static void
check_end_point(void)
{
    const struct tls_facts got = facts();
    unsigned char sum[EVP_MAX_MD_SIZE];
    X509 *certificate = SSL_get1_peer_certificate(f.client);
    unsigned len = 0;

    CHECK_INT(X509_digest(certificate, EVP_sha256(), sum, &len), 1);
    CHECK_MEM(got.end_point, got.end_point_size, sum, len);
    X509_free(certificate);
}

static void
check_unique(size_t (*of_client)(const SSL *, void *, size_t))
{
    const struct tls_facts got = facts();
    unsigned char finished[64];
    size_t len = of_client(f.client, finished, sizeof(finished));

    CHECK_STR(got.binding_type, "tls-unique");
    CHECK_MEM(got.binding, got.binding_size, finished, len);
    CHECK_MEM(got.finished, got.finished_size, finished, len);
}

TEST(x1_tls_1_3_exports_a_name)
{
    unsigned char name[32];
    struct tls_facts got;

    begin_and_shake(TLS1_3_VERSION);
    CHECK_INT(SSL_export_keying_material(f.client, name, sizeof(name),
                                         "EXPORTER-Channel-Binding", 24, NULL,
                                         0, 1), 1);
    got = facts();
    CHECK_STR(got.binding_type, "tls-exporter");
    CHECK_MEM(got.binding, got.binding_size, name, sizeof(name));
    CHECK(got.finished_size > 0);
    check_end_point();
    fixture_free(&f);
}

TEST(x1_tls_1_2_is_known_by_its_first_finished_message)
{
    begin_and_shake(TLS1_2_VERSION);
    check_unique(SSL_get_finished);
    check_end_point();
    check_echo();
    fixture_resume(&f);
    CHECK(fixture_run(&f));
    CHECK(facts().resumed);
    check_unique(SSL_get_peer_finished);
    fixture_free(&f);
}

/* A client that uses each once can resume every time. */
TEST(resuming_by_tls_1_3_gives_a_new_ticket)
{
    unsigned char used[4096];
    const unsigned char *ticket;
    size_t size;
    size_t used_size;

    begin_and_shake(TLS1_3_VERSION);
    for (int i = 0; i < 3; i++) {
        check_echo();
        SSL_SESSION_get0_ticket(SSL_get_session(f.client), &ticket,
                                &used_size);
        CHECK(used_size > 0 && used_size <= sizeof(used));
        memcpy(used, ticket, used_size);
        fixture_resume(&f);
        CHECK(fixture_run(&f));
        check_echo();
        CHECK(facts().resumed);
        SSL_SESSION_get0_ticket(SSL_get_session(f.client), &ticket, &size);
        CHECK(size != used_size || memcmp(ticket, used, size) != 0);
    }
    fixture_free(&f);
}

/* It would not bind: two channels can be made to have the same. */
TEST(x1_tls_1_2_without_an_extended_secret_has_no_name)
{
    begin(TLS1_2_VERSION);
    SSL_set_options(f.client, SSL_OP_NO_EXTENDED_MASTER_SECRET);
    CHECK(fixture_run(&f));
    CHECK_STR(facts().binding_type, "");
    CHECK_INT(facts().binding_size, 0);
    check_end_point();
    fixture_free(&f);
}

/* ---- client certificates ---- */

static void
begin_as(int version, const char *name)
{
    char file[100];

    fixture_init(&f);
    f.settings.client_ca = fixture_path("ca.pem");
    CHECK_INT(fixture_world(&f), STATUS_OK);
    (void)snprintf(file, sizeof(file), "%s.pem", name);
    CHECK_INT(SSL_CTX_use_certificate_file(f.context, fixture_path(file),
                                           SSL_FILETYPE_PEM), 1);
    (void)snprintf(file, sizeof(file), "%s.key", name);
    CHECK_INT(SSL_CTX_use_PrivateKey_file(f.context, fixture_path(file),
                                          SSL_FILETYPE_PEM), 1);
    fixture_connect(&f, version, 0);
}

static void
check_is_alice(void)
{
    const struct tls_facts got = facts();
    unsigned char *der = NULL;
    int len = i2d_X509(SSL_get_certificate(f.client), &der);

    CHECK_MEM(got.certificate, got.certificate_size, der, (size_t)len);
    CHECK_STR(got.subject, "/CN=alice");
    CHECK_STR(got.client_problem, "");
    OPENSSL_free(der);
}

TEST(client_certificate_is_taken_and_kept_when_resumed)
{
    fixture_begin();
    fixture_certificate(&(struct wish){ .name = "alice" });
    for (size_t i = 0; i < 2; i++) {
        begin_as(versions[i], "alice");
        CHECK(fixture_run(&f));
        check_is_alice();
        check_echo();
        fixture_resume(&f);
        CHECK(fixture_run(&f));
        CHECK(facts().resumed);
        check_is_alice();
        fixture_free(&f);
    }
}

static void
check_is_nobody(const char *problem)
{
    const struct tls_facts got = facts();

    CHECK_INT(got.certificate_size, 0);
    if (strstr(got.client_problem, problem) == NULL)
        CHECK_STR(got.client_problem, problem);
}

/* It must not become good by being resumed. */
TEST(certificates_that_are_not_good_are_nobodys)
{
    static const struct {
        struct wish wish;
        const char *problem;
    } rows[] = {
        { { .name = "stranger", .issuer = "stranger" }, "self-signed" },
        { { .name = "late", .from = -2, .until = -1 }, "expired" },
        { { .name = "early", .from = 1, .until = 2 }, "not yet valid" },
        { { .name = "fat", .ballast = 20000 }, "larger than 16 KiB" },
    };

    fixture_begin();
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        fixture_certificate(&rows[i / 2].wish);
        begin_as(versions[i % 2], rows[i / 2].wish.name);
        CHECK(fixture_run(&f));
        check_is_nobody(rows[i / 2].problem);
        check_echo();
        fixture_resume(&f);
        CHECK(fixture_run(&f));
        check_is_nobody(rows[i / 2].problem);
        fixture_free(&f);
    }
}

/* Who comes back each hour never shows it again. */
TEST(certificate_that_ended_since_is_nobodys_when_resumed)
{
    enum { DAY = 24 * 60 * 60, HALF_HOUR = 30 * 60 };

    fixture_begin();
    fixture_certificate(&(struct wish){ .name = "alice" });
    for (size_t i = 0; i < 2; i++) {
        ahead = DAY - HALF_HOUR;
        begin_as(versions[i], "alice");
        CHECK(fixture_run(&f));
        check_is_alice();
        check_echo();
        ahead = DAY + HALF_HOUR;
        fixture_resume(&f);
        CHECK(fixture_run(&f));
        CHECK(facts().resumed);
        check_is_nobody("expired");
        fixture_free(&f);
    }
    ahead = 0;
}

static void
join(const char *to, const char *first, const char *second)
{
    char command[1000];

    (void)snprintf(command, sizeof(command), "cat %s %s >%s",
                   fixture_path(first), fixture_path(second),
                   fixture_path(to));
    CHECK_INT(system(command), 0);
}

/* Signatures are dear: those of a chain that leads to nobody we know are not
 * checked, and so it isn't seen that this one is false. */
TEST(strangers_chain_is_not_worked_through)
{
    static const struct wish far = { .name = "far", .issuer = "far",
                                     .is_authority = true };

    fixture_begin();
    fixture_certificate(&far);
    fixture_certificate(&(struct wish){ .name = "alice", .issuer = "far" });
    fixture_certificate(&far);
    begin_as(TLS1_3_VERSION, "alice");
    join("both.pem", "alice.pem", "far.pem");
    CHECK_INT(SSL_use_certificate_chain_file(f.client,
                                             fixture_path("both.pem")), 1);
    CHECK(fixture_run(&f));
    check_is_nobody("self-signed certificate in certificate chain");
    fixture_free(&f);
}

TEST(certificates_beyond_32_kib_end_the_handshake)
{
    fixture_begin();
    fixture_certificate(&(struct wish){ .name = "huge", .ballast = 40000 });
    begin_as(TLS1_3_VERSION, "huge");
    CHECK(!fixture_run(&f));
    CHECK_INT(f.news, TLS_FAILED);
    fixture_free(&f);
}

/* A session of one authority, shown to a server that now asks another one of
 * the same name. */
TEST(session_is_not_resumed_where_other_authorities_are_asked)
{
    for (size_t i = 0; i < 2; i++) {
        struct tls_world *first;

        fixture_begin();
        fixture_certificate(&(struct wish){ .name = "alice" });
        begin_as(versions[i], "alice");
        CHECK(fixture_run(&f));
        check_echo();
        first = f.world;
        fixture_certificate(&(struct wish){ .name = "ca",
                                            .is_authority = true });
        CHECK_INT(fixture_world(&f), STATUS_OK);
        fixture_resume(&f);
        CHECK(fixture_run(&f));
        CHECK(!facts().resumed);
        check_is_nobody("certificate");
        tls_world_free(first);
        fixture_free(&f);
        fixture_end();
    }
}

TEST(files_are_cleaned_up)
{
    fixture_end();
}

TEST_MAIN("tls",
          T(both_versions_whole_and_in_single_octets),
          T(octets_in_the_clear_come_first_and_are_counted),
          T(one_record_takes_16_kib_of_output),
          T(only_curves_are_spoken_because_fields_are_dear),
          T(words_instead_of_tls_get_an_alert),
          T(garbage_is_answered_by_an_alert),
          T(what_failed_stays_so),
          T(either_side_says_that_it_ends),
          T(end_in_the_handshake_is_a_failure_or_an_end),
          T(renegotiation_is_refused),
          T(key_updates_cost_a_bounded_buffer),
          T(x1_tls_1_3_exports_a_name),
          T(x1_tls_1_2_is_known_by_its_first_finished_message),
          T(resuming_by_tls_1_3_gives_a_new_ticket),
          T(x1_tls_1_2_without_an_extended_secret_has_no_name),
          T(client_certificate_is_taken_and_kept_when_resumed),
          T(certificates_that_are_not_good_are_nobodys),
          T(certificate_that_ended_since_is_nobodys_when_resumed),
          T(strangers_chain_is_not_worked_through),
          T(certificates_beyond_32_kib_end_the_handshake),
          T(session_is_not_resumed_where_other_authorities_are_asked),
          T(files_are_cleaned_up))
