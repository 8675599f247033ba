/*
 * doctor_files.c - the folders and files of kpopd itself: state_dir, the
 * replay cache, the mail.  What kpopd makes by itself may be missing.
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

/* A folder where nobody else may put other files in the place of ours. */
static void
check_folder(struct doctor *doctor, const char *key, const char *path)
{
    char above[DOCTOR_TEXT_MAX];
    char quoted[DOCTOR_TEXT_MAX];
    struct stat st;

    if (doctor_is_hidden(doctor, key, path))
        return;
    doctor_quote(path, quoted);
    if (stat(path, &st) != 0) {
        if (errno == ENOENT && access(doctor_folder(path, above), F_OK) == 0)
            return; /* kpopd makes it */
        doctor_mend(doctor, "install -d -m 755 %s", quoted);
        doctor_error(doctor, "%s: %s: %s", key, path, strerror(errno));
        return;
    }
    if (!S_ISDIR(st.st_mode)) {
        doctor_mend(doctor, "mv %s %s.not-a-folder && install -d -m 755 %s",
                    quoted, quoted, quoted);
        doctor_error(doctor, "%s: %s is no folder", key, path);
        return;
    }
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0
        && (st.st_mode & S_ISVTX) == 0) {
        doctor_mend(doctor, "chmod go-w %s", quoted);
        doctor_error(doctor, "%s: others may write to the folder %s", key,
                     path);
    } else if (doctor->has_users && st.st_uid != 0
               && st.st_uid != doctor->auth_user.uid) {
        doctor_mend(doctor, "chown 0:0 %s && chmod 755 %s", quoted, quoted);
        doctor_error(doctor, "%s: the folder %s belongs to uid %lu, neither "
                     "to root nor to auth_user", key, path,
                     (unsigned long)st.st_uid);
    }
}

/* May the user enter it?  True when it was told that he may not. */
static bool
check_enter(struct doctor *doctor, const char *key, const char *path,
            const struct account *user)
{
    const char *name = user->name != NULL ? user->name : "this user";
    char closed[DOCTOR_TEXT_MAX];
    char quoted[DOCTOR_TEXT_MAX];
    struct stat st;

    if (!doctor->has_users || stat(path, &st) != 0 || !S_ISDIR(st.st_mode)
        || doctor_try(user, path, X_OK) != EACCES)
        return false;
    if (doctor_closed_folder(user, path, closed)) {
        doctor_mend(doctor, "chmod o+x %s", doctor_quote(closed, quoted));
    } else {
        snprintf(closed, sizeof(closed), "%s", path);
        doctor_mend(doctor, "chmod %s %s",
                    user->name != NULL ? "755" : "u+rwx",
                    doctor_quote(path, quoted));
    }
    doctor_error(doctor, "%s: %s may not enter %s", key, name, closed);
    return true;
}

/* The file of the replay cache belongs to one user alone. */
static void
check_replay(struct doctor *doctor, const char *path,
             const struct account *owner)
{
    char quoted[DOCTOR_TEXT_MAX];
    struct stat st;

    if (!doctor->has_users || lstat(path, &st) != 0)
        return;
    doctor_quote(path, quoted);
    if (!S_ISREG(st.st_mode) || st.st_nlink != 1) {
        doctor_mend(doctor, "mv %s %s.foreign && install -o %lu -g %lu -m "
                    "600 /dev/null %s", quoted, quoted,
                    (unsigned long)owner->uid, (unsigned long)owner->gid,
                    quoted);
        doctor_error(doctor, "replay_cache: %s is no regular file with one "
                     "name", path);
        return;
    }
    if (st.st_uid == owner->uid && (st.st_mode & (S_IRWXG | S_IRWXO)) == 0)
        return;
    doctor_mend(doctor, "chown %lu:%lu %s && chmod 600 %s",
                (unsigned long)owner->uid, (unsigned long)owner->gid, quoted,
                quoted);
    doctor_error(doctor, "replay_cache: %s belongs to uid %lu with mode "
                 "%04o, and must be %s's alone, so that nobody can forget "
                 "used tickets", path, (unsigned long)st.st_uid,
                 (unsigned)(st.st_mode & 07777),
                 owner->name != NULL ? owner->name : "this user");
}

/* With layers the workers have a file of their own, see setup.c. */
static void
check_caches(struct doctor *doctor)
{
    const char *path = doctor_value(doctor, "replay_cache");
    char folder[DOCTOR_TEXT_MAX];
    char second[DOCTOR_TEXT_MAX];

    if (strcmp(doctor_folder(path, folder), doctor_value(doctor, "state_dir"))
        != 0) {
        check_folder(doctor, "replay_cache", folder);
        (void)check_enter(doctor, "replay_cache", folder, &doctor->auth_user);
    }
    check_replay(doctor, path, &doctor->auth_user);
    if (!doctor_has_layers(doctor))
        return;
    snprintf(second, sizeof(second), "%s.workers", path);
    check_replay(doctor, second, &doctor->run_as);
}

/* What stands before the first % of maildir:PATH must be there. */
static void
check_store(struct doctor *doctor)
{
    const char *store = doctor_value(doctor, "store");
    const struct account *user = &doctor->run_as;
    char path[DOCTOR_TEXT_MAX];
    char closed[DOCTOR_TEXT_MAX];
    char quoted[DOCTOR_TEXT_MAX];
    char *slash;
    int code;

    if (strncmp(store, "maildir:/", 9) != 0)
        return; /* the rest tells */
    snprintf(path, sizeof(path), "%s", store + 8);
    path[strcspn(path, "%")] = '\0';
    slash = strrchr(path, '/');
    slash[slash == path ? 1 : 0] = '\0';
    doctor_quote(path, quoted);
    if (access(path, F_OK) != 0 && errno == ENOENT) {
        if (user->name != NULL)
            doctor_mend(doctor, "install -d -o %s -m 700 %s", user->name,
                        quoted);
        else
            doctor_mend(doctor, "install -d -m 700 %s", quoted);
        doctor_error(doctor, "store: the folder %s is missing", path);
        return;
    }
    code = doctor->has_users ? doctor_try(user, path, X_OK) : 0;
    if (code == 0)
        return;
    if (doctor_closed_folder(user, path, closed))
        doctor_mend(doctor, "chmod o+x %s", doctor_quote(closed, quoted));
    else if (user->name != NULL)
        doctor_mend(doctor, "chown %s %s && chmod u+rwx %s", user->name,
                    quoted, quoted);
    else
        doctor_mend(doctor, "chmod u+rwx %s", quoted);
    doctor_error(doctor, "store: %s, who delivers the mail to clients, may "
                 "not enter %s: %s",
                 user->name != NULL ? user->name : "this user", path,
                 strerror(code));
}

void
doctor_files(struct doctor *doctor)
{
    const char *state = doctor_value(doctor, "state_dir");

    check_folder(doctor, "state_dir", state);
    /* Used tickets are the one's, indexes of the mail the other's. */
    if (!check_enter(doctor, "state_dir", state, &doctor->auth_user))
        (void)check_enter(doctor, "state_dir", state, &doctor->run_as);
    check_caches(doctor);
    check_store(doctor);
}
