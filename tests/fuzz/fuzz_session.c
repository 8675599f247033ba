/*
 * fuzz_session.c - whole connections through the ABI with a host that behaves
 * at random: any result a callback may have, now or later, hang-ups at any
 * moment.  Dies when a promise of the ABI is broken: a box or an exchange not
 * ended exactly once, a second commit, output or input beyond its bound.
 *
 * The first 16 octets decide what the host does, the rest is the client.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/kpop_plugin.h"

enum { DECISIONS = 16, OUTPUT_MAX = 80 * 1024 };

struct host {
    const uint8_t *decisions;
    size_t turn;
    struct kpop_op *kept; /* a question to be answered later */
    int32_t later;        /* its result */
    bool put;             /* and whether its facts come then */
    unsigned opens, closes, starts, ends, commits;
};

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
    expect(api->set(plugin, "hostname", "fuzz.example.org", error,
                    sizeof(error)) == KPOP_OK, error);
    expect(api->set(plugin, "mechanisms",
                    "USER PLAIN CRAM-MD5 GSSAPI SCRAM-SHA-256 APOP", error,
                    sizeof(error)) == KPOP_OK, error);
    expect(api->set(plugin, "plaintext", "always", error, sizeof(error))
               == KPOP_OK, error);
    expect(api->ready(plugin, error, sizeof(error)) == KPOP_OK, error);
}

/* Sends what there is, perhaps not all at once. */
static void
drain(struct host *host, struct kpop_session *session)
{
    const void *data;
    size_t len = api->output(session, &data);

    expect(len <= OUTPUT_MAX, "bounded output");
    if (len == 0)
        return;
    if (decide(host) & 1)
        len = 1 + len / 2;
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

static void
talk(struct host *host, struct kpop_session *session, const uint8_t *data,
     size_t size)
{
    size_t piece;
    size_t rounds = 16 * size + 10000;

    for (uint64_t now = 1; rounds-- > 0; now++) {
        uint32_t wants = api->wants(session);

        if ((wants & KPOP_WANT_READ) != 0 && size > 0) {
            piece = 1 + decide(host) % 64u;
            if (piece > size)
                piece = size;
            expect(api->input(session, data, piece, now) == piece,
                   "READ takes it all");
            data += piece;
            size -= piece;
        } else if ((wants & KPOP_WANT_WRITE) != 0) {
            drain(host, session);
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
    struct kpop_session *session;
    struct host host = { 0 };

    if (size < DECISIONS)
        return 0;
    if (api == NULL)
        set_up();
    host.decisions = data;
    facts.service = data[0] & 1 ? "kpop" : "pop3";
    if (api->session_new(plugin, &facts, &host, 1, &session) != KPOP_OK)
        return 0;
    talk(&host, session, data + DECISIONS, size - DECISIONS);
    api->session_close(session);
    settle(&host);
    expect(host.opens == host.closes, "every box is closed");
    expect(host.starts == host.ends, "every exchange is ended");
    expect(host.commits <= 1, "one commit a session");
    return 0;
}
