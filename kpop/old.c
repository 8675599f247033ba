/*
 * old.c - commands of old clients, which a site must want: LAST (RFC 1460)
 * and XDELE of Heimdal's popper, which marks a range of messages.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kpop/internal.h"

void
old_last(struct engine *engine, const struct cmd_args *args)
{
    (void)args;
    engine_reply(engine, "+OK %lu", (unsigned long)engine->drop.last);
}

/* ---- XDELE ---- */

static void
add_octets(struct engine *engine, uint32_t msg, uint64_t octets,
           const char *uidl)
{
    struct answer *answer = &engine->answer;

    (void)uidl;
    if (drop_is_deleted(&engine->drop, msg))
        return;
    /* A sum that is too large to be true: STAT stops at 0 then. */
    answer->offset += octets < UINT64_MAX - answer->offset ? octets : 0;
}

/* All of the range, or nothing when the store has failed. */
static void
mark_range(struct engine *engine)
{
    struct answer *answer = &engine->answer;
    uint64_t octets = answer->offset;
    uint32_t marked = 0;
    uint32_t msg;

    for (msg = answer->first; msg < answer->end; msg++) {
        if (drop_is_deleted(&engine->drop, msg))
            continue;
        drop_delete(&engine->drop, msg, octets);
        octets = 0;
        marked++;
    }
    engine_reply(engine, "+OK %lu messages are marked",
                 (unsigned long)marked);
    engine_answer_done(engine);
}

static void produce_range(struct engine *engine);

static void
range_answered(struct engine *engine, int64_t result)
{
    struct answer *answer = &engine->answer;

    if (result >= 0 && engine->msgs_given != engine->request.count)
        result = STATUS_INVALID;
    if (result < 0) {
        engine_reply_store_error(engine, result,
                                 TEXT("the maildrop cannot be read"));
        engine_answer_done(engine);
        return;
    }
    answer->msg += engine->request.count;
    if (answer->msg == answer->end)
        mark_range(engine);
}

/* Their sizes are asked for, because STAT must do without them. */
static void
produce_range(struct engine *engine)
{
    struct answer *answer = &engine->answer;
    uint32_t left = answer->end - answer->msg;
    struct engine_request *request;

    answer->octets = 0;
    request = engine_ask(engine, ENGINE_LIST, range_answered);
    request->first = answer->msg;
    request->count = left < ENGINE_SCAN_RANGE ? left : ENGINE_SCAN_RANGE;
}

void
old_xdele(struct engine *engine, const struct cmd_args *args)
{
    struct answer *answer = &engine->answer;

    answer->first = answer->msg = args->msg;
    answer->end = args->last_msg + 1;
    answer->offset = 0;
    answer->add = add_octets;
    engine->produce = produce_range;
}
