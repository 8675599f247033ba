/*
 * alloc.h - allocation under the runner's control: malloc, calloc and realloc
 * of the code under test are wrapped (see the first line of runner.c), so that
 * the n-th of them can fail.  The runner's own memory comes from x*, which
 * never fail and are never counted.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_ALLOC_H
#define KPOP_TESTS_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The n-th counted allocation from now fails, with all behind it when
 * for_good; 0 = none. */
void alloc_fail_at(uint64_t n, bool for_good);
void alloc_stop_failing(void);
/* Did it come to that, since alloc_fail_at()? */
bool alloc_did_fail(void);
/* Only what happens between these two is counted. */
void alloc_enter(void);
void alloc_leave(void);

/* The runner's own: they abort when there is no memory. */
void *xmalloc(size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *text);

/* Octets, counted, with a NUL behind them that is not counted. */
struct blob {
    uint8_t *data;
    size_t len;
    size_t room;
};

void blob_add(struct blob *blob, const void *data, size_t len);
void blob_free(struct blob *blob);
/* The octets as text for a message: escapes, at most about 400 octets, from
 * `from` on.  Of a ring of buffers: good for a few calls. */
const char *blob_show(const void *data, size_t len, size_t from);

#endif
