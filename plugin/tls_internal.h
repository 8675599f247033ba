/*
 * tls_internal.h - what the files of TLS know of each other.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_PLUGIN_TLS_INTERNAL_H
#define KPOP_PLUGIN_TLS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

struct bio_method_st;
struct ssl_ctx_st;

struct tls_world {
    struct ssl_ctx_st **contexts; /* one a certificate; the first is default */
    size_t count;
    struct bio_method_st *method; /* of tls.c */
};

/* tls.c: how OpenSSL reaches our buffers; NULL without memory. */
struct bio_method_st *tls_method_new(void);

/* tlsticket.c: makes the context use the keys of all processes; false when
 * there are no random octets. */
bool tls_ticket_use(struct ssl_ctx_st *context);

#endif
