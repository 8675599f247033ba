/*
 * ask.c - the engine's requests made into questions to the host, and the
 * host's answers into the engine's.  The box and the exchange of the host are
 * opened and ended here, each exactly once.  Decides nothing about the
 * protocol and keeps no state of its own.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "plugin/exchange.h"
#include "plugin/facts.h"
#include "plugin/internal.h"
#include "plugin/log.h"
#include "plugin/session.h"
#include "plugin/text.h"
#include "sasl/mech.h"

static void
session_begin(struct kpop_session *session, enum op_kind kind)
{
    op_begin(&session->op, &session_owner, session, kind);
}

/* ---- mechanisms ---- */

/* A host that fails names nothing; but a lack of memory of ours must not look
 * like a host without passwords. */
static int
names_ask(struct kpop_session *session, char *text, size_t size)
{
    struct kpop_op *op = &session->op;
    int32_t result;

    session_begin(session, OP_MECHANISMS);
    result = session->plugin->host.exchange_mechanisms(session->conn, op,
                                                       session->facts);
    /* It must not be kept: the greeting waits for it. */
    op_returned(op, result == KPOP_PENDING ? KPOP_INVALID : result);
    result = op_take(op);
    if (result == KPOP_OK && session->names != NULL)
        mechanisms_choose(session->plugin, session->config, session->facts,
                          session->names, text, size);
    free(session->names);
    session->names = NULL;
    return result == KPOP_NO_MEMORY ? STATUS_NO_MEMORY : STATUS_OK;
}

int
session_set_mechanisms(struct kpop_session *session)
{
    char text[512] = "";
    int status = STATUS_OK;

    /* On the kpop listener there is nothing to choose, and its USER is the
     * engine's own business. */
    if (facts_are_kpop(session->facts))
        memcpy(text, "KPOP", sizeof("KPOP"));
    else if (plugin_forwards(session->plugin))
        status = names_ask(session, text, sizeof(text));
    else
        exchange_names(session->plugin, session->config, session->facts,
                       text, sizeof(text));
    if (status == STATUS_OK)
        status = engine_set_mechanisms(session->engine, text);
    return status;
}

/* ---- the policy for everybody ---- */

/* A host that can't say it is none to be relied on: no memory, no session. */
int
session_set_policy(struct kpop_session *session)
{
    const struct kpop_host *host = &session->plugin->host;
    struct kpop_op *op = &session->op;
    int32_t result;

    if (host->policy == NULL)
        return STATUS_OK;
    session_begin(session, OP_POLICY);
    result = host->policy(session->conn, op, session->facts);
    /* It must not be kept: the greeting waits for it. */
    op_returned(op, result == KPOP_PENDING ? KPOP_INVALID : result);
    return op_take(op) == KPOP_NO_MEMORY ? STATUS_NO_MEMORY : STATUS_OK;
}

/* ---- exchanges ---- */

void
session_end_exchange(struct kpop_session *session)
{
    if (session->exchange != NULL) {
        kpop_exchange_free(session->exchange);
        session->exchange = NULL;
        session->step = OP_FREE;
    }
    if (session->exchange_is_live) {
        session->exchange_is_live = false;
        session->plugin->host.exchange_end(session->conn);
    }
}

/* What follows from the result of a start or a step, wherever it ran. */
static void
exchange_result(struct kpop_session *session, int32_t result, bool start)
{
    struct counters *counters = &session->plugin->counters;
    /* The same step may be asked again, so the exchange lives on. */
    bool again = session->exchange_is_kpop && !start
                 && (result == KPOP_TEMP || result == KPOP_NO_MEMORY);

    /* Octets of our TLS are of no use to the host. */
    if (result == KPOP_TAKEN && session->tls != NULL)
        result = KPOP_TEMP;
    if (result == KPOP_AUTH || result == KPOP_DENIED)
        count(&counters->login_failures, 1);
    if (session->exchange_is_kpop && start && result >= 0)
        session->kpop_is_done = true;
    if (result != KPOP_CONTINUE && !again)
        session_end_exchange(session);
    engine_answer(session->engine, result);
}

/* Our own exchange said something: the engine gets it. */
static void
step_finish(struct kpop_session *session, int32_t result)
{
    struct kpop_outcome outcome = { .size = sizeof(outcome) };
    bool start = engine_request(session->engine)->need == ENGINE_START;
    int status = STATUS_OK;

    if (session->exchange != NULL) {
        kpop_exchange_outcome(session->exchange, &outcome);
        if (outcome.challenge_size > 0)
            status = engine_put_challenge(session->engine, outcome.challenge,
                                          outcome.challenge_size);
        if (status == STATUS_OK && result == KPOP_OK)
            status = engine_put_user(session->engine, outcome.user);
        if (status == STATUS_OK && result == KPOP_OK)
            session_keep_layer(session);
    }
    if (status != STATUS_OK && result >= 0)
        result = status == STATUS_NO_MEMORY ? KPOP_NO_MEMORY : KPOP_TEMP;
    exchange_result(session, result, start);
}

static void
step_complete(void *arg, int32_t result)
{
    struct kpop_session *session = arg;

    session->step = OP_ANSWERED;
    session->step_result = result;
    session->fresh = false;
    session_run(session);
    session_settle(session);
}

void
session_step_answer(struct kpop_session *session)
{
    session->step = OP_FREE;
    step_finish(session, session->step_result);
}

/* The module's own mechanisms. */
static void
ask_own_exchange(struct kpop_session *session,
                 const struct engine_request *request)
{
    int32_t result = KPOP_OK;

    if (request->need == ENGINE_START) {
        session_end_exchange(session);
        result = exchange_new(session->plugin, session->config,
                              session->facts, &session->op,
                              request->mechanism, &session->exchange);
    }
    if (result == KPOP_OK)
        result = kpop_exchange_step(session->exchange, request->data,
                                    request->len, step_complete, session);
    if (result == KPOP_PENDING) {
        session->step = OP_KEPT;
        return;
    }
    step_finish(session, result == KPOP_INVALID ? KPOP_TEMP : result);
}

static void
ask_exchange(struct kpop_session *session,
             const struct engine_request *request)
{
    const struct kpop_host *host = &session->plugin->host;
    struct kpop_op *op = &session->op;

    bool ours = session->exchange != NULL;

    if (request->need == ENGINE_START) {
        /* What a login put that came to nothing is not the next one's. */
        buf_reset(&session->credential);
        session->exchange_is_kpop = strcmp(request->mechanism, "KPOP") == 0;
        ours = config_runs(session->plugin, session->config,
                           request->mechanism);
    }
    if (ours) {
        ask_own_exchange(session, request);
    } else if (request->need == ENGINE_START) {
        session_end_exchange(session);
        session_begin(session, OP_START);
        op_returned(op, host->exchange_start(
                            session->conn, op, session->facts,
                            request->mechanism, request->data, request->len));
    } else if (!session->exchange_is_live) {
        engine_answer(session->engine, KPOP_TEMP);
    } else {
        session_begin(session, OP_STEP);
        op_returned(op, host->exchange_step(session->conn, op, session->facts,
                                            request->data, request->len));
    }
}

/* A KRB_ERROR for what the engine itself found wrong. */
static void
ask_refusal(struct kpop_session *session,
            const struct engine_request *request)
{
    struct buf error;
    struct log_line line;
    int status;

    log_start(&line, session->facts);
    log_number(&line, "code", (uint64_t)request->krb_code);
    log_text(&line, "text", request->text);
    log_write(session->plugin, session->conn, KPOP_LOG_INFO, "kpop.refused",
              &line);
    buf_init(&error, KPOP_CHALLENGE_MAX);
    status = apreq_refusal(session->config->world, request->krb_code,
                           request->text, &error);
    if (status == STATUS_OK)
        status = engine_put_challenge(session->engine, buf_data(&error),
                                      buf_len(&error));
    buf_reset(&error);
    engine_answer(session->engine, status);
}

/* ---- the store ---- */

void
session_close_box(struct kpop_session *session)
{
    if (!session->box_is_open)
        return;
    session->box_is_open = false;
    session->plugin->host.close(session->conn, session->box);
}

static void
ask_open(struct kpop_session *session, const struct engine_request *request)
{
    struct kpop_open *what = &session->what;
    struct kpop_op *op = &session->op;

    memset(what, 0, sizeof(*what));
    what->size = sizeof(*what);
    what->user = request->user;
    what->requested = request->requested;
    what->mechanism = request->mechanism;
    what->facts = session->facts;
    what->credential = buf_data(&session->credential);
    what->credential_size = buf_len(&session->credential);
    session_begin(session, OP_OPEN);
    op_returned(op, session->plugin->host.open(session->conn, op, what));
}

static void
ask_fetch(struct kpop_session *session, const struct engine_request *request)
{
    struct kpop_op *op = &session->op;
    uint32_t flags = request->peek ? KPOP_FETCH_PEEK : 0;

    session_begin(session, OP_FETCH);
    op->limit = request->size;
    op_returned(op, session->plugin->host.fetch(
                        session->conn, op, session->box, request->msg,
                        request->offset, request->buffer, request->size,
                        flags));
}

static void
ask_store(struct kpop_session *session, const struct engine_request *request)
{
    const struct kpop_host *host = &session->plugin->host;
    struct kpop_op *op = &session->op;

    switch ((int)request->need) {
    case ENGINE_LIST:
        session_begin(session, OP_LIST);
        op_returned(op, host->list(session->conn, op, session->box,
                                   request->first, request->count));
        break;
    case ENGINE_FETCH:
        ask_fetch(session, request);
        break;
    case ENGINE_ENVELOPE:
        session_begin(session, OP_ENVELOPE);
        op_returned(op, host->envelope == NULL
                            ? KPOP_PERM
                            : host->envelope(session->conn, op, session->box,
                                             request->msg));
        break;
    default:
        session_begin(session, OP_COMMIT);
        op_returned(op, host->commit(session->conn, op, session->box,
                                     request->marks, request->count));
        break;
    }
}

static void
log_store(struct kpop_session *session, const char *what, int32_t result)
{
    struct log_line line;
    uint32_t level =
        result == KPOP_IN_USE || result == KPOP_DELAY || result == KPOP_GONE
            ? KPOP_LOG_INFO
            : KPOP_LOG_WARNING;

    log_start(&line, session->facts);
    log_text_if(&line, "user", engine_user(session->engine));
    log_text(&line, "op", what);
    log_text(&line, "result", status_name(result));
    log_write(session->plugin, session->conn, level, "store.fail", &line);
}

static void
answer_open(struct kpop_session *session, int32_t result)
{
    const uint8_t *data;
    size_t before = engine_output(session->engine, &data);

    buf_reset(&session->credential);
    if (result != KPOP_OK) {
        log_store(session, "open", result);
        session_close_box(session);
    } else {
        count(&session->plugin->counters.logins, 1);
    }
    engine_answer(session->engine, result);
    session_begin_layer(session, before);
}

static void
answer_commit(struct kpop_session *session, int32_t result)
{
    if (result != KPOP_OK) {
        log_store(session, "commit", result);
        count(&session->plugin->counters.commits_failed, 1);
    }
    /* The lock is gone before the client can see that QUIT is done. */
    session_close_box(session);
    engine_answer(session->engine, result);
}

static void
answer_read(struct kpop_session *session, const char *what, int32_t result)
{
    if (result < 0)
        log_store(session, what, result);
    engine_answer(session->engine, result);
}

void
session_note_start(struct kpop_session *session)
{
    /* By what the host said, not by what we make of it. */
    if (session->op.kind == OP_START && session->op.result >= 0)
        session->exchange_is_live = true;
}

void
session_answer(struct kpop_session *session)
{
    enum op_kind kind = session->op.kind;
    int32_t result;

    session_note_start(session);
    result = op_take(&session->op);
    switch (kind) {
    case OP_START:
        exchange_result(session, result, true);
        break;
    case OP_STEP:
        exchange_result(session, result, false);
        break;
    case OP_OPEN:
        answer_open(session, result);
        break;
    case OP_COMMIT:
        answer_commit(session, result);
        break;
    case OP_LIST:
        answer_read(session, "list", result);
        break;
    case OP_FETCH:
        answer_read(session, "fetch", result);
        break;
    case OP_ENVELOPE:
        answer_read(session, "envelope", result);
        break;
    case OP_MECHANISMS:
    case OP_POLICY:
    case OP_AUTHORIZE:
    case OP_PASSWORD:
    case OP_SECRET:
        break; /* never kept, or an exchange's */
    }
}

/* ---- all of them ---- */

void
session_ask(struct kpop_session *session,
            const struct engine_request *request)
{
    switch (request->need) {
    case ENGINE_START:
    case ENGINE_STEP:
        ask_exchange(session, request);
        break;
    case ENGINE_END:
        session_end_exchange(session);
        engine_answer(session->engine, STATUS_OK);
        break;
    case ENGINE_REFUSE:
        ask_refusal(session, request);
        break;
    case ENGINE_OPEN:
        /* A host of logins only answers TAKEN and has no store. */
        if (session->plugin->host.open == NULL)
            answer_open(session, KPOP_PERM);
        else
            ask_open(session, request);
        break;
    case ENGINE_LIST:
    case ENGINE_FETCH:
    case ENGINE_ENVELOPE:
    case ENGINE_COMMIT:
        ask_store(session, request);
        break;
    case ENGINE_TLS:
        session_ask_tls(session);
        break;
    }
}
