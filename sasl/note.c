/*
 * note.c - values in log lines that can't forge a key or break the line,
 * whatever a client wrote into its ticket.  Writes nowhere; is given no
 * secrets.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/note.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void
note_init(struct note *note)
{
    note->len = 0;
    note->text[0] = '\0';
}

static bool
needs_quotes(const char *value)
{
    for (const char *p = value; *p != '\0'; p++) {
        if (*p <= ' ' || *p > '~' || strchr("\"\\=", *p) != NULL)
            return true;
    }
    return *value == '\0';
}

/* Writes one octet of a value; out has room for 5. */
static size_t
escape(char c, char *out)
{
    int len;

    if (c >= ' ' && c <= '~')
        len = snprintf(out, 5, strchr("\"\\", c) != NULL ? "\\%c" : "%c", c);
    else
        len = snprintf(out, 5, "\\x%02X", (unsigned)(unsigned char)c);
    return len > 0 ? (size_t)len : 0;
}

void
note_text(struct note *note, const char *key, const char *value)
{
    char pair[NOTE_VALUE_MAX + 64];
    const char *quote = needs_quotes(value) ? "\"" : "";
    size_t len;
    int n = snprintf(pair, 48, "%s%.40s=%s", note->len > 0 ? " " : "", key,
                     quote);

    len = n > 0 ? (size_t)n : 0;
    while (*value != '\0' && len < NOTE_VALUE_MAX)
        len += escape(*value++, pair + len);
    n = snprintf(pair + len, sizeof(pair) - len, "%s%s",
                 *value != '\0' ? "..." : "", quote);
    len += n > 0 ? (size_t)n : 0;
    /* Wholly or not at all: half a value may mean another one. */
    if (len >= sizeof(note->text) - note->len)
        return;
    memcpy(note->text + note->len, pair, len + 1);
    note->len += len;
}

void
note_number(struct note *note, const char *key, long value)
{
    char digits[24];

    (void)snprintf(digits, sizeof(digits), "%ld", value);
    note_text(note, key, digits);
}
