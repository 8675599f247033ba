/*
 * octets.c - the notation of octets in dialogue files.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/dialog/script.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static int
hex_digit(int c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c != '\0' ? strchr(digits, tolower(c)) : NULL;

    return at != NULL ? (int)(at - digits) : -1;
}

/* One character, an escape perhaps; returns behind it, NULL if malformed. */
static const char *
unescape(const char *text, struct blob *out)
{
    static const char names[] = "rn0t\\\"";
    static const char values[] = "\r\n\0\t\\\"";
    const char *at;
    char c = *text++;

    if (c == '\\') {
        at = *text != '\0' ? strchr(names, *text) : NULL;
        if (at != NULL) {
            c = values[at - names];
            text++;
        } else if (*text == 'x' && hex_digit(text[1]) >= 0 &&
                   hex_digit(text[2]) >= 0) {
            c = (char)(hex_digit(text[1]) * 16 + hex_digit(text[2]));
            text += 3;
        } else {
            return NULL;
        }
    }
    blob_add(out, &c, 1);
    return text;
}

static const char *
quoted(const char *text, struct blob *out)
{
    while (text != NULL && *text != '"')
        text = *text != '\0' ? unescape(text, out) : NULL;
    return text != NULL ? text + 1 : NULL;
}

static const char *
one_term(const char *text, struct blob *out)
{
    char octet;

    if (*text == '"')
        return quoted(text + 1, out);
    if (hex_digit(text[0]) < 0 || hex_digit(text[1]) < 0)
        return NULL;
    octet = (char)(hex_digit(text[0]) * 16 + hex_digit(text[1]));
    blob_add(out, &octet, 1);
    return text + 2;
}

bool
script_octets(const char *text, struct blob *out)
{
    struct blob term = { 0 };
    unsigned long times;
    char *end;

    while (text != NULL && *text != '\0') {
        if (*text == ' ') {
            text++;
            continue;
        }
        term.len = 0;
        times = 1;
        text = one_term(text, &term);
        if (text != NULL && *text == '*') {
            times = strtoul(text + 1, &end, 10);
            text = end;
        }
        while (text != NULL && times-- > 0)
            blob_add(out, term.data, term.len);
    }
    blob_free(&term);
    return text != NULL;
}

bool
script_line(const char *text, unsigned long times, struct blob *out)
{
    struct blob line = { 0 };

    while (text != NULL && *text != '\0')
        text = unescape(text, &line);
    blob_add(&line, "\r\n", 2);
    while (times-- > 0)
        blob_add(out, line.data, line.len);
    blob_free(&line);
    return text != NULL;
}
