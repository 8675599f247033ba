/*
 * stuff.c - see stuff.h.  A line at a time by memchr(), because every octet of
 * every message passes through here; looks at nothing but line ends and dots.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kpop/stuff.h"

#include <string.h>

void
stuff_init(struct stuff *stuff, uint64_t body_lines)
{
    memset(stuff, 0, sizeof(*stuff));
    stuff->body_left = body_lines;
}

static void
replace_nuls(uint8_t *at, size_t len)
{
    uint8_t *end = at + len;

    while ((at = memchr(at, '\0', (size_t)(end - at))) != NULL)
        *at++ = 0x80;
}

/* Octets of a line, without its LF.  A line that so far is one CR only counts
 * as empty: it may turn out to be the blank line. */
static uint8_t *
put_run(struct stuff *stuff, const uint8_t *run, size_t len, uint8_t *to)
{
    bool at_start = !stuff->mid_line && !stuff->after_cr;

    if (len == 0)
        return to;
    if (at_start && run[0] == '.')
        *to++ = '.';
    memcpy(to, run, len);
    if (stuff->no_nuls)
        replace_nuls(to, len);
    if (!at_start || len > 1 || run[0] != '\r')
        stuff->mid_line = true;
    stuff->after_cr = run[len - 1] == '\r';
    return to + len;
}

static uint8_t *
put_line_end(struct stuff *stuff, uint8_t *to)
{
    bool blank = !stuff->mid_line;

    if (!stuff->after_cr)
        *to++ = '\r';
    *to++ = '\n';
    stuff->mid_line = stuff->after_cr = false;
    if (stuff->in_body && stuff->body_left != UINT64_MAX)
        stuff->body_left--;
    if (blank)
        stuff->in_body = true;
    stuff->done = stuff->in_body && stuff->body_left == 0;
    return to;
}

bool
stuff_piece(struct stuff *stuff, const uint8_t *data, size_t len,
            struct buf *out)
{
    uint8_t *start, *to;

    if (len == 0 || stuff->done)
        return stuff->done;
    start = to = buf_reserve(out, 2 * len + 1);
    if (start == NULL)
        return stuff->done;
    while (len > 0 && !stuff->done) {
        const uint8_t *lf = memchr(data, '\n', len);
        size_t run = lf != NULL ? (size_t)(lf - data) : len;

        to = put_run(stuff, data, run, to);
        if (lf != NULL) {
            to = put_line_end(stuff, to);
            run++;
        }
        data += run;
        len -= run;
    }
    buf_claim(out, (size_t)(to - start));
    return stuff->done;
}

void
stuff_end(struct stuff *stuff, struct buf *out)
{
    uint8_t end[4];
    uint8_t *to = end;

    if (stuff->mid_line || stuff->after_cr)
        to = put_line_end(stuff, to);
    if (stuff->header_ends && !stuff->in_body)
        to = put_line_end(stuff, to);
    buf_append(out, end, (size_t)(to - end));
}

/* Bits of stuff_wire_octets()'s state. */
enum { LINE_OPEN = 1, LINE_AFTER_CR = 2 };

uint64_t
stuff_wire_octets(uint32_t *state, const void *data, size_t len)
{
    const uint8_t *at = data;
    uint64_t total = len;

    if (data == NULL) {
        total = (*state & LINE_AFTER_CR) != 0 ? 1
                : (*state & LINE_OPEN) != 0   ? 2
                                              : 0;
        *state = 0;
        return total;
    }
    while (len > 0) {
        const uint8_t *lf = memchr(at, '\n', len);
        size_t run = lf != NULL ? (size_t)(lf - at) : len;

        if (run > 0)
            *state = LINE_OPEN | (at[run - 1] == '\r' ? LINE_AFTER_CR : 0u);
        if (lf != NULL) {
            total += (*state & LINE_AFTER_CR) != 0 ? 0 : 1;
            *state = 0;
            run++;
        }
        at += run;
        len -= run;
    }
    return total;
}
