/*
 * preload_fault.h - functions of libraries that fail when their turn has come:
 * FAULT() makes one, for preload_*.c.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_LIB_PRELOAD_FAULT_H
#define KPOP_TESTS_LIB_PRELOAD_FAULT_H

#include <dlfcn.h>
#include <string.h>

#include "tests/lib/preload_turn.h"

#define EXPORT __attribute__((visibility("default")))

/* POSIX lets dlsym() give functions; ISO C has no cast for that. */
static inline void
next(const char *name, void *function_out)
{
    void *symbol = dlsym(RTLD_NEXT, name);

    memcpy(function_out, &symbol, sizeof(symbol));
}

/* The same for libraries that the caller alone has: kpopd loads kpop.so, and
 * with it libkrb5, for itself. */
static void
next_of(void *caller, const char *name, void *function_out)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    Dl_info info;

    if (symbol == NULL && dladdr(caller, &info) != 0)
        symbol = dlsym(dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD), name);
    memcpy(function_out, &symbol, sizeof(symbol));
}

/* A function that returns `failed` with errno when its turn has come. */
#define FAULT(type, name, failed, error, parameters, arguments)             \
    EXPORT type name parameters                                             \
    {                                                                       \
        static type(*real) parameters;                                      \
                                                                            \
        if (fails(__builtin_return_address(0), #name, error))               \
            return failed;                                                  \
        if (real == NULL)                                                   \
            next_of(__builtin_return_address(0), #name, &real);             \
        return real arguments;                                              \
    }

#endif
