/*
 * kpopd_limits.c - who may connect when it is full, and who goes.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/kpopd/limits.h"

#include <stdio.h>

#include "tests/lib/check.h"

static int owner;

static struct address
from(const char *text)
{
    struct address address;

    CHECK(address_parse(text, &address));
    return address;
}

static enum limits_verdict
admit(struct limits *limits, uint64_t id, const char *text,
      uint64_t *victim_out)
{
    struct address address = from(text);
    struct limits_victim victim = { 0, NULL };
    enum limits_verdict verdict = limits_admit(limits, id, &address, &victim);

    if (verdict != LIMITS_REFUSE)
        limits_set_owner(limits, id, &owner);
    *victim_out = victim.id;
    return verdict;
}

TEST(oldest_unauthenticated_goes_first_when_they_are_too_many)
{
    struct limits_config config = { 100, 100, 3, NULL, 0 };
    struct limits *limits = limits_new(&config);
    uint64_t victim;
    uint64_t id;

    for (id = 1; id <= 3; id++)
        CHECK_INT(admit(limits, id, "192.0.2.1", &victim), LIMITS_ADMIT);
    limits_logged_in(limits, 1, &owner);
    CHECK_INT(limits_unauthenticated(limits), 2);
    CHECK_INT(admit(limits, 4, "192.0.2.2", &victim), LIMITS_ADMIT);
    CHECK_INT(admit(limits, 5, "192.0.2.3", &victim), LIMITS_EVICT);
    CHECK_INT(victim, 2);
    CHECK_INT(limits_total(limits), 4);
    CHECK_INT(limits_unauthenticated(limits), 3);
    limits_free(limits);
}

TEST(new_one_is_refused_when_all_are_logged_in)
{
    struct limits_config config = { 2, 100, 100, NULL, 0 };
    struct limits *limits = limits_new(&config);
    uint64_t victim;

    CHECK_INT(admit(limits, 1, "192.0.2.1", &victim), LIMITS_ADMIT);
    CHECK_INT(admit(limits, 2, "192.0.2.2", &victim), LIMITS_ADMIT);
    limits_logged_in(limits, 1, &owner);
    limits_logged_in(limits, 2, &owner);
    CHECK_INT(admit(limits, 3, "192.0.2.3", &victim), LIMITS_REFUSE);
    limits_remove(limits, 1, &owner);
    CHECK_INT(admit(limits, 4, "192.0.2.3", &victim), LIMITS_ADMIT);
    limits_free(limits);
}

TEST(full_address_loses_its_own_oldest_not_somebody_elses)
{
    struct limits_config config = { 100, 2, 100, NULL, 0 };
    struct limits *limits = limits_new(&config);
    uint64_t victim;

    CHECK_INT(admit(limits, 1, "192.0.2.9", &victim), LIMITS_ADMIT);
    CHECK_INT(admit(limits, 2, "192.0.2.1", &victim), LIMITS_ADMIT);
    CHECK_INT(admit(limits, 3, "192.0.2.1", &victim), LIMITS_ADMIT);
    CHECK_INT(admit(limits, 4, "192.0.2.1", &victim), LIMITS_EVICT);
    CHECK_INT(victim, 2);
    limits_logged_in(limits, 3, &owner);
    limits_logged_in(limits, 4, &owner);
    CHECK_INT(admit(limits, 5, "192.0.2.1", &victim), LIMITS_REFUSE);
    CHECK_INT(admit(limits, 6, "192.0.2.2", &victim), LIMITS_ADMIT);
    limits_free(limits);
}

TEST(trusted_network_has_no_limit_per_address)
{
    struct network trusted;
    struct limits_config config = { 100, 1, 100, &trusted, 1 };
    struct limits *limits;
    uint64_t victim;

    CHECK(network_parse("10.0.0.0/8", &trusted));
    limits = limits_new(&config);
    CHECK_INT(admit(limits, 1, "10.1.2.3", &victim), LIMITS_ADMIT);
    CHECK_INT(admit(limits, 2, "10.1.2.3", &victim), LIMITS_ADMIT);
    CHECK_INT(admit(limits, 3, "11.1.2.3", &victim), LIMITS_ADMIT);
    limits_logged_in(limits, 3, &owner);
    CHECK_INT(admit(limits, 4, "11.1.2.3", &victim), LIMITS_REFUSE);
    limits_free(limits);
}

TEST(ipv6_is_counted_by_its_64_bit_network)
{
    struct limits_config config = { 100, 1, 100, NULL, 0 };
    struct limits *limits = limits_new(&config);
    uint64_t victim;

    CHECK_INT(admit(limits, 1, "2001:db8:1:1::1", &victim), LIMITS_ADMIT);
    CHECK_INT(admit(limits, 2, "2001:db8:1:1:f::2", &victim), LIMITS_EVICT);
    CHECK_INT(victim, 1);
    CHECK_INT(admit(limits, 3, "2001:db8:1:2::1", &victim), LIMITS_ADMIT);
    limits_free(limits);
}

TEST(mapped_and_plain_ipv4_are_one_client)
{
    struct limits_config config = { 100, 1, 100, NULL, 0 };
    struct limits *limits = limits_new(&config);
    uint64_t victim;

    CHECK_INT(admit(limits, 1, "192.0.2.1", &victim), LIMITS_ADMIT);
    CHECK_INT(admit(limits, 2, "::ffff:192.0.2.1", &victim), LIMITS_EVICT);
    CHECK_INT(admit(limits, 3, "192.0.2.2", &victim), LIMITS_ADMIT);
    limits_free(limits);
}

TEST(victim_that_logged_in_meanwhile_counts_again)
{
    struct limits_config config = { 100, 100, 1, NULL, 0 };
    struct limits *limits = limits_new(&config);
    uint64_t victim;

    CHECK_INT(admit(limits, 1, "192.0.2.1", &victim), LIMITS_ADMIT);
    CHECK_INT(admit(limits, 2, "192.0.2.2", &victim), LIMITS_EVICT);
    CHECK_INT(limits_total(limits), 1);
    limits_logged_in(limits, 1, &owner);
    CHECK_INT(limits_total(limits), 2);
    limits_remove(limits, 1, &owner);
    CHECK_INT(limits_total(limits), 1);
    limits_free(limits);
}

TEST(worker_cannot_report_for_sessions_of_another)
{
    struct limits_config config = { 100, 100, 100, NULL, 0 };
    struct limits *limits = limits_new(&config);
    uint64_t victim;
    int other = 0;

    CHECK_INT(admit(limits, 1, "192.0.2.1", &victim), LIMITS_ADMIT);
    limits_logged_in(limits, 1, &other);
    limits_remove(limits, 1, &other);
    CHECK_INT(limits_unauthenticated(limits), 1);
    limits_remove(limits, 77, &owner);
    CHECK_INT(limits_total(limits), 1);
    limits_free(limits);
}

TEST(sessions_of_a_dead_worker_are_forgotten)
{
    struct limits_config config = { 10000, 10000, 10000, NULL, 0 };
    struct limits *limits = limits_new(&config);
    uint64_t victim;
    uint64_t id;
    char text[32];

    for (id = 1; id <= 6000; id++) {
        snprintf(text, sizeof(text), "10.%d.%d.1", (int)(id / 250),
                 (int)(id % 250));
        CHECK_INT(admit(limits, id, text, &victim), LIMITS_ADMIT);
        if (id % 3 == 0)
            limits_logged_in(limits, id, &owner);
    }
    limits_remove_owner(limits, &owner);
    CHECK_INT(limits_total(limits), 0);
    CHECK_INT(limits_unauthenticated(limits), 0);
    limits_free(limits);
}

static enum limits_verdict
admit_proxied(struct limits *limits, uint64_t id, uint64_t *victim_out)
{
    struct limits_victim victim = { 0, NULL };
    enum limits_verdict verdict = limits_admit_proxied(limits, id, &victim);

    if (verdict != LIMITS_REFUSE)
        limits_set_owner(limits, id, &owner);
    *victim_out = victim.id;
    return verdict;
}

static enum limits_verdict
move(struct limits *limits, uint64_t id, const char *text,
     uint64_t *victim_out)
{
    struct address address = from(text);
    struct limits_victim victim = { 0, NULL };
    enum limits_verdict verdict;

    verdict = limits_move(limits, id, &owner, &address, &victim);
    *victim_out = victim.id;
    return verdict;
}

TEST(clients_behind_a_proxy_count_by_their_own_address)
{
    struct limits_config config = { 100, 2, 100, NULL, 0 };
    struct limits *limits = limits_new(&config);
    uint64_t victim;
    uint64_t id;

    CHECK_INT(admit(limits, 1, "192.0.2.1", &victim), LIMITS_ADMIT);
    for (id = 2; id <= 9; id++)
        CHECK_INT(admit_proxied(limits, id, &victim), LIMITS_ADMIT);
    CHECK_INT(limits_total(limits), 9);
    CHECK_INT(limits_unauthenticated(limits), 9);
    CHECK_INT(move(limits, 2, "192.0.2.1", &victim), LIMITS_ADMIT);
    CHECK_INT(move(limits, 3, "192.0.2.1", &victim), LIMITS_EVICT);
    CHECK_INT(victim, 1);
    CHECK_INT(move(limits, 4, "192.0.2.2", &victim), LIMITS_ADMIT);
    CHECK_INT(limits_total(limits), 8);
    limits_logged_in(limits, 2, &owner);
    limits_logged_in(limits, 3, &owner);
    CHECK_INT(move(limits, 5, "192.0.2.1", &victim), LIMITS_REFUSE);
    /* Its worker closes it now. */
    limits_remove(limits, 5, &owner);
    CHECK_INT(limits_total(limits), 7);
    limits_free(limits);
}

TEST(silent_clients_of_a_proxy_go_first_when_they_are_too_many)
{
    struct limits_config config = { 100, 100, 2, NULL, 0 };
    struct limits *limits = limits_new(&config);
    uint64_t victim;

    CHECK_INT(admit_proxied(limits, 1, &victim), LIMITS_ADMIT);
    CHECK_INT(admit_proxied(limits, 2, &victim), LIMITS_ADMIT);
    CHECK_INT(move(limits, 1, "192.0.2.1", &victim), LIMITS_ADMIT);
    CHECK_INT(admit_proxied(limits, 3, &victim), LIMITS_EVICT);
    CHECK_INT(victim, 1); /* the oldest, wherever it was counted */
    CHECK_INT(admit(limits, 4, "192.0.2.2", &victim), LIMITS_EVICT);
    CHECK_INT(victim, 2);
    /* Told to go, it needs no verdict that costs another one his place. */
    CHECK_INT(move(limits, 2, "192.0.2.2", &victim), LIMITS_REFUSE);
    CHECK_INT(victim, 0);
    limits_free(limits);
}

TEST(only_a_proxys_connection_moves_once_and_by_its_worker)
{
    struct limits_config config = { 100, 100, 100, NULL, 0 };
    struct limits *limits = limits_new(&config);
    struct address address = from("192.0.2.1");
    struct limits_victim stranger;
    uint64_t victim;
    int other;

    CHECK_INT(admit(limits, 1, "192.0.2.1", &victim), LIMITS_ADMIT);
    CHECK_INT(move(limits, 1, "192.0.2.2", &victim), LIMITS_REFUSE);
    CHECK_INT(admit_proxied(limits, 2, &victim), LIMITS_ADMIT);
    CHECK_INT(limits_move(limits, 2, &other, &address, &stranger),
              LIMITS_REFUSE);
    CHECK_INT(move(limits, 2, "192.0.2.2", &victim), LIMITS_ADMIT);
    CHECK_INT(move(limits, 2, "192.0.2.3", &victim), LIMITS_REFUSE);
    CHECK_INT(move(limits, 3, "192.0.2.3", &victim), LIMITS_REFUSE);
    limits_free(limits);
}

TEST(networks_are_parsed_strictly)
{
    struct network network;
    struct address address = from("10.9.8.7");

    CHECK(network_parse("10.0.0.0/8", &network));
    CHECK(network_holds(&network, &address));
    CHECK(network_parse("10.9.8.6/31", &network));
    CHECK(network_holds(&network, &address));
    CHECK(network_parse("10.9.8.7", &network));
    CHECK(network_holds(&network, &address));
    CHECK(network_parse("0.0.0.0/0", &network));
    CHECK(network_holds(&network, &address));
    CHECK(network_parse("2001:db8::/32", &network));
    CHECK(!network_holds(&network, &address));
    CHECK(!network_parse("10.0.0.0/33", &network));
    CHECK(!network_parse("2001:db8::/129", &network));
    CHECK(!network_parse("10.0.0.0/", &network));
    CHECK(!network_parse("10.0.0.0/8x", &network));
    CHECK(!network_parse("10.0.0.0/-1", &network));
    CHECK(!network_parse("example.org", &network));
    CHECK(!network_parse("", &network));
}

TEST_MAIN("kpopd_limits",
          T(oldest_unauthenticated_goes_first_when_they_are_too_many),
          T(new_one_is_refused_when_all_are_logged_in),
          T(full_address_loses_its_own_oldest_not_somebody_elses),
          T(trusted_network_has_no_limit_per_address),
          T(ipv6_is_counted_by_its_64_bit_network),
          T(mapped_and_plain_ipv4_are_one_client),
          T(victim_that_logged_in_meanwhile_counts_again),
          T(worker_cannot_report_for_sessions_of_another),
          T(sessions_of_a_dead_worker_are_forgotten),
          T(clients_behind_a_proxy_count_by_their_own_address),
          T(silent_clients_of_a_proxy_go_first_when_they_are_too_many),
          T(only_a_proxys_connection_moves_once_and_by_its_worker),
          T(networks_are_parsed_strictly))
