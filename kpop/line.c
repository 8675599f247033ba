/*
 * line.c - see line.h.  Keeps at most one line of 255 octets and must not
 * interpret it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kpop/line.h"

#include <string.h>

#include "kpop/buf.h"

void
line_init(struct line *line)
{
    memset(line, 0, sizeof(*line));
}

void
line_clear(struct line *line)
{
    wipe(line->data, line->len);
    line->len = line->swallowed = 0;
}

/* The octets of an overlong line are counted and forgotten. */
static enum line_result
swallow(struct line *line, size_t octets, bool ended)
{
    size_t kept = line->len;

    wipe(line->data, kept);
    line->len = 0;
    line->swallowed += kept + octets;
    if (line->swallowed > ENGINE_SWALLOW_MAX)
        return LINE_ENDLESS;
    return ended ? LINE_TOO_LONG : LINE_MORE;
}

enum line_result
line_feed(struct line *line, const uint8_t *data, size_t len, size_t *used_out)
{
    const uint8_t *lf;
    size_t octets;

    *used_out = 0;
    if (len == 0)
        return LINE_MORE;
    lf = memchr(data, '\n', len);
    octets = lf != NULL ? (size_t)(lf - data) + 1 : len;
    *used_out = octets;
    if (line->swallowed > 0 || octets > sizeof(line->data) - line->len)
        return swallow(line, octets, lf != NULL);
    memcpy(line->data + line->len, data, octets);
    line->len += octets;
    if (lf == NULL)
        return LINE_MORE;
    line->len--;
    if (line->len > 0 && line->data[line->len - 1] == '\r')
        line->len--;
    return LINE_READY;
}
