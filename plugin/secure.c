/*
 * secure.c - TLS in the life of a session: when it begins, what is said of it
 * to the engine, to the host and in the log, and how it fails.  The octets are
 * stage.c's, the handshake is tls.c's or the host's.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "plugin/facts.h"
#include "plugin/internal.h"
#include "plugin/log.h"
#include "plugin/session.h"
#include "plugin/tls.h"
#include "sasl/digest.h"

bool
session_begins_with_tls(const struct kpop_session *session)
{
    return strcmp(session->facts->service, "pop3s") == 0
           && !facts_are_secret(session->facts);
}

/* The one place that says whether STLS works here. */
bool
session_can_stls(const struct kpop_session *session)
{
    const struct kpop_facts *facts = session->facts;
    const struct config *config = session->config;

    return !facts_are_secret(facts) && strcmp(facts->service, "pop3s") != 0
           && (config->kpop_stls || !facts_are_kpop(facts))
           && (config->tls_world != NULL
               || (facts->flags & KPOP_FACT_HOST_TLS) != 0);
}

bool
session_is_shaking(const struct kpop_session *session)
{
    return session->tls != NULL && !tls_stands(session->tls);
}

void
session_begin_tls(struct kpop_session *session, size_t plain)
{
    session->tls = tls_new(session->config->tls_world, plain);
    if (session->tls == NULL)
        session_give_up(session, "no-memory");
}

void
session_ask_tls(struct kpop_session *session)
{
    const uint8_t *data;
    size_t plain = engine_output(session->engine, &data);

    if ((session->facts->flags & KPOP_FACT_HOST_TLS) != 0)
        session->waits_for_tls = true;
    else if (buf_len(&session->inbox) > 0)
        /* Octets in the clear behind STLS may be an attacker's. */
        session_give_up(session, "input-before-tls");
    else
        session_begin_tls(session, plain);
}

/* ---- the log ---- */

static void
log_tls(const struct kpop_session *session, const struct tls_facts *tls)
{
    struct log_line line;

    log_start(&line, session->facts);
    log_text(&line, "service", session->facts->service);
    log_text(&line, "version", tls->version);
    log_text(&line, "cipher", tls->cipher);
    log_text_if(&line, "server_name", tls->server_name);
    log_text(&line, "resumed", tls->resumed ? "yes" : "no");
    log_text_if(&line, "client", tls->subject);
    log_text_if(&line, "client_problem", tls->client_problem);
    log_write(session->plugin, session->conn, KPOP_LOG_INFO, "tls.start",
              &line);
}

void
session_tls_failed(struct kpop_session *session, enum tls_news news,
                   const char *problem)
{
    struct log_line line;

    if (news == TLS_NO_MEMORY) {
        session_give_up(session, "no-memory");
        return;
    }
    log_start(&line, session->facts);
    log_text(&line, "service", session->facts->service);
    log_text(&line, "during", tls_stands(session->tls) ? "session"
                                                       : "handshake");
    log_text(&line, "problem", problem);
    log_write(session->plugin, session->conn, KPOP_LOG_INFO, "tls.fail",
              &line);
    /* The alert is all that may still go out. */
    session->alerts = true;
    session_give_up(session, "tls");
}

/* ---- TLS stands ---- */

/* Clients that see a time-stamp try APOP and nothing else, so there is one
 * only where APOP works. */
static int
set_banner(struct kpop_session *session)
{
    char stamp[DIGEST_STAMP_MAX];
    int status;

    if (!engine_has_mechanism(session->engine, "APOP"))
        return STATUS_OK;
    status = digest_stamp(session->config->hostname, stamp);
    if (status == STATUS_OK)
        status = engine_set_banner(session->engine, stamp);
    return status;
}

int
session_greet(struct kpop_session *session)
{
    int status = session_set_mechanisms(session);

    if (status == STATUS_OK)
        status = set_banner(session);
    if (status == STATUS_OK)
        status = session_set_policy(session);
    if (status == STATUS_OK)
        engine_begin(session->engine);
    return status;
}

void
session_take_facts(struct kpop_session *session, struct kpop_facts *copy)
{
    free(session->facts);
    session->facts = copy;
    session->op.facts = copy;
    engine_set_tls(session->engine, false, true);
}

/* What the handshake gave, to our copy of the facts. */
static int
learn(struct kpop_session *session)
{
    struct kpop_facts full = *session->facts;
    struct kpop_facts *copy = NULL;
    struct tls_facts tls;
    int32_t status = tls_get_facts(session->tls, &tls);

    if (status != STATUS_OK)
        return status;
    full.tls_version = tls.version;
    full.tls_cipher = tls.cipher;
    full.tls_server_name = tls.server_name;
    full.ssf = tls.bits;
    full.client_certificate = tls.certificate;
    full.client_certificate_size = tls.certificate_size;
    full.binding_type = tls.binding_type;
    full.binding = tls.binding;
    full.binding_size = tls.binding_size;
    full.end_point = tls.end_point;
    full.end_point_size = tls.end_point_size;
    full.finished = tls.finished;
    full.finished_size = tls.finished_size;
    status = facts_copy(&full, full.session_id, &copy);
    if (status != KPOP_OK)
        return status;
    session_take_facts(session, copy);
    log_tls(session, &tls);
    return STATUS_OK;
}

/* The greeting comes now, or the answer to STLS was before. */
static void
session_is_secure(struct kpop_session *session)
{
    bool begins = engine_request(session->engine) == NULL;
    int status = learn(session);

    if (status == STATUS_OK)
        status = begins ? session_greet(session)
                        : session_set_mechanisms(session);
    if (status != STATUS_OK)
        session_give_up(session, "no-memory");
    if (!begins)
        engine_answer(session->engine, status);
}

bool
session_shake(struct kpop_session *session)
{
    const char *problem = "";
    enum tls_news news;

    /* What was said in the clear goes first. */
    if (tls_plain(session->tls) > 0)
        return false;
    if (buf_len(&session->inbox) == 0) {
        if (session->ended)
            session_give_up(session, "eof");
        return session->ended;
    }
    news = tls_take(session->tls, &session->inbox, &problem);
    if (news == TLS_STANDS)
        session_is_secure(session);
    else if (news != TLS_MORE)
        session_tls_failed(session, news, news == TLS_CLOSED
                                              ? "closed by the client"
                                              : problem);
    return true;
}
