/*
 * syscalls_fixture.h - a child whose system calls a test sees one by one,
 * before they are made: to count them, to write them down, to let one fail,
 * or to cut the child's life off at one.
 *
 * By seccomp's user notification, so that calls from inside of libc count as
 * well, and every architecture has its own numbers.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_UNIT_SYSCALLS_FIXTURE_H
#define KPOP_TESTS_UNIT_SYSCALLS_FIXTURE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct syscalls_call {
    pid_t pid;
    size_t number; /* 1 is the first one */
    int nr;        /* SYS_... */
    const uint64_t *args;
};

enum { SYSCALLS_KILL = -1 };

/* 0: the call is made; SYSCALLS_KILL: the child dies without it; an errno:
 * it is not made and fails with that. */
typedef int syscalls_judge_fn(void *arg, const struct syscalls_call *call);

/* Runs body(arg) in a child.  All calls between two syscalls_mark() of it pass
 * the judge, but those for memory and signals.  The status as of waitpid(); 0
 * after a body that returned. */
int syscalls_watch(void (*body)(void *arg), void *arg,
                   syscalls_judge_fn *judge, void *judge_arg);

void syscalls_mark(void);

/* Why it can't work here, or NULL. */
const char *syscalls_lack(void);

/* What an argument of a call points to; how much could be read. */
size_t syscalls_read(const struct syscalls_call *call, uint64_t address,
                     void *out, size_t size);
/* The path of a file that the child has open; "" if there is none. */
void syscalls_path(const struct syscalls_call *call, int fd, char *out,
                   size_t size);

#endif
