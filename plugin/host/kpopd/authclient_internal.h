/*
 * authclient_internal.h - what the files of the client share: the callbacks
 * of authclient_host.c, the queues of authclient.c and the channels of
 * authclient_channel.c.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_AUTHCLIENT_INTERNAL_H
#define KPOPD_AUTHCLIENT_INTERNAL_H

#include "plugin/host/kpopd/authclient.h"
#include "plugin/host/kpopd/authmsg.h"
#include "plugin/host/kpopd/ipc.h"
#include "plugin/host/kpopd/worker.h"

struct conn;

/* To one auth process. */
struct channel {
    struct source source; /* first: epoll gives it back */
    struct authclient *client;
    struct channel *next;
    enum auth_pool pool;
    uint64_t place;       /* of its process */
    struct auth_mark *mark;
    int fd;
    uint64_t serial;
    bool busy;              /* a request is there */
    struct auth_task *task; /* whose; NULL when nobody waits any more */
    uint64_t orphan;        /* that one's exchange, to be ended */
};

/* One question of a session on its way.  What it points to is lent by the
 * module until the answer. */
struct auth_task {
    struct timer timer; /* first */
    struct auth_task *next; /* in the queue of its pool */
    struct authclient *client;
    struct conn *conn;
    struct kpop_op *op;
    enum auth_pool pool;
    struct channel *channel; /* NULL for a start that waits for any */
    uint64_t asked; /* microseconds; 0 = it is delayed */
    bool delayed; /* not before its timer fires */
    bool sent;
    bool unwanted;
    struct auth_request request;
};

struct authclient {
    struct worker *worker;
    struct timer retry; /* when the processes are busy for other workers */
    struct channel *channels;
    struct channel *closed; /* freed when their event can't come any more */
    bool *missed;           /* by place: its channel was lost */
    struct auth_task *queue[POOL_COUNT];
    uint64_t last_serial;
    uint8_t frame[IPC_FRAME_MAX];
};

/* A request on its way out; what it points to is lent until the answer. */
struct authclient_ask {
    enum auth_pool pool;
    struct channel *channel; /* NULL: any that has time */
    uint64_t wait;    /* milliseconds before it is sent */
    struct auth_request request;
};

/* KPOP_PENDING, and conn_answer() later; or an error. */
int32_t authclient_submit(struct conn *conn, struct kpop_op *op,
                          const struct authclient_ask *ask);
/* The end of a task, wherever it is: frees it and answers the session. */
void authclient_answer(struct auth_task *task, int32_t result);
/* Sends what can go now. */
void authclient_pump(struct authclient *client, enum auth_pool pool);

/* authclient_channel.c */

/* By its serial number; NULL when it is gone. */
struct channel *authclient_find(const struct authclient *client,
                                uint64_t serial);
/* One that a new exchange can be sent to now, or NULL. */
struct channel *authclient_claim(const struct authclient *client,
                                 enum auth_pool pool);
void authclient_end_exchange(struct authclient *client,
                             const struct channel *channel,
                             uint64_t exchange);
void authclient_free_closed(struct authclient *client);

/* authclient_host.c: before a guess is sent to be judged, the milliseconds it
 * has to wait after all, because of others that went first; 0: counted. */
uint64_t authclient_charge(struct conn *conn, uint64_t now);
/* The answer to the connection's question. */
void authclient_judged(struct conn *conn, int32_t result);

#endif
