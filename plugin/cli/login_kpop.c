/*
 * login_kpop.c - the client's half of KPOP: the handshake of krb5_sendauth()
 * in front of POP3, with a ticket from the caller's credential cache, and what
 * each refusal means.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <krb5.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "plugin/cli/login.h"

enum { REPLY_MAX = 128 * 1024 };

struct kerberos {
    struct login *login;
    krb5_context context;
    krb5_ccache cache;
    krb5_auth_context auth;
    krb5_creds *creds;
    krb5_data request; /* the AP-REQ */
};

static const char renew[] = "get a new ticket: kdestroy; kinit";

/* Codes of RFC 4120, section 7.5.9, or the library's own. */
static const struct {
    krb5_error_code code;
    const char *advice;
} advices[] = {
    { KRB5_FCC_NOFILE, "get a ticket: kinit" },
    { KRB5_CC_NOTFOUND, "get a ticket: kinit" },
    { KRB5_CC_END, "get a ticket: kinit" },
    { KRB5KRB_AP_ERR_TKT_EXPIRED, "the ticket has ended: kinit" },
    { KRB5KRB_AP_ERR_TKT_NYV, "the clocks differ; set this machine's, or the "
                              "server's: kpopctl doctor there tells which" },
    { KRB5KRB_AP_ERR_SKEW, "the clocks differ; set this machine's, or the "
                           "server's: kpopctl doctor there tells which" },
    { KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN,
      "the KDC knows no service under this name: use the server's full name, "
      "or run kpopctl doctor on the server" },
    { KRB5_KDC_UNREACH, "no KDC answers: look at the network and at [realms] "
                        "in krb5.conf" },
    { KRB5_REALM_UNKNOWN, "say in [realms] of krb5.conf where the realm's KDC "
                          "is" },
    { KRB5KRB_AP_ERR_BAD_INTEGRITY, "the server's keytab has another key: "
                                    "run kpopctl doctor on the server" },
    { KRB5KRB_AP_ERR_MODIFIED, "the server's keytab has another key: run "
                               "kpopctl doctor on the server" },
    { KRB5KRB_AP_ERR_BADKEYVER, "the server's keytab has not the key of this "
                                "ticket: kdestroy; kinit, and kpopctl doctor "
                                "on the server" },
    { KRB5KRB_AP_ERR_NOKEY, "the server can't read its keytab: run kpopctl "
                            "doctor there" },
    { KRB5KRB_AP_ERR_NOT_US, "the server has no key for this name: use its "
                             "other name, or run kpopctl doctor there" },
    { KRB5KRB_AP_ERR_REPEAT, "somebody used this request before: try again" },
    { KRB5KRB_AP_ERR_BADADDR, "the ticket is for another address: kinit -A" },
    { KRB5KRB_AP_ERR_TKT_INVALID, renew },
};

static const char *
advice_of(krb5_error_code code)
{
    for (size_t i = 0; i < sizeof(advices) / sizeof(advices[0]); i++) {
        if (advices[i].code == code)
            return advices[i].advice;
    }
    return "look into the server's log; KRB5_TRACE=/dev/stderr shows this "
           "side's";
}

static bool
fail(struct kerberos *kerberos, const char *step, krb5_error_code code)
{
    const char *text = krb5_get_error_message(kerberos->context, code);

    login_bad(kerberos->login, step, advice_of(code), "%s", text);
    krb5_free_error_message(kerberos->context, text);
    return false;
}

/* ---- the ticket ---- */

/* The maildrop is that of who the ticket is for, unless --user says else. */
static void
take_user(struct kerberos *kerberos, krb5_const_principal client)
{
    struct login *login = kerberos->login;

    if (login->user[0] == '\0' && client->length > 0)
        snprintf(login->user, sizeof(login->user), "%.*s",
                 (int)client->data[0].length, client->data[0].data);
}

static bool
get_ticket(struct kerberos *kerberos)
{
    struct login *login = kerberos->login;
    krb5_context context = kerberos->context;
    krb5_creds want = { 0 };
    krb5_error_code code = krb5_cc_default(context, &kerberos->cache);
    char until[64] = "";
    char *server = NULL;
    char *client = NULL;
    struct tm tm;
    time_t end;

    if (code == 0)
        code = krb5_cc_get_principal(context, kerberos->cache, &want.client);
    if (code == 0)
        code = krb5_sname_to_principal(context, login->cli->word, "pop",
                                       KRB5_NT_SRV_HST, &want.server);
    if (code == 0)
        code = krb5_get_credentials(context, 0, kerberos->cache, &want,
                                    &kerberos->creds);
    if (want.client != NULL)
        take_user(kerberos, want.client);
    krb5_free_cred_contents(context, &want);
    if (code == 0)
        code = krb5_unparse_name(context, kerberos->creds->server, &server);
    if (code == 0)
        code = krb5_unparse_name(context, kerberos->creds->client, &client);
    if (code == 0) {
        end = (time_t)(uint32_t)kerberos->creds->times.endtime;
        if (localtime_r(&end, &tm) != NULL)
            (void)strftime(until, sizeof(until), "%F %T", &tm);
        login_good(login, "ticket", "%s has one for %s until %s", client,
                   server, until);
    }
    krb5_free_unparsed_name(context, server);
    krb5_free_unparsed_name(context, client);
    return code == 0 || fail(kerberos, "ticket", code);
}

static bool
make_request(struct kerberos *kerberos)
{
    krb5_error_code code;

    code = krb5_mk_req_extended(kerberos->context, &kerberos->auth,
                                AP_OPTS_MUTUAL_REQUIRED, NULL,
                                kerberos->creds, &kerberos->request);
    return code == 0 || fail(kerberos, "ticket", code);
}

/* ---- the handshake ---- */

static const char preamble[] = "\0\0\0\x13KRB5_SENDAUTH_V1.0\0"
                               "\0\0\0\x09KPOPV1.0";

static bool
lose(struct kerberos *kerberos, const char *error)
{
    login_bad(kerberos->login, "kpop",
              "look whether this port speaks KPOP, and into the server's log",
              "%s", error);
    return false;
}

static bool
read_length(struct kerberos *kerberos, uint32_t *length_out)
{
    char error[LOGIN_TEXT_MAX];

    if (line_read(kerberos->login->line, length_out, 4, error, sizeof(error))
        != 0)
        return lose(kerberos, error);
    *length_out = ntohl(*length_out);
    return *length_out <= REPLY_MAX
           || lose(kerberos, "what came is no answer of KPOP's");
}

/* 0: both versions are known. */
static bool
offer(struct kerberos *kerberos)
{
    struct line *line = kerberos->login->line;
    char error[LOGIN_TEXT_MAX];
    char rest[LOGIN_TEXT_MAX];
    char status[2] = "";

    /* The literal's own end is the last NUL. */
    if (line_write(line, preamble, sizeof(preamble), error, sizeof(error))
            != 0
        || line_read(line, status, 1, error, sizeof(error)) != 0)
        return lose(kerberos, error);
    if (status[0] == '\0')
        return true;
    if (status[0] == '\1' || status[0] == '\2')
        return lose(kerberos, status[0] == '\1'
                                  ? "the server does not know "
                                    "KRB5_SENDAUTH_V1.0"
                                  : "the server does not know KPOPV1.0; see "
                                    "its kpop_versions");
    if (line_get(line, rest, sizeof(rest), error, sizeof(error)) != 0)
        rest[0] = '\0';
    login_bad(kerberos->login, "kpop",
              "this is the port of POP3: use --mech GSSAPI, or the port of "
              "KPOP", "the server says %s%s", status, rest);
    return false;
}

static bool
send_request(struct kerberos *kerberos)
{
    const krb5_data *request = &kerberos->request;
    uint32_t length = htonl(request->length);
    char error[LOGIN_TEXT_MAX];
    char *both = malloc(sizeof(length) + request->length);
    int rc;

    if (both == NULL)
        return lose(kerberos, "out of memory");
    memcpy(both, &length, sizeof(length));
    memcpy(both + sizeof(length), request->data, request->length);
    rc = line_write(kerberos->login->line, both,
                    sizeof(length) + request->length, error, sizeof(error));
    free(both);
    return rc == 0 || lose(kerberos, error);
}

static bool
read_message(struct kerberos *kerberos, uint32_t length, krb5_data *out)
{
    char error[LOGIN_TEXT_MAX];

    out->length = length;
    out->data = malloc(length > 0 ? length : 1);
    if (out->data == NULL)
        return lose(kerberos, "out of memory");
    if (line_read(kerberos->login->line, out->data, length, error,
                  sizeof(error)) == 0)
        return true;
    free(out->data);
    return lose(kerberos, error);
}

/* KRB_ERROR: the server says why. */
static bool
tell_refusal(struct kerberos *kerberos, uint32_t length)
{
    krb5_error *refusal = NULL;
    krb5_error_code code;
    krb5_data message;
    const char *text;

    if (!read_message(kerberos, length, &message))
        return false;
    code = krb5_rd_error(kerberos->context, &message, &refusal);
    free(message.data);
    if (code != 0)
        return fail(kerberos, "kpop", code);
    code = (krb5_error_code)refusal->error + ERROR_TABLE_BASE_krb5;
    text = krb5_get_error_message(kerberos->context, code);
    login_bad(kerberos->login, "kpop", advice_of(code),
              "the server refuses the ticket: %s (%.*s)", text,
              (int)refusal->text.length,
              refusal->text.length > 0 ? refusal->text.data : "");
    krb5_free_error_message(kerberos->context, text);
    krb5_free_error(kerberos->context, refusal);
    return false;
}

/* AP-REP: the server proves that it has the key. */
static bool
read_proof(struct kerberos *kerberos)
{
    krb5_ap_rep_enc_part *proof = NULL;
    krb5_error_code code;
    krb5_data message;
    uint32_t length = 0;

    if (!read_length(kerberos, &length)
        || !read_message(kerberos, length, &message))
        return false;
    code = krb5_rd_rep(kerberos->context, kerberos->auth, &message, &proof);
    free(message.data);
    if (code != 0)
        return fail(kerberos, "kpop", code);
    krb5_free_ap_rep_enc_part(kerberos->context, proof);
    login_good(kerberos->login, "kpop",
               "the server took the ticket and proved its own key");
    return true;
}

static bool
shake(struct kerberos *kerberos)
{
    uint32_t length = 0;

    if (!offer(kerberos) || !send_request(kerberos)
        || !read_length(kerberos, &length))
        return false;
    return length == 0 ? read_proof(kerberos)
                       : tell_refusal(kerberos, length);
}

bool
login_kpop(struct login *login)
{
    struct kerberos kerberos = { .login = login };
    krb5_error_code code = krb5_init_context(&kerberos.context);
    bool good = false;

    if (code != 0) {
        login_bad(login, "ticket", "look at krb5.conf and KRB5_CONFIG",
                  "libkrb5 can't read its configuration");
        return false;
    }
    if (get_ticket(&kerberos) && make_request(&kerberos))
        good = shake(&kerberos);
    krb5_free_data_contents(kerberos.context, &kerberos.request);
    krb5_auth_con_free(kerberos.context, kerberos.auth);
    krb5_free_creds(kerberos.context, kerberos.creds);
    if (kerberos.cache != NULL)
        (void)krb5_cc_close(kerberos.context, kerberos.cache);
    krb5_free_context(kerberos.context);
    return good;
}
