/*
 * preload_kernel.c - a kernel without Landlock.  Loaded by LD_PRELOAD into
 * kpopd by tests only; never installed.
 *
 * SPDX-License-Identifier: MIT
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef long syscall_fn(long, ...);

long
syscall(long number, ...)
{
    static syscall_fn *real;
    long words[6];
    va_list list;
    int i;

    if (number == SYS_landlock_create_ruleset) {
        errno = ENOSYS;
        return -1;
    }
    if (real == NULL) {
        /* POSIX lets dlsym() give functions; ISO C has no cast for that. */
        void *symbol = dlsym(RTLD_NEXT, "syscall");

        memcpy(&real, &symbol, sizeof(real));
    }
    va_start(list, number);
    for (i = 0; i < 6; i++)
        words[i] = va_arg(list, long);
    va_end(list);
    return real(number, words[0], words[1], words[2], words[3], words[4],
                words[5]);
}
