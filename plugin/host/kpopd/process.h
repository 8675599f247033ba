/*
 * process.h - what every process of kpopd does to itself.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_PROCESS_H
#define KPOPD_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "plugin/host/kpopd/settings.h"

/* Milliseconds of a clock that nobody sets. */
uint64_t process_now(void);
/* Microseconds of the same clock. */
uint64_t process_micros(void);

/* fork(2), and getpid(2) without a system call for each line of the log. */
pid_t process_fork(void);
int64_t process_id(void);

/* No core files, no ptrace by the same user and, unless it has helpers that
 * need them, no new rights by exec. */
void process_harden(bool has_helpers);
/* As many descriptors as we may have. */
void process_raise_files(void);
/* Takes the account for good; 0, or -1 with a sentence.  No account: stays. */
int process_become(const struct account *account, char *error,
                   size_t error_size);
/* Ignores a signal, but in this program only: what it executes, such as a
 * helper of PAM's, begins without. */
void process_ignore(int number);
/*
 * After fork, in the child: closes everything but 0, 1, 2, `keep` and the
 * socket of the log, lets signals through again, and dies with its parent by
 * `death_signal`.  -1: the parent is gone already.
 */
int process_begin_child(int keep, int death_signal, int64_t parent);
/* Stack of a store thread: small, they are many; sanitizers need more. */
size_t process_stack_size(void);

#endif
