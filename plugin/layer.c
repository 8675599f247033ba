/*
 * layer.c - see layer.h.  Knows the framing of a layer (RFC 4422 section 3.7:
 * four octets of length, then that many) and nothing of what is inside; what
 * it holds in the clear is wiped.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/layer.h"

#include <stdlib.h>

#include "kpop/engine.h"

enum { LENGTH_OCTETS = 4 };

struct layer {
    struct mech_layer codec;
    size_t plain;      /* octets of output before the first packet */
    struct buf packet; /* its length and what came of it */
    struct buf input;  /* clear octets that the engine has not used */
    struct buf output; /* packets that are not sent */
};

struct layer *
layer_new(const struct mech_layer *codec, size_t plain)
{
    struct layer *layer = calloc(1, sizeof(*layer));

    if (layer == NULL) {
        codec->free(codec->state);
        return NULL;
    }
    layer->codec = *codec;
    layer->plain = plain;
    buf_init(&layer->packet, LENGTH_OCTETS + LAYER_PACKET_MAX);
    buf_init_secret(&layer->input, LAYER_PACKET_MAX);
    buf_init(&layer->output, (size_t)ENGINE_OUTPUT_HIGH
                                 + LENGTH_OCTETS + 2 * LAYER_PACKET_MAX);
    return layer;
}

void
layer_free(struct layer *layer)
{
    if (layer == NULL)
        return;
    layer->codec.free(layer->codec.state);
    buf_reset(&layer->packet);
    buf_reset(&layer->input);
    buf_reset(&layer->output);
    free(layer);
}

/* Moves octets until the packet has so many; false while it has not, and
 * without memory. */
static bool
fill(struct layer *layer, struct buf *inbox, size_t want)
{
    size_t have = buf_len(&layer->packet);
    size_t here = buf_len(inbox);

    if (have >= want)
        return true;
    if (here > want - have)
        here = want - have;
    if (here > 0) {
        buf_append(&layer->packet, buf_data(inbox), here);
        buf_consume(inbox, here);
    }
    return !buf_failed(&layer->packet) && have + here == want;
}

int
layer_take(struct layer *layer, struct buf *inbox, const char **error_out)
{
    struct buf *packet = &layer->packet;
    const uint8_t *head;
    size_t len;
    int status;

    if (!fill(layer, inbox, LENGTH_OCTETS))
        return buf_failed(packet) ? STATUS_NO_MEMORY : STATUS_OK;
    head = buf_data(packet);
    len = (size_t)head[0] << 24 | (size_t)head[1] << 16
          | (size_t)head[2] << 8 | head[3];
    if (len == 0 || len > layer->codec.packet_max) {
        *error_out = "packet of a forbidden length, or input in the clear";
        return STATUS_INVALID;
    }
    if (!fill(layer, inbox, LENGTH_OCTETS + len))
        return buf_failed(packet) ? STATUS_NO_MEMORY : STATUS_OK;
    status = layer->codec.decode(layer->codec.state,
                                 buf_data(packet) + LENGTH_OCTETS, len,
                                 &layer->input, error_out);
    buf_reset(packet);
    if (status == STATUS_OK && buf_failed(&layer->input))
        status = STATUS_NO_MEMORY;
    return status;
}

struct buf *
layer_input(struct layer *layer)
{
    return &layer->input;
}

size_t
layer_plain(const struct layer *layer)
{
    return layer->plain;
}

void
layer_plain_wrote(struct layer *layer, size_t len)
{
    layer->plain -= len;
}

int
layer_wrap(struct layer *layer, const uint8_t *data, size_t len,
           size_t *used_out)
{
    int status;

    if (len > layer->codec.clear_max)
        len = layer->codec.clear_max;
    *used_out = len;
    status = layer->codec.encode(layer->codec.state, data, len,
                                 &layer->output);
    if (status == STATUS_OK && buf_failed(&layer->output))
        status = STATUS_NO_MEMORY;
    return status;
}

struct buf *
layer_output(struct layer *layer)
{
    return &layer->output;
}
