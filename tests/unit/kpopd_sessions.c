/*
 * kpopd_sessions.c - the master's table of sessions: order, who may say what,
 * what goes with a worker.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/kpopd/sessions.h"

#include <stdlib.h>
#include <string.h>

#include "tests/lib/check.h"

static int one;
static int other; /* two workers */

static struct sessions *
three(void)
{
    struct sessions *sessions = sessions_new();
    struct control control;
    uint64_t id;

    memset(&control, 0, sizeof(control));
    control.type = CONTROL_CONNECTION;
    strcpy(control.service, "pop3");
    for (id = 10; id < 13; id++) {
        control.id = id;
        CHECK(sessions_add(sessions, &control, id * 100));
        sessions_find(sessions, id)->owner = id == 11 ? &other : &one;
    }
    return sessions;
}

static struct control
said(enum control_type type, uint64_t id)
{
    struct control control;

    memset(&control, 0, sizeof(control));
    control.type = type;
    control.id = id;
    strcpy(control.tls, "TLSv1.3");
    strcpy(control.mechanism, "GSSAPI");
    strcpy(control.user, "alice");
    return control;
}

TEST(sessions_are_told_oldest_first)
{
    struct sessions *sessions = three();
    const struct session *row = sessions_first(sessions);

    CHECK_INT((long)row->id, 10);
    CHECK_INT((long)row->newer->id, 11);
    CHECK_INT((long)row->newer->newer->id, 12);
    CHECK(row->newer->newer->newer == NULL);
    CHECK_STR(row->service, "pop3");
    CHECK_STR(session_state_word(row->state), "login");
    sessions_free(sessions);
}

TEST(login_names_the_session_once)
{
    struct sessions *sessions = three();
    struct control control = said(CONTROL_SECURED, 10);
    const struct session *row = sessions_find(sessions, 10);

    sessions_learn(sessions, &control, &one);
    CHECK_STR(row->tls, "TLSv1.3");
    CHECK(row->user == NULL);
    CHECK_STR(session_state_word(row->state), "login");
    control.type = CONTROL_LOGGED_IN;
    sessions_learn(sessions, &control, &one);
    CHECK_STR(row->user, "alice");
    CHECK_STR(row->mechanism, "GSSAPI");
    CHECK_STR(session_state_word(row->state), "mail");
    strcpy(control.user, "bob");
    sessions_learn(sessions, &control, &one);
    CHECK_STR(row->user, "alice");
    sessions_free(sessions);
}

TEST(session_that_was_told_to_go_stays_so)
{
    struct sessions *sessions = three();
    struct control control = said(CONTROL_LOGGED_IN, 10);
    struct session *row = sessions_find(sessions, 10);

    row->state = SESSION_ENDING;
    sessions_learn(sessions, &control, &one);
    CHECK_STR(row->user, "alice");
    CHECK_STR(session_state_word(row->state), "ending");
    sessions_free(sessions);
}

TEST(worker_says_nothing_of_sessions_of_others)
{
    struct sessions *sessions = three();
    struct control control = said(CONTROL_LOGGED_IN, 11);

    sessions_learn(sessions, &control, &one);
    CHECK(sessions_find(sessions, 11)->user == NULL);
    CHECK_STR(sessions_find(sessions, 11)->tls, "");
    sessions_remove(sessions, 11, &one);
    CHECK(sessions_find(sessions, 11) != NULL);
    control.id = 99;
    sessions_learn(sessions, &control, &one);
    sessions_remove(sessions, 99, &one);
    CHECK(sessions_find(sessions, 99) == NULL);
    sessions_free(sessions);
}

TEST(sessions_go_with_their_worker)
{
    struct sessions *sessions = three();

    sessions_remove_owner(sessions, &one);
    CHECK(sessions_find(sessions, 10) == NULL);
    CHECK(sessions_find(sessions, 12) == NULL);
    CHECK_INT((long)sessions_first(sessions)->id, 11);
    CHECK(sessions_first(sessions)->newer == NULL);
    sessions_remove(sessions, 11, &other);
    CHECK(sessions_first(sessions) == NULL);
    sessions_free(sessions);
}

TEST_MAIN("kpopd_sessions", T(sessions_are_told_oldest_first),
          T(login_names_the_session_once),
          T(session_that_was_told_to_go_stays_so),
          T(worker_says_nothing_of_sessions_of_others),
          T(sessions_go_with_their_worker))
