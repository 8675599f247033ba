/*
 * authclient_channel.c - a worker's channels to the auth processes: they come,
 * are chosen, answer, and are lost.  Believes no answer that does not fit.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "plugin/host/kpopd/authclient_internal.h"
#include "plugin/host/kpopd/conn.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/permit.h"

static void on_channel(struct source *source, uint32_t events);

void
authclient_free_closed(struct authclient *client)
{
    struct channel *channel;

    while ((channel = client->closed) != NULL) {
        client->closed = channel->next;
        free(channel);
    }
}

/* NULL: it was lost on its way, or there is no memory for it. */
static struct channel *
new_channel(struct authclient *client, const struct control *control, int fd)
{
    struct channel *channel = fd >= 0 ? calloc(1, sizeof(*channel)) : NULL;

    if (channel == NULL)
        return NULL;
    channel->source.ready = on_channel;
    channel->client = client;
    channel->pool = control->pool;
    channel->place = control->id;
    channel->mark = &client->worker->shared->marks[control->id];
    channel->fd = fd;
    channel->serial = ++client->last_serial;
    if (worker_watch(client->worker, EPOLL_CTL_ADD, fd, EPOLLIN,
                     &channel->source)
        != 0) {
        free(channel);
        return NULL;
    }
    channel->next = client->channels;
    client->channels = channel;
    return channel;
}

void
authclient_add(struct authclient *client, const struct control *control,
               int fd)
{
    authclient_free_closed(client);
    if (control->id < client->worker->shared->mark_count) {
        client->missed[control->id] = new_channel(client, control, fd) == NULL;
        if (!client->missed[control->id]) {
            authclient_pump(client, control->pool);
            return;
        }
    }
    if (fd >= 0)
        close(fd);
}

uint64_t
authclient_missed(const struct authclient *client)
{
    uint64_t place;

    for (place = 0; place < client->worker->shared->mark_count; place++)
        if (client->missed[place])
            return place + 1;
    return 0;
}

struct channel *
authclient_find(const struct authclient *client, uint64_t serial)
{
    struct channel *channel = client->channels;

    while (channel != NULL && channel->serial != serial)
        channel = channel->next;
    return channel;
}

void
authclient_end_exchange(struct authclient *client,
                        const struct channel *channel, uint64_t exchange)
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
    client->missed[channel->place] = true; /* until there is another one */
    channel->task = NULL;
    channel->next = client->closed;
    client->closed = channel;
    if (task != NULL) {
        task->channel = NULL;
        authclient_answer(task, KPOP_TEMP);
    }
    /* Steps that waited for it; each answer may change the queue. */
    do {
        for (waiting = client->queue[pool];
             waiting != NULL && waiting->channel != channel;)
            waiting = waiting->next;
        if (waiting != NULL) {
            waiting->channel = NULL;
            authclient_answer(waiting, KPOP_TEMP);
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
        if (permit_goes_on(from->result))
            authclient_end_exchange(task->client, task->channel,
                                    from->exchange);
        result = KPOP_TEMP;
    }
    if (!permit_goes_on(from->result)) {
        task->conn->login.exchange = 0; /* over there it is gone */
    } else if (task->request.type == AUTH_START && result >= 0) {
        task->conn->login.exchange = from->exchange;
        task->conn->login.channel = task->channel->serial;
    }
    authclient_answer(task, result);
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
    else if (from.result == KPOP_CONTINUE)
        authclient_end_exchange(channel->client, channel, from.exchange);
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
    authclient_pump(client, pool);
}

/*
 * A process that has time, and is taken before another worker does: behind
 * one that waits for PAM a login would wait too.  Tickets take so little time
 * that a short queue is better than to come back later.
 */
struct channel *
authclient_claim(const struct authclient *client, enum auth_pool pool)
{
    struct channel *any = NULL;
    struct channel *channel;
    bool busy;

    for (channel = client->channels; channel != NULL;
         channel = channel->next) {
        if (channel->pool != pool || channel->busy)
            continue;
        busy = false;
        if (atomic_compare_exchange_strong(&channel->mark->busy, &busy, true))
            return channel;
        any = channel;
    }
    return pool == POOL_KRB ? any : NULL;
}
