/*
 * stage.c - what stands between the octets of the host and those of the
 * engine: nothing, or after login a SASL security layer.  TLS will stand here
 * as well.  A packet that doesn't fit ends the session without an answer,
 * because an attacker may have made it, and deletes nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "plugin/exchange.h"
#include "plugin/internal.h"
#include "plugin/layer.h"
#include "plugin/log.h"
#include "plugin/session.h"

/* ---- the beginning and the end of a layer ---- */

static void
drop_codec(struct kpop_session *session)
{
    if (session->codec.free != NULL)
        session->codec.free(session->codec.state);
    session->codec.free = NULL;
}

void
session_free_layer(struct kpop_session *session)
{
    drop_codec(session);
    layer_free(session->layer);
    session->layer = NULL;
}

void
session_keep_layer(struct kpop_session *session)
{
    drop_codec(session);
    if (!exchange_take_layer(session->exchange, &session->codec))
        session->codec.free = NULL;
}

static void
log_layer(const struct kpop_session *session, uint32_t level,
          const char *problem)
{
    struct log_line line;

    log_start(&line, session->facts);
    log_text_if(&line, "user", engine_user(session->engine));
    log_number(&line, "ssf", session->facts->ssf);
    log_text_if(&line, "problem", problem);
    log_write(session->plugin, session->conn, level, "sasl.layer", &line);
}

void
session_begin_layer(struct kpop_session *session, size_t before)
{
    const uint8_t *data;
    size_t len = engine_output(session->engine, &data);
    const uint8_t *end = len > before
                             ? memchr(data + before, '\n', len - before)
                             : NULL;
    size_t plain = end != NULL ? (size_t)(end - data) + 1 : len;

    if (session->codec.free == NULL)
        return;
    if (!engine_is_logged_in(session->engine)) {
        drop_codec(session);
        return;
    }
    /* Behind +OK there may be more already: that the server stops. */
    session->layer = layer_new(&session->codec, plain);
    session->facts->ssf = session->codec.ssf;
    session->codec.free = NULL;
    if (session->layer == NULL) {
        session_give_up(session, "no-memory");
        return;
    }
    log_layer(session, KPOP_LOG_INFO, "");
}

static void
layer_failed(struct kpop_session *session, int status, const char *problem)
{
    if (status == STATUS_NO_MEMORY) {
        session_give_up(session, "no-memory");
        return;
    }
    log_layer(session, KPOP_LOG_WARNING, problem);
    session_give_up(session, "layer");
}

/* ---- input ---- */

/* What came without TLS, or out of it. */
static struct buf *
clear_input(struct kpop_session *session)
{
    return session->tls != NULL ? tls_input(session->tls) : &session->inbox;
}

/* Opens records of TLS until there are octets for the next stage. */
static bool
decrypt(struct kpop_session *session)
{
    const char *problem = "";
    enum tls_news news;

    if (session->tls == NULL || buf_len(&session->inbox) == 0
        || buf_len(tls_input(session->tls)) > 0)
        return false;
    /* Nobody wants what comes behind the last answer. */
    if (engine_is_closing(session->engine)) {
        buf_reset(&session->inbox);
        return true;
    }
    news = tls_take(session->tls, &session->inbox, &problem);
    if (news == TLS_CLOSED) {
        buf_reset(&session->inbox);
        session->ended = true;
    } else if (news == TLS_FAILED || news == TLS_NO_MEMORY) {
        session_tls_failed(session, news, problem);
    }
    return true;
}

/* Opens one packet, or keeps a part of it. */
static bool
unwrap(struct kpop_session *session)
{
    const char *problem = "";
    struct buf *input = clear_input(session);
    int status;

    if (session->layer == NULL || buf_len(input) == 0
        || buf_len(layer_input(session->layer)) > 0)
        return false;
    status = layer_take(session->layer, input, &problem);
    if (status != STATUS_OK)
        layer_failed(session, status, problem);
    return true;
}

bool
session_feed(struct kpop_session *session)
{
    struct buf *input;
    size_t used;

    if (decrypt(session) || unwrap(session))
        return true;
    input = session->layer != NULL ? layer_input(session->layer)
                                   : clear_input(session);
    if (buf_len(input) > 0) {
        used = engine_input(session->engine, buf_data(input), buf_len(input));
        buf_consume(input, used);
        return used > 0;
    }
    if (session->ended && !session->end_is_told) {
        session->end_is_told = true;
        engine_input_end(session->engine);
        return true;
    }
    return false;
}

/* ---- output ---- */

/* What is to be said, before TLS. */
static size_t
clear_output(const struct kpop_session *session, const uint8_t **data_out)
{
    struct layer *layer = session->layer;
    size_t len = engine_output(session->engine, data_out);

    if (layer == NULL)
        return len;
    if (layer_plain(layer) > 0)
        return len < layer_plain(layer) ? len : layer_plain(layer);
    *data_out = buf_data(layer_output(layer));
    return buf_len(layer_output(layer));
}

static void
clear_wrote(struct kpop_session *session, size_t len)
{
    struct layer *layer = session->layer;

    if (layer != NULL && layer_plain(layer) == 0) {
        buf_consume(layer_output(layer), len);
        return;
    }
    if (layer != NULL)
        layer_plain_wrote(layer, len);
    engine_wrote(session->engine, len);
}

/* A packet of the layer. */
static bool
wrap(struct kpop_session *session)
{
    struct layer *layer = session->layer;
    const uint8_t *data;
    size_t len, used;
    int status;

    if (layer == NULL || layer_plain(layer) > 0
        || buf_len(layer_output(layer)) >= ENGINE_OUTPUT_HIGH)
        return false;
    len = engine_output(session->engine, &data);
    if (len == 0)
        return false;
    status = layer_wrap(layer, data, len, &used);
    if (status == STATUS_OK)
        engine_wrote(session->engine, used);
    else
        layer_failed(session, status, "cannot wrap output");
    return true;
}

/* A record of TLS; the last one says that there will be no more. */
static bool
encrypt(struct kpop_session *session)
{
    struct tls *tls = session->tls;
    const uint8_t *data;
    size_t len, used;

    if (tls == NULL || !tls_stands(tls) || tls_is_shut(tls)
        || buf_len(tls_output(tls)) >= ENGINE_OUTPUT_HIGH)
        return false;
    len = clear_output(session, &data);
    if (len > 0) {
        if (tls_wrap(tls, data, len, &used) == STATUS_OK)
            clear_wrote(session, used);
        else
            session_give_up(session, "no-memory");
        return true;
    }
    if (!engine_is_closing(session->engine) || session_is_busy(session))
        return false;
    tls_shut(tls);
    return true;
}

bool
session_wrap(struct kpop_session *session)
{
    return !session->gave_up && (wrap(session) || encrypt(session));
}

size_t
session_output(const struct kpop_session *session, const uint8_t **data_out)
{
    struct tls *tls = session->tls;
    size_t len;

    if (tls == NULL)
        return clear_output(session, data_out);
    if (tls_plain(tls) > 0) {
        len = engine_output(session->engine, data_out);
        return len < tls_plain(tls) ? len : tls_plain(tls);
    }
    *data_out = buf_data(tls_output(tls));
    return buf_len(tls_output(tls));
}

void
session_wrote(struct kpop_session *session, size_t len)
{
    struct tls *tls = session->tls;

    if (tls == NULL) {
        clear_wrote(session, len);
    } else if (tls_plain(tls) > 0) {
        tls_plain_wrote(tls, len);
        engine_wrote(session->engine, len);
    } else {
        buf_consume(tls_output(tls), len);
    }
}
