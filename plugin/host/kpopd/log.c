/*
 * log.c - writes the lines of log.h.  It must never block: a peer can cause
 * lines, and whoever reads them may have stopped.  Holds no state
 * but where to, from which level, and how many lines were dropped.  Runs with
 * the rights of whichever process calls.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "plugin/host/kpopd/logform.h"
#include "plugin/host/kpopd/logsocket.h"
#include "plugin/host/kpopd/process.h"
#include "plugin/kpop_plugin.h"

static const char *syslog_path = "/dev/log";
static const char *journal_path = "/run/systemd/journal/socket";
static enum log_target target;
static bool to_socket; /* stderr is one, as under systemd */
static atomic_ulong dropped;
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
log_daemons_at(const char *syslog, const char *journal)
{
    syslog_path = syslog;
    journal_path = journal;
}

/* systemd.exec(5): JOURNAL_STREAM names the device and inode of the stream it
 * gave us.  A container may have the stream without the socket. */
static bool
is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char own[64];
    struct stat st;

    if (stream == NULL || fstat(fd, &st) != 0)
        return false;
    snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)st.st_dev,
             (uintmax_t)st.st_ino);
    return strcmp(stream, own) == 0 && access(journal_path, W_OK) == 0;
}

void
log_set(enum log_target wanted, uint32_t level)
{
    const char *path = wanted == LOG_TO_SYSLOG ? syslog_path : journal_path;

    target = LOG_TO_STDERR;
    max_level = level;
    if (wanted == LOG_TO_STDERR) {
        if (is_journal(STDERR_FILENO) && logsocket_open(path))
            target = LOG_TO_JOURNAL;
        return;
    }
    if (!logsocket_open(path))
        log_event(KPOP_LOG_ERROR, "log.away",
                  "path=%s error=\"%s\" text=\"nobody takes the log there; "
                  "until somebody does its lines are lost\"",
                  path, strerror(errno));
    if (logsocket_descriptor() >= 0)
        target = wanted;
}

/*
 * O_NONBLOCK belongs to the open file, which others share (a terminal, with
 * the shell), so a pipe or terminal is opened once more.  A regular file is
 * not: it doesn't block, and a second opening would begin at its start.
 */
void
log_begin(void)
{
    struct stat st;
    int fd;

    if (fstat(STDERR_FILENO, &st) != 0)
        return;
    to_socket = S_ISSOCK(st.st_mode);
    if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
        return;
    fd = open("/proc/self/fd/2",
              O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)dup2(fd, STDERR_FILENO);
    close(fd);
}

/* `text` ends with a newline, which is not theirs. */
static bool
write_datagram(int priority, const char *text, size_t len)
{
    char out[LOGFORM_MAX];
    size_t size = target == LOG_TO_SYSLOG
                      ? logform_syslog(priority, text, len - 1, out)
                      : logform_journal(priority, text, len - 1, out);

    return size > 0 && logsocket_send(out, size);
}

/* False when nobody reads. */
static bool
write_line(int priority, const char *text, size_t len)
{
    ssize_t wrote;

    if (target != LOG_TO_STDERR)
        return write_datagram(priority, text, len);
    do
        wrote = to_socket ? send(STDERR_FILENO, text, len,
                                 MSG_DONTWAIT | MSG_NOSIGNAL)
                          : write(STDERR_FILENO, text, len);
    while (wrote < 0 && errno == EINTR);
    return wrote >= 0 || errno != EAGAIN;
}

/* Lines before this one are missing: says so first. */
static bool
write_dropped(void)
{
    unsigned long count = atomic_exchange(&dropped, 0);
    char text[160];
    int len;

    if (count == 0)
        return true;
    len = snprintf(text, sizeof(text),
                   "event=%s level=warning pid=%ld lines=%lu "
                   "text=\"nobody read the log\"\n",
                   "log.dropped", (long)process_id(), count);
    if (len > 0 && write_line(LOG_WARNING, text, (size_t)len))
        return true;
    atomic_fetch_add(&dropped, count);
    return false;
}

void
log_line(uint32_t level, const char *event, const char *line)
{
    char text[LOG_LINE_MAX];
    int len;
    int i;
    int saved = errno;

    if (level > KPOP_LOG_DEBUG)
        level = KPOP_LOG_DEBUG;
    if (level > max_level)
        return;
    len = snprintf(text, sizeof(text) - 1, "event=%s level=%s pid=%ld%s%s",
                   event, levels[level].word, (long)process_id(),
                   line[0] != '\0' ? " " : "", line);
    if (len < 0)
        return;
    if ((size_t)len > sizeof(text) - 2)
        len = (int)sizeof(text) - 2;
    /* It is clean; were it not, it still could not forge another line. */
    for (i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F)
            text[i] = '?';
    text[len] = '\n';
    if (!write_dropped()
        || !write_line(levels[level].priority, text, (size_t)len + 1))
        atomic_fetch_add(&dropped, 1);
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
