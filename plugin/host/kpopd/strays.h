/*
 * strays.h - programs that a process of ours has started and left behind.
 *
 * A module of PAM may start a helper.  When the auth process that waits for
 * it is killed, the helper would hang on for ever, one more at each login.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_STRAYS_H
#define KPOPD_STRAYS_H

#include <stdbool.h>
#include <sys/types.h>

typedef bool strays_known_fn(const void *arg, pid_t pid);

/* From here on what is left behind becomes our child. */
void strays_begin(void);
/* Kills our children that known() does not know. */
void strays_kill(strays_known_fn *known, const void *arg);

#endif
