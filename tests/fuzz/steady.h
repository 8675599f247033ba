/*
 * steady.h - an input does the same each time: OpenSSL's random octets come
 * from a counter that begins anew with each input.  For fuzzers alone.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_FUZZ_STEADY_H
#define KPOP_TESTS_FUZZ_STEADY_H

/* Before each input; for the whole process. */
void steady_begin(void);

#endif
