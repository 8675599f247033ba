/*
 * base64.c - see base64.h.  What it reads is a client's and may be a password:
 * it must accept one form of each octet string only, and keeps nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kpop/base64.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "abcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_encode(struct buf *out, const uint8_t *data, size_t len)
{
    size_t size = 0;
    uint8_t *to;

    if (len == 0)
        return;
    to = buf_reserve(out, (len + 2) / 3 * 4);
    if (to == NULL)
        return;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t bits = (uint32_t)data[i] << 16;

        if (left > 1)
            bits |= (uint32_t)data[i + 1] << 8;
        if (left > 2)
            bits |= data[i + 2];
        to[size++] = (uint8_t)alphabet[bits >> 18];
        to[size++] = (uint8_t)alphabet[bits >> 12 & 63];
        to[size++] = (uint8_t)(left > 1 ? alphabet[bits >> 6 & 63] : '=');
        to[size++] = (uint8_t)(left > 2 ? alphabet[bits & 63] : '=');
    }
    buf_claim(out, size);
}

/* 0..63, or 64 for what is not of the alphabet. */
static uint32_t
value(uint8_t octet)
{
    if (octet >= 'A' && octet <= 'Z')
        return (uint32_t)octet - 'A';
    if (octet >= 'a' && octet <= 'z')
        return (uint32_t)octet - 'a' + 26;
    if (octet >= '0' && octet <= '9')
        return (uint32_t)octet - '0' + 52;
    return octet == '+' ? 62 : octet == '/' ? 63 : 64;
}

/* Four characters, of which the last `padding` are '='; 0 when wrong. */
static size_t
decode_group(uint8_t *to, const uint8_t *text, size_t padding)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < 4; i++) {
        uint32_t digit = i < 4 - padding ? value(text[i]) : 0;

        if (digit > 63)
            return 0;
        bits = bits << 6 | digit;
    }
    if ((padding == 1 && (bits & 0xff) != 0)
        || (padding == 2 && (bits & 0xffff) != 0))
        return 0;
    to[0] = (uint8_t)(bits >> 16);
    if (padding < 2)
        to[1] = (uint8_t)(bits >> 8);
    if (padding < 1)
        to[2] = (uint8_t)bits;
    return 3 - padding;
}

static size_t
count_padding(const uint8_t *text, size_t len)
{
    if (text[len - 1] != '=')
        return 0;
    return text[len - 2] == '=' ? 2 : 1;
}

int
base64_decode(struct buf *out, const uint8_t *text, size_t len)
{
    size_t size = 0;
    uint8_t *to;

    if (len % 4 != 0)
        return STATUS_INVALID;
    if (len == 0)
        return STATUS_OK;
    to = buf_reserve(out, len / 4 * 3);
    if (to == NULL)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < len; i += 4) {
        size_t padding = i + 4 == len ? count_padding(text, len) : 0;
        size_t octets = decode_group(to + size, text + i, padding);

        if (octets == 0) {
            wipe(to, len / 4 * 3);
            return STATUS_INVALID;
        }
        size += octets;
    }
    buf_claim(out, size);
    return STATUS_OK;
}
