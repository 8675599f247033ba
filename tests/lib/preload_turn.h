/*
 * preload_turn.h - which call of a program is to fail: fails().  For
 * preload_faults.c alone, whose head says what it is told by.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_LIB_PRELOAD_TURN_H
#define KPOP_TESTS_LIB_PRELOAD_TURN_H

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool over; /* main() has returned: gcov writes its figures */

/* Is it an address of kpopd, kpopctl or kpop.so? */
static bool
is_ours(void *caller)
{
    const char *base;
    Dl_info info;

    if (dladdr(caller, &info) == 0 || info.dli_fname == NULL)
        return false;
    base = strrchr(info.dli_fname, '/');
    return strncmp(base != NULL ? base + 1 : info.dli_fname, "kpop", 4) == 0;
}

static void
note(const char *name)
{
    const char *path = getenv("KPOP_TEST_FAILED");
    int fd = path == NULL ? -1 : open(path, O_WRONLY | O_APPEND | O_CREAT,
                                      0666);

    if (fd < 0)
        return;
    dprintf(fd, "%s\n", name);
    close(fd);
}

/* ---- the file of $KPOP_TEST_FAULTS ---- */

enum { FRAMES = 24, NAME_MAX_OF_CALL = 24 };

/* A call of a program: who calls it, and who called those. */
struct site {
    uint64_t stack; /* sum of the addresses of the callers, all of ours */
    char name[NAME_MAX_OF_CALL];
};

struct turn {
    _Atomic uint64_t armed;   /* 1: the next call of `stack` fails */
    _Atomic uint64_t stack;
    _Atomic uint64_t listing; /* 1: calls are written to sites[] */
    _Atomic uint64_t count;   /* of those; more than `room` are left out */
    uint64_t room;
    struct site sites[];
};

static struct turn *turn;

/* Before main(), and before a process may open nothing any more. */
__attribute__((constructor)) static void
map_turn(void)
{
    const char *path = getenv("KPOP_TEST_FAULTS");
    void *frames[1];
    struct stat st;
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)backtrace(frames, 1); /* it loads a library at first */
    if (fstat(fd, &st) == 0)
        turn = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
                    MAP_SHARED, fd, 0);
    if (turn == MAP_FAILED)
        turn = NULL;
    close(fd);
}

/* The same in each run of one build, wherever it is loaded. */
static uint64_t
stack_now(void)
{
    void *frames[FRAMES];
    int count = backtrace(frames, FRAMES);
    uint64_t sum = 1469598103934665603u; /* FNV-1a, by words */
    Dl_info info;
    int i;

    for (i = 0; i < count; i++) {
        if (!is_ours(frames[i]) || dladdr(frames[i], &info) == 0)
            continue;
        sum ^= (uint64_t)((char *)frames[i] - (char *)info.dli_fbase);
        sum *= 1099511628211u;
    }
    return sum;
}

static void
list(const char *name, uint64_t stack)
{
    uint64_t n = atomic_fetch_add(&turn->count, 1);

    if (n >= turn->room)
        return;
    turn->sites[n].stack = stack;
    snprintf(turn->sites[n].name, NAME_MAX_OF_CALL, "%s", name);
}

/* Is it the turn of this call? */
static bool
comes(const char *name, void *caller)
{
    static _Thread_local bool busy;
    bool armed = atomic_load(&turn->armed) != 0;
    bool listing = atomic_load(&turn->listing) != 0;
    uint64_t one = 1;
    uint64_t stack;

    if (busy || over || (!armed && !listing) || !is_ours(caller))
        return false;
    busy = true;
    stack = stack_now();
    busy = false;
    if (listing)
        list(name, stack);
    return stack == atomic_load(&turn->stack)
           && atomic_compare_exchange_strong(&turn->armed, &one, 0);
}

/* ---- which call it is ---- */

static bool
is_number(void *caller, const char *name)
{
    static long at = -1;
    static bool on;
    static bool busy;

    if (at < 0) {
        const char *text = getenv("KPOP_TEST_FAIL_AT");

        at = text != NULL ? atol(text) : 0;
        on = getenv("KPOP_TEST_FAIL_ON") != NULL;
    }
    if (at == 0 || over || busy || !is_ours(caller) || --at > 0)
        return false;
    at = on ? 1 : 0;
    busy = true;
    note(name);
    busy = false;
    return true;
}

static bool
fails(void *caller, const char *name, int error)
{
    if (turn != NULL ? !comes(name, caller) : !is_number(caller, name))
        return false;
    errno = error;
    return true;
}

#endif
