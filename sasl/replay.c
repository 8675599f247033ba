/*
 * replay.c - guards the file that libkrb5 keeps the replay cache in: libkrb5
 * itself opens whatever it finds at the path.  For KPOP the AP-REQ is the
 * login, so a cache that isn't ours means no login at all.  Never removes or
 * empties it: an emptied cache lets recorded requests in again.
 *
 * SPDX-License-Identifier: MIT
 */
#define _XOPEN_SOURCE 700 /* S_ISVTX */
#include "sasl/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int say(char *error, size_t error_size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int
say(char *error, size_t error_size, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (error_size > 0)
        (void)vsnprintf(error, error_size, format, args);
    va_end(args);
    return STATUS_PERM;
}

/* Nobody else may put another file in its place. */
static int
check_folder(const char *path, char *error, size_t error_size)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX];
    struct stat st;

    if (slash == NULL || (size_t)(slash - path) >= sizeof(folder))
        return say(error, error_size, "replay cache %s: not an absolute path",
                   path);
    memcpy(folder, path, (size_t)(slash - path));
    folder[slash - path] = '\0';
    if (stat(slash == path ? "/" : folder, &st) != 0)
        return say(error, error_size, "replay cache %s: folder: %s", path,
                   strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return say(error, error_size, "replay cache %s: %s is not a folder",
                   path, folder);
    /* The sticky bit keeps others from renaming what is ours. */
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0 &&
        (st.st_mode & S_ISVTX) == 0)
        return say(error, error_size, "replay cache %s: others may write to "
                   "its folder; chmod go-w %s", path, folder);
    if (st.st_uid != 0 && st.st_uid != geteuid() && geteuid() != 0)
        return say(error, error_size, "replay cache %s: its folder belongs to "
                   "uid %lu, not to us (uid %lu) or root", path,
                   (unsigned long)st.st_uid, (unsigned long)geteuid());
    return STATUS_OK;
}

static int
check_file(const char *path, const struct stat *st, bool any_owner,
           char *error, size_t error_size)
{
    if (!S_ISREG(st->st_mode))
        return say(error, error_size, "replay cache %s: not a regular file",
                   path);
    if (st->st_uid != geteuid() && !any_owner)
        return say(error, error_size, "replay cache %s: belongs to uid %lu, "
                   "not to us (uid %lu)", path, (unsigned long)st->st_uid,
                   (unsigned long)geteuid());
    if ((st->st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return say(error, error_size, "replay cache %s: others may use it; "
                   "chmod 600 it", path);
    if (st->st_nlink != 1)
        return say(error, error_size, "replay cache %s: has a second name "
                   "(hard link)", path);
    return STATUS_OK;
}

static int
make_file(const char *path, char *error, size_t error_size)
{
    struct stat st;
    int status = check_folder(path, error, error_size);
    int fd;

    if (status != STATUS_OK)
        return status;
    /* Without O_EXCL: another process of ours may be making it too. */
    fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
              0600);
    if (fd < 0)
        return say(error, error_size, "replay cache %s: is missing and can't "
                   "be made here: %s; a restart of the server makes it", path,
                   strerror(errno));
    if (fstat(fd, &st) != 0)
        status = say(error, error_size, "replay cache %s: %s", path,
                     strerror(errno));
    else
        status = check_file(path, &st, false, error, error_size);
    (void)close(fd);
    return status == STATUS_OK ? STATUS_CONTINUE : status;
}

int
replay_prepare(const char *path, char *error, size_t error_size)
{
    struct stat st;

    if (lstat(path, &st) == 0)
        return check_file(path, &st, false, error, error_size);
    if (errno != ENOENT)
        return say(error, error_size, "replay cache %s: %s", path,
                   strerror(errno));
    return make_file(path, error, error_size);
}

int
replay_inspect(const char *path, char *error, size_t error_size)
{
    struct stat st;
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int status = check_folder(path, error, error_size);

    if (status != STATUS_OK)
        return status;
    if (lstat(path, &st) == 0)
        return check_file(path, &st, geteuid() == 0, error, error_size);
    if (errno != ENOENT)
        return say(error, error_size, "replay cache %s: %s", path,
                   strerror(errno));
    (void)snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path) + 1,
                   path);
    if (access(folder, W_OK | X_OK) != 0)
        return say(error, error_size, "replay cache %s: can't be made: %s",
                   path, strerror(errno));
    return STATUS_OK;
}
