/*
 * doctor_logins.c - where passwords and secrets come from: their files, the
 * service of PAM, the socket of saslauthd; there, and auth_user's alone.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/cli/doctor.h"

/* As in kpopd's settings. */
#define SASLAUTHD_SOCKET "/run/saslauthd/mux"
#define SASLDB_FILE "/etc/sasldb2"

/* What stands behind a prefix, or NULL. */
static const char *
behind(const char *value, const char *prefix)
{
    size_t len = strlen(prefix);

    return strncmp(value, prefix, len) == 0 ? value + len : NULL;
}

static void
check_file(struct doctor *doctor, const char *what, const char *path)
{
    char quoted[DOCTOR_TEXT_MAX];

    doctor_quote(path, quoted);
    if (doctor->auth_user.name != NULL)
        doctor_mend(doctor, "install -o %s -m 600 /dev/null %s",
                    doctor->auth_user.name, quoted);
    else
        doctor_mend(doctor, "install -m 600 /dev/null %s", quoted);
    (void)doctor_private_file(doctor, what, path, S_IRWXG | S_IRWXO);
}

/* Its group may have it: other servers read it, too. */
static void
check_sasldb(struct doctor *doctor, const char *path)
{
    char quoted[DOCTOR_TEXT_MAX];
    struct stat st;

    doctor_quote(path, quoted);
    if (stat(path, &st) != 0) {
        doctor_mend(doctor, "saslpasswd2 -c -f %s postmaster", quoted);
        doctor_error(doctor, "secrets: %s: %s", path, strerror(errno));
    } else if ((st.st_mode & S_IRWXO) != 0) {
        doctor_mend(doctor, "chmod o-rwx %s", quoted);
        doctor_error(doctor, "secrets: everybody may read or change %s (mode "
                     "%04o); renew what it holds, too", path,
                     (unsigned)(st.st_mode & 07777));
    } else if (doctor->has_users && doctor->auth_user.name != NULL
               && doctor_try(&doctor->auth_user, path, R_OK) != 0) {
        doctor_mend(doctor, "chgrp %lu %s && chmod g+r %s",
                    (unsigned long)doctor->auth_user.gid, quoted, quoted);
        doctor_error(doctor, "secrets: %s can't read %s",
                     doctor->auth_user.name, path);
    }
}

/* ---- PAM ---- */

static void
check_pam(struct doctor *doctor, const char *service)
{
    /* Where libpam looks, its vendors' folders included. */
    static const char *const folders[] = { "/etc/pam.d", "/usr/lib/pam.d",
                                           "/usr/share/pam.d" };
    char path[DOCTOR_NAME_MAX];
    char quoted[DOCTOR_TEXT_MAX];
    size_t i;

    for (i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(path, sizeof(path), "%s/%.200s", folders[i], service);
        if (access(path, F_OK) == 0)
            break;
    }
    if (i < sizeof(folders) / sizeof(folders[0])) {
        if (!doctor->has_users
            || doctor_try(&doctor->auth_user, path, R_OK) == 0)
            return;
        doctor_mend(doctor, "chmod a+r %s", doctor_quote(path, quoted));
        doctor_error(doctor, "passwords: auth_user can't read %s", path);
        return;
    }
    snprintf(path, sizeof(path), "%s/%.200s", folders[0], service);
    doctor_quote(path, quoted);
    if (access("/etc/pam.d/common-auth", F_OK) == 0)
        doctor_mend(doctor, "printf '@include common-auth\\n@include "
                    "common-account\\n' >%s", quoted);
    else
        doctor_mend(doctor, "printf 'auth substack system-auth\\naccount "
                    "substack system-auth\\n' >%s", quoted);
    doctor_error(doctor, "passwords: there is no %s, so nobody says how PAM "
                 "checks a password", path);
}

/* ---- saslauthd ---- */

static bool
ends_in_mux(const char *path)
{
    size_t len = strlen(path);

    return len >= 4 && strcmp(path + len - 4, "/mux") == 0;
}

static void
tell_no_socket(struct doctor *doctor, const char *path, const char *folder)
{
    char quoted[DOCTOR_TEXT_MAX];

    if (!ends_in_mux(path)) {
        doctor_edit(doctor, "passwords");
        doctor_error(doctor, "passwords: saslauthd has no socket at %s; it "
                     "calls its socket mux, so that the path must end in "
                     "/mux", path);
        return;
    }
    doctor_quote(folder, quoted);
    if (access("/run/systemd/system", F_OK) == 0)
        doctor_mend(doctor, "systemctl enable --now saslauthd");
    else
        doctor_mend(doctor, "mkdir -p %s && saslauthd -a pam -m %s", quoted,
                    quoted);
    doctor_error(doctor, "passwords: saslauthd has no socket at %s", path);
}

static void
check_saslauthd(struct doctor *doctor, const char *path)
{
    char folder[DOCTOR_TEXT_MAX];
    char quoted[DOCTOR_TEXT_MAX];
    struct stat st;

    if (path[0] == '\0')
        path = SASLAUTHD_SOCKET;
    doctor_quote(doctor_folder(path, folder), quoted);
    if (stat(path, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        tell_no_socket(doctor, path, folder);
        return;
    }
    if (!doctor->has_users || doctor->auth_user.name == NULL
        || doctor_try(&doctor->auth_user, path, R_OK | W_OK) == 0)
        return;
    /* Debian keeps the folder for a group. */
    if (stat(folder, &st) == 0 && (st.st_mode & S_IXGRP) != 0
        && (st.st_mode & S_IXOTH) == 0 && st.st_gid != 0)
        doctor_mend(doctor, "usermod -a -G $(stat -c %%G %s) %s", quoted,
                    doctor->auth_user.name);
    else
        doctor_mend(doctor, "chmod o+x %s", quoted);
    doctor_error(doctor, "passwords: %s may not use saslauthd's socket %s",
                 doctor->auth_user.name, path);
}

void
doctor_logins(struct doctor *doctor)
{
    const char *passwords = doctor_value(doctor, "passwords");
    const char *secrets = doctor_value(doctor, "secrets");
    const char *where;

    if ((where = behind(passwords, "file:")) != NULL)
        check_file(doctor, "passwords", where);
    else if ((where = behind(passwords, "pam:")) != NULL)
        check_pam(doctor, where);
    else if ((where = behind(passwords, "saslauthd:")) != NULL)
        check_saslauthd(doctor, where);
    if ((where = behind(secrets, "file:")) != NULL)
        check_file(doctor, "secrets", where);
    else if ((where = behind(secrets, "sasldb:")) != NULL)
        check_sasldb(doctor, where[0] != '\0' ? where : SASLDB_FILE);
}
