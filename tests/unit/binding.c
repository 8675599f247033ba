/*
 * binding.c - tests of GSSAPI's channel bindings.  The sums were made by
 * Python's hashlib of what RFC 4121 section 4.1.1.2 says.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/binding.h"

#include <string.h>

#include "tests/lib/check.h"

static const uint8_t unique[12] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
static const uint8_t unique_sum[] = {
    0x7e, 0x53, 0x49, 0xb5, 0x69, 0x51, 0x38, 0x95,
    0x7c, 0xdd, 0x92, 0xd9, 0x9e, 0x2e, 0x11, 0xea
};
static const uint8_t end_point_sum[] = {
    0x84, 0xda, 0x20, 0x4c, 0xa3, 0x27, 0x8f, 0xa1,
    0x1c, 0xdc, 0x1b, 0x68, 0xc5, 0x8e, 0x9e, 0x30
};

/* As libsasl2 counts it. */
static const uint8_t bare_sum[] = {
    0xe1, 0xf0, 0x10, 0xdf, 0xbb, 0xc5, 0x88, 0x56,
    0x73, 0x6c, 0x2a, 0x2b, 0xb9, 0xd7, 0xd9, 0xe1
};

/* A TLS connection whose channel has both names. */
static struct mech_peer
inside_tls(void)
{
    static uint8_t end_point[32];
    struct mech_peer peer = { .has_tls = true };

    memset(end_point, 0xe0, sizeof(end_point));
    peer.bindings[0] = (struct mech_binding){ "tls-unique", unique,
                                              sizeof(unique) };
    peer.bindings[1] = (struct mech_binding){ "tls-server-end-point",
                                              end_point, sizeof(end_point) };
    return peer;
}

TEST(g8_each_name_of_the_channel_is_taken)
{
    const struct mech_peer peer = inside_tls();

    CHECK(binding_problem(&peer, unique_sum) == NULL);
    CHECK(binding_problem(&peer, end_point_sum) == NULL);
}

TEST(g8_names_without_a_type_are_taken)
{
    const struct mech_peer peer = inside_tls();

    CHECK(binding_problem(&peer, bare_sum) == NULL);
}

TEST(g8_finished_message_is_taken_but_names_nothing_else)
{
    struct mech_peer peer = { .has_tls = true };

    peer.finished = (struct mech_binding){ "tls-unique", unique,
                                           sizeof(unique) };
    CHECK(binding_problem(&peer, bare_sum) == NULL);
    CHECK(binding_problem(&peer, unique_sum) == NULL);
    CHECK(binding_problem(&peer, end_point_sum) != NULL);
}

TEST(g8_no_binding_is_taken_everywhere)
{
    static const uint8_t none[BINDING_OCTETS];
    const struct mech_peer peer = inside_tls();
    const struct mech_peer clear = { .has_tls = false };

    CHECK(binding_problem(&peer, none) == NULL);
    CHECK(binding_problem(&clear, none) == NULL);
}

TEST(g8_another_channel_is_refused)
{
    const struct mech_peer peer = inside_tls();
    uint8_t bound[BINDING_OCTETS];

    for (size_t i = 0; i < sizeof(bound); i++) {
        memcpy(bound, unique_sum, sizeof(bound));
        bound[i] ^= 1;
        CHECK(strstr(binding_problem(&peer, bound), "another TLS channel")
              != NULL);
    }
}

TEST(g8_a_name_that_the_channel_lacks_is_refused)
{
    struct mech_peer peer = inside_tls();

    peer.bindings[0].size = 0;
    CHECK(binding_problem(&peer, unique_sum) != NULL);
    CHECK(binding_problem(&peer, end_point_sum) == NULL);
}

TEST(g8_a_bound_ticket_without_tls_is_refused)
{
    struct mech_peer peer = { .has_tls = false };

    CHECK(strstr(binding_problem(&peer, unique_sum), "without TLS") != NULL);
    /* TLS of a host that does not name the channel: nothing to compare. */
    peer.has_tls = true;
    CHECK(binding_problem(&peer, unique_sum) == NULL);
}

TEST_MAIN("binding",
          T(g8_each_name_of_the_channel_is_taken),
          T(g8_names_without_a_type_are_taken),
          T(g8_finished_message_is_taken_but_names_nothing_else),
          T(g8_no_binding_is_taken_everywhere),
          T(g8_another_channel_is_refused),
          T(g8_a_name_that_the_channel_lacks_is_refused),
          T(g8_a_bound_ticket_without_tls_is_refused))
