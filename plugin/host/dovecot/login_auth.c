/*
 * login_auth.c - the exchange_* callbacks of kpop-login: the AP-REQ goes to
 * the auth process in pieces, its answers come back as Dovecot's callbacks.
 * Those come while Dovecot is in the middle of something, so they only note
 * what was said; login_auth_continue() acts on it a moment later.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/dovecot/login.h"

#include <auth-client.h>
#include <base64.h>
#include <buffer.h>
#include <ostream.h>
#include <str.h>
#include KPOP_SSL_HEADER

#include "plugin/host/dovecot/pieces.h"

/* Dovecot's whole success may wait behind this one. */
static void
answer(struct login *login, int32_t result)
{
    struct kpop_op *op = login->op;

    if (op == NULL)
        return;
    login->op = NULL;
    if (login_api->done(op, result) != KPOP_OK)
        e_error(login->common.event, "the kpop module takes no answer");
    login_wake(login);
}

static const char *
encode(const void *data, size_t size)
{
    string_t *text = t_str_new(MAX_BASE64_ENCODED_SIZE(size) + 1);

    base64_encode(data, size, text);
    return str_c(text);
}

/* ---- to the auth process ---- */

static const char *
next_piece(struct login *login)
{
    const buffer_t *ap_req = login->ap_req;
    size_t size = I_MIN(ap_req->used - login->sent, PIECE_MAX);
    bool last = login->sent + size == ap_req->used;
    buffer_t *piece = t_buffer_create(size + 1);

    buffer_append_c(piece, last ? PIECE_LAST : PIECE_MORE);
    buffer_append(piece, CONST_PTR_OFFSET(ap_req->data, login->sent), size);
    login->sent += size;
    return encode(piece->data, piece->used);
}

/*
 * `ssl = required` wants TLS before any login.  A KPOP client can't give it
 * that: the ticket comes before STLS, and tells a listener nothing.  What
 * must wait for TLS is USER, and there the module insists (tls = required).
 */
static void
begin(struct client *client, const char *piece)
{
    const KPOP_SSL_SETTINGS *set = client->kpop_ssl_settings;
    KPOP_SSL_SETTINGS relaxed = *set;

    relaxed.ssl = "yes";
    client->kpop_ssl_settings = &relaxed;
    (void)client_auth_begin_private(client, "KPOP", piece);
    client->kpop_ssl_settings = set;
}

static int32_t
on_mechanisms(void *conn, struct kpop_op *op, const struct kpop_facts *facts)
{
    (void)conn;
    (void)facts;
    return login_api->put_mechanisms(op, "KPOP");
}

static int32_t
on_start(void *conn, struct kpop_op *op, const struct kpop_facts *facts,
         const char *mechanism, const void *data, size_t size)
{
    struct login *login = conn;

    (void)facts;
    (void)mechanism;
    if (!auth_client_is_connected(auth_client))
        return KPOP_TEMP;
    login->op = op;
    login->sent = 0;
    buffer_set_used_size(login->ap_req, 0);
    buffer_append(login->ap_req, data, size);
    T_BEGIN {
        begin(&login->common, next_piece(login));
    } T_END;
    return KPOP_PENDING;
}

static int32_t
on_step(void *conn, struct kpop_op *op, const struct kpop_facts *facts,
        const void *data, size_t size)
{
    struct login *login = conn;
    struct client *client = &login->common;

    (void)facts;
    if (client->auth_request == NULL)
        return KPOP_TEMP; /* lost with the auth process */
    login->op = op;
    T_BEGIN {
        client_auth_respond(client, encode(data, size));
    } T_END;
    return KPOP_PENDING;
}

/* Dovecot's own request is cancelled with the client, or is over. */
static void
on_end(void *conn)
{
    (void)conn;
}

/* Dovecot says itself when a session begins and ends. */
static void
on_log(void *host, void *conn, uint32_t level, const char *event,
       const char *line)
{
    struct login *login = conn;

    (void)host;
    if (login == NULL)
        i_info("kpop: %s %s", event, line);
    else if (level == KPOP_LOG_ERROR)
        e_error(login->common.event, "%s %s", event, line);
    else if (level == KPOP_LOG_WARNING)
        e_warning(login->common.event, "%s %s", event, line);
    else if (level == KPOP_LOG_INFO && strncmp(event, "session.", 8) != 0)
        e_info(login->common.event, "%s %s", event, line);
    else
        e_debug(login->common.event, "%s %s", event, line);
}

const struct kpop_host login_host = {
    .size = sizeof(struct kpop_host),
    .version = KPOP_ABI_MINOR,
    .log = on_log,
    .exchange_mechanisms = on_mechanisms,
    .exchange_start = on_start,
    .exchange_step = on_step,
    .exchange_end = on_end,
};

/* ---- from the auth process ---- */

void
login_auth_send_challenge(struct client *client, const char *data)
{
    struct login *login = login_of(client);

    buffer_set_used_size(login->news, 0);
    if (base64_scheme_decode(&base64_scheme, 0, data, strlen(data),
                             login->news)
            < 0
        || login->news->used == 0) {
        e_error(client->event, "libmech_kpop.so says what is no answer");
        buffer_append_c(login->news, 0);
    }
    login_wake(login);
}

void
login_auth_continue(struct login *login)
{
    struct client *client = &login->common;
    const unsigned char *news = login->news->data;
    size_t size = login->news->used;

    if (size == 0)
        return;
    if (news[0] == PIECE_NEXT && login->sent < login->ap_req->used
        && client->auth_request != NULL) {
        T_BEGIN {
            client_auth_respond(client, next_piece(login));
        } T_END;
    } else if (login->op == NULL) {
        ; /* the session has gone on without it */
    } else if (news[0] == PIECE_PROVED || news[0] == PIECE_REFUSED) {
        int32_t said =
            size == 1 ? KPOP_OK
                      : login_api->put_challenge(login->op, news + 1,
                                                 size - 1);
        answer(login, said != KPOP_OK ? KPOP_TEMP
                      : news[0] == PIECE_PROVED ? KPOP_CONTINUE : KPOP_AUTH);
        /* Now it fails there, which counts against the address. */
        if (news[0] == PIECE_REFUSED && client->auth_request != NULL) {
            login->is_failing = TRUE;
            client_auth_respond(client, "");
        }
    } else {
        answer(login, KPOP_TEMP);
    }
    buffer_set_used_size(login->news, 0);
}

/* Of an auth process that has gone Dovecot says that the login failed. */
static bool
is_temporary(const struct client *client, enum client_auth_result result)
{
    return result == CLIENT_AUTH_RESULT_TEMPFAIL
           || KPOP_IS_LIMIT(result)
           || result == CLIENT_AUTH_RESULT_MECH_INVALID
           || client->auth_process_comm_fail;
}

/* The module has given the connection away already: too many connections of
 * the user, or Dovecot can't hand it to pop3. */
static void
say_refusal(struct login *login, enum client_auth_result result,
            const char *text)
{
    const char *code = KPOP_IS_LIMIT(result) ? "-ERR [IN-USE] "
                       : is_temporary(&login->common, result)
                           ? "-ERR [SYS/TEMP] "
                           : "-ERR [AUTH] ";

    login_say(login, t_strconcat(code, text, NULL));
}

/* Dovecot's words for it are in its log; the client's are the module's. */
void
login_auth_result(struct client *client, enum client_auth_result result,
                  const struct client_auth_reply *reply, const char *text)
{
    struct login *login = login_of(client);

    (void)reply;
    if (result == CLIENT_AUTH_RESULT_SUCCESS)
        return;
    login->is_lost = TRUE;
    if (login->is_failing) {
        login->is_failing = FALSE;
        login_wake(login);
        return;
    }
    if (result == CLIENT_AUTH_RESULT_MECH_INVALID)
        e_error(client->event, "the auth process has no mechanism KPOP: "
                "auth_mechanisms must list it");
    if (login->is_over)
        say_refusal(login, result, text);
    else
        answer(login, is_temporary(client, result) ? KPOP_TEMP
                                                   : KPOP_DENIED);
}

/* ---- success ---- */

bool
login_take(struct login *login)
{
    struct client *client = &login->common;
    struct kpop_op *op = login->op;
    const void *rest;
    size_t size;

    login->op = NULL;
    if (op == NULL || login_api->done(op, KPOP_TAKEN) != KPOP_OK
        || (login_api->wants(login->session) & KPOP_IS_TAKEN) == 0)
        return FALSE;
    login->is_over = TRUE;
    size = login_api->remainder(login->session, &rest);
    if (size > LOGIN_MAX_MASTER_PREFIX_LEN)
        return FALSE; /* we hand over line by line, so there is none */
    if (size > 0) {
        i_free(client->master_data_prefix);
        client->master_data_prefix = i_malloc(size);
        client->master_data_prefix_len = (unsigned int)size;
        memcpy(client->master_data_prefix, rest, size);
    }
    return TRUE;
}

bool
login_check(struct client *client)
{
    if (login_take(login_of(client)))
        return TRUE;
    login_wake(login_of(client)); /* for what the module says of it */
    sasl_server_auth_failed(client, "The session has ended meanwhile", NULL);
    return FALSE;
}

void
login_auth_free(struct login *login)
{
    buffer_free(&login->ap_req);
    buffer_free(&login->news);
}
