/*
 * tlsworld.c - tests of certificates and keys: what is refused and how that is
 * said, what is warned of, and which certificate a client is shown.
 *
 * SPDX-License-Identifier: MIT
 */
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/check.h"
#include "tests/unit/tls_fixture.h"

static struct fixture f;

static void
begin(void)
{
    fixture_init(&f);
}

/* Refused, with the key to blame and a part of the sentence. */
static void
refused(const char *key, const char *part)
{
    CHECK_INT(fixture_world(&f), STATUS_INVALID);
    CHECK_STR(f.key, key);
    if (strstr(f.error, part) == NULL)
        CHECK_STR(f.error, part);
    fixture_free(&f);
}

static void
warned(const char *part)
{
    CHECK_INT(fixture_world(&f), STATUS_OK);
    CHECK(strncmp(f.log, "config.tls path=", 16) == 0);
    if (strstr(f.log, part) == NULL)
        CHECK_STR(f.log, part);
    fixture_free(&f);
}

/* ---- files ---- */

TEST(files_that_cannot_be_read_are_named)
{
    begin();
    f.settings.certificates = fixture_path("none.pem");
    refused("tls_certificate", "none.pem: No such file");
    begin();
    f.settings.keys = fixture_path("none.key");
    refused("tls_key", "none.key: No such file");
    begin();
    f.settings.client_ca = fixture_path("none.ca");
    refused("tls_client_ca", "none.ca: No such file");
    begin();
    f.settings.ocsp = fixture_path("none.ocsp");
    refused("tls_ocsp", "none.ocsp: No such file");
    begin();
    f.settings.certificates = "server.pem";
    refused("tls_certificate", "an absolute path is needed");
    begin();
    f.settings.certificates = fixture_path("");
    refused("tls_certificate", "is not a file");
}

TEST(a_fifo_holds_nobody_up)
{
    begin();
    CHECK_INT(mkfifo(fixture_path("fifo"), 0600), 0);
    f.settings.certificates = fixture_path("fifo");
    refused("tls_certificate", "is not a file");
}

TEST(files_that_hold_something_else_are_named)
{
    fixture_begin();
    fixture_write("words", "hello\n", 0600);
    begin();
    f.settings.certificates = fixture_path("words");
    refused("tls_certificate", "holds no certificate in PEM");
    begin();
    f.settings.keys = fixture_path("server.pem");
    refused("tls_key", "holds no private key in PEM (");
    begin();
    f.settings.keys = "";
    refused("tls_certificate", "name it by tls_key");
    begin();
    f.settings.client_ca = fixture_path("words");
    refused("tls_client_ca", "holds no certificate in PEM");
    begin();
    f.settings.ocsp = fixture_path("words");
    refused("tls_ocsp", "is not one OCSP response in DER");
    begin();
    f.settings.keys = fixture_path("ca.key");
    refused("tls_key", "is not the key of the certificate");
}

TEST(a_key_with_a_passphrase_is_refused_without_asking)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    FILE *out;

    begin();
    out = fopen(fixture_path("sealed.key"), "w");
    CHECK_INT(PEM_write_PKCS8PrivateKey(out, key, EVP_aes_256_cbc(), NULL, 0,
                                        NULL, "secret"), 1);
    CHECK_INT(fclose(out), 0);
    EVP_PKEY_free(key);
    f.settings.keys = fixture_path("sealed.key");
    refused("tls_key", "passphrase");
}

TEST(lists_must_fit)
{
    char two[700];

    begin();
    (void)snprintf(two, sizeof(two), "%s %s", fixture_path("server.pem"),
                   fixture_path("ca.pem"));
    f.settings.certificates = two;
    refused("tls_key", "ca.pem: has no key");
    begin();
    (void)snprintf(two, sizeof(two), "%s %s", fixture_path("server.key"),
                   fixture_path("ca.key"));
    f.settings.keys = two;
    refused("tls_key", "ca.key: has no certificate");
    begin();
    f.settings.certificates = "  ";
    refused("tls_certificate", "the list: has no path in it");
}

TEST(more_than_64_certificates_are_refused)
{
    char many[65 * 300] = "";
    char keys[65 * 300] = "";

    begin();
    for (int i = 0; i < 65; i++) {
        strcat(strcat(many, " "), f.settings.certificates);
        strcat(strcat(keys, " "), f.settings.keys);
    }
    f.settings.certificates = many;
    f.settings.keys = keys;
    refused("tls_certificate", "one more than the 64");
}

TEST(a_path_that_is_too_long_is_named)
{
    char path[5000];

    begin();
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    f.settings.certificates = path;
    refused("tls_certificate", "File name too long");
}

/* ---- warnings ---- */

TEST(what_works_but_should_not_is_warned_of)
{
    fixture_begin();
    fixture_certificate(&(struct wish){ .name = "old", .from = -2,
                                        .until = -1 });
    fixture_certificate(&(struct wish){ .name = "new", .from = 1,
                                        .until = 2 });
    begin();
    f.settings.certificates = fixture_path("old.pem");
    f.settings.keys = fixture_path("old.key");
    warned("has expired");
    begin();
    f.settings.certificates = fixture_path("new.pem");
    f.settings.keys = fixture_path("new.key");
    warned("not valid yet");
    for (unsigned mode = 0604; mode <= 0620; mode += 0620 - 0604) {
        begin();
        CHECK_INT(chmod(f.settings.keys, mode), 0);
        warned("others may read or change the key");
        CHECK_INT(chmod(fixture_path("server.key"), 0600), 0);
    }
}

TEST(a_good_pair_is_taken_without_a_word)
{
    begin();
    CHECK_INT(chmod(f.settings.keys, 0640), 0); /* of group ssl-cert */
    CHECK_INT(fixture_world(&f), STATUS_OK);
    CHECK_STR(f.log, "");
    fixture_free(&f);
}

/* ---- what clients are shown ---- */

static void
check_shown(const char *asked, const char *common_name)
{
    char name[100];
    X509 *shown;

    fixture_connect(&f, 0, 0);
    (void)snprintf(name, sizeof(name), "%s", asked);
    if (name[0] != '\0')
        SSL_set_tlsext_host_name(f.client, name);
    CHECK(fixture_run(&f));
    shown = SSL_get1_peer_certificate(f.client);
    CHECK(X509_NAME_get_text_by_NID(X509_get_subject_name(shown),
                                    NID_commonName, name, sizeof(name)) > 0);
    CHECK_STR(name, common_name);
    X509_free(shown);
    fixture_hang_up(&f);
}

TEST(r25_12_the_name_asked_for_chooses)
{
    char certificates[700], keys[700];

    fixture_begin();
    fixture_certificate(&(struct wish){ .name = "wild",
                                        .names = "DNS:*.pop.example.org" });
    begin();
    (void)snprintf(certificates, sizeof(certificates), "%s  %s",
                   f.settings.certificates, fixture_path("wild.pem"));
    (void)snprintf(keys, sizeof(keys), "%s %s", f.settings.keys,
                   fixture_path("wild.key"));
    f.settings.certificates = certificates;
    f.settings.keys = keys;
    CHECK_INT(fixture_world(&f), STATUS_OK);
    check_shown("", "server");
    check_shown("server.example.org", "server");
    check_shown("SERVER.example.org", "server");
    check_shown("a.pop.example.org", "wild");
    check_shown("a.b.pop.example.org", "server");
    check_shown("pop.example.org", "server");
    check_shown("elsewhere.example.org", "server");
    fixture_free(&f);
}

static void
check_protocol(const char *offer, size_t len, const char *chosen)
{
    const unsigned char *got = NULL;
    unsigned got_len = 0;

    fixture_connect(&f, 0, 0);
    CHECK_INT(SSL_set_alpn_protos(f.client, (const unsigned char *)offer,
                                  (unsigned)len), 0);
    CHECK(fixture_run(&f));
    SSL_get0_alpn_selected(f.client, &got, &got_len);
    CHECK_MEM(got, got_len, chosen, strlen(chosen));
    fixture_hang_up(&f);
}

TEST(alpn_is_pop3_or_nothing)
{
    begin();
    CHECK_INT(fixture_world(&f), STATUS_OK);
    check_protocol("\4pop3", 5, "pop3");
    check_protocol("\2h2\4pop3", 8, "pop3");
    check_protocol("\2h2", 3, "");
    fixture_free(&f);
}

TEST(files_are_cleaned_up)
{
    fixture_end();
}

TEST_MAIN("tlsworld",
          T(files_that_cannot_be_read_are_named),
          T(a_fifo_holds_nobody_up),
          T(files_that_hold_something_else_are_named),
          T(a_key_with_a_passphrase_is_refused_without_asking),
          T(lists_must_fit),
          T(more_than_64_certificates_are_refused),
          T(a_path_that_is_too_long_is_named),
          T(what_works_but_should_not_is_warned_of),
          T(a_good_pair_is_taken_without_a_word),
          T(r25_12_the_name_asked_for_chooses),
          T(alpn_is_pop3_or_nothing),
          T(files_are_cleaned_up))
