/*
 * script.h - an input read as a list of orders: octet for octet, then zeros.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_FUZZ_SCRIPT_H
#define KPOP_TESTS_FUZZ_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct script {
    const uint8_t *data;
    size_t size;
};

static inline uint8_t
script_next(struct script *script)
{
    if (script->size == 0)
        return 0;
    script->size--;
    return *script->data++;
}

/* Up to max octets, lent; their number, which an octet before them says. */
static inline size_t
script_take(struct script *script, size_t max, const uint8_t **data_out)
{
    size_t len = script_next(script);

    if (len > max)
        len = max;
    if (len > script->size)
        len = script->size;
    *data_out = script->data;
    script->data += len;
    script->size -= len;
    return len;
}

/* The same as text without NULs; size is that of out. */
static inline const char *
script_text(struct script *script, char *out, size_t size)
{
    const uint8_t *data;
    size_t len = script_take(script, size - 1, &data);

    for (size_t i = 0; i < len; i++)
        out[i] = data[i] != '\0' ? (char)data[i] : '0';
    out[len] = '\0';
    return out;
}

/* Ends the process unless the condition holds. */
static inline void
script_expect(bool condition, const char *promise)
{
    if (!condition) {
        fprintf(stderr, "broken promise: %s\n", promise);
        abort();
    }
}

#endif
