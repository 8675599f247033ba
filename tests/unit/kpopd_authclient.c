/* LDFLAGS: -Wl,--wrap=calloc,--wrap=epoll_ctl */
/*
 * kpopd_authclient.c - a worker's questions to auth processes that answer,
 * hang, break, lie or are busy for others.  The processes and the module are
 * ours; the session always gets one answer.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/authclient_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "plugin/host/kpopd/conn.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/metrics.h"
#include "plugin/host/kpopd/process.h"
#include "tests/lib/check.h"

enum { PLACES = 3, CONNS = 3, LATER = 100000, PASSWORD = 1 /* of places */ };

/* ---- memory and epoll ---- */

static int left = -1; /* allocations; -1: as many as are wanted */
static bool no_watch;

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
int __real_epoll_ctl(int epoll, int what, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int what, int fd, struct epoll_event *event);

void *
__wrap_calloc(size_t count, size_t size)
{
    return left >= 0 && left-- == 0 ? NULL : __real_calloc(count, size);
}

int
__wrap_epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
    return no_watch ? -1 : __real_epoll_ctl(epoll, what, fd, event);
}

/* ---- the module ---- */

/* What a session was told; one question is open at most. */
struct told {
    int count;
    int32_t result;
    char user[64];
    char challenge[64];
    char credential[64];
};

static struct told told[CONNS];
static char ops[CONNS]; /* nobody looks into one */
static int32_t put_result;
static char names[256];

static struct kpop_op *
op_of(int i)
{
    return (struct kpop_op *)(void *)&ops[i];
}

static struct told *
told_of(const struct kpop_op *op)
{
    return &told[(const char *)(const void *)op - ops];
}

static int32_t
done(struct kpop_op *op, int32_t result)
{
    told_of(op)->count++;
    told_of(op)->result = result;
    return KPOP_OK;
}

static int32_t
put_user(struct kpop_op *op, const char *user)
{
    (void)snprintf(told_of(op)->user, sizeof(told[0].user), "%s", user);
    return put_result;
}

static int32_t
put_challenge(struct kpop_op *op, const void *data, size_t size)
{
    CHECK(size < sizeof(told[0].challenge));
    memcpy(told_of(op)->challenge, data, size);
    return put_result;
}

static int32_t
put_credential(struct kpop_op *op, const void *data, size_t size)
{
    CHECK(size < sizeof(told[0].credential));
    memcpy(told_of(op)->credential, data, size);
    return put_result;
}

static int32_t
put_mechanisms(struct kpop_op *op, const char *text)
{
    (void)op;
    (void)snprintf(names, sizeof(names), "%s", text);
    return KPOP_OK;
}

static const struct kpop_api api = {
    .size = sizeof(api),
    .done = done,
    .put_user = put_user,
    .put_challenge = put_challenge,
    .put_credential = put_credential,
    .put_mechanisms = put_mechanisms,
};

/* ---- a worker ---- */

static struct setup setup;
static struct auth_mark marks[PLACES];
static struct worker_shared shared = { marks, PLACES, NULL };
static struct worker worker;
static struct conn conns[CONNS];
static int process[PLACES]; /* our ends of the channels */
static uint8_t frame[IPC_FRAME_MAX];

static const struct kpop_facts facts = {
    .size = sizeof(facts),
    .service = "pop3",
    .session_id = "1",
    .peer_address = "192.0.2.1",
    .local_address = "192.0.2.2",
    .tls_version = "",
    .tls_cipher = "",
    .tls_server_name = "",
    .binding_type = "",
};

/* A channel to the process at a place. */
static void
pass(uint64_t place, enum auth_pool pool)
{
    struct control control;
    int fds[2];

    memset(&control, 0, sizeof(control));
    control.type = CONTROL_CHANNEL;
    control.id = place;
    control.pool = pool;
    CHECK_INT(ipc_pair(fds), 0);
    atomic_store(&marks[place % PLACES].busy, false); /* it just began */
    authclient_add(worker.auth, &control, fds[1]);
    if (process[place % PLACES] >= 0)
        close(process[place % PLACES]);
    process[place % PLACES] = fds[0];
}

static void
begin(void)
{
    int i;

    memset(&setup, 0, sizeof(setup));
    memset(marks, 0, sizeof(marks));
    memset(&worker, 0, sizeof(worker));
    memset(conns, 0, sizeof(conns));
    memset(told, 0, sizeof(told));
    put_result = KPOP_OK;
    setup.settings.password_source = PASSWORDS_FILE;
    setup.settings.secret_source = SECRETS_FILE;
    setup.settings.tickets_wanted = true;
    setup.settings.layers = true;
    setup.settings.auth_timeout = 5000;
    setup.settings.failure_delay = 16000;
    shared.throttle = throttle_new();
    CHECK(shared.throttle != NULL);
    worker.api = &api;
    worker.setup = &setup;
    worker.shared = &shared;
    worker.control = -1;
    worker.epoll = epoll_create1(EPOLL_CLOEXEC);
    worker.auth = authclient_new(&worker);
    CHECK(worker.epoll >= 0 && worker.auth != NULL);
    for (i = 0; i < PLACES; i++)
        process[i] = -1;
    for (i = 0; i < CONNS; i++) {
        conns[i].worker = &worker;
        conns[i].fd = -1;
        conns[i].inside = true; /* who is inside settles */
    }
    pass(PASSWORD, POOL_PASSWORD);
}

static void
end(void)
{
    int i;

    /* A worker ends when no session waits any more. */
    for (i = 0; i < CONNS; i++)
        if (conns[i].login.task != NULL)
            authclient_answer(conns[i].login.task, KPOP_TEMP);
    authclient_free(worker.auth);
    timers_free(&worker.timers);
    throttle_free(shared.throttle);
    close(worker.epoll);
    for (i = 0; i < PLACES; i++)
        if (process[i] >= 0)
            close(process[i]);
}

static void
turn(void)
{
    struct epoll_event events[8];
    struct source *source;
    int count = epoll_wait(worker.epoll, events, 8, 0);
    int i;

    for (i = 0; i < count; i++) {
        source = events[i].data.ptr;
        source->ready(source, events[i].events);
    }
}

static int32_t
start(int i, const char *mechanism, const char *data, size_t size)
{
    return authclient_start(&conns[i], op_of(i), &facts, mechanism, data,
                            size);
}

static int32_t
start_plain(int i)
{
    return start(i, "PLAIN", "\0alice\0secret", 13);
}

static int32_t
step(int i)
{
    return authclient_step(&conns[i], op_of(i), &facts, "more", 4);
}

/* ---- the processes ---- */

static struct auth_request request;

/* The next request at a place; false when there is none. */
static bool
is_asked(int place)
{
    ssize_t len = ipc_recv(process[place], frame, sizeof(frame), NULL);

    if (len <= 0)
        return false;
    CHECK(auth_request_decode(frame, (size_t)len, &request));
    return true;
}

static void
answer_as(int place, uint64_t exchange, int32_t result, const char *user,
          const char *challenge, const char *credential)
{
    struct auth_answer answer;
    size_t len;

    memset(&answer, 0, sizeof(answer));
    answer.exchange = exchange;
    answer.result = result;
    answer.outcome.size = sizeof(answer.outcome);
    answer.outcome.user = user;
    answer.outcome.challenge = challenge;
    answer.outcome.challenge_size = strlen(challenge);
    answer.outcome.credential = credential;
    answer.outcome.credential_size = strlen(credential);
    len = auth_answer_encode(&answer, frame, sizeof(frame));
    CHECK(len > 0);
    CHECK_INT(ipc_send(process[place], frame, len, -1), 0);
    atomic_store(&marks[place].busy, false); /* it has time again */
    turn();
}

static void
answer(int place, int32_t result)
{
    const char *user = result == KPOP_OK ? "alice" : "";

    answer_as(place, request.exchange, result, user,
              result == KPOP_CONTINUE ? "go on" : "", "");
}

/* The session has had one answer, this one. */
static void
is_told(int i, int32_t result)
{
    CHECK_INT(told[i].count, 1);
    CHECK_INT(told[i].result, result);
    CHECK(conns[i].login.task == NULL);
    CHECK_INT(conns[i].pending, 0);
    told[i].count = 0;
}

static void
goes_on(int i)
{
    CHECK_INT(start_plain(i), KPOP_PENDING);
    CHECK(is_asked(PASSWORD));
    answer(PASSWORD, KPOP_CONTINUE);
    is_told(i, KPOP_CONTINUE);
}

/* ---- the tests ---- */

TEST(a_login_in_two_steps)
{
    begin();
    goes_on(0);
    CHECK_STR(told[0].challenge, "go on");
    CHECK_INT(step(0), KPOP_PENDING);
    CHECK(is_asked(PASSWORD));
    CHECK_INT(request.type, AUTH_STEP);
    answer_as(PASSWORD, request.exchange, KPOP_OK, "alice", "", "ticket");
    is_told(0, KPOP_OK);
    CHECK_STR(told[0].user, "alice");
    CHECK_STR(told[0].credential, "ticket");
    /* Over there it ended with its answer. */
    authclient_end(&conns[0]);
    CHECK(!is_asked(PASSWORD));
    end();
}

TEST(a_client_that_speaks_first_is_asked_here)
{
    begin();
    pass(2, POOL_KRB);
    CHECK_INT(start(0, "GSSAPI", NULL, 0), KPOP_CONTINUE);
    CHECK_STR(told[0].challenge, "");
    CHECK(!is_asked(2));
    CHECK_INT(step(0), KPOP_PENDING);
    CHECK(is_asked(2));
    CHECK_INT(request.type, AUTH_START);
    CHECK_STR(request.mechanism, "GSSAPI");
    CHECK_INT(request.size, 4);
    answer(2, KPOP_CONTINUE);
    is_told(0, KPOP_CONTINUE);
    CHECK_INT(step(0), KPOP_PENDING);
    CHECK(is_asked(2));
    CHECK_INT(request.type, AUTH_STEP);
    end();
}

TEST(who_gives_up_before_speaking_leaves_nothing)
{
    begin();
    CHECK_INT(start(0, "PLAIN", NULL, 0), KPOP_CONTINUE);
    authclient_end(&conns[0]);
    CHECK(!is_asked(PASSWORD));
    CHECK_INT(step(0), KPOP_TEMP); /* none is open */
    put_result = KPOP_NO_MEMORY;
    CHECK_INT(start(0, "PLAIN", NULL, 0), KPOP_TEMP);
    end();
}

TEST(a_login_that_is_not_decided_is_ended_once)
{
    static const int32_t results[] = { KPOP_CONTINUE, KPOP_TEMP };

    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        begin();
        goes_on(0);
        CHECK_INT(step(0), KPOP_PENDING);
        CHECK(is_asked(PASSWORD));
        answer(PASSWORD, results[i]);
        is_told(0, results[i]);
        authclient_end(&conns[0]);
        CHECK(is_asked(PASSWORD));
        CHECK_INT(request.type, AUTH_END);
        authclient_end(&conns[0]);
        CHECK(!is_asked(PASSWORD));
        end();
    }
}

TEST(an_answer_that_the_module_cannot_keep_is_trouble)
{
    begin();
    put_result = KPOP_NO_MEMORY;
    CHECK_INT(start_plain(0), KPOP_PENDING);
    CHECK(is_asked(PASSWORD));
    answer(PASSWORD, KPOP_OK);
    is_told(0, KPOP_TEMP);
    CHECK(!is_asked(PASSWORD));
    end();
    begin();
    put_result = KPOP_NO_MEMORY;
    CHECK_INT(start_plain(0), KPOP_PENDING);
    CHECK(is_asked(PASSWORD));
    answer(PASSWORD, KPOP_CONTINUE);
    is_told(0, KPOP_TEMP);
    CHECK(is_asked(PASSWORD));
    CHECK_INT(request.type, AUTH_END);
    end();
}

TEST(a_process_that_breaks_answers_those_who_wait_for_it)
{
    begin();
    goes_on(0);
    goes_on(1);
    CHECK_INT(step(0), KPOP_PENDING);
    CHECK_INT(step(1), KPOP_PENDING); /* behind the other */
    CHECK_INT(start(2, "CRAM-MD5", NULL, 0), KPOP_PENDING); /* any */
    CHECK_INT(authclient_missed(worker.auth), 0);
    close(process[PASSWORD]);
    process[PASSWORD] = -1;
    turn();
    is_told(0, KPOP_TEMP);
    is_told(1, KPOP_TEMP);
    CHECK_INT(told[2].count, 0);
    CHECK_INT(authclient_missed(worker.auth), PASSWORD + 1);
    CHECK_INT(step(0), KPOP_TEMP); /* lost with its process */
    authclient_end(&conns[0]);
    pass(PASSWORD, POOL_PASSWORD);
    CHECK_INT(authclient_missed(worker.auth), 0);
    CHECK(is_asked(PASSWORD));
    answer(PASSWORD, KPOP_OK);
    is_told(2, KPOP_OK);
    end();
}

TEST(a_channel_that_is_lost_on_its_way_is_missed)
{
    struct control control = { .type = CONTROL_CHANNEL, .id = 2,
                               .pool = POOL_KRB };

    begin();
    authclient_add(worker.auth, &control, -1);
    CHECK_INT(authclient_missed(worker.auth), 3);
    pass(2, POOL_KRB);
    CHECK_INT(authclient_missed(worker.auth), 0);
    left = 0;
    pass(0, POOL_KRB);
    left = -1;
    CHECK_INT(authclient_missed(worker.auth), 1);
    no_watch = true;
    pass(0, POOL_KRB);
    no_watch = false;
    CHECK_INT(authclient_missed(worker.auth), 1);
    pass(0, POOL_KRB);
    CHECK_INT(authclient_missed(worker.auth), 0);
    end();
}

TEST(a_place_that_there_is_not_has_no_channel)
{
    begin();
    pass(PLACES, POOL_KRB); /* our end of it is closed again */
    CHECK_INT(ipc_recv(process[0], frame, sizeof(frame), NULL), 0);
    CHECK_INT(authclient_missed(worker.auth), 0);
    CHECK(authclient_find(worker.auth, 2) == NULL);
    end();
}

static void
lies(const void *octets, size_t len)
{
    begin();
    CHECK_INT(start_plain(0), KPOP_PENDING);
    CHECK(is_asked(PASSWORD));
    CHECK_INT(ipc_send(process[PASSWORD], octets, len, -1), 0);
    turn();
    is_told(0, KPOP_TEMP);
    CHECK_INT(authclient_missed(worker.auth), PASSWORD + 1);
    end();
}

TEST(a_process_that_lies_is_left)
{
    lies("nonsense", 8);
    begin();
    CHECK_INT(start_plain(0), KPOP_PENDING);
    CHECK(is_asked(PASSWORD));
    answer_as(PASSWORD, request.exchange + 1, KPOP_OK, "root", "", "");
    is_told(0, KPOP_TEMP);
    CHECK_STR(told[0].user, "");
    end();
    begin(); /* nobody asked */
    answer_as(PASSWORD, 1, KPOP_OK, "root", "", "");
    CHECK_INT(authclient_missed(worker.auth), PASSWORD + 1);
    end();
}

TEST(an_answer_that_comes_too_late_is_nobodys)
{
    begin();
    CHECK_INT(start_plain(0), KPOP_PENDING);
    CHECK_INT(start_plain(1), KPOP_PENDING); /* it is busy */
    CHECK(is_asked(PASSWORD));
    timers_run(&worker.timers, process_now() + LATER);
    is_told(0, KPOP_TEMP);
    is_told(1, KPOP_TEMP);
    answer(PASSWORD, KPOP_CONTINUE);
    CHECK_INT(told[0].count, 0);
    CHECK(is_asked(PASSWORD)); /* what was begun is ended */
    CHECK_INT(request.type, AUTH_END);
    CHECK_INT(start_plain(0), KPOP_PENDING);
    CHECK(is_asked(PASSWORD));
    timers_run(&worker.timers, process_now() + LATER);
    is_told(0, KPOP_TEMP);
    answer(PASSWORD, KPOP_AUTH);
    CHECK(!is_asked(PASSWORD)); /* there is nothing to end */
    end();
}

/* Until one that fails has to wait. */
static void
guess_until_delayed(int i)
{
    int count;

    for (count = 0; count < 100; count++) {
        CHECK_INT(start_plain(i), KPOP_PENDING);
        if (!is_asked(PASSWORD))
            break;
        answer(PASSWORD, KPOP_AUTH);
        is_told(i, KPOP_AUTH);
    }
    CHECK(count > 1 && count < 100);
    CHECK_INT(told[i].count, 0);
}

TEST(who_guesses_waits_and_may_hang_up_meanwhile)
{
    begin();
    guess_until_delayed(0);
    authclient_cancel(&conns[0], op_of(1)); /* another question */
    CHECK(timers_next(&worker.timers) > process_now());
    authclient_cancel(&conns[0], op_of(0));
    timers_run(&worker.timers, process_now());
    is_told(0, KPOP_TEMP);
    CHECK(!is_asked(PASSWORD));
    authclient_cancel(&conns[0], op_of(0)); /* it has its answer */
    CHECK_INT(told[0].count, 0);
    end();
}

TEST(who_has_waited_is_judged)
{
    begin();
    guess_until_delayed(0);
    CHECK_INT(start_plain(1), KPOP_PENDING);
    timers_run(&worker.timers, process_now() + LATER);
    CHECK(is_asked(PASSWORD));
    answer(PASSWORD, KPOP_OK);
    CHECK_INT(told[0].count + told[1].count, 1);
    end();
}

TEST(a_worker_that_stops_lets_nobody_wait)
{
    begin();
    guess_until_delayed(0);
    CHECK_INT(start(1, "CRAM-MD5", NULL, 0), KPOP_PENDING);
    CHECK(is_asked(PASSWORD));
    CHECK_INT(start(2, "CRAM-MD5", NULL, 0), KPOP_PENDING);
    worker.stopping = true;
    authclient_hurry(worker.auth);
    timers_run(&worker.timers, process_now());
    is_told(0, KPOP_TEMP);
    CHECK_INT(told[1].count + told[2].count, 0);
    end();
}

TEST(who_hung_up_is_not_asked_about)
{
    begin();
    CHECK_INT(start(0, "CRAM-MD5", NULL, 0), KPOP_PENDING);
    CHECK(is_asked(PASSWORD));
    CHECK_INT(start(1, "CRAM-MD5", NULL, 0), KPOP_PENDING);
    authclient_cancel(&conns[1], op_of(1));
    answer(PASSWORD, KPOP_AUTH);
    is_told(0, KPOP_AUTH);
    is_told(1, KPOP_TEMP);
    CHECK(!is_asked(PASSWORD));
    end();
}

TEST(what_cannot_be_asked_is_answered_at_once)
{
    static char large[AUTH_DATA_MAX + 2000];

    begin();
    CHECK_INT(start(0, "NONE-SUCH", NULL, 0), KPOP_DENIED);
    CHECK_INT(step(0), KPOP_TEMP);
    CHECK_INT(start(0, "SCRAM-SHA-256", large, sizeof(large)), KPOP_PENDING);
    is_told(0, KPOP_INVALID);
    close(process[PASSWORD]);
    process[PASSWORD] = -1;
    atomic_store(&marks[PASSWORD].busy, false);
    CHECK_INT(start_plain(0), KPOP_PENDING); /* nothing has told of it yet */
    is_told(0, KPOP_TEMP);
    left = 0;
    CHECK_INT(start_plain(0), KPOP_NO_MEMORY);
    left = -1;
    CHECK(conns[0].login.task == NULL);
    end();
}

TEST(a_process_that_is_busy_for_others_is_asked_later)
{
    begin();
    atomic_store(&marks[PASSWORD].busy, true);
    CHECK_INT(start_plain(0), KPOP_PENDING);
    CHECK_INT(start(1, "CRAM-MD5", NULL, 0), KPOP_PENDING);
    CHECK(!is_asked(PASSWORD));
    atomic_store(&marks[PASSWORD].busy, false);
    timers_run(&worker.timers, process_now() + 1000);
    CHECK(is_asked(PASSWORD));
    answer(PASSWORD, KPOP_OK);
    is_told(0, KPOP_OK);
    end();
}

TEST(a_ticket_that_was_verified_here_is_decided_there)
{
    const struct kpop_identity identity = {
        .size = sizeof(identity),
        .mechanism = "GSSAPI",
        .authcid = "alice@EXAMPLE.ORG",
        .requested = "",
        .local = "alice",
        .facts = &facts,
    };

    begin();
    pass(0, POOL_KRB);
    atomic_store(&marks[0].busy, true); /* a short queue is better */
    CHECK_INT(authclient_authorize(&conns[0], op_of(0), &identity),
              KPOP_PENDING);
    CHECK(is_asked(0));
    CHECK_INT(request.type, AUTH_DECIDE);
    CHECK_STR(request.claim.authcid, "alice@EXAMPLE.ORG");
    answer(0, KPOP_OK);
    is_told(0, KPOP_OK);
    CHECK_STR(conns[0].mechanism, "GSSAPI");
    end();
}

TEST(the_mechanisms_are_those_that_have_a_source)
{
    struct kpop_facts kpop = facts;

    begin();
    CHECK_INT(authclient_mechanisms(&conns[0], op_of(0), &facts), KPOP_OK);
    CHECK(strstr(names, "PLAIN USER") != NULL);
    CHECK(strstr(names, "APOP") != NULL);
    CHECK(strstr(names, "GSSAPI") == NULL);
    CHECK(strstr(names, "EXTERNAL") == NULL);
    setup.settings.password_source = PASSWORDS_NONE;
    setup.settings.secret_source = SECRETS_NONE;
    setup.settings.external = true;
    setup.gssapi_works = true;
    CHECK_INT(authclient_mechanisms(&conns[0], op_of(0), &facts), KPOP_OK);
    CHECK_STR(names, "GSSAPI EXTERNAL");
    kpop.service = "kpop";
    CHECK_INT(authclient_mechanisms(&conns[0], op_of(0), &kpop), KPOP_OK);
    CHECK_STR(names, "KPOP");
    end();
}

TEST(a_client_without_memory_is_none)
{
    begin();
    for (left = 1; left >= 0; left--) {
        const int allocations = left;

        CHECK(authclient_new(&worker) == NULL);
        left = allocations;
    }
    left = -1;
    authclient_free(NULL);
    end();
}

static const struct check_test tests[] = {
    T(a_login_in_two_steps),
    T(a_client_that_speaks_first_is_asked_here),
    T(who_gives_up_before_speaking_leaves_nothing),
    T(a_login_that_is_not_decided_is_ended_once),
    T(an_answer_that_the_module_cannot_keep_is_trouble),
    T(a_process_that_breaks_answers_those_who_wait_for_it),
    T(a_channel_that_is_lost_on_its_way_is_missed),
    T(a_place_that_there_is_not_has_no_channel),
    T(a_process_that_lies_is_left),
    T(an_answer_that_comes_too_late_is_nobodys),
    T(who_guesses_waits_and_may_hang_up_meanwhile),
    T(who_has_waited_is_judged),
    T(a_worker_that_stops_lets_nobody_wait),
    T(who_hung_up_is_not_asked_about),
    T(what_cannot_be_asked_is_answered_at_once),
    T(a_process_that_is_busy_for_others_is_asked_later),
    T(a_ticket_that_was_verified_here_is_decided_there),
    T(the_mechanisms_are_those_that_have_a_source),
    T(a_client_without_memory_is_none),
};

int
main(int argc, char **argv)
{
    log_set(LOG_TO_STDERR, KPOP_LOG_ERROR);
    if (metrics_begin() != 0)
        return 1;
    return check_main(argc, argv, "kpopd_authclient", tests,
                      sizeof(tests) / sizeof(tests[0]));
}
