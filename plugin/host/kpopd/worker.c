/*
 * worker.c - the loop of a worker: epoll, the earliest timer, and messages
 * from the master.  Runs as run_as; faces the network and reads the mail, but
 * can read neither keytab nor passwords.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "plugin/host/kpopd/conn.h"
#include "plugin/host/kpopd/ipc.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/metrics.h"
#include "plugin/host/kpopd/policy.h"
#include "plugin/host/kpopd/process.h"
#include "plugin/host/kpopd/store.h"

/* The master kills at 30 s; a session that hangs longer is dropped here. */
enum {
    STOP_MS = 28000,
    EVENTS = 64,
    CONTROLS_A_TURN = 8, /* times eight */
    LATER_MS = 20,
    FILES_SPARE = 32,     /* descriptors that no new connection gets */
    FILES_TOLD_MS = 10000 /* between two lines about them */
};

static void
on_log(void *host, void *conn, uint32_t level, const char *event,
       const char *line)
{
    char longer[LOG_LINE_MAX];

    (void)host;
    metrics_note_event(event, line);
    log_line(level, event, conn_say_via(conn, line, longer, sizeof(longer)));
}

const struct kpop_host worker_host = {
    .size = sizeof(struct kpop_host),
    .version = KPOP_ABI_MINOR,
    .log = on_log,
    .authorize = authclient_authorize,
    .exchange_mechanisms = authclient_mechanisms,
    .exchange_start = authclient_start,
    .exchange_step = authclient_step,
    .exchange_end = authclient_end,
    .open = store_open,
    .list = store_list,
    .fetch = store_fetch,
    .envelope = store_envelope,
    .commit = store_commit,
    .close = store_close,
    .cancel = authclient_cancel,
    .policy = policy_tell,
};

int
worker_watch(struct worker *worker, int operation, int fd, uint32_t events,
             struct source *source)
{
    struct epoll_event event;

    memset(&event, 0, sizeof(event));
    event.events = events;
    event.data.ptr = source;
    return epoll_ctl(worker->epoll, operation, fd, &event);
}

/* ---- to the master ---- */

static void
watch_control(struct worker *worker)
{
    uint32_t events = EPOLLIN;

    if (worker->outbox_count > 0)
        events |= EPOLLOUT;
    (void)worker_watch(worker, EPOLL_CTL_MOD, worker->control, events,
                       &worker->control_source);
}

static void
keep_report(struct worker *worker, const struct control *control)
{
    struct control *outbox = worker->outbox;
    size_t room = worker->outbox_room;

    if (worker->outbox_count == room) {
        room = room == 0 ? 64 : room * 2;
        outbox = realloc(outbox, room * sizeof(outbox[0]));
        if (outbox == NULL) {
            log_event(KPOP_LOG_ERROR, "process.fail",
                      "text=\"out of memory; a connection is counted too "
                      "long\"");
            return;
        }
        worker->outbox = outbox;
        worker->outbox_room = room;
    }
    outbox[worker->outbox_count++] = *control;
    watch_control(worker);
}

static void
drop_later(struct worker *worker, uint64_t id)
{
    size_t i = worker->later_count;

    while (i > 0 && worker->later[i - 1].id != id)
        i--;
    if (i > 0)
        worker->later[i - 1] = worker->later[--worker->later_count];
}

void
worker_send(struct worker *worker, const struct control *control)
{
    if (control->type == CONTROL_CLOSED || control->type == CONTROL_LOGGED_IN)
        drop_later(worker, control->id);
    if (worker->outbox_count > 0
        || (control_send(worker->control, control, -1) != 0
            && errno == EAGAIN))
        keep_report(worker, control);
}

/* ---- what can wait: most sessions have logged in before ---- */

static void
send_later(struct worker *worker)
{
    size_t i;

    for (i = 0; i < worker->later_count; i++)
        worker_send(worker, &worker->later[i]);
    worker->later_count = 0;
    timers_set(&worker->timers, &worker->later_timer, TIMER_NEVER);
}

static void
on_later(struct timer *timer, uint64_t now)
{
    (void)now;
    send_later((struct worker *)(void *)((char *)timer
                                         - offsetof(struct worker,
                                                    later_timer)));
}

void
worker_send_later(struct worker *worker, const struct control *control)
{
    drop_later(worker, control->id);
    if (worker->later_count == WORKER_LATER)
        send_later(worker);
    if (worker->later_count == 0)
        timers_set(&worker->timers, &worker->later_timer,
                   process_now() + LATER_MS);
    worker->later[worker->later_count++] = *control;
}

void
worker_report(struct worker *worker, enum control_type type, uint64_t id)
{
    struct control control;

    memset(&control, 0, sizeof(control));
    control.type = type;
    control.id = id;
    worker_send(worker, &control);
}

static void
flush_outbox(struct worker *worker)
{
    size_t sent = 0;

    while (sent < worker->outbox_count
           && control_send(worker->control, &worker->outbox[sent], -1) == 0)
        sent++;
    worker->outbox_count -= sent;
    memmove(worker->outbox, worker->outbox + sent,
            worker->outbox_count * sizeof(worker->outbox[0]));
    watch_control(worker);
}

/* ---- from the master ---- */

static void
begin_stop(struct worker *worker)
{
    struct conn *conn;
    struct conn *next;

    if (worker->stopping)
        return;
    worker->stopping = true;
    worker->stop_by = process_now() + STOP_MS;
    authclient_hurry(worker->auth);
    for (conn = worker->conns; conn != NULL; conn = next) {
        /* Only this one is unlinked by what follows, and freed later. */
        next = conn->next;
        conn_stop(conn);
    }
}

/*
 * The kernel gives the lowest free number, so a high one means that few are
 * left.  Those are for the sessions that are here: their maildrops, messages
 * and channels.
 */
static bool
has_files_for(const struct worker *worker, int pass)
{
    return pass >= 0 && (rlim_t)pass + FILES_SPARE < worker->files;
}

static void
refuse_connection(struct worker *worker, const struct control *control,
                  int pass)
{
    const uint64_t now = process_now();

    if (worker->files_told == 0
        || now - worker->files_told >= FILES_TOLD_MS) {
        worker->files_told = now;
        log_event(KPOP_LOG_ERROR, "process.files",
                  "sessions=%zu text=\"no descriptors for more connections: "
                  "raise the limit of open files (LimitNOFILE, ulimit -n) or "
                  "lower max_sessions\"",
                  worker->conn_count);
    }
    if (pass >= 0)
        close(pass);
    worker_report(worker, CONTROL_CLOSED, control->id);
}

static void
obey(void *arg, const struct control *control, int pass)
{
    struct worker *worker = arg;

    switch (control->type) {
    case CONTROL_CONNECTION:
        if (has_files_for(worker, pass))
            conn_new(worker, control, pass);
        else
            refuse_connection(worker, control, pass);
        return;
    case CONTROL_CHANNEL:
        authclient_add(worker->auth, control, pass);
        if (pass < 0)
            log_event(KPOP_LOG_ERROR, "process.files",
                      "text=\"no descriptor for the channel of an auth "
                      "process: raise the limit of open files (LimitNOFILE, "
                      "ulimit -n)\"");
        return;
    case CONTROL_EVICT:
        conn_evict(worker, control->id);
        break;
    case CONTROL_ADMIT:
    case CONTROL_REFUSE:
        conn_proxy_verdict(worker, control);
        break;
    case CONTROL_KICK:
        conn_kick(worker, control->id);
        break;
    case CONTROL_DRAIN:
        worker->draining = true;
        break;
    case CONTROL_STOP:
        begin_stop(worker);
        break;
    case CONTROL_PING:
        worker_report(worker, CONTROL_PONG, authclient_missed(worker->auth));
        break;
    case CONTROL_READY:
    case CONTROL_LISTENER:
    case CONTROL_PROXIED:
    case CONTROL_SECURED:
    case CONTROL_LOGGED_IN:
    case CONTROL_CLOSED:
    case CONTROL_PONG:
    case CONTROL_LAST:
        break; /* not for us */
    }
    if (pass >= 0)
        close(pass);
}

static struct worker *
worker_of(struct source *source, size_t offset)
{
    return (struct worker *)(void *)((char *)source - offset);
}

static void
on_control(struct source *source, uint32_t events)
{
    struct worker *worker =
        worker_of(source, offsetof(struct worker, control_source));
    int turns = CONTROLS_A_TURN;
    int rc;

    if ((events & EPOLLOUT) != 0)
        flush_outbox(worker);
    do
        rc = control_recv_some(worker->control, obey, worker);
    while (rc == IPC_SOME && --turns > 0);
    if (rc == 0 || (rc < 0 && errno != EAGAIN)) {
        /* The master is gone: end as if it had told us. */
        (void)worker_watch(worker, EPOLL_CTL_DEL, worker->control, 0, NULL);
        begin_stop(worker);
    }
}

static void
on_pool(struct source *source, uint32_t events)
{
    struct worker *worker =
        worker_of(source, offsetof(struct worker, pool_source));

    (void)events;
    pool_collect(worker->pool);
}

static void
on_signal(struct source *source, uint32_t events)
{
    struct worker *worker =
        worker_of(source, offsetof(struct worker, signal_source));
    struct signalfd_siginfo info;

    (void)events;
    if (read(worker->signals, &info, sizeof(info)) == sizeof(info))
        begin_stop(worker);
}

/* ---- the loop ---- */

static bool
is_over(struct worker *worker)
{
    if (worker->stopping && process_now() >= worker->stop_by) {
        while (worker->conns != NULL)
            conn_abort(worker->conns);
        conn_bury(worker);
        return true;
    }
    return (worker->draining || worker->stopping) && worker->conn_count == 0
           && worker->outbox_count == 0;
}

static int
next_wait(const struct worker *worker)
{
    uint64_t now = process_now();
    uint64_t next = timers_next(&worker->timers);

    if (worker->stopping && worker->stop_by < next)
        next = worker->stop_by;
    if (next == TIMER_NEVER)
        return -1;
    if (next <= now)
        return 0;
    return next - now < 60000 ? (int)(next - now) : 60000;
}

/* The module counts for this process; what came since the last turn is
 * everybody's. */
static void
share_counts(struct worker *worker)
{
    const struct kpop_stats *old = &worker->shared_stats;
    struct kpop_stats now;

    memset(&now, 0, sizeof(now));
    now.size = sizeof(now);
    worker->api->stats(worker->setup->sessions, &now);
    metrics_add(COUNT_COMMANDS, now.commands - old->commands);
    metrics_add(COUNT_RETRIEVED,
                now.messages_retrieved - old->messages_retrieved);
    metrics_add(COUNT_DELETED, now.messages_deleted - old->messages_deleted);
    metrics_add(COUNT_OCTETS_IN, now.octets_in - old->octets_in);
    metrics_add(COUNT_OCTETS_OUT, now.octets_out - old->octets_out);
    worker->shared_stats = now;
}

static void
worker_loop(struct worker *worker)
{
    struct epoll_event events[EVENTS];
    struct source *source;
    int count;
    int i;

    while (!is_over(worker)) {
        count = epoll_wait(worker->epoll, events, EVENTS, next_wait(worker));
        for (i = 0; i < count; i++) {
            source = events[i].data.ptr;
            source->ready(source, events[i].events);
        }
        timers_run(&worker->timers, process_now());
        conn_bury(worker);
        share_counts(worker);
    }
}

static int
open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int
start(struct worker *worker)
{
    const struct control ready = { .type = CONTROL_READY };
    struct rlimit files = { 0, 0 };

    (void)getrlimit(RLIMIT_NOFILE, &files);
    worker->files = files.rlim_cur;
    worker->control_source.ready = on_control;
    worker->pool_source.ready = on_pool;
    worker->later_timer.fire = on_later;
    worker->signal_source.ready = on_signal;
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    worker->signals = open_signals();
    worker->pool = pool_new();
    worker->auth = authclient_new(worker);
    if (worker->epoll < 0 || worker->signals < 0 || worker->pool == NULL
        || worker->auth == NULL)
        return -1;
    if (worker_watch(worker, EPOLL_CTL_ADD, worker->control, EPOLLIN,
                     &worker->control_source)
            != 0
        || worker_watch(worker, EPOLL_CTL_ADD, pool_fd(worker->pool), EPOLLIN,
                        &worker->pool_source)
               != 0
        || worker_watch(worker, EPOLL_CTL_ADD, worker->signals, EPOLLIN,
                        &worker->signal_source)
               != 0)
        return -1;
    return control_send(worker->control, &ready, -1);
}

int
worker_main(const struct setup *setup, const struct worker_shared *shared,
            int control_fd)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    int status = 1;

    if (worker == NULL)
        return 1;
    worker->api = setup->api;
    worker->setup = setup;
    worker->shared = shared;
    worker->control = control_fd;
    worker->epoll = -1;
    worker->signals = -1;
    if (start(worker) == 0) {
        worker_loop(worker);
        status = 0;
    } else {
        log_event(KPOP_LOG_ERROR, "process.fail",
                  "text=\"a worker cannot start\" error=\"%s\"",
                  strerror(errno));
    }
    /* A store thread that is still blocked uses what we would free. */
    if (!pool_free(worker->pool))
        _exit(status);
    authclient_free(worker->auth);
    timers_free(&worker->timers);
    free(worker->outbox);
    if (worker->signals >= 0)
        close(worker->signals);
    if (worker->epoll >= 0)
        close(worker->epoll);
    free(worker);
    return status;
}
