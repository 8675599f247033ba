/*
 * session_faults.c - whole sessions inside TLS, by STLS and on POP3S, while
 * one call fails, each there is, in turn: of memory and of libssl.  Nothing is
 * said in the clear behind STLS, messages come whole or not at all, and
 * nothing is deleted without QUIT.  Sessions in the clear are the dialogues'.
 *
 * SPDX-License-Identifier: MIT
 */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "tests/lib/check.h"
#include "tests/unit/faults.h"
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
begin(void)
{
    stub_begin(&stub, &stub_passwords);
    CHECK_INT(stub.api->set(stub.plugin, "tls_certificate",
                            fixture_path("server.pem"), NULL, 0), KPOP_OK);
    CHECK_INT(stub.api->set(stub.plugin, "tls_key",
                            fixture_path("server.key"), NULL, 0), KPOP_OK);
    CHECK_INT(stub.api->set(stub.plugin, "tls_client_ca",
                            fixture_path("ca.pem"), NULL, 0), KPOP_OK);
    CHECK_INT(stub.api->ready(stub.plugin, NULL, 0), KPOP_OK);
}

static const char *
once(const char *service, size_t n)
{
    const char *failed;

    begin();
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

    fixture_begin();
    context = SSL_CTX_new(TLS_client_method());
    CHECK(context != NULL);
    CHECK_INT(SSL_CTX_use_certificate_file(
                  context, fixture_path("server.pem"), SSL_FILETYPE_PEM), 1);
    CHECK_INT(SSL_CTX_use_PrivateKey_file(
                  context, fixture_path("server.key"), SSL_FILETYPE_PEM), 1);
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

TEST(files_are_cleaned_up)
{
    fixture_end();
}

TEST_MAIN("session_faults", T(session_by_stls_with_each_call_failing),
          T(session_on_pop3s_with_each_call_failing),
          T(files_are_cleaned_up))
