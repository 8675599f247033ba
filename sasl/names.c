/*
 * names.c - decides which mailbox a principal may read.  What libkrb5 maps is
 * believed only after the whitelist, and libkrb5's own defaults (any account
 * of the default realm, names regardless of realm) open nothing that the
 * configuration didn't name.  Runs where authentication runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/names.h"

#include <errno.h>
#include <krb5.h>
#include <profile.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sasl/map.h"
#include "sasl/world.h"

enum { K5LOGIN_MAX = 1 << 20 };

/* One look at the ladder. */
struct climb {
    struct sasl_world *world;
    krb5_context context;
    krb5_principal principal;
    const char *requested;
    char *default_realm;     /* NULL = none */
    profile_t profile;
    char mapped[NAME_OCTETS_MAX + 1]; /* by auth_to_local; "" = not */
    struct names_answer *answer;
};

static bool
grant(struct climb *climb, const char *rung, const char *mailbox)
{
    if (climb->requested[0] != '\0' &&
        strcmp(climb->requested, mailbox) != 0)
        return false;
    (void)snprintf(climb->answer->mailbox, sizeof(climb->answer->mailbox),
                   "%s", mailbox);
    climb->answer->rung = rung;
    return true;
}

/* ---- 1: the map ---- */

/* The map as the file is now; world->map_lock is held. */
static int
refresh_map(struct sasl_world *world, struct names_answer *answer)
{
    const char *path = world->settings.principal_map;

    if (world->map != NULL && !map_is_stale(world->map, path))
        return STATUS_OK;
    /* Not the old one: who was taken out must not get in any more. */
    map_free(world->map);
    world->map = NULL;
    return map_load(path, &world->map, answer->problem,
                    sizeof(answer->problem));
}

static int
ask_map(struct sasl_world *world, const char *principal,
        const char *requested, enum map_answer *found_out,
        struct names_answer *answer)
{
    const char *mailbox = NULL;
    int status;

    *found_out = MAP_UNLISTED;
    if (world->settings.principal_map[0] == '\0')
        return STATUS_OK;
    (void)pthread_mutex_lock(&world->map_lock);
    status = refresh_map(world, answer);
    if (status == STATUS_OK)
        *found_out = map_find(world->map, principal, requested, &mailbox);
    if (*found_out == MAP_GRANTED)
        (void)snprintf(answer->mailbox, sizeof(answer->mailbox), "%s",
                       mailbox);
    (void)pthread_mutex_unlock(&world->map_lock);
    return status == STATUS_INVALID ? STATUS_TEMP : status;
}

/* ---- 2: realms ---- */

/* bob\@else.where@REALM would become a mailbox of another domain. */
static bool
has_at_sign(const struct climb *climb)
{
    for (int i = 0; i < climb->principal->length; i++) {
        const krb5_data *part = &climb->principal->data[i];

        if (part->length > 0 && memchr(part->data, '@', part->length) != NULL)
            return true;
    }
    return false;
}

static bool
realm_is(const krb5_data *realm, const char *name)
{
    return name != NULL && strlen(name) == realm->length &&
           memcmp(name, realm->data, realm->length) == 0;
}

static bool
realm_is_listed(const struct climb *climb)
{
    const char *realms = climb->world->settings.realms;
    const krb5_data *realm = &climb->principal->realm;

    if (realms[strspn(realms, " \t,")] == '\0')
        return realm_is(realm, climb->default_realm);
    return world_lists(realms, realm->data, realm->length);
}

static bool
climb_realm(struct climb *climb)
{
    const krb5_data *name = &climb->principal->data[0];
    char mailbox[NAME_OCTETS_MAX + 1];

    if (climb->principal->length != 1 || has_at_sign(climb) ||
        !realm_is_listed(climb) || name->length >= sizeof(mailbox))
        return false;
    memcpy(mailbox, name->data, name->length);
    mailbox[name->length] = '\0';
    /* A NUL inside makes it shorter. */
    if (strlen(mailbox) != name->length || !clean_mailbox(mailbox))
        return false;
    return grant(climb, "realm", mailbox);
}

/* ---- 3: auth_to_local ---- */

static bool
profile_has(const struct climb *climb, const char *key, const char *subkey)
{
    const char *names[] = { "realms", climb->default_realm, key, subkey,
                            NULL };
    char **values = NULL;
    bool found = profile_get_values(climb->profile, names, &values) == 0;

    profile_free_list(values);
    return found;
}

/*
 * Does krb5.conf say something about such principals?  Without rules libkrb5
 * maps the default realm, which is `realms` to decide; auth_to_local_names
 * drops the realm, so for a foreign principal it speaks of somebody else.
 */
static bool
rules_apply(const struct climb *climb)
{
    bool foreign = !realm_is(&climb->principal->realm, climb->default_realm);
    char *name = NULL;
    bool apply;

    if (climb->default_realm == NULL || climb->profile == NULL ||
        krb5_unparse_name_flags(climb->context, climb->principal,
                                KRB5_PRINCIPAL_UNPARSE_NO_REALM, &name) != 0)
        return false;
    if (profile_has(climb, "auth_to_local_names", name))
        apply = !foreign;
    else
        apply = profile_has(climb, "auth_to_local", NULL);
    krb5_free_unparsed_name(climb->context, name);
    return apply;
}

static bool
climb_auth_to_local(struct climb *climb)
{
    krb5_error_code code;

    code = krb5_aname_to_localname(climb->context, climb->principal,
                                   (int)sizeof(climb->mapped), climb->mapped);
    if (code != 0)
        climb->mapped[0] = '\0';
    if (climb->mapped[0] == '\0' || !clean_mailbox(climb->mapped) ||
        has_at_sign(climb) || !rules_apply(climb))
        return false;
    return grant(climb, "auth_to_local", climb->mapped);
}

/* ---- 4: .k5login ---- */

/* Its path; false when the account doesn't exist. */
static bool
k5login_path(const struct climb *climb, char *path, size_t size)
{
    const char *account = climb->requested;
    char *folder = NULL;
    struct passwd entry;
    struct passwd *found = NULL;
    char buffer[16384];
    int n;

    if (getpwnam_r(account, &entry, buffer, sizeof(buffer), &found) != 0 ||
        found == NULL)
        return false;
    if (climb->profile != NULL)
        (void)profile_get_string(climb->profile, "libdefaults",
                                 "k5login_directory", NULL, NULL, &folder);
    if (folder != NULL)
        n = snprintf(path, size, "%s/%s", folder, account);
    else
        n = snprintf(path, size, "%s/.k5login", entry.pw_dir);
    profile_release_string(folder);
    return n > 0 && (size_t)n < size;
}

/*
 * krb5_kuserok also says yes to what auth_to_local maps; that was decided
 * above.  The file is looked at first, because libkrb5 would wait on a FIFO.
 */
static bool
climb_k5login(struct climb *climb)
{
    char path[4096];
    struct stat st;

    if (climb->requested[0] == '\0' || !clean_mailbox(climb->requested) ||
        strcmp(climb->mapped, climb->requested) == 0 ||
        !k5login_path(climb, path, sizeof(path)) || stat(path, &st) != 0 ||
        !S_ISREG(st.st_mode) || st.st_size > K5LOGIN_MAX)
        return false;
    return krb5_kuserok(climb->context, climb->principal,
                        climb->requested) &&
           grant(climb, "k5login", climb->requested);
}

/* ---- all ---- */

static const char *
refusal_reason(const struct climb *climb)
{
    if (!realm_is_listed(climb))
        return "realm not listed, principal not mapped";
    if (climb->principal->length != 1)
        return "principal of several components not mapped";
    return "not its mailbox";
}

static void
climb_ladder(struct climb *climb)
{
    if (krb5_principal_compare_any_realm(climb->context, climb->principal,
                                         krb5_anonymous_principal())) {
        climb->answer->rung = "anonymous";
        return;
    }
    if (!climb_realm(climb) && !climb_auth_to_local(climb) &&
        !climb_k5login(climb))
        climb->answer->rung = refusal_reason(climb);
}

int
names_ladder(struct sasl_world *world, struct _krb5_context *context,
             const char *principal, const char *requested,
             struct names_answer *answer_out)
{
    struct climb climb = { .world = world, .context = context,
                           .requested = requested, .answer = answer_out };
    enum map_answer found;
    krb5_error_code code;
    int status;

    memset(answer_out, 0, sizeof(*answer_out));
    answer_out->rung = "";
    status = ask_map(world, principal, requested, &found, answer_out);
    if (status != STATUS_OK || found != MAP_UNLISTED) {
        answer_out->rung = found == MAP_GRANTED
                               ? "map"
                               : "not among its mailboxes in principal_map";
        return status;
    }
    code = krb5_parse_name(context, principal, &climb.principal);
    if (code == ENOMEM)
        return STATUS_NO_MEMORY;
    if (code != 0) {
        answer_out->rung = "unreadable principal";
        return STATUS_OK;
    }
    if (krb5_get_default_realm(context, &climb.default_realm) != 0)
        climb.default_realm = NULL;
    if (krb5_get_profile(context, &climb.profile) != 0)
        climb.profile = NULL;
    climb_ladder(&climb);
    profile_release(climb.profile);
    krb5_free_default_realm(context, climb.default_realm);
    krb5_free_principal(context, climb.principal);
    return STATUS_OK;
}
