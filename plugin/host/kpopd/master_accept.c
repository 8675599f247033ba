/*
 * master_accept.c - accepts connections and hands them to workers.  The one
 * place where connections are limited.  Not an octet of a client is read.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/master_internal.h"
#include "plugin/host/kpopd/process.h"
#include "plugin/host/kpopd/refuse.h"

enum { ACCEPTS_A_TURN = 64 };

/* Of those that can take the connection `id`; 0 is none in particular. */
static struct child *
least_loaded(const struct master *master, uint64_t id)
{
    struct generation *generation = master->current;
    struct child *best = NULL;
    struct child *child;
    size_t i;

    for (i = 0; i < generation->count; i++) {
        child = &generation->children[i];
        if (child->kind != CHILD_WORKER || child->pid == 0
            || child->control < 0 || (id != 0 && child->refused == id))
            continue;
        if (best == NULL || child->sessions < best->sessions)
            best = child;
    }
    return best;
}

static void
evict(const struct limits_victim *victim)
{
    const struct child *owner = victim->owner;
    struct control control;

    metrics_add(COUNT_EVICTED, 1);
    if (owner == NULL || owner->control < 0)
        return;
    memset(&control, 0, sizeof(control));
    control.type = CONTROL_EVICT;
    control.id = victim->id;
    (void)control_send(owner->control, &control, -1);
}

/* Nothing that it sends is read. */
static void
refuse_stranger(const struct listener *listener, const struct address *peer,
                int fd)
{
    char address[ADDRESS_TEXT_MAX];

    metrics_add(COUNT_REFUSED, 1);
    log_event(KPOP_LOG_WARNING, "session.proxy",
              "service=%s peer=%s text=\"only the proxies of "
              "haproxy_trusted_networks may connect here\"",
              listener->service,
              address_print(peer, address, sizeof(address)));
    close(fd);
}

static int
offer(struct child *worker, const struct control *control, int fd)
{
    if (!child_takes(worker))
        return EAGAIN;
    if (control_send(worker->control, control, fd) == 0)
        return 0;
    return errno == ENOBUFS || errno == ETOOMANYREFS ? EAGAIN : errno;
}

/* Passes it to the worker with the fewest sessions that will take it.  0, or
 * an errno: EAGAIN when those that run are too busy to read their channel. */
static int
hand_over(struct master *master, const struct control *control, int fd)
{
    struct child *worker;
    int result = ESRCH;
    int error;

    while ((worker = least_loaded(master, control->id)) != NULL) {
        error = offer(worker, control, fd);
        if (error == 0) {
            struct session *row = sessions_find(master->sessions,
                                                control->id);

            if (row != NULL)
                row->owner = worker;
            worker->sessions++;
            limits_set_owner(master->limits, control->id, worker);
            return 0;
        }
        /* One that died a moment ago is none to wait for. */
        if (result != EAGAIN)
            result = error;
        worker->refused = control->id;
    }
    return result;
}

static void
give_up(struct master *master, const struct control *control, int error)
{
    metrics_add(COUNT_REFUSED, 1);
    log_event(KPOP_LOG_WARNING, "session.refused",
              "service=%s text=\"no worker takes the connection\" "
              "error=\"%s\"",
              control->service,
              error == ESRCH ? "none runs" : strerror(error));
    limits_remove(master->limits, control->id, NULL);
    sessions_remove(master->sessions, control->id, NULL);
}

/* Keeps one connection until a worker has time; those behind it wait in the
 * kernel's queue of the listener. */
static void
hold(struct master *master, const struct control *control, int fd)
{
    const uint64_t now = process_now();

    if (master->held.id != control->id) {
        master->held_since = now;
    } else if (master->held_since != 0
               && now - master->held_since >= BUSY_TOLD) {
        log_event(KPOP_LOG_WARNING, "process.fail",
                  "text=\"all workers are too busy to take connections\"");
        master->held_since = 0; /* said once */
    }
    master->held = *control;
    master->held_fd = fd;
    master_stop_accepting(master);
    master->accept_again = now + BUSY_PAUSE;
}

static void
place(struct master *master, const struct control *control, int fd)
{
    int error = hand_over(master, control, fd);

    if (error == EAGAIN) {
        hold(master, control, fd);
        return;
    }
    if (error != 0)
        give_up(master, control, error);
    close(fd);
}

static void
place_held(struct master *master)
{
    const struct generation *generation = master->current;
    const struct control control = master->held;
    const int fd = master->held_fd;
    size_t i;

    for (i = 0; i < generation->count; i++)
        generation->children[i].refused = 0;
    master->held_fd = -1;
    place(master, &control, fd);
}

static enum limits_verdict
admit(struct master *master, const struct control *control,
      struct limits_victim *victim_out)
{
    if (control->proxied)
        return limits_admit_proxied(master->limits, control->id, victim_out);
    return limits_admit(master->limits, control->id, &control->peer,
                        victim_out);
}

static void
take(struct master *master, const struct listener *listener, int fd,
     const struct sockaddr *from)
{
    const struct settings *s = &master->current->setup->settings;
    struct limits_victim victim;
    struct control control;

    memset(&control, 0, sizeof(control));
    control.type = CONTROL_CONNECTION;
    control.id = ++master->last_id;
    _Static_assert(sizeof(control.service) == sizeof(listener->service),
                   "a service's name fits into a frame");
    memcpy(control.service, listener->service, sizeof(control.service));
    if (!address_from_socket(from, &control.peer, &control.peer_port)) {
        close(fd);
        return;
    }
    control.proxied = kpopd_settings_proxied(s, control.service);
    if (control.proxied
        && !networks_hold(s->proxies, s->proxy_count, &control.peer)) {
        refuse_stranger(listener, &control.peer, fd);
        return;
    }
    switch (admit(master, &control, &victim)) {
    case LIMITS_REFUSE:
        metrics_add(COUNT_REFUSED, 1);
        refuse_busy(fd, control.service, &control.peer, NULL);
        close(fd);
        return;
    case LIMITS_EVICT:
        evict(&victim);
        break;
    case LIMITS_ADMIT:
        break;
    }
    metrics_took_connection(control.service);
    if (!sessions_add(master->sessions, &control, process_now()))
        log_event(KPOP_LOG_ERROR, "process.fail",
                  "text=\"out of memory; kpopctl is not told of a session\"");
    place(master, &control, fd);
}

void
master_judge_proxied(struct master *master, const struct child *worker,
                     const struct control *control)
{
    struct limits_victim victim;
    struct control answer;

    memset(&answer, 0, sizeof(answer));
    answer.type = CONTROL_ADMIT;
    answer.id = control->id;
    switch (limits_move(master->limits, control->id, worker, &control->peer,
                        &victim)) {
    case LIMITS_REFUSE:
        metrics_add(COUNT_REFUSED, 1);
        answer.type = CONTROL_REFUSE;
        break;
    case LIMITS_EVICT:
        evict(&victim);
        break;
    case LIMITS_ADMIT:
        break;
    }
    if (answer.type == CONTROL_ADMIT)
        sessions_moved(master->sessions, control, worker);
    /* If it can't be sent, the worker closes the connection in time. */
    if (control_send(worker->control, &answer, -1) != 0)
        log_event(KPOP_LOG_ERROR, "process.fail",
                  "text=\"a worker can't be told of a client\" error=\"%s\"",
                  strerror(errno));
}

static void
on_listener(struct source *source, uint32_t events)
{
    const struct listener *listener = (const struct listener *)source;
    struct master *master = listener->owner;
    struct sockaddr_storage from;
    socklen_t size;
    int fd;
    int i;

    (void)events;
    for (i = 0; i < ACCEPTS_A_TURN && master->accepting; i++) {
        size = sizeof(from);
        fd = accept4(listener->fd, (struct sockaddr *)&from, &size,
                     SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            take(master, listener, fd, (struct sockaddr *)&from);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS
            || errno == ENOMEM) {
            log_event(KPOP_LOG_ERROR, "process.fail",
                      "call=accept error=\"%s\"", strerror(errno));
            master_stop_accepting(master);
            master->accept_again = process_now() + ACCEPT_PAUSE;
        }
        if (errno != ECONNABORTED && errno != EINTR)
            return;
    }
}

void
master_own_listeners(struct master *master)
{
    struct listener *listener;
    const int on = 1;

    for (listener = master->listeners; listener != NULL;
         listener = listener->next) {
        listener->source.ready = on_listener;
        listener->owner = master;
        /* Its connections inherit this. */
        (void)setsockopt(listener->fd, IPPROTO_TCP, TCP_NODELAY, &on,
                         sizeof(on));
    }
}

static void
watch_listeners(struct master *master, int operation)
{
    struct listener *listener;
    struct epoll_event event;

    for (listener = master->listeners; listener != NULL;
         listener = listener->next) {
        memset(&event, 0, sizeof(event));
        event.events = EPOLLIN;
        event.data.ptr = &listener->source;
        (void)epoll_ctl(master->epoll, operation, listener->fd, &event);
    }
}

void
master_stop_accepting(struct master *master)
{
    if (master->accepting)
        watch_listeners(master, EPOLL_CTL_DEL);
    master->accepting = false;
}

void
master_accept_when_possible(struct master *master, uint64_t now)
{
    bool possible = !master->stopping && now >= master->accept_again
                    && least_loaded(master, 0) != NULL;

    if (master->held_fd >= 0 && possible)
        place_held(master);
    if (master->held_fd >= 0 && master->stopping) {
        close(master->held_fd);
        master->held_fd = -1;
    }
    possible = possible && master->held_fd < 0;
    if (possible && !master->accepting) {
        master->accept_again = 0;
        watch_listeners(master, EPOLL_CTL_ADD);
        master->accepting = true;
    } else if (!possible) {
        master_stop_accepting(master);
    }
}
