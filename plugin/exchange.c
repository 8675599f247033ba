/*
 * exchange.c - drives a mechanism of sasl/ and asks the host what it needs:
 * is this password right, what is that user's secret, may this identity read
 * this mailbox.  The last one is asked always, and without put_user() nobody
 * gets in.  Runs where the keytab and the passwords are; logs the outcome of
 * each login, never a password or a secret.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "kpop/buf.h"
#include "plugin/facts.h"
#include "plugin/internal.h"
#include "plugin/log.h"
#include "plugin/op.h"
#include "sasl/mech.h"

enum { SECRET_MAX = 4096, NAME_MAX_OCTETS = 1024 };

struct kpop_exchange {
    struct kpop_op *op;          /* the question to the host */
    struct kpop_op own;          /* it, unless it is a session's */
    struct kpop_plugin *plugin;
    struct config *config;       /* held */
    struct kpop_facts *facts;    /* our copy */
    const struct mech *mech;
    void *state;                 /* the mechanism's; NULL before start */
    struct mech_peer peer;
    struct mech_ask ask;         /* lent by the mechanism while it waits */
    struct kpop_identity identity; /* asked about; points into ask */
    struct buf challenge;
    struct buf secret;           /* put_secret */
    bool authorized;             /* authorize said yes, user is set */
    bool stepped;                /* KPOP: the handshake is behind us */
    bool over;                   /* no step may follow */
    bool running;                /* inside exchange_run() */
    bool freed;                  /* while running or a question was open */
    exchange_complete_fn *complete; /* for the step that is pending */
    void *complete_arg;
    char user[KPOP_USER_MAX + 1];
    char authcid[NAME_MAX_OCTETS]; /* proved; "" before */
    char claimed[NAME_MAX_OCTETS]; /* said, for the log */
    char requested[NAME_MAX_OCTETS];
};

/* ---- the host's answers ---- */

static int32_t
exchange_put(void *arg, const struct op_fact *fact)
{
    struct kpop_exchange *exchange = arg;

    if (exchange->freed)
        return KPOP_OK; /* nobody wants it any more */
    if (fact->fact == FACT_USER) {
        /* op.c has checked the length. */
        memcpy(exchange->user, fact->text, strlen(fact->text) + 1);
        return KPOP_OK;
    }
    buf_reset(&exchange->secret);
    buf_append(&exchange->secret, fact->data, fact->size);
    return buf_failed(&exchange->secret) ? KPOP_NO_MEMORY : KPOP_OK;
}

static void exchange_answered(void *arg);

static const struct op_owner owner = { exchange_put, exchange_answered };

/* ---- log ---- */

static void
mech_log(void *arg, unsigned level, const char *event, const char *text)
{
    struct kpop_exchange *exchange = arg;
    struct log_line line;

    log_start(&line, exchange->facts);
    log_raw(&line, text);
    log_write(exchange->plugin, exchange->op->conn, level, event, &line);
}

static const struct outcome {
    int32_t result;
    uint32_t level;
    const char *event;
} outcomes[] = {
    { KPOP_OK, KPOP_LOG_INFO, "auth.ok" },
    { KPOP_AUTH, KPOP_LOG_INFO, "auth.fail" },
    { KPOP_DENIED, KPOP_LOG_INFO, "auth.denied" },
    { KPOP_DELAY, KPOP_LOG_INFO, "auth.delay" },
};

/*
 * One line a login.  A refused AP-REQ was logged by the mechanism, which
 * knows principal, key version and clock.
 */
static void
exchange_log(const struct kpop_exchange *exchange, int32_t result)
{
    struct outcome what = { result, KPOP_LOG_WARNING, "auth.error" };
    const struct kpop_facts *facts = exchange->facts;
    struct log_line line;

    if (result == KPOP_CONTINUE
        || (facts_are_kpop(facts) && !exchange->stepped))
        return;
    for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
        if (outcomes[i].result == result)
            what = outcomes[i];
    }
    log_start(&line, facts);
    log_text(&line, "service", facts->service);
    log_text(&line, "mechanism", exchange->mech->name);
    if (exchange->authcid[0] != '\0')
        log_text(&line, "authcid", exchange->authcid);
    else
        log_text_if(&line, "claimed", exchange->claimed);
    log_text_if(&line, "requested", exchange->requested);
    log_text_if(&line, "user", result == KPOP_OK ? exchange->user : "");
    log_text(&line, "result", status_name(result));
    log_write(exchange->plugin, exchange->op->conn, what.level, what.event,
              &line);
}

/* ---- running ---- */

/* Its question is open; a session's op may also have one of the session's. */
static bool
exchange_is_asking(const struct kpop_exchange *exchange)
{
    return op_is_open(exchange->op) && exchange->op->owner == &owner
           && exchange->op->arg == exchange;
}

static void
exchange_destroy(struct kpop_exchange *exchange)
{
    if (exchange->state != NULL)
        exchange->mech->free(exchange->state);
    buf_reset(&exchange->challenge);
    buf_reset(&exchange->secret);
    config_drop(exchange->config);
    free(exchange->facts);
    wipe(exchange, sizeof(*exchange));
    free(exchange);
}

/* Cuts at the end of the field; names that long were refused elsewhere. */
static void
name_keep(char *field, const char *name)
{
    size_t len = strnlen(name, NAME_MAX_OCTETS - 1);

    memcpy(field, name, len);
    field[len] = '\0';
}

static void
ask_authorize(struct kpop_exchange *exchange)
{
    struct kpop_op *op = exchange->op;
    struct kpop_identity *identity = &exchange->identity;

    name_keep(exchange->authcid, exchange->ask.authcid);
    name_keep(exchange->requested, exchange->ask.requested);
    exchange->user[0] = '\0';
    exchange->authorized = false;
    memset(identity, 0, sizeof(*identity));
    identity->size = sizeof(*identity);
    identity->mechanism = exchange->mech->name;
    identity->authcid = exchange->ask.authcid;
    identity->requested = exchange->ask.requested;
    identity->local = exchange->ask.local;
    identity->facts = exchange->facts;
    op_begin(op, &owner, exchange, OP_AUTHORIZE);
    op_returned(op, exchange->plugin->host.authorize(op->conn, op, identity));
}

static void
ask_password(struct kpop_exchange *exchange)
{
    struct kpop_op *op = exchange->op;
    const struct mech_ask *ask = &exchange->ask;

    name_keep(exchange->claimed, ask->user);
    op_begin(op, &owner, exchange, OP_PASSWORD);
    if (exchange->plugin->host.verify_password == NULL)
        op_returned(op, KPOP_AUTH);
    else
        op_returned(op, exchange->plugin->host.verify_password(
                            op->conn, op, ask->user, ask->password,
                            ask->password_len));
}

static void
ask_secret(struct kpop_exchange *exchange)
{
    struct kpop_op *op = exchange->op;

    name_keep(exchange->claimed, exchange->ask.user);
    op_begin(op, &owner, exchange, OP_SECRET);
    if (exchange->plugin->host.lookup_secret == NULL)
        op_returned(op, KPOP_AUTH);
    else
        op_returned(op, exchange->plugin->host.lookup_secret(
                            op->conn, op, exchange->ask.user,
                            exchange->mech->name));
}

static void
ask_host(struct kpop_exchange *exchange)
{
    switch (exchange->ask.need) {
    case MECH_AUTHORIZE:
        ask_authorize(exchange);
        break;
    case MECH_PASSWORD:
        ask_password(exchange);
        break;
    case MECH_SECRET:
        ask_secret(exchange);
        break;
    }
}

/* Hands the host's answer to the mechanism. */
static int32_t
resume(struct kpop_exchange *exchange)
{
    enum mech_need need = exchange->ask.need;
    int32_t answer = op_take(exchange->op);
    int32_t result;

    exchange->authorized = need == MECH_AUTHORIZE && answer == KPOP_OK;
    result = exchange->mech->resume(
        exchange->state, answer, buf_data(&exchange->secret),
        buf_len(&exchange->secret), &exchange->challenge, &exchange->ask);
    buf_reset(&exchange->secret);
    return result;
}

/* The result of a step, when it is certain. */
static int32_t
settle(struct kpop_exchange *exchange, int32_t result)
{
    struct log_line line;

    if (result == KPOP_OK && !exchange->authorized) {
        /* A mechanism of ours forgot to ask: our bug must open nothing. */
        log_start(&line, exchange->facts);
        log_text(&line, "problem", "mechanism ended without authorize");
        log_write(exchange->plugin, exchange->op->conn, KPOP_LOG_ERROR,
                  "auth.error", &line);
        result = KPOP_TEMP;
    }
    if (result >= 0 && buf_failed(&exchange->challenge))
        result = KPOP_NO_MEMORY;
    if (result == STATUS_INVALID)
        result = KPOP_TEMP; /* mechanism in disorder: not the host's doing */
    if (result != KPOP_OK) {
        exchange->authorized = false;
        wipe(exchange->user, sizeof(exchange->user));
    }
    exchange_log(exchange, result);
    /* KPOP alone may ask the same again after a passing trouble. */
    exchange->over = result != KPOP_CONTINUE
                     && !((result == KPOP_TEMP || result == KPOP_NO_MEMORY)
                          && exchange->stepped
                          && facts_are_kpop(exchange->facts));
    if (result == KPOP_CONTINUE)
        exchange->stepped = true;
    return result;
}

/* From a mechanism's result to the next pause: KPOP_PENDING or certain. */
static int32_t
exchange_run(struct kpop_exchange *exchange, int32_t result)
{
    while (result == STATUS_PENDING && !exchange->freed) {
        ask_host(exchange);
        if (exchange->op->stage == OP_KEPT)
            return KPOP_PENDING;
        result = resume(exchange);
    }
    return exchange->freed ? KPOP_TEMP : settle(exchange, result);
}

/* exchange_run() may be left by exchange_free() inside a callback. */
static int32_t
exchange_enter(struct kpop_exchange *exchange, int32_t result)
{
    exchange->running = true;
    result = exchange_run(exchange, result);
    exchange->running = false;
    return result;
}

/* Tells who waits; that one may step again or free us. */
static void
exchange_completed(struct kpop_exchange *exchange, int32_t result)
{
    exchange_complete_fn *complete = exchange->complete;
    void *arg = exchange->complete_arg;

    exchange->complete = NULL;
    complete(arg, result);
}

/* The answer to a question of an exchange that was freed meanwhile. */
static void
exchange_bury(struct kpop_exchange *exchange)
{
    bool is_session_s = exchange->op != &exchange->own;
    exchange_complete_fn *complete = exchange->complete;
    void *arg = exchange->complete_arg;

    if (exchange->op->stage == OP_ANSWERED)
        (void)(op_take(exchange->op) == KPOP_OK);
    exchange_destroy(exchange);
    if (is_session_s)
        complete(arg, KPOP_TEMP);
}

/* done() for an answer that was kept. */
static void
exchange_answered(void *arg)
{
    struct kpop_exchange *exchange = arg;
    int32_t result;

    if (!exchange->freed) {
        exchange->running = true;
        result = resume(exchange);
        exchange->running = false;
        result = exchange_enter(exchange, result);
        if (result == KPOP_PENDING)
            return;
        if (!exchange->freed) {
            exchange_completed(exchange, result);
            return;
        }
    }
    exchange_bury(exchange);
}

/* ---- the ABI ---- */

/* What TLS knows. */
static void
fill_channel(struct kpop_exchange *exchange)
{
    const struct kpop_facts *facts = exchange->facts;
    struct mech_peer *peer = &exchange->peer;

    peer->has_tls = facts_are_secret(facts);
    peer->bindings[0] = (struct mech_binding){
        facts->binding_type, facts->binding, facts->binding_size };
    peer->bindings[1] = (struct mech_binding){
        "tls-server-end-point", facts->end_point, facts->end_point_size };
    peer->finished = (struct mech_binding){
        "tls-unique", facts->finished, facts->finished_size };
    peer->plus = mechanism_has_plus(exchange->plugin, exchange->config,
                                    facts, exchange->mech->name);
    peer->certificate = facts->client_certificate;
    peer->certificate_size = facts->client_certificate_size;
}

static int32_t
exchange_fill(struct kpop_exchange *exchange, const struct kpop_facts *facts,
              const char *mechanism)
{
    struct kpop_plugin *plugin = exchange->plugin;
    int32_t result = facts_copy(facts, "-", &exchange->facts);

    if (result != KPOP_OK)
        return result;
    exchange->mech = mechanism_find(plugin, exchange->config, exchange->facts,
                                    mechanism);
    if (exchange->mech == NULL || plugin->host.authorize == NULL)
        return KPOP_DENIED;
    exchange->own.plugin = plugin;
    exchange->own.facts = exchange->facts;
    exchange->peer.address = exchange->facts->peer_address;
    exchange->peer.session_id = exchange->facts->session_id;
    exchange->peer.log = mech_log;
    exchange->peer.log_arg = exchange;
    fill_channel(exchange);
    /* A layer is of use only to who moves the octets. */
    if (exchange->op != &exchange->own)
        exchange->peer.max_ssf = (unsigned)exchange->config->max_ssf;
    return KPOP_OK;
}

int32_t
exchange_new(struct kpop_plugin *plugin, struct config *config,
             const struct kpop_facts *facts, struct kpop_op *op,
             const char *mechanism, struct kpop_exchange **exchange_out)
{
    struct kpop_exchange *exchange = calloc(1, sizeof(*exchange));
    int32_t result;

    if (exchange == NULL)
        return KPOP_NO_MEMORY;
    buf_init(&exchange->challenge, KPOP_CHALLENGE_MAX);
    buf_init_secret(&exchange->secret, SECRET_MAX);
    exchange->plugin = plugin;
    exchange->config = config;
    config_hold(config);
    exchange->op = op != NULL ? op : &exchange->own;
    result = exchange_fill(exchange, facts, mechanism);
    if (result == KPOP_OK)
        *exchange_out = exchange;
    else
        exchange_destroy(exchange);
    return result;
}

bool
exchange_take_layer(struct kpop_exchange *exchange,
                    struct mech_layer *layer_out)
{
    return exchange->mech->layer != NULL && exchange->peer.max_ssf > 0
           && exchange->mech->layer(exchange->state, layer_out) == STATUS_OK;
}

int32_t
kpop_exchange_new(struct kpop_plugin *plugin, const struct kpop_facts *facts,
                  void *conn, const char *mechanism,
                  struct kpop_exchange **exchange_out)
{
    struct config *config = plugin_config(plugin);
    int32_t result;

    if (config == NULL)
        return KPOP_INVALID;
    result = exchange_new(plugin, config, facts, NULL, mechanism,
                          exchange_out);
    config_drop(config);
    if (result == KPOP_OK)
        (*exchange_out)->own.conn = conn;
    return result;
}

int32_t
kpop_exchange_step(struct kpop_exchange *exchange, const void *data,
                   size_t size, exchange_complete_fn *complete, void *arg)
{
    int32_t result = STATUS_OK;

    if (exchange == NULL || exchange->over || exchange->running
        || exchange_is_asking(exchange) || complete == NULL)
        return KPOP_INVALID;
    exchange->complete = complete;
    exchange->complete_arg = arg;
    buf_reset(&exchange->challenge);
    exchange->running = true;
    if (exchange->state == NULL)
        result = exchange->mech->start(exchange->config->world,
                                       &exchange->peer, &exchange->state);
    if (result == STATUS_OK)
        result = exchange->mech->step(exchange->state, data, size,
                                      &exchange->challenge, &exchange->ask);
    result = exchange_enter(exchange, result);
    if (exchange->freed && !exchange_is_asking(exchange))
        exchange_destroy(exchange);
    return result;
}

void
kpop_exchange_outcome(struct kpop_exchange *exchange,
                      struct kpop_outcome *outcome_out)
{
    struct kpop_outcome full = { 0 };
    uint32_t size = outcome_out->size < sizeof(full)
                        ? outcome_out->size
                        : (uint32_t)sizeof(full);

    full.size = size;
    full.challenge = buf_data(&exchange->challenge);
    full.challenge_size = buf_len(&exchange->challenge);
    full.user = exchange->user;
    full.authcid = exchange->authcid;
    memcpy(outcome_out, &full, size);
}

void
kpop_exchange_free(struct kpop_exchange *exchange)
{
    if (exchange == NULL)
        return;
    exchange->freed = true;
    if (!exchange->running && !exchange_is_asking(exchange))
        exchange_destroy(exchange);
}
