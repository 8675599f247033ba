/*
 * policy.c - LOGIN-DELAY, and the folders in which the policies remember.
 * Runs in store threads with the rights of run_as; policy_prepare() with
 * those kpopd was started with.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/host/kpopd/conn.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/policy_internal.h"
#include "plugin/host/kpopd/statefiles.h"
#include "plugin/host/kpopd/worker.h"

int32_t
policy_tell(void *arg, struct kpop_op *op, const struct kpop_facts *facts)
{
    const struct conn *conn = arg;
    const struct settings *s = &conn->worker->setup->settings;

    (void)facts;
    return conn->worker->api->put_policy(op, s->expire, s->login_delay);
}

bool
policy_expires(const struct settings *settings)
{
    return settings->expire != 0 && settings->expire != KPOP_EXPIRE_NEVER;
}

static int
make_folder(const struct settings *settings, const char *name)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/%s", settings->state_dir, name)
        < (int)sizeof(path))
        return statefiles_folder(path, &settings->run_as);
    errno = ENAMETOOLONG;
    return -1;
}

int
policy_prepare(const struct settings *settings)
{
    if (settings->login_delay > 0 && make_folder(settings, "logins") != 0)
        return -1;
    return policy_expires(settings) ? make_folder(settings, "expire") : 0;
}

int
policy_path(const struct settings *settings, const char *folder,
            const char *dot, const char *user, char path[PATH_MAX])
{
    int len;

    /* maildir_path() has taken it for a part of a path already. */
    if (user[0] == '\0' || user[0] == '.' || strchr(user, '/') != NULL) {
        errno = EINVAL;
        return -1;
    }
    len = snprintf(path, PATH_MAX, "%s/%s/%s%s", settings->state_dir, folder,
                   dot, user);
    if (len < 0 || len >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return 0;
}

void
policy_log(const char *path, const char *call, int error)
{
    char quoted[PATH_MAX];

    log_event(KPOP_LOG_ERROR, "store.fail", "path=%s call=%s error=\"%s\"",
              log_quote(path, quoted, sizeof(quoted)), call,
              strerror(error));
}

/* A time to come is that of a clock that was set back: it must not lock
 * anybody out until then. */
static bool
is_too_soon(const struct stat *st, const struct timespec *now,
            uint32_t delay)
{
    return st->st_mtim.tv_sec <= now->tv_sec
           && now->tv_sec - st->st_mtim.tv_sec < (time_t)delay;
}

/* Opened is created: a file that is new says nothing yet. */
static int32_t
check_file(int fd, bool is_new, const struct timespec *now, uint32_t delay)
{
    const struct timespec times[2] = { *now, *now };
    struct stat st;

    if (fstat(fd, &st) != 0)
        return KPOP_TEMP;
    if (!is_new && is_too_soon(&st, now, delay))
        return KPOP_DELAY;
    return futimens(fd, times) == 0 ? KPOP_OK : KPOP_TEMP;
}

int32_t
policy_login(const struct settings *settings, const char *user,
             const struct timespec *now)
{
    const int flags = O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    char path[PATH_MAX] = "";
    int32_t rc = KPOP_TEMP;
    bool is_new = false;
    int fd = -1;

    if (settings->login_delay == 0)
        return KPOP_OK;
    if (policy_path(settings, "logins", "", user, path) == 0)
        fd = open(path, flags);
    if (fd < 0 && errno == ENOENT) {
        is_new = true;
        fd = open(path, flags | O_CREAT, 0600);
    }
    if (fd >= 0)
        rc = check_file(fd, is_new, now, settings->login_delay);
    if (rc == KPOP_TEMP)
        policy_log(path, "login", errno);
    if (fd >= 0)
        close(fd);
    return rc;
}
