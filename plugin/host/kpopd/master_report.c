/*
 * master_report.c - what the children of the master tell it: fixed frames,
 * and who sends anything else has to die.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "plugin/host/kpopd/ipc.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/master_internal.h"
#include "plugin/host/kpopd/process.h"

enum { CONTROLS_A_TURN = 32 }; /* times eight */

static void
note_ready(struct master *master, struct child *child)
{
    struct generation *generation = child->generation;

    child->ready = true;
    if (generation->was_ready || !generation_is_ready(generation))
        return;
    generation->was_ready = true;
    log_event(KPOP_LOG_INFO, "process.ready", "workers=%u auth_processes=%u",
              generation->setup->settings.workers,
              (unsigned)generation_running(generation, CHILD_AUTH));
    if (generation == master->current)
        manager_ready(master);
}

static void
take_report(void *arg, const struct control *control, int pass)
{
    struct child *child = arg;
    struct master *master = child->generation->owner;

    if (pass >= 0)
        close(pass);
    if (child->control < 0)
        return; /* it was let go a moment ago */
    switch (control->type) {
    case CONTROL_READY:
        note_ready(master, child);
        break;
    case CONTROL_LOGGED_IN:
        limits_logged_in(master->limits, control->id, child);
        sessions_learn(master->sessions, control, child);
        break;
    case CONTROL_PROXIED:
        child->asks = true;
        master_judge_proxied(master, child, control);
        break;
    case CONTROL_SECURED:
        sessions_learn(master->sessions, control, child);
        break;
    case CONTROL_CLOSED:
        limits_remove(master->limits, control->id, child);
        sessions_remove(master->sessions, control->id, child);
        if (child->sessions > 0)
            child->sessions--;
        break;
    case CONTROL_PONG:
        child_answered(child, control->id, process_now());
        break;
    case CONTROL_CONNECTION:
    case CONTROL_ADMIT:
    case CONTROL_REFUSE:
    case CONTROL_EVICT:
    case CONTROL_KICK:
    case CONTROL_PING:
    case CONTROL_DRAIN:
    case CONTROL_STOP:
    case CONTROL_CHANNEL:
    case CONTROL_LISTENER:
    case CONTROL_LAST:
        break; /* not for us */
    }
}

/* What is asked for a client of a proxy has an answer.  A worker that does not
 * read those has to, before it may ask on. */
static bool
asks_too_much(struct child *child)
{
    bool asks = child->asks;

    child->asks = false;
    return asks && child->control >= 0 && !child_has_time(child);
}

static void
wait_for(struct child *child, uint32_t events)
{
    struct epoll_event event;

    memset(&event, 0, sizeof(event));
    event.events = events;
    event.data.ptr = &child->source;
    (void)epoll_ctl(child->generation->epoll, EPOLL_CTL_MOD, child->control,
                    &event);
}

void
master_on_report(struct source *source, uint32_t events)
{
    struct child *child = (struct child *)source;
    bool too_much = false;
    int turns = CONTROLS_A_TURN;
    int rc;

    if ((events & EPOLLOUT) != 0)
        wait_for(child, EPOLLIN);
    do {
        rc = control_recv_some(child->control, take_report, child);
        too_much = asks_too_much(child);
    } while (rc == IPC_SOME && !too_much && child->control >= 0
             && --turns > 0);
    if (too_much)
        wait_for(child, EPOLLOUT);
    /* It dies, and SIGCHLD tells; or it sent nonsense and has to. */
    if (rc == 0 || (rc < 0 && errno != EAGAIN)) {
        child_let_go(child);
        if (rc < 0 && child->pid != 0)
            (void)kill(child->pid, SIGKILL);
    }
}
