/*
 * doctor_users.c - are run_as and auth_user set, known and two?
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "plugin/cli/doctor.h"
#include "plugin/host/kpopd/users.h"

/* Our package's scripts make users of these names. */
static const struct {
    const char *key, *usual;
} roles[] = {
    { "run_as", "kpop" },
    { "auth_user", "kpop-auth" },
};

static void
mend_role(struct doctor *doctor, size_t role)
{
    char quoted[DOCTOR_TEXT_MAX];
    const char *file = doctor_quote(doctor->cli->config, quoted);
    const char *key = roles[role].key;

    if (doctor_value(doctor, key)[0] == '\0')
        doctor_mend(doctor, "echo '%s = %s' >>%s", key, roles[role].usual,
                    file);
    else
        doctor_mend(doctor, "sed -i -E 's/^%s *=.*/%s = %s/' %s", key, key,
                    roles[role].usual, file);
}

/* True when account_out can be judged by. */
static bool
find_account(struct doctor *doctor, size_t role, struct account *account_out)
{
    const char *key = roles[role].key;
    const char *name = doctor_value(doctor, key);
    const struct passwd *entry;
    char quoted[DOCTOR_TEXT_MAX];
    char sentence[DOCTOR_NAME_MAX];

    account_out->uid = geteuid();
    account_out->gid = getegid();
    if (name[0] == '\0') {
        if (geteuid() != 0)
            return true;
        mend_role(doctor, role);
        doctor_error(doctor, "%s is not set: kpopd, started as root, needs a "
                     "user without rights there", key);
        return false;
    }
    entry = users_find(name, sentence, sizeof(sentence));
    if (entry == NULL) {
        if (errno == 0)
            doctor_mend(doctor, "useradd --system --user-group "
                        "--no-create-home --home-dir /nonexistent --shell "
                        "/usr/sbin/nologin %s", doctor_quote(name, quoted));
        else
            doctor_mend(doctor, "getent passwd %s",
                        doctor_quote(name, quoted));
        doctor_error(doctor, "%s: %s", key, sentence);
        return false;
    }
    if (entry->pw_uid == 0) {
        mend_role(doctor, role);
        doctor_error(doctor, "%s must not be root", key);
        return false;
    }
    account_out->uid = entry->pw_uid;
    account_out->gid = entry->pw_gid;
    if (geteuid() == 0)
        account_out->name = cli_copy(name);
    return true;
}

void
doctor_users(struct doctor *doctor)
{
    bool has_worker = find_account(doctor, 0, &doctor->run_as);
    bool has_auth = find_account(doctor, 1, &doctor->auth_user);

    doctor->has_users = has_worker && has_auth;
    if (!doctor->has_users || doctor->auth_user.name == NULL
        || doctor->auth_user.uid != doctor->run_as.uid)
        return;
    mend_role(doctor, 1);
    doctor_error(doctor, "auth_user is the same user as run_as, so that who "
                 "faces the network could read the keytab");
    doctor->has_users = false;
}
