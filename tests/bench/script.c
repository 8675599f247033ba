/*
 * script.c - what a session of the load generator does once it is logged in:
 * the steps of its work, each begun when the answer before it has come.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/fail.h"
#include "tests/bench/load.h"

enum { BATCH_MAX = 16384 };

/*
 * s STAT, l LIST, u UIDL, r RETR of all messages, d DELE of all, h stays until
 * the input of the program ends, q QUIT.
 */
static const struct {
    const char *work;
    const char *steps;
} works[] = {
    { "login-quit", "q" }, { "stat", "sq" },
    { "list", "sluq" },    { "retr-all", "srq" },
    { "retr-dele-quit", "srdq" }, { "idle", "h" },
};

static void take_step(struct session *session);

const char *
script_steps(const char *work)
{
    for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++)
        if (strcmp(works[i].work, work) == 0)
            return works[i].steps;
    return NULL;
}

void
script_say(struct session *session, next_step *next, const char *format, ...)
{
    char line[SAY_MAX];
    va_list list;
    int len;

    va_start(list, format);
    len = vsnprintf(line, sizeof(line) - 2, format, list);
    va_end(list);
    if (len < 0 || (size_t)len >= sizeof(line) - 2)
        fail("a line that is too long");
    memcpy(line + len, "\r\n", 2);
    line_await(session, EXPECT_LINE, next);
    line_send(session, line, (size_t)len + 2);
}

void
script_must_be(const struct session *session, const char *start,
               const char *answer, size_t len)
{
    if (len < strlen(start) || memcmp(answer, start, strlen(start)) != 0)
        fail("session %lu of user %lu: %.*s", session->number, session->user,
             (int)len, answer);
}

void
script_work(struct session *session)
{
    session->step = session->load->options.steps;
    take_step(session);
}

static void
stat_said(struct session *session, const char *answer, size_t len)
{
    if (sscanf(answer, "+OK %lu ", &session->messages) != 1)
        fail("STAT: %.*s", (int)len, answer);
    take_step(session);
}

static void
list_ended(struct session *session, const char *answer, size_t len)
{
    (void)answer;
    (void)len;
    take_step(session);
}

static void
list_begins(struct session *session, const char *answer, size_t len)
{
    script_must_be(session, "+OK", answer, len);
    session->sent = 1;
    line_await(session, EXPECT_BODY, list_ended);
}

/* As many as may be under way. */
static void
send_batch(struct session *session, const char *command)
{
    unsigned long most = session->load->options.pipeline;
    char batch[BATCH_MAX];
    size_t len = 0;

    if (session->sent > 0 || session->due == 0)
        return;
    for (; session->due > 0 && session->sent < most && len < BATCH_MAX - 32;
         session->due--, session->sent++)
        len += (size_t)snprintf(batch + len, sizeof(batch) - len,
                                "%s %lu\r\n", command,
                                (session->due - 1) % session->messages + 1);
    line_send(session, batch, len);
}

static void retr_begins(struct session *session, const char *answer,
                        size_t len);

static void
retr_ended(struct session *session, const char *answer, size_t len)
{
    (void)answer;
    (void)len;
    session->sent--;
    session->load->messages++;
    if (session->sent == 0 && session->due == 0) {
        take_step(session);
        return;
    }
    line_await(session, EXPECT_LINE, retr_begins);
    send_batch(session, "RETR");
}

static void
retr_begins(struct session *session, const char *answer, size_t len)
{
    script_must_be(session, "+OK", answer, len);
    line_await(session, EXPECT_BODY, retr_ended);
}

static void
deleted(struct session *session, const char *answer, size_t len)
{
    script_must_be(session, "+OK", answer, len);
    if (--session->sent == 0 && session->due == 0) {
        take_step(session);
        return;
    }
    line_await(session, EXPECT_LINE, deleted);
    send_batch(session, "DELE");
}

static void
send_all(struct session *session, const char *command, unsigned long times,
         next_step *next)
{
    session->due = session->messages * times;
    session->sent = 0;
    if (session->due == 0)
        fail("the maildrop of user %lu is empty", session->user);
    line_await(session, EXPECT_LINE, next);
    send_batch(session, command);
}

static void
ended(struct session *session, const char *answer, size_t len)
{
    (void)answer;
    (void)len;
    sessions_end(session);
}

static void
bye(struct session *session, const char *answer, size_t len)
{
    script_must_be(session, "+OK", answer, len);
    line_await(session, EXPECT_END, ended);
}

static void
take_step(struct session *session)
{
    switch (*session->step++) {
    case 's':
        script_say(session, stat_said, "STAT");
        break;
    case 'l':
        script_say(session, list_begins, "LIST");
        break;
    case 'u':
        script_say(session, list_begins, "UIDL");
        break;
    case 'r':
        send_all(session, "RETR", session->load->options.repeat, retr_begins);
        break;
    case 'd':
        send_all(session, "DELE", 1, deleted);
        break;
    case 'h':
        session->step--;
        sessions_hold(session);
        break;
    default:
        script_say(session, bye, "QUIT");
    }
}
