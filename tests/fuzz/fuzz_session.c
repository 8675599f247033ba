/*
 * fuzz_session.c - whole connections through the ABI with a host that behaves
 * at random: any result a callback may have, now or later, hang-ups at any
 * moment.  Dies when a promise of the ABI is broken: a box or an exchange not
 * ended exactly once, a second commit, output or input beyond its bound.
 *
 * The first 16 octets decide what the host does, the rest is the client; on
 * pop3s OpenSSL says it for him, and now and then an octet of the wire is
 * bent.
 *
 * SPDX-License-Identifier: MIT
 */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/kpop_plugin.h"
#include "tests/fuzz/steady.h"
#include "tests/unit/tls_fixture.h"

enum { DECISIONS = 16, OUTPUT_MAX = 80 * 1024 };

struct host {
    const uint8_t *decisions;
    size_t turn;
    struct kpop_op *kept; /* a question to be answered later */
    int32_t later;        /* its result */
    bool put;             /* and whether its facts come then */
    unsigned opens, closes, starts, ends, commits;
};

/* The client's side of TLS; ssl NULL = it speaks in the clear. */
struct client {
    SSL *ssl;
    BIO *in;
    BIO *out;
};

static SSL_CTX *context;
static const struct kpop_api *api;
static struct kpop_plugin *plugin;

static void
expect(int condition, const char *promise)
{
    if (!condition) {
        fprintf(stderr, "broken promise: %s\n", promise);
        abort();
    }
}

static uint8_t
decide(struct host *host)
{
    return host->decisions[host->turn++ % DECISIONS];
}

/* Now, by done() inside, or later. */
static int32_t
answer(struct host *host, struct kpop_op *op, int32_t result)
{
    expect(host->kept == NULL, "one question at a time");
    switch (decide(host) % 3) {
    case 0:
        return result;
    case 1:
        expect(api->done(op, result) == KPOP_OK, "done() inside");
        return KPOP_PENDING;
    default:
        host->kept = op;
        host->later = result;
        return KPOP_PENDING;
    }
}

/* Mostly success, else one of the errors. */
static int32_t
any_result(struct host *host, int32_t success)
{
    uint8_t byte = decide(host);

    return byte < 200 ? success : -2 - (int32_t)(byte % 9);
}

static int32_t
mechanisms(void *conn, struct kpop_op *op, const struct kpop_facts *facts)
{
    (void)conn;
    (void)facts;
    return api->put_mechanisms(op, "KPOP USER PLAIN CRAM-MD5 GSSAPI "
                                   "SCRAM-SHA-256 APOP");
}

static int32_t
exchange(struct host *host, struct kpop_op *op, const struct kpop_facts *facts,
         int is_start)
{
    int kpop = strcmp(facts->service, "kpop") == 0;
    int goes_on = is_start && (kpop || (decide(host) & 1) != 0);
    int32_t result = any_result(host, goes_on ? KPOP_CONTINUE : KPOP_OK);

    if (result == KPOP_OK)
        (void)api->put_user(op, "alice");
    if (decide(host) & 1)
        (void)api->put_challenge(op, "challenge", 9);
    if (is_start && result >= 0)
        host->starts++;
    return answer(host, op, result);
}

static int32_t
start(void *conn, struct kpop_op *op, const struct kpop_facts *facts,
      const char *mechanism, const void *data, size_t size)
{
    expect(data != NULL || size == 0, "data of exchange_start");
    expect(mechanism[0] != '\0', "a mechanism's name");
    return exchange(conn, op, facts, 1);
}

static int32_t
step(void *conn, struct kpop_op *op, const struct kpop_facts *facts,
     const void *data, size_t size)
{
    expect(data != NULL || size == 0, "data of exchange_step");
    return exchange(conn, op, facts, 0);
}

static void
end(void *conn)
{
    struct host *host = conn;

    host->ends++;
    expect(host->ends <= host->starts, "an exchange ends once");
}

static int32_t
open_box(void *conn, struct kpop_op *op, const struct kpop_open *what)
{
    struct host *host = conn;
    int32_t result = any_result(host, KPOP_OK);

    expect(strcmp(what->user, "alice") == 0, "the authorised user");
    if (result == KPOP_OK
        && api->put_box(op, host, decide(host) % 5,
                        decide(host) & 1 ? KPOP_UNKNOWN : 100) != KPOP_INVALID)
        host->opens++;
    return answer(host, op, result);
}

static int32_t
list(void *conn, struct kpop_op *op, void *box, uint32_t first, uint32_t count)
{
    expect(box == conn && first + count <= 5, "a range of the box");
    for (uint32_t i = 0; i < count; i++)
        (void)api->put_msg(op, 20, decide(conn) & 0x80 ? "u" : "uidl-2");
    return answer(conn, op, any_result(conn, KPOP_OK));
}

static int32_t
fetch(void *conn, struct kpop_op *op, void *box, uint32_t msg, uint64_t offset,
      void *buffer, uint32_t size, uint32_t flags)
{
    static const char text[] = "A: b\n\n.dot\r\n..\nx\r";
    uint32_t len;

    (void)flags;
    expect(box == conn && msg < 5 && size > 0, "a message of the box");
    if (offset >= sizeof(text) - 1)
        return answer(conn, op, 0);
    len = (uint32_t)(sizeof(text) - 1 - offset);
    if (len > size)
        len = size;
    if (decide(conn) & 1)
        len = 1;
    memcpy(buffer, text + offset, len);
    return answer(conn, op, any_result(conn, (int32_t)len));
}

static int32_t
commit(void *conn, struct kpop_op *op, void *box, const uint8_t *marks,
       uint32_t count)
{
    struct host *host = conn;

    expect(box == conn && count < 5, "the box's marks");
    for (uint32_t i = 0; i < count; i++)
        expect(marks[i] <= 3, "known marks");
    host->commits++;
    return answer(host, op, any_result(host, KPOP_OK));
}

static void
close_box(void *conn, void *box)
{
    struct host *host = conn;

    expect(box == conn, "the box that was put");
    host->closes++;
    expect(host->closes <= host->opens, "a box is closed once");
}

static void
log_line(void *host, void *conn, uint32_t level, const char *event,
         const char *line)
{
    (void)host;
    (void)conn;
    (void)event;
    expect(level <= KPOP_LOG_DEBUG, "a level");
    for (; *line != '\0'; line++)
        expect(*line >= ' ' && *line != 0x7f, "a clean log line");
}

/* ---- the client ---- */

static void
client_begin(struct client *client)
{
    client->ssl = SSL_new(context);
    client->in = BIO_new(BIO_s_mem());
    client->out = BIO_new(BIO_s_mem());
    expect(client->ssl != NULL && client->in != NULL && client->out != NULL,
           "memory for the client");
    SSL_set_bio(client->ssl, client->in, client->out);
    SSL_set_connect_state(client->ssl);
}

static void
client_hear(struct client *client, const void *data, size_t len)
{
    char ignored[4096];

    if (client->ssl == NULL)
        return;
    (void)BIO_write(client->in, data, (int)len);
    while (SSL_read(client->ssl, ignored, sizeof(ignored)) > 0)
        continue;
    ERR_clear_error();
}

/* What it puts on the wire for some octets; how many of them it used. */
static size_t
client_say(struct client *client, struct host *host, const uint8_t *data,
           size_t size, struct buf *wire)
{
    uint8_t octets[4096];
    int len;

    if (client->ssl == NULL) {
        buf_append(wire, data, size);
        return size;
    }
    if (!SSL_is_init_finished(client->ssl)) {
        (void)SSL_do_handshake(client->ssl);
        size = 0;
    } else if (SSL_write(client->ssl, data, (int)size) <= 0) {
        size = 0;
    }
    ERR_clear_error();
    len = BIO_read(client->out, octets, sizeof(octets));
    if (len <= 0)
        return size;
    if (decide(host) % 16 == 0)
        octets[decide(host) * 16u % (unsigned)len] ^= decide(host);
    buf_append(wire, octets, (size_t)len);
    return size;
}

static void
set_key(const char *key, const char *value)
{
    char error[256];

    expect(api->set(plugin, key, value, error, sizeof(error)) == KPOP_OK,
           error);
}

static void
set_up(void)
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

    expect(kpop_plugin_entry(KPOP_ABI_MAJOR, &table, NULL, &plugin, &api,
                             error, sizeof(error)) == KPOP_OK, error);
    set_key("hostname", "fuzz.example.org");
    set_key("mechanisms", "USER PLAIN CRAM-MD5 GSSAPI SCRAM-SHA-256 APOP "
                          "SCRAM-SHA-256-PLUS");
    set_key("plaintext", "always");
    fixture_begin();
    set_key("tls_certificate", fixture_path("server.pem"));
    set_key("tls_key", fixture_path("server.key"));
    context = SSL_CTX_new(TLS_client_method());
    expect(context != NULL, "memory for the client");
    expect(api->ready(plugin, error, sizeof(error)) == KPOP_OK, error);
    fixture_end(); /* nothing is left behind by a crash */
}

/* Sends what there is, perhaps not all at once. */
static void
drain(struct host *host, struct kpop_session *session, struct client *client)
{
    const void *data;
    size_t len = api->output(session, &data);

    expect(len <= OUTPUT_MAX, "bounded output");
    if (len == 0)
        return;
    if (decide(host) & 1)
        len = 1 + len / 2;
    client_hear(client, data, len);
    api->wrote(session, len);
}

static void
settle(struct host *host)
{
    struct kpop_op *op = host->kept;

    host->kept = NULL;
    if (op != NULL)
        expect(api->done(op, host->later) == KPOP_OK, "done() later");
}

/* Some octets of the wire; false when there are none to be said. */
static bool
feed(struct host *host, struct kpop_session *session, struct client *client,
     const uint8_t **data, size_t *size, uint64_t now)
{
    size_t piece = 1 + decide(host) % 64u;
    struct buf wire;
    size_t used;

    if (piece > *size)
        piece = *size;
    buf_init(&wire, 1 << 16);
    used = client_say(client, host, *data, piece, &wire);
    *data += used;
    *size -= used;
    if (buf_len(&wire) > 0)
        expect(api->input(session, buf_data(&wire), buf_len(&wire), now)
                   == buf_len(&wire),
               "READ takes it all");
    used += buf_len(&wire);
    buf_reset(&wire);
    return used > 0;
}

static void
talk(struct host *host, struct kpop_session *session, struct client *client,
     const uint8_t *data, size_t size)
{
    size_t rounds = 16 * size + 10000;

    for (uint64_t now = 1; rounds-- > 0; now++) {
        uint32_t wants = api->wants(session);

        if ((wants & KPOP_WANT_READ) != 0 && size > 0
            && feed(host, session, client, &data, &size, now))
            continue;
        if ((wants & KPOP_WANT_WRITE) != 0) {
            drain(host, session, client);
        } else if (host->kept != NULL) {
            settle(host);
        } else {
            break;
        }
    }
    if (decide(host) & 1)
        api->input_end(session, 100);
    if (decide(host) & 1)
        api->tick(session, 10000000);
    if (decide(host) & 1)
        api->session_stop(session, 10000000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kpop_facts facts = {
        .size = sizeof(facts), .session_id = "fuzz", .service = "",
        .peer_address = "192.0.2.1", .local_address = "192.0.2.2",
        .tls_version = "", .tls_cipher = "", .tls_server_name = "",
        .binding_type = "",
    };
    static const char *const services[] = { "pop3", "kpop", "pop3s", "kpop" };
    struct kpop_session *session;
    struct host host = { 0 };
    struct client client = { NULL, NULL, NULL };

    if (size < DECISIONS)
        return 0;
    if (api == NULL)
        set_up();
    steady_begin();
    host.decisions = data;
    facts.service = services[data[0] & 3];
    if (api->session_new(plugin, &facts, &host, 1, &session) != KPOP_OK)
        return 0;
    if (strcmp(facts.service, "pop3s") == 0)
        client_begin(&client);
    talk(&host, session, &client, data + DECISIONS, size - DECISIONS);
    api->session_close(session);
    SSL_free(client.ssl);
    settle(&host);
    expect(host.opens == host.closes, "every box is closed");
    expect(host.starts == host.ends, "every exchange is ended");
    expect(host.commits <= 1, "one commit a session");
    return 0;
}
