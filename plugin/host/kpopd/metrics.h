/*
 * metrics.h - what is counted, in memory that all processes share.
 *
 * Counters are atomic and without a lock.  The memory is made once, before
 * anything is forked, so they survive the death of a process and a reload.
 * Before that, as in kpopctl, they are the process's own.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_METRICS_H
#define KPOPD_METRICS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "plugin/host/kpopd/sessions.h"

enum metric_count {
    COUNT_REFUSED,   /* connections at a limit, or that no worker took */
    COUNT_EVICTED,
    COUNT_KICKED,
    COUNT_RELOADS,
    COUNT_DEATHS,    /* of processes that nobody had told to end */
    COUNT_COMMANDS,
    COUNT_RETRIEVED,
    COUNT_DELETED,
    COUNT_OCTETS_IN,
    COUNT_OCTETS_OUT,
    COUNTS
};

enum metric_time {
    TIME_LOGIN,   /* a step of a login, without what guessing costs */
    TIME_WAIT,    /* of which: until an auth process had time */
    TIME_TICKET,  /* verification of a ticket, the replay cache with it */
    TIME_OPEN,
    TIME_COMMIT,
    TIMES
};

enum metric_store { STORE_OPEN, STORE_COMMIT, STORES };

/* 0 or -1 with errno. */
int metrics_begin(void);
/* The caller only looks at them from now on. */
void metrics_only_read(void);

void metrics_add(enum metric_count count, uint64_t n);
uint64_t metrics_get(enum metric_count count);
void metrics_took_connection(const char *service);
uint64_t metrics_connections(void);
/* One more or, with -1, one less. */
void metrics_count_session(const char *service, enum session_state state,
                           int delta);
/* A log line of the module's: logins and refusals are counted by it. */
void metrics_note_event(const char *event, const char *line);
void metrics_note_tls(const char *version);
/* KPOP_OK or another result, after so many microseconds. */
void metrics_note_store(enum metric_store what, int32_t result,
                        uint64_t microseconds);
void metrics_note_time(enum metric_time time, uint64_t microseconds);

/* All of them, as OpenMetrics 1.0 or as the older text format 0.0.4. */
void metrics_print(FILE *out, bool is_openmetrics);

#endif
