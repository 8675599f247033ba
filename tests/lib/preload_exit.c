/*
 * preload_exit.c - _exit() is exit(): only then does gcov write what it has
 * counted, and what a child looked at before it went is counted, too.  Loaded
 * by LD_PRELOAD by `tests/run --coverage` only; never installed.
 *
 * SPDX-License-Identifier: MIT
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Others, such as Python, know why they do not. */
static int
is_ours(void *caller)
{
    const char *base;
    Dl_info info;

    if (dladdr(caller, &info) == 0 || info.dli_fname == NULL)
        return 0;
    base = strrchr(info.dli_fname, '/');
    return strncmp(base != NULL ? base + 1 : info.dli_fname, "kpop", 4) == 0;
}

__attribute__((visibility("default"))) void
_exit(int status)
{
    static int again;

    if (!again && is_ours(__builtin_return_address(0))) {
        again = 1;
        __fpurge(stdout); /* it is the parent's */
        exit(status);
    }
    for (;;)
        syscall(SYS_exit_group, status);
}
