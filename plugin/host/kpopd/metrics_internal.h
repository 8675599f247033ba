/*
 * metrics_internal.h - the shared memory of metrics.h, for who counts and who
 * prints.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_METRICS_INTERNAL_H
#define KPOPD_METRICS_INTERNAL_H

#include <stdatomic.h>

#include "plugin/host/kpopd/metrics.h"

enum {
    SERVICES = 3,
    MECHANISMS = 11,    /* the last: any other */
    LOGIN_RESULTS = 6,
    VERSIONS = 3,       /* the last: any other */
    STORE_RESULTS = 5,
    CODES = 128,        /* of Kerberos, RFC 4120 section 7.5.9 */
    CODE_GENERIC = 60,
    BUCKETS = 13        /* the last: more */
};

/* Label values, by index. */
extern const char *const metric_services[SERVICES];
extern const char *const metric_mechanisms[MECHANISMS];
extern const char *const metric_login_results[LOGIN_RESULTS];
extern const char *const metric_versions[VERSIONS];
extern const char *const metric_store_results[STORE_RESULTS];
/* Upper bounds; the last bucket has none. */
extern const struct metric_bound {
    uint64_t microseconds;
    const char *seconds; /* the same, as it is written */
} metric_bounds[BUCKETS - 1];

struct histogram {
    _Atomic uint64_t bucket[BUCKETS];
    _Atomic uint64_t microseconds;
};

struct metrics {
    _Atomic uint64_t started; /* Unix time */
    _Atomic uint64_t count[COUNTS];
    _Atomic uint64_t connections[SERVICES];
    _Atomic uint64_t sessions[SERVICES][SESSION_STATES];
    _Atomic uint64_t logins[MECHANISMS][LOGIN_RESULTS];
    _Atomic uint64_t refusals[CODES];
    _Atomic uint64_t tls[VERSIONS];
    _Atomic uint64_t store[STORES][STORE_RESULTS];
    struct histogram times[TIMES];
};

const struct metrics *metrics_all(void);

#endif
