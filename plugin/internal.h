/*
 * internal.h - what the module's files know of each other: the plugin.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_PLUGIN_INTERNAL_H
#define KPOP_PLUGIN_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "plugin/config.h"
#include "plugin/kpop_plugin.h"

/* struct kpop_stats, counted by all sessions at once. */
struct counters {
    atomic_uint_fast64_t made;        /* session ids given out */
    atomic_uint_fast64_t sessions;
    atomic_uint_fast64_t open;
    atomic_uint_fast64_t logins;
    atomic_uint_fast64_t login_failures;
    atomic_uint_fast64_t kpop_refusals;
    atomic_uint_fast64_t commands;
    atomic_uint_fast64_t octets_in;
    atomic_uint_fast64_t octets_out;
    atomic_uint_fast64_t retrieved;
    atomic_uint_fast64_t deleted;
    atomic_uint_fast64_t commits_failed;
};

struct kpop_plugin {
    struct kpop_host host;    /* as large as ours; missing callbacks NULL */
    void *context;            /* the host's, for log() */
    struct keyset settings; /* texts; one thread at a time */
    pthread_mutex_t lock;     /* of the pointer below */
    struct config *config;    /* NULL before ready() */
    uint32_t tag;             /* first half of session ids */
    struct counters counters;
};

/* The configuration now in force, held by the caller; NULL before ready(). */
struct config *plugin_config(struct kpop_plugin *plugin) MUST_USE;
/* The host authenticates elsewhere: exchange_* are there. */
bool plugin_forwards(const struct kpop_plugin *plugin);
/* The host has a store, or takes each connection itself behind the login. */
bool plugin_has_maildrops(const struct kpop_plugin *plugin);

static inline void
count(atomic_uint_fast64_t *counter, uint64_t n)
{
    (void)atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* serve.c, for the table in entry.c. */
int32_t kpop_serve(struct kpop_plugin *plugin, int32_t read_fd,
                   int32_t write_fd, const struct kpop_facts *facts,
                   void *conn);

#endif
