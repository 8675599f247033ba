/*
 * doctor_names.c - does the server's name lead to an address, and the address
 * back to a name that there is a key for?  Many clients ask for a ticket for
 * what the address is called (rdns in krb5.conf(5), on by default).
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <krb5.h>
#include <net/if.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "plugin/cli/doctor.h"

/* The first address that is not loopback, as text. */
static void
own_address(char *out, size_t size)
{
    struct ifaddrs *list = NULL;
    struct ifaddrs *each;

    snprintf(out, size, "127.0.1.1");
    if (getifaddrs(&list) != 0)
        return;
    for (each = list; each != NULL; each = each->ifa_next) {
        if (each->ifa_addr != NULL && each->ifa_addr->sa_family == AF_INET
            && (each->ifa_flags & IFF_LOOPBACK) == 0
            && getnameinfo(each->ifa_addr, sizeof(struct sockaddr_in), out,
                           (socklen_t)size, NULL, 0, NI_NUMERICHOST) == 0)
            break;
    }
    freeifaddrs(list);
}

static void
mend_hosts(struct doctor *doctor, const char *address)
{
    char line[DOCTOR_TEXT_MAX];
    char quoted[DOCTOR_TEXT_MAX];

    snprintf(line, sizeof(line), "%s %s", address, doctor->host);
    doctor_mend(doctor, "echo %s >>/etc/hosts", doctor_quote(line, quoted));
}

static bool
has_key_for(const struct doctor *doctor, const char *name)
{
    char principal[DOCTOR_TEXT_MAX];
    char lower[DOCTOR_NAME_MAX];
    krb5_context context;
    size_t i;

    for (i = 0; i < sizeof(lower) - 1 && name[i] != '\0'; i++)
        lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32)
                                                    : name[i];
    lower[i] = '\0';
    if (!doctor->keytab_read)
        return true; /* nobody knows */
    context = cli_kerberos();
    doctor_principal(context, doctor, lower, principal);
    krb5_free_context(context);
    return doctor_has_key(doctor, principal);
}

static void
check_back(struct doctor *doctor, const struct addrinfo *entry)
{
    char principal[DOCTOR_TEXT_MAX];
    char address[INET6_ADDRSTRLEN + IF_NAMESIZE];
    char name[DOCTOR_NAME_MAX];
    krb5_context context;

    if (getnameinfo(entry->ai_addr, entry->ai_addrlen, address,
                    sizeof(address), NULL, 0, NI_NUMERICHOST) != 0)
        return;
    if (getnameinfo(entry->ai_addr, entry->ai_addrlen, name, sizeof(name),
                    NULL, 0, NI_NAMEREQD) != 0) {
        mend_hosts(doctor, address);
        doctor_warn(doctor, "%s has the address %s, which has no name; "
                    "besides this machine's file, DNS should know it",
                    doctor->host, address);
        return;
    }
    if (strcasecmp(name, doctor->host) == 0 || !doctor->tickets
        || has_key_for(doctor, name))
        return;
    context = cli_kerberos();
    doctor_principal(context, doctor, name, principal);
    krb5_free_context(context);
    doctor_mend_key(doctor, principal, true, "");
    doctor_warn(doctor, "%s has the address %s, which is called %s: many "
                "clients ask for a ticket for that name, and keytab %s has "
                "no key of %s; or mend the address's name in DNS",
                doctor->host, address, name, doctor_value(doctor, "keytab"),
                principal);
}

void
doctor_names(struct doctor *doctor)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_ADDRCONFIG };
    struct addrinfo *list = NULL;
    char address[INET6_ADDRSTRLEN];
    const struct addrinfo *each;
    int code;

    code = getaddrinfo(doctor->host, NULL, &hints, &list);
    /* Where there is but loopback, it counts. */
    if (code != 0) {
        hints.ai_flags = 0;
        code = getaddrinfo(doctor->host, NULL, &hints, &list);
    }
    if (code != 0) {
        own_address(address, sizeof(address));
        mend_hosts(doctor, address);
        doctor_error(doctor, "%s has no address: %s; besides this machine's "
                     "file, DNS must know it", doctor->host,
                     gai_strerror(code));
        return;
    }
    for (each = list; each != NULL; each = each->ai_next)
        check_back(doctor, each);
    freeaddrinfo(list);
}
