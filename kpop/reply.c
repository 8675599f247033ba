/*
 * reply.c - reply lines: a status, perhaps a response code, and words in the
 * language of the client.  Never longer than 512 octets.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kpop/internal.h"

/* "+OK " or "-ERR ", and the response code; the rest is for people. */
static size_t
status_len(const char *format)
{
    size_t len = strncmp(format, "+OK ", 4) == 0    ? 4
                 : strncmp(format, "-ERR ", 5) == 0 ? 5
                                                    : 0;
    const char *end = len > 0 && format[len] == '['
                          ? strstr(format + len, "] ")
                          : NULL;

    return end != NULL ? (size_t)(end + 2 - format) : len;
}

void
engine_reply(struct engine *engine, const char *format, ...)
{
    char text[ENGINE_REPLY_MAX - 1]; /* its NUL is CRLF's second octet */
    size_t status = status_len(format);
    va_list args;
    int len;

    memcpy(text, format, status);
/* clang loses sight of the format behind an offset; gcc doesn't, and
 * tests/style/lang compares the translations' conversions. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    va_start(args, format);
    len = vsnprintf(text + status, sizeof(text) - status,
                    lang_text(engine, format + status), args);
    va_end(args);
#pragma GCC diagnostic pop
    /* One append: no memory must not leave half a line behind. */
    if (len >= 0)
        buf_printf(&engine->out, "%s\r\n", text);
}

void
engine_say(struct engine *engine, const char *line)
{
    size_t status = status_len(line);

    engine_reply(engine, "%.*s%s", (int)status, line,
                 lang_text(engine, line + status));
}

void
engine_reply_error(struct engine *engine, int64_t result, const char *text)
{
    engine_reply(engine, "-ERR %s%s", status_response_code((int)result),
                 lang_text(engine, text));
}

void
engine_reply_store_error(struct engine *engine, int64_t result,
                         const char *what)
{
    bool lasts = result == STATUS_PERM;

    engine_reply(engine, "-ERR %s%s, %s",
                 status_response_code(lasts ? STATUS_PERM : STATUS_TEMP),
                 lang_text(engine, what),
                 lang_text(engine, lasts ? TEXT("tell your administrator")
                                         : TEXT("try again later")));
}
