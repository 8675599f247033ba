/*
 * confine_files.c - which files a process can open, by Landlock (Linux 5.19;
 * landlock(7)).  A rule is about a folder and what is below it, now and
 * later: files that are replaced by others of their name are no case of
 * their own.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugin/host/kpopd/confine.h"
#include "plugin/host/kpopd/words.h"

/* Of version 3, which older headers lack. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

enum { VERSION_NEEDED = 2 /* moves between folders */, VERSION_TRUNCATE = 3 };

static const uint64_t may_read =
    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t may_keep =
    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR
    | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE
    | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE;
/* Deletes; and moves from new to cur, as a new flag and retr_sets_seen do.
 * Nothing is written.  Whoever deletes might as well truncate; to allow that
 * spares each open a walk up to the root. */
static const uint64_t may_take =
    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR
    | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG
    | LANDLOCK_ACCESS_FS_REFER | LANDLOCK_ACCESS_FS_TRUNCATE;

struct rules {
    int fd;
    uint64_t handled;
};

int
confine_files_version(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0,
                           LANDLOCK_CREATE_RULESET_VERSION);

    return version >= VERSION_NEEDED ? (int)version : 0;
}

/* This folder and no other: where it is missing, one above it would open more
 * than was asked for. */
static int
allow(const struct rules *rules, const char *path, uint64_t access)
{
    struct landlock_path_beneath_attr beneath = {
        .allowed_access = access & rules->handled,
        .parent_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC),
    };
    long rc;

    if (beneath.parent_fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -1;
    rc = syscall(SYS_landlock_add_rule, rules->fd,
                 LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
    close(beneath.parent_fd);
    return (int)rc;
}

static int
allow_words(const struct rules *rules, const char *list)
{
    char path[PATH_MAX];
    size_t len;

    for (; (list = words_next(list, &len)) != NULL; list += len) {
        if (words_copy(list, len, path, sizeof(path))
            && allow(rules, path, may_take) != 0)
            return -1;
    }
    return 0;
}

/* In state_dir each file has its user, and only root makes new ones: folders
 * there may be removed and made anew. */
static int
allow_worker(const struct rules *rules, const struct settings *settings)
{
    int rc = allow(rules, settings->state_dir, may_keep);

    if (rc == 0 && settings->store != NULL)
        rc = allow(rules, settings->store_folder, may_take);
    return rc == 0 ? allow_words(rules, settings->sandbox_paths) : rc;
}

/* Keytab, maps, passwords, libraries and what the C library asks for users are
 * anywhere: of those the Unix rights decide. */
static int
allow_tickets(const struct rules *rules, const char *replay_cache)
{
    char path[PATH_MAX];
    char *slash;

    if (allow(rules, "/", may_read) != 0)
        return -1;
    snprintf(path, sizeof(path), "%s", replay_cache);
    slash = strrchr(path, '/');
    if (slash != NULL)
        *slash = '\0';
    return allow(rules, path, may_keep);
}

static int
allow_kind(const struct rules *rules, const struct settings *settings,
           enum confine_kind kind)
{
    if (kind == CONFINE_AUTH)
        return allow_tickets(rules, settings->replay_cache);
    if (kind != CONFINE_WORKER)
        return 0;
    if (settings->layers
        && allow_tickets(rules, settings->worker_replay_cache) != 0)
        return -1;
    return allow_worker(rules, settings);
}

int
confine_files(const struct settings *settings, enum confine_kind kind)
{
    const int version = confine_files_version();
    struct landlock_ruleset_attr attr = {
        .handled_access_fs = (LANDLOCK_ACCESS_FS_REFER << 1) - 1,
    };
    struct rules rules;
    int error;
    int rc;

    if (version == 0)
        return 0;
    if (version >= VERSION_TRUNCATE)
        attr.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
    rules.handled = attr.handled_access_fs;
    rules.fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr),
                            0);
    if (rules.fd < 0)
        return -1;
    rc = allow_kind(&rules, settings, kind);
    if (rc == 0)
        rc = (int)syscall(SYS_landlock_restrict_self, rules.fd, 0);
    error = errno;
    close(rules.fd);
    errno = error;
    return rc;
}
