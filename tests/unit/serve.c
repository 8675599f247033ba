/*
 * serve.c - tests of serve(): whole connections over sockets and pipes, with
 * clients that leave, stay, flood or say nothing, hosts that break the rules,
 * and each of its system calls failing in turn.  The client is a thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/check.h"
#include "tests/unit/faults.h"
#include "tests/unit/stub.h"

FAULT(int, poll, -1, (struct pollfd * fds, nfds_t n, int ms), (fds, n, ms))
FAULT(ssize_t, send, -1, (int fd, const void *at, size_t n, int flags),
      (fd, at, n, flags))
FAULT(int, shutdown, -1, (int fd, int how), (fd, how))

ssize_t __real_read(int fd, void *at, size_t n);
ssize_t __wrap_read(int fd, void *at, size_t n);

static pthread_t server; /* whose calls fail */

ssize_t
__wrap_read(int fd, void *at, size_t n)
{
    return pthread_equal(pthread_self(), server) && faults_now("read")
               ? -1 : __real_read(fd, at, n);
}

static struct stub stub;

/* ---- the client ---- */

enum client_end {
    READS,  /* what it is told, to the end */
    GOES,   /* before the first answer, without reading it */
    STAYS,  /* reads to the end, and never closes */
    FLOODS  /* goes on talking behind its last command */
};

static struct client {
    int in;
    int out;
    const char *says;
    size_t size;
    enum client_end end;
    char heard[1 << 19];
    size_t heard_len;
} client;

static void
client_close(void)
{
    if (client.in >= 0)
        (void)close(client.in);
    if (client.out >= 0 && client.out != client.in)
        (void)close(client.out);
    client.in = client.out = -1;
}

static void
client_says(const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = write(client.out, text, size);

        if (n <= 0)
            return;
        text += n;
        size -= (size_t)n;
    }
}

static void *
client_run(void *arg)
{
    static const char noise[4096] = "noise";
    ssize_t n;

    (void)arg;
    client_says(client.says, client.size);
    while (client.end != GOES
           && (n = recv(client.in, client.heard + client.heard_len,
                        sizeof(client.heard) - 1 - client.heard_len, 0)) > 0)
        client.heard_len += (size_t)n;
    client.heard[client.heard_len] = '\0';
    for (int i = 0; client.end == FLOODS && i < 64; i++)
        client_says(noise, sizeof(noise));
    if (client.end != STAYS)
        client_close();
    return NULL;
}

/* ---- the server ---- */

static const struct kpop_facts facts = { .size = sizeof(facts),
                                         .service = "pop3",
                                         .peer_address = "192.0.2.1" };

static int32_t
serve_on(int in, int out, const struct kpop_facts *who)
{
    pthread_t thread;
    int32_t result;

    server = pthread_self();
    CHECK_INT(pthread_create(&thread, NULL, client_run, NULL), 0);
    if (client.end == GOES)
        CHECK_INT(pthread_join(thread, NULL), 0);
    faults_inside(true);
    result = stub.api->serve(stub.plugin, in, out, who, &stub);
    faults_inside(false);
    (void)close(in);
    if (out != in)
        (void)close(out);
    if (client.end != GOES)
        CHECK_INT(pthread_join(thread, NULL), 0);
    client_close();
    return result;
}

static int32_t
serve_this(const char *says, size_t size, enum client_end end)
{
    int fds[2];

    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    client = (struct client){ .in = fds[1], .out = fds[1], .says = says,
                              .size = size, .end = end };
    return serve_on(fds[0], fds[0], &facts);
}

static int32_t
serve(const char *says, enum client_end end)
{
    return serve_this(says, strlen(says), end);
}

static bool
heard(const char *text)
{
    return strstr(client.heard, text) != NULL;
}

/* Milliseconds since then, which was the result of a call before. */
static long
since(struct timespec *then)
{
    struct timespec now;
    long ms;

    CHECK_INT(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    ms = (now.tv_sec - then->tv_sec) * 1000
         + (now.tv_nsec - then->tv_nsec) / 1000000;
    *then = now;
    return ms;
}

static const char session[] = "USER alice\r\nPASS secret\r\nRETR 1\r\n"
                              "DELE 2\r\nQUIT\r\n";

/* ---- clients ---- */

TEST(session_over_a_socket_ends_in_order)
{
    stub_begin(&stub, &stub_passwords);
    CHECK_INT(serve(session, READS), KPOP_OK);
    CHECK(strncmp(client.heard, "+OK ", 4) == 0);
    CHECK(heard("\r\n.\r\n"));
    CHECK_INT(stub.deleted, 1);
    stub_end(&stub);
}

TEST(session_over_two_pipes_ends_in_order)
{
    int up[2], down[2];

    stub_begin(&stub, &stub_passwords);
    CHECK_INT(pipe(up), 0);
    CHECK_INT(pipe(down), 0);
    /* What is longer than a pipe takes without blocking goes in pieces. */
    client = (struct client){ .in = -1, .out = up[1], .end = GOES,
                              .says = session,
                              .size = sizeof(session) - 1 };
    CHECK_INT(serve_on(up[0], down[1], &facts), KPOP_OK);
    client.heard_len = (size_t)read(down[0], client.heard,
                                    sizeof(client.heard) - 1);
    CHECK(heard("+OK ") && heard("\r\n.\r\n"));
    CHECK_INT(close(down[0]), 0);
    CHECK_INT(stub.deleted, 1);
    stub_end(&stub);
}

TEST(client_that_hangs_up_behind_quit_has_its_deletions)
{
    stub_begin(&stub, &stub_passwords);
    CHECK_INT(serve(session, GOES), KPOP_TEMP);
    CHECK_INT(stub.deleted, 1);
    stub_end(&stub);
}

TEST(client_that_hangs_up_without_quit_has_none)
{
    stub_begin(&stub, &stub_passwords);
    (void)serve("USER alice\r\nPASS secret\r\nDELE 1\r\n", GOES);
    CHECK_INT(stub.asked[STUB_OPEN], 1);
    CHECK_INT(stub.asked[STUB_COMMIT], 0);
    stub_end(&stub);
}

TEST(client_that_stays_is_left_after_two_seconds)
{
    struct timespec begun = { 0 };
    long ms;

    stub_begin(&stub, &stub_passwords);
    (void)since(&begun);
    CHECK_INT(serve(session, STAYS), KPOP_OK);
    ms = since(&begun);
    CHECK(ms >= 2000);
    CHECK_INT(stub.deleted, 1);
    stub_end(&stub);
}

TEST(client_that_floods_behind_the_end_is_not_read_for_ever)
{
    stub_begin(&stub, &stub_passwords);
    (void)signal(SIGPIPE, SIG_IGN); /* the client's, here */
    CHECK_INT(serve(session, FLOODS), KPOP_OK);
    CHECK(heard("\r\n.\r\n"));
    CHECK_INT(stub.deleted, 1);
    stub_end(&stub);
}

/* More than all buffers between the two hold. */
TEST(client_that_reads_late_gets_every_answer)
{
    enum { NOOPS = 40000 };
    static char says[8 * NOOPS + 100];
    char *at = says;
    size_t answers = 0;

    at += sprintf(at, "USER alice\r\nPASS secret\r\n");
    for (int i = 0; i < NOOPS; i++)
        at += sprintf(at, "STAT\r\n");
    (void)sprintf(at, "QUIT\r\n");
    stub_begin(&stub, &stub_passwords);
    CHECK_INT(serve(says, READS), KPOP_OK);
    for (const char *p = client.heard; (p = strstr(p, "+OK ")) != NULL; p++)
        answers++;
    CHECK_INT(answers, 1 + 2 + NOOPS + 1);
    stub_end(&stub);
}

TEST(client_that_says_nothing_meets_the_deadline)
{
    stub_begin(&stub, &stub_passwords);
    CHECK_INT(stub.api->set(stub.plugin, "login_timeout", "1", NULL, 0),
              KPOP_OK);
    CHECK_INT(stub.api->ready(stub.plugin, NULL, 0), KPOP_OK);
    CHECK_INT(serve("USER alice\r\n", READS), KPOP_OK);
    CHECK_STR(client.heard, "+OK mail.test kpop ready\r\n+OK now PASS\r\n");
    stub_end(&stub);
}

/* ---- hosts ---- */

TEST(host_that_answers_later_cannot_be_served)
{
    stub_begin(&stub, &stub_passwords);
    stub.mode = STUB_LATER;
    CHECK_INT(serve(session, READS), KPOP_INVALID);
    CHECK_INT(stub.cancels, 1);
    stub_end(&stub);
}

TEST(host_that_does_tls_itself_cannot_be_served)
{
    struct kpop_facts more = facts;
    int fds[2];

    more.flags = KPOP_FACT_HOST_TLS;
    stub_begin(&stub, &stub_passwords);
    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    client = (struct client){ .in = fds[1], .out = fds[1],
                              .says = "STLS\r\n", .size = 6 };
    CHECK_INT(serve_on(fds[0], fds[0], &more), KPOP_INVALID);
    CHECK(heard("+OK "));
    stub_end(&stub);
}

TEST(taken_connection_is_given_back)
{
    stub_begin(&stub, &stub_exchange);
    stub.answers[STUB_START] = KPOP_TAKEN;
    CHECK_INT(serve("USER alice\r\nPASS secret\r\n", READS), KPOP_TAKEN);
    stub_end(&stub);
}

TEST(unknown_service_is_refused_before_a_word)
{
    struct kpop_facts odd = facts;
    int fds[2];

    odd.service = "imap";
    stub_begin(&stub, &stub_passwords);
    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    client = (struct client){ .in = fds[1], .out = fds[1], .says = "",
                              .size = 0 };
    CHECK_INT(serve_on(fds[0], fds[0], &odd), KPOP_INVALID);
    CHECK_STR(client.heard, "");
    stub_end(&stub);
}

/* ---- each call in turn ---- */

/* Nothing is deleted but by a QUIT that was read. */
static void
sweep(enum fault_kind kind)
{
    const char *failed;
    size_t n = 0;

    do {
        int32_t result;

        stub_begin(&stub, &stub_passwords);
        faults_arm(n++, kind);
        result = serve(session, READS);
        failed = faults_disarm();
        if (kind == FAULT_SIGNAL || failed == NULL)
            CHECK_INT(result, KPOP_OK);
        CHECK(result == KPOP_OK || result == KPOP_TEMP);
        CHECK_INT(stub.deleted, stub.asked[STUB_COMMIT]);
        if (kind == FAULT_SIGNAL)
            CHECK_INT(stub.deleted, 1);
        stub_end(&stub);
    } while (failed != NULL && n < 1000);
    CHECK(n > 5 && n < 1000);
}

TEST(signals_change_nothing)
{
    sweep(FAULT_SIGNAL);
}

TEST(each_broken_call_ends_the_session_and_deletes_nothing_unasked)
{
    sweep(FAULT_OTHER);
}

TEST_MAIN("serve", T(session_over_a_socket_ends_in_order),
          T(session_over_two_pipes_ends_in_order),
          T(client_that_hangs_up_behind_quit_has_its_deletions),
          T(client_that_hangs_up_without_quit_has_none),
          T(client_that_stays_is_left_after_two_seconds),
          T(client_that_floods_behind_the_end_is_not_read_for_ever),
          T(client_that_reads_late_gets_every_answer),
          T(client_that_says_nothing_meets_the_deadline),
          T(host_that_answers_later_cannot_be_served),
          T(host_that_does_tls_itself_cannot_be_served),
          T(taken_connection_is_given_back),
          T(unknown_service_is_refused_before_a_word),
          T(signals_change_nothing),
          T(each_broken_call_ends_the_session_and_deletes_nothing_unasked))
