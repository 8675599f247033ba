/*
 * listen.h - the sockets the configuration asks for.
 *
 * A reload keeps those that are asked for again, so that no connection is
 * lost and a port given by the system (port 0) stays.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_LISTEN_H
#define KPOPD_LISTEN_H

#include <stddef.h>

#include "plugin/host/kpopd/control.h"
#include "plugin/host/kpopd/setup.h"
#include "plugin/host/kpopd/worker.h"

struct listener {
    struct source source; /* first: epoll gives it back; the user's */
    struct listener *next;
    int fd;
    unsigned asked_port;
    char address[64];
    char service[CONTROL_SERVICE_MAX + 1];
    void *owner; /* the user's */
};

/*
 * All listeners of a setup: those of `old` that fit are taken over (moved out
 * of *old), others are made.  0, or -1 with a sentence and *old as it was.
 */
int listen_open(const struct setup *setup, struct listener **old,
                struct listener **listeners_out, char *error,
                size_t error_size);
/* Closes and frees a list. */
void listen_close(struct listener *listeners);
/* One line for each: where it really listens. */
void listen_log(const struct listener *listeners);

#endif
