/*
 * pool.c - the threads of pool.h.  They block all signals, touch nothing but
 * their job, and have small stacks.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/process.h"
#include "plugin/kpop_plugin.h"

struct job_list {
    struct pool_job *first;
    struct pool_job *last;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work;  /* something is waiting, or stop */
    pthread_cond_t ended; /* a thread has ended */
    struct job_list waiting;
    struct job_list finished;
    size_t waiting_count;
    unsigned threads;
    unsigned idle;
    unsigned gone;                    /* ended, and not joined yet */
    pthread_t leavers[POOL_THREADS_MAX];
    bool stop;
    bool warned;
    int fd;
};

static void
add(struct job_list *list, struct pool_job *job)
{
    job->next = NULL;
    if (list->last != NULL)
        list->last->next = job;
    else
        list->first = job;
    list->last = job;
}

static struct pool_job *
take(struct job_list *list)
{
    struct pool_job *job = list->first;

    if (job == NULL)
        return NULL;
    list->first = job->next;
    if (list->first == NULL)
        list->last = NULL;
    return job;
}

struct pool *
pool_new(void)
{
    struct pool *pool = calloc(1, sizeof(*pool));
    pthread_condattr_t monotonic;

    if (pool == NULL)
        return NULL;
    pool->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pool->fd < 0) {
        free(pool);
        return NULL;
    }
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, &monotonic);
    pthread_cond_init(&pool->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return pool;
}

static struct timespec
seconds_from_now(time_t seconds)
{
    struct timespec when;

    clock_gettime(CLOCK_MONOTONIC, &when);
    when.tv_sec += seconds;
    return when;
}

/* Waits for a job; NULL: end.  Called and returns with the lock held. */
static struct pool_job *
wait_for_job(struct pool *pool)
{
    struct timespec until = seconds_from_now(POOL_IDLE_SECONDS);
    struct pool_job *job;
    int rc = 0;

    pool->idle++;
    while (pool->waiting.first == NULL && !pool->stop && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&pool->work, &pool->lock, &until);
    pool->idle--;
    job = take(&pool->waiting);
    if (job != NULL)
        pool->waiting_count--;
    return job;
}

static void
finish(struct pool *pool, struct pool_job *job)
{
    add(&pool->finished, job);
    /* Else the collector has been told.  It can't fail: that would take more
     * than anybody can add. */
    if (pool->finished.first == job)
        (void)eventfd_write(pool->fd, 1);
}

static void *
thread_main(void *arg)
{
    struct pool *pool = arg;
    struct pool_job *job;

    pthread_mutex_lock(&pool->lock);
    while ((job = wait_for_job(pool)) != NULL) {
        pthread_mutex_unlock(&pool->lock);
        job->run(job);
        pthread_mutex_lock(&pool->lock);
        finish(pool, job);
    }
    pool->threads--;
    pool->leavers[pool->gone++] = pthread_self();
    pthread_cond_signal(&pool->ended);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* With the lock held: who is on this list asks for it no more. */
static void
join_leavers(struct pool *pool)
{
    while (pool->gone > 0)
        pthread_join(pool->leavers[--pool->gone], NULL);
}

static int
add_thread(struct pool *pool)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    int rc;

    join_leavers(pool);
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, process_stack_size());
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&thread, &attr, thread_main, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (rc == 0)
        pool->threads++;
    return rc == 0 ? 0 : -1;
}

int
pool_submit(struct pool *pool, struct pool_job *job)
{
    int rc = 0;

    pthread_mutex_lock(&pool->lock);
    if (pool->idle <= pool->waiting_count) {
        if (pool->threads < POOL_THREADS_MAX)
            (void)add_thread(pool);
        else if (!pool->warned) {
            pool->warned = true;
            log_event(KPOP_LOG_WARNING, "store.busy",
                      "threads=%u text=\"all store threads are waiting for "
                      "the disk\"",
                      pool->threads);
        }
    }
    if (pool->threads == 0) {
        rc = -1;
    } else {
        add(&pool->waiting, job);
        pool->waiting_count++;
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->lock);
    return rc;
}

void
pool_collect(struct pool *pool)
{
    struct job_list finished;
    struct pool_job *job;
    eventfd_t count;

    (void)eventfd_read(pool->fd, &count);
    pthread_mutex_lock(&pool->lock);
    finished = pool->finished;
    pool->finished.first = NULL;
    pool->finished.last = NULL;
    if (pool->waiting_count == 0)
        pool->warned = false;
    pthread_mutex_unlock(&pool->lock);
    while ((job = take(&finished)) != NULL)
        job->done(job);
}

int
pool_fd(const struct pool *pool)
{
    return pool->fd;
}

bool
pool_free(struct pool *pool)
{
    struct timespec until = seconds_from_now(1);
    bool ended;
    int rc = 0;

    if (pool == NULL)
        return true;
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->work);
    while (pool->threads > 0 && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&pool->ended, &pool->lock, &until);
    ended = pool->threads == 0;
    join_leavers(pool);
    pthread_mutex_unlock(&pool->lock);
    if (!ended)
        return false;
    close(pool->fd);
    pthread_cond_destroy(&pool->ended);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
    return true;
}
