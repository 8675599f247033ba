/*
 * refuse.c - see refuse.h.  For the master, and for workers that have learnt
 * only then whom a proxy brought.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/refuse.h"

#include <string.h>
#include <sys/socket.h>

#include "plugin/host/kpopd/log.h"
#include "plugin/kpop_plugin.h"

void
refuse_busy(int fd, const char *service, const struct address *peer,
            const struct address *via)
{
    static const char text[] =
        "-ERR [SYS/TEMP] too many connections, try again later\r\n";
    char address[ADDRESS_TEXT_MAX];
    char proxy[ADDRESS_TEXT_MAX] = "";

    if (via != NULL)
        (void)address_print(via, proxy, sizeof(proxy));
    log_event(KPOP_LOG_WARNING, "session.refused",
              "service=%s peer=%s text=\"too many connections\"%s%s", service,
              address_print(peer, address, sizeof(address)),
              via != NULL ? " via=" : "", proxy);
    /* Inside TLS or a KPOP handshake no text can be read. */
    if (strcmp(service, "pop3") == 0)
        (void)send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)shutdown(fd, SHUT_WR);
}
