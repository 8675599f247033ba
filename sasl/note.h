/*
 * note.h - a log line of a mechanism: "key=value ...", bounded, on the stack,
 * printable ASCII only.  The plugin puts session and peer before it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_NOTE_H
#define KPOP_SASL_NOTE_H

#include <stddef.h>

enum { NOTE_VALUE_MAX = 300 };

struct note {
    size_t len;
    char text[1500];
};

void note_init(struct note *note);
/* A value with blanks, quotes or the like is quoted, octets outside printable
 * ASCII become \xNN; one that is too long ends in "...". */
void note_text(struct note *note, const char *key, const char *value);
void note_number(struct note *note, const char *key, long value);

#endif
