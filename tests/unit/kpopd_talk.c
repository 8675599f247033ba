/* LDFLAGS: -Wl,--wrap=accept4,--wrap=epoll_ctl,--wrap=send,--wrap=recv */
/*
 * kpopd_talk.c - short conversations on a socket: one request, one answer,
 * and a client, a kernel or a process without descriptors that spoils it.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/talk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "plugin/host/kpopd/process.h"
#include "tests/lib/check.h"

/* ---- the kernel ---- */

enum { EVENTS = 16, LATER = 60000 };

/* The call of this number fails, with this error; 0: none does. */
struct fault {
    int calls;
    int at;
    int error;
};

static struct fault accepting, watching, sending, receiving;

static bool
fails(struct fault *fault)
{
    if (++fault->calls != fault->at)
        return false;
    errno = fault->error;
    return true;
}

static void
set(struct fault *fault, int at, int error)
{
    fault->at = fault->calls + at;
    fault->error = error;
}

int __real_accept4(int fd, struct sockaddr *name, socklen_t *size, int flags);
int __wrap_accept4(int fd, struct sockaddr *name, socklen_t *size, int flags);
int __real_epoll_ctl(int epoll, int what, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int what, int fd, struct epoll_event *event);
ssize_t __real_send(int fd, const void *data, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags);
ssize_t __real_recv(int fd, void *data, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t size, int flags);

int
__wrap_accept4(int fd, struct sockaddr *name, socklen_t *size, int flags)
{
    return fails(&accepting) ? -1 : __real_accept4(fd, name, size, flags);
}

int
__wrap_epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
    return fails(&watching) ? -1 : __real_epoll_ctl(epoll, what, fd, event);
}

ssize_t
__wrap_send(int fd, const void *data, size_t size, int flags)
{
    return fails(&sending) ? -1 : __real_send(fd, data, size, flags);
}

/* The test's own clients use read(). */
ssize_t
__wrap_recv(int fd, void *data, size_t size, int flags)
{
    return fails(&receiving) ? -1 : __real_recv(fd, data, size, flags);
}

/* ---- a server ---- */

static struct talk talk;
static int epoll = -1;
static size_t long_answer; /* octets of it; 0: "ANSWER" */
static bool is_held;
static bool has_no_memory;
static struct sockaddr_un name;

static bool
is_whole(const char *request)
{
    return strchr(request, '\n') != NULL;
}

static void
ask(void *arg, struct talk_client *client)
{
    const size_t len = long_answer > 0 ? long_answer : 6;
    char *answer;

    CHECK(arg == &talk);
    if (is_held) {
        talk_hold(client, malloc(1), process_now() + LATER);
        return;
    }
    answer = has_no_memory ? NULL : malloc(len);
    if (answer != NULL && long_answer > 0)
        memset(answer, 'x', len);
    else if (answer != NULL)
        memcpy(answer, "ANSWER", len);
    talk_answer(client, answer, len);
}

static bool
nobody(void *arg, int fd)
{
    (void)arg;
    (void)fd;
    return false;
}

static void
begin(const struct talk_rules *rules)
{
    static const struct talk_rules all = { NULL, is_whole, ask };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    memset(&accepting, 0, sizeof(accepting));
    memset(&watching, 0, sizeof(watching));
    memset(&sending, 0, sizeof(sending));
    memset(&receiving, 0, sizeof(receiving));
    long_answer = 0;
    is_held = false;
    has_no_memory = false;
    epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(fd >= 0 && epoll >= 0);
    name.sun_family = AF_UNIX;
    /* Of the abstract space: it goes with its socket. */
    (void)snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1,
                   "kpop-talk-%ld", (long)getpid());
    CHECK_INT(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    CHECK_INT(listen(fd, 64), 0);
    talk_init(&talk, rules != NULL ? rules : &all, &talk, epoll);
    CHECK_INT(talk_open(&talk, fd), 0);
}

static void
end(void)
{
    talk_close(&talk);
    close(epoll);
}

/* What is ready now, and then the clock. */
static void
turn_at(uint64_t now)
{
    struct epoll_event events[EVENTS];
    struct source *source;
    int count = epoll_wait(epoll, events, EVENTS, 0);
    int i;

    for (i = 0; i < count; i++) {
        source = events[i].data.ptr;
        source->ready(source, events[i].events);
    }
    talk_tend(&talk, now);
}

static void
turns(int count)
{
    while (count-- > 0)
        turn_at(process_now());
}

static int
come(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    CHECK_INT(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    return fd;
}

static void
say(int fd, const char *text)
{
    CHECK_INT(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* All that came; -1: it goes on. */
static ssize_t
hear(int fd, char *out, size_t size)
{
    size_t len = 0;
    ssize_t n;

    while ((n = read(fd, out + len, size - len)) > 0)
        len += (size_t)n;
    return n == 0 || errno == ECONNRESET ? (ssize_t)len : -1;
}

static void
is_answered(int fd)
{
    char text[100];
    ssize_t len = hear(fd, text, sizeof(text));

    CHECK_MEM(text, (size_t)len, "ANSWER", 6);
    close(fd);
}

static void
is_let_go(int fd)
{
    char text[100];

    CHECK_INT(hear(fd, text, sizeof(text)), 0);
    close(fd);
}

static size_t
clients(void)
{
    size_t count = 0;
    size_t i;

    for (i = 0; i < TALK_CLIENTS; i++)
        count += talk.clients[i].fd >= 0;
    return count;
}

/* ---- the tests ---- */

TEST(a_request_in_pieces_has_its_answer)
{
    int fd;

    begin(NULL);
    fd = come();
    turns(1);
    say(fd, "ques");
    turns(2);
    say(fd, "tion\nand more");
    turns(3);
    say(fd, "and more");
    turns(2);
    is_answered(fd);
    turns(1);
    CHECK_INT(clients(), 0);
    end();
}

TEST(an_answer_that_does_not_fit_goes_out_in_pieces)
{
    static char text[3 << 20];
    ssize_t len = 0;
    ssize_t n;
    int fd;

    begin(NULL);
    long_answer = 2 << 20;
    fd = come();
    say(fd, "question\n");
    turns(2);
    CHECK_INT(clients(), 1);
    set(&sending, 1, EINTR);
    while ((n = read(fd, text + len, sizeof(text) - (size_t)len)) != 0) {
        len += n > 0 ? n : 0;
        turns(1);
    }
    CHECK_INT(len, 2 << 20);
    close(fd);
    end();
}

TEST(who_hangs_up_or_says_too_much_is_let_go)
{
    static char long_request[TALK_REQUEST_MAX + 2];
    int fd;

    begin(NULL);
    fd = come();
    say(fd, "ques");
    turns(2);
    close(fd);
    turns(2);
    CHECK_INT(clients(), 0);
    fd = come();
    memset(long_request, 'x', TALK_REQUEST_MAX);
    say(fd, long_request);
    turns(3);
    is_let_go(fd);
    fd = come();
    CHECK_INT(write(fd, "a\0b\n", 4), 4);
    turns(3);
    CHECK_INT(clients(), 1); /* it is no text, so it is never whole */
    close(fd);
    end();
}

TEST(who_may_not_talk_is_closed)
{
    static const struct talk_rules rules = { nobody, is_whole, ask };
    int fd;

    begin(&rules);
    fd = come();
    turns(2);
    is_let_go(fd);
    CHECK_INT(clients(), 0);
    end();
}

TEST(the_oldest_makes_room)
{
    int fds[TALK_CLIENTS + 1];
    size_t i;

    begin(NULL);
    for (i = 0; i <= TALK_CLIENTS; i++) {
        fds[i] = come();
        turns(1);
        talk.clients[i % TALK_CLIENTS].since = i + 1;
    }
    CHECK_INT(clients(), TALK_CLIENTS);
    is_let_go(fds[0]);
    say(fds[TALK_CLIENTS], "question\n");
    turns(2);
    is_answered(fds[TALK_CLIENTS]);
    for (i = 1; i < TALK_CLIENTS; i++)
        close(fds[i]);
    end();
}

TEST(who_takes_too_long_is_let_go)
{
    int fd;

    begin(NULL);
    fd = come();
    turns(1);
    turn_at(process_now() + TALK_MS + 1);
    is_let_go(fd);
    is_held = true;
    fd = come();
    say(fd, "question\n");
    turns(2);
    turn_at(process_now() + TALK_MS + 1);
    CHECK_INT(clients(), 1);
    turn_at(process_now() + LATER + 1);
    is_let_go(fd);
    end();
}

/* epoll would wake the process for as long as it has no descriptor. */
TEST(a_listener_without_descriptors_rests)
{
    int fd;

    begin(NULL);
    fd = come();
    say(fd, "question\n");
    set(&accepting, 1, EMFILE);
    turns(20);
    CHECK_INT(accepting.calls, 1);
    set(&watching, 1, ENOMEM);
    turn_at(process_now() + LATER);
    turns(20);
    CHECK_INT(accepting.calls, 1);
    turn_at(process_now() + LATER);
    turns(2);
    is_answered(fd);
    end();
}

TEST(a_client_that_left_before_it_was_accepted_is_none)
{
    int fd;

    begin(NULL);
    fd = come();
    say(fd, "question\n");
    set(&accepting, 1, ECONNABORTED);
    turns(1);
    set(&accepting, 1, EINTR);
    turns(2);
    is_answered(fd);
    end();
}

TEST(what_the_kernel_refuses_ends_one_conversation)
{
    int fd;

    begin(NULL);
    fd = come();
    set(&watching, 1, ENOMEM); /* the client */
    turns(1);
    is_let_go(fd);
    fd = come();
    say(fd, "question\n");
    turns(1);
    set(&receiving, 1, EINTR);
    turns(1);
    CHECK_INT(clients(), 1);
    set(&sending, 1, ECONNRESET);
    turns(1);
    is_let_go(fd);
    fd = come();
    say(fd, "question\n");
    turns(1);
    set(&receiving, 1, EIO);
    turns(1);
    is_let_go(fd);
    has_no_memory = true;
    fd = come();
    say(fd, "question\n");
    turns(2);
    is_let_go(fd);
    CHECK_INT(clients(), 0);
    end();
}

TEST(a_socket_that_cannot_be_watched_is_closed)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    begin(NULL);
    talk_close(&talk);
    talk_close(&talk);
    set(&watching, 1, ENOSPC);
    CHECK_INT(talk_open(&talk, fd), -1);
    CHECK_INT(errno, ENOSPC);
    CHECK_INT(talk.fd, -1);
    CHECK_INT(close(fd), -1);
    end();
}

TEST_MAIN("kpopd_talk", T(a_request_in_pieces_has_its_answer),
          T(an_answer_that_does_not_fit_goes_out_in_pieces),
          T(who_hangs_up_or_says_too_much_is_let_go),
          T(who_may_not_talk_is_closed), T(the_oldest_makes_room),
          T(who_takes_too_long_is_let_go),
          T(a_listener_without_descriptors_rests),
          T(a_client_that_left_before_it_was_accepted_is_none),
          T(what_the_kernel_refuses_ends_one_conversation),
          T(a_socket_that_cannot_be_watched_is_closed))
