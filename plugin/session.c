/*
 * session.c - one connection: its beginning, the loop that turns the engine,
 * its end.  Calls the host only through ask.c, never recurses, opens nothing,
 * and runs where the sockets are: all it holds of a secret is the client's
 * unread input, which is wiped.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/exchange.h"
#include "plugin/facts.h"
#include "plugin/internal.h"
#include "plugin/log.h"
#include "plugin/text.h"

enum { CREDENTIAL_MAX = 65536 };

/* A result crosses every seam unchanged. */
_Static_assert((int)STATUS_OK == KPOP_OK, "status");
_Static_assert((int)STATUS_CONTINUE == KPOP_CONTINUE, "status");
_Static_assert((int)STATUS_TAKEN == KPOP_TAKEN, "status");
_Static_assert((int)STATUS_PENDING == KPOP_PENDING, "status");
_Static_assert((int)STATUS_AUTH == KPOP_AUTH, "status");
_Static_assert((int)STATUS_DENIED == KPOP_DENIED, "status");
_Static_assert((int)STATUS_TEMP == KPOP_TEMP, "status");
_Static_assert((int)STATUS_PERM == KPOP_PERM, "status");
_Static_assert((int)STATUS_IN_USE == KPOP_IN_USE, "status");
_Static_assert((int)STATUS_DELAY == KPOP_DELAY, "status");
_Static_assert((int)STATUS_GONE == KPOP_GONE, "status");
_Static_assert((int)STATUS_INVALID == KPOP_INVALID, "status");
_Static_assert((int)STATUS_NO_MEMORY == KPOP_NO_MEMORY, "status");
_Static_assert((unsigned)MARK_DELETE == KPOP_MARK_DELETE, "marks");
_Static_assert((unsigned)MARK_RETRIEVED == KPOP_MARK_RETRIEVED, "marks");
_Static_assert((unsigned)ENGINE_USER_MAX == KPOP_USER_MAX, "limits");
_Static_assert((unsigned)ENGINE_UIDL_MAX == KPOP_UIDL_MAX, "limits");
_Static_assert((unsigned)ENGINE_FETCH_SIZE <= KPOP_FETCH_MAX, "limits");
_Static_assert(ENGINE_OCTETS_UNKNOWN == KPOP_UNKNOWN, "limits");

/* ---- the owner of the op ---- */

static int32_t
session_put(void *arg, const struct op_fact *fact)
{
    struct kpop_session *session = arg;
    struct engine *engine = session->engine;

    /* A box is ours from here on, even if nobody wants it any more. */
    if (fact->fact == FACT_BOX) {
        session->box = fact->box;
        session->box_is_open = true;
    }
    if (session->closed)
        return KPOP_OK;
    switch (fact->fact) {
    case FACT_USER:
        return engine_put_user(engine, fact->text);
    case FACT_CHALLENGE:
        return engine_put_challenge(engine, fact->data, fact->size);
    case FACT_CREDENTIAL:
        buf_reset(&session->credential);
        buf_append(&session->credential, fact->data, fact->size);
        return buf_failed(&session->credential) ? KPOP_NO_MEMORY : KPOP_OK;
    case FACT_BOX:
        return engine_put_box(engine, fact->number, fact->octets);
    case FACT_POLICY:
        if (session->op.kind == OP_OPEN)
            return engine_put_policy(engine, fact->number, fact->login_delay);
        engine_set_policy(engine, fact->number, fact->login_delay);
        return KPOP_OK;
    case FACT_MSG:
        return engine_put_msg(engine, fact->octets, fact->text);
    case FACT_ENVELOPE:
        return engine_put_envelope(engine, fact->text, fact->recipient);
    case FACT_MECHANISMS:
        free(session->names);
        session->names = text_copy(fact->text);
        return session->names != NULL ? KPOP_OK : KPOP_NO_MEMORY;
    case FACT_SECRET:
        break;
    }
    return KPOP_INVALID;
}

static void
session_op_answered(void *arg)
{
    struct kpop_session *session = arg;

    session->fresh = false;
    session_run(session);
    session_settle(session);
}

const struct op_owner session_owner = { session_put, session_op_answered };

/* ---- the loop ---- */

bool
session_is_busy(const struct kpop_session *session)
{
    return op_is_open(&session->op) || session->step != OP_FREE;
}

/* Ours to take: the exchange, which has the same op, takes its own. */
static bool
session_has_answer(const struct kpop_session *session)
{
    return session->op.stage == OP_ANSWERED
           && session->op.owner == &session_owner;
}

/* One thing that can be done now; false when there is none. */
static bool
session_turn(struct kpop_session *session)
{
    const struct engine_request *request;

    if (session_has_answer(session)) {
        session_answer(session);
        return true;
    }
    if (session->step == OP_ANSWERED) {
        session_step_answer(session);
        return true;
    }
    if (session_wrap(session))
        return true;
    if (session_is_busy(session) || session->waits_for_tls
        || session->gave_up)
        return false;
    if (session_is_shaking(session))
        return session_shake(session);
    request = engine_request(session->engine);
    if (request != NULL) {
        session_ask(session, request);
        return true;
    }
    return session_feed(session);
}

/* What the engine counted since last time, to the plugin's counters. */
static void
session_count(struct kpop_session *session)
{
    struct counters *counters = &session->plugin->counters;
    struct engine_counts *old = &session->counted;
    struct engine_counts new;

    engine_get_counts(session->engine, &new);
    if (new.commands != old->commands) {
        count(&counters->commands, new.commands - old->commands);
        if (session->fresh)
            session->active = session->now;
        else
            session->stale = true;
    }
    if (new.retrieved != old->retrieved)
        count(&counters->retrieved, new.retrieved - old->retrieved);
    if (new.deleted != old->deleted)
        count(&counters->deleted, new.deleted - old->deleted);
    *old = new;
}

bool
session_is_ending(const struct kpop_session *session)
{
    return session->gave_up || engine_is_closing(session->engine);
}

void
session_give_up(struct kpop_session *session, const char *reason)
{
    session->gave_up = true;
    if (session->reason == NULL)
        session->reason = reason;
}

void
session_run(struct kpop_session *session)
{
    if (session->running)
        return;
    session->running = true;
    while (!session->closed && session_turn(session))
        continue;
    /* Octets in the clear behind STLS may be an attacker's. */
    if (session->waits_for_tls && buf_len(&session->inbox) > 0)
        session_give_up(session, "input-before-tls");
    /* An ended session holds no lock while its last words are sent. */
    if (session_is_ending(session) && !session_is_busy(session)
        && !session->closed) {
        session_end_exchange(session);
        session_close_box(session);
    }
    if (!session->end_is_seen && session_is_ending(session)) {
        session->end_is_seen = true; /* the linger begins */
        session->active = session->now;
        session->stale = session->stale || !session->fresh;
    }
    session_count(session);
    session->running = false;
}

/* ---- the end ---- */

static void
session_free(struct kpop_session *session)
{
    kpop_exchange_free(session->exchange);
    engine_free(session->engine);
    session_free_layer(session);
    tls_free(session->tls);
    buf_reset(&session->inbox);
    buf_reset(&session->credential);
    config_drop(session->config);
    free(session->facts);
    free(session->names);
    free(session);
}

static void
log_end(const struct kpop_session *session)
{
    const char *reason = session->reason;
    struct log_line line;

    if (reason == NULL)
        reason = engine_end_reason(session->engine);
    log_start(&line, session->facts);
    log_text(&line, "service", session->facts->service);
    log_text_if(&line, "user", engine_user(session->engine));
    log_text(&line, "reason", reason[0] != '\0' ? reason : "hangup");
    log_number(&line, "commands", session->counted.commands);
    log_number(&line, "retrieved", session->counted.retrieved);
    log_number(&line, "deleted", session->counted.deleted);
    log_number(&line, "octets_in", session->octets_in);
    log_number(&line, "octets_out", session->octets_out);
    log_write(session->plugin, session->conn, KPOP_LOG_INFO, "session.end",
              &line);
}

void
session_settle(struct kpop_session *session)
{
    /* An exchange that is closed within its callback comes back to us. */
    if (!session->closed || session->running
        || (op_is_open(&session->op) && !session_has_answer(session)))
        return;
    session->running = true;
    if (session_has_answer(session)) {
        session_note_start(session);
        (void)(op_take(&session->op) == KPOP_OK);
    }
    session_end_exchange(session);
    session_close_box(session);
    session_free(session);
}

void
kpop_session_close(struct kpop_session *session)
{
    if (session == NULL || session->closed)
        return;
    session->closed = true;
    if (facts_are_kpop(session->facts) && !session->kpop_is_done)
        count(&session->plugin->counters.kpop_refusals, 1);
    count(&session->plugin->counters.open, (uint64_t)-1);
    log_end(session);
    /* It asks nothing more; what it has asked keeps it, and us. */
    kpop_exchange_free(session->exchange);
    session->exchange = NULL;
    if (session->running)
        return; /* session_settle() comes when the callback returns */
    session->running = true; /* done() may come inside cancel() */
    op_cancel(&session->op);
    session->running = false;
    session_settle(session);
}

/* ---- the beginning ---- */

/* Everything but what calls the host. */
static int
session_fill(struct kpop_session *session)
{
    struct kpop_facts *facts = session->facts;
    struct config *config = session->config;
    struct engine_settings *settings = &session->settings;
    bool secret = facts_are_secret(facts);

    if (session_begins_with_tls(session) && config->tls_world == NULL)
        return KPOP_INVALID;

    session->op.plugin = session->plugin;
    session->op.conn = session->conn;
    session->op.facts = facts;
    settings->kpop = facts_are_kpop(facts);
    settings->hostname = config->hostname;
    settings->implementation = "kpop-" KPOP_VERSION;
    settings->kpop_versions = config->kpop_versions;
    settings->plaintext_needs_tls =
        !secret && strcmp(config->plaintext, "tls") == 0;
    settings->tls_required = strcmp(config->tls, "required") == 0
                             && (config->kpop_stls || !settings->kpop);
    settings->language = config->language;
    if (strcmp(config->utf8, "off") != 0)
        settings->options |= OPTION_UTF8;
    if (strcmp(config->utf8, "downgrade") == 0)
        settings->options |= OPTION_DOWNGRADE;
    /* A host that knows no envelopes has no SDPS. */
    if (config->sdps && session->plugin->host.envelope != NULL)
        settings->options |= OPTION_SDPS;
    if (text_has_word(config->old_commands, "LAST"))
        settings->options |= OPTION_LAST;
    if (text_has_word(config->old_commands, "XDELE"))
        settings->options |= OPTION_XDELE;
    if (text_has_word(config->client_workarounds, "outlook-no-nuls"))
        settings->options |= OPTION_NO_NULS;
    if (text_has_word(config->client_workarounds, "oe-ns-eoh"))
        settings->options |= OPTION_HEADER_END;
    session->engine = engine_new(settings);
    if (session->engine == NULL)
        return STATUS_NO_MEMORY;
    engine_set_tls(session->engine, session_can_stls(session), secret);
    return STATUS_OK;
}

static void
log_begin(const struct kpop_session *session)
{
    struct log_line line;

    log_start(&line, session->facts);
    log_text(&line, "service", session->facts->service);
    log_text_if(&line, "local", session->facts->local_address);
    log_text_if(&line, "tls", session->facts->tls_version);
    log_write(session->plugin, session->conn, KPOP_LOG_DEBUG,
              "session.start", &line);
}

/* All but the greeting.  On error *session_out is to be freed, too. */
static int32_t
session_make(struct kpop_plugin *plugin, const struct kpop_facts *facts,
             void *conn, struct kpop_session **session_out)
{
    struct kpop_session *session = calloc(1, sizeof(*session));
    uint64_t number = atomic_fetch_add(&plugin->counters.made, 1);
    int32_t status;
    char id[32];

    *session_out = session;
    if (session == NULL)
        return KPOP_NO_MEMORY;
    session->plugin = plugin;
    session->conn = conn;
    buf_init_secret(&session->inbox, KPOP_READ_MAX);
    buf_init_secret(&session->credential, CREDENTIAL_MAX);
    session->config = plugin_config(plugin);
    if (session->config == NULL || !plugin_has_maildrops(plugin))
        return KPOP_INVALID;
    (void)snprintf(id, sizeof(id), "%08x-%llx", (unsigned)plugin->tag,
                   (unsigned long long)number);
    status = facts_copy(facts, id, &session->facts);
    if (status == KPOP_OK)
        status = session_fill(session);
    return status;
}

int32_t
kpop_session_new(struct kpop_plugin *plugin, const struct kpop_facts *facts,
                 void *conn, uint64_t now, struct kpop_session **session_out)
{
    struct kpop_session *session = NULL;
    int32_t status = session_make(plugin, facts, conn, &session);

    if (status == KPOP_OK) {
        session->began = session->active = session->now = now;
        session->fresh = true;
        session->running = true; /* the host can't know it yet */
        if (session_begins_with_tls(session))
            session_begin_tls(session, 0);
        else
            status = session_greet(session);
        session->running = false;
        if (session->gave_up)
            status = KPOP_NO_MEMORY;
    }
    if (status != KPOP_OK) {
        if (session != NULL)
            session_free(session);
        return status;
    }
    count(&plugin->counters.open, 1);
    count(&plugin->counters.sessions, 1);
    log_begin(session);
    session_run(session);
    *session_out = session;
    return KPOP_OK;
}
