/*
 * fuzz_proxy.c - the parser of the PROXY protocol's header: octets of whoever
 * reaches a proxy's listener.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "plugin/host/kpopd/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As they come in pieces: all of a header's parts want more, and what stands
 * behind it changes nothing. */
static void
check_parts(const uint8_t *data, size_t size, int header,
            const struct proxy_client *whole)
{
    struct proxy_client client;
    size_t len;

    for (len = 0; len < (size_t)header; len++)
        if (proxy_parse(data, len, &client) != 0 || client.known)
            abort();
    for (; len <= size; len++)
        if (proxy_parse(data, len, &client) != header
            || memcmp(&client, whole, sizeof(client)) != 0)
            abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_client client;
    int rc = proxy_parse(data, size, &client);

    if (rc < -1 || rc > PROXY_MAX || (rc > 0 && (size_t)rc > size)
        || (rc <= 0 && client.known) || (rc == 0 && size >= PROXY_MAX))
        abort();
    if (rc > 0)
        check_parts(data, size, rc, &client);
    return 0;
}
