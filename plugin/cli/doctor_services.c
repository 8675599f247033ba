/*
 * doctor_services.c - the services database: clients such as fetchmail look
 * for the port of "kpop" there.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>

#include "plugin/cli/doctor.h"

static const struct {
    const char *name, *key;
    int port;
} services[] = {
    { "kpop", "listen_kpop", 1109 },
    { "pop3", "listen_pop3", 110 },
    { "pop3s", "listen_pop3s", 995 },
};

static void
check_service(struct doctor *doctor, const char *name, int port)
{
    const struct servent *entry = getservbyname(name, "tcp");
    int known = entry != NULL ? ntohs((uint16_t)entry->s_port) : 0;

    if (known == port)
        return;
    if (entry == NULL) {
        doctor_mend(doctor, "echo '%s %d/tcp' >>/etc/services", name, port);
        doctor_warn(doctor, "the services database has no %s %d/tcp; clients "
                    "on this machine look for it", name, port);
        return;
    }
    doctor_mend(doctor, "sed -i -E 's|^(%s[[:blank:]]+)%d/tcp|\\1%d/tcp|' "
                "/etc/services", name, known, port);
    doctor_warn(doctor, "the services database has %s at %d/tcp instead of "
                "%d/tcp; clients on this machine go there", name, known,
                port);
}

void
doctor_services(struct doctor *doctor)
{
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
        if (doctor_value(doctor, services[i].key)[0] != '\0')
            check_service(doctor, services[i].name, services[i].port);
    }
}
