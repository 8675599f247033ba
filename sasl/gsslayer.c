/*
 * gsslayer.c - wraps and unwraps packets through libsasl2, which takes
 * replayed packets, leaves out dropped ones and doesn't mind their order
 * (measured), and which doesn't hand out the context that would know.  So the
 * sequence number, direction and kind of each token are checked here, and
 * believed once libsasl2 has proved the token.  Does no I/O.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/gsslayer.h"

#include <stdbool.h>
#include <stdlib.h>

#include "sasl/token.h"

struct gsslayer {
    struct cyrus *cyrus;
    size_t clear_max;
    uint64_t expected; /* sequence number of the client's next token */
    bool sealed;
    bool broken; /* nothing may follow what was refused */
};

static int
layer_encode(void *state, const uint8_t *clear, size_t len, struct buf *out)
{
    struct gsslayer *layer = state;

    /* libsasl2 would make several packets of more. */
    if (layer->broken || len == 0 || len > layer->clear_max)
        return STATUS_TEMP;
    return cyrus_encode(layer->cyrus, clear, len, out);
}

/* NULL = good. */
static const char *
judge(const struct gsslayer *layer, const uint8_t *packet, size_t len)
{
    struct token_wrap wrap;

    if (layer->broken)
        return "packet behind a refused one";
    if (len > LAYER_PACKET_MAX)
        return "packet too large";
    if (!token_wrap(packet, len, &wrap))
        return "packet is no token of RFC 4121";
    if (wrap.by_acceptor)
        return "packet of ours came back";
    if (wrap.sealed != layer->sealed)
        return layer->sealed ? "packet is not encrypted"
                             : "packet is encrypted, against what was chosen";
    if (wrap.sequence < layer->expected)
        return "packet replayed or out of order";
    if (wrap.sequence > layer->expected)
        return "packet lost or out of order";
    return NULL;
}

static int
layer_decode(void *state, const uint8_t *packet, size_t len, struct buf *out,
             const char **error_out)
{
    struct gsslayer *layer = state;
    const char *problem = judge(layer, packet, len);
    size_t before = buf_len(out);
    int status = STATUS_INVALID;

    if (problem == NULL) {
        status = cyrus_decode(layer->cyrus, packet, len, out);
        problem = "packet forged or damaged";
    }
    /* Of no use but to fill our memory: GSSAPI leaks an octet each time. */
    if (status == STATUS_OK && buf_len(out) == before) {
        status = STATUS_INVALID;
        problem = "packet is empty";
    }
    if (status == STATUS_OK) {
        layer->expected++;
        return STATUS_OK;
    }
    layer->broken = true;
    *error_out = problem;
    return status;
}

static void
layer_free(void *state)
{
    struct gsslayer *layer = state;

    if (layer == NULL)
        return;
    cyrus_free(layer->cyrus);
    free(layer);
}

int
gsslayer_new(struct cyrus *cyrus, unsigned ssf, uint64_t sequence,
             struct mech_layer *layer_out)
{
    const size_t clear_max = cyrus_clear_max(cyrus);
    struct gsslayer *layer;

    if (clear_max == 0)
        return STATUS_TEMP;
    layer = calloc(1, sizeof(*layer));
    if (layer == NULL)
        return STATUS_NO_MEMORY;
    layer->cyrus = cyrus;
    layer->clear_max = clear_max;
    layer->expected = sequence + 1;
    layer->sealed = ssf > 1;
    layer_out->ssf = ssf;
    layer_out->packet_max = LAYER_PACKET_MAX;
    layer_out->clear_max = clear_max;
    layer_out->encode = layer_encode;
    layer_out->decode = layer_decode;
    layer_out->free = layer_free;
    layer_out->state = layer;
    return STATUS_OK;
}
