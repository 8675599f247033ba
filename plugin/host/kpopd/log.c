/*
 * log.c - writes the lines of log.h.  It must never block a session longer
 * than one write to stderr does, and holds no state but where to and from
 * which level.  Runs with the rights of whichever process calls.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "plugin/kpop_plugin.h"

static bool to_syslog;
static uint32_t max_level = KPOP_LOG_INFO;

static const struct {
    const char *word;
    int priority;
} levels[] = {
    { "error", LOG_ERR },
    { "warning", LOG_WARNING },
    { "info", LOG_INFO },
    { "debug", LOG_DEBUG },
};

void
log_set(bool use_syslog, uint32_t level)
{
    to_syslog = use_syslog;
    max_level = level;
    if (use_syslog)
        openlog("kpopd", LOG_PID | LOG_NDELAY, LOG_MAIL);
}

void
log_line(uint32_t level, const char *event, const char *line)
{
    char text[LOG_LINE_MAX];
    ssize_t wrote;
    int len;
    int saved = errno;

    if (level > KPOP_LOG_DEBUG)
        level = KPOP_LOG_DEBUG;
    if (level > max_level)
        return;
    len = snprintf(text, sizeof(text) - 1, "event=%s level=%s pid=%ld%s%s",
                   event, levels[level].word, (long)getpid(),
                   line[0] != '\0' ? " " : "", line);
    if (len < 0)
        return;
    if ((size_t)len > sizeof(text) - 2)
        len = (int)sizeof(text) - 2;
    if (to_syslog) {
        syslog(levels[level].priority, "%s", text);
    } else {
        text[len] = '\n';
        do
            wrote = write(STDERR_FILENO, text, (size_t)len + 1);
        while (wrote < 0 && errno == EINTR);
    }
    errno = saved;
}

void
log_event(uint32_t level, const char *event, const char *format, ...)
{
    char line[LOG_LINE_MAX];
    va_list args;
    int len;

    if (level > max_level)
        return;
    va_start(args, format);
    len = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (len >= 0)
        log_line(level, event, line);
}

static bool
is_plain(unsigned char c)
{
    return c > 0x20 && c < 0x7F && c != '"' && c != '\\' && c != '=';
}

const char *
log_quote(const char *value, char *out, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *at = (const unsigned char *)value;
    size_t len = 0;
    bool plain = *at != '\0';

    for (; *at != '\0' && plain; at++)
        plain = is_plain(*at);
    if (plain) {
        snprintf(out, size, "%s", value);
        return out;
    }
    if (size < 8)
        return "\"\"";
    out[len++] = '"';
    for (at = (const unsigned char *)value; *at != '\0' && len + 6 < size;
         at++) {
        if (is_plain(*at) || *at == ' ' || *at == '=') {
            out[len++] = (char)*at;
            continue;
        }
        out[len++] = '\\';
        out[len++] = 'x';
        out[len++] = hex[*at >> 4];
        out[len++] = hex[*at & 15];
    }
    out[len++] = '"';
    out[len] = '\0';
    return out;
}
