/*
 * binding.c - channel bindings of GSSAPI: whoever stands between a client and
 * us has a TLS channel with either, and what the client bound to the one is
 * refused on the other.  libsasl2's server compares none.  Runs where
 * authentication runs; nothing here is secret.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/binding.h"

#include <stdbool.h>
#include <string.h>

#include "sasl/digest.h"

const char *
binding_problem(const struct mech_peer *peer,
                const uint8_t bound[BINDING_OCTETS])
{
    static const uint8_t none[BINDING_OCTETS];
    uint8_t ours[DIGEST_CHANNEL];
    bool known = false;

    if (memcmp(bound, none, sizeof(none)) == 0)
        return NULL;
    for (size_t i = 0; i < MECH_BINDINGS; i++) {
        const struct mech_binding *binding = &peer->bindings[i];

        if (binding->size == 0)
            continue;
        known = true;
        if (digest_channel(binding->type, binding->data, binding->size, ours)
            != STATUS_OK)
            return "channel bindings need MD5, which OpenSSL refuses here";
        if (memcmp(bound, ours, sizeof(ours)) == 0)
            return NULL;
    }
    if (!known && peer->has_tls)
        return NULL;
    return known ? "bound to another TLS channel: somebody stands between, "
                   "or TLS ends in front of this server"
                 : "bound to a TLS channel, but came without TLS: somebody "
                   "stands between, or TLS ends in front of this server";
}
