/*
 * auth.h - an auth process: tickets and passwords are checked here only.
 *
 * It is a host of the module itself: its own table of callbacks, its own
 * plugin, no network and no mail.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_AUTH_H
#define KPOPD_AUTH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "plugin/host/kpopd/control.h"
#include "plugin/host/kpopd/setup.h"
#include "plugin/kpop_plugin.h"

extern const struct kpop_host auth_host;
/* This process serves: what the check before the start has logged of the
 * configuration is not said again. */
void auth_host_begin(void);

/* What an auth process shows to the others, in memory shared with them. */
struct auth_mark {
    /* The last sign of life (process_now): each turn of the loop, a step's
     * start.  The master replaces a process whose last one is older than
     * auth_timeout, whether it hangs in a step or was stopped outside. */
    _Atomic uint64_t alive;
    /* It has something to do, or a worker is about to send it something: a
     * hint, so that the others ask one that has time. */
    atomic_bool busy;
};

/* The life of an auth process, after its rights were dropped; the exit
 * status.  Ends when the master's end of control_fd closes. */
int auth_main(const struct setup *setup, enum auth_pool pool, int control_fd,
              struct auth_mark *mark);

#endif
