/*
 * notify.c - datagrams to the service manager.  Used by the master alone, with
 * its rights; children close the socket when they begin.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "plugin/host/kpopd/log.h"
#include "plugin/kpop_plugin.h"

enum { MESSAGE_MAX = 1024 };

static int notify_fd = -1;
static uint64_t watchdog;

/* A path, or @name of the abstract space; 0 when it is neither. */
static socklen_t
name_of(const char *text, struct sockaddr_un *name)
{
    const size_t len = strlen(text);

    memset(name, 0, sizeof(*name));
    name->sun_family = AF_UNIX;
    if ((text[0] != '/' && text[0] != '@') || len < 2
        || len >= sizeof(name->sun_path))
        return 0;
    memcpy(name->sun_path, text, len);
    if (text[0] == '@')
        name->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

static void
open_socket(const char *text)
{
    struct sockaddr_un name;
    socklen_t size = name_of(text, &name);

    errno = EINVAL;
    if (size != 0)
        notify_fd =
            socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (notify_fd >= 0
        && connect(notify_fd, (const struct sockaddr *)&name, size) == 0)
        return;
    log_event(KPOP_LOG_WARNING, "process.fail",
              "text=\"the service manager cannot be told: NOTIFY_SOCKET\" "
              "error=\"%s\"",
              strerror(errno));
    notify_end();
}

/* Half of what the manager waits, as sd_watchdog_enabled(3) advises. */
static uint64_t
read_watchdog(const char *usec, const char *pid)
{
    char *end = NULL;
    uint64_t value;

    if (usec == NULL
        || (pid != NULL && strtol(pid, NULL, 10) != (long)getpid()))
        return 0;
    errno = 0;
    value = strtoull(usec, &end, 10);
    if (errno != 0 || end == usec || *end != '\0' || value == 0)
        return 0;
    return value >= 4000 ? value / 2000 : 1;
}

void
notify_begin(void)
{
    const char *path = getenv("NOTIFY_SOCKET");

    if (path != NULL)
        open_socket(path);
    watchdog = notify_fd < 0 ? 0
                             : read_watchdog(getenv("WATCHDOG_USEC"),
                                             getenv("WATCHDOG_PID"));
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
}

void
notify_end(void)
{
    if (notify_fd >= 0)
        close(notify_fd);
    notify_fd = -1;
}

void
notify_tell(const char *format, ...)
{
    char text[MESSAGE_MAX];
    va_list args;
    int len;

    if (notify_fd < 0)
        return;
    va_start(args, format);
    len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (len >= (int)sizeof(text))
        len = (int)sizeof(text) - 1;
    if (len > 0)
        (void)send(notify_fd, text, (size_t)len, MSG_NOSIGNAL);
}

uint64_t
notify_watchdog(void)
{
    return watchdog;
}
