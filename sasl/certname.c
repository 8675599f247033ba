/*
 * certname.c - takes the name of a user out of a client certificate, by
 * OpenSSL.  Believes nothing of the rest of it: who verified it is tls.c, or
 * the host.  A certificate with several names of the kind names nobody.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/certname.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

/* An IA5String is ASCII, but OpenSSL would take it for Latin-1. */
static bool
is_ascii(const ASN1_STRING *text)
{
    const unsigned char *octets = ASN1_STRING_get0_data(text);

    for (int i = 0; i < ASN1_STRING_length(text); i++) {
        if (octets[i] > 0x7f)
            return false;
    }
    return true;
}

static bool
take(const ASN1_STRING *text, char name[NAME_OCTETS_MAX + 1])
{
    unsigned char *utf8 = NULL;
    int size = ASN1_STRING_to_UTF8(&utf8, text);
    bool good = size > 0 && clean_request(utf8, (size_t)size);

    if (good) {
        memcpy(name, utf8, (size_t)size);
        name[size] = '\0';
    }
    if (size >= 0)
        OPENSSL_free(utf8);
    return good;
}

static bool
take_common_name(const X509 *certificate, char name[NAME_OCTETS_MAX + 1])
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

    return at >= 0
           && X509_NAME_get_index_by_NID(subject, NID_commonName, at) < 0
           && take(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)),
                   name);
}

static bool
take_email(const X509 *certificate, char name[NAME_OCTETS_MAX + 1])
{
    GENERAL_NAMES *names =
        X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    int count = names != NULL ? sk_GENERAL_NAME_num(names) : 0;
    int found = 0;
    bool good = false;

    for (int i = 0; i < count; i++) {
        const GENERAL_NAME *one = sk_GENERAL_NAME_value(names, i);

        if (one->type != GEN_EMAIL)
            continue;
        found++;
        good = is_ascii(one->d.rfc822Name) && take(one->d.rfc822Name, name);
    }
    GENERAL_NAMES_free(names);
    return good && found == 1;
}

/* Leaves what stands before the @; an address has one. */
static bool
cut_domain(char *name)
{
    char *sign = strrchr(name, '@');

    if (sign != NULL)
        *sign = '\0';
    return sign != NULL && name[0] != '\0';
}

bool
certname_get(const uint8_t *der, size_t size, enum mech_name_kind kind,
             char name_out[NAME_OCTETS_MAX + 1])
{
    const unsigned char *at = der;
    X509 *certificate = d2i_X509(NULL, &at, (long)size);
    bool good = false;

    /* What follows it was verified by nobody. */
    if (certificate != NULL && at == der + size)
        good = kind == MECH_NAME_CN ? take_common_name(certificate, name_out)
                                    : take_email(certificate, name_out);
    X509_free(certificate);
    ERR_clear_error();
    if (good && kind == MECH_NAME_LOCAL)
        good = cut_domain(name_out);
    if (!good)
        name_out[0] = '\0';
    return good;
}
