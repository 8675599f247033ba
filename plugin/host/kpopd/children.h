/*
 * children.h - the workers and auth processes of one configuration.
 *
 * A generation is a setup and a slot for each process it wants.  A slot's
 * process is forked, watched, and replaced when it dies, later each time when
 * it dies at once.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_CHILDREN_H
#define KPOPD_CHILDREN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "plugin/host/kpopd/auth.h"
#include "plugin/host/kpopd/control.h"
#include "plugin/host/kpopd/setup.h"
#include "plugin/host/kpopd/worker.h"

struct generation;

enum child_kind { CHILD_WORKER, CHILD_AUTH, CHILD_METRICS };

enum {
    BACKOFF_FIRST = 100,   /* milliseconds, doubled each time */
    BACKOFF_LAST = 10000,
    QUICK_DEATH = 1000,
    STARTUP_MAX = 60000    /* of an auth process, until it is ready */
};

/* A slot for one process. */
struct child {
    struct source source;   /* first: epoll gives it back; the master's */
    struct generation *generation;
    enum child_kind kind;
    enum auth_pool pool;    /* auth processes */
    struct auth_mark *mark; /* auth processes */
    pid_t pid;              /* 0: none runs */
    int control;            /* -1: none */
    bool ready;
    bool killed;            /* by us, so no reason to back off */
    bool told;              /* DRAIN or STOP has been sent */
    uint64_t started;
    uint64_t restart_at;    /* when pid is 0 */
    uint64_t backoff;
    size_t sessions;        /* workers: passed on and not closed */
    uint64_t asked_at;      /* workers: since when a ping waits for its answer,
                             * 0 = none does */
    uint64_t ask_at;        /* when the next one is due */
    bool asked;             /* it is in the channel */
    uint64_t refused;       /* workers: id of what it could not take */
    bool asks;              /* workers: for clients of proxies, just now */
    unsigned credit;        /* workers: connections until the kernel is asked
                             * for room again */
};

struct generation {
    struct generation *next; /* older */
    struct setup *setup;     /* owned */
    void *owner;             /* the master's */
    int epoll;               /* the master's, where controls are watched */
    struct child *children;
    size_t count;
    struct throttle *throttle; /* the master's */
    struct auth_mark *marks; /* one for each slot, in shared memory */
    size_t marks_size;
    bool retired;            /* its workers were told to end their sessions */
    bool draining;
    bool was_ready;
};

/* Takes the setup when it succeeds; NULL without memory. */
struct generation *generation_new(struct setup *setup);
/* All its processes must have ended. */
void generation_free(struct generation *generation);
size_t generation_running(const struct generation *generation,
                          enum child_kind kind);
bool generation_is_ready(const struct generation *generation);

/* "worker", "auth-krb", ... */
const char *child_name(const struct child *child);

/*
 * Forks the process of an empty slot and connects it with the others.  In
 * the child it does not return.  0, or -1 (logged; restart_at is set).
 */
int child_start(struct child *child, uint64_t now);
/* Its process was reaped: logs, closes, plans the restart. */
void child_ended(struct child *child, int status, bool expected,
                 uint64_t now);
/* Pings workers; kills those that do not answer, and auth processes that hang
 * in a step or in their start. */
void child_watch(struct child *child, uint64_t now);
/* A worker's answer to a ping. */
void child_answered(struct child *child, uint64_t missed, uint64_t now);
/* Its silence so far does not count. */
void child_forgive(struct child *child);
/* The kernel says so while a quarter of its channel is used at most; the rest
 * is left for evictions, which must not get lost. */
bool child_has_time(const struct child *child);
/* The same for one more connection, asking at every 16th: as many are a small
 * part of the rest. */
bool child_takes(struct child *child);
/* Closes the control channel: an auth process then ends. */
void child_let_go(struct child *child);

#endif
