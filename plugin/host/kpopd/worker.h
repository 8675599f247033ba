/*
 * worker.h - a worker process: connections, sessions and the store.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_WORKER_H
#define KPOPD_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/host/kpopd/auth.h"
#include "plugin/host/kpopd/authclient.h"
#include "plugin/host/kpopd/control.h"
#include "plugin/host/kpopd/pool.h"
#include "plugin/host/kpopd/setup.h"
#include "plugin/host/kpopd/timers.h"
#include "plugin/kpop_plugin.h"

extern const struct kpop_host worker_host;

struct conn;

/* Something epoll watches; lives inside what it belongs to. */
struct source {
    void (*ready)(struct source *source, uint32_t events);
};

/* Memory that all processes of a generation share; lent. */
struct worker_shared {
    struct auth_mark *marks; /* by the id of CONTROL_CHANNEL */
    size_t mark_count;
    struct throttle *throttle;
};

enum { WORKER_LATER = 32 };

struct worker {
    const struct kpop_api *api;
    const struct setup *setup;
    const struct worker_shared *shared;
    int epoll;
    int control;
    int signals;
    struct source control_source;
    struct source pool_source;
    struct source signal_source;
    struct timers timers;
    struct pool *pool;
    struct authclient *auth;
    uint64_t last_exchange;
    struct conn *conns;      /* with an open socket */
    struct conn *dead;       /* freed after the present turn */
    size_t conn_count;       /* all that are not freed yet */
    struct control *outbox;  /* what the master could not take yet */
    size_t outbox_count;
    size_t outbox_room;
    struct control later[WORKER_LATER]; /* reports that can wait */
    size_t later_count;
    struct timer later_timer;
    bool draining;
    bool stopping;
    uint64_t stop_by;
    struct kpop_stats shared_stats; /* of which all know */
    uint64_t files;          /* how many may be open */
    uint64_t files_told;     /* when process.files was logged last */
    uint8_t buffer[KPOP_READ_MAX];
};

/* The life of a worker, after its rights were dropped; the exit status. */
int worker_main(const struct setup *setup, const struct worker_shared *shared,
                int control_fd);

/* Tells the master; kept until it takes it. */
void worker_send(struct worker *worker, const struct control *control);
/* Tells it in some milliseconds what kpopctl alone wants to know, unless the
 * session has logged in by then, which tells the same, or has ended. */
void worker_send_later(struct worker *worker, const struct control *control);
void worker_report(struct worker *worker, enum control_type type,
                   uint64_t id);
/* 0 or -1 with errno. */
int worker_watch(struct worker *worker, int operation, int fd,
                 uint32_t events, struct source *source);

#endif
