/*
 * proxy.h - the header that a proxy such as HAProxy puts before a connection,
 * so that the server knows the client's address: the PROXY protocol, versions
 * 1 and 2.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_PROXY_H
#define KPOPD_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/host/kpopd/address.h"

enum {
    PROXY_V1_MAX = 107, /* with its CRLF */
    PROXY_MAX = 536     /* version 2: addresses, and 484 octets of TLVs */
};

struct proxy_client {
    bool known;         /* false: LOCAL or UNKNOWN, the proxy itself counts */
    struct address address;
    unsigned port;
};

/*
 * What the octets begin with: a header of so many octets; 0 while all of them
 * belong to a header that is not whole yet; -1 for anything else.
 */
int proxy_parse(const uint8_t *data, size_t len,
                struct proxy_client *client_out);

#endif
