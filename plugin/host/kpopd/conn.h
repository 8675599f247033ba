/*
 * conn.h - one connection of a worker: a socket and a session.
 *
 * A parked one holds this struct, its session and its box; no buffer and no
 * thread.  It lives until its socket is closed, its session is closed and no
 * question of the session is open.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_CONN_H
#define KPOPD_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/host/kpopd/authclient.h"
#include "plugin/host/kpopd/timers.h"
#include "plugin/host/kpopd/worker.h"
#include "plugin/kpop_plugin.h"

enum { LINGER_MS = 2000, LINGER_OCTETS = 64 * 1024 };

struct conn_proxy;

struct conn {
    struct source source; /* first: epoll gives it back */
    struct timer timer;
    struct worker *worker;
    struct kpop_session *session; /* NULL once it was closed */
    struct conn *prev;
    struct conn *next;
    struct authclient_login login;
    struct conn_proxy *proxy; /* until the session begins, or NULL */
    struct address via;       /* the proxy it came by, when it has one */
    uint64_t id;
    uint64_t end_by;   /* 0, or when it is closed: it was told to go */
    char *user;        /* from open until the master was told, else NULL */
    /* of the login that was begun last */
    char mechanism[CONTROL_MECHANISM_MAX + 1];
    char tls[CONTROL_TLS_MAX + 1]; /* "" = none yet */
    int fd;            /* -1 once it was closed */
    uint32_t events;   /* registered with epoll */
    uint32_t lingered; /* octets thrown away */
    uint32_t pending;  /* questions that are being answered elsewhere */
    bool inside;       /* a call into the session is running */
    bool watched;
    bool eof;          /* the client sends no more */
    bool deaf;         /* the client hears no more */
    bool logged_in;
    bool has_via;
    bool heard; /* its session has read something */
};

/* A connection from the master.  Takes the descriptor in any case. */
void conn_new(struct worker *worker, const struct control *control, int fd);
/* The service goes down. */
void conn_stop(struct conn *conn);
/* At the end of patience: session and socket are closed now. */
void conn_abort(struct conn *conn);
/* Around answering a question later: hold when PENDING is returned, then
 * conn_answer() instead of done(). */
void conn_hold(struct conn *conn);
void conn_answer(struct conn *conn, struct kpop_op *op, int32_t result);
/* Frees those that ended in this turn. */
void conn_bury(struct worker *worker);
/* For the files of conn_*.c: what epoll waits for; the session begins, as of
 * a time. */
void conn_watch(struct conn *conn, uint32_t events);
void conn_begin(struct conn *conn, const struct control *control,
                uint64_t began);

/* conn_proxy.c: a connection whose client a proxy's header tells */

/* Waits for the header; then for the master's verdict; then begins. */
void conn_proxy_start(struct conn *conn, const struct control *control);
void conn_proxy_read(struct conn *conn, uint32_t events);
void conn_proxy_late(struct conn *conn);
void conn_proxy_free(struct conn_proxy *proxy);
/* The first octets of a connection that no proxy was expected for. */
void conn_proxy_look(const struct conn *conn, const void *data, size_t len);
void conn_proxy_verdict(struct worker *worker,
                        const struct control *control);
/* The line, and which proxy a session came by; returns it or `out`. */
const char *conn_say_via(const struct conn *conn, const char *line,
                         char *out, size_t size);

/* conn_master.c */

/* NULL: it is gone. */
struct conn *conn_find(const struct worker *worker, uint64_t id);
/* Oldest before login, to make room: ends at once. */
void conn_evict(struct worker *worker, uint64_t id);
/* An admin wants it to end: as conn_stop(), but its client can't wait for
 * ever. */
void conn_kick(struct worker *worker, uint64_t id);
/* What the master is told: when TLS began, who logged in. */
void conn_note_tls(struct conn *conn, const struct kpop_facts *facts);
/* KPOP_OK or KPOP_NO_MEMORY. */
int32_t conn_note_open(struct conn *conn, const struct kpop_open *what);
void conn_note_login(struct conn *conn, uint32_t wants);

#endif
