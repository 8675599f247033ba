/*
 * traffic.c - a connection as the host moves it: octets in, octets out, what
 * to wait for and until when.  Each function says what happened and then lets
 * session_run() do all that can be done.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "plugin/facts.h"
#include "plugin/internal.h"
#include "plugin/session.h"

enum {
    FIRST_MS = 10 * 1000, /* a Kerberos 4 client waits for us: kpop-wire N1 */
    LINGER_MS = 30 * 1000 /* for the last answer to be taken */
};

/* ---- octets ---- */

static void
session_enter(struct kpop_session *session, uint64_t now)
{
    if (now > session->now)
        session->now = now;
    session->fresh = true;
}

static void
session_abort(struct kpop_session *session)
{
    buf_reset(&session->inbox);
    if (session->reason == NULL)
        session->reason = "no-memory";
    engine_abort(session->engine);
}

static bool
session_wants_input(const struct kpop_session *session)
{
    const uint8_t *data;

    if (session->ended || session->closed || session->waits_for_tls
        || session_is_ending(session) || engine_is_taken(session->engine)
        || buf_len(&session->inbox) > 0)
        return false;
    if (session->tls != NULL
        && (tls_plain(session->tls) > 0
            || buf_len(tls_output(session->tls)) >= ENGINE_OUTPUT_HIGH))
        return false;
    if (session_is_shaking(session))
        return true;
    /* While the host thinks, one piece may wait here. */
    return (session_is_busy(session)
            || engine_wants_input(session->engine))
           && engine_output(session->engine, &data) < ENGINE_OUTPUT_HIGH;
}

size_t
kpop_input(struct kpop_session *session, const void *data, size_t size,
           uint64_t now)
{
    if (!session_wants_input(session))
        return 0;
    if (size > KPOP_READ_MAX)
        size = KPOP_READ_MAX;
    session_enter(session, now);
    session->octets_in += size;
    count(&session->plugin->counters.octets_in, size);
    buf_append(&session->inbox, data, size);
    if (buf_failed(&session->inbox))
        session_abort(session);
    session_run(session);
    session_settle(session);
    return size;
}

void
kpop_input_end(struct kpop_session *session, uint64_t now)
{
    session_enter(session, now);
    session->ended = true;
    session_run(session);
    session_settle(session);
}

size_t
kpop_output(struct kpop_session *session, const void **data_out)
{
    const uint8_t *data = NULL;
    size_t len = 0;

    if (!session->gave_up || session->alerts)
        len = session_output(session, &data);
    *data_out = data;
    return len;
}

void
kpop_wrote(struct kpop_session *session, size_t n)
{
    const void *data;
    size_t len = kpop_output(session, &data);

    if (n > len)
        n = len;
    if (n == 0)
        return;
    session->octets_out += n;
    count(&session->plugin->counters.octets_out, n);
    session->fresh = false;
    session->stale = true;
    session_wrote(session, n);
    session_run(session);
    session_settle(session);
}

/* TLS may have its own farewell on the way. */
static bool
session_is_parted(const struct kpop_session *session)
{
    return engine_is_logged_in(session->engine) && session->tls == NULL
           && strcmp(engine_end_reason(session->engine), "quit") == 0;
}

uint32_t
kpop_wants(struct kpop_session *session)
{
    const void *data;
    bool drained = kpop_output(session, &data) == 0;
    uint32_t wants = 0;

    if (session_wants_input(session))
        wants |= KPOP_WANT_READ;
    if (!drained)
        wants |= KPOP_WANT_WRITE;
    if (session->gave_up
        || (engine_is_closing(session->engine) && !session_is_busy(session)))
        wants |= KPOP_WANT_CLOSE;
    if (session->waits_for_tls && drained && !session->gave_up)
        wants |= KPOP_WANT_TLS;
    if (session_is_busy(session))
        wants |= KPOP_IS_BUSY;
    if (engine_is_taken(session->engine) && drained)
        wants |= KPOP_IS_TAKEN;
    if (engine_is_logged_in(session->engine))
        wants |= KPOP_IS_LOGGED_IN;
    if ((wants & KPOP_WANT_CLOSE) != 0 && session_is_parted(session))
        wants |= KPOP_IS_PARTED;
    return wants;
}

size_t
kpop_remainder(struct kpop_session *session, const void **data_out)
{
    *data_out = buf_data(&session->inbox);
    return buf_len(&session->inbox);
}

/* ---- the clock ---- */

static uint64_t
session_login_ms(const struct kpop_session *session)
{
    return session->config->login_timeout * 1000;
}

/* Without regard to stale. */
static uint64_t
session_due(const struct kpop_session *session)
{
    uint64_t login = session_login_ms(session);
    bool busy = session_is_busy(session) || session->waits_for_tls
                || session_is_shaking(session);
    const uint8_t *data;

    if (session->gave_up && session->alerts)
        return session->active + LINGER_MS;
    if (session->gave_up || engine_is_taken(session->engine))
        return UINT64_MAX;
    if (engine_is_closing(session->engine) && !busy)
        return session_output(session, &data) == 0
                   ? UINT64_MAX
                   : session->active + LINGER_MS;
    switch (engine_timer(session->engine)) {
    case ENGINE_TIMER_FIRST:
        return session->began
               + (login < FIRST_MS ? login : (uint64_t)FIRST_MS);
    case ENGINE_TIMER_LOGIN:
        return session->began + login;
    case ENGINE_TIMER_IDLE:
        return busy ? UINT64_MAX
                    : session->active + session->config->idle_timeout * 1000;
    case ENGINE_TIMER_NONE:
        break;
    }
    return UINT64_MAX;
}

uint64_t
kpop_deadline(struct kpop_session *session)
{
    return session->stale ? 0 : session_due(session);
}

/* The host takes too long: the client has waited enough. */
static void
session_overdue(struct kpop_session *session)
{
    bool was_running = session->running; /* the host ticks in a callback */

    session_give_up(session, "timeout");
    session->alerts = false;
    session->running = true;
    op_cancel(&session->op);
    session->running = was_running;
}

void
kpop_tick(struct kpop_session *session, uint64_t now)
{
    const uint8_t *data;

    session_enter(session, now);
    if (session->stale) {
        session->stale = false;
        session->active = session->now;
    }
    if (session->now < session_due(session))
        return;
    if (session_is_busy(session) || session->waits_for_tls
        || session_is_shaking(session) || session->alerts) {
        session_overdue(session);
    } else if (engine_is_closing(session->engine)) {
        session_give_up(session, NULL);
    } else {
        /* Who does not take what is there won't read a farewell either. */
        if (session_output(session, &data) > 0)
            session_give_up(session, "timeout");
        engine_timeout(session->engine);
    }
    session_run(session);
    session_settle(session);
}

/* ---- TLS by the host, and the rest ---- */

int32_t
kpop_tls_started(struct kpop_session *session,
                 const struct kpop_facts *facts, uint64_t now)
{
    bool was_running = session->running;
    struct kpop_facts *copy = NULL;
    int32_t status;

    if (!session->waits_for_tls || session->closed)
        return KPOP_INVALID;
    session_enter(session, now);
    status = facts_copy(facts, session->facts->session_id, &copy);
    if (status == KPOP_OK
        && (!facts_are_secret(copy)
            || strcmp(copy->service, session->facts->service) != 0)) {
        free(copy);
        status = KPOP_INVALID;
    }
    if (status != KPOP_OK)
        return status;
    session_take_facts(session, copy);
    session->waits_for_tls = false;
    session->running = true;
    status = session_set_mechanisms(session);
    session->running = was_running;
    if (status != STATUS_OK)
        session_abort(session);
    engine_answer(session->engine, status);
    session_run(session);
    session_settle(session);
    return KPOP_OK;
}

void
kpop_session_stop(struct kpop_session *session, uint64_t now)
{
    session_enter(session, now);
    if (session_is_shaking(session))
        session_give_up(session, "stop");
    engine_stop(session->engine);
    session_run(session);
    session_settle(session);
}
