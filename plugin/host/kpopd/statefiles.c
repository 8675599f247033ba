/*
 * statefiles.c - makes what kpopd keeps in state_dir, each for the one user
 * who may touch it.  Runs in the master and in kpopctl check, as root if that
 * is who started them.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/statefiles.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/host/kpopd/log.h"

/* Root's directory holds a file that only auth_user may touch; nobody but
 * root may put another one in its place. */
int
statefiles_directory(const char *path)
{
    struct stat st;

    /* Whatever the umask. */
    if (mkdir(path, 0700) == 0)
        return geteuid() == 0 ? chmod(path, 0755) : 0;
    if (errno != EEXIST || stat(path, &st) != 0)
        return -1;
    if (!S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
        return -1;
    }
    return 0;
}

/* What is remembered of the mail tells who writes to whom how much: 0700. */
int
statefiles_folder(const char *path, const struct account *owner)
{
    struct stat st;
    int fd;
    int rc = -1;

    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return -1;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0)
        rc = owner->name == NULL || st.st_uid == owner->uid
                 ? 0
                 : fchown(fd, owner->uid, owner->gid);
    close(fd);
    return rc;
}

/* Whoever lost it must know; at the first start there was nothing to lose. */
static void
warn_of_new_replay_file(const char *path)
{
    char quoted[2 * PATH_MAX];

    log_event(KPOP_LOG_WARNING, "kpop.replay",
              "path=%s problem=\"was missing and is new: requests recorded in "
              "the last minutes could be used again\"",
              log_quote(path, quoted, sizeof(quoted)));
}

int
statefiles_replay(const char *path, const struct account *owner)
{
    int rc;
    int fd;

    if (owner->name == NULL)
        return 0; /* whoever uses it makes it as ourselves */
    fd = open(path,
              O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == EEXIST ? 0 : -1;
    rc = fchown(fd, owner->uid, owner->gid);
    if (rc != 0)
        (void)unlink(path);
    else
        warn_of_new_replay_file(path);
    close(fd);
    return rc;
}
