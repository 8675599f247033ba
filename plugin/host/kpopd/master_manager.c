/*
 * master_manager.c - what the service manager is told, and when.  Says
 * nothing that a client could choose.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <time.h>

#include "plugin/host/kpopd/master_internal.h"
#include "plugin/host/kpopd/notify.h"

static void
tell_sessions(struct master *master, const char *before)
{
    master->told.sessions = limits_total(master->limits);
    master->told.waiting = limits_unauthenticated(master->limits);
    notify_tell("%sSTATUS=%zu connections, %zu of them before login", before,
                master->told.sessions, master->told.waiting);
}

void
manager_ready(struct master *master)
{
    master->told.ready = true;
    tell_sessions(master, "READY=1\n");
}

void
manager_reloading(void)
{
    struct timespec now;

    /* Managers tell by it whether it is the reload they asked for. */
    clock_gettime(CLOCK_MONOTONIC, &now);
    notify_tell("RELOADING=1\nMONOTONIC_USEC=%llu\n"
                "STATUS=Reading the configuration",
                (unsigned long long)now.tv_sec * 1000000
                    + (unsigned long long)now.tv_nsec / 1000);
}

void
manager_refused(struct master *master, const char *why)
{
    notify_tell("READY=1\nSTATUS=The old configuration stays: %s", why);
    /* Until there are other numbers to tell. */
    master->told.sessions = limits_total(master->limits);
    master->told.waiting = limits_unauthenticated(master->limits);
}

void
manager_stopping(const struct master *master)
{
    notify_tell("STOPPING=1\nSTATUS=Ending %zu connections",
                limits_total(master->limits));
}

void
manager_turn(struct master *master, uint64_t now)
{
    if (notify_watchdog() != 0 && now >= master->told.alive_at) {
        master->told.alive_at = now + notify_watchdog();
        notify_tell("WATCHDOG=1");
    }
    if (!master->told.ready || master->stopping
        || now < master->told.status_at
        || (limits_total(master->limits) == master->told.sessions
            && limits_unauthenticated(master->limits)
                   == master->told.waiting))
        return;
    master->told.status_at = now + WATCH_MS;
    tell_sessions(master, "");
}

uint64_t
manager_next(const struct master *master, uint64_t next)
{
    if (notify_watchdog() != 0 && master->told.alive_at < next)
        return master->told.alive_at;
    return next;
}
