/*
 * authclient_host.c - the exchange_* callbacks of a worker: what its sessions
 * ask the auth processes, and how long the request of who guesses passwords
 * waits before it is asked.  Waiting costs a timer and nothing else.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "plugin/host/kpopd/authclient_internal.h"
#include "plugin/host/kpopd/claim.h"
#include "plugin/host/kpopd/conn.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/permit.h"
#include "plugin/host/kpopd/process.h"
#include "plugin/host/kpopd/worker.h"

int32_t
authclient_mechanisms(void *arg, struct kpop_op *op,
                      const struct kpop_facts *facts)
{
    struct conn *conn = arg;
    const struct worker *worker = conn->worker;
    const struct settings *s = &worker->setup->settings;
    char names[256] = "KPOP";

    conn_note_tls(conn, facts); /* asked anew when TLS has begun */
    /* The module drops what the configuration doesn't list or allow now. */
    if (strcmp(facts->service, "kpop") != 0)
        snprintf(names, sizeof(names), "%s%s%s%s",
                 worker->setup->gssapi_works ? "GSSAPI " : "",
                 s->password_source != PASSWORDS_NONE ? "PLAIN USER " : "",
                 s->secret_source != SECRETS_NONE
                     ? "CRAM-MD5 APOP SCRAM-SHA-256-PLUS SCRAM-SHA-256 "
                       "SCRAM-SHA-1 SCRAM-SHA-512 "
                     : "",
                 s->external ? "EXTERNAL" : "");
    return worker->api->put_mechanisms(op, names);
}

/* The module has verified a ticket in this process, which alone can speak the
 * security layer; who that is here is still decided over there. */
int32_t
authclient_authorize(void *arg, struct kpop_op *op,
                     const struct kpop_identity *identity)
{
    struct conn *conn = arg;
    struct authclient_ask ask;

    snprintf(conn->mechanism, sizeof(conn->mechanism), "%s",
             identity->mechanism);
    memset(&ask, 0, sizeof(ask));
    ask.pool = POOL_KRB;
    ask.request.type = AUTH_DECIDE;
    ask.request.exchange = ++conn->worker->last_exchange;
    ask.request.mechanism = identity->mechanism;
    ask.request.facts = *identity->facts;
    ask.request.claim.authcid = identity->authcid;
    ask.request.claim.requested = identity->requested;
    ask.request.claim.local = identity->local;
    conn->login.is_named = false;
    return authclient_submit(conn, op, &ask);
}

/* ---- who guesses ---- */

/* Tickets can't be guessed; nobody is slowed down for them. */
static void
begin_guess(struct conn *conn, const char *mechanism,
            const struct kpop_facts *facts)
{
    const struct settings *s = &conn->worker->setup->settings;
    struct authclient_login *login = &conn->login;

    login->form = CLAIM_NONE;
    login->is_named = false;
    if (s->failure_delay > 0
        && address_parse(facts->peer_address, &login->peer)
        && !networks_hold(s->trusted, s->trusted_count, &login->peer))
        login->form = claim_form(mechanism);
}

/* How long a message must wait, once it is known who it is for. */
static uint64_t
wait_for(struct conn *conn, const struct kpop_facts *facts, const void *data,
         size_t size)
{
    const struct worker *worker = conn->worker;
    struct authclient_login *login = &conn->login;
    struct throttle *throttle = worker->shared->throttle;
    struct claim claim;
    uint64_t wait;

    if (login->is_named || data == NULL
        || !claim_find(login->form, data, size, &claim))
        return 0;
    login->is_named = true;
    throttle_guess(throttle, &login->peer, &claim, &login->guess);
    wait = throttle_wait(throttle, &login->guess,
                         worker->setup->settings.failure_delay,
                         process_now());
    if (wait > 0)
        log_event(KPOP_LOG_INFO, "auth.slowed",
                  "session=%llx peer=%s milliseconds=%llu text=\"logins "
                  "from there, or for this user, have failed before\"",
                  (unsigned long long)conn->id, facts->peer_address,
                  (unsigned long long)wait);
    return wait;
}

uint64_t
authclient_charge(struct conn *conn, uint64_t now)
{
    const struct worker *worker = conn->worker;
    struct throttle *throttle = worker->shared->throttle;
    struct authclient_login *login = &conn->login;

    if (!login->is_named || login->guess.charged != 0)
        return 0;
    return throttle_charge(throttle, &login->guess,
                           worker->setup->settings.failure_delay, now);
}

void
authclient_judged(struct conn *conn, int32_t result)
{
    struct throttle *throttle = conn->worker->shared->throttle;
    struct authclient_login *login = &conn->login;

    if (!login->is_named || result == KPOP_CONTINUE)
        return;
    if (result == KPOP_OK)
        throttle_succeeded(throttle, &login->guess, process_now());
    else if (result == KPOP_AUTH || result == KPOP_DENIED)
        throttle_failed(throttle, &login->guess, process_now());
    else
        throttle_refund(throttle, &login->guess, process_now());
}

/* ---- the callbacks ---- */

/* The exchange begins over there, with the client's first message. */
static int32_t
submit_start(struct conn *conn, struct kpop_op *op,
             const struct kpop_facts *facts, const void *data, size_t size)
{
    struct authclient_ask ask;

    memset(&ask, 0, sizeof(ask));
    ask.pool = permit_pool(conn->mechanism, &conn->worker->setup->settings);
    ask.wait = wait_for(conn, facts, data, size);
    ask.request.type = AUTH_START;
    ask.request.exchange = ++conn->worker->last_exchange;
    ask.request.mechanism = conn->mechanism;
    ask.request.facts = *facts;
    ask.request.data = data;
    ask.request.size = size;
    return authclient_submit(conn, op, &ask);
}

int32_t
authclient_start(void *arg, struct kpop_op *op,
                 const struct kpop_facts *facts, const char *mechanism,
                 const void *data, size_t size)
{
    struct conn *conn = arg;
    const struct worker *worker = conn->worker;

    if (permit_pool(mechanism, &worker->setup->settings) == POOL_COUNT)
        return KPOP_DENIED;
    snprintf(conn->mechanism, sizeof(conn->mechanism), "%s", mechanism);
    begin_guess(conn, mechanism, facts);
    conn->login.is_ahead = data == NULL && permit_client_first(mechanism);
    if (!conn->login.is_ahead)
        return submit_start(conn, op, facts, data, size);
    /* What the process over there would say is known here. */
    return worker->api->put_challenge(op, "", 0) == KPOP_OK ? KPOP_CONTINUE
                                                            : KPOP_TEMP;
}

int32_t
authclient_step(void *arg, struct kpop_op *op,
                const struct kpop_facts *facts, const void *data, size_t size)
{
    struct conn *conn = arg;
    struct channel *channel =
        authclient_find(conn->worker->auth, conn->login.channel);
    struct authclient_ask ask;

    if (conn->login.is_ahead) {
        conn->login.is_ahead = false;
        return submit_start(conn, op, facts, data, size);
    }
    if (channel == NULL || conn->login.exchange == 0)
        return KPOP_TEMP; /* lost with its process */
    memset(&ask, 0, sizeof(ask));
    ask.pool = channel->pool;
    ask.channel = channel;
    ask.wait = wait_for(conn, facts, data, size);
    ask.request.type = AUTH_STEP;
    ask.request.exchange = conn->login.exchange;
    ask.request.data = data;
    ask.request.size = size;
    return authclient_submit(conn, op, &ask);
}

void
authclient_end(void *arg)
{
    struct conn *conn = arg;
    struct authclient *client = conn->worker->auth;
    const struct channel *channel =
        authclient_find(client, conn->login.channel);

    if (channel != NULL && conn->login.exchange != 0)
        authclient_end_exchange(client, channel, conn->login.exchange);
    conn->login.exchange = 0;
    conn->login.channel = 0;
    conn->login.is_ahead = false;
}
