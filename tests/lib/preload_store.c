/*
 * preload_store.c - faults that a real disk won't make on demand.
 *
 * Loaded by LD_PRELOAD into kpopd by tests only; never installed.  Calls on
 * paths that contain $KPOP_TEST_MATCH behave as the lines of the file
 * $KPOP_TEST_CONTROL say, read anew at each call, so that a test switches
 * them while kpopd runs:
 *
 *   hold PATH         open and read wait while the file PATH exists
 *   read-error N      reads from offset N on fail with EIO
 *   open ERROR        open fails      (ERROR: EIO ENOSPC EROFS EACCES ...)
 *   unlink ERROR      unlinkat fails
 *   fsync ERROR       fsync fails
 *
 * Without the two variables, or without the file, nothing changes.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

struct faults {
    char hold[PATH_MAX]; /* "" = none */
    long long read_error; /* -1 = none */
    int open_error;
    int unlink_error;
    int fsync_error;
};

static const struct {
    const char *name;
    int value;
} errors[] = {
    { "EIO", EIO },       { "ENOSPC", ENOSPC }, { "EROFS", EROFS },
    { "EACCES", EACCES }, { "ENOENT", ENOENT }, { "EDQUOT", EDQUOT },
};

/* POSIX lets dlsym() give functions; ISO C has no cast for that. */
static void
next(const char *name, void *function_out)
{
    void *symbol = dlsym(RTLD_NEXT, name);

    memcpy(function_out, &symbol, sizeof(symbol));
}

static int
error_named(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (strcmp(errors[i].name, name) == 0)
            return errors[i].value;
    return EIO;
}

static void
parse_line(char *line, struct faults *faults)
{
    char *value = strchr(line, ' ');

    line[strcspn(line, "\n")] = '\0';
    if (value == NULL)
        return;
    *value++ = '\0';
    if (strcmp(line, "hold") == 0)
        snprintf(faults->hold, sizeof(faults->hold), "%s", value);
    else if (strcmp(line, "read-error") == 0)
        faults->read_error = atoll(value);
    else if (strcmp(line, "open") == 0)
        faults->open_error = error_named(value);
    else if (strcmp(line, "unlink") == 0)
        faults->unlink_error = error_named(value);
    else if (strcmp(line, "fsync") == 0)
        faults->fsync_error = error_named(value);
}

/* False when the path is none of ours or nothing is switched on. */
static bool
get_faults(const char *path, struct faults *faults)
{
    const char *match = getenv("KPOP_TEST_MATCH");
    const char *control = getenv("KPOP_TEST_CONTROL");
    char line[PATH_MAX + 32];
    FILE *file;

    if (match == NULL || control == NULL || strstr(path, match) == NULL)
        return false;
    file = fopen(control, "re");
    if (file == NULL)
        return false;
    memset(faults, 0, sizeof(*faults));
    faults->read_error = -1;
    while (fgets(line, sizeof(line), file) != NULL)
        parse_line(line, faults);
    fclose(file);
    return true;
}

/* The path behind a descriptor. */
static void
path_of_fd(int fd, char *path, size_t size)
{
    char link[64];
    ssize_t len;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    len = readlink(link, path, size - 1);
    path[len < 0 ? 0 : len] = '\0';
}

static void
path_at(int dir, const char *name, char *path, size_t size)
{
    size_t len = 0;

    path[0] = '\0';
    if (dir != AT_FDCWD && name[0] != '/') {
        path_of_fd(dir, path, size);
        len = strlen(path);
    }
    snprintf(path + len, size - len, "/%s", name);
}

/* A slow disk is what this plays, so it may wait. */
static void
wait_while_held(const struct faults *faults)
{
    const struct timespec pause = { 0, 5 * 1000 * 1000 };

    while (faults->hold[0] != '\0' && access(faults->hold, F_OK) == 0)
        nanosleep(&pause, NULL);
}

static int
before_open(int dir, const char *name)
{
    char path[2 * PATH_MAX];
    struct faults faults;

    path_at(dir, name, path, sizeof(path));
    if (!get_faults(path, &faults))
        return 0;
    wait_while_held(&faults);
    return faults.open_error;
}

static bool
takes_mode(int flags)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

EXPORT int
openat(int dir, const char *name, int flags, ...)
{
    int (*real)(int, const char *, int, ...);
    va_list args;
    mode_t mode = 0;
    int error;

    if (takes_mode(flags)) {
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    error = before_open(dir, name);
    if (error != 0) {
        errno = error;
        return -1;
    }
    next("openat", &real);
    return real(dir, name, flags, mode);
}

EXPORT int
open(const char *name, int flags, ...)
{
    va_list args;
    mode_t mode = 0;

    if (takes_mode(flags)) {
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    return openat(AT_FDCWD, name, flags, mode);
}

/* 1: go on, with *size cut so that it ends before the fault; -1: errno. */
static int
before_read(int fd, off_t offset, bool may_wait, size_t *size)
{
    char path[PATH_MAX];
    struct faults faults;
    long long left;

    path_of_fd(fd, path, sizeof(path));
    if (!get_faults(path, &faults))
        return 1;
    if (!may_wait && faults.hold[0] != '\0'
        && access(faults.hold, F_OK) == 0) {
        errno = EAGAIN;
        return -1;
    }
    wait_while_held(&faults);
    left = faults.read_error - (long long)offset;
    if (faults.read_error < 0)
        return 1;
    if (left <= 0) {
        errno = EIO;
        return -1;
    }
    if ((size_t)left < *size)
        *size = (size_t)left;
    return 1;
}

EXPORT ssize_t
preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    ssize_t (*real)(int, const struct iovec *, int, off_t, int);
    struct iovec first = iov[0];

    if (before_read(fd, offset, (flags & RWF_NOWAIT) == 0, &first.iov_len)
        < 0)
        return -1;
    next("preadv2", &real);
    return count == 1 ? real(fd, &first, 1, offset, flags)
                      : real(fd, iov, count, offset, flags);
}

/* kpopd is built with 64-bit offsets; both names may be asked for. */
EXPORT ssize_t
preadv64v2(int fd, const struct iovec *iov, int count, off_t offset,
           int flags)
{
    return preadv2(fd, iov, count, offset, flags);
}

EXPORT int
unlinkat(int dir, const char *name, int flags)
{
    int (*real)(int, const char *, int);
    char path[2 * PATH_MAX];
    struct faults faults;

    path_at(dir, name, path, sizeof(path));
    if (get_faults(path, &faults) && faults.unlink_error != 0) {
        errno = faults.unlink_error;
        return -1;
    }
    next("unlinkat", &real);
    return real(dir, name, flags);
}

EXPORT int
fsync(int fd)
{
    int (*real)(int);
    char path[PATH_MAX];
    struct faults faults;

    path_of_fd(fd, path, sizeof(path));
    if (get_faults(path, &faults) && faults.fsync_error != 0) {
        errno = faults.fsync_error;
        return -1;
    }
    next("fsync", &real);
    return real(fd);
}
