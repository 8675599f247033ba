/*
 * control.h - what master and children tell each other.
 *
 * One fixed struct carries all of it; control_encode and control_decode are
 * the only ones that know the frame.  Descriptors travel beside.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_CONTROL_H
#define KPOPD_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "plugin/host/kpopd/address.h"

/*
 * Which pool of auth processes.  Each has its own, so that one that waits
 * holds up its own logins only: tickets, which wait for the replay cache;
 * passwords and secrets of our files; PAM and saslauthd, which wait for
 * whatever is behind them.
 */
enum auth_pool { POOL_KRB, POOL_PASSWORD, POOL_OUTSIDE, POOL_COUNT };

enum control_type {
    /* master to worker */
    CONTROL_CONNECTION = 1, /* id, service, peer, port, whether it is a
                             * proxy's; a socket beside */
    CONTROL_ADMIT,          /* id: whom CONTROL_PROXIED told of may come in */
    CONTROL_REFUSE,         /* id: he may not, a limit is reached */
    CONTROL_EVICT,          /* id: goes unless it has logged in */
    CONTROL_DRAIN,          /* no more will come; end with the last session */
    CONTROL_KICK,           /* id: ends gracefully, whoever it is */
    CONTROL_STOP,           /* end all sessions gracefully, then yourself */
    CONTROL_PING,           /* to be answered by CONTROL_PONG */
    /* master to worker and auth process */
    CONTROL_CHANNEL,        /* pool, id: the auth process's place; a socket
                             * to the other one beside */
    /* master to the process of the metrics */
    CONTROL_LISTENER,       /* a listening socket beside */
    /* to the master */
    CONTROL_READY,
    CONTROL_PROXIED,        /* id, peer, port: the client behind a proxy */
    CONTROL_SECURED,        /* id, tls */
    CONTROL_LOGGED_IN,      /* id, tls, mechanism, user */
    CONTROL_CLOSED,         /* id */
    CONTROL_PONG,           /* id: of an auth process that it should have a
                             * channel to, but lost it: place + 1; or 0 */
    CONTROL_LAST
};

enum {
    CONTROL_FRAME_MAX = 512,
    CONTROL_SERVICE_MAX = 31,
    CONTROL_TLS_MAX = 15,
    CONTROL_MECHANISM_MAX = 31,
    CONTROL_USER_MAX = 255 /* KPOP_USER_MAX */
};

struct control {
    enum control_type type;
    uint64_t id;
    enum auth_pool pool;
    unsigned peer_port;
    struct address peer;
    bool proxied;           /* a header tells who the client is */
    char service[CONTROL_SERVICE_MAX + 1];
    char tls[CONTROL_TLS_MAX + 1];
    char mechanism[CONTROL_MECHANISM_MAX + 1];
    char user[CONTROL_USER_MAX + 1];
};

/* The frame's length; 0 when it does not fit. */
size_t control_encode(const struct control *control, void *frame,
                      size_t size);
/* False for what is no frame of ours; its texts have no control characters. */
bool control_decode(const void *frame, size_t len,
                    struct control *control_out);

/* Sends; 0 or -1 with errno. */
int control_send(int fd, const struct control *control, int pass);
/* 1: one came; 0: the other side is gone; -1: nothing now (errno EAGAIN) or
 * garbage (EBADMSG). */
int control_recv(int fd, struct control *control_out, int *pass_out);
/* Hands on what is there, at most IPC_SOME, by one system call; a descriptor
 * is the taker's.  How many came, fewer than IPC_SOME when that was all; or
 * as control_recv(), also when some came before. */
typedef void control_take_fn(void *arg, const struct control *control,
                             int pass);
int control_recv_some(int fd, control_take_fn *take, void *arg);

#endif
