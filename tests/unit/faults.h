/*
 * faults.h - for a test program in which each call of a list fails in turn.
 * The program is linked with --wrap=NAME for each name of its list, and has a
 * FAULT(NAME) for it; only calls of ours fail, between faults_inside() both
 * ways, and none but the n-th since faults_arm().
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_UNIT_FAULTS_H
#define KPOP_TESTS_UNIT_FAULTS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

/* What a call says that fails. */
enum fault_kind { FAULT_OTHER, FAULT_MEMORY, FAULT_SIGNAL };

static struct {
    size_t until; /* calls that still succeed */
    bool armed;
    bool inside;  /* our side is at work */
    enum fault_kind kind;
    const char *failed; /* the call that did; NULL = none yet */
} faults;

static inline void
faults_arm(size_t n, enum fault_kind kind)
{
    faults.until = n;
    faults.kind = kind;
    faults.failed = NULL;
    faults.armed = true;
}

/* The call that failed meanwhile, or NULL. */
static inline const char *
faults_disarm(void)
{
    faults.armed = false;
    return faults.failed;
}

static inline void
faults_inside(bool inside)
{
    faults.inside = inside;
}

static inline bool
faults_now(const char *name)
{
    if (!faults.armed || !faults.inside)
        return false;
    if (faults.until > 0) {
        faults.until--;
        return false;
    }
    faults.armed = false;
    faults.failed = name;
    errno = faults.kind == FAULT_MEMORY   ? ENOMEM
            : faults.kind == FAULT_SIGNAL ? EINTR
                                          : EIO;
    return true;
}

#define FAULT(type, name, failure, parameters, arguments)                  \
    type __real_##name parameters;                                         \
    type __wrap_##name parameters;                                         \
    type __wrap_##name parameters                                          \
    {                                                                      \
        return faults_now(#name) ? (failure) : __real_##name arguments;    \
    }

#endif
