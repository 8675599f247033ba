/*
 * preload_services.c - makes a client find "kpop 1109/tcp" where the services
 * database cannot be changed (a container without mount namespaces), and
 * its own name where it has none in DNS.  Loaded by LD_PRELOAD into
 * fetchmail by tests only; never installed.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static char kpop_name[] = "kpop";
static char kpop_protocol[] = "tcp";
static char *kpop_aliases[] = { NULL };

typedef int getaddrinfo_fn(const char *, const char *,
                           const struct addrinfo *, struct addrinfo **);
typedef struct servent *getservbyname_fn(const char *, const char *);

/* POSIX lets dlsym() give functions; ISO C has no cast for that. */
static void
next(const char *name, void *function_out)
{
    void *symbol = dlsym(RTLD_NEXT, name);

    memcpy(function_out, &symbol, sizeof(symbol));
}

__attribute__((visibility("default"))) int
getaddrinfo(const char *node, const char *service,
            const struct addrinfo *hints, struct addrinfo **result)
{
    getaddrinfo_fn *real = NULL;
    char own[256] = "";

    next("getaddrinfo", &real);
    if (service != NULL && strcmp(service, kpop_name) == 0)
        service = "1109";
    /* fetchmail does not start where its own machine's name is unknown. */
    if (node != NULL && gethostname(own, sizeof(own) - 1) == 0
        && strcmp(node, own) == 0)
        node = "localhost";
    return real(node, service, hints, result);
}

__attribute__((visibility("default"))) struct servent *
getservbyname(const char *name, const char *protocol)
{
    static struct servent kpop;
    getservbyname_fn *real = NULL;

    if (strcmp(name, kpop_name) != 0) {
        next("getservbyname", &real);
        return real(name, protocol);
    }
    kpop.s_name = kpop_name;
    kpop.s_aliases = kpop_aliases;
    kpop.s_port = htons(1109);
    kpop.s_proto = kpop_protocol;
    return &kpop;
}
