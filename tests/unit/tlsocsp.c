/*
 * tlsocsp.c - tests of OCSP stapling: which responses are believed, what is
 * said of the others, and what a client gets that asks.
 *
 * SPDX-License-Identifier: MIT
 */
#include <openssl/tls1.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/check.h"
#include "tests/unit/ocsp_fixture.h"
#include "tests/unit/tls_fixture.h"

static struct fixture f;

/* server.pem with its issuer, so that signatures can be looked at. */
static const char *
bundle(void)
{
    const char *path = fixture_path("bundle.pem");
    char command[800];

    (void)snprintf(command, sizeof(command), "cat %s %s >%s",
                   fixture_path("server.pem"), fixture_path("ca.pem"), path);
    CHECK_INT(system(command), 0);
    return path;
}

static void
begin(const char *response)
{
    fixture_init(&f);
    f.settings.ocsp = response;
    f.settings.certificates = bundle();
}

/* How many octets a client gets that asks. */
static long
stapled(void)
{
    const unsigned char *octets = NULL;
    long size;

    fixture_connect(&f, 0, 0);
    CHECK_INT(SSL_set_tlsext_status_type(f.client, TLSEXT_STATUSTYPE_ocsp),
              1);
    CHECK(fixture_run(&f));
    size = SSL_get_tlsext_status_ocsp_resp(f.client, &octets);
    fixture_hang_up(&f);
    return size;
}

/* What is said of it when it is read; then nobody gets it. */
static void
left_out(const struct ocsp_wish *wish, const char *part)
{
    fixture_begin();
    begin(ocsp_fixture("response", wish));
    CHECK_INT(fixture_world(&f), STATUS_OK);
    if (strstr(f.log, part) == NULL)
        CHECK_STR(f.log, part);
    CHECK_INT(stapled(), -1);
    fixture_free(&f);
}

static void
sent(const struct ocsp_wish *wish)
{
    fixture_begin();
    begin(ocsp_fixture("response", wish));
    CHECK_INT(fixture_world(&f), STATUS_OK);
    CHECK_STR(f.log, "");
    CHECK(stapled() > 100);
    fixture_free(&f);
}

TEST(good_response_is_sent)
{
    sent(&(struct ocsp_wish){ 0 });
    sent(&(struct ocsp_wish){ .is_endless = true });
    sent(&(struct ocsp_wish){ .md = EVP_sha256() });
}

TEST(response_without_the_issuer_at_hand_is_sent)
{
    fixture_begin();
    begin(ocsp_fixture("response", &(struct ocsp_wish){ .signer = "server" }));
    f.settings.certificates = fixture_path("server.pem");
    CHECK_INT(fixture_world(&f), STATUS_OK);
    CHECK_STR(f.log, "");
    CHECK(stapled() > 100);
    fixture_free(&f);
}

TEST(response_that_no_client_would_believe_is_left_out)
{
    left_out(&(struct ocsp_wish){ .state = V_OCSP_CERTSTATUS_REVOKED },
             "is revoked; clients will refuse it");
    left_out(&(struct ocsp_wish){ .state = V_OCSP_CERTSTATUS_UNKNOWN },
             "is unknown, and is not sent");
    left_out(&(struct ocsp_wish){ .from = -7200, .until = -3600 },
             "out of date");
    left_out(&(struct ocsp_wish){ .from = 3600, .until = 7200 },
             "out of date");
    left_out(&(struct ocsp_wish){ .signer = "server" },
             "is not signed by the issuer");
    left_out(&(struct ocsp_wish){ .about = "ca" },
             "is about none of the certificates");
    left_out(&(struct ocsp_wish){ .status =
                                      OCSP_RESPONSE_STATUS_TRYLATER },
             "gave an error instead");
    left_out(&(struct ocsp_wish){ .is_odd = true }, "is of an unknown kind");
}

/* Read within the minutes that our clock may be wrong by. */
TEST(response_that_has_just_ended_is_not_sent_and_told_of_once)
{
    const char *told;

    fixture_begin();
    begin(ocsp_fixture("response", &(struct ocsp_wish){ .until = -5 }));
    CHECK_INT(fixture_world(&f), STATUS_OK);
    CHECK_STR(f.log, "");
    CHECK_INT(stapled(), -1);
    told = strstr(f.log, "out of date and not sent");
    CHECK(told != NULL);
    CHECK_INT(stapled(), -1);
    CHECK(strstr(told + 1, "out of date") == NULL);
    fixture_free(&f);
}

TEST(of_two_responses_about_one_certificate_the_last_is_sent)
{
    char two[700];
    long first, last;

    fixture_begin();
    (void)snprintf(two, sizeof(two), "%s",
                   ocsp_fixture("one", &(struct ocsp_wish){ 0 }));
    begin(two);
    CHECK_INT(fixture_world(&f), STATUS_OK);
    first = stapled();
    fixture_free(&f);
    (void)snprintf(two, sizeof(two), "%s %s", fixture_path("one"),
                   ocsp_fixture("two",
                                &(struct ocsp_wish){ .is_endless = true }));
    begin(two);
    CHECK_INT(fixture_world(&f), STATUS_OK);
    last = stapled();
    CHECK(last > 0 && last != first);
    fixture_free(&f);
}

TEST(file_that_is_too_large_is_no_response)
{
    static char large[70000];

    fixture_begin();
    memset(large, 'x', sizeof(large) - 1);
    fixture_write("large", large, 0600);
    begin(fixture_path("large"));
    CHECK_INT(fixture_world(&f), STATUS_INVALID);
    CHECK_STR(f.key, "tls_ocsp");
    CHECK(strstr(f.error, "is not one OCSP response in DER") != NULL);
    fixture_free(&f);
}

TEST(files_are_cleaned_up)
{
    fixture_end();
}

TEST_MAIN("tlsocsp",
          T(good_response_is_sent),
          T(response_without_the_issuer_at_hand_is_sent),
          T(response_that_no_client_would_believe_is_left_out),
          T(response_that_has_just_ended_is_not_sent_and_told_of_once),
          T(of_two_responses_about_one_certificate_the_last_is_sent),
          T(file_that_is_too_large_is_no_response),
          T(files_are_cleaned_up))
