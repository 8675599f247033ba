/*
 * prep.h - SASLprep (RFC 4013): the form in which a password is hashed by
 * both sides of SCRAM, and in which names are the same name.
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
/*
 * A user's name of 1 to max octets of well-formed UTF-8, prepared, into `out`
 * of max + 1 with its NUL.  STATUS_OK; STATUS_AUTH: forbidden, too long, or
 * another spelling of a name in ASCII, which whoever counts guesses would take
 * for another user; STATUS_NO_MEMORY.
 */
int prep_name(const uint8_t *name, size_t len, char *out, size_t max)
    MUST_USE;
void prep_free(char *text); /* NULL is allowed; wipes */

#endif
