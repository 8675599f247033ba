/* LDFLAGS: -Wl,--wrap=process_now,--wrap=realloc,--wrap=ipc_recv */
/*
 * kpopd_auth.c - an auth process as a worker sees it, hostile ones too: what
 * it allows, how many half-finished exchanges it keeps, what a worker that
 * went leaves behind, and what comes of a module that lies.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/auth.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugin/host/kpopd/authmsg.h"
#include "plugin/host/kpopd/ipc.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/process.h"
#include "plugin/host/kpopd/setup.h"
#include "tests/lib/check.h"

enum { KEPT = 3 }; /* max_unauthenticated of the configuration below */
enum { CHANNELS = 2048 }; /* that a process takes */

static char folder[] = "/tmp/kpopd_auth.XXXXXX";
static struct setup *setup;
static struct auth_mark *mark;
static uint8_t frame[IPC_FRAME_MAX];
static struct auth_answer answer; /* points into frame */

/* In memory that the processes share. */
static struct {
    _Atomic uint64_t ahead; /* of the clock, milliseconds */
    _Atomic int left;       /* calls of realloc(), if not all */
    _Atomic bool short_of_memory;
    _Atomic bool wakes_early; /* the next that reads: nothing is there */
} *fault;

uint64_t __real_process_now(void);
uint64_t __wrap_process_now(void);
ssize_t __real_ipc_recv(int fd, void *buffer, size_t size, int *pass_out);
ssize_t __wrap_ipc_recv(int fd, void *buffer, size_t size, int *pass_out);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

uint64_t
__wrap_process_now(void)
{
    return __real_process_now()
           + (fault != NULL ? atomic_load(&fault->ahead) : 0);
}

void *
__wrap_realloc(void *old, size_t size)
{
    if (fault != NULL && atomic_load(&fault->short_of_memory)
        && atomic_fetch_sub(&fault->left, 1) <= 0)
        return NULL;
    return __real_realloc(old, size);
}

ssize_t
__wrap_ipc_recv(int fd, void *buffer, size_t size, int *pass_out)
{
    if (fault == NULL || !atomic_exchange(&fault->wakes_early, false))
        return __real_ipc_recv(fd, buffer, size, pass_out);
    errno = EAGAIN;
    return -1;
}

/* One auth process of the password pool. */
struct process {
    pid_t pid;
    int control;
};

static void
write_file(const char *name, const char *text)
{
    char path[128];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "w");
    CHECK(file != NULL);
    fputs(text, file);
    CHECK_INT(fclose(file), 0);
    CHECK_INT(chmod(path, 0600), 0);
}

static void *
shared(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(at != MAP_FAILED);
    return at;
}

static void
load(void)
{
    char error[SETUP_ERROR_MAX] = "";
    char text[1024];

    if (setup != NULL)
        return;
    (void)snprintf(text, sizeof(text),
                   "listen_kpop =\nlisten_pop3 = 127.0.0.1:0\n"
                   "plaintext = always\nmechanisms = PLAIN CRAM-MD5\n"
                   "store = maildir:%s/%%u\nsecrets = file:%s/secrets\n"
                   "max_unauthenticated = %d\nstate_dir = %s\n%s",
                   folder, folder, KEPT, folder,
                   geteuid() == 0 ? "run_as = mail\nauth_user = daemon\n"
                                  : "");
    write_file("conf", text);
    write_file("secrets", "alice:wonderland\n");
    (void)snprintf(text, sizeof(text), "%s/conf", folder);
    setup = setup_load(kpop_plugin_entry, text, NULL, error, sizeof(error));
    CHECK_STR(error, "");
    mark = shared(sizeof(*mark));
    fault = shared(sizeof(*fault));
}

static void
await(int fd)
{
    struct pollfd one = { fd, POLLIN, 0 };

    CHECK_INT(poll(&one, 1, 60000), 1);
}

static struct process
start(void)
{
    struct process process;
    struct control control;
    int pass;
    int fds[2];

    load();
    CHECK_INT(ipc_pair(fds), 0);
    process.control = fds[0];
    process.pid = fork();
    CHECK(process.pid >= 0);
    if (process.pid == 0) {
        close(fds[0]);
        _exit(auth_main(setup, POOL_PASSWORD, fds[1], mark));
    }
    close(fds[1]);
    await(process.control);
    CHECK_INT(control_recv(process.control, &control, &pass), 1);
    CHECK_INT(control.type, CONTROL_READY);
    return process;
}

/* It has ended by itself, or ends because its master is gone. */
static void
stop(const struct process *process)
{
    int status;

    close(process->control);
    CHECK_INT(waitpid(process->pid, &status, 0), process->pid);
    CHECK_INT(status, 0);
}

/* As the master does, who waits for room. */
static void
give(const struct process *process, int fd)
{
    struct pollfd room = { process->control, POLLOUT, 0 };
    struct control control;

    memset(&control, 0, sizeof(control));
    control.type = CONTROL_CHANNEL;
    control.pool = POOL_PASSWORD;
    while (control_send(process->control, &control, fd) != 0) {
        CHECK_INT(errno, EAGAIN);
        CHECK_INT(poll(&room, 1, 60000), 1);
    }
}

/* Another worker's channel. */
static int
connect_worker(const struct process *process)
{
    int fds[2];

    CHECK_INT(ipc_pair(fds), 0);
    give(process, fds[1]);
    close(fds[1]);
    return fds[0];
}

static void
ask(int fd, enum auth_request_type type, uint64_t exchange,
    const char *mechanism, const char *data)
{
    struct auth_request request;
    size_t len;

    memset(&request, 0, sizeof(request));
    request.type = type;
    request.exchange = exchange;
    request.mechanism = mechanism;
    request.facts.size = sizeof(request.facts);
    request.facts.service = "pop3";
    request.facts.session_id = "1";
    request.facts.peer_address = "192.0.2.1";
    request.data = data;
    request.size = data != NULL ? strlen(data) : 0;
    len = auth_request_encode(&request, frame, sizeof(frame));
    CHECK(len > 0);
    CHECK_INT(ipc_send(fd, frame, len, -1), 0);
}

/* The result, or 99 when the channel was closed. */
static int32_t
hear(int fd)
{
    ssize_t len;

    await(fd);
    len = ipc_recv(fd, frame, sizeof(frame), NULL);
    if (len <= 0)
        return 99;
    CHECK(auth_answer_decode(frame, (size_t)len, &answer));
    return answer.result;
}

static void
begin(int fd, uint64_t exchange)
{
    ask(fd, AUTH_START, exchange, "CRAM-MD5", NULL);
    CHECK_INT(hear(fd), KPOP_CONTINUE);
}

static int32_t
go_on(int fd, uint64_t exchange)
{
    ask(fd, AUTH_STEP, exchange, NULL,
        "alice 00000000000000000000000000000000");
    return hear(fd);
}

TEST(oldest_half_finished_exchange_goes)
{
    struct process process = start();
    int idle = connect_worker(&process);
    int one = connect_worker(&process);
    int other = connect_worker(&process);

    begin(one, 1);
    begin(other, 1);
    begin(one, 2);
    begin(one, 3);
    /* Of all workers the oldest, and that one only. */
    CHECK_INT(go_on(one, 1), KPOP_TEMP);
    CHECK_INT(go_on(other, 1), KPOP_AUTH);
    CHECK_INT(go_on(one, 2), KPOP_AUTH);
    CHECK_INT(go_on(one, 3), KPOP_AUTH);
    close(idle);
    close(one);
    close(other);
    stop(&process);
}

TEST(exchange_that_its_worker_forgot_expires)
{
    struct process process = start();
    int fd = connect_worker(&process);

    begin(fd, 1);
    atomic_store(&fault->ahead, setup->settings.login_timeout);
    begin(fd, 2); /* there is some slack */
    CHECK_INT(go_on(fd, 1), KPOP_AUTH);
    begin(fd, 3);
    atomic_store(&fault->ahead, 2 * setup->settings.login_timeout + 60000);
    begin(fd, 4);
    CHECK_INT(go_on(fd, 2), KPOP_TEMP);
    CHECK_INT(go_on(fd, 3), KPOP_TEMP);
    CHECK_INT(go_on(fd, 4), KPOP_AUTH);
    atomic_store(&fault->ahead, 0);
    close(fd);
    stop(&process);
}

TEST(worker_that_went_leaves_nothing)
{
    struct process process = start();
    int one = connect_worker(&process);
    int other = connect_worker(&process);
    int i;

    for (i = 0; i < KEPT; i++)
        begin(one, (uint64_t)i + 1);
    close(one);
    /* An answer to this comes after the end of the other was seen. */
    begin(other, 9);
    for (i = 0; i < KEPT - 1; i++)
        begin(other, (uint64_t)i + 10);
    CHECK_INT(go_on(other, 9), KPOP_AUTH);
    close(other);
    stop(&process);
}

TEST(a_thousand_ended_exchanges_leave_room)
{
    struct process process = start();
    int fd = connect_worker(&process);
    uint64_t i;

    begin(fd, 1);
    for (i = 2; i < 1002; i++) {
        begin(fd, i);
        ask(fd, AUTH_END, i, NULL, NULL);
    }
    CHECK_INT(go_on(fd, 1), KPOP_AUTH);
    close(fd);
    stop(&process);
}

TEST(decided_exchanges_leave_room_without_an_end)
{
    struct process process = start();
    int fd = connect_worker(&process);
    uint64_t i;

    begin(fd, 1);
    for (i = 2; i < 1002; i++) {
        begin(fd, i);
        CHECK_INT(go_on(fd, i), KPOP_AUTH);
    }
    CHECK_INT(go_on(fd, 1), KPOP_AUTH);
    close(fd);
    stop(&process);
}

TEST(what_is_not_permitted_closes_the_channel_only)
{
    static const char *const wrong[] = { "KPOP", "GSSAPI", "OTP", "" };
    struct process process = start();
    int good = connect_worker(&process);
    size_t i;
    int fd;

    begin(good, 1);
    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        fd = connect_worker(&process);
        ask(fd, AUTH_START, 1, wrong[i], NULL);
        CHECK_INT(hear(fd), 99);
        close(fd);
    }
    fd = connect_worker(&process);
    begin(fd, 1);
    ask(fd, AUTH_START, 1, "CRAM-MD5", NULL);
    CHECK_INT(hear(fd), 99);
    close(fd);
    fd = connect_worker(&process);
    begin(fd, 1);
    CHECK_INT(go_on(fd, 1), KPOP_AUTH);
    /* It is decided, and gone; nobody asks twice. */
    CHECK_INT(go_on(fd, 1), KPOP_TEMP);
    ask(fd, AUTH_END, 1, NULL, NULL);
    begin(fd, 1);
    close(fd);
    /* Another worker's exchange is none of ours. */
    fd = connect_worker(&process);
    CHECK_INT(go_on(fd, 1), KPOP_TEMP);
    close(fd);
    CHECK_INT(go_on(good, 1), KPOP_AUTH);
    close(good);
    stop(&process);
}

TEST(malformed_request_closes_its_channel_only)
{
    struct process process = start();
    int good = connect_worker(&process);
    int bad = connect_worker(&process);

    begin(good, 1);
    CHECK_INT(ipc_send(bad, "no request", 10, -1), 0);
    CHECK_INT(hear(bad), 99);
    CHECK_INT(go_on(good, 1), KPOP_AUTH);
    close(bad);
    close(good);
    stop(&process);
}

TEST(waking_for_nothing_loses_no_channel)
{
    struct process process = start();
    int fd = connect_worker(&process);

    begin(fd, 1);
    atomic_store(&fault->wakes_early, true);
    CHECK_INT(go_on(fd, 1), KPOP_AUTH);
    CHECK(!atomic_load(&fault->wakes_early));
    close(fd);
    stop(&process);
}

/* ---- a channel that finds no room: the master starts another process ---- */

TEST(channel_without_memory_ends_the_process)
{
    struct process process;
    int good;
    int lost;
    int left;

    for (left = 0; left < 2; left++) {
        process = start();
        good = connect_worker(&process);
        begin(good, 1);
        atomic_store(&fault->left, left);
        atomic_store(&fault->short_of_memory, true);
        lost = connect_worker(&process);
        CHECK_INT(hear(lost), 99);
        CHECK_INT(hear(good), 99);
        atomic_store(&fault->short_of_memory, false);
        close(lost);
        close(good);
        stop(&process);
    }
}

TEST(one_channel_too_many_ends_the_process)
{
    struct rlimit limit;
    struct process process;
    int fds[2];
    int last;
    int i;

    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    if (limit.rlim_cur < CHANNELS + 100)
        SKIP("too few files may be open");
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
    process = start();
    CHECK_INT(ipc_pair(fds), 0);
    for (i = 0; i < CHANNELS - 1; i++)
        give(&process, fds[1]);
    last = connect_worker(&process);
    begin(last, 1);
    give(&process, fds[1]);
    close(fds[1]);
    CHECK_INT(hear(fds[0]), 99);
    CHECK_INT(hear(last), 99);
    close(fds[0]);
    close(last);
    stop(&process);
}

/* ---- a module that lies ---- */

static struct kpop_api lying;
static int32_t lying_result;
static size_t lying_size;

static int32_t
lying_step(struct kpop_exchange *exchange, const void *data, size_t size,
           void (*complete)(void *arg, int32_t result), void *arg)
{
    (void)exchange, (void)data, (void)size, (void)complete, (void)arg;
    return lying_result;
}

static void
lying_outcome(struct kpop_exchange *exchange, struct kpop_outcome *outcome)
{
    static const char much[IPC_FRAME_MAX];

    (void)exchange;
    outcome->user = "alice";
    outcome->credential = much;
    outcome->credential_size = lying_size;
}

/* What a worker is told of it; answer is that. */
static int32_t
hear_a_lie(int32_t result, size_t size)
{
    struct process process;
    int32_t heard;
    int fd;

    load();
    lying = *setup->api;
    lying.exchange_step = lying_step;
    lying.exchange_outcome = lying_outcome;
    lying_result = result;
    lying_size = size;
    setup->api = &lying;
    process = start();
    fd = connect_worker(&process);
    ask(fd, AUTH_START, 1, "CRAM-MD5", NULL);
    heard = hear(fd);
    close(fd);
    stop(&process);
    return heard;
}

TEST(result_that_no_exchange_has_is_a_passing_trouble)
{
    static const int32_t results[] = { KPOP_PENDING, KPOP_TAKEN, 99 };
    const struct kpop_api *api;

    load();
    api = setup->api;
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
        CHECK_INT(hear_a_lie(results[i], 0), KPOP_TEMP);
    setup->api = api;
}

TEST(answer_that_fits_no_frame_is_a_passing_trouble)
{
    const struct kpop_api *api;

    load();
    api = setup->api;
    CHECK_INT(hear_a_lie(KPOP_OK, 1000), KPOP_OK);
    CHECK_STR(answer.outcome.user, "alice");
    CHECK_INT(answer.outcome.credential_size, 1000);
    CHECK_INT(hear_a_lie(KPOP_OK, IPC_FRAME_MAX), KPOP_TEMP);
    CHECK_STR(answer.outcome.user, "");
    CHECK_INT(answer.outcome.credential_size, 0);
    setup->api = api;
}

static const struct check_test tests[] = {
    T(oldest_half_finished_exchange_goes),
    T(exchange_that_its_worker_forgot_expires),
    T(worker_that_went_leaves_nothing),
    T(a_thousand_ended_exchanges_leave_room),
    T(decided_exchanges_leave_room_without_an_end),
    T(what_is_not_permitted_closes_the_channel_only),
    T(malformed_request_closes_its_channel_only),
    T(waking_for_nothing_loses_no_channel),
    T(channel_without_memory_ends_the_process),
    T(one_channel_too_many_ends_the_process),
    T(result_that_no_exchange_has_is_a_passing_trouble),
    T(answer_that_fits_no_frame_is_a_passing_trouble),
};

int
main(int argc, char **argv)
{
    char path[128];
    int status;

    if (mkdtemp(folder) == NULL)
        return 1;
    log_set(LOG_TO_STDERR, KPOP_LOG_ERROR);
    status = check_main(argc, argv, "kpopd_auth", tests,
                        sizeof(tests) / sizeof(tests[0]));
    setup_free(setup);
    (void)snprintf(path, sizeof(path), "%s/conf", folder);
    (void)unlink(path);
    (void)snprintf(path, sizeof(path), "%s/secrets", folder);
    (void)unlink(path);
    (void)rmdir(folder);
    return status;
}
