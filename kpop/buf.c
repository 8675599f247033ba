/*
 * buf.c - see buf.h.  Every octet that a client makes us keep is kept in one
 * of these, so the maximum is checked here before any memory is asked for.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kpop/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_SMALLEST = 256 };

void
wipe(void *data, size_t len)
{
    if (len == 0)
        return;
    memset(data, 0, len);
    /* The compiler must believe that somebody reads the zeros. */
    __asm__ volatile("" : : "r"(data) : "memory");
}

void
buf_init(struct buf *buf, size_t max)
{
    memset(buf, 0, sizeof(*buf));
    buf->max = max;
}

void
buf_init_secret(struct buf *buf, size_t max)
{
    buf_init(buf, max);
    buf->secret = true;
}

/* Gives the memory back; the sticky error stays. */
static void
release(struct buf *buf)
{
    if (buf->secret && buf->data != NULL)
        wipe(buf->data, buf->capacity);
    free(buf->data);
    buf->data = NULL;
    buf->start = buf->end = buf->capacity = 0;
}

void
buf_reset(struct buf *buf)
{
    release(buf);
    buf->failed = false;
}

/* Moves the octets to the front of new memory of at least `needed`. */
static bool
move(struct buf *buf, size_t needed)
{
    size_t len = buf->end - buf->start;
    size_t capacity = buf->capacity > 0 ? buf->capacity : BUF_SMALLEST;
    uint8_t *data;

    /* max + 1: buf_printf() needs room for a NUL it does not keep. */
    while (capacity < needed)
        capacity = capacity > SIZE_MAX / 2 ? SIZE_MAX : capacity * 2;
    if (capacity > buf->max)
        capacity = needed > buf->max ? needed : buf->max;
    data = malloc(capacity);
    if (data == NULL)
        return false;
    if (len > 0)
        memcpy(data, buf->data + buf->start, len);
    release(buf);
    buf->data = data;
    buf->end = len;
    buf->capacity = capacity;
    return true;
}

/* Room for len octets to keep and `spare` more to write over. */
static uint8_t *
make_room(struct buf *buf, size_t len, size_t spare)
{
    size_t used = buf->end - buf->start;

    if (buf->failed)
        return NULL;
    if (len > buf->max - used) {
        buf->failed = true;
        return NULL;
    }
    if (len + spare > buf->capacity - buf->end
        && !move(buf, used + len + spare)) {
        buf->failed = true;
        return NULL;
    }
    return buf->data + buf->end;
}

uint8_t *
buf_reserve(struct buf *buf, size_t len)
{
    return make_room(buf, len, 0);
}

void
buf_claim(struct buf *buf, size_t len)
{
    assert(len <= buf->capacity - buf->end);
    buf->end += len;
    if (buf->start == buf->end)
        release(buf);
}

void
buf_append(struct buf *buf, const void *data, size_t len)
{
    uint8_t *to;

    if (len == 0)
        return;
    to = make_room(buf, len, 0);
    if (to == NULL)
        return;
    memcpy(to, data, len);
    buf->end += len;
}

void
buf_append_str(struct buf *buf, const char *text)
{
    buf_append(buf, text, strlen(text));
}

void
buf_append_u32(struct buf *buf, uint32_t value)
{
    const uint8_t octets[4] = {
        (uint8_t)(value >> 24),
        (uint8_t)(value >> 16),
        (uint8_t)(value >> 8),
        (uint8_t)value,
    };

    buf_append(buf, octets, sizeof(octets));
}

void
buf_append_decimal(struct buf *buf, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buf_append(buf, digits + at, sizeof(digits) - at);
}

void
buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    int len;
    uint8_t *to;

    va_start(args, format);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len <= 0) {
        buf->failed = buf->failed || len < 0;
        return;
    }
    to = make_room(buf, (size_t)len, 1);
    if (to == NULL)
        return;
    va_start(args, format);
    (void)vsnprintf((char *)to, (size_t)len + 1, format, args);
    va_end(args);
    buf->end += (size_t)len;
}

const uint8_t *
buf_data(const struct buf *buf)
{
    return buf->start == buf->end ? NULL : buf->data + buf->start;
}

size_t
buf_len(const struct buf *buf)
{
    return buf->end - buf->start;
}

size_t
buf_room(const struct buf *buf)
{
    return buf->failed ? 0 : buf->max - (buf->end - buf->start);
}

bool
buf_failed(const struct buf *buf)
{
    return buf->failed;
}

void
buf_consume(struct buf *buf, size_t len)
{
    assert(len <= buf->end - buf->start);
    if (buf->secret && len > 0)
        wipe(buf->data + buf->start, len);
    buf->start += len;
    if (buf->start == buf->end)
        release(buf);
}

void
buf_truncate(struct buf *buf, size_t len)
{
    size_t used = buf->end - buf->start;

    if (len >= used)
        return;
    if (buf->secret)
        wipe(buf->data + buf->start + len, used - len);
    buf->end = buf->start + len;
    if (len == 0)
        release(buf);
}
