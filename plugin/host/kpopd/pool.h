/*
 * pool.h - a few threads for store calls that may wait for the disk.
 *
 * A job runs on some thread, and its done() later on the thread that calls
 * pool_collect(), when pool_fd() is readable.  Threads come on demand, up to
 * POOL_THREADS_MAX, and end when idle: a blocked disk holds one thread and
 * one session, nobody else.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_POOL_H
#define KPOPD_POOL_H

#include <stdbool.h>
#include <stddef.h>

enum { POOL_THREADS_MAX = 32, POOL_IDLE_SECONDS = 10 };

struct pool;

/* Lives inside what it belongs to; the pool only points to it. */
struct pool_job {
    struct pool_job *next;
    void (*run)(struct pool_job *job);  /* on a thread */
    void (*done)(struct pool_job *job); /* on the collector's thread */
};

struct pool *pool_new(void);
/* True when all threads have ended and it is freed; false when some are
 * still blocked, and then it stays for them. */
bool pool_free(struct pool *pool);
int pool_fd(const struct pool *pool);
/* 0, or -1 when not even one thread can be made. */
int pool_submit(struct pool *pool, struct pool_job *job);
/* Calls done() of every job that has run. */
void pool_collect(struct pool *pool);

#endif
