/*
 * retr.c - RETR and TOP: a message read window by window and made into its
 * wire form as the client takes it.  When reading fails in the middle the
 * connection ends without the final dot, so that nobody takes half a message
 * for a whole one and deletes it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "kpop/internal.h"

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
    stuff_init(&answer->stuff, body_lines);
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
                                 "the message cannot be read");
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
fetch_answered(struct engine *engine, int64_t result)
{
    struct answer *answer = &engine->answer;

    if (result > ENGINE_FETCH_SIZE)
        result = STATUS_INVALID;
    if (result < 0) {
        fail(engine, result);
        return;
    }
    if (!engine->midway)
        engine_reply(engine, "+OK message follows");
    engine->midway = true;
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
