/*
 * authclient.c - queues, channels and deadlines of a worker's logins.  Holds
 * no key and no hash; passes passwords on and keeps no copy of them behind
 * the frame, which is wiped.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/authclient.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "plugin/host/kpopd/authmsg.h"
#include "plugin/host/kpopd/conn.h"
#include "plugin/host/kpopd/ipc.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/permit.h"
#include "plugin/host/kpopd/process.h"
#include "plugin/host/kpopd/worker.h"

/* To one auth process. */
struct channel {
    struct source source; /* first: epoll gives it back */
    struct authclient *client;
    struct channel *next;
    enum auth_pool pool;
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
    bool sent;
    bool unwanted;
    struct auth_request request;
};

struct authclient {
    struct worker *worker;
    struct channel *channels;
    struct channel *closed; /* freed when their event can't come any more */
    struct auth_task *queue[POOL_COUNT];
    uint64_t last_serial;
    uint64_t last_exchange;
    uint8_t frame[IPC_FRAME_MAX];
};

static void on_channel(struct source *source, uint32_t events);
static void pump(struct authclient *client, enum auth_pool pool);

struct authclient *
authclient_new(struct worker *worker)
{
    struct authclient *client = calloc(1, sizeof(*client));

    if (client != NULL)
        client->worker = worker;
    return client;
}

static void
free_closed(struct authclient *client)
{
    struct channel *channel;

    while ((channel = client->closed) != NULL) {
        client->closed = channel->next;
        free(channel);
    }
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
    free_closed(client);
    free(client);
}

void
authclient_add(struct authclient *client, enum auth_pool pool, int fd)
{
    struct channel *channel = calloc(1, sizeof(*channel));

    free_closed(client);
    if (channel == NULL) {
        close(fd);
        return;
    }
    channel->source.ready = on_channel;
    channel->client = client;
    channel->pool = pool;
    channel->fd = fd;
    channel->serial = ++client->last_serial;
    if (worker_watch(client->worker, EPOLL_CTL_ADD, fd, EPOLLIN,
                     &channel->source)
        != 0) {
        close(fd);
        free(channel);
        return;
    }
    channel->next = client->channels;
    client->channels = channel;
    pump(client, pool);
}

static struct channel *
find_channel(const struct authclient *client, uint64_t serial)
{
    struct channel *channel = client->channels;

    while (channel != NULL && channel->serial != serial)
        channel = channel->next;
    return channel;
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
static void
answer(struct auth_task *task, int32_t result)
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
    conn->login.task = NULL;
    free(task);
    conn_answer(conn, op, result);
}

static void
end_exchange(struct authclient *client, const struct channel *channel,
             uint64_t exchange)
{
    struct auth_request request;
    size_t len;

    memset(&request, 0, sizeof(request));
    request.type = AUTH_END;
    request.exchange = exchange;
    len = auth_request_encode(&request, client->frame, sizeof(client->frame));
    /* When it does not get through, the exchange expires over there. */
    (void)ipc_send(channel->fd, client->frame, len, -1);
}

static void
lose_channel(struct channel *channel)
{
    struct authclient *client = channel->client;
    struct channel **at = &client->channels;
    struct auth_task *task = channel->task;
    enum auth_pool pool = channel->pool;
    struct auth_task *waiting;

    while (*at != channel)
        at = &(*at)->next;
    *at = channel->next;
    (void)worker_watch(client->worker, EPOLL_CTL_DEL, channel->fd, 0, NULL);
    close(channel->fd);
    channel->fd = -1;
    channel->task = NULL;
    channel->next = client->closed;
    client->closed = channel;
    if (task != NULL) {
        task->channel = NULL;
        answer(task, KPOP_TEMP);
    }
    /* Steps that waited for it; each answer may change the queue. */
    do {
        for (waiting = client->queue[pool];
             waiting != NULL && waiting->channel != channel;)
            waiting = waiting->next;
        if (waiting != NULL) {
            waiting->channel = NULL;
            answer(waiting, KPOP_TEMP);
        }
    } while (waiting != NULL);
}

/* What the process said, handed to the session's question. */
static void
take_answer(struct auth_task *task, const struct auth_answer *from)
{
    const struct kpop_api *api = task->client->worker->api;
    const struct kpop_outcome *o = &from->outcome;
    int32_t result = from->result;
    int32_t put = KPOP_OK;

    if (o->challenge_size > 0 || result == KPOP_CONTINUE)
        put = api->put_challenge(task->op, o->challenge, o->challenge_size);
    if (put == KPOP_OK && result == KPOP_OK)
        put = api->put_user(task->op, o->user);
    if (put == KPOP_OK && result == KPOP_OK && o->credential_size > 0)
        put = api->put_credential(task->op, o->credential,
                                  o->credential_size);
    if (put != KPOP_OK && result >= 0) {
        end_exchange(task->client, task->channel, from->exchange);
        result = KPOP_TEMP;
    }
    if (task->request.type == AUTH_START && result >= 0) {
        task->conn->login.exchange = from->exchange;
        task->conn->login.channel = task->channel->serial;
    }
    answer(task, result);
}

static void
read_answer(struct channel *channel, const void *frame, size_t len)
{
    struct auth_task *task = channel->task;
    uint64_t expected =
        task != NULL ? task->request.exchange : channel->orphan;
    struct auth_answer from;

    if (!channel->busy || !auth_answer_decode(frame, len, &from)
        || from.exchange != expected) {
        log_event(KPOP_LOG_ERROR, "process.violation",
                  "text=\"an auth process sent a malformed answer\"");
        lose_channel(channel);
        return;
    }
    channel->busy = false;
    channel->task = NULL;
    if (task != NULL)
        take_answer(task, &from);
    else if (from.result >= 0)
        end_exchange(channel->client, channel, from.exchange);
}

static void
on_channel(struct source *source, uint32_t events)
{
    struct channel *channel = (struct channel *)source;
    struct authclient *client = channel->client;
    enum auth_pool pool = channel->pool;
    ssize_t len;

    (void)events;
    if (channel->fd < 0)
        return; /* lost earlier in this turn */
    len = ipc_recv(channel->fd, client->frame, sizeof(client->frame), NULL);
    if (len < 0 && errno == EAGAIN)
        return;
    if (len <= 0)
        lose_channel(channel);
    else
        read_answer(channel, client->frame, (size_t)len);
    pump(client, pool);
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
    explicit_bzero(client->frame, len);
    if (rc == 0) {
        channel->busy = true;
        channel->task = task;
        return;
    }
    task->channel = NULL;
    answer(task, len == 0 ? KPOP_INVALID : KPOP_TEMP);
}

static struct channel *
free_channel(const struct authclient *client, enum auth_pool pool)
{
    struct channel *channel = client->channels;

    while (channel != NULL && (channel->pool != pool || channel->busy))
        channel = channel->next;
    return channel;
}

/* The first task of a pool that can go now, and where to. */
static struct auth_task *
next_task(const struct authclient *client, enum auth_pool pool,
          struct channel **channel_out)
{
    struct channel *any = free_channel(client, pool);
    struct auth_task *task;

    if (any == NULL)
        return NULL;
    for (task = client->queue[pool]; task != NULL; task = task->next) {
        *channel_out = task->channel != NULL ? task->channel : any;
        if (task->unwanted || !(*channel_out)->busy)
            return task;
    }
    return NULL;
}

static void
pump(struct authclient *client, enum auth_pool pool)
{
    struct channel *channel;
    struct auth_task *task;

    while ((task = next_task(client, pool, &channel)) != NULL) {
        if (task->unwanted)
            answer(task, KPOP_TEMP);
        else
            send_task(task, channel);
    }
}

static void
on_overdue(struct timer *timer, uint64_t now)
{
    struct auth_task *task = (struct auth_task *)timer;

    (void)now;
    log_event(KPOP_LOG_WARNING, "auth.overdue",
              "session=%llx mechanism=%s sent=%s",
              (unsigned long long)task->conn->id,
              task->request.mechanism != NULL ? task->request.mechanism
                                              : "step",
              task->sent ? "yes" : "no");
    answer(task, KPOP_TEMP);
}

static int32_t
submit(struct conn *conn, struct kpop_op *op, enum auth_pool pool,
       struct channel *channel, const struct auth_request *request)
{
    struct worker *worker = conn->worker;
    struct authclient *client = worker->auth;
    struct auth_task *task = calloc(1, sizeof(*task));
    struct auth_task **at = &client->queue[pool];

    if (task == NULL
        || timers_reserve(&worker->timers,
                          worker->timers.count + worker->conn_count + 2)
               != 0) {
        free(task);
        return KPOP_NO_MEMORY;
    }
    task->timer.fire = on_overdue;
    task->client = client;
    task->conn = conn;
    task->op = op;
    task->pool = pool;
    task->channel = channel;
    task->request = *request;
    while (*at != NULL)
        at = &(*at)->next;
    *at = task;
    conn->login.task = task;
    conn_hold(conn);
    timers_set(&worker->timers, &task->timer,
               process_now() + worker->setup->settings.auth_timeout);
    pump(client, pool);
    return KPOP_PENDING;
}

int32_t
authclient_mechanisms(void *arg, struct kpop_op *op,
                      const struct kpop_facts *facts)
{
    const struct conn *conn = arg;
    const struct worker *worker = conn->worker;
    const struct settings *s = &worker->setup->settings;
    char names[64] = "";

    /* The module drops what the configuration doesn't list or allow now. */
    if (strcmp(facts->service, "kpop") == 0)
        snprintf(names, sizeof(names), "KPOP");
    else
        snprintf(names, sizeof(names), "%s%s",
                 s->password_file != NULL ? "USER PLAIN " : "",
                 s->secret_file != NULL ? "CRAM-MD5 APOP" : "");
    return worker->api->put_mechanisms(op, names);
}

int32_t
authclient_start(void *arg, struct kpop_op *op,
                 const struct kpop_facts *facts, const char *mechanism,
                 const void *data, size_t size)
{
    struct conn *conn = arg;
    enum auth_pool pool = permit_pool(mechanism);
    struct auth_request request;

    if (pool == POOL_COUNT)
        return KPOP_DENIED;
    memset(&request, 0, sizeof(request));
    request.type = AUTH_START;
    request.exchange = ++conn->worker->auth->last_exchange;
    request.mechanism = mechanism;
    request.facts = *facts;
    request.data = data;
    request.size = size;
    return submit(conn, op, pool, NULL, &request);
}

int32_t
authclient_step(void *arg, struct kpop_op *op,
                const struct kpop_facts *facts, const void *data, size_t size)
{
    struct conn *conn = arg;
    struct channel *channel =
        find_channel(conn->worker->auth, conn->login.channel);
    struct auth_request request;

    (void)facts;
    if (channel == NULL || conn->login.exchange == 0)
        return KPOP_TEMP; /* lost with its process */
    memset(&request, 0, sizeof(request));
    request.type = AUTH_STEP;
    request.exchange = conn->login.exchange;
    request.data = data;
    request.size = size;
    return submit(conn, op, channel->pool, channel, &request);
}

void
authclient_end(void *arg)
{
    struct conn *conn = arg;
    struct authclient *client = conn->worker->auth;
    struct channel *channel = find_channel(client, conn->login.channel);

    if (channel != NULL && conn->login.exchange != 0)
        end_exchange(client, channel, conn->login.exchange);
    conn->login.exchange = 0;
    conn->login.channel = 0;
}

void
authclient_cancel(void *arg, struct kpop_op *op)
{
    struct conn *conn = arg;

    if (conn->login.task != NULL && conn->login.task->op == op)
        conn->login.task->unwanted = true;
}
