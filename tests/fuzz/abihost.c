/*
 * abihost.c - see abihost.h.
 *
 * An octet of the input says how a question is answered: by its result, in
 * the callback, later, or twice; with the facts that it wants, others or none;
 * and what else the host does meanwhile.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/fuzz/abihost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define api abi_api
#define expect abi_expect
#define next abi_next

enum when { RETURNED, INSIDE, LATER, TWICE };
enum facts { FACTS_RIGHT, FACTS_ODD, FACTS_NONE, FACTS_BOTH };

const struct kpop_api *abi_api;
struct kpop_plugin *abi_plugins[PLUGINS];
struct conn abi_conns[CONNS];
uint64_t abi_now;
unsigned abi_calls;

void
abi_expect(bool condition, const char *promise)
{
    if (!condition) {
        fprintf(stderr, "broken promise: %s\n", promise);
        abort();
    }
}

/* ---- facts ---- */

/* A box is as large as takes no time, or larger than any may be. */
static uint32_t
odd_number(void)
{
    static const uint32_t numbers[] = { 0, 1, 5, 300, 9000, (1u << 24) + 1,
                                        UINT32_MAX, INT32_MAX };

    return numbers[next() % 8u];
}

/* Too long, empty, not clean, or none at all. */
static const char *
odd_text(void)
{
    static char text[600];
    unsigned kind = next() % 8u;
    static const size_t lengths[] = { 0, 1, 70, 71, 255, 256, 513, 599 };

    if (kind == 0)
        return NULL;
    memset(text, 'u', sizeof(text));
    text[0] = (char)next();
    text[lengths[kind]] = '\0';
    return text;
}

/* What was put, or that nothing can be right any more. */
static void
note(struct asked *asked, bool is_wanted, int32_t result)
{
    if (result != KPOP_OK)
        asked->is_spoilt = true;
    else
        expect(is_wanted, "no fact but those that are asked for is taken");
}

/* Its answer says whether somebody gets in. */
static bool
lets_in(const struct asked *asked)
{
    return asked->what == ASK_START || asked->what == ASK_STEP
           || asked->what == ASK_AUTHORIZE;
}

static void
put_user(struct asked *asked, const char *user)
{
    int32_t result = api->put_user(asked->op, user);

    note(asked, lets_in(asked), result);
    asked->user_is_put = asked->user_is_put || result == KPOP_OK;
}

/* Whatever the answer is: it was said, so the box is to be closed. */
static void
put_box(struct conn *conn, struct asked *asked, void *box, uint32_t count)
{
    bool first = asked->what == ASK_OPEN && !asked->box_is_put;

    if (first) {
        asked->box_is_put = true;
        conn->boxes++;
        conn->commits = 0;
        conn->box = box;
        conn->messages = count;
    }
    note(asked, first, api->put_box(asked->op, box, count,
                                    (next() & 1) != 0 ? KPOP_UNKNOWN : 60));
}

static void
put_messages(struct asked *asked, uint32_t count)
{
    char uidl[16];

    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(uidl, sizeof(uidl), "u%x", (unsigned)asked->first + i);
        note(asked, asked->what == ASK_LIST,
             api->put_msg(asked->op, 20, uidl));
    }
}

static void
put_challenge(struct asked *asked, size_t size)
{
    static const char octets[KPOP_CHALLENGE_MAX + 2];

    note(asked, asked->what == ASK_START || asked->what == ASK_STEP,
         api->put_challenge(asked->op, octets, size));
}

static void
put_right(struct conn *conn, struct asked *asked)
{
    switch (asked->what) {
    case ASK_MECHANISMS:
        note(asked, true,
             api->put_mechanisms(asked->op, "KPOP USER PLAIN CRAM-MD5 APOP "
                                            "SCRAM-SHA-256 EXTERNAL"));
        break;
    case ASK_START:
    case ASK_STEP:
        if (asked->result == KPOP_OK)
            put_user(asked, "alice");
        if (asked->result == KPOP_CONTINUE || (next() & 1) != 0)
            put_challenge(asked, 9);
        break;
    case ASK_AUTHORIZE:
        put_user(asked, "alice");
        break;
    case ASK_SECRET:
        note(asked, true, api->put_secret(asked->op, "secret", 6));
        break;
    case ASK_POLICY:
        note(asked, true, api->put_policy(asked->op, 30, 60));
        break;
    case ASK_OPEN:
        put_box(conn, asked, conn, 3);
        break;
    case ASK_LIST:
        put_messages(asked, asked->count);
        break;
    case ASK_ENVELOPE:
        note(asked, true, api->put_envelope(asked->op, "a@example.org", ""));
        break;
    case ASK_NOTHING:
    case ASK_PASSWORD:
    case ASK_FETCH:
    case ASK_COMMIT:
        break;
    }
}

/* Any fact with any value; whether it is taken is the module's to know, but
 * a sound one of another question never is. */
static void
put_odd(struct conn *conn, struct asked *asked)
{
    static const uint8_t octets[70000];
    const void *data = (next() & 1) != 0 ? octets : NULL;
    size_t size = odd_number() % (sizeof(octets) + 1);

    switch (next() % 9u) {
    case 0:
        put_user(asked, odd_text());
        break;
    case 1:
        put_box(conn, asked, (next() & 1) != 0 ? NULL : conn, odd_number());
        break;
    case 2:
        put_messages(asked, 1 + odd_number() % 9000u);
        break;
    case 3:
        note(asked, asked->what == ASK_LIST,
             api->put_msg(asked->op, (uint64_t)-1 - next(), odd_text()));
        break;
    case 4:
        put_challenge(asked, size % (KPOP_CHALLENGE_MAX + 2u));
        break;
    case 5:
        note(asked, asked->what == ASK_SECRET,
             api->put_secret(asked->op, data, size));
        break;
    case 6:
        note(asked, asked->what == ASK_POLICY || asked->what == ASK_OPEN,
             api->put_policy(asked->op, odd_number(), odd_number()));
        break;
    case 7:
        note(asked, asked->what == ASK_ENVELOPE,
             api->put_envelope(asked->op, odd_text(), odd_text()));
        break;
    default:
        note(asked, asked->what == ASK_MECHANISMS,
             api->put_mechanisms(asked->op, odd_text()));
        note(asked, asked->what == ASK_START || asked->what == ASK_STEP,
             api->put_credential(asked->op, data, size));
        break;
    }
}

static void
put_facts(struct conn *conn, struct asked *asked)
{
    if (asked->facts == FACTS_ODD || asked->facts == FACTS_BOTH)
        put_odd(conn, asked);
    if (asked->facts == FACTS_RIGHT || asked->facts == FACTS_BOTH)
        put_right(conn, asked);
}

/* ---- answers ---- */

/* The last moment before the module has the answer. */
static void
promise(struct conn *conn, const struct asked *asked)
{
    if (asked->what == ASK_START && asked->result >= 0)
        conn->starts++;
    if ((asked->what == ASK_START || asked->what == ASK_STEP)
        && asked->result == KPOP_TAKEN)
        conn->said_taken = true;
    if (lets_in(asked))
        conn->is_authorized = asked->result == KPOP_OK && asked->user_is_put
                              && !asked->is_spoilt;
}

static int32_t
any_result(void)
{
    uint8_t octet = next();

    switch (octet % 4) {
    case 0:
        return INT32_MIN + octet;
    case 1:
        return INT32_MAX - octet;
    default:
        return (octet >> 2) % 16 - 11;
    }
}

static int32_t
answer_inside(struct conn *conn, struct asked *asked, bool twice,
              bool and_goes_on)
{
    int32_t other = twice ? any_result() : KPOP_PENDING;

    if (other != KPOP_PENDING) {
        if (lets_in(asked))
            conn->is_authorized = false;
        if (asked->what == ASK_START)
            conn->doubtful++;
    } else {
        promise(conn, asked);
    }
    expect(api->done(asked->op, asked->result) == KPOP_OK, "done() inside");
    expect(api->done(asked->op, asked->result) == KPOP_INVALID,
           "a question is answered once");
    if (and_goes_on)
        abi_event();
    conn->is_asked = false;
    return other;
}

/* Kept, or given by the result, or a breach where it can't be kept. */
static int32_t
answer_outside(struct conn *conn, struct asked *asked, enum when when)
{
    bool can_wait = asked->what != ASK_MECHANISMS
                    && asked->what != ASK_POLICY;

    if (can_wait && (when == LATER || asked->result == KPOP_PENDING)) {
        if (when != LATER) {
            asked->facts = FACTS_NONE; /* they were put */
            asked->result = any_result();
        }
        conn->kept = *asked;
        conn->is_cancelled = false;
        return KPOP_PENDING;
    }
    promise(conn, asked);
    return asked->result;
}

static int32_t
answer(struct conn *conn, struct kpop_op *op, struct asked asked)
{
    const uint8_t manner = next();
    const enum when when = (enum when)(manner & 3);

    expect(abi_calls > 0, "no callback outside a call");
    expect(conn->kept.op == NULL && !conn->is_asked,
           "one question at a time");
    conn->is_asked = true;
    asked.op = op;
    asked.facts = manner >> 2 & 3u;
    if ((manner & 0x20) != 0)
        asked.result = any_result();
    if ((manner & 0x80) != 0)
        abi_event();
    if (when != LATER)
        put_facts(conn, &asked);
    if ((manner & 0x40) != 0)
        abi_event();
    if (when == INSIDE || when == TWICE)
        return answer_inside(conn, &asked, when == TWICE,
                             (manner & 0x10) != 0);
    conn->is_asked = false;
    return answer_outside(conn, &asked, when);
}

bool
abi_done(struct conn *conn)
{
    struct asked asked = conn->kept;

    if (asked.op == NULL)
        return false;
    put_facts(conn, &asked);
    conn->kept.op = NULL;
    promise(conn, &asked);
    expect(api->done(asked.op, asked.result) == KPOP_OK, "done() later");
    return true;
}

/* ---- the table ---- */

static void
log_line(void *host, void *conn, uint32_t level, const char *event,
         const char *line)
{
    (void)host;
    (void)conn;
    expect(abi_calls > 0, "no callback outside a call");
    expect(level <= KPOP_LOG_DEBUG && event[0] != '\0', "an event");
    for (; *line != '\0'; line++)
        expect(*line >= ' ' && *line != 0x7f, "a clean log line");
}

static void
check_facts(const struct kpop_facts *facts)
{
    expect(facts->size == sizeof(*facts) && facts->service[0] != '\0'
               && facts->session_id[0] != '\0',
           "the facts of a connection");
    expect(strnlen(facts->peer_address, 5000) < 5000
               && strnlen(facts->tls_version, 5000) < 5000
               && (facts->binding_size == 0 || facts->binding != NULL),
           "texts and octets of the facts");
}

static int32_t
mechanisms(void *conn, struct kpop_op *op, const struct kpop_facts *facts)
{
    check_facts(facts);
    return answer(conn, op, (struct asked){ .what = ASK_MECHANISMS });
}

static int32_t
policy(void *conn, struct kpop_op *op, const struct kpop_facts *facts)
{
    check_facts(facts);
    return answer(conn, op, (struct asked){ .what = ASK_POLICY });
}

static int32_t
start(void *arg, struct kpop_op *op, const struct kpop_facts *facts,
      const char *mechanism, const void *data, size_t size)
{
    struct conn *conn = arg;
    bool goes_on = strcmp(mechanism, "KPOP") == 0 || (next() & 1) != 0;

    check_facts(facts);
    expect(data != NULL || size == 0, "data of exchange_start");
    expect(conn->starts - conn->ends <= conn->doubtful,
           "an exchange is ended before the next one starts");
    return answer(conn, op,
                  (struct asked){ .what = ASK_START,
                                  .result = goes_on ? KPOP_CONTINUE
                                                    : KPOP_OK });
}

static int32_t
step(void *arg, struct kpop_op *op, const struct kpop_facts *facts,
     const void *data, size_t size)
{
    struct conn *conn = arg;

    check_facts(facts);
    expect(data != NULL || size == 0, "data of exchange_step");
    expect(conn->starts > conn->ends || conn->doubtful > 0,
           "no step without a start");
    return answer(conn, op, (struct asked){ .what = ASK_STEP,
                                            .result = KPOP_OK });
}

/* What the host does in a callback that asks nothing. */
static void
perhaps_event(void)
{
    expect(abi_calls > 0, "no callback outside a call");
    if (next() % 8 == 7)
        abi_event();
}

static void
end(void *arg)
{
    struct conn *conn = arg;

    conn->ends++;
    expect(conn->ends <= conn->starts + conn->doubtful,
           "an exchange ends once");
    perhaps_event();
}

static int32_t
authorize(void *conn, struct kpop_op *op, const struct kpop_identity *identity)
{
    check_facts(identity->facts);
    expect(identity->authcid[0] != '\0' && identity->mechanism[0] != '\0',
           "an identity");
    return answer(conn, op, (struct asked){ .what = ASK_AUTHORIZE });
}

static int32_t
password(void *conn, struct kpop_op *op, const char *user, const void *data,
         size_t size)
{
    expect(user != NULL && (data != NULL || size == 0), "a password");
    return answer(conn, op, (struct asked){ .what = ASK_PASSWORD });
}

static int32_t
secret(void *conn, struct kpop_op *op, const char *user, const char *mechanism)
{
    expect(user != NULL && mechanism[0] != '\0', "whose secret");
    return answer(conn, op, (struct asked){ .what = ASK_SECRET });
}

static int32_t
open_box(void *arg, struct kpop_op *op, const struct kpop_open *what)
{
    struct conn *conn = arg;

    check_facts(what->facts);
    expect(conn->is_authorized, "nobody gets in who is not let in");
    /* When this fails, a ticket is still good, but no password. */
    conn->is_authorized = strcmp(what->facts->service, "kpop") == 0;
    expect(conn->boxes == conn->closes, "one box at a time");
    expect(what->user[0] != '\0' && what->requested != NULL,
           "whose maildrop");
    return answer(conn, op, (struct asked){ .what = ASK_OPEN });
}

static void
check_box(const struct conn *conn, const void *box)
{
    expect(box == conn->box && conn->boxes == conn->closes + 1,
           "a box that is open");
}

static int32_t
list(void *conn, struct kpop_op *op, void *box, uint32_t first, uint32_t count)
{
    const uint32_t messages = ((struct conn *)conn)->messages;

    check_box(conn, box);
    expect(count > 0 && first < messages && count <= messages - first,
           "a range of the box");
    return answer(conn, op, (struct asked){ .what = ASK_LIST, .first = first,
                                            .count = count });
}

static int32_t
fetch(void *conn, struct kpop_op *op, void *box, uint32_t msg, uint64_t offset,
      void *buffer, uint32_t size, uint32_t flags)
{
    const uint64_t len = msg == 0 ? BOX_OCTETS : 40;

    check_box(conn, box);
    expect(msg < ((struct conn *)conn)->messages && size > 0
               && size <= KPOP_FETCH_MAX && flags <= KPOP_FETCH_PEEK,
           "a piece of a message");
    if (offset >= len)
        size = 0;
    else if (size > len - offset)
        size = (uint32_t)(len - offset);
    memset(buffer, "\n.A\r"[(offset + next()) % 4], size);
    return answer(conn, op, (struct asked){ .what = ASK_FETCH,
                                            .result = (int32_t)size });
}

static int32_t
envelope(void *conn, struct kpop_op *op, void *box, uint32_t msg)
{
    check_box(conn, box);
    expect(msg < ((struct conn *)conn)->messages, "a message of the box");
    return answer(conn, op, (struct asked){ .what = ASK_ENVELOPE });
}

static int32_t
commit(void *arg, struct kpop_op *op, void *box, const uint8_t *marks,
       uint32_t count)
{
    struct conn *conn = arg;

    check_box(conn, box);
    expect(++conn->commits == 1, "one commit for a box");
    expect(conn->said_quit, "no commit without QUIT");
    expect(count == conn->messages, "a mark for each message");
    for (uint32_t i = 0; i < count; i++)
        expect(marks[i] <= (KPOP_MARK_DELETE | KPOP_MARK_RETRIEVED),
               "known marks");
    return answer(conn, op, (struct asked){ .what = ASK_COMMIT });
}

static void
close_box(void *arg, void *box)
{
    struct conn *conn = arg;

    check_box(conn, box);
    expect(conn->kept.op == NULL || conn->kept.what < ASK_LIST,
           "a box is closed when nothing is asked of it any more");
    conn->closes++;
    perhaps_event();
}

static void
cancel(void *arg, struct kpop_op *op)
{
    struct conn *conn = arg;

    expect(conn->kept.op == op && !conn->is_cancelled,
           "an open question is cancelled, once");
    conn->is_cancelled = true;
    perhaps_event();
}

/* ---- modules ---- */

static void
set_key(struct kpop_plugin *plugin, const char *key, const char *value)
{
    char error[256];

    expect(api->set(plugin, key, value, error, sizeof(error)) == KPOP_OK,
           error);
}

static struct kpop_plugin *
make(const struct kpop_host *table)
{
    struct kpop_plugin *plugin = NULL;
    char error[256] = "";

    expect(kpop_plugin_entry(KPOP_ABI_MAJOR, table, NULL, &plugin, &abi_api,
                             error, sizeof(error)) == KPOP_OK, error);
    set_key(plugin, "hostname", "fuzz.example.org");
    set_key(plugin, "listen_kpop", "");
    set_key(plugin, "plaintext", "always");
    set_key(plugin, "mechanisms", "USER PLAIN CRAM-MD5 SCRAM-SHA-256 APOP");
    set_key(plugin, "sdps", "yes");
    set_key(plugin, "utf8", "downgrade");
    expect(api->ready(plugin, error, sizeof(error)) == KPOP_OK, error);
    return plugin;
}

void
abi_set_up(void)
{
    struct kpop_host table = {
        .size = sizeof(table), .version = KPOP_ABI_MINOR, .log = log_line,
        .authorize = authorize, .verify_password = password,
        .lookup_secret = secret, .open = open_box, .list = list,
        .fetch = fetch, .envelope = envelope, .commit = commit,
        .close = close_box, .cancel = cancel, .policy = policy,
    };

    abi_calls++;
    abi_plugins[0] = make(&table);
    /* A host of version 1.0 that has what it must have. */
    table.size = offsetof(struct kpop_host, policy);
    table.lookup_secret = NULL;
    table.envelope = NULL;
    table.cancel = NULL;
    abi_plugins[1] = make(&table);
    table = (struct kpop_host){
        .size = sizeof(table), .version = KPOP_ABI_MINOR, .log = log_line,
        .exchange_mechanisms = mechanisms, .exchange_start = start,
        .exchange_step = step, .exchange_end = end, .open = open_box,
        .list = list, .fetch = fetch, .commit = commit, .close = close_box,
        .cancel = cancel,
    };
    abi_plugins[2] = make(&table);
    table.open = NULL;
    table.list = NULL;
    table.fetch = NULL;
    table.commit = NULL;
    table.close = NULL;
    abi_plugins[3] = make(&table);
    abi_calls--;
}
