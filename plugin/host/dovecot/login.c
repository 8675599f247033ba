/*
 * login.c - kpop-login: the port of KPOP inside Dovecot.  The session of the
 * module speaks with the client until a mailbox is known; then Dovecot hands
 * the connection to its own pop3, as it does for pop3-login.  TLS, limits,
 * log lines, trusted networks and haproxy are Dovecot's.
 *
 * Runs as $default_login_user (dovenull), chrooted and without capabilities;
 * the keytab is read by libmech_kpop.so in the auth process.  Nothing here may
 * ask for a password, and no failed login goes back to a dialogue.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/dovecot/login.h"

#include <buffer.h>
#include <hostpid.h>
#include <ioloop.h>
#include <iostream-ssl.h>
#include <login-proxy.h>
#include <master-service.h>
#include <ostream.h>
#include <str.h>
#include KPOP_SSL_HEADER

#include <time.h>

#include "plugin/host/dovecot/module.h"

const struct kpop_api *login_api;

/* With `ssl = required` and without. */
static struct kpop_plugin *login_required;
static struct kpop_plugin *login_optional;

uint64_t
login_now(void)
{
    struct timespec now;

    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        i_fatal("clock_gettime: %m");
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- facts ---- */

static void
tell_tls(const struct client *client, struct kpop_facts *facts)
{
    unsigned int bits = 0;

    if (KPOP_TLS_IS_PROXIED(client)) {
        facts->tls_version = "proxied";
        facts->ssf = 1;
    } else if (client->ssl_iostream != NULL
               && ssl_iostream_is_handshaked(client->ssl_iostream)) {
        facts->tls_version =
            ssl_iostream_get_protocol_name(client->ssl_iostream);
        facts->tls_cipher =
            ssl_iostream_get_cipher(client->ssl_iostream, &bits);
        facts->ssf = bits > 0 ? bits : 1;
        facts->tls_server_name = client->local_name;
    }
}

void
login_tell(struct client *client, struct kpop_facts *facts)
{
    i_zero(facts);
    facts->size = sizeof(*facts);
    facts->service = "kpop";
    facts->session_id = client_get_session_id(client);
    facts->peer_address = net_ip2addr(&client->ip);
    facts->peer_port = client->remote_port;
    facts->local_address = net_ip2addr(&client->local_ip);
    facts->local_port = client->local_port;
    if (client_is_tls_enabled(client))
        facts->flags = KPOP_FACT_HOST_TLS;
    tell_tls(client, facts);
}

/* ---- the life of a client: Dovecot's callbacks ---- */

static struct client *
on_alloc(pool_t pool)
{
    struct login *login = p_new(pool, struct login, 1);

    return &login->common;
}

static KPOP_CREATE_TYPE
on_create(KPOP_CREATE_PARAMETERS)
{
    struct login *login = login_of(client);

    login->ap_req = buffer_create_dynamic(default_pool, 1024);
    login->news = buffer_create_dynamic(default_pool, 256);
    KPOP_CREATE_IGNORES;
    return KPOP_CREATE_OK;
}

static void
on_destroy(struct client *client)
{
    struct login *login = login_of(client);

    timeout_remove(&login->to_tick);
    timeout_remove(&login->to_pump);
    timeout_remove(&login->to_linger);
    login->op = NULL;
    if (login->session != NULL)
        login_api->session_close(login->session);
    login->session = NULL;
}

static void
on_free(struct client *client)
{
    login_auth_free(login_of(client));
}

static struct kpop_plugin *
plugin_for(const struct client *client)
{
    return !KPOP_IS_SECURED(client)
                   && strcmp(client->kpop_ssl_settings->ssl, "required") == 0
               ? login_required
               : login_optional;
}

/* The auth process is there: the dialogue may begin. */
static void
on_auth_ready(struct client *client)
{
    struct login *login = login_of(client);
    struct kpop_facts facts;
    int32_t rc;

    login_tell(client, &facts);
    rc = login_api->session_new(plugin_for(client), &facts, login,
                                login_now(), &login->session);
    if (rc != KPOP_OK) {
        login->session = NULL;
        e_error(client->event, "the kpop module begins no session (%d)",
                (int)rc);
    }
    client->banner_sent = TRUE;
    login_wake(login);
}

/* Dovecot is about to destroy the client; inside the handshake the module
 * knows that no line may be said. */
static void
on_notify_disconnect(struct client *client,
                     enum client_disconnect_reason reason, const char *text)
{
    struct login *login = login_of(client);

    if (login->session == NULL || login->wants_tls)
        return;
    if (!login->is_over) {
        login_api->session_stop(login->session, login_now());
        (void)o_stream_flush(client->output);
        if (!login->is_pumping) {
            const void *data;
            size_t size = login_api->output(login->session, &data);

            if (size > 0) {
                o_stream_nsend(client->output, data, size);
                login_api->wrote(login->session, size);
            }
        }
    } else if (reason == CLIENT_DISCONNECT_INTERNAL_ERROR) {
        login_say(login, t_strconcat("-ERR [SYS/TEMP] ", text, NULL));
    }
}

/* Never asked: input is ours. */
static KPOP_PARSE_TYPE
on_parse_response(struct client *client)
{
    client_destroy(client, "Unexpected input");
    return KPOP_PARSE_OK;
}

static struct client_vfuncs login_vfuncs = {
    .alloc = on_alloc,
    .create = on_create,
    .destroy = on_destroy,
    .notify_auth_ready = on_auth_ready,
    .notify_disconnect = on_notify_disconnect,
    .notify_starttls = login_notify_starttls,
    .starttls = login_starttls,
    .sasl_check_login = login_check,
    .auth_send_challenge = login_auth_send_challenge,
    .auth_parse_response = on_parse_response,
    .auth_result = login_auth_result,
    .proxy_reset = login_proxy_reset,
    .proxy_parse_line = login_proxy_parse_line,
    .proxy_failed = login_proxy_failure,
    .proxy_get_state = login_proxy_state,
    .send_raw_data = client_common_send_raw_data,
    .free = on_free,
};

/* ---- the process ---- */

/*
 * A build against the headers of another build of Dovecot has functions in
 * other places, and would serve who knows what on this port: Debian's
 * security updates have changed struct client_vfuncs under the same version.
 * Dovecot has just set vlast to where v is.
 */
static void
guard(struct client *client)
{
    if (client->vlast != &client->v || client->v.free != on_free)
        i_fatal("kpop-login was built for another build of Dovecot: install "
                "the package that fits this one, or build it anew");
}

static const struct login_client_hooks hooks = {
    .client_allocated = guard,
};

/* Before the chroot and as root; reads kpop.conf and no keytab. */
static struct kpop_plugin *
make_plugin(const char *tls)
{
    const struct module_setting settings[] = { { "tls", tls },
                                               { NULL, NULL } };
    struct kpop_plugin *plugin;
    char error[1024] = "";

    if (module_plugin(&login_host, settings, &plugin, &login_api, error,
                      sizeof(error)) != 0)
        i_fatal("%s", error);
    if (login_api->get(plugin, "hostname")[0] == '\0'
        && login_api->set(plugin, "hostname", my_hostname, error,
                          sizeof(error)) != KPOP_OK)
        i_fatal("%s", error);
    if (login_api->ready(plugin, error, sizeof(error)) != KPOP_OK)
        i_fatal("%s", error);
    return plugin;
}

/* pop3's post-login dialogues end soon by themselves. */
static void
on_die(void)
{
}

static void
preinit(void)
{
#if !KPOP_DOVECOT(2, 4, 0)
    static const struct setting_parser_info *roots[] = {
        &login_setting_parser_info, NULL
    };

    login_set_roots = roots;
#endif
    login_optional = make_plugin("optional");
    login_required = make_plugin("required");
}

static void
init(void)
{
    login_client_hooks_add(NULL, &hooks);
    master_service_set_die_callback(master_service, on_die);
}

static void
deinit(void)
{
    clients_destroy_all();
    login_client_hooks_remove(&hooks);
    login_api->free(login_optional);
    login_api->free(login_required);
}

/* process_name chooses the settings: only pop3-login's are asked for. */
static struct login_binary login_binary_kpop = {
    .protocol = "pop3",
    .process_name = "pop3-login",
    .default_port = 110,
    .default_ssl_port = 995,
    .event_category = { .name = "pop3" },
    .client_vfuncs = &login_vfuncs,
    .preinit = preinit,
    .init = init,
    .deinit = deinit,
    .sasl_support_final_reply = FALSE,
    .anonymous_login_acceptable = FALSE,
};

int
main(int argc, char *argv[])
{
    return login_binary_run(&login_binary_kpop, argc, argv);
}
