/*
 * kpopd_throttle.c - who waits how long after which failures, and whose names
 * are read off messages.  The clock is ours.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/throttle.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/check.h"

enum { MOST = 16000 };

static const uint64_t START = 1000000;

static struct throttle_guess
guess(const struct throttle *throttle, const char *peer, const char *user)
{
    const struct claim claim = { user, strlen(user) };
    struct throttle_guess guess;
    struct address address;

    CHECK(address_parse(peer, &address));
    throttle_guess(throttle, &address, &claim, &guess);
    return guess;
}

static uint64_t
wait_of(const struct throttle *throttle, const char *peer, const char *user,
        uint64_t now)
{
    const struct throttle_guess g = guess(throttle, peer, user);

    return throttle_wait(throttle, &g, MOST, now);
}

/* Without waiting. */
static void
charge(struct throttle *throttle, struct throttle_guess *g, uint64_t now)
{
    CHECK_INT(throttle_charge(throttle, g, 0, now), 0);
}

static void
fail(struct throttle *throttle, const char *peer, const char *user,
     uint64_t now)
{
    struct throttle_guess g = guess(throttle, peer, user);

    charge(throttle, &g, now);
    throttle_failed(throttle, &g, now);
}

static void
succeed(struct throttle *throttle, const char *peer, const char *user,
        uint64_t now)
{
    struct throttle_guess g = guess(throttle, peer, user);

    charge(throttle, &g, now);
    throttle_succeeded(throttle, &g, now);
}

TEST(delay_grows_to_its_maximum)
{
    static const uint64_t delays[] = { 0, 1000, 2000, 4000, 8000,
                                       16000, 16000 };
    struct throttle *t = throttle_new();
    size_t i;

    CHECK_INT(wait_of(t, "192.0.2.1", "alice", START), 0);
    for (i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
        fail(t, "192.0.2.1", "alice", START);
        CHECK_INT(wait_of(t, "192.0.2.1", "alice", START), delays[i]);
    }
    for (i = 0; i < 1000; i++)
        fail(t, "192.0.2.1", "alice", START);
    CHECK_INT(wait_of(t, "192.0.2.1", "alice", START), MOST);
    throttle_free(t);
}

TEST(delay_runs_from_the_last_failure)
{
    struct throttle *t = throttle_new();

    fail(t, "192.0.2.1", "alice", START);
    fail(t, "192.0.2.1", "alice", START);
    CHECK_INT(wait_of(t, "192.0.2.1", "alice", START + 600), 400);
    CHECK_INT(wait_of(t, "192.0.2.1", "alice", START + 1000), 0);
    throttle_free(t);
}

TEST(address_counts_whatever_the_user_and_user_whatever_the_address)
{
    struct throttle *t = throttle_new();
    char text[64];
    int i;

    for (i = 0; i < 6; i++) {
        (void)snprintf(text, sizeof(text), "user%d", i);
        fail(t, "192.0.2.1", text, START);
    }
    CHECK_INT(wait_of(t, "192.0.2.1", "nobody", START), MOST);
    CHECK_INT(wait_of(t, "192.0.2.2", "nobody", START), 0);
    for (i = 0; i < 6; i++) {
        (void)snprintf(text, sizeof(text), "198.51.100.%d", i);
        fail(t, text, "victim", START);
    }
    CHECK_INT(wait_of(t, "203.0.113.1", "victim", START), MOST);
    CHECK_INT(wait_of(t, "203.0.113.1", "Victim", START), MOST);
    CHECK_INT(wait_of(t, "203.0.113.1", "other", START), 0);
    throttle_free(t);
}

/* Whoever is judged counts before the answer is there. */
TEST(guesses_at_the_same_time_count_for_each_other)
{
    struct throttle *t = throttle_new();
    struct throttle_guess g[3];
    char peer[64];

    for (unsigned i = 0; i < 3; i++) {
        (void)snprintf(peer, sizeof(peer), "192.0.2.%u", i + 1);
        g[i] = guess(t, peer, "alice");
        CHECK_INT(throttle_charge(t, &g[i], MOST, START), i < 2 ? 0 : 1000);
    }
    throttle_refund(t, &g[0], START);
    CHECK_INT(throttle_wait(t, &g[2], MOST, START), 0);
    throttle_refund(t, &g[0], START);
    CHECK_INT(throttle_charge(t, &g[2], MOST, START), 0);
    throttle_failed(t, &g[2], START);
    CHECK_INT(wait_of(t, "192.0.2.9", "alice", START), 1000);
    /* It was counted once, and its address only now. */
    CHECK_INT(wait_of(t, "192.0.2.3", "bob", START), 0);
    throttle_succeeded(t, &g[1], START);
    CHECK_INT(wait_of(t, "192.0.2.9", "alice", START), 0);
    throttle_free(t);
}

struct racer {
    struct throttle *throttle;
    pthread_barrier_t *barrier;
    struct throttle_guess guess;
    atomic_int *passed;
};

static void *
race(void *arg)
{
    struct racer *racer = arg;

    pthread_barrier_wait(racer->barrier);
    if (throttle_charge(racer->throttle, &racer->guess, MOST, START) == 0)
        atomic_fetch_add(racer->passed, 1);
    return NULL;
}

/* As workers do that were woken by the same clock. */
TEST(guesses_at_the_same_time_pass_two_at_most)
{
    enum { RACERS = 4, ROUNDS = 500 };
    struct throttle *t = throttle_new();
    pthread_barrier_t barrier;

    pthread_barrier_init(&barrier, NULL, RACERS);
    for (int round = 0; round < ROUNDS; round++) {
        struct racer racers[RACERS];
        pthread_t threads[RACERS];
        atomic_int passed = 0;
        char user[32];

        (void)snprintf(user, sizeof(user), "user%d", round);
        for (int i = 0; i < RACERS; i++) {
            racers[i] = (struct racer){ t, &barrier,
                                        guess(t, "192.0.2.1", user),
                                        &passed };
            CHECK_INT(pthread_create(&threads[i], NULL, race, &racers[i]),
                      0);
        }
        for (int i = 0; i < RACERS; i++)
            pthread_join(threads[i], NULL);
        CHECK_INT(atomic_load(&passed), THROTTLE_FREE);
    }
    pthread_barrier_destroy(&barrier);
    throttle_free(t);
}

TEST(address_of_ones_own_is_lost_by_many_failures)
{
    struct throttle *t = throttle_new();

    succeed(t, "192.0.2.1", "alice", START);
    for (int i = 0; i < 6; i++)
        fail(t, "198.51.100.1", "alice", START);
    CHECK_INT(wait_of(t, "192.0.2.1", "alice", START), 0);
    for (int i = 0; i < THROTTLE_TRUST; i++)
        fail(t, "192.0.2.1", "alice", START);
    CHECK_INT(wait_of(t, "192.0.2.1", "alice", START), MOST);
    fail(t, "192.0.2.1", "alice", START);
    /* From here on the counters of address and user hold for it. */
    CHECK_INT(wait_of(t, "192.0.2.1", "alice", START + MOST - 10), 10);
    CHECK_INT(wait_of(t, "192.0.2.1", "bob", START), MOST);
    throttle_free(t);
}

TEST(ipv6_counts_by_64_bits)
{
    struct throttle *t = throttle_new();
    char text[64];
    int i;

    for (i = 1; i < 7; i++) {
        (void)snprintf(text, sizeof(text), "2001:db8::%d", i);
        fail(t, text, "x", START);
    }
    CHECK_INT(wait_of(t, "2001:db8::ffff", "other", START), MOST);
    CHECK_INT(wait_of(t, "2001:db8:0:1::1", "other", START), 0);
    throttle_free(t);
}

TEST(failures_are_forgotten_one_a_minute)
{
    struct throttle *t = throttle_new();
    int i;

    for (i = 0; i < 3; i++)
        fail(t, "192.0.2.1", "alice", START);
    fail(t, "192.0.2.1", "alice", START + 2 * THROTTLE_FORGET);
    /* Of four one is left, and the last. */
    CHECK_INT(wait_of(t, "192.0.2.1", "alice", START + 2 * THROTTLE_FORGET),
              1000);
    CHECK_INT(wait_of(t, "192.0.2.1", "alice", START + 9 * THROTTLE_FORGET),
              0);
    throttle_free(t);
}

TEST(success_forgives_nothing_but_makes_the_address_ones_own)
{
    struct throttle *t = throttle_new();
    int i;

    /* mallory has an account and guesses others by turns with it. */
    for (i = 0; i < 6; i++) {
        fail(t, "192.0.2.1", "alice", START);
        succeed(t, "192.0.2.1", "mallory", START);
    }
    CHECK_INT(wait_of(t, "192.0.2.1", "alice", START), MOST);
    CHECK_INT(wait_of(t, "192.0.2.1", "bob", START), MOST);
    CHECK_INT(wait_of(t, "192.0.2.1", "mallory", START), 0);
    throttle_free(t);
}

TEST(user_is_not_kept_out_of_an_address_of_his_own)
{
    struct throttle *t = throttle_new();
    char text[64];
    int i;

    succeed(t, "203.0.113.1", "alice", START);
    for (i = 0; i < 200; i++) {
        (void)snprintf(text, sizeof(text), "198.51.100.%d", i);
        fail(t, text, "alice", START);
        fail(t, "203.0.113.1", "bob", START);
    }
    CHECK_INT(wait_of(t, "203.0.113.1", "alice", START), 0);
    /* There his own failures count. */
    for (i = 0; i < 6; i++)
        fail(t, "203.0.113.1", "alice", START);
    CHECK_INT(wait_of(t, "203.0.113.1", "alice", START), MOST);
    CHECK_INT(wait_of(t, "203.0.113.1", "alice", START + THROTTLE_KNOWN), 0);
    throttle_free(t);
}

TEST(flood_of_names_does_not_make_one_forget_the_guessed)
{
    struct throttle *t = throttle_new();
    char text[64];
    int i;

    for (i = 0; i < 8; i++)
        fail(t, "192.0.2.1", "victim", START);
    succeed(t, "203.0.113.1", "alice", START);
    for (i = 0; i < 400000; i++) {
        (void)snprintf(text, sizeof(text), "flood%d", i);
        fail(t, "198.51.100.1", text, START + 1);
    }
    CHECK_INT(wait_of(t, "203.0.113.9", "victim", START), MOST);
    CHECK_INT(wait_of(t, "192.0.2.1", "other", START), MOST);
    throttle_free(t);
}

static void
check_claim(const char *mechanism, const char *data, size_t size,
            const char *want)
{
    struct claim claim = { NULL, 0 };
    bool found = claim_find(claim_form(mechanism), data, size, &claim);

    CHECK_INT(found, want != NULL);
    if (want != NULL)
        CHECK_MEM(claim.name, claim.len, want, strlen(want));
}

#define CLAIM(mechanism, data, want)                                        \
    check_claim(mechanism, data, sizeof(data) - 1, want)

TEST(name_is_read_off_each_mechanisms_message)
{
    CLAIM("PLAIN", "\0alice\0secret", "alice");
    CLAIM("PLAIN", "bob\0alice\0secret", "alice");
    CLAIM("PLAIN", "\0\0secret", NULL);
    CLAIM("PLAIN", "alice", NULL);
    CLAIM("PLAIN", "", NULL);
    CLAIM("CRAM-MD5", "two words b913a602", "two words");
    CLAIM("CRAM-MD5", " b913a602", NULL);
    CLAIM("CRAM-MD5", "b913a602", NULL);
    CLAIM("APOP", "<1.2@h> alice c4c9", "alice");
    CLAIM("APOP", "<1.2@h> alice", NULL);
    CLAIM("APOP", "<1.2@h>", NULL);
    CLAIM("SCRAM-SHA-256", "n,,n=alice,r=abc", "alice");
    CLAIM("SCRAM-SHA-1", "y,a=bob,n=alice,r=abc", "alice");
    CLAIM("SCRAM-SHA-512", "n,,m=x,n=alice,r=abc", NULL);
    CLAIM("SCRAM-SHA-256", "n,", NULL);
    CLAIM("SCRAM-SHA-256", "n,,n=alice", NULL);
    CLAIM("GSSAPI", "\0alice\0secret", NULL);
    CLAIM("KPOP", "\0alice\0secret", NULL);
}

TEST_MAIN("kpopd_throttle",
          T(delay_grows_to_its_maximum),
          T(delay_runs_from_the_last_failure),
          T(address_counts_whatever_the_user_and_user_whatever_the_address),
          T(guesses_at_the_same_time_count_for_each_other),
          T(guesses_at_the_same_time_pass_two_at_most),
          T(address_of_ones_own_is_lost_by_many_failures),
          T(ipv6_counts_by_64_bits),
          T(failures_are_forgotten_one_a_minute),
          T(success_forgives_nothing_but_makes_the_address_ones_own),
          T(user_is_not_kept_out_of_an_address_of_his_own),
          T(flood_of_names_does_not_make_one_forget_the_guessed),
          T(name_is_read_off_each_mechanisms_message))
