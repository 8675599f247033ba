/* LDFLAGS: -Wl,--wrap=calloc,--wrap=box_size,--wrap=pool_submit */
/*
 * kpopd_store.c - the mailbox callbacks of a worker, when a thread, memory or
 * a message is not to be had, and when the module asks for what there is not.
 * Each question gets one answer, and nothing is deleted that was not asked
 * for.  What mail is worth is tested by kpopd_faults.c.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/store.h"

#include <poll.h>
#include <string.h>

#include "plugin/host/kpopd/conn.h"
#include "plugin/host/kpopd/metrics.h"
#include "tests/unit/kpopd_world.h"

/* ---- what can fail ---- */

static int left = -1;     /* allocations; -1: as many as are wanted */
static bool no_thread;
static uint32_t lost = KPOP_EXPIRE_NEVER; /* the message without a size */

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
int32_t __real_box_size(struct box *box, uint32_t msg, uint64_t *octets_out);
int32_t __wrap_box_size(struct box *box, uint32_t msg, uint64_t *octets_out);
int __real_pool_submit(struct pool *pool, struct pool_job *job);
int __wrap_pool_submit(struct pool *pool, struct pool_job *job);

void *
__wrap_calloc(size_t count, size_t size)
{
    return left >= 0 && left-- == 0 ? NULL : __real_calloc(count, size);
}

int32_t
__wrap_box_size(struct box *box, uint32_t msg, uint64_t *octets_out)
{
    return msg == lost ? KPOP_TEMP : __real_box_size(box, msg, octets_out);
}

int
__wrap_pool_submit(struct pool *pool, struct pool_job *job)
{
    return no_thread ? -1 : __real_pool_submit(pool, job);
}

/* ---- the module ---- */

static char ops[1]; /* nobody looks into one */
static struct kpop_op *const op = (struct kpop_op *)(void *)ops;
static int answers;
static int32_t answered;
static struct box *box;
static uint32_t put; /* messages and envelopes */

static int32_t
done(struct kpop_op *which, int32_t result)
{
    CHECK(which == op);
    answers++;
    answered = result;
    return KPOP_OK;
}

static int32_t
put_box(struct kpop_op *which, void *what, uint32_t count, uint64_t octets)
{
    (void)octets;
    CHECK(which == op && box == NULL);
    CHECK_INT(count, WORLD_COUNT);
    box = what;
    return KPOP_OK;
}

static int32_t
put_msg(struct kpop_op *which, uint64_t octets, const char *uidl)
{
    CHECK(which == op && octets > 0);
    CHECK_STR(uidl, world_msgs[put].uidl);
    put++;
    return KPOP_OK;
}

static int32_t
put_envelope(struct kpop_op *which, const char *sender, const char *recipient)
{
    (void)which, (void)sender, (void)recipient;
    put++;
    return KPOP_OK;
}

static const struct kpop_api api = {
    .size = sizeof(api),
    .done = done,
    .put_box = put_box,
    .put_msg = put_msg,
    .put_envelope = put_envelope,
    .wire_octets = stuff_wire_octets,
};

/* ---- a worker ---- */

static struct setup setup;
static struct worker worker;
static struct conn conn;

/* The result of a question that was answered at once or by a thread. */
static int32_t
result_of(int32_t result)
{
    struct pollfd one = { pool_fd(worker.pool), POLLIN, 0 };

    CHECK_INT(answers, 0);
    if (result != KPOP_PENDING) {
        CHECK_INT(conn.pending, 0);
        return result;
    }
    CHECK_INT(conn.pending, 1);
    CHECK_INT(poll(&one, 1, 60000), 1);
    pool_collect(worker.pool);
    CHECK_INT(conn.pending, 0);
    CHECK_INT(answers, 1);
    answers = 0;
    return answered;
}

static int32_t
ask_open(void)
{
    const struct kpop_open what = { .size = sizeof(what), .user = "alice",
                                    .requested = "alice",
                                    .mechanism = "PLAIN" };

    return store_open(&conn, op, &what);
}

static void
begin(void)
{
    world_make();
    world_policies(false);
    memset(&worker, 0, sizeof(worker));
    memset(&conn, 0, sizeof(conn));
    setup.settings = world.settings;
    setup.settings.store = world.box;
    worker.api = &api;
    worker.setup = &setup;
    worker.pool = pool_new();
    CHECK(worker.pool != NULL);
    conn.worker = &worker;
    conn.inside = true; /* who is inside settles */
    box = NULL;
    put = 0;
}

/* By a thread: nothing knows this maildir yet. */
static void
begin_open(void)
{
    int32_t result;

    begin();
    result = ask_open();
    CHECK_INT(result, KPOP_PENDING);
    CHECK_INT(result_of(result), KPOP_OK);
    CHECK(box != NULL);
}

static void
end(void)
{
    if (box != NULL)
        store_close(&conn, box);
    free(conn.user);
    CHECK(pool_free(worker.pool));
}

static void
check_nothing_is_gone(void)
{
    bool there[WORLD_COUNT];

    world_look(there);
    for (size_t i = 0; i < WORLD_COUNT; i++)
        CHECK(there[i]);
}

static int32_t
list(uint32_t first, uint32_t count)
{
    return result_of(store_list(&conn, op, box, first, count));
}

static int32_t
fetch(uint32_t msg)
{
    static char buffer[WORLD_BODY];

    return result_of(store_fetch(&conn, op, box, msg, 0, buffer,
                                 sizeof(buffer), 0));
}

static int32_t
delete_the_first(void)
{
    static const uint8_t marks[WORLD_COUNT] = { KPOP_MARK_DELETE };

    return result_of(store_commit(&conn, op, box, marks, WORLD_COUNT));
}

/* ---- the tests ---- */

TEST(a_maildrop_is_listed_read_and_cleared_by_threads)
{
    bool there[WORLD_COUNT];

    begin_open();
    CHECK_INT(list(0, WORLD_COUNT), KPOP_OK);
    CHECK_INT(put, WORLD_COUNT);
    CHECK(fetch(WORLD_COUNT - 1) > 0);
    CHECK_INT(delete_the_first(), KPOP_OK);
    world_look(there);
    for (size_t i = 0; i < WORLD_COUNT; i++)
        CHECK_INT(there[i], i > 0);
    end();
}

TEST(messages_that_there_are_not_are_invalid)
{
    begin_open();
    CHECK_INT(list(WORLD_COUNT, 1), KPOP_INVALID);
    CHECK_INT(list(1, WORLD_COUNT), KPOP_INVALID);
    CHECK_INT(list(2, UINT32_MAX), KPOP_INVALID);
    CHECK_INT(list(WORLD_COUNT + 1, 0), KPOP_INVALID);
    CHECK_INT(fetch(WORLD_COUNT), KPOP_INVALID);
    CHECK_INT(put, 0);
    CHECK_INT(list(WORLD_COUNT, 0), KPOP_OK);
    end();
}

TEST(envelopes_are_there_with_sdps_alone)
{
    begin_open();
    CHECK_INT(store_envelope(&conn, op, box, 0), KPOP_PERM);
    CHECK_INT(store_envelope(&conn, op, box, WORLD_COUNT), KPOP_PERM);
    CHECK_INT(put, 0);
    end();
}

TEST(a_size_that_was_known_and_is_not_ends_a_list)
{
    begin_open();
    CHECK_INT(list(0, WORLD_COUNT), KPOP_OK);
    put = 0;
    lost = 2;
    CHECK_INT(list(0, WORLD_COUNT), KPOP_TEMP);
    CHECK_INT(put, 2);
    lost = KPOP_EXPIRE_NEVER;
    end();
}

TEST(without_a_thread_a_question_is_a_passing_trouble)
{
    begin();
    no_thread = true;
    CHECK_INT(result_of(ask_open()), KPOP_TEMP);
    CHECK(box == NULL);
    no_thread = false;
    /* The maildrop isn't locked. */
    CHECK_INT(result_of(ask_open()), KPOP_OK);
    no_thread = true;
    CHECK_INT(list(0, WORLD_COUNT), KPOP_TEMP);
    CHECK_INT(fetch(0), KPOP_TEMP);
    CHECK_INT(delete_the_first(), KPOP_TEMP);
    no_thread = false;
    check_nothing_is_gone();
    CHECK_INT(list(0, WORLD_COUNT), KPOP_OK);
    end();
}

TEST(without_memory_a_question_says_so)
{
    begin_open();
    left = 0;
    CHECK_INT(list(0, WORLD_COUNT), KPOP_NO_MEMORY);
    left = 0;
    CHECK_INT(fetch(0), KPOP_NO_MEMORY);
    left = 0;
    CHECK_INT(delete_the_first(), KPOP_NO_MEMORY);
    left = -1;
    check_nothing_is_gone();
    CHECK_INT(put, 0);
    CHECK_INT(list(0, WORLD_COUNT), KPOP_OK);
    end();
}

static const struct check_test tests[] = {
    T(a_maildrop_is_listed_read_and_cleared_by_threads),
    T(messages_that_there_are_not_are_invalid),
    T(envelopes_are_there_with_sdps_alone),
    T(a_size_that_was_known_and_is_not_ends_a_list),
    T(without_a_thread_a_question_is_a_passing_trouble),
    T(without_memory_a_question_says_so),
};

int
main(int argc, char **argv)
{
    int status;

    if (metrics_begin() != 0 || !world_begin("kpopd_store"))
        return 1;
    log_set(LOG_TO_STDERR, KPOP_LOG_ERROR);
    status = check_main(argc, argv, "kpopd_store", tests,
                        sizeof(tests) / sizeof(tests[0]));
    world_clear();
    return status;
}
