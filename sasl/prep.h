/*
 * prep.h - SASLprep (RFC 4013): the form in which a password is hashed by
 * both sides of SCRAM.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_PREP_H
#define KPOP_SASL_PREP_H

#include "kpop/status.h"
#include "sasl/digest.h"

/*
 * The prepared form, which lives as long as *text_out, for prep_free(), or as
 * given.  A password that SASLprep forbids stays as it is: clients that don't
 * prepare can still use it.  STATUS_OK, STATUS_NO_MEMORY.
 */
int prep_password(const struct digest_secret *given, char **text_out,
                  struct digest_secret *prepared_out) MUST_USE;
void prep_free(char *text); /* NULL is allowed; wipes */

#endif
