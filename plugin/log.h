/*
 * log.h - one event, one line: "session=ID peer=ADDR key=value ...".
 *
 * A line is built on the stack without memory from the heap, is bounded, and
 * holds printable ASCII only: a value with blanks or quotes is put in "...",
 * every other octet is written \xNN.  Secrets never come here.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_PLUGIN_LOG_H
#define KPOP_PLUGIN_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kpop_facts;
struct kpop_plugin;

enum {
    LOG_LINE_MAX = 2048, /* with NUL; syslog takes that much everywhere */
    LOG_VALUE_MAX = 600  /* octets written for one value, so that one long
                            value doesn't push the others out */
};

struct log_line {
    size_t len;
    bool full;  /* something didn't fit: all that follows is left out */
    char text[LOG_LINE_MAX];
};

/* An empty line, or one that begins with session= and peer= of the facts. */
void log_start(struct log_line *line, const struct kpop_facts *facts);
void log_text(struct log_line *line, const char *key, const char *value);
/* The same, and nothing when the value is "". */
void log_text_if(struct log_line *line, const char *key, const char *value);
void log_number(struct log_line *line, const char *key, uint64_t value);
/* "key=value ..." made elsewhere, for instance by a mechanism. */
void log_raw(struct log_line *line, const char *text);
/* Gives it to the host; conn NULL outside a session. */
void log_write(const struct kpop_plugin *plugin, void *conn, uint32_t level,
               const char *event, const struct log_line *line);

#endif
