/*
 * fail.h - what the programs of the bench share.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_BENCH_FAIL_H
#define KPOP_TESTS_BENCH_FAIL_H

#include <stdint.h>

/* Ends the program: a load that goes wrong measures nothing. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format,
                                                          ...);

uint64_t nanoseconds(void);

/* Of this process. */
double processor_ms(void);

#endif
