/*
 * cert_fixture.h - certificates made while a test runs, with whatever names it
 * likes; OpenSSL's own checks of them (64 letters in a CN) are passed by.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_UNIT_CERT_FIXTURE_H
#define KPOP_TESTS_UNIT_CERT_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/x509v3.h>

enum { CERT_OCTETS_MAX = 4096 };

/* One of the alternative names: GEN_EMAIL, GEN_DNS or GEN_URI. */
struct cert_name {
    int type;
    const char *text;
    size_t len;
};

/* Without any name, good from yesterday to tomorrow, not signed yet. */
X509 *cert_new(void);
/* One more common name, of that type of string: V_ASN1_UTF8STRING. */
void cert_add_cn(X509 *certificate, int type, const void *text, size_t len);
/* One more extension subjectAltName. */
void cert_add_names(X509 *certificate, const struct cert_name *names,
                    size_t count);
/* Signs it by a key of its own, which is the caller's. */
EVP_PKEY *cert_sign(X509 *certificate);
/* Signs it, frees it; how many octets of DER. */
size_t cert_finish(X509 *certificate, uint8_t der[CERT_OCTETS_MAX]);

#endif
