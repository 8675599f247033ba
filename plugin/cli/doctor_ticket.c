/*
 * doctor_ticket.c - gets the tickets that the doctor asks a KDC with.  The
 * caller's credential cache is read and never written.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/cli/doctor_ticket.h"

#include <string.h>

static krb5_error_code
keep(struct asking *asking, krb5_creds *creds)
{
    krb5_error_code code = krb5_cc_initialize(asking->context, asking->cache,
                                              creds->client);

    if (code == 0)
        code = krb5_cc_store_cred(asking->context, asking->cache, creds);
    if (code == 0)
        code = krb5_copy_principal(asking->context, creds->client,
                                   &asking->client);
    return code;
}

/* The caller's, but nothing else of his cache: its service tickets may be
 * older than a key. */
static bool
borrow_ticket(struct asking *asking)
{
    krb5_context context = asking->context;
    krb5_creds want = { 0 };
    krb5_creds got = { 0 };
    krb5_ccache cache = NULL;
    krb5_timestamp now = 0;
    bool good = false;
    krb5_data *realm;

    if (krb5_cc_default(context, &cache) != 0)
        return false;
    if (krb5_cc_get_principal(context, cache, &want.client) == 0
        && krb5_timeofday(context, &now) == 0) {
        realm = &want.client->realm;
        if (krb5_build_principal(context, &want.server, realm->length,
                                 realm->data, "krbtgt", realm->data, NULL)
            == 0
            && krb5_cc_retrieve_cred(context, cache, 0, &want, &got) == 0)
            good = (uint32_t)got.times.endtime > (uint32_t)now
                   && keep(asking, &got) == 0;
    }
    krb5_free_cred_contents(context, &got);
    krb5_free_cred_contents(context, &want);
    (void)krb5_cc_close(context, cache);
    return good;
}

krb5_error_code
ticket_of_key(struct asking *asking, const char *principal)
{
    krb5_context context = asking->context;
    krb5_principal client = NULL;
    krb5_creds creds = { 0 };
    krb5_error_code code = krb5_parse_name(context, principal, &client);

    if (code == 0)
        code = krb5_get_init_creds_keytab(context, &creds, client,
                                          asking->keytab, 0, NULL, NULL);
    if (code == 0)
        code = keep(asking, &creds);
    krb5_free_cred_contents(context, &creds);
    krb5_free_principal(context, client);
    return code;
}

bool
ticket_find(struct asking *asking)
{
    const struct doctor *doctor = asking->doctor;
    const char *last = "";

    if (borrow_ticket(asking))
        return true;
    for (size_t i = 0; i < doctor->key_count; i++) {
        const char *principal = doctor->keys[i].principal;

        if (strcmp(principal, last) != 0
            && ticket_of_key(asking, principal) == 0)
            return true;
        last = principal;
    }
    return false;
}

krb5_error_code
ticket_get(struct asking *asking, const char *principal,
           krb5_ticket **ticket_out)
{
    krb5_context context = asking->context;
    krb5_creds want = { 0 };
    krb5_creds *got = NULL;
    krb5_error_code code = krb5_parse_name(context, principal, &want.server);

    want.client = asking->client;
    if (code == 0)
        code = krb5_get_credentials(context, KRB5_GC_NO_STORE, asking->cache,
                                    &want, &got);
    if (code == 0)
        code = krb5_decode_ticket(&got->ticket, ticket_out);
    krb5_free_creds(context, got);
    krb5_free_principal(context, want.server);
    return code;
}
