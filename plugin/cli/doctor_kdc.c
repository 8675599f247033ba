/*
 * doctor_kdc.c - asks the KDC of our services: does it know them, does it
 * issue tickets that the keytab can decrypt, what time is it there?  It asks
 * with the caller's ticket or with the keytab's own keys, into a credential
 * cache in memory.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <krb5.h>
#include <profile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "plugin/cli/doctor.h"
#include "plugin/cli/doctor_ticket.h"

enum { SKEW_DEFAULT = 300, SERVICES_MAX = 50 };

static const char aes[] = " -e aes256-cts-hmac-sha1-96:normal,"
                          "aes128-cts-hmac-sha1-96:normal";

static bool
is_strong(int32_t enctype)
{
    return enctype >= ENCTYPE_AES128_CTS_HMAC_SHA1_96
           && enctype != ENCTYPE_ARCFOUR_HMAC
           && enctype != ENCTYPE_ARCFOUR_HMAC_EXP;
}

/* krb5_get_error_message() into out. */
static const char *
say(krb5_context context, krb5_error_code code, char *out)
{
    const char *text = krb5_get_error_message(context, code);

    snprintf(out, DOCTOR_NAME_MAX, "%s", text);
    krb5_free_error_message(context, text);
    return out;
}

static const char *
enctype_name(int32_t enctype, char *out)
{
    if (krb5_enctype_to_name(enctype, FALSE, out, DOCTOR_NAME_MAX) != 0)
        snprintf(out, DOCTOR_NAME_MAX, "enctype %" PRId32, enctype);
    return out;
}

/* ---- the clock ---- */

/* Each answer of a KDC passes here; its errors tell its time. */
static krb5_error_code
hear(krb5_context context, void *arg, krb5_error_code code,
     const krb5_data *realm, const krb5_data *message, const krb5_data *reply,
     krb5_data **reply_out)
{
    struct asking *asking = arg;
    krb5_error *error = NULL;

    (void)realm;
    (void)message;
    *reply_out = NULL;
    /* [APPLICATION 30] */
    if (code == 0 && reply != NULL && reply->length > 0
        && (unsigned char)reply->data[0] == 0x7e
        && krb5_rd_error(context, reply, &error) == 0) {
        asking->stamp = error->stime;
        asking->heard = time(NULL);
        krb5_free_error(context, error);
    }
    return code;
}

static int64_t
allowed_skew(krb5_context context)
{
    profile_t profile = NULL;
    int seconds = SKEW_DEFAULT;

    if (krb5_get_profile(context, &profile) == 0)
        (void)profile_get_integer(profile, "libdefaults", "clockskew", NULL,
                                  SKEW_DEFAULT, &seconds);
    profile_release(profile);
    return seconds;
}

/* False: too far away for anything else to be asked. */
static bool
check_clock(struct asking *asking)
{
    struct doctor *doctor = asking->doctor;
    int64_t skew = allowed_skew(asking->context);
    /* Seconds since 1970 as unsigned: beyond 2038 (RFC 4120 has no limit). */
    int64_t ahead = (int64_t)asking->heard
                    - (int64_t)(uint32_t)asking->stamp;
    int64_t far = ahead < 0 ? -ahead : ahead;

    if (asking->stamp == 0 || far <= skew / 5)
        return true;
    doctor_mend(doctor, "date --set='%" PRId64 " seconds%s'", far,
                ahead > 0 ? " ago" : "");
    if (far < skew) {
        doctor_warn(doctor, "this clock is %" PRId64 " seconds %s the KDC's; "
                    "%" PRId64 " are too many (chrony or the like keeps it "
                    "right)", far, ahead > 0 ? "ahead of" : "behind", skew);
        return true;
    }
    doctor->clock_is_wrong = true;
    doctor_error(doctor, "this clock is %" PRId64 " seconds %s the KDC's, so "
                 "no ticket is accepted (chrony or the like keeps it right)",
                 far, ahead > 0 ? "ahead of" : "behind");
    return false;
}

/* ---- our principal ---- */

/*
 * Asks the KDC in our service's name for a ticket to nobody: it needs no key,
 * and the answer, always an error, tells whether we are known, and the time.
 */
static krb5_error_code
probe(struct asking *asking, const char *principal)
{
    krb5_init_creds_context request = NULL;
    krb5_principal client = NULL;
    krb5_error_code code;

    code = krb5_parse_name(asking->context, principal, &client);
    if (code == 0)
        code = krb5_init_creds_init(asking->context, client, NULL, NULL, 0,
                                    NULL, &request);
    if (code == 0)
        code = krb5_init_creds_set_service(asking->context, request,
                                           "kpopctl/doctor");
    if (code == 0)
        code = krb5_init_creds_get(asking->context, request);
    if (request != NULL)
        krb5_init_creds_free(asking->context, request);
    krb5_free_principal(asking->context, client);
    return code == KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN ? 0 : code;
}

static void
tell_silence(struct asking *asking, const char *principal,
             krb5_error_code code)
{
    struct doctor *doctor = asking->doctor;
    char kadmin[DOCTOR_TEXT_MAX];
    char quoted[DOCTOR_TEXT_MAX];
    char why[DOCTOR_NAME_MAX];

    if (strncmp(doctor_kadmin(principal, kadmin), "kadmin.local", 12) == 0)
        doctor_mend(doctor, "%s", access("/run/systemd/system", F_OK) == 0
                                      ? "systemctl start krb5-kdc"
                                      : "krb5kdc");
    else
        doctor_mend(doctor, "KRB5_TRACE=/dev/stderr kinit -k -t %s",
                    doctor_quote(doctor_value(doctor, "keytab"), quoted));
    doctor_error(doctor, "no KDC answers for %s: %s", principal,
                 say(asking->context, code, why));
}

static void
tell_unknown(struct asking *asking, const char *principal)
{
    struct doctor *doctor = asking->doctor;

    asking->unknown = principal;
    doctor_mend_key(doctor, principal, true, "");
    doctor_error(doctor, "the KDC does not know %s, whom clients ask tickets "
                 "for", principal);
}

/* Active Directory knows services whom it does not let log in, so that a
 * ticket for one tells more than its own question. */
static bool
gives_ticket(struct asking *asking, const char *principal)
{
    krb5_ticket *ticket = NULL;
    krb5_error_code code = ticket_get(asking, principal, &ticket);

    krb5_free_ticket(asking->context, ticket);
    return code != KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN;
}

static void
mend_refusal(struct doctor *doctor, const char *principal, const char *more)
{
    char kadmin[DOCTOR_TEXT_MAX];
    char query[DOCTOR_TEXT_MAX];
    char quoted[DOCTOR_TEXT_MAX];

    snprintf(query, sizeof(query), "modprinc +allow_tix +allow_svr -expire "
             "never %s%.900s", more, principal);
    doctor_mend(doctor, "%s %s", doctor_kadmin(principal, kadmin),
                doctor_quote(query, quoted));
}

/* It is known, and not let in, whatever its key is. */
static bool
is_locked(krb5_error_code code)
{
    return code == KRB5KDC_ERR_NAME_EXP || code == KRB5KDC_ERR_KEY_EXP
           || code == KRB5KDC_ERR_CLIENT_REVOKED
           || code == KRB5KDC_ERR_CLIENT_NOTYET || code == KRB5KDC_ERR_POLICY;
}

static void
tell_refusal(struct asking *asking, const char *principal,
             krb5_error_code code)
{
    char why[DOCTOR_NAME_MAX];

    asking->unknown = principal;
    mend_refusal(asking->doctor, principal, "-pwexpire never ");
    doctor_error(asking->doctor, "the KDC on %s: %s", principal,
                 say(asking->context, code, why));
}

/* The name that clients ask for first; code: of its own question. */
static void
check_own(struct asking *asking, const char *principal, krb5_error_code code,
          bool has_ticket)
{
    struct doctor *doctor = asking->doctor;

    if (code == KRB5KDC_ERR_C_PRINCIPAL_UNKNOWN
        && (!has_ticket || !gives_ticket(asking, principal))) {
        tell_unknown(asking, principal);
    } else if (code != 0 && code != KRB5KDC_ERR_PREAUTH_REQUIRED
               && !has_ticket) {
        tell_refusal(asking, principal, code);
    } else if (doctor->keytab_read && !doctor_has_key(doctor, principal)) {
        doctor_mend_key(doctor, principal, false, "");
        doctor_error(doctor, "keytab %s has no key of %s, whom clients ask "
                     "tickets for", doctor_value(doctor, "keytab"),
                     principal);
    }
}

/* ---- tickets for our services ---- */

/* What the keytab has of a principal. */
struct holding {
    bool strong;
    bool kvno;        /* the one that is asked for */
    bool key;         /* ... and the enctype */
    uint32_t newest;
};

static struct holding
hold(const struct doctor *doctor, const char *principal, uint32_t kvno,
     int32_t enctype)
{
    struct holding held = { false, false, false, 0 };

    for (size_t i = 0; i < doctor->key_count; i++) {
        const struct doctor_key *key = &doctor->keys[i];
        bool is_kvno = key->kvno == kvno;

        if (strcmp(key->principal, principal) != 0)
            continue;
        held.strong = held.strong || is_strong(key->enctype);
        held.kvno = held.kvno || is_kvno;
        held.key = held.key || (is_kvno && key->enctype == enctype);
        if (key->kvno > held.newest)
            held.newest = key->kvno;
    }
    return held;
}

static void
check_ticket(struct asking *asking, const char *principal,
             krb5_ticket *ticket)
{
    struct doctor *doctor = asking->doctor;
    const char *path = doctor_value(doctor, "keytab");
    bool weak = strcmp(doctor_value(doctor, "weak_enctypes"), "yes") == 0;
    int32_t enctype = ticket->enc_part.enctype;
    uint32_t kvno = ticket->enc_part.kvno;
    struct holding held = hold(doctor, principal, kvno, enctype);
    char name[DOCTOR_NAME_MAX];
    krb5_error_code code;

    enctype_name(enctype, name);
    doctor_mend_key(doctor, principal, false, "");
    if (!weak && !is_strong(enctype)) {
        doctor_mend_key(doctor, principal, false, aes);
        doctor_error(doctor, "the KDC issues tickets for %s under a %s key, "
                     "which is too weak (see weak_enctypes)", principal,
                     name);
    } else if (!held.kvno) {
        doctor_error(doctor, "the KDC issues tickets for %s under key "
                     "version %" PRIu32 ", keytab %s has version %" PRIu32,
                     principal, kvno, path, held.newest);
    } else if (!held.key) {
        doctor_error(doctor, "the KDC issues tickets for %s under a %s key, "
                     "of which keytab %s has none", principal, name, path);
    } else if ((code = krb5_server_decrypt_ticket_keytab(
                    asking->context, asking->keytab, ticket)) != 0) {
        char why[DOCTOR_NAME_MAX];

        doctor_mend_key(doctor, principal, false, aes);
        doctor_error(doctor, "keytab %s has another key %" PRIu32 " of %s "
                     "than the KDC: %s", path, kvno, principal,
                     say(asking->context, code, why));
    }
}

static void
check_service(struct asking *asking, const char *principal)
{
    struct doctor *doctor = asking->doctor;
    const char *path = doctor_value(doctor, "keytab");
    krb5_ticket *ticket = NULL;
    krb5_error_code code = ticket_get(asking, principal, &ticket);
    char kadmin[DOCTOR_TEXT_MAX];
    char query[DOCTOR_TEXT_MAX];
    char quoted[DOCTOR_TEXT_MAX];
    char why[DOCTOR_NAME_MAX];

    if (code == 0) {
        check_ticket(asking, principal, ticket);
    } else if (code == KRB5KDC_ERR_ETYPE_NOSUPP) {
        doctor_mend_key(doctor, principal, false, aes);
        doctor_error(doctor, "the KDC has only weak keys of %s: %s",
                     principal, say(asking->context, code, why));
    } else if (code == KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN
               && probe(asking, principal)
                      == KRB5KDC_ERR_C_PRINCIPAL_UNKNOWN) {
        snprintf(query, sizeof(query), "ktremove -k %.900s %.900s all", path,
                 principal);
        doctor_mend(doctor, "%s %s", doctor_kadmin(principal, kadmin),
                    doctor_quote(query, quoted));
        doctor_warn(doctor, "keytab %s has keys of %s, whom the KDC does not "
                    "know", path, principal);
    } else {
        mend_refusal(doctor, principal, "");
        doctor_error(doctor, "the KDC gives no ticket for %s: %s", principal,
                     say(asking->context, code, why));
    }
    krb5_free_ticket(asking->context, ticket);
}

/* Each principal of our services that has a key. */
static void
check_services(struct asking *asking)
{
    const struct doctor *doctor = asking->doctor;
    unsigned asked = 0;

    for (size_t i = 0; i < doctor->key_count && asked < SERVICES_MAX; i++) {
        const char *principal = doctor->keys[i].principal;
        size_t first = 0;

        while (strcmp(doctor->keys[first].principal, principal) != 0)
            first++;
        if (first != i || !doctor_is_service(doctor, principal)
            || (asking->unknown != NULL
                && strcmp(principal, asking->unknown) == 0))
            continue;
        check_service(asking, principal);
        asked++;
    }
}

/* Nobody lets us in: with none of its keys the keytab proves who we are. */
static void
tell_no_ticket(struct asking *asking, const char *principal)
{
    struct doctor *doctor = asking->doctor;
    struct holding held = hold(doctor, principal, 0, 0);
    char why[DOCTOR_NAME_MAX];
    krb5_error_code code;

    code = ticket_of_key(asking, principal);
    if (is_locked(code)) {
        tell_refusal(asking, principal, code);
        return;
    }
    doctor_mend_key(doctor, principal, false,
                    held.strong || strcmp(doctor_value(doctor,
                                                       "weak_enctypes"),
                                          "yes") == 0
                        ? ""
                        : aes);
    doctor_error(doctor, "the KDC does not accept the key of %s in keytab "
                 "%s (version %" PRIu32 "): %s", principal,
                 doctor_value(doctor, "keytab"), held.newest,
                 say(asking->context, code, why));
}

static void
ask(struct asking *asking, const char *principal)
{
    const struct doctor *doctor = asking->doctor;
    krb5_error_code code = probe(asking, principal);
    bool has_ticket;

    if (asking->stamp == 0 && code != 0) {
        tell_silence(asking, principal, code);
        return;
    }
    if (!check_clock(asking))
        return;
    has_ticket = ticket_find(asking);
    check_own(asking, principal, code, has_ticket);
    if (has_ticket)
        check_services(asking);
    else if (doctor_has_key(doctor, principal) && asking->unknown == NULL)
        tell_no_ticket(asking, principal);
}

/* Nobody can be asked, and no name of ours is whole. */
static void
tell_no_realm(struct doctor *doctor)
{
    doctor->tickets = false;
    doctor_mend(doctor, "${EDITOR:-vi} /etc/krb5.conf");
    doctor_error(doctor, "/etc/krb5.conf is missing, or it names neither a "
                 "default_realm nor a realm for %s, so that no KDC can be "
                 "asked", doctor->host);
}

void
doctor_kdc(struct doctor *doctor)
{
    struct asking asking = { .doctor = doctor };
    char principal[DOCTOR_TEXT_MAX];
    char name[DOCTOR_TEXT_MAX];

    if (!doctor->tickets)
        return;
    asking.context = cli_kerberos();
    krb5_set_kdc_recv_hook(asking.context, hear, &asking);
    snprintf(name, sizeof(name), "FILE:%s", doctor_value(doctor, "keytab"));
    doctor_principal(asking.context, doctor, doctor->host, principal);
    if (principal[strlen(principal) - 1] == '@') {
        tell_no_realm(doctor);
        krb5_free_context(asking.context);
        return;
    }
    if (krb5_kt_resolve(asking.context, name, &asking.keytab) != 0
        || krb5_cc_new_unique(asking.context, "MEMORY", NULL, &asking.cache)
               != 0)
        cli_give_up("out of memory");
    ask(&asking, principal);
    (void)krb5_cc_destroy(asking.context, asking.cache);
    (void)krb5_kt_close(asking.context, asking.keytab);
    krb5_free_principal(asking.context, asking.client);
    krb5_free_context(asking.context);
}
