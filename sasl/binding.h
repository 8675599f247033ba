/*
 * binding.h - does a GSSAPI client speak of the channel that it came by?
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_BINDING_H
#define KPOP_SASL_BINDING_H

#include <stdint.h>

#include "sasl/mech.h"

enum { BINDING_OCTETS = 16 };

/*
 * bound: the client's MD5 of its channel bindings (RFC 4121 section 4.1.1.2),
 * all zero = none.  NULL = they are of this connection, there are none, or TLS
 * is the host's and it does not tell us what to compare with; else what is
 * wrong.
 */
const char *binding_problem(const struct mech_peer *peer,
                            const uint8_t bound[BINDING_OCTETS]);

#endif
