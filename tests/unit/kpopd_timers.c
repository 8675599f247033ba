/*
 * kpopd_timers.c - the heap of deadlines and the store threads.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/kpopd/timers.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/pool.h"
#include "tests/lib/check.h"

static uint64_t last;
static size_t fired;

static void
fire(struct timer *timer, uint64_t now)
{
    CHECK(timer->when <= now);
    CHECK(timer->when >= last);
    last = timer->when;
    fired++;
}

TEST(timers_fire_in_order_whatever_was_set_moved_and_removed)
{
    enum { COUNT = 500 };
    static struct timer many[COUNT];
    struct timers timers = { NULL, 0, 0 };
    size_t removed = 0;
    size_t i;
    unsigned seed = 1;

    CHECK_INT(timers_reserve(&timers, COUNT + 1), 0);
    for (i = 0; i < COUNT; i++) {
        many[i].fire = fire;
        seed = seed * 1103515245u + 12345u;
        timers_set(&timers, &many[i], seed >> 16);
    }
    for (i = 0; i < COUNT; i += 3) {
        seed = seed * 1103515245u + 12345u;
        timers_set(&timers, &many[i], seed >> 16);
    }
    for (i = 0; i < COUNT; i += 7) {
        timers_set(&timers, &many[i], TIMER_NEVER);
        timers_set(&timers, &many[i], TIMER_NEVER);
        removed++;
    }
    last = 0;
    fired = 0;
    timers_run(&timers, 1000);
    CHECK(timers_next(&timers) > 1000);
    timers_run(&timers, UINT64_MAX - 1);
    CHECK_INT(fired, COUNT - removed);
    CHECK(timers_next(&timers) == TIMER_NEVER);
    timers_free(&timers);
}

struct test_job {
    struct pool_job job;
    pthread_mutex_t *gate;
    int ran;
    int done;
};

static void
run(struct pool_job *job)
{
    struct test_job *test = (struct test_job *)job;

    if (test->gate != NULL) {
        pthread_mutex_lock(test->gate);
        pthread_mutex_unlock(test->gate);
    }
    test->ran = 1;
}

static void
done(struct pool_job *job)
{
    ((struct test_job *)job)->done++;
}

static void
collect_until(struct pool *pool, const struct test_job *job)
{
    struct pollfd fd = { pool_fd(pool), POLLIN, 0 };

    while (job->done == 0) {
        CHECK_INT(poll(&fd, 1, 10000), 1);
        pool_collect(pool);
    }
}

TEST(blocked_jobs_do_not_hold_up_the_others)
{
    enum { BLOCKED = 20 };
    static struct test_job blocked[BLOCKED];
    static struct test_job quick;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    struct pool *pool = pool_new();
    size_t i;

    CHECK(pool != NULL);
    pthread_mutex_lock(&gate);
    for (i = 0; i < BLOCKED; i++) {
        blocked[i].gate = &gate;
        blocked[i].job.run = run;
        blocked[i].job.done = done;
        CHECK_INT(pool_submit(pool, &blocked[i].job), 0);
    }
    quick.job.run = run;
    quick.job.done = done;
    CHECK_INT(pool_submit(pool, &quick.job), 0);
    collect_until(pool, &quick);
    CHECK_INT(blocked[0].ran, 0);
    pthread_mutex_unlock(&gate);
    for (i = 0; i < BLOCKED; i++)
        collect_until(pool, &blocked[i]);
    CHECK(pool_free(pool));
    for (i = 0; i < BLOCKED; i++)
        CHECK_INT(blocked[i].done, 1);
}

TEST(more_jobs_than_threads_all_run_once)
{
    enum { COUNT = 500 };
    static struct test_job jobs[COUNT];
    struct pool *pool = pool_new();
    size_t i;

    CHECK(pool != NULL);
    for (i = 0; i < COUNT; i++) {
        jobs[i].job.run = run;
        jobs[i].job.done = done;
        CHECK_INT(pool_submit(pool, &jobs[i].job), 0);
    }
    for (i = 0; i < COUNT; i++)
        collect_until(pool, &jobs[i]);
    CHECK(pool_free(pool));
    for (i = 0; i < COUNT; i++)
        CHECK_INT(jobs[i].done, 1);
}

TEST(log_values_are_quoted)
{
    char out[64];

    CHECK_STR(log_quote("plain/path", out, sizeof(out)), "plain/path");
    CHECK_STR(log_quote("", out, sizeof(out)), "\"\"");
    CHECK_STR(log_quote("two words", out, sizeof(out)), "\"two words\"");
    CHECK_STR(log_quote("a\nb\"c", out, sizeof(out)),
              "\"a\\x0ab\\x22c\"");
    CHECK_STR(log_quote("x y and much more", out, 12), "\"x y a\"");
}

TEST_MAIN("kpopd_timers",
          T(timers_fire_in_order_whatever_was_set_moved_and_removed),
          T(blocked_jobs_do_not_hold_up_the_others),
          T(more_jobs_than_threads_all_run_once), T(log_values_are_quoted))
