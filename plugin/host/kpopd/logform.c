/*
 * logform.c - see logform.h.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/logform.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "plugin/host/kpopd/process.h"

enum { HEAD_MAX = 128, NAME_MAX_JOURNAL = 64 };

/* The most that a line grows by is "a= " becoming "KPOP_A=\n". */
_Static_assert(HEAD_MAX + LOG_LINE_MAX + LOG_LINE_MAX / 3 * 8
                   <= LOGFORM_MAX,
               "a line of the shortest fields fits");

/* Not strftime(): the months are English in every locale. */
size_t
logform_syslog(int priority, const char *text, size_t len, char *out)
{
    static const char months[][4] = { "Jan", "Feb", "Mar", "Apr",
                                      "May", "Jun", "Jul", "Aug",
                                      "Sep", "Oct", "Nov", "Dec" };
    time_t now = time(NULL);
    struct tm tm;
    int head;

    if (localtime_r(&now, &tm) == NULL)
        return 0;
    head = snprintf(out, HEAD_MAX, "<%d>%s %2d %02d:%02d:%02d kpopd[%ld]: ",
                    LOG_MAIL | priority, months[tm.tm_mon], tm.tm_mday,
                    tm.tm_hour, tm.tm_min, tm.tm_sec, (long)process_id());
    if (head <= 0 || head >= HEAD_MAX)
        return 0;
    memcpy(out + head, text, len);
    return (size_t)head + len;
}

/* ---- the journal ---- */

static bool
is_key(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* As the journal wants names: A-Z, 0-9, _, and no more than 64. */
static char *
put_name(char *out, const char *key, size_t len)
{
    size_t i;

    memcpy(out, "KPOP_", 5);
    out += 5;
    for (i = 0; i < len && i < NAME_MAX_JOURNAL - 5; i++)
        *out++ = (char)(key[i] >= 'a' && key[i] <= 'z' ? key[i] - 'a' + 'A'
                                                       : key[i]);
    *out++ = '=';
    return out;
}

/* Without its quotes; \" and \\ are undone, other escapes stay, so that it is
 * one line.  *at_inout moves behind it. */
static char *
put_value(char *out, const char **at_inout, const char *end)
{
    const char *at = *at_inout;
    const bool quoted = at < end && *at == '"';

    for (at += quoted; at < end && *at != (quoted ? '"' : ' '); at++) {
        if (quoted && at + 1 < end && *at == '\\'
            && (at[1] == '"' || at[1] == '\\'))
            at++;
        *out++ = *at;
    }
    *out++ = '\n';
    *at_inout = at + (at < end && quoted);
    return out;
}

static char *
put_fields(char *out, const char *at, const char *end)
{
    while (at < end) {
        const char *key = at;

        while (at < end && is_key(*at))
            at++;
        if (at > key && at < end && *at == '=') {
            out = put_name(out, key, (size_t)(at - key));
            at++;
            out = put_value(out, &at, end);
        }
        while (at < end && *at != ' ')
            at++; /* a word of a sentence */
        while (at < end && *at == ' ')
            at++;
    }
    return out;
}

size_t
logform_journal(int priority, const char *text, size_t len, char *out)
{
    int head = snprintf(out, HEAD_MAX,
                        "PRIORITY=%d\nSYSLOG_FACILITY=%d\n"
                        "SYSLOG_IDENTIFIER=kpopd\nMESSAGE=",
                        priority, LOG_MAIL >> 3);
    char *at;

    if (head <= 0 || head >= HEAD_MAX)
        return 0;
    at = out + head;
    memcpy(at, text, len);
    at += len;
    *at++ = '\n';
    return (size_t)(put_fields(at, text, text + len) - out);
}
