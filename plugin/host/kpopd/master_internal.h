/*
 * master_internal.h - what the master's files share.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_MASTER_INTERNAL_H
#define KPOPD_MASTER_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "plugin/host/kpopd/certwatch.h"
#include "plugin/host/kpopd/children.h"
#include "plugin/host/kpopd/control.h"
#include "plugin/host/kpopd/limits.h"
#include "plugin/host/kpopd/listen.h"
#include "plugin/host/kpopd/metrics.h"
#include "plugin/host/kpopd/sessions.h"
#include "plugin/host/kpopd/talk.h"
#include "plugin/host/kpopd/throttle.h"
#include "plugin/host/kpopd/tool.h"
#include "plugin/host/kpopd/worker.h"

enum {
    STOP_MAX = 30000,      /* milliseconds */
    GENERATIONS_MAX = 8,   /* draining ones; then the oldest is stopped */
    ACCEPT_PAUSE = 200,    /* when descriptors or memory run out */
    BUSY_PAUSE = 10,       /* when all workers are too busy */
    BUSY_TOLD = 1000,      /* when the admin hears of that */
    WATCH_MS = 1000,       /* the longest turn of a loop with nothing to do */
    TURN_MAX = 2 * WATCH_MS /* a longer one: we were held up ourselves */
};

struct master {
    kpop_plugin_entry_fn entry;
    const char *path;
    int epoll;
    int signals;
    struct source signal_source;
    struct listener *listeners;
    struct override *overrides; /* of inherited listeners; or NULL */
    bool accepting;            /* the listeners are watched */
    uint64_t accept_again;     /* 0, or when after a pause */
    struct control held;       /* accepted, but no worker had time for it */
    int held_fd;               /* or -1 */
    uint64_t held_since;
    struct limits *limits;
    struct sessions *sessions; /* what kpopctl is told of them */
    uint64_t began;
    struct talk tool;          /* kpopctl's socket */
    char tool_path[sizeof(((struct sockaddr_un *)NULL)->sun_path)]; /* "" */
    int metrics_fd;            /* where they are served, or -1 */
    char *metrics_at;          /* the key's value, or NULL */
    struct throttle *throttle; /* of all generations, so that a reload
                                * forgives nobody */
    struct generation *current; /* newest first */
    struct certwatch certificates; /* of the current one */
    uint64_t last_id;
    bool stopping;
    uint64_t kill_at;
    uint64_t turned_at;        /* when children were last looked after */
    struct {
        bool ready;            /* READY=1 has been said of this generation */
        uint64_t alive_at;     /* when WATCHDOG=1 is due */
        uint64_t status_at;    /* when STATUS= may change again */
        size_t sessions;       /* as STATUS= said */
        size_t waiting;
    } told;                    /* the service manager */
};

/* master_config.c */

/* Reads and checks the configuration and makes it the current one; the former
 * drains.  0, or -1 with a sentence and everything as it was. */
int master_configure(struct master *master, char *error, size_t error_size);
/* The same for SIGHUP; logs. */
void master_reload(struct master *master);
/* The same when the files of TLS have changed. */
void master_watch_certificates(struct master *master, uint64_t now);

/* master_report.c */

/* A child has something to say: a source's ready(). */
void master_on_report(struct source *source, uint32_t events);

/* master_tool.c */

/* kpopctl's socket is there; if it can't, that is logged and all else goes
 * on. */
void master_open_tool(struct master *master, const char *state_dir);
void master_tend_tool(struct master *master, uint64_t now);
void master_close_tool(struct master *master);

/* master_metrics.c */

/* Listens there, NULL is nowhere; what can't be is logged. */
void master_open_metrics(struct master *master, const char *where);
/* Gives the socket to a process that was just started. */
void master_pass_metrics(const struct master *master,
                         const struct child *child);
void master_close_metrics(struct master *master);

/* master_manager.c: what the service manager is told, if there is one */

/* The current generation serves. */
void manager_ready(struct master *master);
void manager_reloading(void);
/* The old configuration stays. */
void manager_refused(struct master *master, const char *why);
void manager_stopping(const struct master *master);
/* Each turn: that we live, and how many sessions there are. */
void manager_turn(struct master *master, uint64_t now);
/* When the next turn has to come at the latest. */
uint64_t manager_next(const struct master *master, uint64_t next);

/* master_accept.c */

/* Watches the listeners, or not, as there are workers to serve them. */
void master_accept_when_possible(struct master *master, uint64_t now);
/* Takes listeners out of epoll, e.g. before they are closed. */
void master_stop_accepting(struct master *master);
/* A worker has read who is behind a proxy: may he come in? */
void master_judge_proxied(struct master *master, const struct child *worker,
                          const struct control *control);
/* For a new list of listeners. */
void master_own_listeners(struct master *master);

#endif
