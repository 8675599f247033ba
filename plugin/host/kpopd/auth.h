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
#include <stdint.h>

#include "plugin/host/kpopd/control.h"
#include "plugin/host/kpopd/setup.h"
#include "plugin/kpop_plugin.h"

extern const struct kpop_host auth_host;

/* Since when (process_now) one step runs, 0 = none; shared with the master,
 * who replaces a process that hangs. */
typedef _Atomic uint64_t auth_busy;

/* The life of an auth process, after its rights were dropped; the exit
 * status.  Ends when the master's end of control_fd closes. */
int auth_main(const struct setup *setup, enum auth_pool pool, int control_fd,
              auth_busy *busy);

#endif
