/*
 * conn.c - moves octets between a socket and its session.  Everything that
 * happens to a connection ends in settle(), which sends what there is, keeps
 * the deadline and tells epoll what to wait for.
 *
 * A client that has gone is still read to the end: what it sent before, a
 * QUIT among it, counts.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/process.h"

/* What one connection may send before the others have their turn. */
enum { FLUSH_MAX = 256 * 1024, SETTLE_TURNS = 8 };

static void settle(struct conn *conn);

/* ---- birth and death ---- */

static void
unlink_conn(struct conn *conn)
{
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        conn->worker->conns = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    conn->prev = NULL;
    conn->next = NULL;
}

/* When nothing can refer to it any more but events of this turn. */
static void
maybe_die(struct conn *conn)
{
    struct worker *worker = conn->worker;

    if (conn->fd >= 0 || conn->session != NULL || conn->pending > 0
        || conn->inside)
        return;
    timers_set(&worker->timers, &conn->timer, TIMER_NEVER);
    worker->conn_count--;
    conn->next = worker->dead;
    worker->dead = conn;
}

void
conn_bury(struct worker *worker)
{
    struct conn *conn;

    while ((conn = worker->dead) != NULL) {
        worker->dead = conn->next;
        free(conn->user);
        conn_proxy_free(conn->proxy);
        free(conn);
    }
}

static void
close_session(struct conn *conn)
{
    struct kpop_session *session = conn->session;

    if (session == NULL)
        return;
    conn->session = NULL;
    conn->inside = true;
    conn->worker->api->session_close(session);
    conn->inside = false;
}

/* Closes the socket; the struct may live on for an open question. */
static void
close_socket(struct conn *conn)
{
    if (conn->fd < 0)
        return;
    if (conn->watched)
        (void)worker_watch(conn->worker, EPOLL_CTL_DEL, conn->fd, 0, NULL);
    conn->watched = false;
    close(conn->fd);
    conn->fd = -1;
    timers_set(&conn->worker->timers, &conn->timer, TIMER_NEVER);
    unlink_conn(conn);
    worker_report(conn->worker, CONTROL_CLOSED, conn->id);
    maybe_die(conn);
}

void
conn_abort(struct conn *conn)
{
    close_session(conn);
    close_socket(conn);
}

/* ---- epoll ---- */

void
conn_watch(struct conn *conn, uint32_t events)
{
    int rc = 0;

    /* A reset shows forever, whatever is asked for: stop watching until
     * there is something to do again. */
    if (conn->deaf && events == 0) {
        if (conn->watched)
            rc = worker_watch(conn->worker, EPOLL_CTL_DEL, conn->fd, 0, NULL);
        conn->watched = false;
    } else if (!conn->watched) {
        rc = worker_watch(conn->worker, EPOLL_CTL_ADD, conn->fd, events,
                          &conn->source);
        conn->watched = true;
    } else if (events != conn->events) {
        rc = worker_watch(conn->worker, EPOLL_CTL_MOD, conn->fd, events,
                          &conn->source);
    }
    conn->events = events;
    if (rc != 0) {
        log_event(KPOP_LOG_ERROR, "process.fail",
                  "call=epoll_ctl error=\"%s\"", strerror(errno));
        conn->watched = false;
        conn_abort(conn);
    }
}

/* ---- linger ---- */

static void
on_linger(struct conn *conn)
{
    ssize_t got;

    do {
        got = recv(conn->fd, conn->worker->buffer,
                   sizeof(conn->worker->buffer), MSG_DONTWAIT);
        if (got > 0)
            conn->lingered += (uint32_t)got;
    } while (got > 0 && conn->lingered < LINGER_OCTETS);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    close_socket(conn);
}

/* The last octets are with the kernel.  Closing with input unread would send
 * a reset, which can destroy them; whoever has said QUIT sends no more. */
static void
begin_linger(struct conn *conn, bool parted)
{
    close_session(conn);
    if (parted || conn->eof || conn->deaf
        || shutdown(conn->fd, SHUT_WR) != 0) {
        close_socket(conn);
        return;
    }
    timers_set(&conn->worker->timers, &conn->timer,
               process_now() + LINGER_MS);
    conn_watch(conn, EPOLLIN);
}

/* ---- octets ---- */

/* Sends what there is, one write an answer.  True when some is left. */
static bool
flush(struct conn *conn)
{
    const struct kpop_api *api = conn->worker->api;
    const void *data;
    size_t sent = 0;
    size_t len;
    ssize_t n;

    while ((len = api->output(conn->session, &data)) > 0) {
        if (sent >= FLUSH_MAX)
            return true;
        n = (ssize_t)len;
        if (!conn->deaf)
            n = send(conn->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n < 0) {
            conn->deaf = true; /* but what it said still counts */
            /* Whatever the reason was: its end shows as an event. */
            (void)shutdown(conn->fd, SHUT_RDWR);
            continue;
        }
        sent += (size_t)n;
        api->wrote(conn->session, (size_t)n);
    }
    return false;
}

/* The module's deadline; ticks when it has come. */
static uint64_t
keep_time(struct conn *conn)
{
    const struct kpop_api *api = conn->worker->api;
    uint64_t now = process_now();
    uint64_t when = api->deadline(conn->session);

    if (when > now)
        return when;
    api->tick(conn->session, now);
    when = api->deadline(conn->session);
    return when > now ? when : now + 1;
}

static void
settle(struct conn *conn)
{
    struct worker *worker = conn->worker;
    uint32_t events = 0;
    uint64_t when = TIMER_NEVER;
    uint32_t wants = 0;
    bool more = false;
    int turns;

    /* What the clock says may make output, and output may move the clock. */
    conn->inside = true;
    for (turns = 0; turns < SETTLE_TURNS; turns++) {
        const void *data;

        more = flush(conn);
        when = keep_time(conn);
        if (more || worker->api->output(conn->session, &data) == 0)
            break;
    }
    wants = worker->api->wants(conn->session);
    conn->inside = false;
    conn_note_login(conn, wants);
    if ((wants & KPOP_WANT_CLOSE) != 0 && (wants & KPOP_WANT_WRITE) == 0) {
        begin_linger(conn, (wants & KPOP_IS_PARTED) != 0);
        return;
    }
    if ((wants & KPOP_WANT_READ) != 0 && !conn->eof)
        events |= EPOLLIN;
    if ((wants & KPOP_WANT_WRITE) != 0)
        events |= EPOLLOUT;
    if (conn->end_by != 0 && conn->end_by < when)
        when = conn->end_by;
    timers_set(&worker->timers, &conn->timer, when);
    conn_watch(conn, events);
}

static void
end_input(struct conn *conn)
{
    conn->eof = true;
    conn->worker->api->input_end(conn->session, process_now());
}

static void
read_input(struct conn *conn)
{
    struct worker *worker = conn->worker;
    const struct kpop_api *api = worker->api;
    size_t taken;
    ssize_t got;

    if (conn->eof || (api->wants(conn->session) & KPOP_WANT_READ) == 0)
        return;
    got = recv(conn->fd, worker->buffer, sizeof(worker->buffer),
               MSG_DONTWAIT);
    if (got > 0) {
        if (!conn->heard && !conn->has_via)
            conn_proxy_look(conn, worker->buffer, (size_t)got);
        conn->heard = true;
        taken = api->input(conn->session, worker->buffer, (size_t)got,
                           process_now());
        explicit_bzero(worker->buffer, (size_t)got); /* passwords */
        if (taken < (size_t)got) {
            log_event(KPOP_LOG_ERROR, "process.fail",
                      "text=\"the module refused input it wanted\"");
            end_input(conn);
        }
    } else if (got == 0) {
        end_input(conn);
    } else if (errno != EAGAIN && errno != EINTR) {
        conn->deaf = true;
        end_input(conn);
    }
}

static void
on_event(struct source *source, uint32_t events)
{
    struct conn *conn = (struct conn *)source;

    if (conn->fd < 0)
        return; /* closed earlier in this turn */
    if (conn->proxy != NULL) {
        conn_proxy_read(conn, events);
        return;
    }
    if (conn->session == NULL) {
        on_linger(conn);
        return;
    }
    if ((events & (EPOLLERR | EPOLLHUP)) != 0)
        conn->deaf = true;
    conn->inside = true;
    if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
        read_input(conn);
    conn->inside = false;
    settle(conn);
}

static void
on_timer(struct timer *timer, uint64_t now)
{
    struct conn *conn =
        (struct conn *)(void *)((char *)timer - offsetof(struct conn, timer));

    if (conn->proxy != NULL)
        conn_proxy_late(conn);
    else if (conn->session == NULL)
        close_socket(conn); /* lingered long enough */
    else if (conn->end_by != 0 && now >= conn->end_by)
        conn_abort(conn);
    else
        settle(conn);
}

/* ---- what others do with it ---- */

static int32_t
new_session(struct conn *conn, const struct control *control, uint64_t began)
{
    struct worker *worker = conn->worker;
    struct sockaddr_storage name;
    socklen_t name_len = sizeof(name);
    struct address local;
    char local_text[ADDRESS_TEXT_MAX] = "";
    char peer_text[ADDRESS_TEXT_MAX];
    char id[32];
    struct kpop_facts facts;
    unsigned port = 0;

    snprintf(id, sizeof(id), "%llx", (unsigned long long)conn->id);
    if (getsockname(conn->fd, (struct sockaddr *)&name, &name_len) == 0
        && address_from_socket((struct sockaddr *)&name, &local, &port))
        (void)address_print(&local, local_text, sizeof(local_text));
    memset(&facts, 0, sizeof(facts));
    facts.size = sizeof(facts);
    facts.service = control->service;
    facts.session_id = id;
    facts.peer_address =
        address_print(&control->peer, peer_text, sizeof(peer_text));
    facts.peer_port = control->peer_port;
    facts.local_address = local_text;
    facts.local_port = port;
    facts.tls_version = "";
    facts.tls_cipher = "";
    facts.tls_server_name = "";
    facts.binding_type = "";
    return worker->api->session_new(worker->setup->sessions, &facts, conn,
                                    began, &conn->session);
}

static struct conn *
alloc_conn(struct worker *worker, uint64_t id, int fd)
{
    struct conn *conn = calloc(1, sizeof(*conn));

    if (conn == NULL
        || timers_reserve(&worker->timers, 2 * worker->conn_count + 4) != 0) {
        free(conn);
        return NULL;
    }
    conn->source.ready = on_event;
    conn->timer.fire = on_timer;
    conn->worker = worker;
    conn->id = id;
    conn->fd = fd;
    return conn;
}

void
conn_begin(struct conn *conn, const struct control *control, uint64_t began)
{
    int32_t rc;

    conn->inside = true;
    rc = new_session(conn, control, began);
    conn->inside = false;
    if (rc == KPOP_OK) {
        settle(conn);
        return;
    }
    log_event(KPOP_LOG_ERROR, "process.fail",
              "call=session_new result=%d service=%s", (int)rc,
              control->service);
    conn_abort(conn);
}

void
conn_new(struct worker *worker, const struct control *control, int fd)
{
    struct conn *conn = alloc_conn(worker, control->id, fd);

    if (conn == NULL) {
        log_event(KPOP_LOG_ERROR, "process.fail",
                  "text=\"out of memory; a connection is closed\" "
                  "service=%s",
                  control->service);
        close(fd);
        worker_report(worker, CONTROL_CLOSED, control->id);
        return;
    }
    worker->conn_count++;
    conn->next = worker->conns;
    if (conn->next != NULL)
        conn->next->prev = conn;
    worker->conns = conn;
    if (control->proxied)
        conn_proxy_start(conn, control);
    else
        conn_begin(conn, control, process_now());
    if (worker->stopping && conn->fd >= 0)
        conn_stop(conn);
}

void
conn_stop(struct conn *conn)
{
    if (conn->proxy != NULL)
        conn_abort(conn);
    if (conn->session == NULL)
        return;
    conn->inside = true;
    conn->worker->api->session_stop(conn->session, process_now());
    conn->inside = false;
    settle(conn);
}

void
conn_hold(struct conn *conn)
{
    conn->pending++;
}

void
conn_answer(struct conn *conn, struct kpop_op *op, int32_t result)
{
    const bool nested = conn->inside;

    conn->inside = true;
    (void)conn->worker->api->done(op, result);
    conn->inside = nested;
    conn->pending--;
    if (nested)
        return; /* whoever is inside settles */
    if (conn->session != NULL)
        settle(conn);
    else
        maybe_die(conn);
}
