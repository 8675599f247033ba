/*
 * apreq.h - one AP-REQ (RFC 4120 section 3.2) against our keytab.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_APREQ_H
#define KPOP_SASL_APREQ_H

#include <stddef.h>
#include <stdint.h>

#include "sasl/mech.h"
#include "sasl/note.h"

enum { PRINCIPAL_MAX = 512 };

struct apreq_message {
    const uint8_t *data;
    size_t len;
};

/*
 * STATUS_OK: genuine, new, for us; principal_out (PRINCIPAL_MAX + 1 octets)
 * names the client as krb5_unparse_name does, and the AP_REP is appended to
 * out if the client asked for one.  STATUS_AUTH, STATUS_DENIED, STATUS_TEMP,
 * STATUS_PERM with a KRB_ERROR appended; STATUS_NO_MEMORY.  Logs one line.
 */
int apreq_verify(struct sasl_world *world, const struct mech_peer *peer,
                 const struct apreq_message *in, char *principal_out,
                 struct buf *out) MUST_USE;

/*
 * The same for the AP-REQ inside a GSSAPI token, before GSSAPI accepts it:
 * genuine, for us, of this protocol.  Whether it is new, GSSAPI finds out.
 * STATUS_OK with the principal and what to log of it, or as above, logged.
 */
int apreq_examine(struct sasl_world *world, const struct mech_peer *peer,
                  const struct apreq_message *in, char *principal_out,
                  struct note *note_out) MUST_USE;

#endif
