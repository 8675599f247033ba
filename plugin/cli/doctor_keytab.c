/*
 * doctor_keytab.c - can auth_user, and nobody else, read the keytab, and is it
 * one?  Reads the names of its keys for the groups behind it, and knows how an
 * admin puts a key there.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <grp.h>
#include <krb5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/cli/doctor.h"

enum { KEYS_MAX = 10000 };

void
doctor_principal(krb5_context context, const struct doctor *doctor,
                 const char *name, char *out)
{
    const char *services = doctor_value(doctor, "services");
    char **realms = NULL;
    char *fallback = NULL;
    const char *realm = "";

    if (krb5_get_host_realm(context, name, &realms) == 0 && realms != NULL
        && realms[0] != NULL)
        realm = realms[0];
    if (realm[0] == '\0' && krb5_get_default_realm(context, &fallback) == 0)
        realm = fallback;
    snprintf(out, DOCTOR_TEXT_MAX, "%.*s/%s@%s",
             (int)strcspn(services, " \t"), services, name, realm);
    if (fallback != NULL)
        krb5_free_default_realm(context, fallback);
    if (realms != NULL)
        (void)krb5_free_host_realm(context, realms);
}

bool
doctor_is_service(const struct doctor *doctor, const char *principal)
{
    char service[DOCTOR_NAME_MAX];
    size_t len = strcspn(principal, "/");

    if (principal[len] != '/' || len >= sizeof(service))
        return false;
    memcpy(service, principal, len);
    service[len] = '\0';
    return doctor_lists(doctor, "services", service);
}

bool
doctor_has_key(const struct doctor *doctor, const char *principal)
{
    for (size_t i = 0; i < doctor->key_count; i++) {
        if (strcmp(doctor->keys[i].principal, principal) == 0)
            return true;
    }
    return false;
}

/* ---- how to mend ---- */

/* A KDC's own machine has its configuration. */
static bool
is_kdc(void)
{
    static const char *const files[] = { "/etc/krb5kdc/kdc.conf",
                                         "/var/kerberos/krb5kdc/kdc.conf" };
    const char *named = getenv("KRB5_KDC_PROFILE");

    if (named != NULL && access(named, R_OK) == 0)
        return true;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (access(files[i], R_OK) == 0)
            return true;
    }
    return false;
}

const char *
doctor_kadmin(const char *principal, char *out)
{
    const char *at = strrchr(principal, '@');
    char realm[DOCTOR_NAME_MAX]; /* in quotes it still fits */
    char quoted[DOCTOR_TEXT_MAX];

    snprintf(realm, sizeof(realm), "%s", at != NULL ? at + 1 : "");
    snprintf(out, DOCTOR_TEXT_MAX, "%s -r %.2000s -q",
             is_kdc() ? "kadmin.local" : "kadmin",
             doctor_quote(realm, quoted));
    return out;
}

/* A key that is there stays valid where the KDC's admin can ask for it. */
void
doctor_mend_key(struct doctor *doctor, const char *principal, bool is_new,
                const char *options)
{
    const char *path = doctor_value(doctor, "keytab");
    char kadmin[DOCTOR_TEXT_MAX];
    char query[DOCTOR_TEXT_MAX];
    char quoted[DOCTOR_TEXT_MAX];
    char add[4 * DOCTOR_TEXT_MAX + 16] = "";
    char give[3 * DOCTOR_TEXT_MAX] = "";
    struct stat st;

    doctor_kadmin(principal, kadmin);
    if (is_new) {
        snprintf(query, sizeof(query), "addprinc -randkey %.1000s",
                 principal);
        snprintf(add, sizeof(add), "%s %s && ", kadmin,
                 doctor_quote(query, quoted));
    }
    /* Keys of a principal that was deleted have the new one's numbers. */
    if (is_new && doctor_has_key(doctor, principal)) {
        size_t len = strlen(add);

        snprintf(query, sizeof(query), "ktremove -k %.900s %.900s all", path,
                 principal);
        snprintf(add + len, sizeof(add) - len, "%s %s && ", kadmin,
                 doctor_quote(query, quoted));
    }
    if (stat(path, &st) != 0 && doctor->auth_user.name != NULL) {
        doctor_quote(path, quoted);
        snprintf(give, sizeof(give), " && chown %s %s && chmod 600 %s",
                 doctor->auth_user.name, quoted, quoted);
    }
    snprintf(query, sizeof(query), "ktadd -k %.900s%s%s %.900s", path,
             strncmp(kadmin, "kadmin.local", 12) == 0
                     && options[0] == '\0'
                 ? " -norandkey"
                 : "",
             options, principal);
    doctor_mend(doctor, "%s%s %s%s", add, kadmin,
                doctor_quote(query, quoted), give);
}

/* ---- the look ---- */

static bool
add_key(struct doctor *doctor, krb5_context context,
        const krb5_keytab_entry *entry)
{
    struct doctor_key *more;
    char *name = NULL;

    if (doctor->key_count >= KEYS_MAX)
        return false;
    more = realloc(doctor->keys, (doctor->key_count + 1) * sizeof(*more));
    if (more == NULL
        || krb5_unparse_name(context, entry->principal, &name) != 0)
        cli_give_up("out of memory");
    doctor->keys = more;
    more += doctor->key_count++;
    more->principal = cli_copy(name);
    more->kvno = entry->vno;
    more->enctype = entry->key.enctype;
    krb5_free_unparsed_name(context, name);
    return true;
}

static krb5_error_code
read_keys(struct doctor *doctor, krb5_context context, const char *path)
{
    char name[DOCTOR_TEXT_MAX];
    krb5_keytab keytab = NULL;
    krb5_keytab_entry entry;
    krb5_kt_cursor cursor;
    krb5_error_code code;

    snprintf(name, sizeof(name), "FILE:%s", path);
    code = krb5_kt_resolve(context, name, &keytab);
    if (code != 0)
        return code;
    code = krb5_kt_start_seq_get(context, keytab, &cursor);
    if (code == 0) {
        bool go_on = true;

        while (go_on && (code = krb5_kt_next_entry(context, keytab, &entry,
                                                   &cursor)) == 0) {
            go_on = add_key(doctor, context, &entry);
            (void)krb5_free_keytab_entry_contents(context, &entry);
        }
        (void)krb5_kt_end_seq_get(context, keytab, &cursor);
    }
    (void)krb5_kt_close(context, keytab);
    return code == KRB5_KT_END ? 0 : code;
}

static void
look_inside(struct doctor *doctor, krb5_context context, const char *path)
{
    krb5_error_code code = read_keys(doctor, context, path);
    char quoted[DOCTOR_TEXT_MAX];
    const char *text;

    if (code == 0) {
        doctor->keytab_read = true;
        return;
    }
    text = krb5_get_error_message(context, code);
    doctor_quote(path, quoted);
    doctor_mend(doctor, "mv %s %s.bad", quoted, quoted);
    doctor_error(doctor, "keytab %s: %s", path, text);
    krb5_free_error_message(context, text);
}

bool
doctor_has_layers(const struct doctor *doctor)
{
    return strtoul(doctor_value(doctor, "max_ssf"), NULL, 10) > 0
           && doctor_lists(doctor, "mechanisms", "GSSAPI");
}

/* With layers the workers check tickets, too, and must read it. */
static void
check_workers(struct doctor *doctor, const char *path)
{
    const struct account *user = &doctor->run_as;
    const struct group *group = getgrgid(user->gid);
    char closed[DOCTOR_TEXT_MAX];
    char quoted[DOCTOR_TEXT_MAX];
    char name[32];

    if (!doctor->has_users || user->name == NULL
        || doctor_try(user, path, R_OK) == 0)
        return;
    snprintf(name, sizeof(name), "%lu", (unsigned long)user->gid);
    if (doctor_closed_folder(user, path, closed)) {
        doctor_mend(doctor, "chmod o+x %s", doctor_quote(closed, quoted));
    } else {
        /* auth_user could have had it by the old group. */
        doctor_quote(path, quoted);
        doctor_mend(doctor, "chown %s:%s %s && chmod 440 %s",
                    doctor->auth_user.name,
                    group != NULL ? group->gr_name : name, quoted, quoted);
    }
    doctor_error(doctor, "keytab %s: %s can't read it, and must because "
                 "max_ssf is above 0", path, user->name);
}

static bool
check_rights(struct doctor *doctor, const char *path)
{
    bool layers = doctor_has_layers(doctor);
    struct account worker = doctor->run_as;
    bool good;

    if (layers)
        doctor->run_as.name = NULL; /* may read it */
    good = doctor_private_file(doctor, "keytab", path, S_IRWXO | S_IWGRP);
    doctor->run_as = worker;
    if (good && layers)
        check_workers(doctor, path);
    return good;
}

void
doctor_keytab(struct doctor *doctor)
{
    const char *path = doctor_value(doctor, "keytab");
    char principal[DOCTOR_TEXT_MAX];
    krb5_context context = NULL;

    doctor->tickets = doctor_value(doctor, "listen_kpop")[0] != '\0'
                      || (doctor_lists(doctor, "mechanisms", "GSSAPI")
                          && access(path, F_OK) == 0);
    if (!doctor->tickets)
        return;
    if (krb5_init_context(&context) != 0) {
        doctor->tickets = false;
        doctor_mend(doctor, "${EDITOR:-vi} /etc/krb5.conf");
        doctor_error(doctor, "libkrb5 can't read its configuration");
        return;
    }
    doctor_principal(context, doctor, doctor->host, principal);
    doctor_mend_key(doctor, principal, false, "");
    if (check_rights(doctor, path))
        look_inside(doctor, context, path);
    krb5_free_context(context);
}
