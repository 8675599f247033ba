/*
 * engine.c - the state of a connection, what comes in, what goes out, and the
 * one request that may be open between them.  The only file where the state
 * changes.  It must call nobody outside kpop/ and open nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "kpop/internal.h"

/* Above ENGINE_OUTPUT_HIGH one more piece may come: two fetched windows, or a
 * challenge of a mechanism in its longest form. */
#define OUTPUT_MAX                                                          \
    ((size_t)ENGINE_OUTPUT_HIGH + 2 * ENGINE_CHALLENGE_MAX + 1024)

struct engine *
engine_new(const struct engine_settings *settings)
{
    struct engine *engine = calloc(1, sizeof(*engine));

    if (engine == NULL)
        return NULL;
    engine->settings = *settings;
    engine->state = IN_NOTHING;
    engine->reason = "";
    engine_set_policy(engine, UINT32_MAX, 0);
    buf_init(&engine->out, OUTPUT_MAX);
    buf_init_secret(&engine->data, ENGINE_AP_REQ_MAX);
    buf_init_secret(&engine->response, ENGINE_RESPONSE_MAX + 2);
    buf_init_secret(&engine->challenge, ENGINE_CHALLENGE_MAX);
    buf_init(&engine->answer.listing, (size_t)ENGINE_LIST_RANGE * 128);
    buf_init(&engine->answer.header, HEADER_GROWTH * ENGINE_HEADER_MAX);
    line_init(&engine->line);
    return engine;
}

/* What only requests and answers need. */
static void
release(struct engine *engine)
{
    buf_reset(&engine->data);
    buf_reset(&engine->response);
    buf_reset(&engine->challenge);
    buf_reset(&engine->answer.listing);
    buf_reset(&engine->answer.header);
    free(engine->answer.window);
    engine->answer.window = NULL;
}

void
engine_free(struct engine *engine)
{
    if (engine == NULL)
        return;
    release(engine);
    buf_reset(&engine->out);
    drop_close(&engine->drop);
    free(engine->mechanisms);
    free(engine->banner);
    wipe(engine, sizeof(*engine));
    free(engine);
}

void
engine_set_tls(struct engine *engine, bool possible, bool active)
{
    engine->tls_possible = possible;
    engine->tls_active = active;
}

void
engine_set_policy(struct engine *engine, uint32_t expire,
                  uint32_t login_delay)
{
    engine->anybody = (struct policy){ expire, login_delay };
    engine->policy = engine->anybody;
}

/* ---- output ---- */

size_t
engine_output(const struct engine *engine, const uint8_t **data_out)
{
    *data_out = buf_data(&engine->out);
    return buf_len(&engine->out);
}

/* ---- state ---- */

void
engine_close(struct engine *engine, const char *reason)
{
    if ((engine->state & (IN_CLOSING | IN_TAKEN)) != 0)
        return;
    engine->state = IN_CLOSING;
    engine->reason = reason;
    engine->produce = NULL;
    line_clear(&engine->line);
    if (engine->answered == NULL)
        release(engine); /* else it is lent to the open request */
}

void
engine_greet(struct engine *engine)
{
    const char *banner = engine->banner != NULL ? engine->banner : "";

    engine_reply(engine, "+OK %.255s kpop ready%s%.128s",
                 engine->settings.hostname, *banner != '\0' ? " " : "",
                 banner);
    engine->state = IN_AUTH;
}

void
engine_await_response(struct engine *engine)
{
    engine->state = IN_RESPONSE;
}

void
engine_await_command(struct engine *engine)
{
    engine->state = IN_AUTH;
}

void
engine_log_in(struct engine *engine)
{
    engine->state = IN_TRANS;
    engine->logged_in = true;
}

void
engine_update(struct engine *engine)
{
    engine->state = IN_UPDATE;
}

void
engine_be_taken(struct engine *engine)
{
    engine->state = IN_TAKEN;
    engine->reason = "taken";
}

void
engine_answer_done(struct engine *engine)
{
    engine->produce = NULL;
    engine->midway = false;
    release(engine);
}

/* ---- requests ---- */

struct engine_request *
engine_ask(struct engine *engine, enum engine_need need, answer_fn *answered)
{
    assert(engine->answered == NULL);
    memset(&engine->request, 0, sizeof(engine->request));
    engine->request.need = need;
    engine->answered = answered;
    engine->put_error = 0;
    engine->has_user = false;
    engine->msgs_given = 0;
    buf_reset(&engine->challenge);
    return &engine->request;
}

const struct engine_request *
engine_request(struct engine *engine)
{
    return engine->answered != NULL ? &engine->request : NULL;
}

static void
exchange_ended(struct engine *engine, int64_t result)
{
    (void)engine;
    (void)result;
}

/* From CONTINUE until its result the exchange is to be ended. */
static void
follow_exchange(struct engine *engine, int64_t result)
{
    enum engine_need need = engine->request.need;

    if (need == ENGINE_START || need == ENGINE_STEP)
        engine->exchange_open =
            result == STATUS_CONTINUE
            || (need == ENGINE_STEP && engine->settings.kpop
                && (result == STATUS_TEMP || result == STATUS_NO_MEMORY));
}

static void
say_stop(struct engine *engine)
{
    if ((engine->state & (IN_AUTH | IN_RESPONSE)) != 0)
        engine_reply(engine, "-ERR [SYS/TEMP] the server ends this session, "
                             "try again later");
    else if (engine->state == IN_TRANS)
        engine_reply(engine, "-ERR [SYS/TEMP] the server ends this session, "
                             "nothing was deleted");
    engine_close(engine, "stop");
}

static bool
is_busy(const struct engine *engine)
{
    return engine->answered != NULL || engine->produce != NULL;
}

/* Goes on as far as possible after anything that happened. */
static void
settle(struct engine *engine)
{
    while (engine->answered == NULL && engine->produce != NULL
           && buf_len(&engine->out) < ENGINE_OUTPUT_HIGH
           && !buf_failed(&engine->out))
        engine->produce(engine);
    if (buf_failed(&engine->out))
        engine_close(engine, "no-memory");
    if (!is_busy(engine) && engine->stopping && engine->state != IN_NOTHING)
        say_stop(engine);
    if (!is_busy(engine) && engine->input_ended)
        engine_close(engine, "eof");
    if (engine->answered == NULL && engine->exchange_open
        && engine->state == IN_CLOSING) {
        engine->exchange_open = false;
        (void)engine_ask(engine, ENGINE_END, exchange_ended);
    }
}

void
engine_answer(struct engine *engine, int64_t result)
{
    answer_fn *answered = engine->answered;

    if (answered == NULL)
        return;
    engine->answered = NULL;
    follow_exchange(engine, result);
    if (engine->put_error != 0 && result >= 0)
        result = engine->put_error;
    if (engine->state == IN_CLOSING)
        release(engine);
    else
        answered(engine, result);
    settle(engine);
}

/* ---- input ---- */

bool
engine_wants_input(const struct engine *engine)
{
    return (engine->state & (IN_HELLO | IN_AUTH | IN_RESPONSE | IN_TRANS)) != 0
           && !is_busy(engine) && !engine->input_ended
           && buf_len(&engine->out) <= ENGINE_OUTPUT_HIGH;
}

static size_t
feed_line(struct engine *engine, const uint8_t *data, size_t len)
{
    struct line *line = &engine->line;
    size_t used;

    switch (line_feed(line, data, len, &used)) {
    case LINE_MORE:
        return used;
    case LINE_READY:
        engine->counts.commands++;
        cmd_run(engine, line->data, line->len);
        break;
    case LINE_TOO_LONG:
        engine->counts.commands++;
        engine_reply(engine, "-ERR line too long, 255 octets are the limit");
        break;
    case LINE_ENDLESS:
        engine_reply(engine, "-ERR line too long, closing");
        engine_close(engine, "line-too-long");
        break;
    }
    line_clear(line);
    return used;
}

/* The first octet of all is that of a TLS handshake record. */
static bool
is_client_hello(const struct engine *engine, uint8_t octet)
{
    return octet == 0x16 && engine->state == IN_AUTH
           && engine->counts.commands == 0 && engine->line.len == 0
           && !engine->settings.kpop;
}

static void
refuse_client_hello(struct engine *engine)
{
    engine_reply(engine, "-ERR this port speaks POP3 in the clear; use STLS, "
                         "or a port for TLS");
    engine_close(engine, "tls-on-clear-port");
}

size_t
engine_input(struct engine *engine, const uint8_t *data, size_t len)
{
    size_t used = 0;

    while (used < len && engine_wants_input(engine)) {
        engine->heard = true;
        if (engine->state == IN_HELLO)
            used += hello_feed(engine, data + used, len - used);
        else if (is_client_hello(engine, data[used]))
            refuse_client_hello(engine);
        else if (engine->state == IN_RESPONSE)
            used += auth_feed(engine, data + used, len - used);
        else
            used += feed_line(engine, data + used, len - used);
        settle(engine);
    }
    return engine->state == IN_CLOSING ? len : used;
}

void
engine_input_end(struct engine *engine)
{
    engine->input_ended = true;
    settle(engine);
}

void
engine_wrote(struct engine *engine, size_t len)
{
    buf_consume(&engine->out, len);
    settle(engine);
}

/* ---- what the driver knows and the client doesn't ---- */

void
engine_begin(struct engine *engine)
{
    if (engine->state != IN_NOTHING)
        return;
    if (engine->settings.kpop) {
        hello_init(engine);
        engine->state = IN_HELLO;
    } else {
        engine_greet(engine);
    }
    settle(engine);
}

/* Behind the greeting nothing is said: a client would take it for the answer
 * to its next command (RFC 1939 section 3). */
void
engine_timeout(struct engine *engine)
{
    if (engine->state == IN_HELLO)
        hello_timeout(engine);
    if (engine->state != IN_UPDATE && engine->state != IN_TAKEN)
        engine_close(engine, "timeout");
    settle(engine);
}

void
engine_stop(struct engine *engine)
{
    engine->stopping = true;
    if (engine->state == IN_HELLO)
        engine_close(engine, "stop");
    settle(engine);
}

void
engine_abort(struct engine *engine)
{
    if ((engine->state & (IN_AUTH | IN_RESPONSE | IN_TRANS | IN_UPDATE)) != 0
        && !engine->midway)
        engine_reply(engine, "-ERR [SYS/TEMP] the server cannot go on, "
                             "try again later");
    engine_close(engine, "abort");
    settle(engine);
}

enum engine_timer
engine_timer(const struct engine *engine)
{
    switch (engine->state) {
    case IN_NOTHING:
    case IN_AUTH:
    case IN_RESPONSE:
        return ENGINE_TIMER_LOGIN;
    case IN_HELLO:
        return engine->heard ? ENGINE_TIMER_LOGIN : ENGINE_TIMER_FIRST;
    case IN_TRANS:
    case IN_UPDATE:
        return ENGINE_TIMER_IDLE;
    case IN_TAKEN:
    case IN_CLOSING:
        break;
    }
    return ENGINE_TIMER_NONE;
}

bool
engine_is_closing(const struct engine *engine)
{
    return engine->state == IN_CLOSING;
}

bool
engine_is_taken(const struct engine *engine)
{
    return engine->state == IN_TAKEN;
}

bool
engine_is_logged_in(const struct engine *engine)
{
    return engine->logged_in;
}

const char *
engine_user(const struct engine *engine)
{
    return engine_is_logged_in(engine) ? engine->login.user : "";
}

const char *
engine_end_reason(const struct engine *engine)
{
    return engine->reason;
}

void
engine_get_counts(const struct engine *engine,
                  struct engine_counts *counts_out)
{
    *counts_out = engine->counts;
}
