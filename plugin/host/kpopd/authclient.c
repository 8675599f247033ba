/*
 * authclient.c - queues and deadlines of a worker's logins.  Holds no key and
 * no hash; passes passwords on and keeps no copy of them behind the frame,
 * which is wiped.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/authclient_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin/host/kpopd/conn.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/metrics.h"
#include "plugin/host/kpopd/process.h"

/* Milliseconds until a busy process is looked at again; a password's hash
 * takes a hundred. */
enum { RETRY_MS = 10 };

static void on_retry(struct timer *timer, uint64_t now);

struct authclient *
authclient_new(struct worker *worker)
{
    struct authclient *client = calloc(1, sizeof(*client));

    if (client == NULL)
        return NULL;
    client->missed =
        calloc(worker->shared->mark_count, sizeof(client->missed[0]));
    if (client->missed == NULL) {
        free(client);
        return NULL;
    }
    client->worker = worker;
    client->retry.fire = on_retry;
    return client;
}

void
authclient_free(struct authclient *client)
{
    struct channel *channel;

    if (client == NULL)
        return;
    while ((channel = client->channels) != NULL) {
        client->channels = channel->next;
        close(channel->fd);
        free(channel);
    }
    authclient_free_closed(client);
    free(client->missed);
    free(client);
}

static void
unqueue(struct auth_task *task)
{
    struct auth_task **at = &task->client->queue[task->pool];

    while (*at != NULL && *at != task)
        at = &(*at)->next;
    if (*at != NULL)
        *at = task->next;
}

/* The end of a task: its answer, whatever it is. */
void
authclient_answer(struct auth_task *task, int32_t result)
{
    struct authclient *client = task->client;
    struct conn *conn = task->conn;
    struct kpop_op *op = task->op;

    if (!task->sent)
        unqueue(task);
    else if (task->channel != NULL && task->channel->task == task) {
        /* Overdue: what comes late belongs to nobody. */
        task->channel->task = NULL;
        task->channel->orphan = task->request.exchange;
    }
    timers_set(&client->worker->timers, &task->timer, TIMER_NEVER);
    if (task->asked != 0)
        metrics_note_time(TIME_LOGIN, process_micros() - task->asked);
    authclient_judged(conn, result);
    conn->login.task = NULL;
    free(task);
    conn_answer(conn, op, result);
}

/* Sends a task on a free channel; an error answers it. */
static void
send_task(struct auth_task *task, struct channel *channel)
{
    struct authclient *client = task->client;
    size_t len;
    int rc;

    unqueue(task);
    task->channel = channel;
    task->sent = true;
    len = auth_request_encode(&task->request, client->frame,
                              sizeof(client->frame));
    rc = len == 0 ? -1 : ipc_send(channel->fd, client->frame, len, -1);
    /* All of it: what did not fit was written in part. */
    explicit_bzero(client->frame, len > 0 ? len : sizeof(client->frame));
    if (rc == 0) {
        metrics_note_time(TIME_WAIT, process_micros() - task->asked);
        channel->busy = true;
        channel->task = task;
        return;
    }
    task->channel = NULL;
    authclient_answer(task, len == 0 ? KPOP_INVALID : KPOP_TEMP);
}

/* The first task of a pool that can go now, and where to. */
static struct auth_task *
next_task(struct authclient *client, enum auth_pool pool,
          struct channel **channel_out)
{
    struct auth_task *task;
    bool none = false;

    for (task = client->queue[pool]; task != NULL; task = task->next) {
        *channel_out = task->channel;
        if (task->delayed)
            continue;
        if (task->unwanted
            || (task->channel != NULL && !task->channel->busy))
            return task;
        if (task->channel != NULL || none)
            continue;
        *channel_out = authclient_claim(client, pool);
        if (*channel_out != NULL)
            return task;
        none = true;
    }
    if (none)
        timers_set(&client->worker->timers, &client->retry,
                   process_now() + RETRY_MS);
    return NULL;
}

void
authclient_pump(struct authclient *client, enum auth_pool pool)
{
    struct channel *channel;
    struct auth_task *task;

    while ((task = next_task(client, pool, &channel)) != NULL) {
        if (task->unwanted)
            authclient_answer(task, KPOP_TEMP);
        else
            send_task(task, channel);
    }
}

static void
on_retry(struct timer *timer, uint64_t now)
{
    struct authclient *client =
        (struct authclient *)(void *)((char *)timer
                                      - offsetof(struct authclient, retry));
    enum auth_pool pool;

    (void)now;
    for (pool = POOL_KRB; pool < POOL_COUNT; pool++)
        authclient_pump(client, pool);
}

/* From here on auth_timeout counts, unless another guess went first. */
static void
hand_in(struct auth_task *task, uint64_t now)
{
    struct worker *worker = task->client->worker;
    uint64_t wait = authclient_charge(task->conn, now);

    task->delayed = wait > 0;
    if (task->delayed) {
        timers_set(&worker->timers, &task->timer, now + wait);
        return;
    }
    task->asked = process_micros();
    timers_set(&worker->timers, &task->timer,
               now + worker->setup->settings.auth_timeout);
    authclient_pump(task->client, task->pool);
}

static void
note_overdue(const struct conn *conn)
{
    char line[CONTROL_MECHANISM_MAX + 16];

    snprintf(line, sizeof(line), " mechanism=%s", conn->mechanism);
    metrics_note_event("auth.overdue", line);
}

static void
on_time(struct timer *timer, uint64_t now)
{
    struct auth_task *task = (struct auth_task *)timer;

    if (task->delayed && !task->unwanted
        && !task->client->worker->stopping) {
        hand_in(task, now);
        return;
    }
    if (task->delayed) {
        authclient_answer(task, KPOP_TEMP);
        return;
    }
    log_event(KPOP_LOG_WARNING, "auth.overdue",
              "session=%llx mechanism=%s sent=%s",
              (unsigned long long)task->conn->id,
              task->request.mechanism != NULL ? task->request.mechanism
                                              : "step",
              task->sent ? "yes" : "no");
    note_overdue(task->conn);
    authclient_answer(task, KPOP_TEMP);
}

int32_t
authclient_submit(struct conn *conn, struct kpop_op *op,
                  const struct authclient_ask *ask)
{
    struct worker *worker = conn->worker;
    struct authclient *client = worker->auth;
    struct auth_task *task = calloc(1, sizeof(*task));
    struct auth_task **at = &client->queue[ask->pool];
    const uint64_t now = process_now();

    if (task == NULL
        || timers_reserve(&worker->timers,
                          worker->timers.count + worker->conn_count + 3)
               != 0) {
        free(task);
        return KPOP_NO_MEMORY;
    }
    task->timer.fire = on_time;
    task->client = client;
    task->conn = conn;
    task->op = op;
    task->pool = ask->pool;
    task->channel = ask->channel;
    task->request = ask->request;
    task->delayed = ask->wait > 0;
    while (*at != NULL)
        at = &(*at)->next;
    *at = task;
    conn->login.task = task;
    conn_hold(conn);
    if (task->delayed)
        timers_set(&worker->timers, &task->timer, now + ask->wait);
    else
        hand_in(task, now);
    return KPOP_PENDING;
}

void
authclient_cancel(void *arg, struct kpop_op *op)
{
    struct conn *conn = arg;
    struct auth_task *task = conn->login.task;

    if (task == NULL || task->op != op)
        return;
    task->unwanted = true;
    if (task->delayed)
        timers_set(&task->client->worker->timers, &task->timer,
                   process_now());
}

void
authclient_hurry(struct authclient *client)
{
    struct auth_task *task;
    enum auth_pool pool;

    for (pool = POOL_KRB; pool < POOL_COUNT; pool++)
        for (task = client->queue[pool]; task != NULL; task = task->next)
            if (task->delayed)
                timers_set(&client->worker->timers, &task->timer,
                           process_now());
}
