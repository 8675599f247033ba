/*
 * tlstalk_host.c - the host of tlstalk.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kpop/base64.h"
#include "tests/fuzz/tlstalk.h"
#include "tests/unit/tls_fixture.h"

#define api tlstalk_api
#define expect tlstalk_expect

enum { MESSAGES = 2 };

const struct kpop_api *tlstalk_api;
struct kpop_plugin *tlstalk_plugin;

void
tlstalk_expect(bool condition, const char *promise)
{
    if (!condition) {
        fprintf(stderr, "broken promise: %s\n", promise);
        abort();
    }
}

static int32_t
answer(struct talk *talk, struct kpop_op *op, int32_t result)
{
    expect(talk->kept == NULL, "one question at a time");
    if (!talk->keeps)
        return result;
    talk->kept = op;
    talk->later = result;
    return KPOP_PENDING;
}

static void
check_facts(const struct talk *talk, const struct kpop_facts *facts)
{
    expect((facts->tls_version[0] != '\0') == talk->is_secure,
           "the facts know whether there is TLS");
    expect(facts->client_certificate_size == 0
               || (talk->is_resumed ? talk->ticket_has_cert
                                    : talk->shows == CERT_GOOD),
           "no certificate but one of ours is believed");
}

/* By TLS nothing counts that has not come by it. */
static bool
was_said(const struct talk *talk, const char *text)
{
    return !talk->is_secure
           || bent_has(&talk->client, text, strlen(text));
}

/* A login's message stands in the text as it is, or in base64. */
static void
check_message(struct talk *talk, const void *data, size_t size)
{
    struct buf text;
    bool good = bent_has(&talk->client, data, size);

    if (!talk->is_secure || good)
        return;
    buf_init(&text, 65536);
    base64_encode(&text, data, size);
    good = bent_has(&talk->client, buf_data(&text), buf_len(&text));
    buf_reset(&text);
    expect(good, "a login comes by TLS or not at all");
}

/* NUL user NUL password, of USER and PASS or of AUTH. */
static void
check_plain(struct talk *talk, const char *data, size_t size)
{
    const char *nul = size > 1 ? memchr(data + 1, '\0', size - 1) : NULL;

    if (nul != NULL && data[0] == '\0'
        && bent_has(&talk->client, data + 1, (size_t)(nul - data) - 1)
        && bent_has(&talk->client, nul + 1, size - (size_t)(nul - data) - 1))
        return;
    check_message(talk, data, size);
}

static int32_t
mechanisms(void *conn, struct kpop_op *op, const struct kpop_facts *facts)
{
    check_facts(conn, facts);
    return api->put_mechanisms(op, "KPOP USER PLAIN EXTERNAL");
}

static int32_t
start(void *conn, struct kpop_op *op, const struct kpop_facts *facts,
      const char *mechanism, const void *data, size_t size)
{
    struct talk *talk = conn;

    check_facts(talk, facts);
    talk->starts++;
    if (strcmp(mechanism, "KPOP") == 0) {
        expect(!talk->is_secure, "the ticket of KPOP comes before STLS");
        return answer(talk, op, KPOP_CONTINUE);
    }
    if (data == NULL) {
        (void)api->put_challenge(op, "", 0);
        expect(was_said(talk, "AUTH"), "AUTH comes by TLS");
        return answer(talk, op, KPOP_CONTINUE);
    }
    if (strcmp(mechanism, "PLAIN") == 0)
        check_plain(talk, data, size);
    else
        check_message(talk, data, size);
    (void)api->put_user(op, "alice");
    return answer(talk, op, KPOP_OK);
}

static int32_t
step(void *conn, struct kpop_op *op, const struct kpop_facts *facts,
     const void *data, size_t size)
{
    check_facts(conn, facts);
    check_message(conn, data, size);
    (void)api->put_user(op, "alice");
    return answer(conn, op, KPOP_OK);
}

static void
end(void *conn)
{
    struct talk *talk = conn;

    talk->ends++;
    expect(talk->ends <= talk->starts, "an exchange ends once");
}

static int32_t
open_box(void *conn, struct kpop_op *op, const struct kpop_open *what)
{
    struct talk *talk = conn;

    check_facts(talk, what->facts);
    expect(api->put_box(op, talk, MESSAGES, 60) == KPOP_OK, "a box is taken");
    talk->opens++;
    return answer(talk, op, KPOP_OK);
}

static int32_t
list(void *conn, struct kpop_op *op, void *box, uint32_t first, uint32_t count)
{
    static const char *const uidl[MESSAGES] = { "a", "b" };

    expect(box == conn && first + count <= MESSAGES, "a range of the box");
    for (uint32_t i = first; i < first + count; i++)
        expect(api->put_msg(op, 30, uidl[i]) == KPOP_OK, "a message");
    return answer(conn, op, KPOP_OK);
}

/* Some 40 kB, more than one record and less than a session holds. */
static int32_t
fetch(void *conn, struct kpop_op *op, void *box, uint32_t msg, uint64_t offset,
      void *buffer, uint32_t size, uint32_t flags)
{
    const uint64_t len = msg == 0 ? 30 : 40000;

    (void)flags;
    expect(box == conn && was_said(conn, msg == 0 ? "1" : "2"),
           "a message is asked for by TLS");
    if (offset >= len)
        return answer(conn, op, 0);
    if (size > len - offset)
        size = (uint32_t)(len - offset);
    memset(buffer, '\n', size);
    return answer(conn, op, (int32_t)size);
}

static int32_t
commit(void *conn, struct kpop_op *op, void *box, const uint8_t *marks,
       uint32_t count)
{
    struct talk *talk = conn;

    expect(box == conn && count == MESSAGES, "the box's marks");
    expect(was_said(talk, "QUIT"), "no commit without a QUIT that came");
    for (uint32_t i = 0; i < count; i++)
        expect((marks[i] & KPOP_MARK_DELETE) == 0 || was_said(talk, "DELE"),
               "no deletion without a DELE that came");
    talk->commits++;
    return answer(talk, op, KPOP_OK);
}

static void
close_box(void *conn, void *box)
{
    struct talk *talk = conn;

    expect(box == conn, "the box that was put");
    talk->closes++;
    expect(talk->closes <= talk->opens, "a box is closed once");
}

/* The last one: the client's name of the server comes before it. */
static bool
says_resumed(const char *line)
{
    const char *last = NULL;

    for (; (line = strstr(line, " resumed=")) != NULL; line++)
        last = line;
    expect(last != NULL, "whether a session was resumed is logged");
    return strncmp(last, " resumed=yes", 12) == 0;
}

static void
log_line(void *host, void *conn, uint32_t level, const char *event,
         const char *line)
{
    struct talk *talk = conn;

    (void)host;
    (void)level;
    for (const char *at = line; *at != '\0'; at++)
        expect(*at >= ' ' && *at != 0x7f, "a clean log line");
    expect(strcmp(event, "host.misuse") != 0, "this host is in order");
    if (strcmp(event, "tls.start") != 0)
        return;
    expect(!talk->is_secure && talk->client.ssl != NULL, "TLS begins once");
    talk->is_secure = true;
    talk->is_resumed = says_resumed(line);
    expect(!talk->is_resumed
               || (talk->ticket != NULL && !talk->ticket_is_bent),
           "a ticket is whole and ours");
}


/* ---- set-up ---- */

static void
set_key(const char *key, const char *value)
{
    char error[256];

    expect(api->set(tlstalk_plugin, key, value, error, sizeof(error))
               == KPOP_OK, error);
}

static SSL_CTX *
client_context(const char *certificate, const char *key)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    expect(context != NULL, "memory for the client");
    expect(certificate == NULL
               || (SSL_CTX_use_certificate_file(
                       context, fixture_path(certificate), SSL_FILETYPE_PEM)
                       == 1
                   && SSL_CTX_use_PrivateKey_file(context, fixture_path(key),
                                                  SSL_FILETYPE_PEM) == 1),
           "a certificate for the client");
    return context;
}

static void
make_certificates(void)
{
    fixture_begin();
    fixture_certificate(&(struct wish){ .name = "other", .issuer = "other",
                                        .is_authority = true });
    fixture_certificate(&(struct wish){ .name = "alice",
                                        .names = "email:alice@example.org" });
    fixture_certificate(&(struct wish){ .name = "mallory",
                                        .issuer = "other",
                                        .names = "email:alice@example.org" });
    fixture_certificate(&(struct wish){ .name = "second",
                                        .names = "DNS:second.example.org" });
}

static void
set_certificates(void)
{
    char text[700];

    (void)snprintf(text, sizeof(text), "%s %s", fixture_path("server.pem"),
                   fixture_path("second.pem"));
    set_key("tls_certificate", text);
    (void)snprintf(text, sizeof(text), "%s %s", fixture_path("server.key"),
                   fixture_path("second.key"));
    set_key("tls_key", text);
    set_key("tls_client_ca", fixture_path("ca.pem"));
}

void
tlstalk_set_up(SSL_CTX *contexts_out[3])
{
    static const struct kpop_host table = {
        .size = sizeof(table),
        .version = KPOP_ABI_MINOR,
        .log = log_line,
        .exchange_mechanisms = mechanisms,
        .exchange_start = start,
        .exchange_step = step,
        .exchange_end = end,
        .open = open_box,
        .list = list,
        .fetch = fetch,
        .commit = commit,
        .close = close_box,
    };
    char error[256];

    expect(kpop_plugin_entry(KPOP_ABI_MAJOR, &table, NULL, &tlstalk_plugin,
                             &tlstalk_api, error, sizeof(error)) == KPOP_OK,
           error);
    make_certificates();
    set_key("hostname", "fuzz.example.org");
    set_key("mechanisms", "USER PLAIN EXTERNAL");
    set_certificates();
    contexts_out[CERT_NONE] = client_context(NULL, NULL);
    contexts_out[CERT_GOOD] = client_context("alice.pem", "alice.key");
    contexts_out[CERT_FOREIGN] = client_context("mallory.pem", "mallory.key");
    expect(api->ready(tlstalk_plugin, error, sizeof(error)) == KPOP_OK,
           error);
    fixture_end();
}
