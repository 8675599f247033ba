/*
 * line.h - command lines out of a stream of octets.
 *
 * A line ends with LF; a CR before it is taken off.  Octets pass as they are,
 * NUL too.  A line longer than RFC 2449 allows is swallowed up to its LF, so
 * that the next command is in step; one without any end is not waited for.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_LINE_H
#define KPOP_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kpop/engine.h"

struct line {
    uint8_t data[ENGINE_LINE_MAX];
    size_t len;      /* octets in data */
    size_t swallowed; /* of an overlong line; 0 = it still fits */
};

enum line_result {
    LINE_MORE,     /* all octets used, no line yet */
    LINE_READY,    /* data and len are a line without its end */
    LINE_TOO_LONG, /* the end of an overlong line was reached */
    LINE_ENDLESS   /* ENGINE_SWALLOW_MAX octets and no end */
};

void line_init(struct line *line);
/* Takes octets up to the first result other than LINE_MORE; how many is
 * *used_out.  After each result the line must be cleared. */
enum line_result line_feed(struct line *line, const uint8_t *data, size_t len,
                           size_t *used_out);
/* Wiped, because it may hold a password; ready for the next. */
void line_clear(struct line *line);

#endif
