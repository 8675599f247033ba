/*
 * bare.c - the bound that kpopd is compared with: a POP3 server that does no
 * more than it must.  One process, one epoll, every password is right, all
 * messages are one text in memory.  It knows USER, PASS, AUTH PLAIN with its
 * message, STLS, STAT, RETR and QUIT.
 *
 *   bare MESSAGES OCTETS [CERTIFICATE KEY]
 *
 * It prints "ports POP3 POP3S" (0 without a certificate) and serves on
 * 127.0.0.1 until its input ends.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/bench/fail.h"

enum { IN_MAX = 512, EVENTS_MAX = 256, RECORD = 16384, BACKLOG = 4096 };

struct conn {
    int fd;
    SSL *ssl;
    bool shakes; /* hands, in TLS */
    bool greets; /* behind that */
    bool ends;   /* QUIT was said */
    bool full;   /* the socket takes no more now */
    char in[IN_MAX];
    size_t in_len;
    const char *left; /* of the message being sent */
    size_t left_len;
};

static struct {
    int epoll;
    SSL_CTX *tls;
    unsigned long messages;
    size_t octets; /* of one */
    char *text;    /* it, ready to be sent, the dot behind it */
    size_t text_len;
} bare;

static int listeners[2];

/* ---- out ---- */

static void
hang_up(struct conn *conn)
{
    SSL_free(conn->ssl);
    (void)close(conn->fd);
    free(conn);
}

static void
want(struct conn *conn, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = conn };

    conn->full = events == EPOLLOUT;
    (void)epoll_ctl(bare.epoll, EPOLL_CTL_MOD, conn->fd, &event);
}

/* Octets that were taken. */
static size_t
put(struct conn *conn, const char *octets, size_t len)
{
    ssize_t sent;

    if (conn->ssl != NULL)
        sent = SSL_write(conn->ssl, octets, len < RECORD ? (int)len : RECORD);
    else
        sent = send(conn->fd, octets, len, MSG_NOSIGNAL);
    return sent < 0 ? 0 : (size_t)sent;
}

static void
say(struct conn *conn, const char *line)
{
    (void)put(conn, line, strlen(line));
}

static void
send_left(struct conn *conn)
{
    while (conn->left_len > 0) {
        size_t sent = put(conn, conn->left, conn->left_len);

        if (sent == 0) {
            want(conn, EPOLLOUT);
            return;
        }
        conn->left += sent;
        conn->left_len -= sent;
    }
    if (conn->full)
        want(conn, EPOLLIN);
}

static void
retrieve(struct conn *conn)
{
    char line[64];
    int len = snprintf(line, sizeof(line), "+OK %zu octets\r\n", bare.octets);
    struct iovec parts[] = { { line, (size_t)len },
                             { bare.text, bare.text_len } };
    ssize_t sent;

    conn->left = bare.text;
    conn->left_len = bare.text_len;
    if (conn->ssl != NULL) {
        (void)put(conn, line, (size_t)len);
    } else {
        sent = writev(conn->fd, parts, 2);
        if (sent < len)
            return; /* what was to be sent before fits its buffer */
        conn->left += sent - len;
        conn->left_len -= (size_t)(sent - len);
    }
    send_left(conn);
}

/* ---- in ---- */

static void
begin_tls(struct conn *conn)
{
    conn->ssl = SSL_new(bare.tls);
    conn->shakes = true;
    if (conn->ssl == NULL || !SSL_set_fd(conn->ssl, conn->fd))
        fail("TLS");
    SSL_set_accept_state(conn->ssl);
}

static bool
is(const char *line, const char *verb)
{
    return strncasecmp(line, verb, strlen(verb)) == 0;
}

static void
answer(struct conn *conn, const char *line)
{
    char text[64];

    if (is(line, "RETR ")) {
        retrieve(conn);
    } else if (is(line, "STAT")) {
        (void)snprintf(text, sizeof(text), "+OK %lu %zu\r\n", bare.messages,
                       bare.messages * bare.octets);
        say(conn, text);
    } else if (is(line, "QUIT")) {
        say(conn, "+OK bye\r\n");
        conn->ends = true;
    } else if (is(line, "STLS") && bare.tls != NULL) {
        say(conn, "+OK begin\r\n");
        begin_tls(conn);
    } else if (is(line, "USER ") || is(line, "PASS ")
               || is(line, "AUTH PLAIN ")) {
        say(conn, "+OK\r\n");
    } else {
        say(conn, "-ERR what?\r\n");
    }
}

static void
take_lines(struct conn *conn)
{
    char *at = conn->in;
    char *end = conn->in + conn->in_len;
    char *stop;

    /* One message at a time: the lines wait. */
    while (!conn->ends && conn->left_len == 0
           && (stop = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        *stop = '\0';
        answer(conn, at);
        at = stop + 1;
    }
    conn->in_len = (size_t)(end - at);
    memmove(conn->in, at, conn->in_len);
}

/* Octets that came, 0 for none yet, -1 at the end. */
static ssize_t
receive(struct conn *conn)
{
    char *room = conn->in + conn->in_len;
    size_t size = IN_MAX - conn->in_len;
    ssize_t got;

    if (conn->ssl == NULL) {
        got = recv(conn->fd, room, size, 0);
        return got > 0 ? got : got < 0 && errno == EAGAIN ? 0 : -1;
    }
    got = SSL_read(conn->ssl, room, (int)size);
    if (got > 0)
        return got;
    return SSL_get_error(conn->ssl, (int)got) == SSL_ERROR_WANT_READ ? 0 : -1;
}

static void
shake_hands(struct conn *conn)
{
    int result = SSL_do_handshake(conn->ssl);

    if (result == 1) {
        conn->shakes = false;
        if (conn->greets)
            say(conn, "+OK ready\r\n");
    } else if (SSL_get_error(conn->ssl, result) != SSL_ERROR_WANT_READ) {
        hang_up(conn);
    }
}

static void
serve(struct conn *conn)
{
    ssize_t got;

    if (conn->shakes) {
        shake_hands(conn);
        return; /* what the client says next comes as an event */
    }
    if (conn->full) {
        send_left(conn);
        if (!conn->full)
            take_lines(conn); /* that came behind the RETR */
        return;
    }
    do {
        got = receive(conn);
        if (got > 0) {
            conn->in_len += (size_t)got;
            take_lines(conn);
        }
    } while (got > 0 && !conn->ends && !conn->full && conn->ssl != NULL
             && SSL_pending(conn->ssl) > 0);
    if (got < 0 || conn->ends)
        hang_up(conn);
}

/* ---- the process ---- */

static void
greet(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN };
    struct conn *conn;
    int on = 1;

    if (fd < 0)
        return;
    conn = calloc(1, sizeof(*conn));
    if (conn == NULL)
        fail("no memory");
    conn->fd = fd;
    event.data.ptr = conn;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (epoll_ctl(bare.epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        fail("epoll: %s", strerror(errno));
    if (listener == listeners[1]) {
        begin_tls(conn);
        conn->greets = true;
    } else {
        say(conn, "+OK ready\r\n");
    }
}

static int
listen_somewhere(int *fd)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t len = sizeof(at);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = fd };

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0 || bind(*fd, (struct sockaddr *)&at, sizeof(at)) != 0
        || listen(*fd, BACKLOG) != 0
        || getsockname(*fd, (struct sockaddr *)&at, &len) != 0
        || epoll_ctl(bare.epoll, EPOLL_CTL_ADD, *fd, &event) != 0)
        fail("listening: %s", strerror(errno));
    return ntohs(at.sin_port);
}

static void
make_text(void)
{
    static const char line[] = "This is a line of a message of the bench, of "
                               "seventy-six octets in all ....\r\n";
    size_t step = sizeof(line) - 1;

    bare.text = malloc(bare.octets + step + 3);
    if (bare.text == NULL)
        fail("no memory");
    while (bare.text_len < bare.octets) {
        memcpy(bare.text + bare.text_len, line, step);
        bare.text_len += step;
    }
    bare.octets = bare.text_len;
    memcpy(bare.text + bare.text_len, ".\r\n", 3);
    bare.text_len += 3;
}

static void
make_tls(const char *certificate, const char *key)
{
    bare.tls = SSL_CTX_new(TLS_server_method());
    if (bare.tls == NULL
        || SSL_CTX_use_certificate_chain_file(bare.tls, certificate) != 1
        || SSL_CTX_use_PrivateKey_file(bare.tls, key, SSL_FILETYPE_PEM) != 1)
        fail("%s, %s: no certificate and key", certificate, key);
    SSL_CTX_set_mode(bare.tls, SSL_MODE_RELEASE_BUFFERS
                                   | SSL_MODE_ENABLE_PARTIAL_WRITE
                                   | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(bare.tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
}

int
main(int argc, char **argv)
{
    struct epoll_event events[EVENTS_MAX];
    struct epoll_event input = { .events = EPOLLIN, .data.ptr = &bare };
    struct rlimit files;
    int count = 0;
    int port;

    if (argc != 3 && argc != 5)
        return 2;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    bare.epoll = epoll_create1(EPOLL_CLOEXEC);
    bare.messages = strtoul(argv[1], NULL, 10);
    bare.octets = strtoul(argv[2], NULL, 10);
    make_text();
    port = listen_somewhere(&listeners[0]);
    if (argc == 5)
        make_tls(argv[3], argv[4]);
    printf("ports %d %d\n", port,
           argc == 5 ? listen_somewhere(&listeners[1]) : 0);
    (void)fflush(stdout);
    (void)epoll_ctl(bare.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input);
    while (count >= 0 || errno == EINTR) {
        count = epoll_wait(bare.epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            void *what = events[i].data.ptr;

            if (what == &bare)
                return 0;
            if (what == &listeners[0] || what == &listeners[1])
                greet(*(int *)what);
            else
                serve(what);
        }
    }
    return 1;
}
