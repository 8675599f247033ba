/*
 * fuzz_control.c - what the processes of kpopd and its tools say to each
 * other, when one of them was taken over: the frames of workers to the master
 * and to auth processes, the requests of kpopctl and the answers that it
 * gets, and HTTP to the process of the metrics.  The first octet chooses.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "plugin/host/kpopd/authmsg.h"
#include "plugin/host/kpopd/control.h"
#include "plugin/host/kpopd/ipc.h"
#include "tests/fuzz/control.h"
#include "tests/fuzz/steady.h"

/* ---- a client of a talk ---- */

int
control_listen(void)
{
    /* The kernel chooses a name that is in no folder. */
    const struct sockaddr address = { .sa_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    script_expect(fd >= 0
                      && bind(fd, &address, sizeof(address.sa_family)) == 0
                      && listen(fd, 8) == 0,
                  "a socket");
    return fd;
}

static int
dial(const struct talk *talk)
{
    struct sockaddr_un address;
    socklen_t size = sizeof(address);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    script_expect(fd >= 0
                      && getsockname(talk->fd, (struct sockaddr *)&address,
                                     &size) == 0
                      && connect(fd, (struct sockaddr *)&address, size) == 0,
                  "a connection");
    return fd;
}

/* What the listener can do now; false when there is nothing. */
static bool
turn(const struct talk *talk)
{
    struct epoll_event events[16];
    int count = epoll_wait(talk->epoll, events, 16, 0);

    for (int i = 0; i < count; i++) {
        struct source *source = events[i].data.ptr;

        source->ready(source, events[i].events);
    }
    return count > 0;
}

/* All that comes; false at the end. */
static bool
hear(int fd, char answer[CONTROL_ANSWER_MAX], size_t *len)
{
    ssize_t got;

    do {
        script_expect(*len < CONTROL_ANSWER_MAX - 1, "a bounded answer");
        got = recv(fd, answer + *len, CONTROL_ANSWER_MAX - 1 - *len, 0);
        *len += got > 0 ? (size_t)got : 0;
    } while (got > 0);
    answer[*len] = '\0';
    return got < 0 && errno == EAGAIN;
}

size_t
control_converse(struct talk *talk, const struct said *said,
                 void (*idle)(void *arg), void *arg,
                 char answer[CONTROL_ANSWER_MAX])
{
    unsigned rounds = 100000;
    int fd = dial(talk);
    size_t sent = 0;
    size_t len = 0;
    bool goes_on = true;

    while (goes_on && --rounds > 0) {
        ssize_t n = 0;

        if (sent < said->len)
            n = send(fd, said->text + sent,
                     said->len - sent < said->piece ? said->len - sent
                                                    : said->piece,
                     MSG_NOSIGNAL);
        sent = n < 0 ? said->len : sent + (size_t)n;
        goes_on = turn(talk);
        if (!hear(fd, answer, &len))
            break;
        if (!goes_on && sent == said->len && idle != NULL) {
            idle(arg);
            idle = NULL;
            goes_on = true;
        }
        goes_on = goes_on || sent < said->len;
    }
    script_expect(rounds > 0, "a listener does not go round in a circle");
    close(fd);
    while (turn(talk))
        script_expect(--rounds > 0, "a client that went is let go");
    return len;
}

/* ---- frames alone ---- */

static void
frames(struct script *script)
{
    static uint8_t again[IPC_FRAME_MAX];
    struct auth_answer answer;
    struct control control;

    if (control_decode(script->data, script->size, &control))
        script_expect(control_encode(&control, again, sizeof(again))
                              == script->size
                          && memcmp(again, script->data, script->size) == 0,
                      "one way to write a frame");
    if (auth_answer_decode(script->data, script->size, &answer))
        script_expect(auth_answer_encode(&answer, again, sizeof(again))
                              == script->size
                          && memcmp(again, script->data, script->size) == 0,
                      "one way to write an answer");
}

static void
tool(struct script *script)
{
    size_t count;

    (void)control_tool((const char *)script->data, script->size, "session",
                       &count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const parts[])(struct script *script) = {
        frames, tool, control_auth, control_master, control_metrics,
    };
    struct script script = { data, size };

    steady_begin();
    parts[script_next(&script) % (sizeof(parts) / sizeof(parts[0]))](&script);
    return 0;
}
