/*
 * json.c - JSON on stdout for programs.  Whatever the texts hold, what comes
 * out is one valid text of ASCII and UTF-8.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/cli/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Octets of the UTF-8 character at p (RFC 3629), 0 when it is none. */
static size_t
utf8_octets(const unsigned char *p)
{
    static const struct {
        unsigned char first, last; /* of the first octet */
        unsigned char low, high;   /* of the second one */
        size_t octets;
    } forms[] = {
        { 0x20, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 },
        { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
        { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
        { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
        { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };
    size_t i = 0;
    size_t n;

    while (i < sizeof(forms) / sizeof(forms[0])
           && (p[0] < forms[i].first || p[0] > forms[i].last))
        i++;
    if (i == sizeof(forms) / sizeof(forms[0]))
        return 0;
    for (n = 1; n < forms[i].octets; n++) {
        unsigned char low = n == 1 ? forms[i].low : 0x80;
        unsigned char high = n == 1 ? forms[i].high : 0xbf;

        if (p[n] < low || p[n] > high)
            return 0;
    }
    return forms[i].octets;
}

static void
put_string(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;

    putchar('"');
    while (*p != '\0') {
        size_t n = utf8_octets(p);

        if (*p < 0x20 || *p == 0x7f)
            printf("\\u%04x", *p++);
        else if (n == 0) {
            fputs("\\ufffd", stdout);
            p++;
        } else {
            if (*p == '"' || *p == '\\')
                putchar('\\');
            fwrite(p, 1, n, stdout);
            p += n;
        }
    }
    putchar('"');
}

static void
begin_member(struct json *json, const char *name)
{
    if (json->has_member)
        fputs(", ", stdout);
    json->has_member = true;
    if (name != NULL) {
        put_string(name);
        fputs(": ", stdout);
    }
}

void
json_open(struct json *json, const char *name, char kind)
{
    begin_member(json, name);
    putchar(kind);
    json->has_member = false;
}

void
json_close(struct json *json, char kind)
{
    putchar(kind);
    json->has_member = true;
}

void
json_end(struct json *json)
{
    putchar('\n');
    json->has_member = false;
}

void
json_text(struct json *json, const char *name, const char *value)
{
    begin_member(json, name);
    put_string(value);
}

void
json_number(struct json *json, const char *name, int64_t value)
{
    begin_member(json, name);
    printf("%" PRId64, value);
}

void
json_null(struct json *json, const char *name)
{
    begin_member(json, name);
    fputs("null", stdout);
}

void
json_bool(struct json *json, const char *name, bool value)
{
    begin_member(json, name);
    fputs(value ? "true" : "false", stdout);
}
