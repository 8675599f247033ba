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

/* Opens one packet, or keeps a part of it. */
static bool
unwrap(struct kpop_session *session)
{
    const char *problem = "";
    int status;

    if (session->layer == NULL || buf_len(&session->inbox) == 0
        || buf_len(layer_input(session->layer)) > 0)
        return false;
    status = layer_take(session->layer, &session->inbox, &problem);
    if (status != STATUS_OK)
        layer_failed(session, status, problem);
    return true;
}

bool
session_feed(struct kpop_session *session)
{
    struct buf *input;
    size_t used;

    if (unwrap(session))
        return true;
    input = session->layer != NULL ? layer_input(session->layer)
                                   : &session->inbox;
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

bool
session_wrap(struct kpop_session *session)
{
    struct layer *layer = session->layer;
    const uint8_t *data;
    size_t len, used;
    int status;

    if (layer == NULL || session->gave_up || layer_plain(layer) > 0
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

size_t
session_output(const struct kpop_session *session, const uint8_t **data_out)
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

void
session_wrote(struct kpop_session *session, size_t len)
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
