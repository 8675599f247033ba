/*
 * steady.c - see steady.h.
 *
 * SPDX-License-Identifier: MIT
 */
/* OpenSSL 3 wants a provider for this, which is ten times as long. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "tests/fuzz/steady.h"

#include <openssl/rand.h>
#include <stdint.h>
#include <stdlib.h>

static uint64_t state;

/* splitmix64, by Sebastiano Vigna. */
static int
fill(unsigned char *data, int size)
{
    uint64_t mixed;

    for (int i = 0; i < size; i++) {
        mixed = state += 0x9e3779b97f4a7c15u;
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
        data[i] = (unsigned char)(mixed >> 56);
    }
    return 1;
}

static int
is_ready(void)
{
    return 1;
}

void
steady_begin(void)
{
    static const RAND_METHOD method = { .bytes = fill, .pseudorand = fill,
                                        .status = is_ready };

    state = 1;
    if (RAND_set_rand_method(&method) != 1)
        abort();
}
