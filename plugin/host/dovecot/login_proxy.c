/*
 * login_proxy.c - the login at another POP3 server, when a passdb answers
 * `proxy`: by USER and PASS or the SASL mechanism the passdb names, after
 * STLS if it wants that.  Then Dovecot moves the octets.  The client proved
 * itself by its ticket here; the other server is given the password of the
 * passdb, a master's as a rule.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/dovecot/login.h"

#include <base64.h>
#include <dsasl-client.h>
#include <login-proxy.h>
#include <ostream.h>
#include <str-sanitize.h>
#include <str.h>
#include <strescape.h>

static const char *const state_names[] = {
    [PROXY_BANNER] = "banner",
    [PROXY_STLS] = "starttls",
    [PROXY_XCLIENT] = "xclient",
    [PROXY_USER] = "login1",
    [PROXY_LOGIN] = "login2",
};

/* The session ends here; what comes is the other server's. */
void
login_proxy_reset(struct client *client)
{
    struct login *login = login_of(client);

    login->proxy_state = PROXY_BANNER;
    login->proxy_xclient = FALSE;
    if (!login->is_over && !login_take(login))
        login->is_lost = TRUE;
    timeout_remove(&login->to_tick);
}

const char *
login_proxy_state(struct client *client)
{
    return state_names[login_of(client)->proxy_state];
}

static int
fail(struct client *client, enum login_proxy_failure_type type,
     const char *reason)
{
    (void)login_proxy_failed(client->login_proxy,
                             login_proxy_get_event(client->login_proxy),
                             type, reason);
    return -1;
}

static int
unexpected(struct client *client, const char *when, const char *line)
{
    return fail(client, LOGIN_PROXY_FAILURE_TYPE_REMOTE,
                t_strdup_printf("%s: %s", when, str_sanitize(line, 160)));
}

/* ---- to the other server ---- */

static void
append_forward(const struct client *client, string_t *line)
{
    const char *const *field = client->auth_passdb_args;
    string_t *forward = t_str_new(128);

    for (; field != NULL && *field != NULL; field++) {
        if (strncasecmp(*field, "forward_", 8) != 0)
            continue;
        if (str_len(forward) > 0)
            str_append_c(forward, '\t');
        str_append_tabescaped(forward, *field + 8);
    }
    if (str_len(forward) == 0)
        return;
    str_append(line, " FORWARD=");
    base64_encode(str_data(forward), str_len(forward), line);
}

static void
send_xclient(struct client *client, struct ostream *output)
{
    string_t *line = t_str_new(128);

    str_printfa(line, "XCLIENT ADDR=%s PORT=%u SESSION=%s TTL=%u",
                net_ip2addr(&client->ip), client->remote_port,
                client_get_session_id(client), client->proxy_ttl - 1);
    append_forward(client, line);
    str_append(line, "\r\n");
    o_stream_nsend(output, str_data(line), str_len(line));
}

static int
send_auth(struct client *client, struct ostream *output)
{
    struct dsasl_client_settings set;
    const unsigned char *data;
    const char *error;
    string_t *line = t_str_new(128);
    size_t size;

    i_zero(&set);
    set.authid = client->proxy_master_user != NULL
                     ? client->proxy_master_user
                     : client->proxy_user;
    set.authzid = client->proxy_user;
    set.password = client->proxy_password;
    client->proxy_sasl_client = dsasl_client_new(client->proxy_mech, &set);
    if (dsasl_client_output(client->proxy_sasl_client, &data, &size, &error)
        < 0)
        return fail(client, LOGIN_PROXY_FAILURE_TYPE_INTERNAL, error);
    str_printfa(line, "AUTH %s ",
                dsasl_client_mech_get_name(client->proxy_mech));
    if (size == 0)
        str_append_c(line, '=');
    else
        base64_encode(data, size, line);
    str_append(line, "\r\n");
    o_stream_nsend(output, str_data(line), str_len(line));
    login_of(client)->proxy_state = PROXY_LOGIN;
    return 0;
}

static int
send_login(struct client *client, struct ostream *output)
{
    if (client->proxy_mech != NULL)
        return send_auth(client, output);
    o_stream_nsend_str(output, t_strdup_printf("USER %s\r\n",
                                               client->proxy_user));
    login_of(client)->proxy_state = PROXY_USER;
    return 0;
}

static int
send_first(struct client *client, struct ostream *output)
{
    struct login *login = login_of(client);

    if (!login->proxy_xclient || client->proxy_not_trusted)
        return send_login(client, output);
    send_xclient(client, output);
    login->proxy_state = PROXY_XCLIENT;
    return 0;
}

static int
send_response(struct client *client, struct ostream *output,
              const char *challenge)
{
    string_t *text = t_str_new(128);
    const unsigned char *data;
    const char *error;
    size_t size;

    if (base64_scheme_decode(&base64_scheme, 0, challenge, strlen(challenge),
                             text)
        < 0)
        return unexpected(client, "AUTH challenge", challenge);
    if (dsasl_client_input(client->proxy_sasl_client, str_data(text),
                           str_len(text), &error)
            < 0
        || dsasl_client_output(client->proxy_sasl_client, &data, &size,
                               &error)
               < 0)
        return fail(client, LOGIN_PROXY_FAILURE_TYPE_PROTOCOL, error);
    str_truncate(text, 0);
    base64_encode(data, size, text);
    str_append(text, "\r\n");
    o_stream_nsend(output, str_data(text), str_len(text));
    return 0;
}

/* ---- from the other server ---- */

static int
on_banner(struct client *client, struct ostream *output, const char *line)
{
    struct login *login = login_of(client);

    login->proxy_xclient =
        strncmp(line + 3, " [XCLIENT]", strlen(" [XCLIENT]")) == 0;
    if ((login_proxy_get_ssl_flags(client->login_proxy)
         & KPOP_PROXY_STARTTLS) == 0)
        return send_first(client, output);
    o_stream_nsend_str(output, "STLS\r\n");
    login->proxy_state = PROXY_STLS;
    return 0;
}

static int
on_stls(struct client *client)
{
    if (login_proxy_starttls(client->login_proxy) < 0)
        return -1;
    /* The streams are others now. */
    if (send_first(client, kpop_proxy_ostream(client->login_proxy)) < 0)
        return -1;
    return 1;
}

static int
on_user(struct client *client, struct ostream *output)
{
    o_stream_nsend_str(output, t_strdup_printf("PASS %s\r\n",
                                               client->proxy_password));
    login_of(client)->proxy_state = PROXY_LOGIN;
    return 0;
}

static int
on_login(struct client *client, const char *line)
{
    login_say(login_of(client), line);
    client_proxy_finish_destroy_client(client);
    return 1;
}

/* What it says of a refused login is the client's answer to PASS. */
static int
on_refusal(struct client *client, const char *line)
{
    enum login_proxy_failure_type type = KPOP_PROXY_REPLIED;

    if (strncmp(line, "-ERR [SYS/TEMP]", strlen("-ERR [SYS/TEMP]")) == 0)
        type = LOGIN_PROXY_FAILURE_TYPE_AUTH_TEMPFAIL;
    else
        login_say(login_of(client), line);
    return fail(client, type, line + strlen("-ERR "));
}

int
login_proxy_parse_line(struct client *client, const char *line)
{
    struct login *login = login_of(client);
    struct ostream *output = kpop_proxy_ostream(client->login_proxy);
    bool ok = strncmp(line, "+OK", 3) == 0;

    if (login->proxy_state == PROXY_LOGIN && client->proxy_sasl_client != NULL
        && strncmp(line, "+ ", 2) == 0)
        return send_response(client, output, line + 2);
    if (!ok && login->proxy_state >= PROXY_USER
        && strncmp(line, "-ERR ", 5) == 0)
        return on_refusal(client, line);
    if (!ok)
        return unexpected(client, login_proxy_state(client), line);
    switch (login->proxy_state) {
    case PROXY_BANNER:
        return on_banner(client, output, line);
    case PROXY_STLS:
        return on_stls(client);
    case PROXY_XCLIENT:
        return send_login(client, output);
    case PROXY_USER:
        return on_user(client, output);
    case PROXY_LOGIN:
    default:
        return on_login(client, line);
    }
}

/* Stock code would go back to the password dialogue: there is none. */
void
login_proxy_failure(struct client *client,
                    enum login_proxy_failure_type type, const char *reason,
                    bool reconnecting)
{
    struct login *login = login_of(client);

    if (!reconnecting) {
        if (type == LOGIN_PROXY_FAILURE_TYPE_AUTH_TEMPFAIL)
            login_say(login, t_strconcat("-ERR ", reason, NULL));
        else if (type != KPOP_PROXY_REPLIED)
            login_say(login, "-ERR [SYS/TEMP] " LOGIN_PROXY_FAILURE_MSG);
        login->is_lost = TRUE;
    }
    client_common_proxy_failed(client, type, reason, reconnecting);
    if (!reconnecting && !client->destroyed)
        login_wake(login);
}
