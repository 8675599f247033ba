/*
 * logsocket.c - see logsocket.h.  The form is RFC 3164's as the C library
 * writes it: no host name, which the daemon adds.  syslog(3) itself waits for
 * the daemon, and keeps a descriptor of its own that children close unasked.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/logsocket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "plugin/host/kpopd/log.h"

static int descriptor = -1;
static const char *daemon_path;

static int
connect_daemon(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = strlen(daemon_path);

    if (len >= sizeof(address.sun_path))
        return -1;
    memcpy(address.sun_path, daemon_path, len);
    return connect(descriptor, (const struct sockaddr *)&address,
                   sizeof(address));
}

bool
logsocket_open(const char *path)
{
    daemon_path = path;
    if (descriptor < 0)
        descriptor = socket(
            AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return false;
    (void)connect_daemon(); /* else with the first line */
    return true;
}

int
logsocket_descriptor(void)
{
    return descriptor;
}

/* Not strftime(): the months are English in every locale. */
static int
write_head(char *out, size_t size, int priority)
{
    static const char months[][4] = { "Jan", "Feb", "Mar", "Apr",
                                      "May", "Jun", "Jul", "Aug",
                                      "Sep", "Oct", "Nov", "Dec" };
    time_t now = time(NULL);
    struct tm tm;

    if (localtime_r(&now, &tm) == NULL)
        return -1;
    return snprintf(out, size, "<%d>%s %2d %02d:%02d:%02d kpopd[%ld]: ",
                    LOG_MAIL | priority, months[tm.tm_mon], tm.tm_mday,
                    tm.tm_hour, tm.tm_min, tm.tm_sec, (long)getpid());
}

static bool
send_once(const char *text, size_t len)
{
    ssize_t sent;

    do
        sent = send(descriptor, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent >= 0;
}

bool
logsocket_send(int priority, const char *text, size_t len)
{
    char out[LOG_LINE_MAX + 80];
    int head = write_head(out, sizeof(out) - LOG_LINE_MAX, priority);

    if (descriptor < 0 || head < 0 || len > LOG_LINE_MAX)
        return false;
    memcpy(out + head, text, len);
    len += (size_t)head;
    if (send_once(out, len))
        return true;
    if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)
        return false;
    /* The daemon that we were connected to has gone. */
    return connect_daemon() == 0 && send_once(out, len);
}
