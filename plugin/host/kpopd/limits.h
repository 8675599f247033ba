/*
 * limits.h - how many connections there may be, in one place: the master.
 *
 * Counts all, those of one client (IPv4 address, IPv6 /64), and those before
 * their login.  When a limit is reached, the oldest connection that has not
 * logged in goes, so that silent peers never keep a real client out; when all
 * have logged in, the new one is refused.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_LIMITS_H
#define KPOPD_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/host/kpopd/address.h"

struct limits;

struct limits_config {
    uint32_t max_sessions;
    uint32_t max_sessions_per_ip;
    uint32_t max_unauthenticated;
    const struct network *trusted; /* lent until the next configuration */
    size_t trusted_count;
};

enum limits_verdict {
    LIMITS_ADMIT,
    LIMITS_EVICT, /* admit, and *victim_out goes */
    LIMITS_REFUSE /* all are logged in, or there is no memory */
};

/* A connection as its worker knows it. */
struct limits_victim {
    uint64_t id;
    void *owner;
};

struct limits *limits_new(const struct limits_config *config);
void limits_free(struct limits *limits);
void limits_configure(struct limits *limits,
                      const struct limits_config *config);

/* A connection came.  Unless refused it is counted under `id`, which must be
 * new, for `owner` (a worker), which limits_set_owner() may tell later.  The
 * victim no longer counts, but its id lives until limits_remove(). */
enum limits_verdict limits_admit(struct limits *limits, uint64_t id,
                                 const struct address *from,
                                 struct limits_victim *victim_out);
/*
 * One of a proxy came: the same, but it counts for nobody's address until its
 * worker has read whose it is and limits_move() tells.  Moving refuses also
 * what is not of a proxy, of another owner, moved or told to go.
 */
enum limits_verdict limits_admit_proxied(struct limits *limits, uint64_t id,
                                         struct limits_victim *victim_out);
enum limits_verdict limits_move(struct limits *limits, uint64_t id,
                                const void *owner,
                                const struct address *from,
                                struct limits_victim *victim_out);
void limits_set_owner(struct limits *limits, uint64_t id, void *owner);
/* Reports of workers; an unknown id is ignored.  A victim that had logged in
 * before it could be told to go counts again. */
void limits_logged_in(struct limits *limits, uint64_t id, const void *owner);
void limits_remove(struct limits *limits, uint64_t id, const void *owner);
/* The worker died, and with it all its connections. */
void limits_remove_owner(struct limits *limits, const void *owner);

size_t limits_total(const struct limits *limits);
size_t limits_unauthenticated(const struct limits *limits);

#endif
