/*
 * serve.c - one whole connection for a host that has a thread or a process a
 * connection: poll(), read, write, and the slow goodbye at the end.  The only
 * file of the module that touches descriptors of clients; they stay the
 * host's.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "kpop/buf.h"
#include "plugin/internal.h"
#include "plugin/session.h"

enum {
    GOODBYE_MS = 2000,          /* for what the client still sends, ... */
    GOODBYE_OCTETS = 64 * 1024, /* ... so that no reset eats our last line */
    PIPE_PIECE = 512            /* POSIX's PIPE_BUF: never blocks after poll */
};

struct serving {
    struct kpop_session *session;
    int read_fd;
    int write_fd;
    bool read_is_over;
    bool write_is_broken;   /* nobody listens: answers go nowhere */
    bool is_pipe;           /* write_fd is no socket */
};

static uint64_t
now_ms(void)
{
    struct timespec now = { 0 };

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Milliseconds for poll(): -1 is for ever. */
static int
timeout_until(uint64_t deadline)
{
    uint64_t now = now_ms();

    if (deadline == UINT64_MAX)
        return -1;
    if (deadline <= now)
        return 0;
    return deadline - now < INT_MAX ? (int)(deadline - now) : INT_MAX;
}

static bool
is_passing(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static ssize_t
send_some(struct serving *serving, const void *data, size_t size)
{
    ssize_t n;

    if (!serving->is_pipe) {
        n = send(serving->write_fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0 || errno != ENOTSOCK)
            return n;
        serving->is_pipe = true;
    }
    /* A pipe's writer gets SIGPIPE unless the host ignores it. */
    return write(serving->write_fd, data,
                 size < PIPE_PIECE ? size : PIPE_PIECE);
}

/* Sends what there is, as far as it goes. */
static void
serve_write(struct serving *serving)
{
    const void *data;
    size_t size;
    ssize_t n;

    while ((size = kpop_output(serving->session, &data)) > 0) {
        if (serving->write_is_broken) {
            /* What the client asked for before it left, a QUIT perhaps, is
             * still done. */
            kpop_wrote(serving->session, size);
            continue;
        }
        n = send_some(serving, data, size);
        if (n > 0)
            kpop_wrote(serving->session, (size_t)n);
        else if (n < 0 && is_passing(errno))
            return;
        else
            serving->write_is_broken = true;
        if (serving->is_pipe)
            return; /* poll() again before the next piece */
    }
}

static void
serve_read(struct serving *serving)
{
    char data[KPOP_READ_MAX];
    ssize_t n = read(serving->read_fd, data, sizeof(data));

    if (n > 0) {
        (void)kpop_input(serving->session, data, (size_t)n, now_ms());
        wipe(data, (size_t)n);
    } else if (n == 0 || !is_passing(errno)) {
        serving->read_is_over = true;
        kpop_input_end(serving->session, now_ms());
    }
}

/* One wait and what it brought. */
static void
serve_turn(struct serving *serving, uint32_t wants)
{
    struct pollfd fds[2] = { { .fd = -1 }, { .fd = -1 } };
    uint64_t deadline = kpop_deadline(serving->session);

    if ((wants & KPOP_WANT_READ) != 0 && !serving->read_is_over) {
        fds[0].fd = serving->read_fd;
        fds[0].events = POLLIN;
    }
    if ((wants & KPOP_WANT_WRITE) != 0) {
        fds[1].fd = serving->write_fd;
        fds[1].events = POLLOUT;
    }
    if (poll(fds, 2, timeout_until(deadline)) < 0)
        return; /* EINTR: the deadline is looked at again */
    if (fds[1].revents != 0)
        serve_write(serving);
    if (fds[0].revents != 0
        && (kpop_wants(serving->session) & KPOP_WANT_READ) != 0)
        serve_read(serving);
    if (kpop_deadline(serving->session) <= now_ms())
        kpop_tick(serving->session, now_ms());
}

/* Reads and discards for a moment: unread input makes close() a reset. */
static void
serve_goodbye(struct serving *serving)
{
    uint64_t end = now_ms() + GOODBYE_MS;
    size_t left = GOODBYE_OCTETS;
    char data[4096];

    if (serving->read_is_over || serving->write_is_broken)
        return;
    if (shutdown(serving->write_fd, SHUT_WR) != 0)
        return; /* a pipe, or the client has gone: there is no reset */
    while (left > 0 && now_ms() < end) {
        struct pollfd fd = { .fd = serving->read_fd, .events = POLLIN };
        ssize_t n;

        if (poll(&fd, 1, timeout_until(end)) <= 0)
            continue;
        n = read(serving->read_fd, data, sizeof(data));
        if (n == 0 || (n < 0 && !is_passing(errno)))
            return;
        if (n > 0)
            left -= (size_t)n < left ? (size_t)n : left;
    }
    wipe(data, sizeof(data));
}

int32_t
kpop_serve(struct kpop_plugin *plugin, int32_t read_fd, int32_t write_fd,
           const struct kpop_facts *facts, void *conn)
{
    struct serving serving = { .read_fd = read_fd, .write_fd = write_fd };
    int32_t result = kpop_session_new(plugin, facts, conn, now_ms(),
                                      &serving.session);
    uint32_t wants;

    if (result != KPOP_OK)
        return result;
    for (;;) {
        serve_write(&serving);
        wants = kpop_wants(serving.session);
        if ((wants & KPOP_IS_TAKEN) != 0) {
            result = KPOP_TAKEN;
            break;
        }
        /* Nothing could ever wake us for a done(), or for a handshake. */
        if ((wants & (KPOP_IS_BUSY | KPOP_WANT_TLS)) != 0) {
            result = KPOP_INVALID;
            break;
        }
        if ((wants & KPOP_WANT_CLOSE) != 0
            && (wants & KPOP_WANT_WRITE) == 0) {
            serve_goodbye(&serving);
            result = serving.write_is_broken ? KPOP_TEMP : KPOP_OK;
            break;
        }
        serve_turn(&serving, wants);
    }
    kpop_session_close(serving.session);
    return result;
}
