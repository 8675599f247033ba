/*
 * metrics.c - counts, in every process of kpopd.  What is written here any
 * worker can write, so nothing but numbers is taken from it.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/metrics_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "plugin/kpop_plugin.h"

static struct metrics unshared;
static struct metrics *metrics = &unshared;

const char *const metric_services[SERVICES] = { "kpop", "pop3", "pop3s" };
const char *const metric_mechanisms[MECHANISMS] = {
    "KPOP",        "GSSAPI",      "PLAIN",         "APOP",
    "CRAM-MD5",    "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-512", "EXTERNAL",  "other",
};
const char *const metric_login_results[LOGIN_RESULTS] = {
    "ok", "fail", "denied", "delay", "error", "overdue",
};
const char *const metric_versions[VERSIONS] = { "TLSv1.2", "TLSv1.3",
                                                "other" };
const char *const metric_store_results[STORE_RESULTS] = {
    "ok", "in_use", "temp", "perm", "other",
};
const struct metric_bound metric_bounds[BUCKETS - 1] = {
    { 1000, "0.001" },   { 5000, "0.005" },   { 10000, "0.01" },
    { 25000, "0.025" },  { 50000, "0.05" },   { 100000, "0.1" },
    { 250000, "0.25" },  { 500000, "0.5" },   { 1000000, "1.0" },
    { 2500000, "2.5" },  { 5000000, "5.0" },  { 10000000, "10.0" },
};

int
metrics_begin(void)
{
    void *memory = mmap(NULL, sizeof(*metrics), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return -1;
    metrics = memory;
    atomic_store(&metrics->started, (uint64_t)time(NULL));
    return 0;
}

void
metrics_only_read(void)
{
    if (metrics != &unshared)
        (void)mprotect(metrics, sizeof(*metrics), PROT_READ);
}

const struct metrics *
metrics_all(void)
{
    return metrics;
}

/* Nobody orders anything by them. */
static void
add(_Atomic uint64_t *counter, uint64_t n)
{
    (void)atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* The place of a word; the last one when it is none of them. */
static size_t
place_of(const char *const *words, size_t count, const char *word)
{
    size_t i = 0;

    while (i < count - 1 && strcmp(words[i], word) != 0)
        i++;
    return i;
}

void
metrics_add(enum metric_count count, uint64_t n)
{
    if (n > 0)
        add(&metrics->count[count], n);
}

uint64_t
metrics_get(enum metric_count count)
{
    return atomic_load(&metrics->count[count]);
}

void
metrics_took_connection(const char *service)
{
    add(&metrics->connections[place_of(metric_services, SERVICES, service)],
        1);
}

uint64_t
metrics_connections(void)
{
    uint64_t sum = 0;
    size_t i;

    for (i = 0; i < SERVICES; i++)
        sum += atomic_load(&metrics->connections[i]);
    return sum;
}

void
metrics_count_session(const char *service, enum session_state state,
                      int delta)
{
    size_t i = place_of(metric_services, SERVICES, service);

    add(&metrics->sessions[i][state], (uint64_t)(int64_t)delta);
}

void
metrics_note_time(enum metric_time time, uint64_t microseconds)
{
    struct histogram *h = &metrics->times[time];
    size_t i = 0;

    while (i < BUCKETS - 1 && microseconds > metric_bounds[i].microseconds)
        i++;
    add(&h->bucket[i], 1);
    add(&h->microseconds, microseconds);
}

void
metrics_note_store(enum metric_store what, int32_t result,
                   uint64_t microseconds)
{
    static const int32_t results[STORE_RESULTS - 1] = { KPOP_OK, KPOP_IN_USE,
                                                        KPOP_TEMP,
                                                        KPOP_PERM };
    size_t i = 0;

    while (i < STORE_RESULTS - 1 && results[i] != result)
        i++;
    add(&metrics->store[what][i], 1);
    metrics_note_time(what == STORE_OPEN ? TIME_OPEN : TIME_COMMIT,
                      microseconds);
}

void
metrics_note_tls(const char *version)
{
    add(&metrics->tls[place_of(metric_versions, VERSIONS, version)], 1);
}

/* The value of a key that stands before all that a client can choose, so the
 * first one is it; "" when it is not there or has blanks. */
static void
find_value(const char *line, const char *key, char *out, size_t size)
{
    const char *at = strstr(line, key);
    size_t len;

    out[0] = '\0';
    if (at == NULL)
        return;
    at += strlen(key);
    len = strcspn(at, " \"");
    if (len >= size)
        return;
    memcpy(out, at, len);
    out[len] = '\0';
}

void
metrics_note_event(const char *event, const char *line)
{
    char value[64];
    size_t result;
    size_t i;

    if (strcmp(event, "kpop.refused") == 0) {
        find_value(line, " code=", value, sizeof(value));
        i = value[0] != '\0' ? strtoul(value, NULL, 10) : CODES;
        add(&metrics->refusals[i < CODES ? i : CODE_GENERIC], 1);
        return;
    }
    if (strncmp(event, "auth.", 5) != 0)
        return;
    for (result = 0; result < LOGIN_RESULTS; result++)
        if (strcmp(metric_login_results[result], event + 5) == 0)
            break;
    if (result == LOGIN_RESULTS)
        return; /* says more of one that is told by another line */
    find_value(line, " mechanism=", value, sizeof(value));
    i = place_of(metric_mechanisms, MECHANISMS, value);
    add(&metrics->logins[i][result], 1);
}
