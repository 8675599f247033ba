/*
 * talk.c - the places, deadlines and octets behind talk.h.  It understands
 * nothing of what is said.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/talk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugin/host/kpopd/process.h"

enum { ACCEPTS_A_TURN = 8, PAUSE_MS = 200, LEAVE_MS = 3000 };

static int
watch(const struct talk *talk, int operation, int fd, uint32_t events,
      struct source *source)
{
    struct epoll_event event;

    memset(&event, 0, sizeof(event));
    event.events = events;
    event.data.ptr = source;
    return epoll_ctl(talk->epoll, operation, fd, &event);
}

static void
let_go(struct talk_client *client)
{
    if (client->fd < 0)
        return;
    (void)watch(client->talk, EPOLL_CTL_DEL, client->fd, 0, NULL);
    close(client->fd);
    client->fd = -1;
    free(client->answer);
    client->answer = NULL;
    free(client->wait);
    client->wait = NULL;
}

static void
send_answer(struct talk_client *client)
{
    ssize_t n = 0;

    while (client->sent < client->answer_len) {
        n = send(client->fd, client->answer + client->sent,
                 client->answer_len - client->sent,
                 MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        client->sent += (size_t)n;
    }
    if (n < 0 && errno == EAGAIN
        && watch(client->talk, EPOLL_CTL_MOD, client->fd, EPOLLOUT,
                 &client->source)
               == 0)
        return;
    /* Closing now could send a reset, which destroys what is on its way. */
    client->told = true;
    if (n < 0 || shutdown(client->fd, SHUT_WR) != 0
        || watch(client->talk, EPOLL_CTL_MOD, client->fd, EPOLLIN,
                 &client->source)
               != 0)
        let_go(client);
}

void
talk_answer(struct talk_client *client, char *answer, size_t len)
{
    free(client->wait);
    client->wait = NULL;
    client->answer = answer;
    client->answer_len = len;
    client->sent = 0;
    client->end_by = process_now() + TALK_MS;
    if (answer == NULL)
        let_go(client);
    else
        send_answer(client);
}

void
talk_hold(struct talk_client *client, void *wait, uint64_t end_by)
{
    client->wait = wait;
    client->end_by = end_by;
}

/* What comes behind a request is thrown away. */
static void
read_more(struct talk_client *client)
{
    char *at = client->asked ? client->request
                             : client->request + client->len;
    size_t room = client->asked ? TALK_REQUEST_MAX
                                : TALK_REQUEST_MAX - client->len;
    ssize_t got = recv(client->fd, at, room, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        let_go(client); /* nobody is there to be answered */
        return;
    }
    if (client->asked)
        return;
    client->len += (size_t)got;
    client->request[client->len] = '\0';
    if (strlen(client->request) == client->len
        && client->talk->rules->is_whole(client->request)) {
        client->asked = true;
        client->talk->rules->ask(client->talk->arg, client);
    } else if (client->len == TALK_REQUEST_MAX) {
        let_go(client);
    }
}

static void
on_client(struct source *source, uint32_t events)
{
    struct talk_client *client = (struct talk_client *)source;

    if (client->fd < 0)
        return; /* let go earlier in this turn */
    if (client->answer != NULL && !client->told)
        send_answer(client);
    else if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
        read_more(client);
}

/* A free place, or that of the oldest. */
static struct talk_client *
find_place(struct talk *talk)
{
    struct talk_client *oldest = &talk->clients[0];
    size_t i;

    for (i = 0; i < TALK_CLIENTS; i++) {
        if (talk->clients[i].fd < 0)
            return &talk->clients[i];
        if (talk->clients[i].since < oldest->since)
            oldest = &talk->clients[i];
    }
    let_go(oldest);
    return oldest;
}

static void
take(struct talk *talk, int fd)
{
    struct talk_client *client;

    if (talk->rules->admit != NULL && !talk->rules->admit(talk->arg, fd)) {
        close(fd);
        return;
    }
    client = find_place(talk);
    memset(client, 0, sizeof(*client));
    client->source.ready = on_client;
    client->talk = talk;
    client->fd = fd;
    client->since = process_now();
    client->end_by = client->since + TALK_MS;
    if (watch(talk, EPOLL_CTL_ADD, fd, EPOLLIN, &client->source) != 0) {
        close(fd);
        client->fd = -1;
    }
}

static void
on_listener(struct source *source, uint32_t events)
{
    struct talk *talk = (struct talk *)source;
    int fd;
    int i;

    (void)events;
    if (talk->fd < 0)
        return;
    for (i = 0; i < ACCEPTS_A_TURN; i++) {
        fd = accept4(talk->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
            continue;
        if (fd < 0 && errno != EAGAIN) {
            /* No descriptors, for one: epoll would wake us for ever. */
            (void)watch(talk, EPOLL_CTL_DEL, talk->fd, 0, NULL);
            talk->again = process_now() + PAUSE_MS;
        }
        if (fd < 0)
            return;
        take(talk, fd);
    }
}

void
talk_init(struct talk *talk, const struct talk_rules *rules, void *arg,
          int epoll)
{
    size_t i;

    memset(talk, 0, sizeof(*talk));
    talk->source.ready = on_listener;
    talk->rules = rules;
    talk->arg = arg;
    talk->epoll = epoll;
    talk->fd = -1;
    for (i = 0; i < TALK_CLIENTS; i++)
        talk->clients[i].fd = -1;
}

int
talk_open(struct talk *talk, int fd)
{
    int error;

    if (watch(talk, EPOLL_CTL_ADD, fd, EPOLLIN, &talk->source) == 0) {
        talk->fd = fd;
        return 0;
    }
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

void
talk_tend(struct talk *talk, uint64_t now)
{
    size_t i;

    for (i = 0; i < TALK_CLIENTS; i++)
        if (talk->clients[i].fd >= 0 && now >= talk->clients[i].end_by)
            let_go(&talk->clients[i]);
    if (talk->again != 0 && now >= talk->again
        && watch(talk, EPOLL_CTL_ADD, talk->fd, EPOLLIN, &talk->source) == 0)
        talk->again = 0;
}

static void
stop_listening(struct talk *talk)
{
    talk->again = 0;
    if (talk->fd < 0)
        return;
    (void)watch(talk, EPOLL_CTL_DEL, talk->fd, 0, NULL);
    close(talk->fd);
    talk->fd = -1;
}

void
talk_leave(struct talk *talk, uint64_t now)
{
    size_t i;

    stop_listening(talk);
    for (i = 0; i < TALK_CLIENTS; i++)
        if (talk->clients[i].end_by > now + LEAVE_MS)
            talk->clients[i].end_by = now + LEAVE_MS;
}

bool
talk_is_empty(const struct talk *talk)
{
    size_t i;

    for (i = 0; i < TALK_CLIENTS; i++)
        if (talk->clients[i].fd >= 0)
            return false;
    return true;
}

void
talk_close(struct talk *talk)
{
    size_t i;

    for (i = 0; i < TALK_CLIENTS; i++)
        let_go(&talk->clients[i]);
    stop_listening(talk);
}
