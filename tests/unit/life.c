/*
 * life.c - the life of a session and its maildrop, the code itself and not a
 * model of it, in every order that events can come: a plain session, and all
 * that depart from it up to four times, or as often as LIFE_DEPARTURES in the
 * environment says, wherever they can.  What departs: a question is answered
 * by its result, in the callback, later or with an error; the client or the
 * host leaves; the session is stopped; time runs out; output waits.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/kpop_plugin.h"
#include "tests/lib/check.h"

enum { CHOICES_MAX = 256, BOX_MESSAGES = 2, LONG_TIME = 100000000 };

/* ---- choices: depth first, by playing each order from its beginning ---- */

static struct {
    unsigned taken[CHOICES_MAX];
    unsigned options[CHOICES_MAX];
    size_t count;      /* of this run */
    size_t known;      /* that are prescribed */
    unsigned departed; /* of this run */
    unsigned allowed;
} path;

/* 0 is what a plain session does. */
static unsigned
choose(unsigned options)
{
    unsigned taken = path.count < path.known ? path.taken[path.count] : 0;

    CHECK(path.count < CHOICES_MAX);
    path.taken[path.count] = taken;
    path.options[path.count] = path.departed < path.allowed || taken != 0
                                   ? options
                                   : 1;
    path.departed += taken != 0;
    path.count++;
    return taken;
}

/* The next order; false when all were played. */
static bool
next_path(void)
{
    size_t i = path.count;
    size_t k;

    while (i > 0) {
        i--;
        path.departed = 0;
        for (k = 0; k < i; k++)
            path.departed += path.taken[k] != 0;
        if (path.taken[i] + 1 < path.options[i]
            && path.departed < path.allowed) {
            path.taken[i]++;
            path.known = i + 1;
            path.count = 0;
            path.departed = 0;
            return true;
        }
    }
    return false;
}

/* ---- the world ---- */

static struct {
    struct kpop_plugin *plugin;
    const struct kpop_api *api;
    struct kpop_session *session; /* NULL: closed */
    struct kpop_op *kept;
    int32_t kept_answer;
    void (*kept_facts)(struct kpop_op *op);
    bool cancelled;  /* the kept one */
    bool in_callback;
    unsigned locks;  /* boxes that are open */
    unsigned opened;
    unsigned closed;
    unsigned commits;
    bool committed;  /* the answer was KPOP_OK */
    size_t said;     /* lines of the client's */
    bool dele_said;
    bool quit_said;
    bool ended;      /* the client has left */
    bool stopped;
    bool stopped_before_quit;
    uint64_t now;
    const char *const *lines;
    unsigned long runs;
} life;

static int box; /* its address is its name */

static const char *const with_quit[] = {
    "USER alice\r\n", "PASS secret\r\n", "RETR 1\r\n", "DELE 2\r\n",
    "QUIT\r\n", NULL
};
static const char *const without_quit[] = {
    "USER alice\r\n", "PASS secret\r\n", "LIST\r\n", "DELE 2\r\n", NULL
};
static const char *const at_once[] = {
    "USER alice\r\nPASS secret\r\nDELE 2\r\nRSET\r\nDELE 2\r\nQUIT\r\n"
    "DELE 1\r\n", NULL
};

/* ---- the host ---- */

static void
on_log(void *host, void *conn, uint32_t level, const char *event,
       const char *line)
{
    (void)host, (void)conn, (void)level, (void)line;
    CHECK(strcmp(event, "host.misuse") != 0);
}

/* A question is asked: none other is open, and the session lives. */
static void
asked(void)
{
    CHECK(life.session != NULL);
    CHECK(life.kept == NULL);
    CHECK(!life.in_callback);
}

static void
no_facts(struct kpop_op *op)
{
    (void)op;
}

/* The host's way to answer, one of: by the result, inside, later, an error,
 * an error later. */
static int32_t
answer(struct kpop_op *op, int32_t good, void (*facts)(struct kpop_op *op))
{
    const unsigned way = choose(5);

    if (way == 3)
        return KPOP_TEMP;
    if (way == 2 || way == 4) {
        life.kept = op;
        life.cancelled = false;
        life.kept_answer = way == 2 ? good : KPOP_TEMP;
        life.kept_facts = way == 2 ? facts : no_facts;
        return KPOP_PENDING;
    }
    facts(op);
    if (way == 0)
        return good;
    life.in_callback = true;
    CHECK_INT(life.api->done(op, good), KPOP_OK);
    life.in_callback = false;
    return KPOP_PENDING;
}

static void
say_owner(struct kpop_op *op)
{
    CHECK_INT(life.api->put_user(op, "alice"), KPOP_OK);
}

static int32_t
on_authorize(void *conn, struct kpop_op *op,
             const struct kpop_identity *identity)
{
    (void)conn, (void)identity;
    asked();
    return answer(op, KPOP_OK, say_owner);
}

static int32_t
on_password(void *conn, struct kpop_op *op, const char *user,
            const void *password, size_t size)
{
    (void)conn, (void)user, (void)password, (void)size;
    asked();
    return answer(op, KPOP_OK, no_facts);
}

/* Whoever says it holds the lock from here on. */
static void
say_box(struct kpop_op *op)
{
    CHECK_INT(life.locks, 0);
    CHECK_INT(life.opened, 0);
    life.locks++;
    life.opened++;
    CHECK_INT(life.api->put_box(op, &box, BOX_MESSAGES, 20), KPOP_OK);
}

static int32_t
on_open(void *conn, struct kpop_op *op, const struct kpop_open *what)
{
    (void)conn, (void)what;
    asked();
    CHECK_INT(life.opened, 0);
    return answer(op, KPOP_OK, say_box);
}

static void
asked_of_box(const void *which)
{
    asked();
    CHECK(which == &box);
    CHECK_INT(life.locks, 1);
    CHECK_INT(life.commits, 0);
}

static uint32_t list_first, list_count;

static void
say_messages(struct kpop_op *op)
{
    uint32_t i;

    for (i = 0; i < list_count; i++)
        CHECK_INT(life.api->put_msg(op, 10, list_first + i == 0 ? "a" : "b"),
                  KPOP_OK);
}

static int32_t
on_list(void *conn, struct kpop_op *op, void *which, uint32_t first,
        uint32_t count)
{
    (void)conn;
    asked_of_box(which);
    list_first = first;
    list_count = count;
    return answer(op, KPOP_OK, say_messages);
}

static int32_t
on_fetch(void *conn, struct kpop_op *op, void *which, uint32_t msg,
         uint64_t offset, void *buffer, uint32_t size, uint32_t flags)
{
    static const char text[] = "A: b\n\nabc\n";

    (void)conn, (void)msg, (void)size, (void)flags;
    asked_of_box(which);
    if (offset >= sizeof(text) - 1)
        return answer(op, 0, no_facts);
    memcpy(buffer, text, sizeof(text) - 1);
    return answer(op, sizeof(text) - 1, no_facts);
}

static int32_t
on_commit(void *conn, struct kpop_op *op, void *which, const uint8_t *marks,
          uint32_t count)
{
    int32_t result;

    (void)conn;
    asked_of_box(which);
    CHECK(life.quit_said);
    CHECK(!life.stopped_before_quit);
    CHECK_INT(count, BOX_MESSAGES);
    CHECK((marks[0] & KPOP_MARK_DELETE) == 0);
    CHECK((marks[1] & KPOP_MARK_DELETE) == 0 || life.dele_said);
    life.commits++;
    result = answer(op, KPOP_OK, no_facts);
    life.committed = result == KPOP_OK
                     || (life.kept == NULL && result == KPOP_PENDING);
    return result;
}

static void
on_close(void *conn, void *which)
{
    (void)conn;
    CHECK(which == &box);
    CHECK_INT(life.locks, 1);
    CHECK(life.kept == NULL); /* nothing that is asked needs it any more */
    life.locks--;
    life.closed++;
}

static void
on_cancel(void *conn, struct kpop_op *op)
{
    (void)conn;
    CHECK(life.kept == op);
    CHECK(!life.cancelled);
    life.cancelled = true;
}

static const struct kpop_host table = {
    .size = sizeof(struct kpop_host),
    .version = KPOP_ABI_MINOR,
    .log = on_log,
    .authorize = on_authorize,
    .verify_password = on_password,
    .open = on_open,
    .list = on_list,
    .fetch = on_fetch,
    .commit = on_commit,
    .close = on_close,
    .cancel = on_cancel,
};

/* ---- events ---- */

static void
done(void)
{
    struct kpop_op *op = life.kept;

    life.kept = NULL;
    life.kept_facts(op);
    if (life.commits > 0 && !life.committed)
        life.committed = life.kept_answer == KPOP_OK;
    CHECK_INT(life.api->done(op, life.kept_answer), KPOP_OK);
}

static size_t
output(void)
{
    const void *data;

    return life.api->output(life.session, &data);
}

static void
say(void)
{
    const char *line = life.lines[life.said++];

    life.dele_said = life.dele_said || strstr(line, "DELE 2") != NULL;
    life.quit_said = life.quit_said || strstr(line, "QUIT") != NULL;
    CHECK_INT(life.api->input(life.session, line, strlen(line), life.now),
              strlen(line));
}

static void
leave(void)
{
    life.ended = true;
    life.api->input_end(life.session, life.now);
}

static void
stop(void)
{
    life.stopped = true;
    life.stopped_before_quit = !life.quit_said;
    life.api->session_stop(life.session, life.now);
}

static void
tick(void)
{
    life.now += LONG_TIME;
    life.api->tick(life.session, life.now);
}

static void
close_session(void)
{
    struct kpop_session *session = life.session;

    life.session = NULL;
    life.api->session_close(session);
}

static void
drain(void)
{
    life.api->wrote(life.session, output());
}

/* One event of those that can come; false when the session is over. */
static bool
event(void)
{
    void (*can[8])(void);
    unsigned count = 0;

    if (life.session == NULL) {
        if (life.kept == NULL)
            return false;
        done();
        return true;
    }
    if (life.kept != NULL)
        can[count++] = done;
    if (output() > 0)
        can[count++] = drain;
    if ((life.api->wants(life.session) & KPOP_WANT_READ) != 0 && !life.ended
        && life.lines[life.said] != NULL)
        can[count++] = say;
    can[count++] = close_session;
    if (!life.ended)
        can[count++] = leave;
    if (!life.stopped)
        can[count++] = stop;
    if (life.api->deadline(life.session) != UINT64_MAX)
        can[count++] = tick;
    can[choose(count)]();
    return true;
}

/* ---- runs ---- */

static void
begin(const char *const *lines)
{
    char error[256] = "";

    const char *departures = getenv("LIFE_DEPARTURES");

    memset(&life, 0, sizeof(life));
    memset(&path, 0, sizeof(path));
    life.lines = lines;
    path.allowed = departures != NULL
                       ? (unsigned)strtoul(departures, NULL, 10)
                       : 4;
    CHECK_INT(kpop_plugin_entry(KPOP_ABI_MAJOR, &table, NULL, &life.plugin,
                                &life.api, error, sizeof(error)),
              KPOP_OK);
    CHECK_INT(life.api->set(life.plugin, "hostname", "mail.test", error,
                            sizeof(error)),
              KPOP_OK);
    CHECK_INT(life.api->set(life.plugin, "listen_kpop", "", error,
                            sizeof(error)),
              KPOP_OK);
    CHECK_INT(life.api->set(life.plugin, "plaintext", "always", error,
                            sizeof(error)),
              KPOP_OK);
    CHECK_INT(life.api->ready(life.plugin, error, sizeof(error)), KPOP_OK);
}

static void
run(void)
{
    const struct kpop_facts facts = {
        .size = sizeof(facts), .service = "pop3", .session_id = "s",
        .peer_address = "192.0.2.1", .local_address = "192.0.2.2",
    };
    struct kpop_stats stats = { .size = sizeof(stats) };

    life.opened = life.closed = life.commits = 0;
    life.committed = life.dele_said = life.quit_said = false;
    life.ended = life.stopped = life.stopped_before_quit = false;
    life.said = 0;
    life.now = 0;
    CHECK_INT(life.api->session_new(life.plugin, &facts, NULL, life.now,
                                    &life.session),
              KPOP_OK);
    while (event())
        continue;
    CHECK_INT(life.locks, 0);
    CHECK_INT(life.opened, life.closed);
    CHECK(life.commits <= 1);
    CHECK(!life.committed || life.quit_said);
    life.api->stats(life.plugin, &stats);
    CHECK_INT(stats.sessions_open, 0);
    life.runs++;
}

static void
play(const char *const *lines)
{
    begin(lines);
    do
        run();
    while (next_path());
    fprintf(stderr, "# %lu orders of events, up to %u departures\n",
            life.runs, path.allowed);
    life.api->free(life.plugin);
    CHECK(life.runs > 1000);
}

TEST(every_order_of_a_session_with_quit)
{
    play(with_quit);
}

TEST(every_order_of_a_session_without_quit)
{
    play(without_quit);
}

TEST(every_order_of_commands_that_come_at_once)
{
    play(at_once);
}

/* The choices themselves: without departures there is one run, which
 * commits. */
TEST(plain_session_commits)
{
    begin(with_quit);
    path.allowed = 0;
    run();
    CHECK_INT(life.commits, 1);
    CHECK(life.committed);
    CHECK(!next_path());
    life.api->free(life.plugin);
}

TEST_MAIN("life", T(plain_session_commits),
          T(every_order_of_a_session_with_quit),
          T(every_order_of_a_session_without_quit),
          T(every_order_of_commands_that_come_at_once))
