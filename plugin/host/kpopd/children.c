/*
 * children.c - forks, connects, watches and reaps the processes of a
 * generation.  Runs in the master with its rights; the rights of a child are
 * dropped here, before it does anything.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/children.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugin/host/kpopd/confine.h"
#include "plugin/host/kpopd/ipc.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/metrics_serve.h"
#include "plugin/host/kpopd/process.h"

const char *
child_name(const struct child *child)
{
    static const char *const pools[POOL_COUNT] = {
        [POOL_KRB] = "auth-krb",
        [POOL_PASSWORD] = "auth-password",
        [POOL_OUTSIDE] = "auth-outside",
    };

    if (child->kind == CHILD_METRICS)
        return "metrics";
    return child->kind == CHILD_WORKER ? "worker" : pools[child->pool];
}

static void
add_slots(struct generation *generation, enum child_kind kind,
          enum auth_pool pool, unsigned count)
{
    struct child *child;

    while (count-- > 0) {
        child = &generation->children[generation->count];
        child->generation = generation;
        child->kind = kind;
        child->pool = pool;
        child->mark = &generation->marks[generation->count];
        child->control = -1;
        generation->count++;
    }
}

struct generation *
generation_new(struct setup *setup)
{
    const struct settings *s = &setup->settings;
    size_t most = s->workers + POOL_COUNT * (size_t)s->auth_processes
                  + 1;
    struct generation *generation = calloc(1, sizeof(*generation));
    enum auth_pool pool;

    if (generation == NULL)
        return NULL;
    generation->children = calloc(most, sizeof(generation->children[0]));
    generation->marks_size = most * sizeof(generation->marks[0]);
    generation->marks = mmap(NULL, generation->marks_size,
                            PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (generation->children == NULL || generation->marks == MAP_FAILED) {
        free(generation->children);
        if (generation->marks != MAP_FAILED)
            munmap(generation->marks, generation->marks_size);
        free(generation);
        return NULL;
    }
    /* Auth processes first: they take longer to start. */
    for (pool = POOL_KRB; pool < POOL_COUNT; pool++)
        if (kpopd_settings_want_pool(s, pool))
            add_slots(generation, CHILD_AUTH, pool, s->auth_processes);
    add_slots(generation, CHILD_WORKER, POOL_KRB, s->workers);
    if (s->metrics != NULL)
        add_slots(generation, CHILD_METRICS, POOL_KRB, 1);
    generation->setup = setup;
    return generation;
}

void
generation_free(struct generation *generation)
{
    size_t i;

    if (generation == NULL)
        return;
    for (i = 0; i < generation->count; i++)
        child_let_go(&generation->children[i]);
    munmap(generation->marks, generation->marks_size);
    free(generation->children);
    setup_free(generation->setup);
    free(generation);
}

size_t
generation_running(const struct generation *generation, enum child_kind kind)
{
    size_t running = 0;
    size_t i;

    for (i = 0; i < generation->count; i++)
        running += generation->children[i].kind == kind
                   && generation->children[i].pid != 0;
    return running;
}

bool
generation_is_ready(const struct generation *generation)
{
    size_t i;

    for (i = 0; i < generation->count; i++)
        if (!generation->children[i].ready
            && generation->children[i].kind != CHILD_METRICS)
            return false;
    return true;
}

/* A channel between a worker and an auth process. */
static void
connect_pair(const struct child *worker, const struct child *auth)
{
    struct control control;
    int fds[2];

    memset(&control, 0, sizeof(control));
    control.type = CONTROL_CHANNEL;
    control.pool = auth->pool;
    control.id = (uint64_t)(auth - auth->generation->children);
    if (ipc_pair(fds) != 0) {
        log_event(KPOP_LOG_ERROR, "process.fail",
                  "call=socketpair error=\"%s\"", strerror(errno));
        return;
    }
    if (control_send(auth->control, &control, fds[0]) != 0
        || control_send(worker->control, &control, fds[1]) != 0)
        log_event(KPOP_LOG_WARNING, "process.fail",
                  "text=\"a worker and an auth process could not be "
                  "connected\" error=\"%s\"",
                  strerror(errno));
    close(fds[0]);
    close(fds[1]);
}

static void
connect_child(const struct child *child)
{
    const struct generation *generation = child->generation;
    const struct child *other;
    size_t i;

    for (i = 0; i < generation->count; i++) {
        other = &generation->children[i];
        if (other->pid == 0 || other->kind == child->kind
            || other->kind == CHILD_METRICS)
            continue;
        if (child->kind == CHILD_WORKER)
            connect_pair(child, other);
        else
            connect_pair(other, child);
    }
}

/* What it shares with the others is the counters alone. */
static int
run_metrics(const struct generation *generation, int control)
{
    throttle_free(generation->throttle);
    (void)munmap(generation->marks, generation->marks_size);
    return metrics_serve(control);
}

/* PAM's modules may have helpers with rights of their own, and do whatever
 * they like. */
static bool
is_free(const struct child *child)
{
    return child->kind == CHILD_AUTH && child->pool == POOL_OUTSIDE
           && child->generation->setup->settings.password_source
                  == PASSWORDS_PAM;
}

/* An exit status. */
static int
confined_main(const struct child *child, int control,
              const struct worker_shared *shared)
{
    static const enum confine_kind kinds[] = {
        [CHILD_WORKER] = CONFINE_WORKER,
        [CHILD_AUTH] = CONFINE_AUTH,
        [CHILD_METRICS] = CONFINE_METRICS,
    };
    struct setup *setup = child->generation->setup;
    char error[SETUP_ERROR_MAX];

    process_harden(is_free(child));
    if (!is_free(child)
        && confine(&setup->settings, kinds[child->kind], error,
                   sizeof(error))
               != 0) {
        log_event(KPOP_LOG_ERROR, "process.fail", "text=\"%s\"", error);
        return 1;
    }
    if (child->kind == CHILD_METRICS)
        return run_metrics(child->generation, control);
    if (child->kind == CHILD_WORKER)
        return worker_main(setup, shared, control);
    return auth_main(setup, child->pool, control, child->mark);
}

/* The whole life of the new process. */
static _Noreturn void
run_child(const struct child *child, int control, pid_t parent)
{
    struct setup *setup = child->generation->setup;
    const bool is_worker = child->kind == CHILD_WORKER;
    const bool is_metrics = child->kind == CHILD_METRICS;
    const struct worker_shared shared = { child->generation->marks,
                                          child->generation->count,
                                          child->generation->throttle };
    char error[SETUP_ERROR_MAX];
    int status = 1;

    /* One arena: what store threads allocate the loop frees. */
    (void)mallopt(M_ARENA_MAX, 1);
    if (!is_worker) {
        process_ignore(SIGTERM); /* it ends when the workers have */
        setup_drop_sessions(setup);
    }
    if (process_become(is_worker || is_metrics
                           ? &setup->settings.run_as
                           : &setup->settings.auth_user,
                       error, sizeof(error))
        != 0) {
        log_event(KPOP_LOG_ERROR, "process.fail", "text=\"%s\"", error);
    } else if (process_begin_child(control, is_worker ? SIGTERM : SIGKILL,
                                   parent)
               == 0) {
        status = confined_main(child, control, &shared);
    }
    exit(status);
}

static void
plan_restart(struct child *child, uint64_t now)
{
    if (child->backoff == 0)
        child->backoff = BACKOFF_FIRST;
    else if (child->backoff < BACKOFF_LAST)
        child->backoff *= 2;
    child->restart_at = now + child->backoff;
}

int
child_start(struct child *child, uint64_t now)
{
    pid_t parent = getpid();
    int fds[2];
    pid_t pid;

    if (ipc_pair(fds) != 0) {
        log_event(KPOP_LOG_ERROR, "process.fail",
                  "call=socketpair error=\"%s\"", strerror(errno));
        plan_restart(child, now);
        return -1;
    }
    atomic_store(&child->mark->alive, 0);
    atomic_store(&child->mark->busy, false);
    pid = process_fork();
    if (pid == 0)
        run_child(child, fds[1], parent);
    close(fds[1]);
    if (pid < 0) {
        log_event(KPOP_LOG_ERROR, "process.fail", "call=fork error=\"%s\"",
                  strerror(errno));
        close(fds[0]);
        plan_restart(child, now);
        return -1;
    }
    child->pid = pid;
    child->control = fds[0];
    child->started = now;
    child->ready = false;
    child->killed = false;
    child->told = false;
    child->sessions = 0;
    child->ask_at = 0;
    child_forgive(child);
    log_event(KPOP_LOG_DEBUG, "process.start", "kind=%s child=%ld",
              child_name(child), (long)pid);
    if (child->kind != CHILD_METRICS)
        connect_child(child);
    return 0;
}

void
child_let_go(struct child *child)
{
    if (child->control < 0)
        return;
    /* A child that was just forked may hold it open for another moment. */
    (void)epoll_ctl(child->generation->epoll, EPOLL_CTL_DEL, child->control,
                    NULL);
    close(child->control);
    child->control = -1;
}

void
child_ended(struct child *child, int status, bool expected, uint64_t now)
{
    const bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;

    if (!clean || !expected)
        log_event(clean ? KPOP_LOG_WARNING : KPOP_LOG_ERROR, "process.died",
                  "kind=%s child=%ld %s=%d text=\"%s\"", child_name(child),
                  (long)child->pid, WIFSIGNALED(status) ? "signal" : "exit",
                  WIFSIGNALED(status) ? WTERMSIG(status)
                                      : WEXITSTATUS(status),
                  expected ? "it was to end" : "it is replaced");
    child->pid = 0;
    child->ready = false;
    child_let_go(child);
    if (!child->killed && now - child->started < QUICK_DEATH) {
        plan_restart(child, now);
        return;
    }
    child->backoff = 0;
    child->restart_at = now;
}

/* Until there is room for it in the channel, each turn. */
static void
ask(struct child *child, uint64_t now)
{
    struct control control;

    if (child->asked_at == 0 && now >= child->ask_at)
        child->asked_at = now;
    if (child->asked_at == 0 || child->asked)
        return;
    memset(&control, 0, sizeof(control));
    control.type = CONTROL_PING;
    child->asked = control_send(child->control, &control, -1) == 0;
}

/* A worker without a channel, for want of memory or descriptors when it was
 * passed on, gets another one.  An auth process that begins gives it by
 * itself. */
static void
connect_again(const struct child *worker, uint64_t missed)
{
    const struct generation *generation = worker->generation;
    const struct child *auth;

    if (missed == 0 || missed > generation->count)
        return;
    auth = &generation->children[missed - 1];
    if (auth->kind != CHILD_AUTH || auth->pid == 0 || auth->control < 0)
        return;
    log_event(KPOP_LOG_WARNING, "process.fail",
              "child=%ld kind=%s text=\"a worker had lost its channel to this "
              "process and gets another one\"",
              (long)auth->pid, child_name(auth));
    connect_pair(worker, auth);
}

void
child_answered(struct child *child, uint64_t missed, uint64_t now)
{
    /* Asked for by one that was asked, not whenever it likes. */
    if (child->asked)
        connect_again(child, missed);
    child->asked_at = 0;
    child->asked = false;
    child->ask_at =
        now + child->generation->setup->settings.worker_timeout / 4;
}

void
child_forgive(struct child *child)
{
    child->asked_at = 0;
    child->asked = false;
}

enum { CREDIT = 16 };

bool
child_has_time(const struct child *child)
{
    struct pollfd channel = { child->control, POLLOUT, 0 };

    return poll(&channel, 1, 0) == 1 && (channel.revents & POLLOUT) != 0;
}

bool
child_takes(struct child *child)
{
    if (child->credit == 0 && child_has_time(child))
        child->credit = CREDIT;
    if (child->credit == 0)
        return false;
    child->credit--;
    return true;
}

/* Since when it is silent that has to say something; 0: it has not. */
static uint64_t
silent_since(const struct child *child)
{
    return child->kind == CHILD_AUTH ? atomic_load(&child->mark->alive)
                                     : child->asked_at;
}

void
child_watch(struct child *child, uint64_t now)
{
    const struct settings *s = &child->generation->setup->settings;
    uint64_t limit = child->kind == CHILD_AUTH ? s->auth_timeout
                                               : s->worker_timeout;
    uint64_t since;

    if (child->pid == 0 || child->killed || limit == 0)
        return;
    if (child->kind == CHILD_WORKER && child->ready && child->control >= 0)
        ask(child, now);
    since = silent_since(child);
    if (!child->ready) {
        since = child->started;
        limit = STARTUP_MAX;
    }
    if (since == 0 || now < since || now - since < limit)
        return;
    log_event(KPOP_LOG_WARNING, "process.hung",
              "kind=%s child=%ld milliseconds=%llu text=\"it is killed and "
              "replaced\"",
              child_name(child), (long)child->pid,
              (unsigned long long)(now - since));
    child->killed = true;
    (void)kill(child->pid, SIGKILL);
}
