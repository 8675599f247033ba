/*
 * sessions.c - which sessions of the load generator run when: so many at once,
 * or so many a second.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "tests/bench/fail.h"
#include "tests/bench/load.h"

enum { EVENTS_MAX = 256 };

static double
ms_since(uint64_t began)
{
    return (double)(nanoseconds() - began) / 1e6;
}

/* The one whose last session is longest ago, because a maildrop that was just
 * left may still be locked. */
static unsigned long
free_user(struct load *load)
{
    unsigned long user;

    do
        user = load->next++ % load->options.users;
    while (load->busy[user]);
    load->busy[user] = true;
    return user;
}

static void
begin(struct session *session, uint64_t when)
{
    struct load *load = session->load;

    session->number = load->begun++;
    session->user = free_user(load);
    session->began = when;
    login_begin(session);
}

void
sessions_logged_in(struct session *session)
{
    session->load->login_ms[session->number] = ms_since(session->began);
}

static void
begin_next(struct session *slot)
{
    struct load *load = slot->load;

    if (load->options.rate == 0 && load->begun < load->options.sessions)
        begin(slot, nanoseconds());
}

static void
interrupted(struct session *session, const char *answer, size_t len)
{
    fail("session %lu, idle, is told %.*s", session->number, (int)len, answer);
}

void
sessions_hold(struct session *session)
{
    struct load *load = session->load;

    load->held++;
    line_await(session, EXPECT_LINE, interrupted);
    begin_next(&load->slots[load->begun]);
}

void
sessions_end(struct session *session)
{
    struct load *load = session->load;

    load->session_ms[session->number] = ms_since(session->began);
    load->done++;
    load->busy[session->user] = false;
    line_close(session);
    begin_next(session);
}

/* With a rate: those that are due, as far as there are free slots. */
static void
begin_due(struct load *load, uint64_t start)
{
    double step = 1e9 / load->options.rate;
    uint64_t now = nanoseconds();

    for (unsigned long i = 0; i < load->options.connections; i++) {
        uint64_t due = start + (uint64_t)((double)load->begun * step);

        if (load->begun == load->options.sessions || due > now)
            return;
        if (load->slots[i].fd < 0)
            begin(&load->slots[i], due);
    }
}

static void
wait_for_more(struct load *load)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(load->epoll, events, EVENTS_MAX,
                           load->options.rate > 0 ? 1 : 60000);

    if (count < 0 || (count == 0 && load->options.rate == 0))
        fail("no answer: %s", strerror(errno));
    for (int i = 0; i < count; i++)
        line_read(events[i].data.ptr);
}

void
sessions_run(struct load *load)
{
    const struct options *options = &load->options;
    uint64_t start = nanoseconds();
    unsigned long first = options->connections < options->sessions
                              ? options->connections
                              : options->sessions;

    for (unsigned long i = 0; options->rate == 0 && i < first; i++)
        begin(&load->slots[i], nanoseconds());
    while (load->done + load->held < options->sessions) {
        if (options->rate > 0)
            begin_due(load, start);
        wait_for_more(load);
    }
}
