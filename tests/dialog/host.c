/*
 * host.c - the callbacks of the scripted host: what the module promises about
 * questions is checked here.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/dialog/host.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[ASK_KINDS] = {
    "mechanisms", "start", "step", "authorize", "verify", "open", "list",
    "fetch", "commit", "envelope",
};

void
host_fail(struct host *host, const char *format, ...)
{
    va_list args;

    if (host->failure[0] != '\0')
        return;
    va_start(args, format);
    (void)vsnprintf(host->failure, sizeof(host->failure), format, args);
    va_end(args);
}

uint64_t
host_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* -------------------------------------------------------------- questions */

/* Before done() is called the question counts as answered: the next one may
 * come out of it. */
static int32_t
settle(struct conn *conn, const struct question *q, int32_t result)
{
    if (q->kind == ASK_START && result >= 0) {
        conn->host->starts++;
        conn->in_exchange = true;
    }
    return result;
}

static void
call_done(struct conn *conn, bool badly)
{
    struct host *host = conn->host;
    struct question q = conn->asked;
    int32_t result;

    if (badly) {
        if (q.kind == ASK_OPEN)
            (void)host_answer_open(&q);
        result = KPOP_TEMP;
    } else {
        result = host_answer(&q);
    }
    result = settle(conn, &q, result);
    conn->is_asked = false;
    result = host->api->done(q.op, result);
    if (result != KPOP_OK)
        host_fail(host, "done() answered %d", result);
}

void
host_complete(struct conn *conn)
{
    conn->host->inside++;
    alloc_enter();
    call_done(conn, false);
    alloc_leave();
    conn->host->inside--;
}

void
host_complete_badly(struct conn *conn)
{
    conn->host->inside++;
    alloc_enter();
    call_done(conn, true);
    alloc_leave();
    conn->host->inside--;
}

static int32_t
ask(const struct question *q)
{
    struct conn *conn = q->conn;
    struct host *host = conn->host;

    if (host->inside == 0)
        host_fail(host, "%s asked outside of any call", names[q->kind]);
    if (conn->is_asked)
        host_fail(host, "%s asked while %s is open", names[q->kind],
                  names[conn->asked.kind]);
    if (conn->session == NULL && host->questions > 0)
        host_fail(host, "%s asked after session_close", names[q->kind]);
    if (q->box != NULL && q->box->closed)
        host_fail(host, "%s of a closed box", names[q->kind]);
    host->questions++;
    host->asked[q->kind]++;
    conn->asked = *q;
    conn->is_asked = true;
    switch (host->answering) {
    case ANSWER_INSIDE:
        call_done(conn, false);
        return KPOP_PENDING;
    case ANSWER_LATER:
        return KPOP_PENDING;
    case ANSWER_BY_RETURN:
    case ANSWER_MODES:
        break;
    }
    conn->is_asked = false;
    return settle(conn, q, host_answer(&conn->asked));
}

/* -------------------------------------------------------------- callbacks */

static void
host_log(void *host_ptr, void *conn, uint32_t level, const char *event,
         const char *line)
{
    struct host *host = host_ptr;
    char head[64];
    const char *at;
    size_t i;

    (void)conn;
    for (at = line; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            host_fail(host, "log line with control character: %s", event);
    }
    for (i = 0; i < host->user_count; i++) {
        const char *password = host->users[i].password;

        if (strlen(password) > 3 && strstr(line, password) != NULL)
            host_fail(host, "a password is logged: %s %s", event, line);
    }
    (void)snprintf(head, sizeof(head), "%u %s ", (unsigned)level, event);
    blob_add(&host->log, head, strlen(head));
    blob_add(&host->log, line, strlen(line));
    blob_add(&host->log, "\n", 1);
}

static int32_t
on_mechanisms(void *conn, struct kpop_op *op, const struct kpop_facts *facts)
{
    struct conn *c = conn;

    if (facts->size < sizeof(*facts) || c->host->inside == 0)
        host_fail(c->host, "exchange_mechanisms: bad call");
    return c->host->api->put_mechanisms(op, c->host->mechanisms);
}

static int32_t
on_policy(void *conn, struct kpop_op *op, const struct kpop_facts *facts)
{
    struct conn *c = conn;

    if (facts->size < sizeof(*facts) || c->host->inside == 0)
        host_fail(c->host, "policy: bad call");
    if (!c->host->announces)
        return c->host->api->put_policy(op, KPOP_EXPIRE_NEVER, 0);
    return c->host->api->put_policy(op, c->host->expire,
                                    c->host->login_delay);
}

static int32_t
on_start(void *conn, struct kpop_op *op, const struct kpop_facts *facts,
         const char *mechanism, const void *data, size_t size)
{
    struct conn *c = conn;
    struct question q = { .kind = ASK_START, .conn = c, .op = op,
                          .text = mechanism, .data = data, .size = size };

    (void)facts;
    if (c->in_exchange)
        host_fail(c->host, "exchange_start inside an exchange");
    c->kpop = false;
    (void)snprintf(c->mechanism, sizeof(c->mechanism), "%s", mechanism);
    return ask(&q);
}

static int32_t
on_step(void *conn, struct kpop_op *op, const struct kpop_facts *facts,
        const void *data, size_t size)
{
    struct conn *c = conn;
    struct question q = { .kind = ASK_STEP, .conn = c, .op = op,
                          .data = data, .size = size };

    (void)facts;
    if (!c->in_exchange)
        host_fail(c->host, "exchange_step without an exchange");
    return ask(&q);
}

static void
on_end(void *conn)
{
    struct conn *c = conn;

    if (c->host->inside == 0)
        host_fail(c->host, "exchange_end outside of any call");
    if (!c->in_exchange)
        host_fail(c->host, "exchange_end without an exchange");
    c->in_exchange = false;
    c->host->ends++;
}

static int32_t
on_authorize(void *conn, struct kpop_op *op,
             const struct kpop_identity *identity)
{
    struct question q = { .kind = ASK_AUTHORIZE, .conn = conn, .op = op,
                          .identity = identity };

    return ask(&q);
}

static int32_t
on_verify(void *conn, struct kpop_op *op, const char *user,
          const void *password, size_t password_size)
{
    struct question q = { .kind = ASK_VERIFY, .conn = conn, .op = op,
                          .text = user, .data = password,
                          .size = password_size };

    return ask(&q);
}

static int32_t
on_open(void *conn, struct kpop_op *op, const struct kpop_open *what)
{
    struct question q = { .kind = ASK_OPEN, .conn = conn, .op = op,
                          .what = what };

    return ask(&q);
}

static int32_t
on_list(void *conn, struct kpop_op *op, void *box, uint32_t first,
        uint32_t count)
{
    struct question q = { .kind = ASK_LIST, .conn = conn, .op = op,
                          .box = box, .first = first, .count = count };

    return ask(&q);
}

static int32_t
on_fetch(void *conn, struct kpop_op *op, void *box, uint32_t msg,
         uint64_t offset, void *buffer, uint32_t size, uint32_t flags)
{
    struct question q = { .kind = ASK_FETCH, .conn = conn, .op = op,
                          .box = box, .first = msg, .offset = offset,
                          .buffer = buffer, .count = size, .flags = flags };

    return ask(&q);
}

static int32_t
on_commit(void *conn, struct kpop_op *op, void *box, const uint8_t *marks,
          uint32_t count)
{
    struct question q = { .kind = ASK_COMMIT, .conn = conn, .op = op,
                          .box = box, .marks = marks, .count = count };

    if (q.box->committed)
        host_fail(q.box->host, "commit asked twice");
    q.box->committed = true;
    return ask(&q);
}

static int32_t
on_envelope(void *conn, struct kpop_op *op, void *box, uint32_t msg)
{
    struct question q = { .kind = ASK_ENVELOPE, .conn = conn, .op = op,
                          .box = box, .first = msg };

    return ask(&q);
}

static void
on_close(void *conn, void *box_ptr)
{
    struct conn *c = conn;
    struct box *box = box_ptr;

    if (c->host->inside == 0)
        host_fail(c->host, "close outside of any call");
    if (c->is_asked)
        host_fail(c->host, "close while %s is open", names[c->asked.kind]);
    if (box->closed)
        host_fail(c->host, "box closed twice");
    box->closed = true;
    if (c->host->locked_by == c)
        c->host->locked_by = NULL;
    c->box = NULL;
    c->host->closes++;
}

/* A hint; the answer may come at once or as ever. */
static void
on_cancel(void *conn, struct kpop_op *op)
{
    struct conn *c = conn;

    if (c->host->inside == 0)
        host_fail(c->host, "cancel outside of any call");
    if (!c->is_asked || c->asked.op != op)
        host_fail(c->host, "cancel of no question");
    c->host->cancels++;
    if (c->host->done_in_cancel)
        call_done(c, false);
}

void
host_table(struct kpop_host *table, bool exchange)
{
    memset(table, 0, sizeof(*table));
    table->size = sizeof(*table);
    table->version = KPOP_ABI_MINOR;
    table->log = host_log;
    if (exchange) {
        table->exchange_mechanisms = on_mechanisms;
        table->exchange_start = on_start;
        table->exchange_step = on_step;
        table->exchange_end = on_end;
    } else {
        table->authorize = on_authorize;
        table->verify_password = on_verify;
    }
    table->open = on_open;
    table->list = on_list;
    table->fetch = on_fetch;
    table->commit = on_commit;
    table->close = on_close;
    table->cancel = on_cancel;
    table->policy = on_policy;
    table->envelope = on_envelope;
}
