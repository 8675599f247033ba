/*
 * gss.h - the acceptor credential that mechanism GSSAPI logs in with.
 * gssapi_ext.h itself stays in gss.c.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_GSS_H
#define KPOP_SASL_GSS_H

#include <stddef.h>

#include "sasl/mech.h"

/* Used by one exchange at a time, between gss_take and gss_give. */
struct gss {
    void *credential; /* gss_cred_id_t, for SASL_GSS_CREDS */
    struct gss *next;
};

/*
 * A credential that accepts krb5 alone, with every key of our keytab as it is
 * at each login, and with our replay cache.  STATUS_OK; STATUS_TEMP with
 * GSSAPI's sentence; STATUS_NO_MEMORY.
 */
int gss_take(struct sasl_world *world, struct gss **gss_out, char *error,
             size_t error_size) MUST_USE;
void gss_give(struct sasl_world *world, struct gss *gss); /* NULL allowed */

/* What sasl_world_free() frees of GSSAPI. */
void gss_world_free(struct sasl_world *world);

#endif
