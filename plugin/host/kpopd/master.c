/*
 * master.c - binds, forks, watches, reloads and stops.  Keeps the rights
 * kpopd was started with, which it needs to start others with theirs; parses
 * nothing from the network, and from its children only fixed frames.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/confine.h"
#include "plugin/host/kpopd/master.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "plugin/host/kpopd/inherit.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/master_internal.h"
#include "plugin/host/kpopd/notify.h"
#include "plugin/host/kpopd/process.h"
#include "plugin/host/kpopd/strays.h"

enum { EVENTS = 64 };

/* ---- children ---- */

static int
watch(const struct master *master, int fd, struct source *source)
{
    struct epoll_event event;

    memset(&event, 0, sizeof(event));
    event.events = EPOLLIN;
    event.data.ptr = source;
    return epoll_ctl(master->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void
start_child(struct master *master, struct child *child, uint64_t now)
{
    if (child_start(child, now) != 0)
        return;
    child->source.ready = master_on_report;
    if (child->kind == CHILD_METRICS)
        master_pass_metrics(master, child);
    if (watch(master, child->control, &child->source) != 0) {
        log_event(KPOP_LOG_ERROR, "process.fail",
                  "call=epoll_ctl error=\"%s\"", strerror(errno));
        (void)kill(child->pid, SIGKILL);
    }
}

/* May an empty slot be filled? */
static bool
is_wanted(const struct master *master, const struct child *child)
{
    const struct generation *generation = child->generation;

    if (child->kind == CHILD_METRICS)
        return !generation->draining && !master->stopping
               && master->metrics_fd >= 0;
    if (!generation->draining && !master->stopping)
        return true;
    /* Sessions that run still log in. */
    return child->kind == CHILD_AUTH && !master->stopping
           && generation_running(generation, CHILD_WORKER) > 0;
}

/* Tells a worker of an old generation, or all at the end, to come home. */
static void
tell(const struct master *master, struct child *child)
{
    struct control control;

    if (child->kind != CHILD_WORKER || child->told || child->control < 0
        || (!child->generation->draining && !master->stopping))
        return;
    memset(&control, 0, sizeof(control));
    control.type = master->stopping ? CONTROL_STOP : CONTROL_DRAIN;
    /* Its channel may be full now; then the next turn tries again. */
    child->told = control_send(child->control, &control, -1) == 0;
}

static void
tend_generation(struct master *master, struct generation *generation,
                uint64_t now)
{
    const bool ending = generation->draining || master->stopping;
    struct child *child;
    size_t i;

    for (i = 0; i < generation->count; i++) {
        child = &generation->children[i];
        if (child->pid == 0 && is_wanted(master, child)
            && now >= child->restart_at)
            start_child(master, child, now);
        tell(master, child);
        if (child->kind == CHILD_METRICS && generation->draining)
            child_let_go(child); /* the new one has its own */
        child_watch(child, now);
    }
    if (!ending || generation_running(generation, CHILD_WORKER) > 0)
        return;
    for (i = 0; i < generation->count; i++)
        child_let_go(&generation->children[i]);
}

static bool
is_empty(const struct generation *generation)
{
    return generation_running(generation, CHILD_WORKER) == 0
           && generation_running(generation, CHILD_AUTH) == 0
           && generation_running(generation, CHILD_METRICS) == 0;
}

/* Its sessions are told to log in again. */
static void
retire(struct generation *generation)
{
    size_t sessions = 0;
    size_t i;

    generation->retired = true;
    for (i = 0; i < generation->count; i++) {
        const struct child *child = &generation->children[i];

        if (child->kind != CHILD_WORKER || child->pid == 0)
            continue;
        sessions += child->sessions;
        (void)kill(child->pid, SIGTERM);
    }
    log_event(KPOP_LOG_WARNING, "process.retired",
              "sessions=%zu generations=%d text=\"so many reloads have "
              "sessions from before them that the oldest ones end\"",
              sessions, (int)GENERATIONS_MAX);
}

/* Whoever was held up, as by a reload or SIGSTOP, judges nobody's silence. */
static void
forgive(const struct master *master)
{
    struct generation *generation;
    size_t i;

    for (generation = master->current; generation != NULL;
         generation = generation->next)
        for (i = 0; i < generation->count; i++)
            child_forgive(&generation->children[i]);
}

static void
tend(struct master *master, uint64_t now)
{
    struct generation **at = &master->current;
    struct generation *generation;
    size_t old = 0;

    /* Answers to our pings may wait in the channels. */
    if (now - master->turned_at > TURN_MAX)
        forgive(master);
    master->turned_at = now;
    while ((generation = *at) != NULL) {
        tend_generation(master, generation, now);
        if (generation->draining && is_empty(generation)) {
            *at = generation->next;
            generation_free(generation);
            continue;
        }
        old += generation->draining;
        /* Reloads without end must not pile up processes. */
        if (old > GENERATIONS_MAX && !generation->retired)
            retire(generation);
        at = &generation->next;
    }
    master_accept_when_possible(master, now);
    master_tend_tool(master, now);
}

static struct child *
child_by_pid(const struct master *master, pid_t pid)
{
    struct generation *generation;
    size_t i;

    for (generation = master->current; generation != NULL;
         generation = generation->next)
        for (i = 0; i < generation->count; i++)
            if (generation->children[i].pid == pid)
                return &generation->children[i];
    return NULL;
}

static bool
is_child(const void *arg, pid_t pid)
{
    return child_by_pid(arg, pid) != NULL;
}

static void
reap(struct master *master, uint64_t now)
{
    bool killed = false;
    struct child *child;
    bool expected;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        child = child_by_pid(master, pid);
        if (child == NULL)
            continue;
        expected = child->generation->draining || master->stopping;
        limits_remove_owner(master->limits, child);
        sessions_remove_owner(master->sessions, child);
        metrics_add(COUNT_DEATHS, !expected && !child->killed);
        killed = killed || child->killed;
        child_ended(child, status, expected, now);
    }
    if (killed)
        strays_kill(is_child, master);
}

/* ---- signals ---- */

static void
begin_stop(struct master *master, uint64_t now)
{
    struct generation *generation;
    size_t i;

    if (master->stopping)
        return;
    log_event(KPOP_LOG_INFO, "process.stop", "sessions=%zu",
              limits_total(master->limits));
    master->stopping = true;
    master->kill_at = now + STOP_MAX;
    manager_stopping(master);
    master_stop_accepting(master);
    listen_close(master->listeners);
    master->listeners = NULL;
    /* Those that drain already are told again. */
    for (generation = master->current; generation != NULL;
         generation = generation->next)
        for (i = 0; i < generation->count; i++)
            generation->children[i].told = false;
}

static void
kill_all(const struct master *master)
{
    struct generation *generation;
    size_t i;

    for (generation = master->current; generation != NULL;
         generation = generation->next)
        for (i = 0; i < generation->count; i++)
            if (generation->children[i].pid != 0)
                (void)kill(generation->children[i].pid, SIGKILL);
}

static void
on_signal(struct source *source, uint32_t events)
{
    struct master *master =
        (struct master *)(void *)((char *)source
                                  - offsetof(struct master, signal_source));
    struct signalfd_siginfo info;
    uint64_t now = process_now();

    (void)events;
    while (read(master->signals, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            begin_stop(master, now);
        else if (info.ssi_signo == SIGHUP)
            master_reload(master);
        else if (info.ssi_signo == SIGCHLD)
            reap(master, now);
    }
}

static int
open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- the loop ---- */

static int
next_wait(const struct master *master, uint64_t now)
{
    const struct generation *generation;
    uint64_t next = now + WATCH_MS;
    size_t i;

    for (generation = master->current; generation != NULL;
         generation = generation->next) {
        for (i = 0; i < generation->count; i++) {
            const struct child *child = &generation->children[i];

            if (child->pid == 0 && child->restart_at > now
                && child->restart_at < next)
                next = child->restart_at;
        }
    }
    if (master->accept_again > now && master->accept_again < next)
        next = master->accept_again;
    next = manager_next(master, next);
    if (next < now)
        return 0;
    return (int)(next - now);
}

static void
master_loop(struct master *master)
{
    struct epoll_event events[EVENTS];
    struct source *source;
    bool signalled;
    uint64_t now;
    int count;
    int i;

    for (;;) {
        now = process_now();
        tend(master, now);
        manager_turn(master, now);
        if (master->stopping
            && (master->current == NULL || is_empty(master->current))
            && (master->current == NULL || master->current->next == NULL))
            return;
        if (master->stopping && now >= master->kill_at)
            kill_all(master);
        count = epoll_wait(master->epoll, events, EVENTS,
                           next_wait(master, now));
        /* Signals last: a reload or a stop frees what events point to. */
        signalled = false;
        for (i = 0; i < count; i++) {
            source = events[i].data.ptr;
            if (source == &master->signal_source)
                signalled = true;
            else
                source->ready(source, events[i].events);
        }
        if (signalled)
            on_signal(&master->signal_source, 0);
        if (master->current != NULL)
            master_watch_certificates(master, process_now());
    }
}

/* Once: the kernel stays the same. */
static void
warn_of_kernel(const struct master *master)
{
    const char *lacks = confine_lacks();

    if (lacks != NULL && master->current->setup->settings.sandbox)
        log_event(KPOP_LOG_WARNING, "process.sandbox", "text=\"%s\"", lacks);
}

static int
start(struct master *master, char *error, size_t error_size)
{
    struct timespec now;

    master->signals = open_signals();
    master->epoll = epoll_create1(EPOLL_CLOEXEC);
    master->signal_source.ready = on_signal;
    if (master->signals < 0 || master->epoll < 0
        || watch(master, master->signals, &master->signal_source) != 0) {
        snprintf(error, error_size, "cannot start: %s", strerror(errno));
        return -1;
    }
    if (inherit_listeners(&master->listeners, error, error_size) != 0)
        return -1;
    master->overrides = inherit_overrides(master->listeners);
    /* Ids of sessions differ from those before a restart. */
    clock_gettime(CLOCK_REALTIME, &now);
    master->last_id = (uint64_t)now.tv_sec << 24;
    process_raise_files();
    strays_begin();
    master->began = process_now();
    master->throttle = throttle_new();
    master->sessions = sessions_new();
    if (master->throttle == NULL || master->sessions == NULL
        || master->overrides == NULL || metrics_begin() != 0) {
        snprintf(error, error_size, "cannot start: %s", strerror(errno));
        return -1;
    }
    master->turned_at = process_now();
    if (master_configure(master, error, error_size) != 0)
        return -1;
    warn_of_kernel(master);
    return 0;
}

int
master_main(kpop_plugin_entry_fn entry, const char *path)
{
    struct master master;
    char error[SETUP_ERROR_MAX] = "out of memory";
    int status = 0;

    memset(&master, 0, sizeof(master));
    master.entry = entry;
    master.path = path;
    master.epoll = -1;
    master.signals = -1;
    master.held_fd = -1;
    master.metrics_fd = -1;
    notify_begin();
    if (start(&master, error, sizeof(error)) == 0) {
        master_loop(&master);
        log_event(KPOP_LOG_INFO, "process.end", "text=\"stopped\"");
    } else {
        fprintf(stderr, "%s\n", error);
        notify_tell("STATUS=%s", error);
        status = 1;
    }
    master_close_tool(&master);
    master_close_metrics(&master);
    listen_close(master.listeners);
    if (master.current != NULL)
        generation_free(master.current);
    limits_free(master.limits);
    sessions_free(master.sessions);
    throttle_free(master.throttle);
    free(master.overrides);
    notify_end();
    if (master.signals >= 0)
        close(master.signals);
    if (master.epoll >= 0)
        close(master.epoll);
    return status;
}
