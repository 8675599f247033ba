/*
 * ocsp_fixture.c - an OCSP responder that says what it is told.
 *
 * SPDX-License-Identifier: MIT
 */
#include <openssl/pem.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/check.h"
#include "tests/unit/ocsp_fixture.h"
#include "tests/unit/tls_fixture.h"

static FILE *
read_part(const char *name, const char *suffix)
{
    char file[100];
    FILE *in;

    (void)snprintf(file, sizeof(file), "%s%s", name, suffix);
    in = fopen(fixture_path(file), "r");
    CHECK(in != NULL);
    return in;
}

static X509 *
read_certificate(const char *name)
{
    FILE *in = read_part(name, ".pem");
    X509 *certificate = PEM_read_X509(in, NULL, NULL, NULL);

    CHECK(certificate != NULL && fclose(in) == 0);
    return certificate;
}

static EVP_PKEY *
read_key(const char *name)
{
    FILE *in = read_part(name, ".key");
    EVP_PKEY *key = PEM_read_PrivateKey(in, NULL, NULL, NULL);

    CHECK(key != NULL && fclose(in) == 0);
    return key;
}

static void
add_status(OCSP_BASICRESP *basic, const struct ocsp_wish *wish)
{
    X509 *about = read_certificate(wish->about != NULL ? wish->about
                                                       : "server");
    X509 *issuer = read_certificate("ca");
    OCSP_CERTID *id = OCSP_cert_to_id(wish->md, about, issuer);
    ASN1_TIME *from = X509_gmtime_adj(NULL, wish->from != 0 ? wish->from
                                                            : -3600);
    ASN1_TIME *until = X509_gmtime_adj(NULL, wish->until != 0 ? wish->until
                                                              : 86400);

    CHECK(OCSP_basic_add1_status(basic, id, wish->state, 0, from, from,
                                 wish->is_endless ? NULL : until)
          != NULL);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    OCSP_CERTID_free(id);
    X509_free(about);
    X509_free(issuer);
}

static OCSP_BASICRESP *
make_basic(const struct ocsp_wish *wish)
{
    const char *name = wish->signer != NULL ? wish->signer : "ca";
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    X509 *signer = read_certificate(name);
    EVP_PKEY *key = read_key(name);

    CHECK(basic != NULL);
    add_status(basic, wish);
    CHECK_INT(OCSP_basic_sign(basic, signer, key, EVP_sha256(), NULL, 0), 1);
    X509_free(signer);
    EVP_PKEY_free(key);
    return basic;
}

/* id-pkix-ocsp-basic, of which the last number is made another one. */
static void
make_odd(unsigned char *der, int size)
{
    static const unsigned char kind[] = { 0x2b, 0x06, 0x01, 0x05, 0x05,
                                          0x07, 0x30, 0x01, 0x01 };
    unsigned char *at = memmem(der, (size_t)size, kind, sizeof(kind));

    CHECK(at != NULL);
    at[sizeof(kind) - 1] = 0x7f;
}

const char *
ocsp_fixture(const char *name, const struct ocsp_wish *wish)
{
    OCSP_BASICRESP *basic = make_basic(wish);
    OCSP_RESPONSE *response = OCSP_response_create(wish->status, basic);
    const char *path = fixture_path(name);
    FILE *out = fopen(path, "w");
    unsigned char *der = NULL;
    int size = i2d_OCSP_RESPONSE(response, &der);

    CHECK(out != NULL && size > 0);
    if (wish->is_odd)
        make_odd(der, size);
    CHECK_INT(fwrite(der, 1, (size_t)size, out), size);
    CHECK_INT(fclose(out), 0);
    OPENSSL_free(der);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    return path;
}
