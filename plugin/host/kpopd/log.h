/*
 * log.h - one line an event, to stderr or syslog, for all kpopd processes.
 *
 * Lines are "event=ID level=WORD pid=N key=value ...".  Each is one write, so
 * that processes and store threads never interleave.  Nothing secret may be
 * handed to it; values from outside go through log_quote() first.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_LOG_H
#define KPOPD_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Largest line; what is longer is cut. */
enum { LOG_LINE_MAX = 2048 };

/*
 * First of all: from here on stderr never blocks; syslog never does.  A line
 * that nobody reads is dropped and counted; log.dropped tells how many, once
 * somebody reads again.
 */
void log_begin(void);
/* For tests, before log_set(): a daemon elsewhere than at /dev/log. */
void log_syslog_at(const char *path);
/* Until it is called: stderr and KPOP_LOG_INFO. */
void log_set(bool use_syslog, uint32_t level);
/* `line` is clean already (the module's are). */
void log_line(uint32_t level, const char *event, const char *line);
void log_event(uint32_t level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/*
 * A value for a line: as it is when it is a plain word, else in double quotes
 * with controls, quotes and backslashes as \xNN.  Returns out.
 */
const char *log_quote(const char *value, char *out, size_t size);

#endif
