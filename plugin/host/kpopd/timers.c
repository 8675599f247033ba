/*
 * timers.c - the heap of timers.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/kpopd/timers.h"

#include <assert.h>
#include <stdlib.h>

int
timers_reserve(struct timers *timers, size_t count)
{
    struct timer **heap;
    size_t room = timers->room > 0 ? timers->room : 64;

    if (count < timers->room)
        return 0;
    while (room <= count)
        room *= 2;
    heap = realloc(timers->heap, room * sizeof(heap[0]));
    if (heap == NULL)
        return -1;
    timers->heap = heap;
    timers->room = room;
    return 0;
}

void
timers_free(struct timers *timers)
{
    free(timers->heap);
    timers->heap = NULL;
    timers->count = 0;
    timers->room = 0;
}

static void
place(struct timers *timers, struct timer *timer, size_t at)
{
    timers->heap[at] = timer;
    timer->place = at;
}

static void
sift(struct timers *timers, struct timer *timer, size_t at)
{
    size_t child;

    while (at > 1 && timers->heap[at / 2]->when > timer->when) {
        place(timers, timers->heap[at / 2], at);
        at /= 2;
    }
    for (child = at * 2; child <= timers->count; child = at * 2) {
        if (child < timers->count
            && timers->heap[child + 1]->when < timers->heap[child]->when)
            child++;
        if (timers->heap[child]->when >= timer->when)
            break;
        place(timers, timers->heap[child], at);
        at = child;
    }
    place(timers, timer, at);
}

void
timers_set(struct timers *timers, struct timer *timer, uint64_t when)
{
    size_t at = timer->place;
    struct timer *last;

    if (when != TIMER_NEVER) {
        timer->when = when;
        if (at == 0) {
            at = ++timers->count;
            assert(at < timers->room);
        }
        sift(timers, timer, at);
        return;
    }
    if (at == 0)
        return;
    timer->place = 0;
    last = timers->heap[timers->count--];
    if (last != timer)
        sift(timers, last, at);
}

uint64_t
timers_next(const struct timers *timers)
{
    return timers->count > 0 ? timers->heap[1]->when : TIMER_NEVER;
}

void
timers_run(struct timers *timers, uint64_t now)
{
    struct timer *timer;

    while (timers_next(timers) <= now) {
        timer = timers->heap[1];
        timers_set(timers, timer, TIMER_NEVER);
        timer->fire(timer, now);
    }
}
