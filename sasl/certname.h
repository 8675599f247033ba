/*
 * certname.h - whom a client certificate names.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_CERTNAME_H
#define KPOP_SASL_CERTNAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sasl/clean.h"
#include "sasl/mech.h"

/*
 * The name of that kind in a certificate (DER) that was verified elsewhere:
 * printable, without NUL.  False, and "", when it has none, more than one, or
 * is not exactly one certificate.
 */
bool certname_get(const uint8_t *der, size_t size, enum mech_name_kind kind,
                  char name_out[NAME_OCTETS_MAX + 1]);

#endif
