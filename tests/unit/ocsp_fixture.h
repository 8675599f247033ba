/*
 * ocsp_fixture.h - OCSP responses made while a test runs, about certificates
 * of tls_fixture.h.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_UNIT_OCSP_FIXTURE_H
#define KPOP_TESTS_UNIT_OCSP_FIXTURE_H

#include <openssl/ocsp.h>
#include <stdbool.h>

/* All zero says that "server" is good from an hour ago on, until tomorrow,
 * signed by its issuer, "ca". */
struct ocsp_wish {
    const char *about;  /* NULL = "server" */
    const char *signer; /* NULL = "ca" */
    int state;          /* V_OCSP_CERTSTATUS_... */
    int status;         /* OCSP_RESPONSE_STATUS_... */
    long from;          /* seconds from now; 0 = -3600 */
    long until;         /* 0 = 86400 */
    bool is_endless;    /* names no time of the next one */
    bool is_odd;        /* of a kind that nobody knows */
    const EVP_MD *md;   /* of the issuer's name and key; NULL = SHA-1 */
};

/* Writes it to fixture_path(name); returns that. */
const char *ocsp_fixture(const char *name, const struct ocsp_wish *wish);

#endif
