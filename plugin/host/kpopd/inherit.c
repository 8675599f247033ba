/*
 * inherit.c - the sockets of LISTEN_FDS, looked at before they are used: a
 * unit that is wrong must fail at its start and not at the first client.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugin/host/kpopd/address.h"

/* The first one, as sd_listen_fds(3) says; and more than a site needs. */
enum { FIRST_FD = 3, SOCKETS_MAX = 64 };

static const char *const services[] = { "kpop", "pop3", "pop3s" };

enum { SERVICES = sizeof(services) / sizeof(services[0]) };

static int
option_of(int fd, int option)
{
    int value = -1;
    socklen_t size = sizeof(value);

    if (getsockopt(fd, SOL_SOCKET, option, &value, &size) != 0)
        return -1;
    return value;
}

/* NULL: it is one that listens.  Else why not. */
static const char *
look_at(int fd, struct listener *listener)
{
    struct sockaddr_storage name;
    socklen_t size = sizeof(name);
    struct address address;

    memset(&name, 0, sizeof(name));
    if (getsockname(fd, (struct sockaddr *)&name, &size) != 0
        || option_of(fd, SO_TYPE) != SOCK_STREAM
        || !address_from_socket((struct sockaddr *)&name, &address,
                                &listener->asked_port))
        return "is no TCP socket: ListenStream= needs a port or an address "
               "and a port";
    if (option_of(fd, SO_ACCEPTCONN) != 1)
        return "does not listen: the socket's unit must not say Accept=yes";
    (void)address_print(&address, listener->address,
                        sizeof(listener->address));
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0
        || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        return strerror(errno);
    return NULL;
}

/* Of "a:b:c" the next one; leaves *at behind it. */
static void
next_name(const char **at, char *out, size_t size)
{
    const size_t len = strcspn(*at, ":");

    snprintf(out, size, "%.*s", (int)(len < size ? len : size), *at);
    *at += len;
    *at += **at == ':';
}

static const char *
name_service(const char *name, struct listener *listener)
{
    size_t i;

    for (i = 0; i < SERVICES; i++) {
        if (strcmp(name, services[i]) != 0)
            continue;
        memcpy(listener->service, name, strlen(name) + 1);
        return NULL;
    }
    return "has no name we know: FileDescriptorName= of the socket's unit "
           "must be kpop, pop3 or pop3s";
}

static int
take_all(int count, const char *names, struct listener **end, char *error,
         size_t error_size)
{
    char name[CONTROL_SERVICE_MAX + 1];
    const char *fault;
    int fd;

    for (fd = FIRST_FD; fd < FIRST_FD + count; fd++) {
        next_name(&names, name, sizeof(name));
        *end = calloc(1, sizeof(**end));
        if (*end == NULL) {
            snprintf(error, error_size, "out of memory");
            return -1;
        }
        (*end)->fd = fd;
        fault = look_at(fd, *end);
        if (fault == NULL)
            fault = name_service(name, *end);
        if (fault != NULL) {
            snprintf(error, error_size,
                     "socket %d of the service manager (\"%.32s\") %s", fd,
                     name, fault);
            return -1;
        }
        end = &(*end)->next;
    }
    return 0;
}

int
inherit_listeners(struct listener **listeners_out, char *error,
                  size_t error_size)
{
    const char *pid = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    const char *names = getenv("LISTEN_FDNAMES");
    int rc = 0;
    long n;

    *listeners_out = NULL;
    if (pid != NULL && count != NULL
        && strtol(pid, NULL, 10) == (long)getpid()) {
        n = strtol(count, NULL, 10);
        if (n < 0 || n > SOCKETS_MAX) {
            snprintf(error, error_size,
                     "LISTEN_FDS=%.16s: the service manager may pass %d "
                     "sockets at most", count, (int)SOCKETS_MAX);
            rc = -1;
        } else {
            rc = take_all((int)n, names != NULL ? names : "", listeners_out,
                          error, error_size);
        }
    }
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    return rc;
}

static void
add_listener(struct override *override, const struct listener *listener)
{
    const bool is_six = strchr(listener->address, ':') != NULL;
    size_t len = strlen(override->value);

    snprintf(override->value + len, sizeof(override->value) - len,
             "%s%s%s%s:%u", len > 0 ? " " : "", is_six ? "[" : "",
             listener->address, is_six ? "]" : "", listener->asked_port);
}

struct override *
inherit_overrides(const struct listener *listeners)
{
    struct override *overrides = calloc(SERVICES + 1, sizeof(overrides[0]));
    const struct listener *listener;
    size_t n = 0;
    size_t i;

    for (i = 0; overrides != NULL && i < SERVICES; i++) {
        for (listener = listeners; listener != NULL;
             listener = listener->next)
            if (strcmp(listener->service, services[i]) == 0)
                add_listener(&overrides[n], listener);
        if (overrides[n].value[0] == '\0')
            continue;
        snprintf(overrides[n].key, sizeof(overrides[n].key), "listen_%s",
                 services[i]);
        n++;
    }
    return overrides;
}
