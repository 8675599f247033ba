/*
 * preload_term.c - SIGTERM ends a program by exit(), so that what gcov counts
 * in it is written down.  For programs without an end of their own.
 *
 * Loaded by LD_PRELOAD by tests only; never installed.
 *
 * SPDX-License-Identifier: MIT
 */
#include <signal.h>
#include <stdlib.h>

/* They wait in accept(), and hold no lock there. */
static void
on_term(int number)
{
    (void)number;
    exit(0);
}

__attribute__((constructor)) static void
listen_to_it(void)
{
    (void)signal(SIGTERM, on_term);
}
