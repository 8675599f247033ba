/*
 * kpopd_sdps.c - the envelope in a message's header: what is believed, and
 * what a stranger wrote is not; and whose mail a login asks for.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/kpopd/sdps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/check.h"

#define FIELDS "Delivered-To X-Original-To Envelope-To"

static struct envelope
envelope_of(const char *header)
{
    struct envelope envelope;
    /* A copy without a NUL behind it, so that a checker sees an overrun. */
    size_t size = strlen(header);
    char *copy = malloc(size + 1);

    CHECK(copy != NULL);
    memset(&envelope, 'x', sizeof(envelope));
    memcpy(copy, header, size);
    copy = realloc(copy, size > 0 ? size : 1);
    sdps_read(copy, size, FIELDS, &envelope);
    free(copy);
    return envelope;
}

static void
check(const char *header, const char *sender, const char *recipient)
{
    struct envelope envelope = envelope_of(header);

    CHECK_STR(envelope.sender, sender);
    CHECK_STR(envelope.recipient, recipient);
}

TEST(what_deliveries_write_is_read)
{
    /* Postfix, Dovecot's LMTP, Exim, qmail, Courier. */
    check("Return-Path: <bob@b.example>\nX-Original-To: sales@h.example\n"
          "Delivered-To: alice@h.example\nReceived: from x\nA: b\n\nbody\n",
          "bob@b.example", "sales@h.example");
    check("Return-Path: <bob@b.example>\r\nDelivered-To: alice@h.example\r\n"
          "Received: from x\r\n\tby y\r\n\r\n", "bob@b.example",
          "alice@h.example");
    check("Return-path: <>\nEnvelope-to: alice@h.example\n"
          "Delivery-date: now\nReceived: from x\n\n", "", "alice@h.example");
    check("Return-Path: <bob@b.example>\nDelivered-To: alice@h.example\n\n",
          "bob@b.example", "alice@h.example");
    check("Delivered-To: alice@h.example\nReturn-Path: <bob@b.example>\n"
          "Received: from x\n\n", "bob@b.example", "alice@h.example");
}

TEST(what_stood_there_before_the_delivery_is_not_believed)
{
    check("Received: from x\nReturn-Path: <bob@b.example>\n"
          "Delivered-To: alice@h.example\n\n", "", "");
    check("Return-Path: <bob@b.example>\nDelivered-To: alice@h.example\n"
          "Return-Path: <evil@e.example>\nDelivered-To: eve@h.example\n"
          "X-Original-To: eve@h.example\n\n", "bob@b.example",
          "alice@h.example");
    check("A: b\n\nReturn-Path: <bob@b.example>\n"
          "Delivered-To: alice@h.example\n", "", "");
}

TEST(odd_headers_give_no_address)
{
    static const char *const headers[] = {
        "", "\n", ":", ": x\n", "Delivered-To", "Delivered-To:",
        "Delivered-To:\n", "Delivered-To: \n\n", "Delivered-To: a b\n\n",
        "Delivered-To: a\n b\n\n", "Delivered-To: <a\n\n",
        "Delivered-To: a@b<x>\n\n", "Delivered-To: a\x01\n\n",
        "From x\nDelivered-To: a@b\n\n", " Delivered-To: a@b\n\n",
        "X-Delivered-To: a@b\n\n", "Delivered-To2: a@b\n\n",
    };

    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        check(headers[i], "", "");
}

TEST(address_that_is_cut_off_is_none)
{
    check("Delivered-To: alice@h.exam", "", "");
    check("Return-Path: <bob@b.example>\nDelivered-To: alice@h.example",
          "bob@b.example", "");
}

TEST(longest_address_is_taken_and_a_longer_one_is_not)
{
    char header[SDPS_ADDRESS_MAX + 100];
    char address[SDPS_ADDRESS_MAX + 2];

    memset(address, 'a', sizeof(address));
    address[SDPS_ADDRESS_MAX] = '\0';
    snprintf(header, sizeof(header), "Delivered-To: %s\n\n", address);
    check(header, "", address);
    snprintf(header, sizeof(header), "Delivered-To: a%s\n\n", address);
    check(header, "", "");
}

TEST(folded_and_spaced_fields_are_one_value)
{
    check("Delivered-To:\n\talice@h.example\n\n", "", "alice@h.example");
    check("delivered-to :alice@h.example  \n\n", "", "alice@h.example");
}

TEST(return_path_counts_as_on_top_only_there)
{
    CHECK(envelope_of("Return-Path: <a@b>\n\n").has_return_path);
    CHECK(envelope_of("RETURN-PATH: <>\n\n").has_return_path);
    CHECK(!envelope_of("A: b\nReturn-Path: <a@b>\n\n").has_return_path);
    CHECK(!envelope_of("A: b\n\n").has_return_path);
    CHECK(!envelope_of("").has_return_path);
}

static bool
is_for(const char *recipient, const char *requested)
{
    struct envelope envelope = { .sender = "" };

    snprintf(envelope.recipient, sizeof(envelope.recipient), "%s", recipient);
    return sdps_is_for(&envelope, requested, sdps_local_part(requested));
}

TEST(login_asks_for_one_local_part_or_for_all)
{
    CHECK_INT(sdps_local_part("host.example"), 0);
    CHECK_INT(sdps_local_part(""), 0);
    CHECK_INT(sdps_local_part("@host.example"), 0);
    CHECK_INT(sdps_local_part("alice@"), 0);
    CHECK_INT(sdps_local_part("alice@host.example"), 5);
    CHECK_INT(sdps_local_part("alice+host.example"), 5);
    CHECK_INT(sdps_local_part("a+b@host.example"), 3);
}

TEST(mail_is_for_whoever_the_envelope_names)
{
    CHECK(is_for("alice@host.example", "alice@host.example"));
    CHECK(is_for("Alice@elsewhere", "aLICE+host.example"));
    CHECK(is_for("alice", "alice@host.example"));
    CHECK(!is_for("alice2@host.example", "alice@host.example"));
    CHECK(!is_for("ali@host.example", "alice@host.example"));
    CHECK(!is_for("alice+tag@host.example", "alice@host.example"));
    CHECK(!is_for("", "alice@host.example"));
}

int
main(int argc, char **argv)
{
    static const struct check_test tests[] = {
        T(what_deliveries_write_is_read),
        T(what_stood_there_before_the_delivery_is_not_believed),
        T(odd_headers_give_no_address), T(address_that_is_cut_off_is_none),
        T(longest_address_is_taken_and_a_longer_one_is_not),
        T(folded_and_spaced_fields_are_one_value),
        T(return_path_counts_as_on_top_only_there),
        T(login_asks_for_one_local_part_or_for_all),
        T(mail_is_for_whoever_the_envelope_names),
    };

    return check_main(argc, argv, "kpopd_sdps", tests,
                      sizeof(tests) / sizeof(tests[0]));
}
