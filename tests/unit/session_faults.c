/*
 * session_faults.c - whole sessions inside TLS, by STLS and on POP3S, and
 * inside a security layer of GSSAPI, while one call fails, each there is, in
 * turn: of memory, libssl and libsasl2.  Nothing is said in the clear behind
 * STLS or the layer's beginning, messages come whole or not at all, and
 * nothing is deleted without QUIT.  Sessions in the clear are the dialogues'.
 *
 * SPDX-License-Identifier: MIT
 */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sasl/sasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "kpop/base64.h"
#include "tests/lib/check.h"
#include "tests/unit/faults.h"
#include "tests/unit/gss_fixture.h"
#include "tests/unit/stub.h"
#include "tests/unit/tls_fixture.h"

FAULT(void *, malloc, NULL, (size_t size), (size))
FAULT(void *, calloc, NULL, (size_t count, size_t size), (count, size))
FAULT(void *, realloc, NULL, (void *old, size_t size), (old, size))
FAULT(char *, strdup, NULL, (const char *text), (text))
FAULT(ssize_t, getrandom, -1, (void *at, size_t n, unsigned flags),
      (at, n, flags))
FAULT(SSL *, SSL_new, NULL, (SSL_CTX * context), (context))
FAULT(BIO *, BIO_new, NULL, (const BIO_METHOD *method), (method))
FAULT(int, SSL_write_ex, 0,
      (SSL * ssl, const void *at, size_t n, size_t *out), (ssl, at, n, out))
FAULT(int, SSL_read_ex, 0, (SSL * ssl, void *at, size_t n, size_t *out),
      (ssl, at, n, out))
FAULT(int, i2d_X509, -1, (const X509 *certificate, unsigned char **out),
      (certificate, out))
FAULT(int, sasl_encode, SASL_FAIL,
      (sasl_conn_t * conn, const char *in, unsigned len, const char **out,
       unsigned *len_out),
      (conn, in, len, out, len_out))
FAULT(int, sasl_decode, SASL_NOMEM,
      (sasl_conn_t * conn, const char *in, unsigned len, const char **out,
       unsigned *len_out),
      (conn, in, len, out, len_out))

static struct stub stub;
static SSL_CTX *context; /* the client's */

/* The client. */
static struct {
    SSL *ssl;
    BIO *in;
    BIO *out;
    bool shakes;         /* it has said Client Hello */
    char clear[2000];    /* what came without TLS */
    size_t clear_len;
    char heard[20000];
    size_t heard_len;
} client;

static const char *const commands[] = {
    "USER alice\r\nPASS secret\r\n", "STAT\r\n", "RETR 1\r\n", "DELE 2\r\n",
    "QUIT\r\n",
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void
client_begin(void)
{
    memset(&client, 0, sizeof(client));
    client.ssl = SSL_new(context);
    client.in = BIO_new(BIO_s_mem());
    client.out = BIO_new(BIO_s_mem());
    CHECK(client.ssl != NULL && client.in != NULL && client.out != NULL);
    SSL_set_bio(client.ssl, client.in, client.out);
    SSL_set_connect_state(client.ssl);
}

static void
client_take(const void *data, size_t len)
{
    if (client.shakes) {
        CHECK_INT(BIO_write(client.in, data, (int)len), len);
        return;
    }
    CHECK(len < sizeof(client.clear) - client.clear_len);
    memcpy(client.clear + client.clear_len, data, len);
    client.clear_len += len;
}

/* What the client has heard of it. */
static void
client_hear(void)
{
    size_t got = 0;

    if (client.shakes && !SSL_is_init_finished(client.ssl))
        (void)SSL_do_handshake(client.ssl);
    while (client.shakes && SSL_is_init_finished(client.ssl)
           && SSL_read_ex(client.ssl, client.heard + client.heard_len,
                          sizeof(client.heard) - 1 - client.heard_len, &got)
                  == 1)
        client.heard_len += got;
    ERR_clear_error();
}

/* ---- both ends ---- */

static bool
carry_down(void)
{
    const void *data;
    bool moved = false;
    size_t len;

    faults_inside(true);
    while ((len = stub.api->output(stub.session, &data)) > 0) {
        faults_inside(false);
        client_take(data, len);
        faults_inside(true);
        stub.api->wrote(stub.session, len);
        moved = true;
    }
    faults_inside(false);
    return moved;
}

static bool
carry_up(void)
{
    char data[4096];
    int len = BIO_read(client.out, data, sizeof(data));
    size_t used = 0;
    size_t n = 1;

    if (len <= 0)
        return false;
    faults_inside(true);
    while (used < (size_t)len && n > 0) {
        n = stub.api->input(stub.session, data + used, (size_t)len - used, 1);
        used += n;
    }
    faults_inside(false);
    return true;
}

static void
run(void)
{
    bool moved = true;

    while (moved) {
        client_hear();
        moved = carry_up();
        moved = carry_down() || moved;
    }
}

static void
say_clear(const char *text)
{
    faults_inside(true);
    (void)stub.api->input(stub.session, text, strlen(text), 1);
    faults_inside(false);
    run();
}

static bool
connect_to(const char *service)
{
    const struct kpop_facts facts = { .size = sizeof(facts),
                                      .service = service,
                                      .peer_address = "192.0.2.1" };
    int32_t status;

    faults_inside(true);
    status = stub.api->session_new(stub.plugin, &facts, &stub, 0,
                                   &stub.session);
    faults_inside(false);
    if (status != KPOP_OK) {
        CHECK_INT(status, KPOP_NO_MEMORY);
        stub.session = NULL;
    }
    return status == KPOP_OK;
}

static void
play(const char *service)
{
    client_begin();
    if (!connect_to(service)) {
        SSL_free(client.ssl);
        return;
    }
    if (strcmp(service, "pop3") == 0) {
        run();
        say_clear("STLS\r\n");
    }
    client.shakes = true;
    run();
    for (int i = 0; i < COMMANDS && SSL_is_init_finished(client.ssl); i++) {
        (void)SSL_write(client.ssl, commands[i], (int)strlen(commands[i]));
        run();
    }
    faults_inside(true);
    stub.api->input_end(stub.session, 2);
    faults_inside(false);
    run();
    faults_inside(true);
    stub.api->session_close(stub.session);
    faults_inside(false);
    stub.session = NULL;
    SSL_free(client.ssl);
}

static bool
heard(const char *text)
{
    return strstr(client.heard, text) != NULL;
}

/* Whatever failed. */
static void
check_promises(const char *service)
{
    size_t clear = strcmp(service, "pop3") == 0 ? 2 : 0;
    size_t lines = 0;

    for (size_t i = 0; i < client.clear_len; i++)
        lines += client.clear[i] == '\n';
    CHECK(lines <= clear); /* the greeting, and the answer to STLS */
    if (heard("\r\n.\r\n"))
        CHECK(heard("\r\nSubject: one\r\n\r\n..dot\r\n.\r\n"));
    CHECK(stub.deleted <= stub.asked[STUB_COMMIT]);
    CHECK(stub.asked[STUB_COMMIT] <= 1);
    CHECK_INT(stub.closes, stub.boxes);
}

static void
begin_with(const struct kpop_host *table)
{
    stub_begin(&stub, table);
    CHECK_INT(stub.api->set(stub.plugin, "tls_certificate",
                            fixture_path("server.pem"), NULL, 0), KPOP_OK);
    CHECK_INT(stub.api->set(stub.plugin, "tls_key",
                            fixture_path("server.key"), NULL, 0), KPOP_OK);
    CHECK_INT(stub.api->set(stub.plugin, "tls_client_ca",
                            fixture_path("ca.pem"), NULL, 0), KPOP_OK);
    CHECK_INT(stub.api->ready(stub.plugin, NULL, 0), KPOP_OK);
}

static void
new_context(void)
{
    fixture_begin();
    context = SSL_CTX_new(TLS_client_method());
    CHECK(context != NULL);
    CHECK_INT(SSL_CTX_use_certificate_file(
                  context, fixture_path("server.pem"), SSL_FILETYPE_PEM), 1);
    CHECK_INT(SSL_CTX_use_PrivateKey_file(
                  context, fixture_path("server.key"), SSL_FILETYPE_PEM), 1);
}

static const char *
once(const char *service, size_t n)
{
    const char *failed;

    begin_with(&stub_passwords);
    faults_arm(n, FAULT_MEMORY);
    play(service);
    failed = faults_disarm();
    check_promises(service);
    if (failed == NULL) {
        CHECK(heard("\r\n.\r\n"));
        CHECK_INT(stub.deleted, 1);
    }
    /* The next one is served. */
    client.heard[0] = '\0';
    play(service);
    CHECK(heard("\r\n.\r\n"));
    stub.api->free(stub.plugin);
    return failed;
}

static void
sweep(const char *service)
{
    size_t n = 0;

    new_context();
    while (once(service, n) != NULL && n < 10000)
        n++;
    CHECK(n > 30 && n < 10000);
    SSL_CTX_free(context);
}

TEST(session_by_stls_with_each_call_failing)
{
    sweep("pop3");
}

TEST(session_on_pop3s_with_each_call_failing)
{
    sweep("pop3s");
}

/* ---- a host that takes a connection whose octets are our TLS's ---- */

static void
begin_takeover(const char *service)
{
    new_context();
    begin_with(&stub_exchange);
    client_begin();
    CHECK(connect_to(service));
    run();
}

static void
shake(void)
{
    client.shakes = true;
    run();
    CHECK(SSL_is_init_finished(client.ssl));
}

/* The server's answers to it are all that is in client.heard. */
static void
log_in_again(void)
{
    static const char lines[] = "USER alice\r\nPASS secret\r\n";

    memset(client.heard, 0, sizeof(client.heard));
    client.heard_len = 0;
    CHECK_INT(SSL_write(client.ssl, lines, sizeof(lines) - 1),
              sizeof(lines) - 1);
    run();
}

static void
end_takeover(void)
{
    CHECK((stub.api->wants(stub.session) & KPOP_IS_TAKEN) == 0);
    stub_end(&stub);
    SSL_free(client.ssl);
    SSL_CTX_free(context);
}

TEST(connection_inside_our_tls_is_not_taken)
{
    begin_takeover("pop3s");
    shake();
    stub.answers[STUB_START] = KPOP_TAKEN;
    log_in_again();
    CHECK(heard("-ERR [SYS/TEMP]"));
    CHECK_INT(stub.ends, 1);
    stub.answers[STUB_START] = 0;
    log_in_again();
    CHECK(!heard("-ERR"));
    CHECK((stub.api->wants(stub.session) & KPOP_IS_LOGGED_IN) != 0);
    end_takeover();
}

/* KPOP may ask again after a passing trouble, but not who is gone. */
TEST(exchange_that_ended_by_taking_is_not_asked_again)
{
    static const char hello[] = "\0\0\0\x13KRB5_SENDAUTH_V1.0\0\0\0\0\x09"
                                "KPOPV1.0\0\0\0\0\x04n\x02zz";

    begin_takeover("kpop");
    (void)stub.api->input(stub.session, hello, sizeof(hello) - 1, 1);
    run();
    say_clear("STLS\r\n");
    shake();
    stub.answers[STUB_STEP] = KPOP_TAKEN;
    log_in_again();
    CHECK(heard("-ERR [SYS/TEMP]"));
    CHECK_INT(stub.ends, 1);
    stub.answers[STUB_STEP] = 0;
    log_in_again();
    CHECK(heard("-ERR [SYS/TEMP]"));
    CHECK_INT(stub.asked[STUB_STEP], 1);
    end_takeover();
}

/* ---- inside a security layer ---- */

static struct gss_login login; /* the client's half alone */
static struct buf wire;        /* what we have said, not read yet */

static void
carry_wire(void)
{
    const void *data;
    size_t len;

    faults_inside(true);
    while ((len = stub.api->output(stub.session, &data)) > 0) {
        faults_inside(false);
        buf_append(&wire, data, len);
        faults_inside(true);
        stub.api->wrote(stub.session, len);
    }
    faults_inside(false);
}

static void
say_octets(const void *octets, size_t len)
{
    const char *at = octets;
    size_t n = 1;

    while (len > 0 && n > 0) {
        faults_inside(true);
        n = stub.api->input(stub.session, at, len, 1);
        faults_inside(false);
        at += n;
        len -= n;
        carry_wire();
    }
}

/* A line of base64; what the server says to it, decoded, is in login.out. */
static bool
say_token(const char *before, const struct octets *token)
{
    const uint8_t *end;
    struct buf line;

    buf_init(&line, 100000);
    buf_append_str(&line, before);
    base64_encode(&line, token->data, token->len);
    buf_append_str(&line, "\r\n");
    buf_reset(&wire);
    say_octets(buf_data(&line), buf_len(&line));
    buf_reset(&line);
    buf_reset(&login.out);
    end = buf_len(&wire) < 4 ? NULL
                             : memchr(buf_data(&wire), '\r', buf_len(&wire));
    return end != NULL && memcmp(buf_data(&wire), "+ ", 2) == 0
           && base64_decode(&login.out, buf_data(&wire) + 2,
                            (size_t)(end - buf_data(&wire)) - 2)
                  == STATUS_OK;
}

/* What is in a token of ours; how many octets. */
static size_t
open_token(const uint8_t *octets, size_t len, void *to, size_t size)
{
    static uint8_t copy[70000]; /* unwrapping bends it */
    gss_buffer_desc in = { len, copy };
    gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor;

    CHECK(len <= sizeof(copy));
    memcpy(copy, octets, len);
    CHECK_INT(gss_unwrap(&minor, login.context, &in, &out, NULL, NULL),
              GSS_S_COMPLETE);
    CHECK(out.length < size);
    memcpy(to, out.value, out.length);
    len = out.length;
    (void)gss_release_buffer(&minor, &out);
    return len;
}

static void
hear_packets(void)
{
    while (buf_len(&wire) > 4) {
        const uint8_t *head = buf_data(&wire);
        size_t len = (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];

        CHECK(head[0] == 0 && len + 4 <= buf_len(&wire));
        client.heard_len += open_token(
            head + 4, len, client.heard + client.heard_len,
            sizeof(client.heard) - client.heard_len);
        buf_consume(&wire, len + 4);
    }
}

static void
say_packet(const char *text)
{
    static uint8_t packet[70000];
    const struct octets *token = gss_wrapped(&login, text, strlen(text),
                                             true);

    CHECK(token->len + 4 <= sizeof(packet));
    packet[0] = 0;
    packet[1] = (uint8_t)(token->len >> 16);
    packet[2] = (uint8_t)(token->len >> 8);
    packet[3] = (uint8_t)token->len;
    memcpy(packet + 4, token->data, token->len);
    say_octets(packet, token->len + 4);
    hear_packets();
}

/* Up to +OK, which still comes in the clear. */
static bool
log_in(void)
{
    static const char choice[] = "\4\1\0\0alice";
    uint8_t offer[10];
    bool good = say_token("AUTH GSSAPI", &(struct octets){ 0 });

    if (good)
        good = say_token("", gss_token(&login));
    if (good) {
        CHECK_INT(gss_token(&login)->len, 0);
        good = say_token("", &(struct octets){ 0 });
    }
    if (good) {
        CHECK_INT(open_token(buf_data(&login.out), buf_len(&login.out),
                             offer, sizeof(offer)), 4);
        (void)say_token("", gss_wrapped(&login, choice, 9, false));
    }
    if (!good || buf_len(&wire) < 3
        || memcmp(buf_data(&wire), "+OK", 3) != 0)
        return false;
    while (buf_len(&wire) > 0 && buf_data(&wire)[0] != '\n')
        buf_consume(&wire, 1);
    buf_consume(&wire, 1);
    return true;
}

static void
play_layer(void)
{
    OM_uint32 minor;

    memset(&client, 0, sizeof(client));
    memset(&login, 0, sizeof(login));
    login.service = "pop@localhost";
    login.flags = GSS_C_MUTUAL_FLAG | GSS_C_SEQUENCE_FLAG | GSS_C_INTEG_FLAG
                  | GSS_C_CONF_FLAG;
    buf_init(&login.out, 70000);
    buf_init(&wire, 1 << 20);
    if (connect_to("pop3")) {
        carry_wire();
        if (log_in())
            for (int i = 1; i < COMMANDS; i++)
                say_packet(commands[i]);
        faults_inside(true);
        stub.api->input_end(stub.session, 2);
        stub.api->session_close(stub.session);
        faults_inside(false);
        stub.session = NULL;
    }
    buf_reset(&wire);
    buf_reset(&login.out);
    (void)gss_delete_sec_context(&minor, &login.context, GSS_C_NO_BUFFER);
}

static void
begin_layer(void)
{
    const char *const keys[][2] = {
        { "hostname", "localhost" },
        { "keytab", realm_path("kpop.keytab") },
        { "replay_cache", realm_path("replay/cache") },
        { "listen_pop3", "127.0.0.1:0" },
        { "max_ssf", "256" },
    };

    stub_begin(&stub, &stub_passwords);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        CHECK_INT(stub.api->set(stub.plugin, keys[i][0], keys[i][1], NULL, 0),
                  KPOP_OK);
    CHECK_INT(stub.api->ready(stub.plugin, NULL, 0), KPOP_OK);
}

static const char *
once_inside_a_layer(size_t n)
{
    const char *failed;

    begin_layer();
    faults_arm(n, FAULT_MEMORY);
    play_layer();
    failed = faults_disarm();
    check_promises("pop3");
    if (failed == NULL)
        CHECK_INT(stub.deleted, 1);
    play_layer();
    CHECK(heard("\r\n.\r\n"));
    stub.api->free(stub.plugin);
    return failed;
}

TEST(session_inside_a_layer_with_each_call_failing)
{
    struct gss_login other;
    size_t n = 0;

    gss_begin(&other); /* alice's ticket, and libsasl2 stays */
    gss_end(&other);
    while (once_inside_a_layer(n) != NULL && n < 10000)
        n++;
    CHECK(n > 50 && n < 10000);
}

TEST(files_are_cleaned_up)
{
    fixture_end();
}

TEST_MAIN("session_faults", T(session_by_stls_with_each_call_failing),
          T(session_on_pop3s_with_each_call_failing),
          T(connection_inside_our_tls_is_not_taken),
          T(exchange_that_ended_by_taking_is_not_asked_again),
          T(session_inside_a_layer_with_each_call_failing),
          T(files_are_cleaned_up))
