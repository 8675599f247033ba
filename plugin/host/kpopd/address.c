/*
 * address.c - pure functions on addresses; no name is ever looked up.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255 };

bool
address_is_ipv4(const struct address *address)
{
    return memcmp(address->octets, mapped, sizeof(mapped)) == 0;
}

bool
address_from_socket(const struct sockaddr *from, struct address *out,
                    unsigned *port_out)
{
    struct sockaddr_in six4;
    struct sockaddr_in6 six;
    unsigned port;

    if (from->sa_family == AF_INET) {
        memcpy(&six4, from, sizeof(six4));
        memcpy(out->octets, mapped, sizeof(mapped));
        memcpy(out->octets + 12, &six4.sin_addr, 4);
        port = ntohs(six4.sin_port);
    } else if (from->sa_family == AF_INET6) {
        memcpy(&six, from, sizeof(six));
        memcpy(out->octets, &six.sin6_addr, 16);
        port = ntohs(six.sin6_port);
    } else {
        return false;
    }
    if (port_out != NULL)
        *port_out = port;
    return true;
}

bool
address_parse(const char *text, struct address *out)
{
    if (inet_pton(AF_INET6, text, out->octets) == 1)
        return true;
    memcpy(out->octets, mapped, sizeof(mapped));
    return inet_pton(AF_INET, text, out->octets + 12) == 1;
}

const char *
address_print(const struct address *address, char *out, size_t size)
{
    const char *text;

    if (address_is_ipv4(address))
        text = inet_ntop(AF_INET, address->octets + 12, out,
                         (socklen_t)size);
    else
        text = inet_ntop(AF_INET6, address->octets, out, (socklen_t)size);
    return text != NULL ? text : "";
}

struct address
address_client(const struct address *address)
{
    struct address client = *address;

    /* A site or an attacker holds a whole /64 at least. */
    if (!address_is_ipv4(address))
        memset(client.octets + 8, 0, 8);
    return client;
}

bool
network_parse(const char *text, struct network *out)
{
    char copy[ADDRESS_TEXT_MAX];
    char *slash;
    unsigned bits;
    unsigned max;
    size_t i;

    if (strlen(text) >= sizeof(copy))
        return false;
    memcpy(copy, text, strlen(text) + 1);
    slash = strchr(copy, '/');
    if (slash != NULL)
        *slash = '\0';
    if (!address_parse(copy, &out->base))
        return false;
    max = strchr(copy, ':') == NULL ? 32 : 128;
    bits = max;
    if (slash != NULL) {
        for (bits = 0, i = 1; slash[i] >= '0' && slash[i] <= '9' && i < 5;
             i++)
            bits = bits * 10 + (unsigned)(slash[i] - '0');
        if (i == 1 || slash[i] != '\0' || bits > max)
            return false;
    }
    out->bits = bits + (128 - max);
    return true;
}

bool
network_holds(const struct network *network, const struct address *address)
{
    unsigned whole = network->bits / 8;
    unsigned rest = network->bits % 8;
    unsigned mask = rest == 0 ? 0 : 0xFFu << (8 - rest) & 0xFFu;

    if (memcmp(network->base.octets, address->octets, whole) != 0)
        return false;
    return rest == 0
           || ((network->base.octets[whole] ^ address->octets[whole]) & mask)
                  == 0;
}

bool
networks_hold(const struct network *networks, size_t count,
              const struct address *address)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (network_holds(&networks[i], address))
            return true;
    return false;
}
