/*
 * logsocket.c - see logsocket.h.  syslog(3) itself waits for the daemon, and
 * keeps a descriptor of its own that children close unasked.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/logsocket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

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
    if (descriptor >= 0 && strcmp(path, daemon_path) != 0) {
        close(descriptor);
        descriptor = -1;
    }
    daemon_path = path;
    if (descriptor < 0)
        descriptor = socket(
            AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return false;
    return connect_daemon() == 0; /* else with one of the lines */
}

int
logsocket_descriptor(void)
{
    return descriptor;
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
logsocket_send(const char *octets, size_t len)
{
    if (descriptor < 0)
        return false;
    if (send_once(octets, len))
        return true;
    if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)
        return false;
    /* The daemon that we were connected to has gone. */
    return connect_daemon() == 0 && send_once(octets, len);
}
