/*
 * line.c - one connection of the load generator: what goes out, and the
 * pieces of what comes in, in the clear or inside TLS.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/fail.h"
#include "tests/bench/load.h"

static const char body_end[] = "\r\n.\r\n";
enum { BODY_END = sizeof(body_end) - 1 };

/* ---- TLS ---- */

static int
keep_spare(SSL *ssl, SSL_SESSION *spare)
{
    struct session *session = SSL_get_app_data(ssl);
    struct load *load = session->load;

    if (load->spares == SPARE_MAX)
        return 0;
    load->spare[load->spares++] = spare;
    return 1;
}

SSL_CTX *
line_tls(struct load *load)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

    if (tls == NULL || !SSL_CTX_set1_groups_list(tls, "P-256"))
        fail("TLS");
    /* A session ends with QUIT, not with close_notify. */
    SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    if (load->options.resume) {
        SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT
                                                | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(tls, keep_spare);
    }
    return tls;
}

/* False: it goes on when more has come. */
static bool
shake_hands(struct session *session)
{
    int result = SSL_connect(session->ssl);

    if (result != 1) {
        if (SSL_get_error(session->ssl, result) != SSL_ERROR_WANT_READ)
            fail("TLS: %s", ERR_error_string(ERR_peek_error(), NULL));
        return false;
    }
    if (SSL_session_reused(session->ssl))
        session->load->resumed++;
    return true;
}

void
line_secure(struct session *session, next_step *next)
{
    struct load *load = session->load;
    SSL_SESSION *spare;

    session->ssl = SSL_new(load->tls);
    if (session->ssl == NULL || !SSL_set_fd(session->ssl, session->fd))
        fail("TLS");
    SSL_set_app_data(session->ssl, session);
    if (load->spares > 0) {
        spare = load->spare[--load->spares];
        if (!SSL_set_session(session->ssl, spare))
            fail("a session of TLS can't be used again");
        SSL_SESSION_free(spare);
        load->offered++;
    }
    line_await(session, EXPECT_TLS, next);
    /* The server may have been fast. */
    if (shake_hands(session))
        next(session, NULL, 0);
}

/* ---- out ---- */

void
line_connect(struct session *session)
{
    struct load *load = session->load;
    struct sockaddr_in to = { .sin_family = AF_INET };
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = session };
    int on = 1;

    to.sin_port = htons((uint16_t)load->options.port);
    session->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (session->fd < 0
        || inet_pton(AF_INET, load->options.address, &to.sin_addr) != 1
        || connect(session->fd, (struct sockaddr *)&to, sizeof(to)) != 0
        || fcntl(session->fd, F_SETFL, O_NONBLOCK) != 0
        || setsockopt(session->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))
               != 0
        || epoll_ctl(load->epoll, EPOLL_CTL_ADD, session->fd, &event) != 0)
        fail("connecting: %s", strerror(errno));
    session->held_len = 0;
    session->ssl = NULL;
}

/* What is sent at once is far smaller than any socket's buffer. */
void
line_send(struct session *session, const void *octets, size_t len)
{
    ssize_t sent = session->ssl != NULL
                       ? SSL_write(session->ssl, octets, (int)len)
                       : send(session->fd, octets, len, MSG_NOSIGNAL);

    if (sent != (ssize_t)len)
        fail("session %lu: sending failed: %s", session->number,
             strerror(errno));
}

void
line_await(struct session *session, enum expect expect, next_step *next)
{
    session->expect = expect;
    session->next = next;
    /* The line before it has ended: a body may have no line. */
    session->matched = 2;
}

void
line_close(struct session *session)
{
    if (session->ssl != NULL)
        (void)SSL_shutdown(session->ssl);
    SSL_free(session->ssl);
    session->ssl = NULL;
    (void)close(session->fd);
    session->fd = -1;
}

/* ---- in ---- */

static void
match(struct session *session, char c)
{
    if (c == body_end[session->matched])
        session->matched++;
    else
        session->matched = c == '\r';
}

/* Octets up to the end of the body, or 0 when it is not among these. */
static size_t
find_end(struct session *session, const char *octets, size_t len)
{
    const char *end = NULL;
    size_t i = 0;

    for (; i < len && session->matched > 0; i++) {
        match(session, octets[i]);
        if (session->matched == BODY_END)
            return i + 1;
    }
    /* One that waits for one answer finds its end where the octets end. */
    if (session->sent > 1)
        end = memmem(octets + i, len - i, body_end, BODY_END);
    else if (len - i >= BODY_END
             && memcmp(octets + len - BODY_END, body_end, BODY_END) == 0)
        end = octets + len - BODY_END;
    if (end != NULL)
        return (size_t)(end - octets) + BODY_END;
    if (len - i > BODY_END - 1)
        i = len - (BODY_END - 1);
    for (; i < len; i++)
        match(session, octets[i]);
    return 0;
}

static uint32_t
frame_len(const char *octets)
{
    uint32_t len;

    memcpy(&len, octets, sizeof(len));
    return ntohl(len);
}

/* Octets that were used; 0 when the answer is not whole. */
static size_t
consume(struct session *session, const char *octets, size_t len)
{
    const char *end;
    size_t used = 0;

    switch (session->expect) {
    case EXPECT_LINE:
        end = memchr(octets, '\n', len);
        if (end != NULL) {
            used = (size_t)(end - octets) + 1;
            session->next(session, octets, used);
        }
        break;
    case EXPECT_BODY:
        used = find_end(session, octets, len);
        if (used == 0)
            return len;
        session->next(session, octets, used);
        break;
    case EXPECT_OCTETS:
        if (len >= session->wanted) {
            used = session->wanted;
            session->next(session, octets, used);
        }
        break;
    case EXPECT_FRAME:
        if (len >= 4 && len - 4 >= frame_len(octets)) {
            used = 4 + frame_len(octets);
            session->next(session, octets, used);
        }
        break;
    case EXPECT_TLS:
    case EXPECT_END:
        fail("session %lu: not expected: %.*s", session->number, (int)len,
             octets);
    }
    return used;
}

/* Octets behind those that are held; 0 at the end, -1 when none came. */
static ssize_t
receive(struct session *session)
{
    char *room = session->load->buffer + session->held_len;
    size_t size = BUFFER_SIZE - session->held_len;
    ssize_t got;

    if (session->ssl == NULL) {
        got = recv(session->fd, room, size, 0);
        if (got < 0 && errno != EAGAIN)
            fail("session %lu: %s", session->number, strerror(errno));
        return got;
    }
    got = SSL_read(session->ssl, room, (int)size);
    switch (SSL_get_error(session->ssl, (int)got)) {
    case SSL_ERROR_NONE:
        return got;
    case SSL_ERROR_WANT_READ:
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        fail("session %lu: TLS: %s", session->number,
             ERR_error_string(ERR_peek_error(), NULL));
    }
}

/* True when as much came as was asked for, so that there may be more. */
static bool
take(struct session *session, size_t got)
{
    char *buffer = session->load->buffer;
    size_t len = session->held_len + got;
    size_t at = 0;
    size_t used = 1;

    session->load->octets += got;
    while (at < len && used > 0 && session->expect != EXPECT_TLS) {
        used = consume(session, buffer + at, len - at);
        at += used;
    }
    if (len - at > HELD_MAX)
        fail("session %lu: an answer that is too long", session->number);
    session->held_len = len - at;
    memcpy(session->held, buffer + at, len - at);
    return session->ssl != NULL || len == BUFFER_SIZE;
}

void
line_read(struct session *session)
{
    ssize_t got;

    do {
        if (session->expect == EXPECT_TLS) {
            if (!shake_hands(session))
                return;
            session->next(session, NULL, 0);
        }
        memcpy(session->load->buffer, session->held, session->held_len);
        got = receive(session);
        if (got == 0 && session->expect != EXPECT_END)
            fail("session %lu: closed early", session->number);
        if (got == 0)
            session->next(session, NULL, 0);
    } while (got > 0 && take(session, (size_t)got));
}
