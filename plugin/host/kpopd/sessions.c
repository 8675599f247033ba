/*
 * sessions.c - the table behind sessions.h.  Pure bookkeeping of the master's:
 * it sends nothing and closes nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/sessions.h"

#include <stdlib.h>
#include <string.h>

#include "plugin/host/kpopd/metrics.h"

enum { BUCKETS = 4096 }; /* ids are consecutive: no chains at 4000 */

struct sessions {
    struct session *oldest;
    struct session *newest;
    struct session *rows[BUCKETS];
};

const char *
session_state_word(enum session_state state)
{
    static const char *const words[SESSION_STATES] = {
        [SESSION_LOGIN] = "login",
        [SESSION_MAIL] = "mail",
        [SESSION_ENDING] = "ending",
    };

    return words[state];
}

struct sessions *
sessions_new(void)
{
    return calloc(1, sizeof(struct sessions));
}

bool
sessions_add(struct sessions *sessions, const struct control *control,
             uint64_t now)
{
    struct session *row = calloc(1, sizeof(*row));

    if (row == NULL)
        return false;
    row->id = control->id;
    row->began = now;
    row->peer = control->peer;
    row->peer_port = control->peer_port;
    memcpy(row->service, control->service, sizeof(row->service));
    row->next = sessions->rows[row->id % BUCKETS];
    sessions->rows[row->id % BUCKETS] = row;
    row->older = sessions->newest;
    if (row->older != NULL)
        row->older->newer = row;
    else
        sessions->oldest = row;
    sessions->newest = row;
    metrics_count_session(row->service, row->state, 1);
    return true;
}

struct session *
sessions_find(const struct sessions *sessions, uint64_t id)
{
    struct session *row = sessions->rows[id % BUCKETS];

    while (row != NULL && row->id != id)
        row = row->next;
    return row;
}

struct session *
sessions_first(const struct sessions *sessions)
{
    return sessions->oldest;
}

void
sessions_set_state(struct session *row, enum session_state state)
{
    metrics_count_session(row->service, row->state, -1);
    row->state = state;
    metrics_count_session(row->service, row->state, 1);
}

void
sessions_learn(struct sessions *sessions, const struct control *control,
               const void *owner)
{
    struct session *row = sessions_find(sessions, control->id);

    if (row == NULL || row->owner != owner)
        return;
    memcpy(row->tls, control->tls, sizeof(row->tls));
    if (control->type != CONTROL_LOGGED_IN || row->user != NULL)
        return;
    /* Without memory it has no name; that ends with the session. */
    row->user = strdup(control->user);
    memcpy(row->mechanism, control->mechanism, sizeof(row->mechanism));
    if (row->state == SESSION_LOGIN)
        sessions_set_state(row, SESSION_MAIL);
}

void
sessions_moved(struct sessions *sessions, const struct control *control,
               const void *owner)
{
    struct session *row = sessions_find(sessions, control->id);

    if (row == NULL || row->owner != owner)
        return;
    row->peer = control->peer;
    row->peer_port = control->peer_port;
}

static void
remove_row(struct sessions *sessions, struct session *row)
{
    struct session **at = &sessions->rows[row->id % BUCKETS];

    while (*at != row)
        at = &(*at)->next;
    *at = row->next;
    if (row->older != NULL)
        row->older->newer = row->newer;
    else
        sessions->oldest = row->newer;
    if (row->newer != NULL)
        row->newer->older = row->older;
    else
        sessions->newest = row->older;
    metrics_count_session(row->service, row->state, -1);
    free(row->user);
    free(row);
}

void
sessions_remove(struct sessions *sessions, uint64_t id, const void *owner)
{
    struct session *row = sessions_find(sessions, id);

    if (row != NULL && row->owner == owner)
        remove_row(sessions, row);
}

void
sessions_remove_owner(struct sessions *sessions, const void *owner)
{
    struct session *row = sessions->oldest;
    struct session *newer;

    for (; row != NULL; row = newer) {
        newer = row->newer;
        if (row->owner == owner)
            remove_row(sessions, row);
    }
}

void
sessions_free(struct sessions *sessions)
{
    struct session *row;
    struct session *newer;

    if (sessions == NULL)
        return;
    for (row = sessions->oldest; row != NULL; row = newer) {
        newer = row->newer;
        free(row->user);
        free(row);
    }
    free(sessions);
}
