/*
 * certname.c - tests of the name in a client certificate: which one is taken,
 * and that whatever is doubtful names nobody.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/certname.h"

#include <stdlib.h>
#include <string.h>

#include "tests/lib/check.h"
#include "tests/unit/cert_fixture.h"

/* A literal with NULs inside, without the one at its end. */
#define TEXT(text) (text), sizeof(text) - 1
#define EMAIL(text) { GEN_EMAIL, TEXT(text) }
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const enum mech_name_kind kinds[] = { MECH_NAME_EMAIL, MECH_NAME_LOCAL,
                                             MECH_NAME_CN };

/* The name of that kind, "" for nobody; from a copy on the heap, so that a
 * checker sees each octet read behind it. */
static const char *
name_in(const uint8_t *der, size_t size, enum mech_name_kind kind)
{
    static char name[NAME_OCTETS_MAX + 1];
    uint8_t *copy = malloc(size > 0 ? size : 1);
    bool named;

    CHECK(copy != NULL);
    if (size > 0)
        memcpy(copy, der, size);
    memset(name, 'x', sizeof(name));
    named = certname_get(copy, size, kind, name);
    free(copy);
    CHECK(named == (name[0] != '\0'));
    return name;
}

static const char *
name_of(X509 *certificate, enum mech_name_kind kind)
{
    uint8_t der[CERT_OCTETS_MAX];
    size_t size = cert_finish(certificate, der);

    return name_in(der, size, kind);
}

static const char *
alternative(const struct cert_name *names, size_t count,
            enum mech_name_kind kind)
{
    X509 *certificate = cert_new();

    cert_add_names(certificate, names, count);
    return name_of(certificate, kind);
}

static const char *
email(const char *text, size_t len, enum mech_name_kind kind)
{
    const struct cert_name name = { GEN_EMAIL, text, len };

    return alternative(&name, 1, kind);
}

/* OpenSSL encodes any octets as a T61String; here another type's tag is put in
 * its place, so that strings are as broken as a test wants them. */
static const char *
common_name(uint8_t tag, const void *text, size_t len)
{
    static const uint8_t head[] = { 0x06, 0x03, 0x55, 0x04, 0x03,
                                    V_ASN1_T61STRING };
    uint8_t der[CERT_OCTETS_MAX];
    X509 *certificate = cert_new();
    uint8_t *at;
    size_t size;

    cert_add_cn(certificate, V_ASN1_T61STRING, text, len);
    size = cert_finish(certificate, der);
    at = memmem(der, size, head, sizeof(head));
    CHECK(at != NULL);
    at[sizeof(head) - 1] = tag;
    return name_in(der, size, MECH_NAME_CN);
}

TEST(each_kind_takes_its_own_name)
{
    static const struct cert_name names[] = {
        { GEN_DNS, TEXT("mail.example.org") },
        EMAIL("alice@example.org"),
        { GEN_URI, TEXT("mailto:bob@example.org") },
    };
    static const char *const want[] = { "alice@example.org", "alice",
                                        "Carol" };
    uint8_t der[CERT_OCTETS_MAX];
    X509 *certificate = cert_new();
    size_t size;

    cert_add_names(certificate, names, COUNT(names));
    cert_add_cn(certificate, V_ASN1_PRINTABLESTRING, TEXT("Carol"));
    size = cert_finish(certificate, der);
    for (size_t i = 0; i < COUNT(kinds); i++)
        CHECK_STR(name_in(der, size, kinds[i]), want[i]);
}

TEST(no_other_name_stands_in_for_a_missing_one)
{
    static const struct cert_name others[] = {
        { GEN_DNS, TEXT("alice@example.org") },
        { GEN_URI, TEXT("mailto:alice@example.org") },
    };
    X509 *certificate;

    for (size_t i = 0; i < COUNT(kinds); i++)
        CHECK_STR(name_of(cert_new(), kinds[i]), "");
    CHECK_STR(email(TEXT("alice@example.org"), MECH_NAME_CN), "");
    CHECK_STR(alternative(others, COUNT(others), MECH_NAME_EMAIL), "");
    certificate = cert_new();
    cert_add_cn(certificate, V_ASN1_UTF8STRING, TEXT("alice@example.org"));
    CHECK_STR(name_of(certificate, MECH_NAME_EMAIL), "");
}

/* emailAddress in the subject is no alternative name. */
TEST(address_in_the_subject_is_not_taken)
{
    X509 *certificate = cert_new();

    CHECK(X509_NAME_add_entry_by_NID(
              X509_get_subject_name(certificate), NID_pkcs9_emailAddress,
              V_ASN1_IA5STRING, (const unsigned char *)"alice@example.org",
              -1, -1, 0)
          == 1);
    CHECK_STR(name_of(certificate, MECH_NAME_EMAIL), "");
}

TEST(local_part_ends_at_the_last_at_sign)
{
    CHECK_STR(email(TEXT("\"a@b\"@example.org"), MECH_NAME_LOCAL),
              "\"a@b\"");
    CHECK_STR(email(TEXT("alice@"), MECH_NAME_LOCAL), "alice");
}

TEST(without_at_sign_or_before_it_there_is_no_local_part)
{
    CHECK_STR(email(TEXT("@example.org"), MECH_NAME_LOCAL), "");
    CHECK_STR(email(TEXT("@"), MECH_NAME_LOCAL), "");
    CHECK_STR(email(TEXT("alice"), MECH_NAME_LOCAL), "");
}

TEST(two_of_a_kind_name_nobody)
{
    static const struct cert_name two[] = { EMAIL("alice@example.org"),
                                            EMAIL("bob@example.org") };
    static const struct cert_name same[] = { EMAIL("alice@example.org"),
                                             EMAIL("alice@example.org") };
    static const struct cert_name good_last[] = { EMAIL("b\0b@example.org"),
                                                  EMAIL("alice@e.org") };
    static const struct cert_name good_first[] = { EMAIL("alice@e.org"),
                                                   EMAIL("b\0b@e.org") };
    X509 *certificate;

    for (size_t i = 0; i < 2; i++) {
        CHECK_STR(alternative(two, 2, kinds[i]), "");
        CHECK_STR(alternative(same, 2, kinds[i]), "");
        CHECK_STR(alternative(good_last, 2, kinds[i]), "");
        CHECK_STR(alternative(good_first, 2, kinds[i]), "");
        certificate = cert_new();
        cert_add_names(certificate, &two[0], 1);
        cert_add_names(certificate, &two[1], 1);
        CHECK_STR(name_of(certificate, kinds[i]), "");
    }
    certificate = cert_new();
    cert_add_cn(certificate, V_ASN1_UTF8STRING, TEXT("alice"));
    cert_add_cn(certificate, V_ASN1_UTF8STRING, TEXT("bob"));
    CHECK_STR(name_of(certificate, MECH_NAME_CN), "");
}

TEST(nul_and_control_characters_name_nobody)
{
    static const struct {
        const char *text;
        size_t len;
    } bad[] = {
        { TEXT("alice@example.org\0.evil.test") },
        { TEXT("alice\0@example.org") },
        { TEXT("\0alice@example.org") },
        { TEXT("alice@example.org\0") },
        { TEXT("alice\n@example.org") },
        { TEXT("alice\x7f@example.org") },
        { TEXT("") },
    };

    for (size_t i = 0; i < COUNT(bad); i++) {
        CHECK_STR(email(bad[i].text, bad[i].len, MECH_NAME_EMAIL), "");
        CHECK_STR(email(bad[i].text, bad[i].len, MECH_NAME_LOCAL), "");
        CHECK_STR(common_name(V_ASN1_UTF8STRING, bad[i].text, bad[i].len),
                  "");
    }
    CHECK_STR(common_name(V_ASN1_BMPSTRING, TEXT("\0a\0\0\0b")), "");
}

TEST(names_have_up_to_255_octets_of_utf8)
{
    char text[NAME_OCTETS_MAX + 2];
    char wide[2 * 128];

    memset(text, 'a', sizeof(text));
    text[NAME_OCTETS_MAX] = '\0';
    CHECK_STR(common_name(V_ASN1_UTF8STRING, text, NAME_OCTETS_MAX), text);
    CHECK_STR(email(text, NAME_OCTETS_MAX, MECH_NAME_EMAIL), text);
    text[NAME_OCTETS_MAX] = 'a';
    CHECK_STR(common_name(V_ASN1_UTF8STRING, text, NAME_OCTETS_MAX + 1), "");
    CHECK_STR(email(text, NAME_OCTETS_MAX + 1, MECH_NAME_EMAIL), "");
    /* What counts is the whole address, not what is left of it. */
    text[1] = '@';
    CHECK_STR(email(text, NAME_OCTETS_MAX + 1, MECH_NAME_LOCAL), "");
    /* 128 letters, each of two octets in UTF-8. */
    for (size_t i = 0; i < sizeof(wide); i += 2)
        memcpy(wide + i, "\0\xe4", 2);
    CHECK_INT(strlen(common_name(V_ASN1_BMPSTRING, wide, 2 * 127)), 254);
    CHECK_STR(common_name(V_ASN1_BMPSTRING, wide, 2 * 128), "");
}

TEST(common_name_comes_out_in_utf8)
{
    CHECK_STR(common_name(V_ASN1_UTF8STRING, TEXT("\xc3\xa4nne \xe2\x82\xac")),
              "\xc3\xa4nne \xe2\x82\xac");
    CHECK_STR(common_name(V_ASN1_BMPSTRING, TEXT("\0\xe4\0n\x20\xac")),
              "\xc3\xa4n\xe2\x82\xac");
    CHECK_STR(common_name(V_ASN1_UNIVERSALSTRING, TEXT("\0\1\xf6\0")),
              "\xf0\x9f\x98\x80");
    CHECK_STR(common_name(V_ASN1_T61STRING, TEXT("\xe4nne")), "\xc3\xa4nne");
}

TEST(common_name_that_is_no_text_names_nobody)
{
    CHECK_STR(common_name(V_ASN1_UTF8STRING, TEXT("\xe4nne")), "");
    CHECK_STR(common_name(V_ASN1_UTF8STRING, TEXT("\xc0\x80")), "");
    CHECK_STR(common_name(V_ASN1_UTF8STRING, TEXT("\xed\xa0\x80")), "");
    CHECK_STR(common_name(V_ASN1_UTF8STRING, TEXT("a\xc2\x85")), "");
    CHECK_STR(common_name(V_ASN1_BMPSTRING, TEXT("\xd8\x3d\xde\0")), "");
    CHECK_STR(common_name(V_ASN1_BMPSTRING, TEXT("\0\x85")), "");
    CHECK_STR(common_name(V_ASN1_BMPSTRING, TEXT("\0a\0")), "");
    CHECK_STR(common_name(V_ASN1_UNIVERSALSTRING, TEXT("\0\0\0a\0")), "");
    CHECK_STR(common_name(V_ASN1_OCTET_STRING, TEXT("alice")), "");
}

/* An IA5String is ASCII (RFC 5280 section 4.2.1.6); what else would be in one
 * is anybody's guess. */
TEST(address_that_is_not_ascii_names_nobody)
{
    CHECK_STR(email(TEXT("\xe4nne@example.org"), MECH_NAME_EMAIL), "");
    CHECK_STR(email(TEXT("\xc3\xa4nne@example.org"), MECH_NAME_EMAIL), "");
    CHECK_STR(email(TEXT("anne@\xe4.example"), MECH_NAME_LOCAL), "");
}

/* Of all names, so that each kind would find its own. */
static size_t
full_certificate(uint8_t der[CERT_OCTETS_MAX])
{
    static const struct cert_name name = EMAIL("alice@example.org");
    X509 *certificate = cert_new();

    cert_add_names(certificate, &name, 1);
    cert_add_cn(certificate, V_ASN1_UTF8STRING, TEXT("alice"));
    return cert_finish(certificate, der);
}

TEST(certificate_cut_short_names_nobody)
{
    uint8_t der[CERT_OCTETS_MAX];
    size_t size = full_certificate(der);

    for (size_t i = 0; i < COUNT(kinds); i++) {
        CHECK(name_in(der, size, kinds[i])[0] != '\0');
        for (size_t len = 0; len < size; len++)
            CHECK_STR(name_in(der, len, kinds[i]), "");
    }
}

TEST(octets_behind_the_certificate_name_nobody)
{
    uint8_t der[CERT_OCTETS_MAX];
    size_t size = full_certificate(der);

    for (size_t i = 0; i < COUNT(kinds); i++) {
        der[size] = 0;
        CHECK_STR(name_in(der, size + 1, kinds[i]), "");
        memcpy(der + size, der, size);
        CHECK_STR(name_in(der, 2 * size, kinds[i]), "");
    }
}

TEST(garbage_names_nobody)
{
    static const char pem[] = "-----BEGIN CERTIFICATE-----\n";
    static const uint8_t empty[] = { 0x30, 0x00 };
    static const uint8_t huge[] = { 0x30, 0x84, 0x7f, 0xff, 0xff, 0xff };
    uint8_t octets[512];

    for (size_t i = 0; i < COUNT(kinds); i++) {
        CHECK_STR(name_in((const uint8_t *)pem, sizeof(pem), kinds[i]), "");
        CHECK_STR(name_in(empty, sizeof(empty), kinds[i]), "");
        CHECK_STR(name_in(huge, sizeof(huge), kinds[i]), "");
        for (int octet = 0; octet < 256; octet++) {
            memset(octets, octet, sizeof(octets));
            CHECK_STR(name_in(octets, sizeof(octets), kinds[i]), "");
        }
    }
}

/* The names of a broken certificate may be read or not, but nothing else may
 * happen; a checker watches. */
TEST(certificate_with_one_octet_changed_breaks_nothing)
{
    uint8_t der[CERT_OCTETS_MAX];
    size_t size = full_certificate(der);

    for (size_t i = 0; i < size; i++) {
        der[i] ^= 0xff;
        for (size_t k = 0; k < COUNT(kinds); k++) {
            const char *name = name_in(der, size, kinds[k]);

            CHECK(clean_text((const uint8_t *)name, strlen(name)));
        }
        der[i] ^= 0xff;
    }
}

TEST_MAIN("certname",
          T(each_kind_takes_its_own_name),
          T(no_other_name_stands_in_for_a_missing_one),
          T(address_in_the_subject_is_not_taken),
          T(local_part_ends_at_the_last_at_sign),
          T(without_at_sign_or_before_it_there_is_no_local_part),
          T(two_of_a_kind_name_nobody),
          T(nul_and_control_characters_name_nobody),
          T(names_have_up_to_255_octets_of_utf8),
          T(common_name_comes_out_in_utf8),
          T(common_name_that_is_no_text_names_nobody),
          T(address_that_is_not_ascii_names_nobody),
          T(certificate_cut_short_names_nobody),
          T(octets_behind_the_certificate_name_nobody),
          T(garbage_names_nobody),
          T(certificate_with_one_octet_changed_breaks_nothing))
