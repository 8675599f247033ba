/*
 * process.c - rights, limits and descriptors of a process.  Dropping rights
 * is verified, because a set*id that silently did nothing is the classic way
 * to serve the network as root.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/process.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "plugin/host/kpopd/logsocket.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

uint64_t
process_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t
process_micros(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Each line of the log names it. */
static atomic_long own_id;

int64_t
process_id(void)
{
    long id = atomic_load(&own_id);

    if (id == 0) {
        id = getpid();
        atomic_store(&own_id, id);
    }
    return id;
}

pid_t
process_fork(void)
{
    pid_t pid = fork();

    if (pid == 0)
        atomic_store(&own_id, 0);
    return pid;
}

void
process_harden(bool has_helpers)
{
    struct rlimit none = { 0, 0 };

    (void)setrlimit(RLIMIT_CORE, &none);
    if (!has_helpers)
        (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    /* The leak checker looks at us by ptrace. */
    if (!SANITIZED)
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void
process_raise_files(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

static int
has_become(const struct account *account)
{
    uid_t uid[3];
    gid_t gid[3];
    int i;

    if (getresuid(&uid[0], &uid[1], &uid[2]) != 0
        || getresgid(&gid[0], &gid[1], &gid[2]) != 0)
        return 0;
    for (i = 0; i < 3; i++)
        if (uid[i] != account->uid || gid[i] != account->gid)
            return 0;
    return setuid(0) != 0 && seteuid(0) != 0;
}

int
process_become(const struct account *account, char *error,
               size_t error_size)
{
    if (account->name == NULL)
        return 0;
    if (initgroups(account->name, account->gid) != 0
        || setresgid(account->gid, account->gid, account->gid) != 0
        || setresuid(account->uid, account->uid, account->uid) != 0) {
        snprintf(error, error_size, "cannot become the user %s: %s",
                 account->name, strerror(errno));
        return -1;
    }
    if (!has_become(account)) {
        snprintf(error, error_size,
                 "becoming the user %s left rights of root behind",
                 account->name);
        return -1;
    }
    return 0;
}

static void
nothing(int number)
{
    (void)number;
}

void
process_ignore(int number)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = nothing;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    (void)sigaction(number, &action, NULL);
}

/* All but 0, 1, 2 and two more, either of which may be -1. */
static void
close_others(int one, int other)
{
    int low = one < other ? one : other;
    int high = one < other ? other : one;
    unsigned from = 3;

    if (low > 3)
        (void)close_range(from, (unsigned)low - 1, 0);
    if (low >= 3)
        from = (unsigned)low + 1;
    if (high > (int)from)
        (void)close_range(from, (unsigned)high - 1, 0);
    if (high >= (int)from)
        from = (unsigned)high + 1;
    (void)close_range(from, ~0u, 0);
}

int
process_begin_child(int keep, int death_signal, int64_t parent)
{
    sigset_t none;

    close_others(keep, logsocket_descriptor());
    process_ignore(SIGINT);
    process_ignore(SIGHUP);
    process_ignore(SIGPIPE);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0);
    return getppid() == (pid_t)parent ? 0 : -1;
}

size_t
process_stack_size(void)
{
    return SANITIZED ? 1024 * 1024 : 192 * 1024;
}
