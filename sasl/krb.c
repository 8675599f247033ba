/*
 * krb.c - contexts of libkrb5, made with our own replay cache and lent to one
 * user at a time; KRB_ERROR messages; and the check of the keytab before the
 * first login.  Verifies nothing.  Runs where keytab and replay cache are
 * readable; KRB_ERRORs are made in any process.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/krb.h"

#include <ctype.h>
#include <errno.h>
#include <krb5.h>
#include <limits.h>
#include <profile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sasl/note.h"
#include "sasl/overlay.h"
#include "sasl/refusal.h"
#include "sasl/world.h"

enum {
    IDLE_MAX = 8, /* contexts kept; a host uses one a thread */
    LEVEL_WARNING = 1
};

/* ---- contexts ---- */

static void
krb_free(struct krb *krb)
{
    if (krb == NULL)
        return;
    if (krb->keytab != NULL)
        (void)krb5_kt_close(krb->context, krb->keytab);
    krb5_free_context(krb->context);
    free(krb);
}

bool
krb_environment_is_clean(const struct sasl_world *world)
{
    const char *name = getenv("KRB5RCACHENAME");

    return getenv("KRB5RCACHETYPE") == NULL &&
           (name == NULL || strcmp(name, world->replay_name) == 0);
}

/* 0: the library will use our replay cache. */
static krb5_error_code
check_replay(const struct sasl_world *world, krb5_context context)
{
    profile_t profile = NULL;
    char *value = NULL;
    krb5_error_code code = krb5_get_profile(context, &profile);

    if (code == 0)
        code = (krb5_error_code)profile_get_string(
            profile, "libdefaults", "default_rcache_name", NULL, NULL,
            &value);
    if (code == 0 &&
        (value == NULL || strcmp(value, world->replay_name) != 0))
        code = KRB5_CONFIG_BADFORMAT;
    profile_release_string(value);
    profile_release(profile);
    return code;
}

static krb5_error_code
krb_new(struct sasl_world *world, struct krb **krb_out)
{
    struct krb *krb = calloc(1, sizeof(*krb));
    char name[PATH_MAX + 8];
    krb5_error_code code = 0;

    if (krb == NULL)
        return ENOMEM;
    (void)pthread_mutex_lock(&world->krb_lock);
    if (world->overlay == NULL)
        code = overlay_new(world->replay_name, &world->overlay);
    (void)pthread_mutex_unlock(&world->krb_lock);
    if (code == 0)
        code = krb5_init_context_profile(overlay_profile(world->overlay), 0,
                                         &krb->context);
    if (code == 0)
        code = check_replay(world, krb->context);
    if (code == 0) {
        (void)snprintf(name, sizeof(name), "FILE:%s", world->settings.keytab);
        code = krb5_kt_resolve(krb->context, name, &krb->keytab);
    }
    if (code != 0) {
        krb_free(krb);
        return code;
    }
    *krb_out = krb;
    return 0;
}

krb5_error_code
krb_take(struct sasl_world *world, struct krb **krb_out)
{
    struct krb *krb;

    (void)pthread_mutex_lock(&world->krb_lock);
    krb = world->idle;
    if (krb != NULL) {
        world->idle = krb->next;
        world->idle_count--;
    }
    (void)pthread_mutex_unlock(&world->krb_lock);
    if (krb == NULL)
        return krb_new(world, krb_out);
    *krb_out = krb;
    return 0;
}

void
krb_give(struct sasl_world *world, struct krb *krb)
{
    if (krb == NULL)
        return;
    (void)pthread_mutex_lock(&world->krb_lock);
    if (world->idle_count < IDLE_MAX) {
        krb->next = world->idle;
        world->idle = krb;
        world->idle_count++;
        krb = NULL;
    }
    (void)pthread_mutex_unlock(&world->krb_lock);
    krb_free(krb);
}

void
krb_world_free(struct sasl_world *world)
{
    while (world->idle != NULL) {
        struct krb *krb = world->idle;

        world->idle = krb->next;
        krb_free(krb);
    }
    overlay_free(world->overlay);
    krb5_free_context(world->plain);
    world->overlay = NULL;
    world->plain = NULL;
}

/* ---- KRB_ERROR ---- */

/* The realm tells nobody anything: the host's domain, or the first listed. */
static void
name_realm(const struct sasl_world *world, char *realm, size_t size)
{
    const char *realms = world->settings.realms;
    const char *host = world->settings.hostname;
    const char *dot = strchr(host, '.');
    size_t len = strcspn(realms, " \t,");

    if (len > 0) {
        (void)snprintf(realm, size, "%.*s", (int)len, realms);
        return;
    }
    (void)snprintf(realm, size, "%s", dot != NULL && dot[1] ? dot + 1 : host);
    for (char *c = realm; *c != '\0'; c++)
        *c = (char)toupper((unsigned char)*c);
}

static krb5_error_code
encode_error(struct sasl_world *world, int code, const char *text,
             krb5_data *out)
{
    const char *slash = strchr(world->wanted, '/');
    char realm[300];
    krb5_error error;
    krb5_error_code failed;

    name_realm(world, realm, sizeof(realm));
    memset(&error, 0, sizeof(error));
    error.error = (krb5_ui_4)code;
    error.text.length = (unsigned int)strlen(text);
    error.text.data = strdup(text);
    if (error.text.data == NULL)
        return ENOMEM;
    failed = krb5_us_timeofday(world->plain, &error.stime, &error.susec);
    if (failed == 0)
        failed = krb5_build_principal_ext(
            world->plain, &error.server, (unsigned int)strlen(realm), realm,
            (unsigned int)(slash - world->wanted), world->wanted,
            (unsigned int)strlen(slash + 1), slash + 1, 0);
    if (failed == 0) {
        error.server->type = KRB5_NT_SRV_HST;
        failed = krb5_mk_error(world->plain, &error, out);
    }
    krb5_free_principal(world->plain, error.server);
    free(error.text.data);
    return failed;
}

int
apreq_refusal(struct sasl_world *world, int code, const char *text,
              struct buf *out)
{
    krb5_error_code failed = 0;
    profile_t none = NULL;
    krb5_data message = { 0 };

    if (code < 0 || code > 127)
        code = REFUSE_GENERIC;
    (void)pthread_mutex_lock(&world->krb_lock);
    if (world->plain == NULL) {
        /* Without files: works in a chroot and with a broken krb5.conf. */
        failed = (krb5_error_code)profile_init(NULL, &none);
        if (failed == 0)
            failed = krb5_init_context_profile(none, 0, &world->plain);
        profile_release(none);
    }
    if (failed == 0)
        failed = encode_error(world, code, text, &message);
    (void)pthread_mutex_unlock(&world->krb_lock);
    if (failed != 0)
        return STATUS_NO_MEMORY; /* the only way encoding fails */
    buf_append(out, message.data, message.length);
    free(message.data);
    return buf_failed(out) ? STATUS_NO_MEMORY : STATUS_OK;
}

/* ---- enctypes ---- */

/* Our own table: krb5_enctype_to_name() is in a library of its own. */
static const struct enctype {
    int32_t number;
    bool strong;
    const char *name;
} enctypes[] = {
    { ENCTYPE_DES_CBC_CRC, false, "des-cbc-crc" },
    { ENCTYPE_DES_CBC_MD4, false, "des-cbc-md4" },
    { ENCTYPE_DES_CBC_MD5, false, "des-cbc-md5" },
    { ENCTYPE_DES3_CBC_SHA1, false, "des3-cbc-sha1" },
    { ENCTYPE_ARCFOUR_HMAC, false, "arcfour-hmac" },
    { ENCTYPE_ARCFOUR_HMAC_EXP, false, "arcfour-hmac-exp" },
    { ENCTYPE_AES128_CTS_HMAC_SHA1_96, true, "aes128-cts-hmac-sha1-96" },
    { ENCTYPE_AES256_CTS_HMAC_SHA1_96, true, "aes256-cts-hmac-sha1-96" },
    { ENCTYPE_AES128_CTS_HMAC_SHA256_128, true,
      "aes128-cts-hmac-sha256-128" },
    { ENCTYPE_AES256_CTS_HMAC_SHA384_192, true,
      "aes256-cts-hmac-sha384-192" },
    { ENCTYPE_CAMELLIA128_CTS_CMAC, true, "camellia128-cts-cmac" },
    { ENCTYPE_CAMELLIA256_CTS_CMAC, true, "camellia256-cts-cmac" },
};

static const struct enctype *
find_enctype(int32_t number)
{
    for (size_t i = 0; i < sizeof(enctypes) / sizeof(enctypes[0]); i++) {
        if (enctypes[i].number == number)
            return &enctypes[i];
    }
    return NULL;
}

bool
krb_enctype_is_strong(int32_t enctype)
{
    const struct enctype *found = find_enctype(enctype);

    return found != NULL && found->strong;
}

void
krb_enctype_name(int32_t enctype, char *name, size_t size)
{
    const struct enctype *found = find_enctype(enctype);

    if (found != NULL)
        (void)snprintf(name, size, "%s", found->name);
    else
        (void)snprintf(name, size, "%ld", (long)enctype);
}

/* ---- before the first login ---- */

struct keytab_facts {
    bool any;    /* holds a key */
    bool usable; /* of a listed service */
    bool strong; /* that is not RC4 or DES */
};

static krb5_error_code
read_keytab(const struct sasl_world *world, struct krb *krb,
            struct keytab_facts *facts)
{
    krb5_kt_cursor cursor;
    krb5_keytab_entry entry;
    krb5_error_code code;

    code = krb5_kt_start_seq_get(krb->context, krb->keytab, &cursor);
    if (code != 0)
        return code;
    while ((code = krb5_kt_next_entry(krb->context, krb->keytab, &entry,
                                      &cursor)) == 0) {
        krb5_const_principal name = entry.principal;

        facts->any = true;
        if (name->length > 0 &&
            world_lists(world->settings.services, name->data[0].data,
                        name->data[0].length)) {
            facts->usable = true;
            if (krb_enctype_is_strong(entry.key.enctype))
                facts->strong = true;
        }
        (void)krb5_free_keytab_entry_contents(krb->context, &entry);
    }
    (void)krb5_kt_end_seq_get(krb->context, krb->keytab, &cursor);
    return code == KRB5_KT_END ? 0 : code;
}

/* NULL = good. */
static const char *
judge_keytab(const struct sasl_world *world, const struct keytab_facts *facts)
{
    if (!facts->any)
        return "holds no keys";
    if (!facts->usable)
        return "holds no key of a service in `services'";
    if (!facts->strong && !world->settings.allow_weak_enctypes)
        return "holds only RC4 or DES keys; make AES ones with ktadd";
    return NULL;
}

/* The library takes it for one of an unknown version. */
static bool
is_empty(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0;
}

static void
warn_of_mode(const struct sasl_world *world, mech_log_fn *log, void *log_arg)
{
    struct note note;
    struct stat st;

    if (stat(world->settings.keytab, &st) != 0 ||
        (st.st_mode & (S_IRWXO | S_IWGRP)) == 0)
        return;
    note_init(&note);
    note_text(&note, "path", world->settings.keytab);
    note_text(&note, "problem", "others may read or change the keytab; who "
              "has its keys can log in as everybody; chmod o-rwx,g-w it");
    log(log_arg, LEVEL_WARNING, "config.keytab", note.text);
}

/* What the library says of code about a path; STATUS_INVALID. */
static int
say_code(krb5_context context, krb5_error_code code, const char *what,
         const char *path, char *error, size_t error_size)
{
    const char *text = krb5_get_error_message(context, code);

    if (error_size > 0)
        (void)snprintf(error, error_size, "%s %s: %s", what, path, text);
    krb5_free_error_message(context, text);
    return STATUS_INVALID;
}

int
krb_ready(struct sasl_world *world, mech_log_fn *log, void *log_arg,
          char *error, size_t error_size)
{
    struct keytab_facts facts = { false, false, false };
    const char *path = world->settings.keytab;
    struct krb *krb = NULL;
    krb5_error_code code;
    const char *why = NULL;
    int status = STATUS_OK;

    if (!krb_environment_is_clean(world)) {
        if (error_size > 0)
            (void)snprintf(error, error_size, "replay cache %s: "
                           "KRB5RCACHENAME or KRB5RCACHETYPE in the "
                           "environment would replace it; unset them",
                           world->settings.replay_cache);
        return STATUS_INVALID;
    }
    code = krb_take(world, &krb);
    if (code != 0)
        return say_code(NULL, code, "Kerberos", "library", error,
                        error_size);
    code = read_keytab(world, krb, &facts);
    if (code != 0 && is_empty(path))
        why = "is empty; remove it and make it with ktadd";
    else if (code != 0)
        status = say_code(krb->context, code, "keytab", path, error,
                          error_size);
    else
        why = judge_keytab(world, &facts);
    krb_give(world, krb);
    if (why != NULL) {
        if (error_size > 0)
            (void)snprintf(error, error_size, "keytab %s: %s", path, why);
        status = STATUS_INVALID;
    }
    if (status == STATUS_OK)
        warn_of_mode(world, log, log_arg);
    return status;
}
