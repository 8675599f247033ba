/*
 * limits.c - the tables behind limits.h: connections by id, clients by
 * address, and the order of arrival of those before their login.  Pure
 * bookkeeping: it closes nothing and sends nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/limits.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { BUCKETS = 4096 }; /* chains of 2 or 3 at the default 10 000 */

struct entry;

/* A place in a queue of waiting connections. */
struct link {
    struct entry *prev;
    struct entry *next;
};

struct queue {
    struct entry *first;
    struct entry *last;
};

enum which { ALL, CLIENT, WHICH_COUNT };

struct client {
    struct client *next; /* in its bucket */
    struct address address;
    uint32_t count;         /* connections that count */
    uint32_t entries;       /* connections that point here */
    struct queue waiting;   /* before their login, oldest first */
};

struct entry {
    struct entry *next; /* in its bucket */
    uint64_t id;
    void *owner;
    struct client *client;
    struct link link[WHICH_COUNT];
    bool counted;       /* false: it was told to go */
    bool authenticated;
};

struct limits {
    struct limits_config config;
    uint64_t seed; /* so that nobody can choose the buckets */
    size_t total;
    size_t unauthenticated;
    struct queue waiting;
    struct client proxied; /* those whose address is not known yet */
    struct entry *entries[BUCKETS];
    struct client *clients[BUCKETS];
};

struct limits *
limits_new(const struct limits_config *config)
{
    struct limits *limits = calloc(1, sizeof(*limits));

    if (limits == NULL)
        return NULL;
    limits->config = *config;
    if (getrandom(&limits->seed, sizeof(limits->seed), 0) < 0)
        limits->seed = (uint64_t)(uintptr_t)limits;
    return limits;
}

void
limits_configure(struct limits *limits, const struct limits_config *config)
{
    limits->config = *config;
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

static size_t
bucket_of_address(const struct limits *limits, const struct address *address)
{
    uint64_t halves[2];

    memcpy(halves, address->octets, sizeof(halves));
    return mix(mix(halves[0] ^ limits->seed) ^ halves[1]) % BUCKETS;
}

static struct queue *
queue_of(struct limits *limits, struct entry *entry, enum which which)
{
    return which == ALL ? &limits->waiting : &entry->client->waiting;
}

static void
queue_add(struct limits *limits, struct entry *entry, enum which which)
{
    struct queue *queue = queue_of(limits, entry, which);

    entry->link[which].prev = queue->last;
    entry->link[which].next = NULL;
    if (queue->last != NULL)
        queue->last->link[which].next = entry;
    else
        queue->first = entry;
    queue->last = entry;
}

static void
queue_remove(struct limits *limits, struct entry *entry, enum which which)
{
    struct queue *queue = queue_of(limits, entry, which);
    struct link *link = &entry->link[which];

    if (link->prev != NULL)
        link->prev->link[which].next = link->next;
    else
        queue->first = link->next;
    if (link->next != NULL)
        link->next->link[which].prev = link->prev;
    else
        queue->last = link->prev;
}

static void
count(struct limits *limits, struct entry *entry)
{
    entry->counted = true;
    limits->total++;
    entry->client->count++;
    if (entry->authenticated)
        return;
    limits->unauthenticated++;
    queue_add(limits, entry, ALL);
    queue_add(limits, entry, CLIENT);
}

static void
uncount(struct limits *limits, struct entry *entry)
{
    if (!entry->counted)
        return;
    entry->counted = false;
    limits->total--;
    entry->client->count--;
    if (entry->authenticated)
        return;
    limits->unauthenticated--;
    queue_remove(limits, entry, ALL);
    queue_remove(limits, entry, CLIENT);
}

static struct entry **
find(struct limits *limits, uint64_t id)
{
    struct entry **at = &limits->entries[id % BUCKETS];

    while (*at != NULL && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

static struct client *
get_client(struct limits *limits, const struct address *address)
{
    struct client **bucket =
        &limits->clients[bucket_of_address(limits, address)];
    struct client *client;

    for (client = *bucket; client != NULL; client = client->next)
        if (memcmp(&client->address, address, sizeof(*address)) == 0)
            return client;
    client = calloc(1, sizeof(*client));
    if (client == NULL)
        return NULL;
    client->address = *address;
    client->next = *bucket;
    *bucket = client;
    return client;
}

static void
put_client(struct limits *limits, struct client *client)
{
    struct client **at =
        &limits->clients[bucket_of_address(limits, &client->address)];

    if (client->entries > 0 || client == &limits->proxied)
        return;
    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    free(client);
}

/* Room for one more of a client; false when all of his have logged in. */
static bool
make_room_of(const struct limits *limits, const struct client *client,
             const struct address *from, struct entry **victim_out)
{
    *victim_out = NULL;
    if (client->count < limits->config.max_sessions_per_ip
        || networks_hold(limits->config.trusted,
                         limits->config.trusted_count, from))
        return true;
    *victim_out = client->waiting.first;
    return *victim_out != NULL;
}

/* Makes room; false when everybody who could go has logged in.  Without an
 * address only the whole counts. */
static bool
make_room(struct limits *limits, struct client *client,
          const struct address *from, struct entry **victim_out)
{
    const struct limits_config *config = &limits->config;

    *victim_out = NULL;
    if (from != NULL && !make_room_of(limits, client, from, victim_out))
        return false;
    if (*victim_out != NULL)
        return true;
    if (limits->total >= config->max_sessions
        || limits->unauthenticated >= config->max_unauthenticated)
        *victim_out = limits->waiting.first;
    else
        return true;
    return *victim_out != NULL;
}

static void
send_away(struct limits *limits, struct entry *victim,
          struct limits_victim *victim_out)
{
    victim_out->id = victim->id;
    victim_out->owner = victim->owner;
    uncount(limits, victim);
}

/* from is NULL for the client that stands for all whose address is unknown. */
static enum limits_verdict
admit(struct limits *limits, uint64_t id, struct client *client,
      const struct address *from, struct limits_victim *victim_out)
{
    struct entry *entry = calloc(1, sizeof(*entry));
    struct entry *victim = NULL;

    if (client == NULL || entry == NULL
        || !make_room(limits, client, from, &victim)) {
        if (client != NULL)
            put_client(limits, client);
        free(entry);
        return LIMITS_REFUSE;
    }
    if (victim != NULL)
        send_away(limits, victim, victim_out);
    entry->id = id;
    entry->client = client;
    client->entries++;
    entry->next = limits->entries[id % BUCKETS];
    limits->entries[id % BUCKETS] = entry;
    count(limits, entry);
    return victim != NULL ? LIMITS_EVICT : LIMITS_ADMIT;
}

enum limits_verdict
limits_admit(struct limits *limits, uint64_t id, const struct address *from,
             struct limits_victim *victim_out)
{
    const struct address address = address_client(from);

    return admit(limits, id, get_client(limits, &address), from, victim_out);
}

enum limits_verdict
limits_admit_proxied(struct limits *limits, uint64_t id,
                     struct limits_victim *victim_out)
{
    return admit(limits, id, &limits->proxied, NULL, victim_out);
}

/* It keeps its place among all that wait, and gets the last of its client. */
static void
change_client(struct limits *limits, struct entry *entry,
              struct client *client)
{
    queue_remove(limits, entry, CLIENT);
    entry->client->count--;
    entry->client->entries--;
    entry->client = client;
    client->count++;
    client->entries++;
    queue_add(limits, entry, CLIENT);
}

enum limits_verdict
limits_move(struct limits *limits, uint64_t id, const void *owner,
            const struct address *from, struct limits_victim *victim_out)
{
    const struct address address = address_client(from);
    struct entry *entry = *find(limits, id);
    struct entry *victim;
    struct client *client;

    if (entry == NULL || entry->owner != owner || !entry->counted
        || entry->authenticated
        || entry->client != &limits->proxied)
        return LIMITS_REFUSE;
    client = get_client(limits, &address);
    if (client == NULL)
        return LIMITS_REFUSE;
    if (!make_room_of(limits, client, from, &victim)) {
        put_client(limits, client);
        return LIMITS_REFUSE;
    }
    if (victim != NULL)
        send_away(limits, victim, victim_out);
    change_client(limits, entry, client);
    return victim != NULL ? LIMITS_EVICT : LIMITS_ADMIT;
}

void
limits_set_owner(struct limits *limits, uint64_t id, void *owner)
{
    struct entry *entry = *find(limits, id);

    if (entry != NULL)
        entry->owner = owner;
}

void
limits_logged_in(struct limits *limits, uint64_t id, const void *owner)
{
    struct entry *entry = *find(limits, id);

    if (entry == NULL || entry->owner != owner || entry->authenticated)
        return;
    uncount(limits, entry);
    entry->authenticated = true;
    count(limits, entry);
}

static void
remove_at(struct limits *limits, struct entry **at)
{
    struct entry *entry = *at;

    uncount(limits, entry);
    *at = entry->next;
    entry->client->entries--;
    put_client(limits, entry->client);
    free(entry);
}

void
limits_remove(struct limits *limits, uint64_t id, const void *owner)
{
    struct entry **at = find(limits, id);

    if (*at != NULL && (*at)->owner == owner)
        remove_at(limits, at);
}

void
limits_remove_owner(struct limits *limits, const void *owner)
{
    struct entry **at;
    size_t i;

    for (i = 0; i < BUCKETS; i++) {
        at = &limits->entries[i];
        while (*at != NULL) {
            if ((*at)->owner == owner)
                remove_at(limits, at);
            else
                at = &(*at)->next;
        }
    }
}

void
limits_free(struct limits *limits)
{
    size_t i;

    if (limits == NULL)
        return;
    for (i = 0; i < BUCKETS; i++)
        while (limits->entries[i] != NULL)
            remove_at(limits, &limits->entries[i]);
    free(limits);
}

size_t
limits_total(const struct limits *limits)
{
    return limits->total;
}

size_t
limits_unauthenticated(const struct limits *limits)
{
    return limits->unauthenticated;
}
