/*
 * cert_fixture.c - makes certificates by OpenSSL, for the unit tests alone;
 * nothing of them stays.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/unit/cert_fixture.h"

#include <openssl/ec.h>
#include <openssl/evp.h>

#include "tests/lib/check.h"

enum { DAY = 24 * 3600 };

X509 *
cert_new(void)
{
    X509 *certificate = X509_new();

    CHECK(certificate != NULL);
    CHECK(X509_set_version(certificate, X509_VERSION_3) == 1);
    CHECK(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1);
    CHECK(X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY) != NULL);
    CHECK(X509_gmtime_adj(X509_getm_notAfter(certificate), DAY) != NULL);
    return certificate;
}

void
cert_add_cn(X509 *certificate, int type, const void *text, size_t len)
{
    X509_NAME_ENTRY *entry = X509_NAME_ENTRY_create_by_NID(
        NULL, NID_commonName, type, text, (int)len);

    CHECK(entry != NULL);
    CHECK(X509_NAME_add_entry(X509_get_subject_name(certificate), entry, -1,
                              0) == 1);
    X509_NAME_ENTRY_free(entry);
}

void
cert_add_names(X509 *certificate, const struct cert_name *names, size_t count)
{
    GENERAL_NAMES *all = GENERAL_NAMES_new();

    CHECK(all != NULL);
    for (size_t i = 0; i < count; i++) {
        GENERAL_NAME *one = GENERAL_NAME_new();
        ASN1_IA5STRING *text = ASN1_IA5STRING_new();

        CHECK(one != NULL && text != NULL);
        CHECK(ASN1_STRING_set(text, names[i].text, (int)names[i].len) == 1);
        GENERAL_NAME_set0_value(one, names[i].type, text);
        CHECK(sk_GENERAL_NAME_push(all, one) > 0);
    }
    CHECK(X509_add1_ext_i2d(certificate, NID_subject_alt_name, all, 0,
                            X509V3_ADD_APPEND) == 1);
    GENERAL_NAMES_free(all);
}

EVP_PKEY *
cert_sign(X509 *certificate)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");

    CHECK(key != NULL);
    CHECK(X509_set_pubkey(certificate, key) == 1);
    CHECK(X509_sign(certificate, key, EVP_sha256()) > 0);
    return key;
}

size_t
cert_finish(X509 *certificate, uint8_t der[CERT_OCTETS_MAX])
{
    EVP_PKEY *key = cert_sign(certificate);
    unsigned char *at = der;
    int size = i2d_X509(certificate, NULL);

    CHECK(size > 0 && size <= CERT_OCTETS_MAX);
    CHECK_INT(i2d_X509(certificate, &at), size);
    EVP_PKEY_free(key);
    X509_free(certificate);
    return (size_t)size;
}
