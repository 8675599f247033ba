/*
 * throttle.c - the table behind throttle.h.  A counter is one word: whose, how
 * many, when last.  Written by workers, who can do no worse with it than let
 * somebody wait or not.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/throttle.h"

#include <ctype.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

/* 128 Ki counters; pages that nobody touched cost nothing. */
enum { SETS = 16384, WAYS = 8, COUNT_MAX = 100, TICK_MS = 10 };

struct throttle {
    uint64_t seed[2]; /* so that nobody can choose whom he meets */
    _Atomic uint64_t words[SETS][WAYS];
};

/* A word: 24 bits of the name, never 0; known; 7 bits count; 32 bits time. */
struct counter {
    uint32_t tag; /* 0: the word is free */
    bool is_known;
    uint32_t count;
    uint32_t ticks; /* when last; goes round in 497 days */
};

static struct counter
unpack(uint64_t word)
{
    const struct counter counter = { (uint32_t)(word >> 40),
                                     (word >> 39 & 1) != 0,
                                     (uint32_t)(word >> 32 & 127),
                                     (uint32_t)word };

    return counter;
}

static uint64_t
pack(const struct counter *counter)
{
    return (uint64_t)counter->tag << 40 | (uint64_t)counter->is_known << 39
           | (uint64_t)counter->count << 32 | counter->ticks;
}

static uint32_t
ticks_of(uint64_t now)
{
    return (uint32_t)(now / TICK_MS);
}

static uint64_t
age_of(const struct counter *counter, uint64_t now)
{
    return (uint64_t)(ticks_of(now) - counter->ticks) * TICK_MS;
}

/* What time has left of it. */
static struct counter
aged(struct counter counter, uint64_t now)
{
    const uint64_t age = age_of(&counter, now);
    const uint64_t forgotten = age / THROTTLE_FORGET;

    counter.count = forgotten < counter.count
                        ? counter.count - (uint32_t)forgotten
                        : 0;
    if (age >= THROTTLE_KNOWN)
        counter.is_known = false;
    return counter;
}

struct throttle *
throttle_new(void)
{
    struct throttle *throttle =
        mmap(NULL, sizeof(*throttle), PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (throttle == MAP_FAILED)
        return NULL;
    if (getrandom(throttle->seed, sizeof(throttle->seed), 0)
        != sizeof(throttle->seed))
        throttle->seed[0] = (uint64_t)(uintptr_t)throttle;
    return throttle;
}

void
throttle_free(struct throttle *throttle)
{
    if (throttle != NULL)
        (void)munmap(throttle, sizeof(*throttle));
}

static uint64_t
mix(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

static uint64_t
name_of_bytes(const struct throttle *throttle, const void *data, size_t len)
{
    const unsigned char *at = data;
    uint64_t x = throttle->seed[0];

    /* Alice, who is alice to some directories, is so here. */
    for (; len > 0; at++, len--)
        x = mix(x ^ (unsigned char)tolower(*at)) ^ throttle->seed[1];
    return mix(x);
}

void
throttle_guess(const struct throttle *throttle, const struct address *peer,
               const struct claim *claim, struct throttle_guess *guess_out)
{
    const struct address client = address_client(peer);
    uint64_t halves[2];

    memcpy(halves, client.octets, sizeof(halves));
    guess_out->address =
        mix(mix(halves[0] ^ throttle->seed[1]) ^ halves[1]
            ^ throttle->seed[0]);
    guess_out->user = name_of_bytes(throttle, claim->name, claim->len);
    guess_out->both = mix(guess_out->address + mix(guess_out->user));
    guess_out->charged = 0;
}

static uint32_t
tag_of(uint64_t name)
{
    const uint32_t tag = (uint32_t)(name >> 40);

    return tag != 0 ? tag : 1;
}

/* Its counter of now; all zero when there is none. */
static struct counter
look(const struct throttle *throttle, uint64_t name, uint64_t now)
{
    const _Atomic uint64_t *set = throttle->words[name % SETS];
    struct counter counter = { 0, false, 0, 0 };
    size_t i;

    for (i = 0; i < WAYS; i++) {
        counter = unpack(atomic_load(&set[i]));
        if (counter.tag == tag_of(name))
            return aged(counter, now);
    }
    memset(&counter, 0, sizeof(counter));
    return counter;
}

/* What would be lost with it: a few failures, or somebody's own address. */
static uint64_t
worth(const struct counter *counter, uint64_t now)
{
    const struct counter left = aged(*counter, now);
    const uint64_t age = age_of(counter, now);
    uint64_t value = left.count;

    if (left.is_known && value < THROTTLE_FREE + 1)
        value = THROTTLE_FREE + 1;
    if (counter->tag == 0)
        return 0;
    /* The older of two like ones goes. */
    return (value + 1) << 48 | (UINT64_C(0xffffffffffff) - age);
}

/* Its place, or that of whoever can be missed most. */
static _Atomic uint64_t *
place_of(struct throttle *throttle, uint64_t name, uint64_t now,
         uint64_t *word_out)
{
    _Atomic uint64_t *set = throttle->words[name % SETS];
    uint64_t least = UINT64_MAX;
    size_t best = 0;
    size_t i;

    for (i = 0; i < WAYS; i++) {
        const uint64_t word = atomic_load(&set[i]);
        const struct counter counter = unpack(word);
        const uint64_t value = counter.tag == tag_of(name)
                                   ? 0
                                   : worth(&counter, now) + 1;

        if (value < least) {
            least = value;
            best = i;
            *word_out = word;
        }
    }
    return &set[best];
}

enum change { CHARGED, FAILED, UNDONE, SUCCEEDED };

static void
apply(struct counter *counter, enum change change)
{
    switch (change) {
    case CHARGED:
    case FAILED:
        counter->count += counter->count < COUNT_MAX;
        if (counter->count > THROTTLE_TRUST)
            counter->is_known = false;
        break;
    case UNDONE:
        counter->count -= counter->count > 0;
        break;
    case SUCCEEDED:
        counter->is_known = true;
        counter->count = 0;
        break;
    }
}

static uint64_t
remaining(const struct counter *counter, uint64_t age, uint64_t most)
{
    uint64_t delay = THROTTLE_FIRST;
    uint32_t i;

    if (counter->count < THROTTLE_FREE)
        return 0;
    for (i = THROTTLE_FREE; i < counter->count && delay < most; i++)
        delay *= 2;
    if (delay > most)
        delay = most;
    return age < delay ? delay - age : 0;
}

/* Milliseconds; not 0 only for CHARGED, when it was not counted. */
static uint64_t
count(struct throttle *throttle, uint64_t name, enum change change,
      uint64_t most, uint64_t now)
{
    struct counter counter;
    _Atomic uint64_t *place;
    uint64_t word = 0;
    uint64_t wait;
    int tries;

    for (tries = 0; tries < WAYS; tries++) {
        place = place_of(throttle, name, now, &word);
        counter = unpack(word);
        if (counter.tag == tag_of(name))
            counter = aged(counter, now);
        else
            memset(&counter, 0, sizeof(counter));
        wait = remaining(&counter, age_of(&counter, now), most);
        if (change == CHARGED && wait > 0)
            return wait;
        counter.tag = tag_of(name);
        counter.ticks = ticks_of(now);
        apply(&counter, change);
        if (atomic_compare_exchange_strong(place, &word, pack(&counter)))
            return 0;
    }
    return change == CHARGED ? TICK_MS : 0;
}

static uint64_t
wait_of(const struct throttle *throttle, uint64_t name, uint64_t most,
        uint64_t now)
{
    const struct counter counter = look(throttle, name, now);

    return remaining(&counter, age_of(&counter, now), most);
}

uint64_t
throttle_wait(const struct throttle *throttle,
              const struct throttle_guess *guess, uint64_t most, uint64_t now)
{
    uint64_t address;
    uint64_t user;

    if (look(throttle, guess->both, now).is_known)
        return wait_of(throttle, guess->both, most, now);
    address = wait_of(throttle, guess->address, most, now);
    user = wait_of(throttle, guess->user, most, now);
    return address > user ? address : user;
}

uint64_t
throttle_charge(struct throttle *throttle, struct throttle_guess *guess,
                uint64_t most, uint64_t now)
{
    const bool known = look(throttle, guess->both, now).is_known;
    const uint64_t name = known ? guess->both : guess->user;
    uint64_t wait = known ? 0 : wait_of(throttle, guess->address, most, now);

    if (wait == 0)
        wait = count(throttle, name, CHARGED, most, now);
    guess->charged = wait == 0 ? name : 0;
    return wait;
}

void
throttle_refund(struct throttle *throttle, struct throttle_guess *guess,
                uint64_t now)
{
    if (guess->charged != 0)
        (void)count(throttle, guess->charged, UNDONE, 0, now);
    guess->charged = 0;
}

/* For the user it was counted when it was charged. */
void
throttle_failed(struct throttle *throttle, struct throttle_guess *guess,
                uint64_t now)
{
    (void)count(throttle, guess->address, FAILED, 0, now);
    if (guess->charged == guess->both)
        (void)count(throttle, guess->user, FAILED, 0, now);
    guess->charged = 0;
}

void
throttle_succeeded(struct throttle *throttle, struct throttle_guess *guess,
                   uint64_t now)
{
    throttle_refund(throttle, guess, now);
    (void)count(throttle, guess->both, SUCCEEDED, 0, now);
}
