/*
 * timers.h - many deadlines, the earliest first: a binary heap.
 *
 * A timer lives inside what it belongs to; the heap only points to it.
 * Setting, moving and removing cost O(log n), the earliest O(1).
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_TIMERS_H
#define KPOPD_TIMERS_H

#include <stddef.h>
#include <stdint.h>

#define TIMER_NEVER UINT64_MAX

struct timer {
    uint64_t when;  /* milliseconds */
    size_t place;   /* in the heap, from 1; 0 = not set */
    void (*fire)(struct timer *timer, uint64_t now);
};

struct timers {
    struct timer **heap; /* heap[0] is unused */
    size_t count;
    size_t room;
};

/* Makes sure that `count` timers can be set without asking for memory; 0, or
 * -1 when there is none.  Call when something with a timer is born. */
int timers_reserve(struct timers *timers, size_t count);
void timers_free(struct timers *timers);
/* TIMER_NEVER removes. */
void timers_set(struct timers *timers, struct timer *timer, uint64_t when);
/* When the first is due, or TIMER_NEVER. */
uint64_t timers_next(const struct timers *timers);
/* Removes and fires those that are due. */
void timers_run(struct timers *timers, uint64_t now);

#endif
