/*
 * login.h - a connection of kpop-login: Dovecot's client and our session.
 *
 * login.c has the process and a client's life, login_pump.c its octets,
 * login_auth.c the exchange with the auth process, login_proxy.c another POP3
 * server behind the login.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef DOVECOT_LOGIN_H
#define DOVECOT_LOGIN_H

#include "plugin/host/dovecot/compat.h"

#include <login-common.h>
#include <client-common.h>

#include "plugin/kpop_plugin.h"

/* Where the dialogue with another POP3 server is. */
enum proxy_state {
    PROXY_BANNER,
    PROXY_STLS,
    PROXY_XCLIENT,
    PROXY_USER,
    PROXY_LOGIN,
};

struct login {
    struct client common; /* must be first: Dovecot allocates and frees it */
    struct kpop_session *session;
    struct timeout *to_tick;   /* the session's deadline */
    struct timeout *to_pump;   /* work that a callback of Dovecot's left */
    struct timeout *to_linger; /* an answer is out, its reader still writes */
    size_t lingered;           /* octets thrown away since */
    bool is_pumping;
    bool eof;                  /* the client sends no more */
    bool wants_tls;            /* STLS was answered, TLS does not stand yet */
    bool is_over;              /* the session has said its last word */
    bool is_failing;           /* refused: the auth process counts it now */
    bool is_heard;             /* the client has read its last word, or left */
    bool is_lost;              /* only a new connection can log in */

    /* login_auth.c */
    struct kpop_op *op;        /* the session's open question */
    buffer_t *ap_req;
    size_t sent;               /* octets of it that the auth process has */
    buffer_t *news;            /* what it said last; empty = nothing new */

    /* login_proxy.c */
    enum proxy_state proxy_state;
    bool proxy_xclient;
};

static inline struct login *
login_of(struct client *client)
{
    return (struct login *)client;
}

/* Of the module. */
extern const struct kpop_api *login_api;

/* ---- login.c ---- */

/* Milliseconds of a clock that never jumps. */
uint64_t login_now(void);

/* What is known of the connection now; lent until this callback returns. */
void login_tell(struct client *client, struct kpop_facts *facts);

/* ---- login_pump.c ---- */

/* Goes on with the session as soon as Dovecot's callback has returned. */
void login_wake(struct login *login);

/* A line behind the session's last word. */
void login_say(struct login *login, const char *line);

/* Dovecot's callbacks */
void login_notify_starttls(struct client *client, bool success,
                           const char *text);
void login_starttls(struct client *client);

/* ---- login_auth.c ---- */

extern const struct kpop_host login_host;

/* What the auth process said meanwhile. */
void login_auth_continue(struct login *login);
void login_auth_free(struct login *login);

/* Dovecot's callbacks */
void login_auth_send_challenge(struct client *client, const char *data);
void login_auth_result(struct client *client, enum client_auth_result result,
                       const struct client_auth_reply *reply,
                       const char *text);
bool login_check(struct client *client);

/* The auth process has accepted the user: the connection is Dovecot's. */
bool login_take(struct login *login);

/* ---- login_proxy.c: Dovecot's callbacks ---- */

void login_proxy_reset(struct client *client);
int login_proxy_parse_line(struct client *client, const char *line);
void login_proxy_failure(struct client *client,
                         enum login_proxy_failure_type type,
                         const char *reason, bool reconnecting);
const char *login_proxy_state(struct client *client);

#endif
