/*
 * tickets.c - tickets of many users by MIT's library, AP-REQs and GSSAPI
 * contexts made of them, as clients do.  They are made before the clock runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/bench/tickets.h"

#include <gssapi/gssapi.h>
#include <gssapi/gssapi_krb5.h>
#include <krb5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/fail.h"

/* What was made of a user's ticket, and is not used yet. */
struct stock {
    struct token *ap_reqs;
    size_t ap_req_count;
    struct gss_login **logins;
    size_t login_count;
};

struct tickets {
    krb5_context krb;
    unsigned long count;
    krb5_creds *creds;
    gss_cred_id_t *gss; /* made when first needed */
    struct stock *stock;
    gss_name_t target;
};

struct gss_login {
    gss_ctx_id_t context;
    gss_name_t target;
    gss_cred_id_t cred;
    struct token first;
};

static void
must(krb5_context krb, const char *what, krb5_error_code code)
{
    if (code != 0)
        fail("%s: %s", what, krb5_get_error_message(krb, code));
}

static void
must_gss(const char *what, OM_uint32 major, OM_uint32 minor)
{
    gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
    OM_uint32 more = 0;
    OM_uint32 ignored;

    if (!GSS_ERROR(major))
        return;
    (void)gss_display_status(&ignored, minor, GSS_C_MECH_CODE, gss_mech_krb5,
                             &more, &text);
    fail("%s: %.*s", what, (int)text.length, (const char *)text.value);
}

static gss_name_t
import_target(const char *service)
{
    gss_buffer_desc name = { strlen(service), (void *)(uintptr_t)service };
    gss_name_t target = GSS_C_NO_NAME;
    OM_uint32 minor;
    OM_uint32 major = gss_import_name(&minor, &name,
                                      GSS_KRB5_NT_PRINCIPAL_NAME, &target);

    must_gss(service, major, minor);
    return target;
}

struct tickets *
tickets_get(const char *service, const char *user, unsigned long first,
            unsigned long count, const char *password)
{
    struct tickets *tickets = calloc(1, sizeof(*tickets));
    krb5_principal client;
    char name[128];

    if (tickets == NULL)
        fail("no memory");
    must(NULL, "krb5", krb5_init_context(&tickets->krb));
    tickets->count = count;
    tickets->creds = calloc(count, sizeof(*tickets->creds));
    tickets->gss = calloc(count, sizeof(*tickets->gss));
    tickets->stock = calloc(count, sizeof(*tickets->stock));
    if (tickets->creds == NULL || tickets->gss == NULL
        || tickets->stock == NULL)
        fail("no memory");
    for (unsigned long i = 0; i < count; i++) {
        (void)snprintf(name, sizeof(name), "%s%lu", user, first + i);
        must(tickets->krb, name,
             krb5_parse_name(tickets->krb, name, &client));
        must(tickets->krb, name,
             krb5_get_init_creds_password(tickets->krb, &tickets->creds[i],
                                          client, password, NULL, NULL, 0,
                                          service, NULL));
        krb5_free_principal(tickets->krb, client);
    }
    tickets->target = import_target(service);
    return tickets;
}

static struct token
make_ap_req(struct tickets *tickets, unsigned long user)
{
    krb5_auth_context auth = NULL;
    krb5_data made = { 0, 0, NULL };
    struct token request;

    must(tickets->krb, "AP-REQ",
         krb5_mk_req_extended(tickets->krb, &auth, AP_OPTS_MUTUAL_REQUIRED,
                              NULL, &tickets->creds[user], &made));
    request.len = made.length;
    request.octets = malloc(made.length);
    if (request.octets == NULL)
        fail("no memory");
    memcpy(request.octets, made.data, made.length);
    krb5_free_data_contents(tickets->krb, &made);
    krb5_auth_con_free(tickets->krb, auth);
    return request;
}

/* A credential of a cache in memory that has the service's ticket alone. */
static gss_cred_id_t
gss_cred(struct tickets *tickets, unsigned long user)
{
    krb5_creds *creds = &tickets->creds[user];
    krb5_ccache cache;
    OM_uint32 major;
    OM_uint32 minor;

    if (tickets->gss[user] != GSS_C_NO_CREDENTIAL)
        return tickets->gss[user];
    must(tickets->krb, "ccache",
         krb5_cc_new_unique(tickets->krb, "MEMORY", NULL, &cache));
    must(tickets->krb, "ccache",
         krb5_cc_initialize(tickets->krb, cache, creds->client));
    must(tickets->krb, "ccache",
         krb5_cc_store_cred(tickets->krb, cache, creds));
    major = gss_krb5_import_cred(&minor, cache, NULL, NULL,
                                 &tickets->gss[user]);
    must_gss("credential", major, minor);
    (void)krb5_cc_close(tickets->krb, cache); /* the credential has its own */
    return tickets->gss[user];
}

static struct token
step(struct gss_login *login, const void *octets, size_t len)
{
    gss_buffer_desc in = { len, (void *)(uintptr_t)octets };
    gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
    struct token token = { NULL, 0 };
    OM_uint32 minor;
    OM_uint32 major = gss_init_sec_context(
        &minor, login->cred, &login->context, login->target, gss_mech_krb5,
        GSS_C_MUTUAL_FLAG | GSS_C_REPLAY_FLAG | GSS_C_SEQUENCE_FLAG
            | GSS_C_INTEG_FLAG | GSS_C_CONF_FLAG,
        0, GSS_C_NO_CHANNEL_BINDINGS, &in, NULL, &out, NULL, NULL);

    must_gss("gss_init_sec_context", major, minor);
    if (out.length > 0) {
        token.len = out.length;
        token.octets = malloc(out.length);
        if (token.octets == NULL)
            fail("no memory");
        memcpy(token.octets, out.value, out.length);
    }
    (void)gss_release_buffer(&minor, &out);
    return token;
}

static struct gss_login *
make_gss(struct tickets *tickets, unsigned long user)
{
    struct gss_login *login = calloc(1, sizeof(*login));

    if (login == NULL)
        fail("no memory");
    login->context = GSS_C_NO_CONTEXT;
    login->target = tickets->target;
    login->cred = gss_cred(tickets, user);
    login->first = step(login, NULL, 0);
    return login;
}

void
tickets_keep_ap_reqs(struct tickets *tickets, size_t each)
{
    for (unsigned long user = 0; user < tickets->count; user++) {
        struct stock *stock = &tickets->stock[user];

        stock->ap_reqs = calloc(each, sizeof(*stock->ap_reqs));
        if (stock->ap_reqs == NULL)
            fail("no memory");
        while (stock->ap_req_count < each)
            stock->ap_reqs[stock->ap_req_count++] = make_ap_req(tickets,
                                                                user);
    }
}

void
tickets_keep_gss(struct tickets *tickets, size_t each)
{
    for (unsigned long user = 0; user < tickets->count; user++) {
        struct stock *stock = &tickets->stock[user];

        stock->logins = calloc(each, sizeof(struct gss_login *));
        if (stock->logins == NULL)
            fail("no memory");
        while (stock->login_count < each)
            stock->logins[stock->login_count++] = make_gss(tickets, user);
    }
}

struct token
tickets_ap_req(struct tickets *tickets, unsigned long user)
{
    struct stock *stock = &tickets->stock[user];

    return stock->ap_req_count > 0 ? stock->ap_reqs[--stock->ap_req_count]
                                   : make_ap_req(tickets, user);
}

struct gss_login *
tickets_gss(struct tickets *tickets, unsigned long user)
{
    struct stock *stock = &tickets->stock[user];

    return stock->login_count > 0 ? stock->logins[--stock->login_count]
                                  : make_gss(tickets, user);
}

const struct token *
gss_first(const struct gss_login *login)
{
    return &login->first;
}

void
gss_answer(struct gss_login *login, const void *octets, size_t len)
{
    free(step(login, octets, len).octets);
}

struct token
gss_choose(struct gss_login *login, const void *octets, size_t len)
{
    static char none[] = { 1, 0, 0, 0 };
    gss_buffer_desc in = { len, (void *)(uintptr_t)octets };
    gss_buffer_desc choice = { sizeof(none), none };
    gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
    struct token token;
    OM_uint32 minor;
    OM_uint32 major = gss_unwrap(&minor, login->context, &in, &out, NULL,
                                 NULL);

    must_gss("gss_unwrap", major, minor);
    (void)gss_release_buffer(&minor, &out);
    major = gss_wrap(&minor, login->context, 0, GSS_C_QOP_DEFAULT, &choice,
                     NULL, &out);
    must_gss("gss_wrap", major, minor);
    token.len = out.length;
    token.octets = malloc(out.length);
    if (token.octets == NULL)
        fail("no memory");
    memcpy(token.octets, out.value, out.length);
    (void)gss_release_buffer(&minor, &out);
    return token;
}

void
gss_end(struct gss_login *login)
{
    OM_uint32 minor;

    (void)gss_delete_sec_context(&minor, &login->context, GSS_C_NO_BUFFER);
    free(login->first.octets);
    free(login);
}
