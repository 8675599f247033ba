/*
 * conn_proxy.c - the time of a connection before its session, when a proxy
 * tells who the client is: reads exactly the header, asks the master whether
 * that client may come in, and begins.
 *
 * What comes behind the header, TLS perhaps, stays with the kernel.  The
 * master took the connection because the proxy is one it may believe.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "plugin/host/kpopd/conn.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/process.h"
#include "plugin/host/kpopd/proxy.h"
#include "plugin/host/kpopd/refuse.h"

/* A proxy sends it at once; this is for a segment that gets lost. */
enum { HEADER_MS = 5000 };

struct conn_proxy {
    struct control control; /* of its connection; later with the client */
    uint64_t began;
    size_t len;             /* of the header, as far as it was taken */
    bool asked;             /* the master was */
    uint8_t header[PROXY_MAX];
};

static void
give_up(struct conn *conn, const char *text)
{
    const struct control *control = &conn->proxy->control;
    char address[ADDRESS_TEXT_MAX];

    log_event(KPOP_LOG_WARNING, "session.proxy",
              "session=%llx peer=%s service=%s text=\"%s\"",
              (unsigned long long)conn->id,
              address_print(&conn->via, address, sizeof(address)),
              control->service, text);
    conn_abort(conn);
}

/* The login has its deadline from here on, header or not. */
static uint64_t
deadline(const struct conn *conn)
{
    const uint64_t login = conn->worker->setup->settings.login_timeout;

    return conn->proxy->began + (login < HEADER_MS ? login : HEADER_MS);
}

void
conn_proxy_start(struct conn *conn, const struct control *control)
{
    conn->via = control->peer;
    conn->has_via = true;
    conn->proxy = calloc(1, sizeof(*conn->proxy));
    if (conn->proxy == NULL) {
        log_event(KPOP_LOG_ERROR, "process.fail",
                  "text=\"out of memory; a connection is closed\" "
                  "service=%s",
                  control->service);
        conn_abort(conn);
        return;
    }
    conn->proxy->control = *control;
    conn->proxy->began = process_now();
    timers_set(&conn->worker->timers, &conn->timer, deadline(conn));
    conn_watch(conn, EPOLLIN);
}

void
conn_proxy_late(struct conn *conn)
{
    give_up(conn, conn->proxy->asked
                      ? "no verdict on the client came in time"
                      : "no whole header of the PROXY protocol came in time");
}

static void
ask_master(struct conn *conn, const struct proxy_client *client)
{
    struct control *control = &conn->proxy->control;

    conn->proxy->asked = true;
    if (client->known) {
        control->peer = client->address;
        control->peer_port = client->port;
    }
    control->type = CONTROL_PROXIED;
    conn_watch(conn, 0);
    if (conn->fd >= 0)
        worker_send(conn->worker, control);
}

/* Takes `count` octets that were looked at. */
static bool
consume(struct conn *conn, size_t count)
{
    struct conn_proxy *proxy = conn->proxy;
    ssize_t got = recv(conn->fd, proxy->header + proxy->len, count,
                       MSG_DONTWAIT);

    proxy->len += count;
    return got == (ssize_t)count;
}

/*
 * Looks, and takes what belongs to the header, also while it is not whole:
 * octets that stay would wake us for ever.
 */
static void
read_header(struct conn *conn)
{
    struct conn_proxy *proxy = conn->proxy;
    struct proxy_client client;
    ssize_t got = recv(conn->fd, proxy->header + proxy->len,
                       sizeof(proxy->header) - proxy->len,
                       MSG_PEEK | MSG_DONTWAIT);
    size_t take = (size_t)got;
    int size;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        give_up(conn, "the proxy closed before its header was whole");
        return;
    }
    size = proxy_parse(proxy->header, proxy->len + (size_t)got, &client);
    if (size < 0) {
        give_up(conn, "no header of the PROXY protocol: let the proxy send "
                      "it (send-proxy, send-proxy-v2), or take the listener "
                      "out of haproxy_services");
        return;
    }
    if (size > 0)
        take = (size_t)size - proxy->len;
    if (!consume(conn, take))
        give_up(conn, "the header can't be read");
    else if (size > 0)
        ask_master(conn, &client);
}

void
conn_proxy_read(struct conn *conn, uint32_t events)
{
    if (!conn->proxy->asked) {
        read_header(conn);
    } else if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        /* What it sent before counts all the same. */
        conn->deaf = true;
        conn_watch(conn, 0);
    }
}

void
conn_proxy_verdict(struct worker *worker, const struct control *control)
{
    struct conn *conn = conn_find(worker, control->id);
    struct conn_proxy *proxy = conn != NULL ? conn->proxy : NULL;

    if (proxy == NULL || !proxy->asked)
        return;
    if (control->type == CONTROL_REFUSE) {
        refuse_busy(conn->fd, proxy->control.service, &proxy->control.peer,
                    &conn->via);
        conn_abort(conn);
        return;
    }
    conn->proxy = NULL;
    conn_begin(conn, &proxy->control, proxy->began);
    conn_proxy_free(proxy);
}

void
conn_proxy_look(const struct conn *conn, const void *data, size_t len)
{
    struct proxy_client client;

    if (proxy_parse(data, len, &client) > 0)
        log_event(KPOP_LOG_WARNING, "session.proxy",
                  "session=%llx text=\"a header of the PROXY protocol came, "
                  "which nothing here expects: write its proxy into "
                  "haproxy_trusted_networks, or let it send none\"",
                  (unsigned long long)conn->id);
}

/* What was looked at behind the header may be a password. */
void
conn_proxy_free(struct conn_proxy *proxy)
{
    if (proxy != NULL)
        explicit_bzero(proxy->header, sizeof(proxy->header));
    free(proxy);
}

const char *
conn_say_via(const struct conn *conn, const char *line, char *out,
             size_t size)
{
    char via[ADDRESS_TEXT_MAX];
    int len;

    if (conn == NULL || !conn->has_via)
        return line;
    len = snprintf(out, size, "%s via=%s", line,
                   address_print(&conn->via, via, sizeof(via)));
    return len > 0 && (size_t)len < size ? out : line;
}
