/*
 * gsslayer.h - the security layer of mechanism GSSAPI (RFC 4752 section 3.3).
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_GSSLAYER_H
#define KPOP_SASL_GSSLAYER_H

#include <stdint.h>

#include "sasl/cyrus.h"
#include "sasl/layer.h"

/*
 * The layer of a login that succeeded, of the strength of cyrus_ssf();
 * sequence is that of the client's choice, after which its packets count on.
 * STATUS_OK: cyrus is the layer's now; STATUS_TEMP: the library doesn't know
 * how large its packets are; STATUS_NO_MEMORY.
 */
int gsslayer_new(struct cyrus *cyrus, unsigned ssf, uint64_t sequence,
                 struct mech_layer *layer_out) MUST_USE;

#endif
