/*
 * setup_check.c - whether what a configuration names is there and can be
 * used.  The checks run in children with the rights of run_as and auth_user:
 * root can read everything, so its own look would prove nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/policy.h"
#include "plugin/host/kpopd/process.h"
#include "plugin/host/kpopd/setup_internal.h"
#include "plugin/host/kpopd/sources.h"
#include "plugin/host/kpopd/statefiles.h"
#include "plugin/host/kpopd/words.h"

enum { CHECK_SECONDS = 60 }; /* a minute, as it is told */

static int
make_replay_file(const struct setup *setup, const char *path,
                 const struct account *owner, char *error, size_t error_size)
{
    if (statefiles_replay(path, owner) == 0)
        return 0;
    return setup_blame_path(setup, "replay_cache", path, strerror(errno),
                            error, error_size);
}

static int
prepare(const struct setup *setup, char *error, size_t error_size)
{
    const struct settings *s = &setup->settings;

    if (setup_state_folder(setup, error, error_size) != 0)
        return -1;
    if (s->store != NULL
        && statefiles_folder(s->index_dir, &s->run_as) != 0)
        return setup_blame_path(setup, "state_dir", s->index_dir,
                                strerror(errno), error, error_size);
    if (policy_prepare(s) != 0)
        return setup_blame_path(setup, "state_dir", s->state_dir,
                                strerror(errno), error, error_size);
    if (!s->tickets_wanted)
        return 0;
    if (setup_replay_folder(setup, error, error_size) != 0)
        return -1;
    if (make_replay_file(setup, s->replay_cache, &s->auth_user, error,
                         error_size) != 0)
        return -1;
    return s->layers ? make_replay_file(setup, s->worker_replay_cache,
                                        &s->run_as, error, error_size)
                     : 0;
}

/* What the module can do here, instead of an error. */
static int
say_names(const struct setup *setup, char *text, size_t size)
{
    const struct kpop_facts facts = {
        .size = sizeof(facts),
        .service = "pop3",
        .ssf = 256,
    };

    if (setup->api->exchange_names(setup->logins, &facts, text, size)
        == KPOP_OK)
        return 0;
    snprintf(text, size, "out of memory");
    return -1;
}

/* With the rights of auth_user. */
static int
check_logins(const struct setup *setup, char *error, size_t error_size)
{
    const struct settings *s = &setup->settings;
    char why[SETUP_ERROR_MAX / 2];
    struct sources sources;
    enum auth_pool pool;
    const char *key;
    int rc = 0;

    if (setup->api->ready(setup->logins, error, error_size) != KPOP_OK)
        return -1;
    for (pool = POOL_KRB; pool < POOL_COUNT && rc == 0; pool++) {
        if (!kpopd_settings_want_pool(s, pool))
            continue;
        rc = sources_open(&sources, s, pool, &key, why, sizeof(why));
        sources_close(&sources);
    }
    return rc == 0 ? say_names(setup, error, error_size)
                   : setup_blame(setup, key, why, error, error_size);
}

static int
check_worker_keytab(const struct setup *setup, char *error,
                    size_t error_size)
{
    const char *path = setup->api->get(setup->sessions, "keytab");

    if (!setup->settings.layers || access(path, R_OK) == 0)
        return 0;
    return setup_blame_path(setup, "keytab", path,
                            "max_ssf is above 0, so the user of the workers "
                            "must be able to read it, too", error, error_size);
}

static void
warn_if_readable(const char *key, const char *path)
{
    char quoted[2 * PATH_MAX];

    if (path != NULL && access(path, R_OK) == 0)
        log_event(KPOP_LOG_WARNING, "config.readable",
                  "key=%s path=%s problem=\"the user of the workers, who face "
                  "the network, can read it; see its group and mode\"",
                  key, log_quote(path, quoted, sizeof(quoted)));
}

/* What the workers are kept apart from, if they are. */
static void
warn_of_readable(const struct setup *setup)
{
    const struct settings *s = &setup->settings;

    if (s->run_as.name == NULL)
        return;
    if (!s->layers)
        warn_if_readable("keytab",
                         setup->api->get(setup->sessions, "keytab"));
    if (s->password_source == PASSWORDS_FILE)
        warn_if_readable("passwords", s->password_where);
    if (s->secret_source != SECRETS_NONE)
        warn_if_readable("secrets", s->secret_where);
}

static int
check_folder(const struct setup *setup, const char *key, const char *path,
             const char *not_a_folder, char *error, size_t error_size)
{
    const char *why = NULL;
    struct stat st;

    if (path[0] != '/')
        why = "an absolute path is needed";
    else if (stat(path, &st) != 0)
        why = errno == ENOTDIR ? not_a_folder : strerror(errno);
    else if (!S_ISDIR(st.st_mode))
        why = not_a_folder;
    else if (access(path, X_OK) != 0)
        why = "the user of the workers may not go there";
    return why == NULL ? 0
                       : setup_blame_path(setup, key, path, why, error,
                                          error_size);
}

/* A word that is misspelt would leave mail out of reach. */
static int
check_sandbox_paths(const struct setup *setup, char *error, size_t error_size)
{
    const char *list = setup->settings.sandbox_paths;
    char path[PATH_MAX];
    size_t len;
    int rc = 0;

    for (; rc == 0 && (list = words_next(list, &len)) != NULL; list += len) {
        if (words_copy(list, len, path, sizeof(path)))
            rc = check_folder(setup, "sandbox_paths", path,
                              "it is not a folder", error, error_size);
        else
            rc = setup_blame_path(setup, "sandbox_paths", path,
                                  "the path is too long", error, error_size);
    }
    return rc;
}

/* With the rights of run_as: what comes before the first % must be there. */
static int
check_store(const struct setup *setup, char *error, size_t error_size)
{
    if (check_worker_keytab(setup, error, error_size) != 0)
        return -1;
    warn_of_readable(setup);
    if (check_folder(setup, "store", setup->settings.store_folder,
                     kpopd_maildirs_only, error, error_size) != 0)
        return -1;
    return check_sandbox_paths(setup, error, error_size);
}

/* 0, or -1; with a sentence, or with what the caller wants to know. */
typedef int check_fn(const struct setup *setup, char *error,
                     size_t error_size);

static void
run_check(check_fn *check, const struct setup *setup,
          const struct account *account, int fd)
{
    char error[SETUP_ERROR_MAX] = "";
    int rc;

    signal(SIGALRM, SIG_DFL);
    alarm(CHECK_SECONDS);
    rc = process_become(account, error, sizeof(error));
    if (rc == 0)
        rc = check(setup, error, sizeof(error));
    if (write(fd, error, strlen(error)) < 0)
        rc = -1;
    _exit(rc == 0 ? 0 : 1);
}

/* A child with a pipe from it: fork(2)'s result, or -1 with errno. */
static pid_t
start_check(int fds[2])
{
    pid_t pid;
    int saved;

    if (pipe2(fds, O_CLOEXEC) != 0)
        return -1;
    pid = process_fork();
    if (pid < 0) {
        saved = errno;
        close(fds[0]);
        close(fds[1]);
        errno = saved;
    }
    return pid;
}

static int
check_as(check_fn *check, const struct setup *setup,
         const struct account *account, char *error, size_t error_size)
{
    ssize_t got = 0;
    size_t len = 0;
    int status = 0;
    int fds[2];
    pid_t pid;

    pid = start_check(fds);
    if (pid < 0) {
        snprintf(error, error_size, "cannot start a check: %s",
                 strerror(errno));
        return -1;
    }
    if (pid == 0)
        run_check(check, setup, account, fds[1]);
    close(fds[1]);
    do {
        got = read(fds[0], error + len, error_size - 1 - len);
        if (got > 0)
            len += (size_t)got;
    } while (got > 0 || (got < 0 && errno == EINTR));
    error[len] = '\0';
    close(fds[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (len == 0)
        snprintf(error, error_size, "the check of the configuration %s",
                 WIFEXITED(status) ? "failed and could not say why"
                                   : "crashed or took more than a minute");
    return -1;
}

/* POP3 is served, but of `mechanisms` nothing can work. */
static void
warn_of_no_way_in(const struct setup *setup)
{
    const struct settings *s = &setup->settings;
    const struct kpop_api *api = setup->api;
    const char *names = api->get(setup->sessions, "mechanisms");
    bool passwords = words_have(names, "USER")
                     || words_have(names, "PLAIN");
    bool secrets = strstr(names, "APOP") != NULL
                   || strstr(names, "CRAM") != NULL
                   || strstr(names, "SCRAM") != NULL;
    bool pop3 = api->get(setup->sessions, "listen_pop3")[0] != '\0'
                || api->get(setup->sessions, "listen_pop3s")[0] != '\0';

    if (!pop3 || setup->gssapi_works || s->external
        || (passwords && s->password_source != PASSWORDS_NONE)
        || (secrets && s->secret_source != SECRETS_NONE))
        return;
    log_event(KPOP_LOG_WARNING, "config.mechanisms",
              "problem=\"nobody can log in by POP3: GSSAPI needs a keytab, "
              "USER and PLAIN need passwords, EXTERNAL needs tls_client_ca, "
              "the others secrets\"");
}

int
setup_check(struct setup *setup, char *error, size_t error_size)
{
    const struct settings *s = &setup->settings;

    if (prepare(setup, error, error_size) != 0
        || check_as(check_store, setup, &s->run_as, error, error_size) != 0
        || check_as(check_logins, setup, &s->auth_user, error, error_size)
               != 0)
        return -1;
    setup->gssapi_works = words_have(error, "GSSAPI");
    warn_of_no_way_in(setup);
    error[0] = '\0';
    return 0;
}
