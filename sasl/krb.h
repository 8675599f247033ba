/*
 * krb.h - contexts of libkrb5, ready to verify AP-REQs.  krb5.h itself stays
 * in krb.c, apreq.c and names.c.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_KRB_H
#define KPOP_SASL_KRB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sasl/mech.h"

struct _krb5_context; /* krb5_context points to it */
struct _krb5_kt;      /* krb5_keytab does */

/* Used by one thread at a time, between krb_take and krb_give. */
struct krb {
    struct _krb5_context *context;
    struct _krb5_kt *keytab; /* its FILE: is opened anew for every request */
    struct krb *next;
};

/* 0, or a code of the library. */
int32_t krb_take(struct sasl_world *world, struct krb **krb_out) MUST_USE;
void krb_give(struct sasl_world *world, struct krb *krb); /* NULL allowed */

/* libkrb5 prefers a replay cache named in the environment to any other. */
bool krb_environment_is_clean(const struct sasl_world *world);

/* AES or Camellia; not RC4, DES, 3DES, nor what we don't know. */
bool krb_enctype_is_strong(int32_t enctype);
/* As Kerberos tools call it, or its number. */
void krb_enctype_name(int32_t enctype, char *name, size_t size);

/* What sasl_world_ready() checks of the keytab; what sasl_world_free() frees
 * of Kerberos. */
int krb_ready(struct sasl_world *world, mech_log_fn *log, void *log_arg,
              char *error, size_t error_size) MUST_USE;
void krb_world_free(struct sasl_world *world);

#endif
