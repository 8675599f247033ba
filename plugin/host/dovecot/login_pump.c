/*
 * login_pump.c - between Dovecot's streams and the session: octets, TLS and
 * timers.  The session decides; nothing of the client's is looked at here but
 * where its lines end.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/dovecot/login.h"

#include <ioloop.h>
#include <iostream-ssl.h>
#include <istream.h>
#include <ostream.h>

#include <sys/socket.h>

/* An answer that is out must be read before a reset destroys it. */
#define LINGER_MSECS 2000u
#define LINGER_OCTETS 65536u

/* Dovecot's delay for failures is 2 s unless auth_failure_delay says more. */
#define FAILING_MSECS 20000u

/* As far ahead as a timer is set. */
#define HOUR_MSECS 3600000u

static void login_pump(struct client *client);
static void login_input(struct client *client);

/* ---- the end ---- */

static void
end_late(struct login *login)
{
    client_destroy(&login->common, "KPOP session ended");
}

/* Who leaves before the auth process has counted a refusal lets it talk to
 * nobody, and Dovecot logs that as an error. */
static void
end(struct login *login)
{
    struct client *client = &login->common;

    login->is_heard = TRUE;
    if (!login->is_failing || client->auth_request == NULL) {
        end_late(login);
        return;
    }
    io_remove(&client->io);
    timeout_remove(&login->to_linger);
    login->to_linger = timeout_add(FAILING_MSECS, end_late, login);
}

static void
linger_input(struct client *client)
{
    struct login *login = login_of(client);
    size_t size;

    ssize_t n = i_stream_read(client->input);

    size = i_stream_get_data_size(client->input);
    i_stream_skip(client->input, size);
    login->lingered += size;
    if ((n < 0 && n != -2) || login->lingered > LINGER_OCTETS)
        end(login);
}

static void
linger_late(struct login *login)
{
    end(login);
}

/* All is said; inside TLS there is an alert that says so, and no reset. */
static void
begin_end(struct login *login)
{
    struct client *client = &login->common;

    login->is_over = TRUE;
    timeout_remove(&login->to_tick);
    if (o_stream_get_buffer_used_size(client->output) > 0)
        return; /* login_flushed() comes back */
    if (login->eof || client->ssl_iostream != NULL
        || shutdown(client->fd, SHUT_WR) != 0) {
        end(login);
        return;
    }
    io_remove(&client->io);
    login->to_linger = timeout_add(LINGER_MSECS, linger_late, login);
    client->io = io_add_istream(client->input, linger_input, client);
    io_set_pending(client->io);
}

void
login_say(struct login *login, const char *line)
{
    o_stream_nsend_str(login->common.output, line);
    o_stream_nsend_str(login->common.output, "\r\n");
}

/* ---- octets ---- */

static int
login_flushed(struct client *client)
{
    int rc = o_stream_flush(client->output);

    if (rc < 0) {
        client_destroy_iostream_error(client);
        return 1;
    }
    if (rc > 0) {
        o_stream_unset_flush_callback(client->output);
        login_wake(login_of(client));
    }
    return 1;
}

/* TRUE when all was sent; FALSE when it waits or the client is gone. */
static bool
send_output(struct login *login)
{
    struct client *client = &login->common;
    const void *data;
    size_t size;

    while ((size = login_api->output(login->session, &data)) > 0) {
        ssize_t sent = o_stream_send(client->output, data, size);

        if (sent < 0) {
            client_destroy_iostream_error(client);
            return FALSE;
        }
        login_api->wrote(login->session, (size_t)sent);
        if ((size_t)sent < size)
            break;
    }
    if (size == 0 && o_stream_get_buffer_used_size(client->output) == 0)
        return TRUE;
    o_stream_set_flush_callback(client->output, login_flushed, client);
    o_stream_set_flush_pending(client->output, TRUE);
    return FALSE;
}

/*
 * Line by line, so that what is behind PASS stays in Dovecot's stream, which
 * it hands to pop3.  TRUE when something was there.
 */
static bool
feed(struct login *login)
{
    struct client *client = &login->common;
    const unsigned char *data;
    const unsigned char *line_end;
    size_t size;

    data = i_stream_get_data(client->input, &size);
    if (size == 0)
        return FALSE;
    line_end = memchr(data, '\n', size);
    if (line_end != NULL)
        size = (size_t)(line_end - data) + 1;
    size = login_api->input(login->session, data, size, login_now());
    i_stream_skip(client->input, size);
    return size > 0;
}

/* ---- TLS ---- */

static void
begin_tls(struct login *login)
{
    struct client *client = &login->common;

    if (i_stream_get_data_size(client->input) > 0) {
        /* In the clear behind STLS: perhaps somebody else's. */
        client_destroy(client, "Input behind STLS before TLS");
        return;
    }
    login->wants_tls = TRUE;
    client_cmd_starttls(client);
}

/* The session has answered already. */
void
login_notify_starttls(struct client *client, bool success, const char *text)
{
    if (!success)
        e_error(client->event, "STLS: %s", text);
}

/* TLS has begun; the handshake runs when the client's octets are read. */
void
login_starttls(struct client *client)
{
    io_remove(&client->io);
    client->io = io_add_istream(client->input, login_input, client);
}

/* FALSE while the handshake runs, or when the session won't have it. */
static bool
tls_stands(struct login *login)
{
    struct client *client = &login->common;
    struct kpop_facts facts;

    if (client->ssl_iostream == NULL
        || !ssl_iostream_is_handshaked(client->ssl_iostream))
        return FALSE;
    login_tell(client, &facts);
    login->wants_tls = FALSE;
    if (login_api->tls_started(login->session, &facts, login_now())
        == KPOP_OK)
        return TRUE;
    client_destroy(client, "TLS began where it was not wanted");
    return FALSE;
}

/* ---- the pump ---- */

static void
late(struct login *login)
{
    timeout_remove(&login->to_tick);
    login_api->tick(login->session, login_now());
    login_pump(&login->common);
}

static void
set_timer(struct login *login)
{
    uint64_t deadline = login_api->deadline(login->session);
    uint64_t now = login_now();
    unsigned int wait;

    timeout_remove(&login->to_tick);
    if (deadline == UINT64_MAX)
        return;
    deadline = deadline > now ? deadline - now : 0;
    wait = deadline < HOUR_MSECS ? (unsigned int)deadline : HOUR_MSECS;
    login->to_tick = timeout_add(wait, late, login);
}

static void
set_reading(struct login *login, bool on)
{
    struct client *client = &login->common;

    if (on && client->io == NULL)
        client->io = io_add_istream(client->input, login_input, client);
    else if (!on)
        io_remove(&client->io);
}

/* Goes on until somebody else's turn has come.  FALSE: it is over. */
static bool
pump(struct login *login)
{
    struct client *client = &login->common;

    for (;;) {
        bool sent = send_output(login);
        uint32_t wants = login_api->wants(login->session);

        if (client->destroyed || (wants & KPOP_IS_TAKEN) != 0)
            return FALSE;
        if (!sent) {
            set_reading(login, FALSE);
            return TRUE;
        }
        if ((wants & KPOP_WANT_TLS) != 0) {
            begin_tls(login);
            return !client->destroyed;
        }
        if ((wants & KPOP_WANT_CLOSE) != 0
            || (login->is_lost && (wants & KPOP_IS_BUSY) == 0)) {
            begin_end(login);
            return FALSE;
        }
        if ((wants & KPOP_WANT_READ) == 0 || (wants & KPOP_IS_BUSY) != 0) {
            set_reading(login, FALSE);
            return TRUE;
        }
        if (!feed(login)) {
            if (!login->eof) {
                set_reading(login, TRUE);
                return TRUE;
            }
            set_reading(login, FALSE);
            login_api->input_end(login->session, login_now());
            if ((login_api->wants(login->session)
                 & (KPOP_WANT_CLOSE | KPOP_WANT_WRITE | KPOP_IS_BUSY))
                == 0) {
                end(login);
                return FALSE;
            }
        }
    }
}

/* Only from the event loop: it may destroy the client. */
static void
login_pump(struct client *client)
{
    struct login *login = login_of(client);

    if (client->destroyed || login->session == NULL || login->is_pumping)
        return;
    if (login->is_heard) {
        end(login);
        return;
    }
    if (login->is_over) {
        if (login->to_linger == NULL && client->login_proxy == NULL
            && (!client->authenticating || login->is_failing))
            begin_end(login);
        return;
    }
    if (login->wants_tls)
        return;
    client_ref(client);
    login->is_pumping = TRUE;
    if (pump(login))
        set_timer(login);
    else
        timeout_remove(&login->to_tick);
    login->is_pumping = FALSE;
    client_unref(&client);
}

static void
woken(struct login *login)
{
    struct client *client = &login->common;

    timeout_remove(&login->to_pump);
    if (login->session == NULL) {
        client_destroy(client, "Internal error");
        return;
    }
    client_ref(client);
    login_auth_continue(login);
    login_pump(client);
    client_unref(&client);
}

void
login_wake(struct login *login)
{
    if (login->to_pump == NULL && !login->common.destroyed)
        login->to_pump = timeout_add_short(0, woken, login);
}

static void
login_input(struct client *client)
{
    struct login *login = login_of(client);
    ssize_t n = i_stream_read(client->input);

    if (login->wants_tls) {
        if (n == -1)
            client_destroy_iostream_error(client);
        else if (!tls_stands(login))
            return;
    } else if (n == -1 && client->input->stream_errno != 0) {
        client_destroy_iostream_error(client);
        return;
    }
    if (n == -1)
        login->eof = TRUE;
    login_pump(client);
}
