/*
 * buf.h - a growing byte buffer with a maximum from birth and a sticky error.
 *
 * Append freely and test once at the end: after the first append that does
 * not fit or finds no memory, the buffer stays as it was and buf_failed() is
 * true until buf_reset().  An empty buffer holds no memory, so an idle session
 * costs none.  Octets are (pointer, length); nothing is terminated.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_BUF_H
#define KPOP_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kpop/status.h"

struct buf {
    uint8_t *data;   /* allocated; NULL while empty */
    size_t start;    /* first octet not yet consumed */
    size_t end;      /* behind the last octet */
    size_t capacity; /* allocated octets */
    size_t max;      /* largest end - start allowed */
    bool failed;     /* sticky */
    bool secret;     /* wiped before it is freed, moved or reused */
};

/* An empty buffer of at most max octets; allocates nothing. */
void buf_init(struct buf *buf, size_t max);
/* The same for secrets. */
void buf_init_secret(struct buf *buf, size_t max);
/* Frees the memory (wiped when secret); the buffer is empty and usable. */
void buf_reset(struct buf *buf);

void buf_append(struct buf *buf, const void *data, size_t len);
void buf_append_str(struct buf *buf, const char *text);
void buf_append_u32(struct buf *buf, uint32_t value); /* big-endian */
void buf_append_decimal(struct buf *buf, uint64_t value);
void buf_printf(struct buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/*
 * Room for len octets behind the end, to be filled by the caller and then
 * claimed with buf_claim(); NULL, and the buffer failed, when they don't fit.
 */
uint8_t *buf_reserve(struct buf *buf, size_t len);
void buf_claim(struct buf *buf, size_t len);

/* The octets; NULL when empty.  Lent until the buffer changes. */
const uint8_t *buf_data(const struct buf *buf);
size_t buf_len(const struct buf *buf);
/* How many octets may still be appended. */
size_t buf_room(const struct buf *buf);
bool buf_failed(const struct buf *buf);
/* Drops len octets from the front; frees the memory when none is left. */
void buf_consume(struct buf *buf, size_t len);
/* Drops everything behind the first len octets. */
void buf_truncate(struct buf *buf, size_t len);

/* Overwrites memory in a way the compiler keeps. */
void wipe(void *data, size_t len);

#endif
