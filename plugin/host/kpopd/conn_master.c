/*
 * conn_master.c - what a worker tells the master of a connection, and what it
 * does with one when it is told.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/host/kpopd/conn.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/metrics.h"
#include "plugin/host/kpopd/process.h"

/* A client that takes nothing any more can't keep who was told to go. */
enum { KICK_MS = 10000 };

void
conn_note_tls(struct conn *conn, const struct kpop_facts *facts)
{
    struct control control;

    if (facts->tls_version[0] == '\0' || conn->tls[0] != '\0')
        return;
    snprintf(conn->tls, sizeof(conn->tls), "%s", facts->tls_version);
    metrics_note_tls(conn->tls);
    memset(&control, 0, sizeof(control));
    control.type = CONTROL_SECURED;
    control.id = conn->id;
    memcpy(control.tls, conn->tls, sizeof(control.tls));
    worker_send_later(conn->worker, &control);
}

int32_t
conn_note_open(struct conn *conn, const struct kpop_open *what)
{
    char *user = strdup(what->user);

    if (user == NULL)
        return KPOP_NO_MEMORY;
    free(conn->user);
    conn->user = user;
    snprintf(conn->mechanism, sizeof(conn->mechanism), "%s",
             what->mechanism);
    return KPOP_OK;
}

void
conn_note_login(struct conn *conn, uint32_t wants)
{
    struct control control;

    if (conn->logged_in || (wants & KPOP_IS_LOGGED_IN) == 0)
        return;
    conn->logged_in = true;
    memset(&control, 0, sizeof(control));
    control.type = CONTROL_LOGGED_IN;
    control.id = conn->id;
    memcpy(control.tls, conn->tls, sizeof(control.tls));
    memcpy(control.mechanism, conn->mechanism, sizeof(control.mechanism));
    snprintf(control.user, sizeof(control.user), "%s",
             conn->user != NULL ? conn->user : "");
    worker_send(conn->worker, &control);
    free(conn->user); /* the master knows, and many sessions idle */
    conn->user = NULL;
}

struct conn *
conn_find(const struct worker *worker, uint64_t id)
{
    struct conn *conn = worker->conns;

    while (conn != NULL && conn->id != id)
        conn = conn->next;
    return conn;
}

void
conn_evict(struct worker *worker, uint64_t id)
{
    struct conn *conn = conn_find(worker, id);

    if (conn == NULL || conn->logged_in)
        return;
    log_event(KPOP_LOG_INFO, "session.evicted",
              "session=%llx text=\"too many before login; the oldest goes\"",
              (unsigned long long)id);
    conn_abort(conn);
}

void
conn_kick(struct worker *worker, uint64_t id)
{
    struct conn *conn = conn_find(worker, id);

    if (conn == NULL || conn->end_by != 0)
        return;
    conn->end_by = process_now() + KICK_MS;
    conn_stop(conn);
}
