/*
 * authclient.h - a worker's side of the exchanges: the exchange_* callbacks.
 *
 * Each step goes to an auth process and comes back later.  A step that takes
 * longer than auth_timeout, or whose process dies, answers KPOP_TEMP; an
 * exchange that lived in that process is lost with it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_AUTHCLIENT_H
#define KPOPD_AUTHCLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/host/kpopd/claim.h"
#include "plugin/host/kpopd/control.h"
#include "plugin/host/kpopd/throttle.h"
#include "plugin/kpop_plugin.h"

struct authclient;
struct auth_task;
struct worker;

/* What a connection remembers of its exchange. */
struct authclient_login {
    struct auth_task *task; /* the open question, or NULL */
    uint64_t exchange;      /* 0 = none */
    uint64_t channel;       /* serial number of its channel */
    bool is_ahead;          /* begun here; no process knows of it yet */
    enum claim_form form;   /* how its messages name the user */
    bool is_named;          /* one did, and this is who: */
    struct address peer;
    struct throttle_guess guess;
};

struct authclient *authclient_new(struct worker *worker);
void authclient_free(struct authclient *client);
/* A new auth process, as CONTROL_CHANNEL says; takes the descriptor.  -1: it
 * was lost on its way. */
void authclient_add(struct authclient *client, const struct control *control,
                    int fd);
/* An auth process to which there should be a channel: its place + 1; 0: there
 * are all. */
uint64_t authclient_missed(const struct authclient *client);

int32_t authclient_mechanisms(void *conn, struct kpop_op *op,
                              const struct kpop_facts *facts);
int32_t authclient_start(void *conn, struct kpop_op *op,
                         const struct kpop_facts *facts,
                         const char *mechanism, const void *data,
                         size_t size);
int32_t authclient_step(void *conn, struct kpop_op *op,
                        const struct kpop_facts *facts, const void *data,
                        size_t size);
void authclient_end(void *conn);
int32_t authclient_authorize(void *conn, struct kpop_op *op,
                             const struct kpop_identity *identity);
/* The connection has gone: its question need not be asked any more. */
void authclient_cancel(void *conn, struct kpop_op *op);
/* The worker stops: who is kept waiting is answered now. */
void authclient_hurry(struct authclient *client);

#endif
