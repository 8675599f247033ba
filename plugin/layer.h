/*
 * layer.h - the stage of a session that speaks a SASL security layer: between
 * the octets of the host and those of the engine, from the octet behind +OK.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_PLUGIN_LAYER_H
#define KPOP_PLUGIN_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kpop/buf.h"
#include "sasl/layer.h"

struct layer;

/* Takes the codec, also when it fails; `plain` octets of output come before
 * the first packet.  NULL when there is no memory. */
struct layer *layer_new(const struct mech_layer *codec,
                        size_t plain) MUST_USE;
void layer_free(struct layer *layer); /* NULL is allowed; wipes */

/*
 * Takes octets of the wire out of inbox until a packet is complete and
 * opened.  STATUS_OK; STATUS_INVALID, why in error; STATUS_NO_MEMORY.  Call
 * again while something is left in the inbox and layer_input() is empty.
 */
int layer_take(struct layer *layer, struct buf *inbox,
               const char **error_out) MUST_USE;
/* Clear octets for the engine; consume what it used. */
struct buf *layer_input(struct layer *layer);

/* What of the engine's output may be sent as it is; 0 = all is wrapped. */
size_t layer_plain(const struct layer *layer);
void layer_plain_wrote(struct layer *layer, size_t len);
/* Wraps up to so many octets of the engine's output as one packet takes; how
 * many in used.  STATUS_OK, STATUS_TEMP, STATUS_NO_MEMORY. */
int layer_wrap(struct layer *layer, const uint8_t *data, size_t len,
               size_t *used_out) MUST_USE;
/* Packets to send; consume what was sent. */
struct buf *layer_output(struct layer *layer);

#endif
