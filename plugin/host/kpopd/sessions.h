/*
 * sessions.h - what the master can tell an admin of each connection.
 *
 * Rows by id, in the order of arrival.  The texts come from workers and are
 * clean: control_decode() lets no others through.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_SESSIONS_H
#define KPOPD_SESSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/host/kpopd/control.h"

enum session_state {
    SESSION_LOGIN,  /* has not proved who it is */
    SESSION_MAIL,   /* reads its maildrop, which is locked */
    SESSION_ENDING, /* was kicked */
    SESSION_STATES
};

struct session {
    struct session *next; /* in its bucket */
    struct session *older;
    struct session *newer;
    uint64_t id;
    void *owner;          /* its worker; NULL: none has it yet */
    uint64_t began;       /* milliseconds, process_now() */
    enum session_state state;
    struct address peer;
    unsigned peer_port;
    char service[CONTROL_SERVICE_MAX + 1];
    char tls[CONTROL_TLS_MAX + 1];             /* "" = none */
    char mechanism[CONTROL_MECHANISM_MAX + 1]; /* "" before the login */
    char *user;                                /* NULL before the login */
};

struct sessions;

/* NULL without memory. */
struct sessions *sessions_new(void);
void sessions_free(struct sessions *sessions);

/* A connection came.  False without memory: it is not told of. */
bool sessions_add(struct sessions *sessions, const struct control *control,
                  uint64_t now);
struct session *sessions_find(const struct sessions *sessions, uint64_t id);
/* The oldest; the others follow by `newer`. */
struct session *sessions_first(const struct sessions *sessions);
/* What a worker says of its own: TLS began, or somebody logged in.  Others
 * are ignored. */
void sessions_learn(struct sessions *sessions, const struct control *control,
                    const void *owner);
/* The same: the client behind a proxy. */
void sessions_moved(struct sessions *sessions, const struct control *control,
                    const void *owner);
void sessions_set_state(struct session *row, enum session_state state);
/* As limits_remove() and limits_remove_owner(). */
void sessions_remove(struct sessions *sessions, uint64_t id,
                     const void *owner);
void sessions_remove_owner(struct sessions *sessions, const void *owner);

/* "login", "mail", "ending". */
const char *session_state_word(enum session_state state);

#endif
