/*
 * tls_internal.h - what the files of TLS know of each other.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_PLUGIN_TLS_INTERNAL_H
#define KPOP_PLUGIN_TLS_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "sasl/mech.h"

struct bio_method_st;
struct ssl_ctx_st;

struct tlsfile;

/* An OCSP response for one certificate. */
struct tls_staple {
    unsigned char *der;
    size_t size;         /* octets; 0 = there is none */
    time_t until;        /* 0 = no end is known */
    char *path;
    atomic_bool is_told; /* that its time is over */
    mech_log_fn *log;
    void *log_arg;
};

struct tls_world {
    struct ssl_ctx_st **contexts; /* one a certificate; the first is default */
    struct tls_staple *staples;   /* one a context */
    size_t count;
    struct bio_method_st *method; /* of tls.c */
};

/* tls.c: how OpenSSL reaches our buffers; NULL without memory. */
struct bio_method_st *tls_method_new(void);

/* tlsticket.c: makes the context use the keys of all processes; false when
 * there are no random octets. */
bool tls_ticket_use(struct ssl_ctx_st *context);

/* tlsocsp.c: reads the responses that the settings name, and has the contexts
 * send them.  STATUS_OK, STATUS_INVALID. */
int tlsocsp_load(struct tlsfile *r, struct tls_world *world) MUST_USE;
void tlsocsp_free(struct tls_staple *staple);

#endif
