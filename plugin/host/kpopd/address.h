/*
 * address.h - Internet addresses as kpopd counts, compares and prints them.
 *
 * All are kept as 16 octets, IPv4 as ::ffff:a.b.c.d, so that a client on a
 * dual-stack listener is the same client on an IPv4 one.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_ADDRESS_H
#define KPOPD_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
    uint8_t octets[16];
};

/* Addresses whose first `bits` bits are those of `base`. */
struct network {
    struct address base;
    unsigned bits; /* 0..128; an IPv4 /n is 96 + n */
};

enum { ADDRESS_TEXT_MAX = 64 }; /* numeric, with a scope, and its NUL */

/* From accept or getsockname; false for another family.  port_out may be
 * NULL. */
bool address_from_socket(const struct sockaddr *from, struct address *out,
                         unsigned *port_out);
bool address_parse(const char *text, struct address *out);
/* Numeric, IPv4 dotted; returns out. */
const char *address_print(const struct address *address, char *out,
                          size_t size);
bool address_is_ipv4(const struct address *address);
/* What is counted as one client: an IPv4 address, an IPv6 /64. */
struct address address_client(const struct address *address);

/* "10.0.0.0/8", "2001:db8::/32" or a single address. */
bool network_parse(const char *text, struct network *out);
bool network_holds(const struct network *network,
                   const struct address *address);
/* Does any of them? */
bool networks_hold(const struct network *networks, size_t count,
                   const struct address *address);

#endif
