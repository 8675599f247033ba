/*
 * login_gssapi.c - AUTH GSSAPI (RFC 4752, RFC 5034) with the caller's ticket:
 * no security layer, TLS is there for secrecy.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <gssapi/gssapi.h>
#include <gssapi/gssapi_krb5.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/cli/login.h"

struct gss {
    struct login *login;
    gss_ctx_id_t context;
    gss_name_t server;
    char reply[LOGIN_LINE_MAX]; /* the server's line; decoded in place */
    size_t size;                /* of what was decoded */
};

static bool
fail(struct gss *gss, OM_uint32 major, OM_uint32 minor)
{
    gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
    OM_uint32 more = 0;
    OM_uint32 ignored;

    (void)gss_display_status(&ignored, minor != 0 ? minor : major,
                             minor != 0 ? GSS_C_MECH_CODE : GSS_C_GSS_CODE,
                             GSS_C_NO_OID, &more, &text);
    login_bad(gss->login, "gssapi",
              "get a ticket: kinit; kpopctl login --mech KPOP says more about "
              "tickets, kpopctl doctor on the server about its key",
              "%.*s", (int)text.length, (const char *)text.value);
    (void)gss_release_buffer(&ignored, &text);
    return false;
}

/* A token to the server, and the next one of its own. */
static bool
exchange(struct gss *gss, gss_buffer_t token)
{
    size_t size = (token->length + 2) / 3 * 4 + 1;
    unsigned char *line = malloc(size);
    bool good;

    if (line == NULL || token->length > LOGIN_LINE_MAX) {
        free(line);
        login_bad(gss->login, "gssapi", "try again", "out of memory");
        return false;
    }
    (void)EVP_EncodeBlock(line, token->value, (int)token->length);
    good = login_ask(gss->login, "gssapi", (const char *)line, gss->reply,
                     sizeof(gss->reply));
    free(line);
    return good;
}

/* -ERR, or +OK before its time. */
static bool
is_asked(struct gss *gss)
{
    if (gss->reply[0] == '+' && strncmp(gss->reply, "+OK", 3) != 0)
        return true;
    login_bad(gss->login, "gssapi", login_advice(gss->reply),
              "the server says %.900s", gss->reply);
    return false;
}

static bool
make_context(struct gss *gss)
{
    OM_uint32 major;
    OM_uint32 minor;

    do {
        gss_buffer_desc in = GSS_C_EMPTY_BUFFER;
        gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
        bool good;

        if (!is_asked(gss)
            || !login_challenge(gss->login, "gssapi", gss->reply, &gss->size))
            return false;
        in.value = gss->reply;
        in.length = gss->size;
        major = gss_init_sec_context(
            &minor, GSS_C_NO_CREDENTIAL, &gss->context, gss->server,
            gss_mech_krb5, GSS_C_MUTUAL_FLAG | GSS_C_INTEG_FLAG, 0,
            GSS_C_NO_CHANNEL_BINDINGS, &in, NULL, &out, NULL, NULL);
        if (GSS_ERROR(major)) {
            OM_uint32 ignored;

            (void)gss_release_buffer(&ignored, &out);
            return fail(gss, major, minor);
        }
        good = exchange(gss, &out);
        (void)gss_release_buffer(&minor, &out);
        if (!good)
            return false;
    } while (major != GSS_S_COMPLETE);
    return true;
}

/* Which layers the server has: we want none.  Then who wants in. */
static bool
choose_layer(struct gss *gss)
{
    const char *user = gss->login->cli->user;
    unsigned char choice[4 + 256] = { 1, 0, 0, 0 };
    gss_buffer_desc in = GSS_C_EMPTY_BUFFER;
    gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
    OM_uint32 major;
    OM_uint32 minor;
    bool has_none;
    bool good;

    if (!is_asked(gss)
        || !login_challenge(gss->login, "gssapi", gss->reply, &gss->size))
        return false;
    in.value = gss->reply;
    in.length = gss->size;
    major = gss_unwrap(&minor, gss->context, &in, &out, NULL, NULL);
    if (GSS_ERROR(major))
        return fail(gss, major, minor);
    has_none = out.length == 4 && (*(unsigned char *)out.value & 1) != 0;
    (void)gss_release_buffer(&minor, &out);
    if (!has_none) {
        login_bad(gss->login, "gssapi", "use TLS, which the server takes "
                  "instead", "the server insists on a security layer");
        return false;
    }
    in.length = 4;
    if (user != NULL && strlen(user) <= 255) {
        memcpy(choice + 4, user, strlen(user));
        in.length += strlen(user);
    }
    in.value = choice;
    major = gss_wrap(&minor, gss->context, 0, GSS_C_QOP_DEFAULT, &in, NULL,
                     &out);
    if (GSS_ERROR(major))
        return fail(gss, major, minor);
    good = exchange(gss, &out);
    (void)gss_release_buffer(&minor, &out);
    return good;
}

static bool
run(struct gss *gss)
{
    char name[LOGIN_TEXT_MAX];
    gss_buffer_desc buffer = { 0, name };
    OM_uint32 major;
    OM_uint32 minor;

    snprintf(name, sizeof(name), "pop@%.255s", gss->login->cli->word);
    buffer.length = strlen(name);
    major = gss_import_name(&minor, &buffer, GSS_C_NT_HOSTBASED_SERVICE,
                            &gss->server);
    if (GSS_ERROR(major))
        return fail(gss, major, minor);
    if (!login_ask(gss->login, "gssapi", "AUTH GSSAPI", gss->reply,
                   sizeof(gss->reply))
        || !make_context(gss) || !choose_layer(gss))
        return false;
    if (strncmp(gss->reply, "+OK", 3) != 0) {
        login_bad(gss->login, "gssapi", login_advice(gss->reply),
                  "the server says %.900s", gss->reply);
        return false;
    }
    login_good(gss->login, "gssapi", "the server took the ticket: %.900s",
               gss->reply);
    return true;
}

bool
login_gssapi(struct login *login)
{
    struct gss *gss = calloc(1, sizeof(*gss));
    OM_uint32 minor;
    bool good;

    if (gss == NULL) {
        login_bad(login, "gssapi", "try again", "out of memory");
        return false;
    }
    gss->login = login;
    good = run(gss);
    (void)gss_delete_sec_context(&minor, &gss->context, GSS_C_NO_BUFFER);
    (void)gss_release_name(&minor, &gss->server);
    free(gss);
    return good;
}
