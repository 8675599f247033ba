/*
 * login.c - `kpopctl login HOST` logs in as a client would, by each mechanism
 * or by one, and tells each step; of one that fails it tells what to do.  It
 * fetches no mail and changes nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/cli/login.h"

#include <openssl/crypto.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { PORT_KPOP = 1109, PORT_POP3 = 110, PORT_POP3S = 995 };

/* Without --mech in this order. */
static const struct {
    const char *name;
    bool password;
    bool unasked; /* tried when no mechanism is named */
    bool (*run)(struct login *login);
} mechanisms[] = {
    { "KPOP", false, true, login_user },
    { "GSSAPI", false, true, login_gssapi },
    { "PLAIN", true, true, login_plain },
    { "USER", true, false, login_user },
    { "SCRAM-SHA-256", true, false, login_scram },
    { "CRAM-MD5", true, false, login_cram },
    { "APOP", true, false, login_apop },
};

enum { MECHANISMS = sizeof(mechanisms) / sizeof(mechanisms[0]) };

/* ---- telling ---- */

static void tell(struct login *login, const char *step, const char *advice,
                 const char *format, va_list args)
    __attribute__((format(printf, 4, 0)));

static void
tell(struct login *login, const char *step, const char *advice,
     const char *format, va_list args)
{
    const struct cli *cli = login->cli;
    const char *plain = cli_colour(cli, PLAIN);
    char text[2 * LOGIN_TEXT_MAX];

    vsnprintf(text, sizeof(text), format, args);
    cli_clean(text);
    if (!cli->json) {
        printf("%s%s%s: %s: %s: %s", cli_colour(cli, advice ? RED : GREEN),
               advice != NULL ? "failed" : "ok", plain, login->mechanism,
               step, text);
        if (advice != NULL)
            printf("; do: %s%s%s", cli_colour(cli, BOLD), advice, plain);
        putchar('\n');
        fflush(stdout);
        return;
    }
    json_open(login->json, NULL, '{');
    json_text(login->json, "step", step);
    json_bool(login->json, "good", advice == NULL);
    json_text(login->json, "text", text);
    if (advice != NULL)
        json_text(login->json, "advice", advice);
    else
        json_null(login->json, "advice");
    json_close(login->json, '}');
}

void
login_good(struct login *login, const char *step, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tell(login, step, NULL, format, args);
    va_end(args);
}

void
login_bad(struct login *login, const char *step, const char *advice,
          const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tell(login, step, advice, format, args);
    va_end(args);
}

/* ---- one try ---- */

static bool
connect_to(struct login *login)
{
    char error[LOGIN_TEXT_MAX];
    bool found;

    login->line = line_open(login->cli->word, login->port, &found, error,
                            sizeof(error));
    if (login->line == NULL) {
        login_bad(login, "connect",
                  found ? "look whether the server runs and serves this port "
                          "(kpopctl doctor there), and at firewalls between"
                        : "look at the spelling of the name, and at DNS",
                  "port %u: %s", login->port, error);
        return false;
    }
    login_good(login, "connect", "%s, port %u", line_peer(login->line),
               login->port);
    return true;
}

static bool
try(struct login *login, size_t i)
{
    bool is_kpop = strcmp(mechanisms[i].name, "KPOP") == 0;

    if (mechanisms[i].password && login->password == NULL) {
        login_bad(login, "password", "--password-file FILE, or a terminal",
                  "there is no password to try");
        return false;
    }
    if (mechanisms[i].password && login->user[0] == '\0') {
        login_bad(login, "password", "--user USER",
                  "this machine has no name for who asks");
        return false;
    }
    return connect_to(login)
           && (!login->tls_first || login_tls(login, "tls"))
           && (!is_kpop || login_kpop(login)) && login_greeting(login)
           && login_stls(login) && mechanisms[i].run(login)
           && login_stat(login);
}

static unsigned
port_of(const struct cli *cli, size_t i)
{
    if (cli->port != 0)
        return cli->port;
    if (strcmp(mechanisms[i].name, "KPOP") == 0)
        return PORT_KPOP;
    return cli->pop3s ? PORT_POP3S : PORT_POP3;
}

/* Whose maildrop it is for passwords; a ticket tells by itself. */
static void
name_user(struct login *login, size_t i)
{
    const struct passwd *entry;

    if (login->cli->user != NULL) {
        snprintf(login->user, sizeof(login->user), "%s", login->cli->user);
    } else if (mechanisms[i].password) {
        entry = getpwuid(getuid());
        if (entry != NULL)
            snprintf(login->user, sizeof(login->user), "%s", entry->pw_name);
    }
}

static bool
run_one(const struct cli *cli, size_t i, char *password, struct json *json)
{
    struct login login = { .cli = cli, .mechanism = mechanisms[i].name,
                           .port = port_of(cli, i), .password = password,
                           .json = json };
    bool good;

    login.tls_first = cli->port != 0 ? cli->pop3s
                                     : login.port == PORT_POP3S;
    name_user(&login, i);
    if (cli->json) {
        json_open(json, NULL, '{');
        json_text(json, "mechanism", login.mechanism);
        json_number(json, "port", login.port);
        json_open(json, "steps", '[');
    }
    good = try(&login, i);
    if (cli->json) {
        json_close(json, ']');
        json_bool(json, "good", good);
        json_close(json, '}');
    }
    line_close(login.line);
    return good;
}

/* ---- all of them ---- */

/* KPOP has a port of its own; the one that was named is for either. */
static bool
is_wanted(const struct cli *cli, size_t i, bool has_password)
{
    bool is_kpop = strcmp(mechanisms[i].name, "KPOP") == 0;

    if (cli->mech != NULL)
        return strcasecmp(cli->mech, mechanisms[i].name) == 0;
    if (cli->pop3s || cli->port != 0)
        return mechanisms[i].unasked && (!mechanisms[i].password
                                         || has_password)
               && is_kpop == (cli->port == PORT_KPOP && !cli->pop3s);
    return mechanisms[i].unasked && (!mechanisms[i].password || has_password);
}

static bool
is_known(const char *mechanism)
{
    for (size_t i = 0; i < MECHANISMS; i++) {
        if (strcasecmp(mechanism, mechanisms[i].name) == 0)
            return true;
    }
    return false;
}

static bool
run_all(const struct cli *cli, char *password)
{
    struct json json = { false };
    bool good = true;

    if (cli->json) {
        json_open(&json, NULL, '{');
        json_text(&json, "host", cli->word);
        json_open(&json, "logins", '[');
    }
    for (size_t i = 0; i < MECHANISMS; i++) {
        if (is_wanted(cli, i, password != NULL))
            good = run_one(cli, i, password, &json) && good;
    }
    if (cli->json) {
        json_close(&json, ']');
        json_bool(&json, "good", good);
        json_close(&json, '}');
        json_end(&json);
    }
    return good;
}

int
command_login(const struct cli *cli)
{
    char password[LOGIN_PASSWORD_MAX] = "";
    bool by_ticket = cli->mech != NULL
                     && (strcasecmp(cli->mech, "KPOP") == 0
                         || strcasecmp(cli->mech, "GSSAPI") == 0);
    int found = 0;
    bool good;

    if (cli->mech != NULL && !is_known(cli->mech)) {
        fprintf(stderr, "kpopctl: --mech is KPOP, GSSAPI, PLAIN, USER, "
                "SCRAM-SHA-256, CRAM-MD5 or APOP\n");
        return CLI_USAGE;
    }
    if (cli->word[0] == '\0' || strlen(cli->word) > 255
        || (cli->user != NULL
            && (strlen(cli->user) > 255
                || cli->user[strcspn(cli->user, "\r\n")] != '\0'))) {
        fprintf(stderr, "kpopctl: HOST and USER have up to 255 octets of one "
                "line\n");
        return CLI_USAGE;
    }
    if (!by_ticket)
        found = login_password(cli, cli->word, password);
    if (found < 0)
        return CLI_BAD;
    /* TLS writes to closed connections, too. */
    (void)signal(SIGPIPE, SIG_IGN);
    good = run_all(cli, found > 0 ? password : NULL);
    OPENSSL_cleanse(password, sizeof(password));
    return good ? CLI_GOOD : CLI_BAD;
}
