/*
 * retr.c - RETR and TOP: a message read window by window and made into its
 * wire form as the client takes it.  For a client without UTF-8 the header is
 * looked at first, and refused or converted if it needs that.  When reading
 * fails in the middle the connection ends without the final dot, so that
 * nobody takes half a message for a whole one and deletes it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "kpop/internal.h"

/* A header beyond this is not looked at any further. */
enum { LOOK_MAX = 1024 * 1024 };

static void fetch_answered(struct engine *engine, int64_t result);

static void
produce_fetch(struct engine *engine)
{
    const struct answer *answer = &engine->answer;
    struct engine_request *request;

    request = engine_ask(engine, ENGINE_FETCH, fetch_answered);
    request->msg = answer->msg;
    request->offset = answer->offset;
    request->buffer = answer->window;
    request->size = ENGINE_FETCH_SIZE;
    request->peek = answer->peek;
}

static void
begin(struct engine *engine, uint32_t msg, uint64_t body_lines, bool peek)
{
    struct answer *answer = &engine->answer;

    answer->window = malloc(ENGINE_FETCH_SIZE);
    if (answer->window == NULL) {
        engine_reply(engine, "-ERR [SYS/TEMP] out of memory, "
                             "try again later");
        return;
    }
    answer->msg = msg;
    answer->offset = 0;
    answer->peek = peek;
    answer->looks = !engine->utf8
                    && (engine->settings.options & OPTION_UTF8) != 0;
    memset(&answer->look, 0, sizeof(answer->look));
    stuff_init(&answer->stuff, body_lines);
    answer->stuff.no_nuls = (engine->settings.options & OPTION_NO_NULS) != 0;
    answer->stuff.header_ends =
        (engine->settings.options & OPTION_HEADER_END) != 0;
    engine->produce = produce_fetch;
}

static void
fail(struct engine *engine, int64_t result)
{
    if (engine->midway)
        engine_close(engine, "store-error");
    else if (result == STATUS_GONE)
        engine_reply(engine, "-ERR message is gone");
    else
        engine_reply_store_error(engine, result,
                                 TEXT("the message cannot be read"));
    engine_answer_done(engine);
}

static void
finish(struct engine *engine, bool whole)
{
    struct answer *answer = &engine->answer;

    stuff_end(&answer->stuff, &engine->out);
    buf_append_str(&engine->out, ".\r\n");
    if (whole && !answer->peek && !buf_failed(&engine->out)) {
        drop_set_retrieved(&engine->drop, answer->msg);
        engine->counts.retrieved++;
    }
    engine_answer_done(engine);
}

static void
begin_message(struct engine *engine)
{
    if (!engine->midway)
        engine_reply(engine, "+OK message follows");
    engine->midway = true;
}

/* ---- clients without UTF-8 ---- */

/* The new header as the client takes it; then the rest of the message. */
static void
produce_header(struct engine *engine)
{
    struct answer *answer = &engine->answer;
    struct buf *header = &answer->header;
    size_t len = buf_len(header);
    bool done;

    if (len > ENGINE_FETCH_SIZE)
        len = ENGINE_FETCH_SIZE;
    begin_message(engine);
    done = stuff_piece(&answer->stuff, buf_data(header), len, &engine->out);
    buf_consume(header, len);
    if (done)
        finish(engine, false);
    else if (buf_len(header) == 0)
        engine->produce = produce_fetch;
}

static void
convert(struct engine *engine)
{
    struct answer *answer = &engine->answer;
    struct buf new;

    answer->offset = buf_len(&answer->header);
    buf_init(&new, HEADER_GROWTH * ENGINE_HEADER_MAX);
    header_downgrade(buf_data(&answer->header), buf_len(&answer->header),
                     &new);
    buf_reset(&answer->header);
    if (buf_failed(&new)) {
        buf_reset(&new);
        fail(engine, STATUS_NO_MEMORY);
        return;
    }
    answer->header = new;
    engine->produce = produce_header;
}

static void
need_utf8(struct engine *engine)
{
    struct buf *header = &engine->answer.header;

    if (buf_failed(header)) {
        fail(engine, STATUS_NO_MEMORY);
        return;
    }
    if ((engine->settings.options & OPTION_DOWNGRADE) != 0
        && buf_len(header) <= ENGINE_HEADER_MAX) {
        convert(engine);
        return;
    }
    engine_reply(engine, "-ERR [UTF8] the header of this message is in "
                         "UTF-8, use UTF8 before you log in");
    engine_answer_done(engine);
}

/* One more window of a header; true when this one can be sent now. */
static bool
look_at(struct engine *engine, size_t len)
{
    struct answer *answer = &engine->answer;
    bool first = answer->offset == 0;
    size_t used = header_look(&answer->look, answer->window, len);

    if ((engine->settings.options & OPTION_DOWNGRADE) != 0
        && buf_len(&answer->header) <= ENGINE_HEADER_MAX)
        buf_append(&answer->header, answer->window, used);
    answer->offset += len;
    if (len > 0 && !answer->look.ended && answer->offset < LOOK_MAX)
        return false; /* go on looking */
    answer->looks = false;
    answer->offset = 0;
    if (header_needs_utf8(&answer->look)) {
        need_utf8(engine);
        return false;
    }
    buf_reset(&answer->header);
    return first; /* else from the start, without looking */
}

/* ---- windows ---- */

static void
fetch_answered(struct engine *engine, int64_t result)
{
    struct answer *answer = &engine->answer;

    if (result > ENGINE_FETCH_SIZE)
        result = STATUS_INVALID;
    if (result < 0) {
        fail(engine, result);
        return;
    }
    if (answer->looks && !look_at(engine, (size_t)result))
        return;
    begin_message(engine);
    answer->offset += (uint64_t)result;
    if (result == 0
        || stuff_piece(&answer->stuff, answer->window, (size_t)result,
                       &engine->out))
        finish(engine, result == 0);
}

void
retr_retr(struct engine *engine, const struct cmd_args *args)
{
    begin(engine, args->msg, UINT64_MAX, false);
}

void
retr_top(struct engine *engine, const struct cmd_args *args)
{
    begin(engine, args->msg, args->lines, true);
}
