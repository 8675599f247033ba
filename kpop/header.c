/*
 * header.c - looks whether a header is UTF-8 beyond ASCII; see header.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kpop/header.h"

/* What may follow the first octet of a character (RFC 3629 section 4): no
 * overlong forms, no surrogates, nothing above U+10FFFF. */
static void
begin_character(struct header_look *look, uint8_t first)
{
    look->eight_bit = true;
    look->low = 0x80;
    look->high = 0xbf;
    if (first >= 0xc2 && first <= 0xdf) {
        look->left = 1;
    } else if (first >= 0xe0 && first <= 0xef) {
        look->left = 2;
        if (first == 0xe0)
            look->low = 0xa0;
        if (first == 0xed)
            look->high = 0x9f;
    } else if (first >= 0xf0 && first <= 0xf4) {
        look->left = 3;
        if (first == 0xf0)
            look->low = 0x90;
        if (first == 0xf4)
            look->high = 0x8f;
    } else {
        look->ill_formed = true;
    }
}

static void
look_at(struct header_look *look, uint8_t octet)
{
    if (look->left > 0) {
        if (octet < look->low || octet > look->high)
            look->ill_formed = true;
        look->left = look->ill_formed ? 0 : (uint8_t)(look->left - 1);
        look->low = 0x80;
        look->high = 0xbf;
    } else if (octet >= 0x80) {
        begin_character(look, octet);
    }
}

size_t
header_look(struct header_look *look, const uint8_t *data, size_t len)
{
    size_t i;

    for (i = 0; i < len && !look->ended; i++) {
        look_at(look, data[i]);
        if (data[i] == '\n') {
            look->ended = !look->in_line || look->after_cr;
            look->in_line = look->after_cr = false;
        } else {
            look->after_cr = !look->in_line && data[i] == '\r';
            look->in_line = true;
        }
    }
    return i;
}

bool
header_needs_utf8(const struct header_look *look)
{
    return look->eight_bit && !look->ill_formed && look->left == 0;
}
