/*
 * logform.h - a log line as a syslog daemon and as the journal take it.  Pure
 * but for the time and the process's id.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_LOGFORM_H
#define KPOPD_LOGFORM_H

#include <stddef.h>

#include "plugin/host/kpopd/log.h"

/* For any line: the journal gets it as a whole and once more as fields, of
 * which each has "KPOP_" before its name. */
enum { LOGFORM_MAX = 4 * LOG_LINE_MAX };

/* Both write at most LOGFORM_MAX octets of a line without its newline, at most
 * LOG_LINE_MAX, and return how many; 0 when there is no time. */

/* RFC 3164, as the C library's syslog(3): no host name, the daemon adds it. */
size_t logform_syslog(int priority, const char *text, size_t len, char *out);
/* systemd's native protocol; key=value becomes KPOP_KEY=value, unquoted. */
size_t logform_journal(int priority, const char *text, size_t len, char *out);

#endif
