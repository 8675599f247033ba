/*
 * login.h - what the parts of `kpopctl login` share: one try of one mechanism,
 * and how its steps are told.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPCTL_LOGIN_H
#define KPOPCTL_LOGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "plugin/cli/cli.h"
#include "plugin/cli/json.h"
#include "plugin/cli/login_line.h"

enum {
    LOGIN_TEXT_MAX = 1024,
    LOGIN_LINE_MAX = 65536, /* a GSSAPI token in base64 and more */
    LOGIN_PASSWORD_MAX = 512
};

struct login {
    const struct cli *cli;
    const char *mechanism;
    unsigned port;
    bool tls_first;          /* POP3S */
    struct line *line;       /* NULL: not connected */
    char user[256];          /* whose maildrop; "" = who the ticket is for */
    char capa[LOGIN_TEXT_MAX];  /* what the server said it can, in lines */
    char banner[LOGIN_TEXT_MAX]; /* the greeting, for APOP */
    char *password;          /* lent; NULL = none */
    struct json *json;
};

/* Steps: one that went well, and one that did not, with what to do. */
void login_good(struct login *login, const char *step, const char *format,
                ...) __attribute__((format(printf, 3, 4)));
void login_bad(struct login *login, const char *step, const char *advice,
               const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The parts of a try; all: true, or false after telling. */
bool login_kpop(struct login *login);     /* the handshake of KPOP */
bool login_greeting(struct login *login); /* "+OK", and CAPA */
bool login_tls(struct login *login, const char *step);
bool login_stls(struct login *login);     /* when it is offered */
bool login_gssapi(struct login *login);
bool login_plain(struct login *login);
bool login_user(struct login *login);
bool login_cram(struct login *login);
bool login_apop(struct login *login);
bool login_scram(struct login *login);
bool login_stat(struct login *login);     /* proof: the maildrop */

/* The advice about a server's -ERR. */
const char *login_advice(const char *reply);
/* A line to the server, and its answer without CRLF; false: told. */
bool login_ask(struct login *login, const char *step, const char *command,
               char *reply, size_t size);
/* For a reply that is not the one: tells it, false. */
bool login_refuse(struct login *login, const char *step, const char *reply);
/* False, and told: a name or password that no line can hold. */
bool login_is_clean(struct login *login, const char *step);
/* The server's next line. */
bool login_hear(struct login *login, const char *step, char *reply,
                size_t size);
/* A line, its base64 decoded in place; what has none is empty. */
bool login_challenge(struct login *login, const char *step, char *reply,
                     size_t *size_out);
/* Does a line of CAPA begin with these words, or have it among its own? */
bool login_offers(const struct login *login, const char *capability,
                  const char *word);

/* A password from --password-file or the terminal, in out
 * (LOGIN_PASSWORD_MAX octets), which the caller wipes.  1; 0: there is nobody
 * to ask; -1: told on stderr. */
int login_password(const struct cli *cli, const char *host, char *out);

#endif
