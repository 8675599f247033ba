/*
 * metrics_listen.c - parses `metrics` and makes its socket.  Runs in the
 * master; nobody on the network may be given a door to knock at.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/metrics_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "plugin/host/kpopd/address.h"
#include "plugin/host/kpopd/listen_unix.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/kpop_plugin.h"

enum { BACKLOG = 16 };

static const char prefix[] = "unix:";

/* "127.0.0.1:9109", "[::1]:9109". */
static bool
split(const char *where, struct address *address_out, unsigned *port_out)
{
    const char *colon = strrchr(where, ':');
    char text[ADDRESS_TEXT_MAX];
    size_t len;
    char *end;
    unsigned long port;

    if (colon == NULL || colon[1] < '0' || colon[1] > '9')
        return false;
    port = strtoul(colon + 1, &end, 10);
    len = (size_t)(colon - where);
    if (*end != '\0' || port > 65535 || len >= sizeof(text))
        return false;
    *port_out = (unsigned)port;
    if (where[0] == '[' && len > 2 && where[len - 1] == ']') {
        where++;
        len -= 2;
    } else if (memchr(where, ':', len) != NULL) {
        return false; /* IPv6 without brackets: which is the port? */
    }
    memcpy(text, where, len);
    text[len] = '\0';
    return address_parse(text, address_out);
}

static bool
is_loopback(const struct address *address)
{
    struct network ours;

    return (network_parse("127.0.0.0/8", &ours)
            && network_holds(&ours, address))
           || (network_parse("::1", &ours) && network_holds(&ours, address));
}

const char *
metrics_listen_fault(const char *where)
{
    struct address address;
    unsigned port;

    if (strncmp(where, prefix, sizeof(prefix) - 1) == 0) {
        where += sizeof(prefix) - 1;
        if (where[0] != '/')
            return "the path after unix: must begin with /";
        return strlen(where)
                       < sizeof(((struct sockaddr_un *)NULL)->sun_path)
                   ? NULL
                   : "the path is too long for a socket";
    }
    if (!split(where, &address, &port))
        return "is neither unix:PATH nor an address such as 127.0.0.1:9109 "
               "or [::1]:9109";
    if (!is_loopback(&address))
        return "must be a loopback address, 127.0.0.1 or [::1], because "
               "anybody who reaches it may read; let a proxy with its own "
               "rules serve others";
    return NULL;
}

static int
bind_address(int fd, const struct address *address, unsigned port)
{
    struct sockaddr_in6 six;
    struct sockaddr_in four;

    if (address_is_ipv4(address)) {
        memset(&four, 0, sizeof(four));
        four.sin_family = AF_INET;
        four.sin_port = htons((uint16_t)port);
        memcpy(&four.sin_addr, address->octets + 12, 4);
        return bind(fd, (const struct sockaddr *)&four, sizeof(four));
    }
    memset(&six, 0, sizeof(six));
    six.sin6_family = AF_INET6;
    six.sin6_port = htons((uint16_t)port);
    memcpy(&six.sin6_addr, address->octets, sizeof(address->octets));
    return bind(fd, (const struct sockaddr *)&six, sizeof(six));
}

static void
tell(int fd)
{
    struct sockaddr_storage name;
    socklen_t size = sizeof(name);
    char text[ADDRESS_TEXT_MAX];
    struct address address;
    unsigned port;

    if (getsockname(fd, (struct sockaddr *)&name, &size) == 0
        && address_from_socket((struct sockaddr *)&name, &address, &port))
        log_event(KPOP_LOG_INFO, "process.listen",
                  "service=metrics address=%s port=%u",
                  address_print(&address, text, sizeof(text)), port);
}

static int
open_address(const char *where, char *error, size_t error_size)
{
    const int on = 1;
    struct address address;
    unsigned port;
    int fd;

    if (!split(where, &address, &port)) {
        snprintf(error, error_size, "%s is no address", where);
        return -1;
    }
    fd = socket(address_is_ipv4(&address) ? AF_INET : AF_INET6,
                SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind_address(fd, &address, port) == 0
            && listen(fd, BACKLOG) == 0) {
            tell(fd);
            return fd;
        }
    }
    snprintf(error, error_size, "%s: %s", where, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

int
metrics_listen_open(const char *where, char *error, size_t error_size)
{
    char quoted[PATH_MAX];
    int fd;

    if (strncmp(where, prefix, sizeof(prefix) - 1) != 0)
        return open_address(where, error, error_size);
    where += sizeof(prefix) - 1;
    fd = listen_unix(where, 0666, BACKLOG, error, error_size);
    if (fd >= 0)
        log_event(KPOP_LOG_INFO, "process.listen", "service=metrics path=%s",
                  log_quote(where, quoted, sizeof(quoted)));
    return fd;
}

void
metrics_listen_close(const char *where, int fd)
{
    close(fd);
    if (strncmp(where, prefix, sizeof(prefix) - 1) == 0)
        (void)unlink(where + sizeof(prefix) - 1);
}
