/*
 * auth.c - the loop of an auth process: one request of a worker at a time,
 * by the permit table, to one exchange of the module.  Runs as auth_user;
 * whatever a worker sends is taken for hostile.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/auth.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin/host/kpopd/auth_host.h"
#include "plugin/host/kpopd/authmsg.h"
#include "plugin/host/kpopd/ipc.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/metrics.h"
#include "plugin/host/kpopd/permit.h"
#include "plugin/host/kpopd/process.h"

/* An exchange outlives the login timer by this, milliseconds: the session
 * that owns it ends it, this is for one that forgot. */
enum { EXPIRY_SLACK = 10000, CHANNELS_MAX = 2048, BEAT_MAX_MS = 1000 };

struct login {
    struct login *next; /* an older one */
    uint64_t id;
    struct kpop_exchange *exchange;
    enum permit_state state;
    unsigned steps;
    bool fed;              /* its first message came: a ticket has that one */
    uint64_t expires;
    struct auth_host_peer peer;
};

/* To one worker. */
struct channel {
    int fd;
    struct login *logins; /* newest first */
};

struct auth {
    const struct kpop_api *api;
    const struct setup *setup;
    struct auth_host_context context;
    enum auth_pool pool;
    struct auth_mark *mark;
    struct channel *channels;
    size_t channel_count;
    size_t login_count;    /* of all channels */
    uint64_t expire_at;    /* when to look for those whose time is over */
    struct pollfd *polls; /* control, then the channels */
    size_t frame_len; /* of the request */
    uint8_t frame[IPC_FRAME_MAX];
};

static struct login **
find_login(struct channel *channel, uint64_t id)
{
    struct login **at = &channel->logins;

    while (*at != NULL && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

static void
end_login(struct auth *auth, struct login **at)
{
    struct login *login = *at;

    if (login == NULL)
        return;
    *at = login->next;
    auth->login_count--;
    auth->api->exchange_free(login->exchange);
    free(login);
}

/* Half-finished ones whose session forgot them. */
static void
expire_logins(struct auth *auth, uint64_t now)
{
    size_t i;

    if (now < auth->expire_at)
        return;
    auth->expire_at = now + EXPIRY_SLACK;
    for (i = 0; i < auth->channel_count; i++) {
        struct login **at = &auth->channels[i].logins;

        while (*at != NULL && (*at)->expires > now)
            at = &(*at)->next;
        /* All behind it are older. */
        while (*at != NULL)
            end_login(auth, at);
    }
}

/* Of all workers, so that none can take what belongs to the others. */
static void
end_oldest(struct auth *auth)
{
    struct login **oldest = NULL;
    struct login **at;
    size_t i;

    for (i = 0; i < auth->channel_count; i++) {
        at = &auth->channels[i].logins;
        if (*at == NULL)
            continue;
        while ((*at)->next != NULL)
            at = &(*at)->next;
        if (oldest == NULL || (*at)->expires < (*oldest)->expires)
            oldest = at;
    }
    if (oldest != NULL)
        end_login(auth, oldest);
}

/* No callback of ours answers later, so the module has no reason to. */
static void
complete(void *arg, int32_t result)
{
    (void)arg;
    (void)result;
}

static void
peer_fill(struct auth_host_peer *peer, const struct kpop_facts *facts)
{
    snprintf(peer->address, sizeof(peer->address), "%s",
             facts->peer_address);
    snprintf(peer->session, sizeof(peer->session), "%s", facts->session_id);
}

static int32_t
start_login(struct auth *auth, struct channel *channel,
            const struct auth_request *request, struct login **login_out)
{
    const struct settings *s = &auth->setup->settings;
    uint64_t now = process_now();
    struct login *login;
    int32_t rc;

    if (auth->login_count >= s->max_unauthenticated)
        end_oldest(auth);
    login = calloc(1, sizeof(*login));
    if (login == NULL)
        return KPOP_TEMP;
    rc = auth->api->exchange_new(auth->setup->logins, &request->facts,
                                 &auth->context, request->mechanism,
                                 &login->exchange);
    if (rc != KPOP_OK) {
        free(login);
        return rc;
    }
    login->id = request->exchange;
    login->expires = now + s->login_timeout + EXPIRY_SLACK;
    peer_fill(&login->peer, &request->facts);
    login->next = channel->logins;
    channel->logins = login;
    auth->login_count++;
    *login_out = login;
    return KPOP_OK;
}

/* Wiped behind it, for delegated credentials; what did not fit was written in
 * part. */
static int
send_answer(struct auth *auth, const struct channel *channel,
            struct auth_answer *answer)
{
    static const struct kpop_outcome nothing;
    size_t len = auth_answer_encode(answer, auth->frame, sizeof(auth->frame));
    int sent;

    if (len == 0) {
        explicit_bzero(auth->frame, sizeof(auth->frame));
        answer->result = KPOP_TEMP;
        answer->outcome = nothing;
        len = auth_answer_encode(answer, auth->frame, sizeof(auth->frame));
    }
    sent = ipc_send(channel->fd, auth->frame, len, -1);
    explicit_bzero(auth->frame, len);
    return sent;
}

/* One step, and its answer.  0, or -1 when the channel must go. */
static int
run_step(struct auth *auth, struct channel *channel, struct login *login,
         const struct auth_request *request)
{
    const uint64_t since = process_micros();
    struct auth_answer answer;
    int sent;

    memset(&answer, 0, sizeof(answer));
    answer.exchange = request->exchange;
    answer.outcome.size = sizeof(answer.outcome);
    auth->context.peer = &login->peer;
    answer.result = auth->api->exchange_step(
        login->exchange, request->data, request->size, complete, NULL);
    if (auth->pool == POOL_KRB && !login->fed && request->size > 0)
        metrics_note_time(TIME_TICKET, process_micros() - since);
    login->fed = login->fed || request->size > 0;
    auth->api->exchange_outcome(login->exchange, &answer.outcome);
    if (answer.result == KPOP_PENDING || answer.result > KPOP_CONTINUE)
        answer.result = KPOP_TEMP;
    login->steps++;
    login->state = permit_after(request->type, answer.result, login->steps);
    /* The request lies in the frame that the answer overwrites. */
    explicit_bzero(auth->frame, auth->frame_len);
    sent = send_answer(auth, channel, &answer);
    if (login->state == PERMIT_ABSENT)
        end_login(auth, find_login(channel, login->id));
    return sent;
}

static int
refuse(struct auth *auth, const struct channel *channel, uint64_t id,
       int32_t result)
{
    struct auth_answer answer;

    memset(&answer, 0, sizeof(answer));
    answer.exchange = id;
    answer.result = result;
    return send_answer(auth, channel, &answer);
}

/* For a worker that has verified a ticket itself. */
static int
decide(struct auth *auth, const struct channel *channel,
       const struct auth_request *request)
{
    const struct auth_claim *claim = &request->claim;
    const struct kpop_identity identity = {
        .size = sizeof(identity),
        .mechanism = request->mechanism,
        .authcid = claim->authcid,
        .requested = claim->requested,
        .local = claim->local,
        .facts = &request->facts,
    };
    struct auth_host_peer peer;
    struct auth_answer answer;

    peer_fill(&peer, &request->facts);
    auth->context.peer = &peer;
    memset(&answer, 0, sizeof(answer));
    answer.exchange = request->exchange;
    answer.result =
        auth_host_decide(&auth->context, &identity, &answer.outcome.user);
    return send_answer(auth, channel, &answer);
}

static bool
is_permitted(const struct auth *auth, const struct login *login,
             const struct auth_request *request)
{
    if (!permit_request(login != NULL ? login->state : PERMIT_ABSENT,
                        request->type))
        return false;
    if (request->type == AUTH_START)
        return permit_pool(request->mechanism, &auth->setup->settings)
               == auth->pool;
    return request->type != AUTH_DECIDE
           || (auth->pool == POOL_KRB && auth->setup->settings.layers);
}

static int
serve_request(struct auth *auth, struct channel *channel,
              const struct auth_request *request)
{
    struct login **at = find_login(channel, request->exchange);
    struct login *login = *at;
    int32_t rc;

    if (!is_permitted(auth, login, request)) {
        /* An exchange may have expired under a slow client. */
        if (request->type == AUTH_STEP && login == NULL)
            return refuse(auth, channel, request->exchange, KPOP_TEMP);
        log_event(KPOP_LOG_ERROR, "process.violation",
                  "request=%d text=\"a worker asked what it may not; its "
                  "channel is closed\"",
                  (int)request->type);
        return -1;
    }
    if (request->type == AUTH_END) {
        end_login(auth, at);
        return 0;
    }
    if (request->type == AUTH_DECIDE)
        return decide(auth, channel, request);
    if (request->type == AUTH_START) {
        rc = start_login(auth, channel, request, &login);
        if (rc != KPOP_OK)
            return refuse(auth, channel, request->exchange, rc);
    }
    /* The table permits a step of a login that is there only. */
    return login != NULL ? run_step(auth, channel, login, request) : -1;
}

/* 0, or -1 when the channel must go. */
static int
serve_channel(struct auth *auth, struct channel *channel)
{
    struct auth_request request;
    ssize_t len =
        ipc_recv(channel->fd, auth->frame, sizeof(auth->frame), NULL);
    int rc;

    if (len < 0 && errno == EAGAIN)
        return 0;
    if (len <= 0)
        return -1;
    if (!auth_request_decode(auth->frame, (size_t)len, &request)) {
        log_event(KPOP_LOG_ERROR, "process.violation",
                  "text=\"a worker sent a malformed request; its channel is "
                  "closed\"");
        return -1;
    }
    atomic_store(&auth->mark->alive, process_now());
    auth->frame_len = (size_t)len;
    sources_turn(&auth->context.sources);
    rc = serve_request(auth, channel, &request);
    explicit_bzero(auth->frame, (size_t)len);
    return rc;
}

static void
close_channel(struct auth *auth, struct channel *channel)
{
    while (channel->logins != NULL)
        end_login(auth, &channel->logins);
    close(channel->fd);
    *channel = auth->channels[--auth->channel_count];
}

static int
add_channel(struct auth *auth, int fd)
{
    size_t count = auth->channel_count + 1;
    struct channel *channels;
    struct pollfd *polls;

    if (count > CHANNELS_MAX)
        return -1;
    channels = realloc(auth->channels, count * sizeof(channels[0]));
    if (channels == NULL)
        return -1;
    auth->channels = channels;
    polls = realloc(auth->polls, (count + 1) * sizeof(polls[0]));
    if (polls == NULL)
        return -1;
    auth->polls = polls;
    memset(&channels[count - 1], 0, sizeof(channels[0]));
    channels[count - 1].fd = fd;
    auth->channel_count = count;
    return 0;
}

/* False when it has to end, as when the master is gone. */
static bool
serve_control(struct auth *auth, int control_fd)
{
    struct control control;
    int pass = -1;
    int rc = control_recv(control_fd, &control, &pass);

    if (rc <= 0)
        return rc < 0 && errno == EAGAIN;
    if (control.type == CONTROL_CHANNEL && pass >= 0
        && add_channel(auth, pass) == 0)
        return true;
    if (pass >= 0)
        close(pass);
    /* A worker would never reach it: the master starts another one. */
    if (control.type == CONTROL_CHANNEL)
        log_event(KPOP_LOG_ERROR, "process.fail",
                  "text=\"no memory or descriptor for the channel of a "
                  "worker; the process ends\"");
    return control.type != CONTROL_CHANNEL && control.type != CONTROL_STOP;
}

static void
auth_loop(struct auth *auth, int control_fd)
{
    const uint64_t quarter = auth->setup->settings.auth_timeout / 4;
    const int beat = quarter < BEAT_MAX_MS ? (int)quarter : BEAT_MAX_MS;
    size_t i;

    for (;;) {
        atomic_store(&auth->mark->alive, process_now());
        atomic_store(&auth->mark->busy, false);
        expire_logins(auth, process_now());
        auth->polls[0].fd = control_fd;
        auth->polls[0].events = POLLIN;
        for (i = 0; i < auth->channel_count; i++) {
            auth->polls[i + 1].fd = auth->channels[i].fd;
            auth->polls[i + 1].events = POLLIN;
        }
        if (poll(auth->polls, auth->channel_count + 1, beat) <= 0)
            continue;
        atomic_store(&auth->mark->busy, true);
        /* From the end, because a closed one is filled by the last. */
        for (i = auth->channel_count; i > 0; i--)
            if (auth->polls[i].revents != 0
                && serve_channel(auth, &auth->channels[i - 1]) != 0)
                close_channel(auth, &auth->channels[i - 1]);
        if (auth->polls[0].revents != 0 && !serve_control(auth, control_fd))
            return;
    }
}

int
auth_main(const struct setup *setup, enum auth_pool pool, int control_fd,
          struct auth_mark *mark)
{
    const struct control ready = { .type = CONTROL_READY };
    struct auth *auth = calloc(1, sizeof(*auth));
    int status = 1;

    if (auth == NULL)
        return 1;
    auth_host_begin();
    auth->api = setup->api;
    auth->setup = setup;
    auth->context.api = setup->api;
    auth->pool = pool;
    auth->mark = mark;
    auth->polls = calloc(1, sizeof(auth->polls[0]));
    if (auth->polls != NULL
        && auth_host_ready(&auth->context, setup, pool) == 0
        && control_send(control_fd, &ready, -1) == 0) {
        auth_loop(auth, control_fd);
        status = 0;
    }
    while (auth->channel_count > 0)
        close_channel(auth, &auth->channels[0]);
    sources_close(&auth->context.sources);
    free(auth->channels);
    free(auth->polls);
    free(auth);
    return status;
}
