/*
 * trans.c - the TRANSACTION state without the messages themselves: counts,
 * sizes, ids and marks.  Long answers are made range by range as the client
 * reads them.  Deletes nothing: marks go to the host once, with QUIT.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kpop/internal.h"

/* Asks for messages; how many came must be how many were asked for. */
static void
ask_list(struct engine *engine, uint32_t first, uint32_t count,
         answer_fn *answered)
{
    struct engine_request *request;

    engine->answer.octets = 0;
    request = engine_ask(engine, ENGINE_LIST, answered);
    request->first = first;
    request->count = count;
}

static int64_t
check_list(const struct engine *engine, int64_t result)
{
    if (result >= 0 && engine->msgs_given != engine->request.count)
        return STATUS_INVALID;
    return result;
}

static void
fail_answer(struct engine *engine, int64_t result)
{
    if (engine->midway)
        engine_close(engine, "store-error"); /* and no final dot */
    else
        engine_reply_store_error(engine, result,
                                 TEXT("the maildrop cannot be read"));
    engine_answer_done(engine);
}

/* ---- STAT ---- */

static void
say_stat(struct engine *engine)
{
    const struct drop *drop = &engine->drop;

    engine_reply(engine, "+OK %lu %llu", (unsigned long)drop_left(drop),
                 (unsigned long long)drop_left_octets(drop));
}

static void produce_stat(struct engine *engine);

static void
stat_answered(struct engine *engine, int64_t result)
{
    struct answer *answer = &engine->answer;

    result = check_list(engine, result);
    if (result >= 0 && answer->octets >= UINT64_MAX - answer->offset)
        result = STATUS_INVALID;
    if (result < 0) {
        fail_answer(engine, result);
        return;
    }
    answer->offset += answer->octets;
    answer->msg += engine->request.count;
    if (answer->msg < engine->drop.count)
        return; /* produce_stat() again */
    engine->drop.octets = answer->offset;
    say_stat(engine);
    engine_answer_done(engine);
}

/* The total is not known: add up all messages once and remember. */
static void
produce_stat(struct engine *engine)
{
    uint32_t left = engine->drop.count - engine->answer.msg;

    ask_list(engine, engine->answer.msg,
             left < ENGINE_SCAN_RANGE ? left : ENGINE_SCAN_RANGE,
             stat_answered);
}

void
trans_stat(struct engine *engine, const struct cmd_args *args)
{
    (void)args;
    if (engine->drop.octets != ENGINE_OCTETS_UNKNOWN) {
        say_stat(engine);
        return;
    }
    engine->answer.msg = 0;
    engine->answer.offset = 0;
    engine->answer.add = NULL;
    engine->produce = produce_stat;
}

/* ---- LIST and UIDL ---- */

/* Piece by piece: a large maildrop has as many lines as messages. */
static void
begin_line(struct engine *engine, uint32_t msg)
{
    buf_append_decimal(&engine->answer.listing, (uint64_t)msg + 1);
    buf_append(&engine->answer.listing, " ", 1);
}

static void
add_size(struct engine *engine, uint32_t msg, uint64_t octets,
         const char *uidl)
{
    (void)uidl;
    if (drop_is_deleted(&engine->drop, msg))
        return;
    begin_line(engine, msg);
    buf_append_decimal(&engine->answer.listing, octets);
    buf_append(&engine->answer.listing, "\r\n", 2);
}

static void
add_uidl(struct engine *engine, uint32_t msg, uint64_t octets,
         const char *uidl)
{
    (void)octets;
    if (drop_is_deleted(&engine->drop, msg))
        return;
    begin_line(engine, msg);
    buf_append_str(&engine->answer.listing, uidl);
    buf_append(&engine->answer.listing, "\r\n", 2);
}

static void
begin_listing(struct engine *engine)
{
    if (!engine->midway)
        engine_reply(engine, "+OK %lu messages",
                     (unsigned long)drop_left(&engine->drop));
    engine->midway = true;
}

static void
listing_answered(struct engine *engine, int64_t result)
{
    struct buf *listing = &engine->answer.listing;

    result = check_list(engine, result);
    if (result < 0) {
        fail_answer(engine, result);
        return;
    }
    begin_listing(engine);
    buf_append(&engine->out, buf_data(listing), buf_len(listing));
    buf_reset(listing);
    engine->answer.msg += engine->request.count;
}

static void
produce_listing(struct engine *engine)
{
    struct answer *answer = &engine->answer;
    uint32_t count;

    count = drop_range(&engine->drop, &answer->msg, ENGINE_LIST_RANGE);
    if (count > 0) {
        ask_list(engine, answer->msg, count, listing_answered);
        return;
    }
    begin_listing(engine);
    buf_append_str(&engine->out, ".\r\n");
    engine_answer_done(engine);
}

static void
one_answered(struct engine *engine, int64_t result)
{
    struct buf *listing = &engine->answer.listing;

    result = check_list(engine, result);
    if (result < 0) {
        fail_answer(engine, result);
        return;
    }
    /* The line has its CRLF. */
    buf_printf(&engine->out, "+OK %.*s", (int)buf_len(listing),
               (const char *)buf_data(listing));
    engine_answer_done(engine);
}

static void
list_or_uidl(struct engine *engine, const struct cmd_args *args)
{
    if (args->has_msg) {
        ask_list(engine, args->msg, 1, one_answered);
    } else {
        engine->answer.msg = 0;
        engine->produce = produce_listing;
    }
}

void
trans_list(struct engine *engine, const struct cmd_args *args)
{
    engine->answer.add = add_size;
    list_or_uidl(engine, args);
}

void
trans_uidl(struct engine *engine, const struct cmd_args *args)
{
    engine->answer.add = add_uidl;
    list_or_uidl(engine, args);
}

/* ---- marks ---- */

static void
dele_answered(struct engine *engine, int64_t result)
{
    result = check_list(engine, result);
    if (result < 0) {
        fail_answer(engine, result);
        return;
    }
    drop_delete(&engine->drop, engine->request.first, engine->answer.octets);
    engine_reply(engine, "+OK message %lu is marked",
                 (unsigned long)engine->request.first + 1);
}

/* Its size is asked for now, because STAT must do without it afterwards. */
void
trans_dele(struct engine *engine, const struct cmd_args *args)
{
    engine->answer.add = NULL;
    ask_list(engine, args->msg, 1, dele_answered);
}

void
trans_rset(struct engine *engine, const struct cmd_args *args)
{
    (void)args;
    drop_undelete_all(&engine->drop);
    engine_reply(engine, "+OK %lu messages",
                 (unsigned long)engine->drop.count);
}

void
trans_noop(struct engine *engine, const struct cmd_args *args)
{
    (void)args;
    engine_reply(engine, "+OK");
}

/* ---- QUIT ---- */

static void
commit_answered(struct engine *engine, int64_t result)
{
    if (result == STATUS_OK) {
        engine->counts.deleted += engine->drop.deleted;
        engine_reply(engine, "+OK bye, %lu messages deleted",
                     (unsigned long)engine->drop.deleted);
        engine_close(engine, "quit");
        return;
    }
    engine_reply_store_error(engine, result,
                             TEXT("some deleted messages not removed"));
    engine_close(engine, "commit-failed");
}

void
trans_quit(struct engine *engine, const struct cmd_args *args)
{
    struct engine_request *request;

    (void)args;
    engine_update(engine);
    if (engine->policy.expire == 0)
        drop_delete_retrieved(&engine->drop);
    request = engine_ask(engine, ENGINE_COMMIT, commit_answered);
    request->marks = engine->drop.marks;
    request->count = engine->drop.count;
}
