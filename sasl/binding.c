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

/*
 * RFC 5056 puts the type before the name, clients that use libsasl2 do not
 * (measured with Cyrus's pop3test).  Without MD5 nothing is the same.
 */
static bool
is_bound_to(const struct mech_binding *channel,
            const uint8_t bound[BINDING_OCTETS])
{
    const char *const types[] = { channel->type, "" };
    uint8_t sum[DIGEST_CHANNEL];

    for (size_t i = 0; channel->size > 0 && i < 2; i++)
        if (digest_channel(types[i], channel->data, channel->size, sum)
                == STATUS_OK
            && memcmp(bound, sum, sizeof(sum)) == 0)
            return true;
    return false;
}

const char *
binding_problem(const struct mech_peer *peer,
                const uint8_t bound[BINDING_OCTETS])
{
    static const uint8_t none[BINDING_OCTETS];
    bool known = peer->finished.size > 0;

    if (memcmp(bound, none, sizeof(none)) == 0
        || is_bound_to(&peer->finished, bound))
        return NULL;
    for (size_t i = 0; i < MECH_BINDINGS; i++) {
        known = known || peer->bindings[i].size > 0;
        if (is_bound_to(&peer->bindings[i], bound))
            return NULL;
    }
    if (!known && peer->has_tls)
        return NULL;
    return known ? "bound to another TLS channel: somebody stands between, "
                   "or TLS ends in front of this server"
                 : "bound to a TLS channel, but came without TLS: somebody "
                   "stands between, or TLS ends in front of this server";
}
