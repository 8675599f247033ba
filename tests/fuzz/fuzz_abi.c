/*
 * fuzz_abi.c - sessions and exchanges with a host that does anything: it
 * answers now, inside, later or twice, puts facts nobody asked for, calls the
 * module from within callbacks, closes whenever it likes, tells any time.
 * Dies when the module breaks a promise of kpop_plugin.h: a box not closed
 * exactly once, a commit without QUIT or a second one, an exchange not ended,
 * two questions at a time, somebody let in without being let in, a session
 * that stands still.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/abihost.h"
#include "tests/fuzz/steady.h"

#define api abi_api
#define expect abi_expect
#define next abi_next

enum { OUTPUT_MAX = 200 * 1024, DEPTH_MAX = 4 };

/* More than it takes to send a dozen lists, which is what one piece of input
 * can ask for, of the largest box. */
enum { ROUNDS_MAX = 200 };

static struct {
    const uint8_t *data;
    size_t size;
} input;

uint8_t
abi_next(void)
{
    if (input.size == 0)
        return 0;
    input.size--;
    return *input.data++;
}

/* ---- what is always so ---- */

static size_t
look(struct conn *conn)
{
    const void *data;
    size_t len = api->output(conn->session, &data);
    uint32_t wants = api->wants(conn->session);

    expect(len <= OUTPUT_MAX, "bounded output");
    expect((len > 0) == ((wants & KPOP_WANT_WRITE) != 0),
           "WRITE says that there is output");
    expect((wants & (KPOP_WANT_READ | KPOP_WANT_CLOSE))
               != (KPOP_WANT_READ | KPOP_WANT_CLOSE),
           "who closes reads no more");
    expect(!conn->had_close || (wants & KPOP_WANT_CLOSE) != 0,
           "CLOSE is for good");
    expect((wants & KPOP_IS_TAKEN) == 0 || conn->said_taken,
           "TAKEN is the host's to say");
    expect(conn->kept.op == NULL || (wants & KPOP_IS_BUSY) != 0,
           "BUSY says that a question is open");
    conn->had_close = (wants & KPOP_WANT_CLOSE) != 0;
    return len;
}

/* ---- the client ---- */

static const char *const words[] = {
    "USER alice\r\n", "PASS secret\r\n", "AUTH PLAIN AGFsaWNlAHg=\r\n",
    "AUTH PLAIN\r\n", "AGFsaWNlAHg=\r\n", "AUTH CRAM-MD5\r\n",
    "AUTH SCRAM-SHA-256 biwsbj1hLHI9Yg==\r\n", "*\r\n",
    "APOP alice c4c9334bac560ecc979e58001b3e22fb\r\n", "STAT\r\n", "LIST\r\n",
    "UIDL\r\n", "LIST 2\r\n", "UIDL 3\r\n", "RETR 1\r\n", "RETR 2\r\n",
    "TOP 1 1\r\n", "DELE 1\r\n", "DELE 3\r\n", "RSET\r\n", "CAPA\r\n",
    "NOOP\r\n", "STLS\r\n", "UTF8\r\n", "USER a@fuzz.example.org\r\n",
    "USER alice\r\nPASS secret\r\n", "QUIT\r\n",
};
static const char kpop_hello[] = "\0\0\0\x13KRB5_SENDAUTH_V1.0\0"
                                 "\0\0\0\x09KPOPV1.0\0\0\0\0\4n\2zz";

/* Across pieces of input. */
static void
note_quit(struct conn *conn, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((data[i] | 0x20) == "quit"[conn->matched])
            conn->matched++;
        else
            conn->matched = (data[i] | 0x20) == 'q';
        if (conn->matched == 4) {
            conn->said_quit = true;
            conn->matched = 0;
        }
    }
}

static void
say(struct conn *conn, const char *data, size_t len)
{
    bool wanted = (api->wants(conn->session) & KPOP_WANT_READ) != 0;

    if (wanted)
        note_quit(conn, data, len);
    expect(api->input(conn->session, data, len, abi_now)
               == (wanted ? len : 0),
           "READ takes it all, else nothing is taken");
}

static void
say_word(struct conn *conn)
{
    size_t i = next() % (sizeof(words) / sizeof(words[0]) + 1);

    if (i == sizeof(words) / sizeof(words[0]))
        say(conn, kpop_hello, sizeof(kpop_hello) - 1);
    else
        say(conn, words[i], strlen(words[i]));
}

static void
say_text(struct conn *conn)
{
    char text[64];
    size_t len = next() % sizeof(text);

    for (size_t i = 0; i < len; i++)
        text[i] = (char)next();
    say(conn, text, len);
}

static void
drain(struct conn *conn)
{
    const void *data;

    api->wrote(conn->session, api->output(conn->session, &data));
}

/* A part, or more than there is. */
static void
drain_odd(struct conn *conn)
{
    api->wrote(conn->session, next() * 300u);
}

/* ---- time ---- */

static unsigned events; /* of this input so far */

static void
tick(struct conn *conn)
{
    const unsigned before = events;
    uint64_t due;

    abi_now += next() * 20000u;
    due = api->deadline(conn->session);
    api->tick(conn->session, abi_now);
    /* Or a host would call it again and again.  What it does meanwhile may be
     * progress, of which the time is not known. */
    if (conn->session != NULL && due <= abi_now && events == before)
        expect(api->deadline(conn->session) > abi_now,
               "a tick that was due moves the deadline");
}

static void
tick_back(struct conn *conn)
{
    api->tick(conn->session, abi_now / (1u + next()));
}

static void
hang_up(struct conn *conn)
{
    conn->has_hung_up = true;
    api->input_end(conn->session, abi_now);
}

static void
stop(struct conn *conn)
{
    api->session_stop(conn->session, abi_now);
}

static void
close_session(struct conn *conn)
{
    struct kpop_session *session = conn->session;

    conn->session = NULL;
    api->session_close(session);
}

/* ---- connections ---- */

static struct kpop_facts
any_facts(void)
{
    static const char *const services[] = { "pop3", "kpop", "pop3s", "imap" };
    static const char *const texts[] = { "", "TLSv1.3", NULL, "\r\nx" };
    static const uint8_t octets[300];
    uint8_t what = next();
    struct kpop_facts facts = {
        .size = sizeof(facts), .session_id = "fuzz",
        .peer_address = "192.0.2.1", .local_address = "192.0.2.2",
    };

    facts.service = services[what & 3];
    if ((what & 4) != 0)
        facts.flags = KPOP_FACT_HOST_TLS;
    if ((what & 8) != 0) {
        facts.tls_version = texts[next() % 4];
        facts.tls_server_name = texts[next() % 4];
        facts.session_id = texts[next() % 4];
        facts.ssf = next();
    }
    if ((what & 16) != 0) {
        facts.binding = (next() & 1) != 0 ? octets : NULL;
        facts.binding_size = next() + 1u;
        facts.client_certificate = octets;
        facts.client_certificate_size = next() + 1u;
    }
    if ((what & 32) != 0)
        facts.size = next() % 8u * (uint32_t)sizeof(facts) / 8;
    return facts;
}

static void
begin(struct conn *conn)
{
    struct kpop_plugin *plugin = abi_plugins[next() % PLUGINS];
    struct kpop_facts facts = any_facts();
    struct kpop_session *session = NULL;
    int32_t result;

    memset(conn, 0, sizeof(*conn));
    conn->is_beginning = true;
    result = api->session_new(plugin, &facts, conn, abi_now, &session);
    conn->is_beginning = false;
    expect(result == KPOP_OK || result == KPOP_INVALID
               || result == KPOP_NO_MEMORY,
           "a result of session_new()");
    if (result == KPOP_OK)
        conn->session = session;
}

static void
start_tls(struct conn *conn)
{
    struct kpop_facts facts = any_facts();
    bool wanted = (api->wants(conn->session) & KPOP_WANT_TLS) != 0;
    const void *data;

    (void)api->remainder(conn->session, &data);
    (void)(api->tls_started(conn->session, &facts, abi_now) == KPOP_OK
           && !wanted);
}

/* ---- exchanges that the host drives ---- */

static void
on_complete(void *arg, int32_t result)
{
    struct conn *conn = arg;

    (void)result;
    expect(conn->is_stepping, "a pending step is completed, once");
    conn->is_stepping = false;
    if (next() % 8 == 7)
        abi_event();
}

static void
free_exchange(struct conn *conn)
{
    struct kpop_exchange *exchange = conn->exchange;

    conn->exchange = NULL;
    conn->is_stepping = false;
    api->exchange_free(exchange);
}

static void
begin_exchange(struct conn *conn)
{
    static const char *const names[] = { "PLAIN", "CRAM-MD5", "APOP",
                                         "SCRAM-SHA-256", "EXTERNAL", "NTLM" };
    struct kpop_plugin *plugin = abi_plugins[next() % PLUGINS];
    struct kpop_facts facts = any_facts();
    struct kpop_exchange *exchange = NULL;

    memset(conn, 0, sizeof(*conn));
    if (api->exchange_new(plugin, &facts, conn, names[next() % 6], &exchange)
        == KPOP_OK)
        conn->exchange = exchange;
}

static void
step_exchange(struct conn *conn)
{
    static const char *const messages[] = {
        "", "\0alice\0secret", "<1@h> alice c4c9334bac560ecc979e58001b3e22fb",
        "alice b913a602c7eda7a495b4e6e7334d3890", "n,,n=alice,r=b", NULL
    };
    static const size_t lengths[] = { 0, 13, 44, 38, 14, 0 };
    struct kpop_outcome outcome = { .size = sizeof(outcome) };
    bool was_stepping = conn->is_stepping;
    size_t i = next() % 6u;
    int32_t result;

    conn->is_stepping = true;
    result = api->exchange_step(conn->exchange, messages[i], lengths[i],
                                on_complete, conn);
    if (conn->exchange == NULL)
        return; /* freed within */
    if (result != KPOP_PENDING)
        conn->is_stepping = was_stepping;
    expect(!was_stepping || result == KPOP_INVALID,
           "one step of an exchange at a time");
    api->exchange_outcome(conn->exchange, &outcome);
    expect(result != KPOP_OK || conn->is_authorized,
           "no exchange succeeds that was not authorized");
}

/* ---- orders ---- */

static void (*const for_sessions[])(struct conn *conn) = {
    say_word, say_word, say_text, drain, drain_odd, tick, tick_back, hang_up,
    stop, close_session, start_tls,
};

static bool
is_free(const struct conn *conn)
{
    return conn->session == NULL && conn->exchange == NULL
           && conn->kept.op == NULL && !conn->is_asked && !conn->is_beginning
           && !conn->is_stepping && conn->starts - conn->ends <= conn->doubtful
           && conn->boxes == conn->closes;
}

static void
order(uint8_t what, struct conn *conn)
{
    if (what % 16 == 15) {
        (void)abi_done(conn);
    } else if (is_free(conn)) {
        if (what % 16 == 14)
            begin_exchange(conn);
        else
            begin(conn);
    } else if (conn->session != NULL) {
        for_sessions[what % 16u % (sizeof(for_sessions)
                                   / sizeof(for_sessions[0]))](conn);
    } else if (conn->exchange != NULL) {
        if (what % 4 == 3)
            free_exchange(conn);
        else
            step_exchange(conn);
    }
}

void
abi_event(void)
{
    static unsigned depth;
    uint8_t what = next();
    struct conn *conn = &abi_conns[(what >> 4) % CONNS];

    if (depth >= DEPTH_MAX)
        return;
    depth++;
    events++;
    abi_calls++;
    order(what, conn);
    if (conn->session != NULL && !conn->is_asked)
        (void)look(conn);
    abi_calls--;
    depth--;
}

/* ---- the end ---- */

/* The rest of the input is used up, so the host is well-mannered now. */
static void
finish(struct conn *conn)
{
    unsigned rounds = ROUNDS_MAX;
    uint32_t wants;

    abi_calls++;
    while (conn->session != NULL && --rounds > 0
           && (abi_done(conn) || look(conn) > 0))
        if (conn->kept.op == NULL)
            drain(conn);
    expect(rounds > 0, "an answer has an end");
    if (conn->session != NULL) {
        wants = api->wants(conn->session);
        expect((wants & (KPOP_WANT_READ | KPOP_WANT_CLOSE | KPOP_WANT_TLS
                         | KPOP_IS_TAKEN))
                   != 0 || conn->has_hung_up,
               "a session ends or goes on");
        close_session(conn);
    }
    if (conn->exchange != NULL)
        free_exchange(conn);
    while (abi_done(conn))
        continue;
    abi_calls--;
    expect(conn->boxes == conn->closes, "every box is closed");
    expect(conn->starts - conn->ends <= conn->doubtful
               || conn->starts == conn->ends,
           "every exchange is ended");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kpop_stats stats = { .size = sizeof(stats) };

    if (api == NULL)
        abi_set_up();
    steady_begin();
    memset(abi_conns, 0, sizeof(abi_conns));
    abi_now = 1;
    input.data = data;
    input.size = size;
    while (input.size > 0)
        abi_event();
    for (size_t i = 0; i < CONNS; i++)
        finish(&abi_conns[i]);
    for (size_t i = 0; i < PLUGINS; i++) {
        api->stats(abi_plugins[i], &stats);
        expect(stats.sessions_open == 0, "no session is open");
    }
    return 0;
}
