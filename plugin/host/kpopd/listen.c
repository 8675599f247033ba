/*
 * listen.c - binds and listens, in the master, with its rights (ports below
 * 1024).  It accepts nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugin/host/kpopd/address.h"
#include "plugin/host/kpopd/log.h"

enum { BACKLOG = 1024 };

union name {
    struct sockaddr any;
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
};

/* A socket that listens, or -1 with errno. */
static int
listen_at(const union name *name, socklen_t size, int only_ip6)
{
    const int on = 1;
    int error;
    int fd = socket(name->any.sa_family,
                    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if ((name->any.sa_family == AF_INET6
         && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_ip6,
                       sizeof(only_ip6))
                != 0)
        || bind(fd, &name->any, size) != 0 || listen(fd, BACKLOG) != 0) {
        error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static socklen_t
ip4_name(union name *name, const char *address, unsigned port)
{
    memset(name, 0, sizeof(*name));
    name->ip4.sin_family = AF_INET;
    name->ip4.sin_port = htons((uint16_t)port);
    if (address != NULL
        && inet_pton(AF_INET, address, &name->ip4.sin_addr) != 1)
        return 0;
    return sizeof(name->ip4);
}

static socklen_t
ip6_name(union name *name, const char *address, unsigned port)
{
    memset(name, 0, sizeof(*name));
    name->ip6.sin6_family = AF_INET6;
    name->ip6.sin6_port = htons((uint16_t)port);
    if (address != NULL
        && inet_pton(AF_INET6, address, &name->ip6.sin6_addr) != 1)
        return 0;
    return sizeof(name->ip6);
}

/* One dual-stack socket serves both families; a machine without IPv6 gets
 * an IPv4 one. */
static int
listen_everywhere(unsigned port)
{
    union name name;
    socklen_t size = ip6_name(&name, NULL, port);
    int fd = listen_at(&name, size, 0);

    if (fd >= 0
        || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL
            && errno != ENOPROTOOPT && errno != EPROTONOSUPPORT))
        return fd;
    size = ip4_name(&name, NULL, port);
    return listen_at(&name, size, 0);
}

static int
open_one(const struct listener *listener)
{
    union name name;
    socklen_t size;

    if (strcmp(listener->address, "*") == 0)
        return listen_everywhere(listener->asked_port);
    size = ip4_name(&name, listener->address, listener->asked_port);
    if (size == 0)
        size = ip6_name(&name, listener->address, listener->asked_port);
    if (size == 0) {
        errno = EINVAL;
        return -1;
    }
    return listen_at(&name, size, 1);
}

static struct listener *
new_listener(const struct kpop_service *service)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    size_t address_len = strlen(service->address);
    size_t name_len = strlen(service->name);

    if (listener == NULL || address_len >= sizeof(listener->address)
        || name_len >= sizeof(listener->service)) {
        free(listener);
        return NULL;
    }
    listener->fd = -1;
    listener->asked_port = service->port;
    memcpy(listener->address, service->address, address_len + 1);
    memcpy(listener->service, service->name, name_len + 1);
    return listener;
}

/* Takes the socket of an equal listener; false when there is none. */
static bool
take_over(struct listener *listener, struct listener *old)
{
    for (; old != NULL; old = old->next) {
        if (old->fd < 0 || old->asked_port != listener->asked_port
            || strcmp(old->address, listener->address) != 0
            || strcmp(old->service, listener->service) != 0)
            continue;
        listener->fd = old->fd;
        listener->owner = old; /* to give it back when all fails */
        old->fd = -1;
        return true;
    }
    return false;
}

static int
blame(const struct setup *setup, const struct kpop_service *service,
      char *error, size_t error_size)
{
    char key[64];
    char sentence[256];
    const char *text = strerror(errno);

    snprintf(key, sizeof(key), "listen_%.32s", service->name);
    snprintf(sentence, sizeof(sentence),
             "cannot listen on %.64s port %u: %s%s", service->address,
             (unsigned)service->port, text,
             errno == EADDRINUSE ? "; another server runs there" : "");
    (void)setup->api->blame(setup->sessions, key, sentence, error,
                            error_size);
    return -1;
}

static int
open_all(const struct setup *setup, struct listener *old,
         struct listener **listeners, char *error, size_t error_size)
{
    struct listener **end = listeners;
    struct kpop_service service;
    uint32_t i;

    for (i = 0;; i++) {
        memset(&service, 0, sizeof(service));
        service.size = sizeof(service);
        if (setup->api->service(setup->sessions, i, &service) != 1)
            break;
        errno = ENOMEM;
        *end = new_listener(&service);
        if (*end == NULL)
            return blame(setup, &service, error, error_size);
        if (!take_over(*end, old))
            (*end)->fd = open_one(*end);
        if ((*end)->fd < 0)
            return blame(setup, &service, error, error_size);
        end = &(*end)->next;
    }
    if (i > 0)
        return 0;
    (void)setup->api->blame(setup->sessions, "listen_kpop",
                            "no listener is configured at all", error,
                            error_size);
    return -1;
}

int
listen_open(const struct setup *setup, struct listener **old,
            struct listener **listeners_out, char *error, size_t error_size)
{
    struct listener *listeners = NULL;
    struct listener *listener;
    int rc = open_all(setup, *old, &listeners, error, error_size);

    for (listener = listeners; listener != NULL; listener = listener->next) {
        if (rc != 0 && listener->owner != NULL) {
            ((struct listener *)listener->owner)->fd = listener->fd;
            listener->fd = -1;
        }
        listener->owner = NULL;
    }
    if (rc != 0) {
        listen_close(listeners);
        return -1;
    }
    *listeners_out = listeners;
    return 0;
}

void
listen_close(struct listener *listeners)
{
    struct listener *listener;

    while ((listener = listeners) != NULL) {
        listeners = listener->next;
        if (listener->fd >= 0)
            close(listener->fd);
        free(listener);
    }
}

void
listen_log(const struct listener *listener)
{
    union name name;
    socklen_t size;
    unsigned port;
    struct address address;

    for (; listener != NULL; listener = listener->next) {
        port = listener->asked_port;
        size = sizeof(name);
        if (getsockname(listener->fd, &name.any, &size) == 0)
            (void)address_from_socket(&name.any, &address, &port);
        log_event(KPOP_LOG_INFO, "process.listen",
                  "service=%s address=%s port=%u", listener->service,
                  listener->address, port);
    }
}
