/*
 * setup.c - loads a configuration, once for sessions and once for logins.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/setup_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/host/kpopd/auth.h"
#include "plugin/host/kpopd/certwatch.h"
#include "plugin/host/kpopd/cyrus.h"
#include "plugin/host/kpopd/override.h"
#include "plugin/host/kpopd/statefiles.h"
#include "plugin/host/kpopd/worker.h"

static int32_t
no_memory(char *error, size_t error_size)
{
    snprintf(error, error_size, "out of memory");
    return KPOP_NO_MEMORY;
}

static int32_t
load_plugin(kpop_plugin_entry_fn entry, const struct kpop_host *host,
            const char *path, struct setup *setup,
            struct kpop_plugin **plugin_out, char *error, size_t error_size)
{
    int32_t rc = entry(KPOP_ABI_MAJOR, host, NULL, plugin_out, &setup->api,
                       error, error_size);

    if (rc == KPOP_OK)
        rc = kpopd_settings_declare(setup->api, *plugin_out, error,
                                    error_size);
    if (rc == KPOP_OK)
        rc = setup->api->load(*plugin_out, path, error, error_size);
    return rc;
}

int
setup_blame(const struct setup *setup, const char *key, const char *sentence,
            char *error, size_t error_size)
{
    (void)setup->api->blame(setup->sessions, key, sentence, error,
                            error_size);
    return -1;
}

int
setup_blame_path(const struct setup *setup, const char *key, const char *path,
           const char *why, char *error, size_t error_size)
{
    char sentence[SETUP_ERROR_MAX / 2];

    snprintf(sentence, sizeof(sentence), "%.300s: %s", path, why);
    return setup_blame(setup, key, sentence, error, error_size);
}

/* ---- folders ---- */

int
setup_state_folder(const struct setup *setup, char *error, size_t error_size)
{
    const char *path = setup->api->get(setup->sessions, "state_dir");

    if (statefiles_directory(path) == 0)
        return 0;
    return setup_blame_path(setup, "state_dir", path, strerror(errno), error,
                            error_size);
}

/* That of the replay caches; state_dir in most places. */
int
setup_replay_folder(const struct setup *setup, char *error, size_t error_size)
{
    char path[PATH_MAX];
    char *slash;

    snprintf(path, sizeof(path), "%s",
             setup->api->get(setup->sessions, "replay_cache"));
    slash = strrchr(path, '/');
    if (slash == NULL || slash == path)
        return 0;
    *slash = '\0';
    if (statefiles_directory(path) == 0)
        return 0;
    return setup_blame_path(setup, "replay_cache", path, strerror(errno),
                            error, error_size);
}

/* ---- reading ---- */

/*
 * Workers that verify tickets can't write to the file of auth_user; KPOP and
 * GSSAPI refuse each other's requests, so two files are as good as one.  The
 * module would start and end libsasl2 for each login, whose modules leak then;
 * this keeps it.  Where that fails, the module says so.
 */
static int32_t
prepare_layers(struct setup *setup, char *error, size_t error_size)
{
    const struct kpop_api *api = setup->api;
    char path[PATH_MAX];

    if (!kpopd_settings_want_layers(api, setup->sessions))
        return KPOP_OK;
    /* The module looks at the file's folder as soon as it is ready. */
    if (setup_state_folder(setup, error, error_size) != 0
        || setup_replay_folder(setup, error, error_size) != 0)
        return KPOP_INVALID;
    (void)cyrus_begin(error, error_size);
    snprintf(path, sizeof(path), "%s.workers",
             api->get(setup->sessions, "replay_cache"));
    return api->set(setup->sessions, "replay_cache", path, error,
                    error_size);
}

/* Auth processes speak with no client, so they get no key of TLS.  pop3s is
 * served inside TLS or not at all: our workers have no other one. */
static int32_t
part_tls(struct setup *setup, char *error, size_t error_size)
{
    static const char *const keys[] = { "tls_certificate", "tls_key",
                                        "tls_client_ca", "tls_ocsp" };
    const struct kpop_api *api = setup->api;
    int32_t rc = KPOP_OK;
    size_t i;

    if (api->get(setup->sessions, "tls_certificate")[0] == '\0'
        && api->get(setup->sessions, "listen_pop3s")[0] != '\0')
        return api->blame(setup->sessions, "tls_certificate",
                          "is needed for listen_pop3s", error, error_size);
    if (asprintf(&setup->tls_files, "%s %s %s %s",
                 api->get(setup->sessions, keys[0]),
                 api->get(setup->sessions, keys[1]),
                 api->get(setup->sessions, keys[2]),
                 api->get(setup->sessions, keys[3])) < 0) {
        setup->tls_files = NULL;
        return no_memory(error, error_size);
    }
    setup->tls_print = certwatch_print(setup->tls_files);
    for (i = 0; i < sizeof(keys) / sizeof(keys[0]) && rc == KPOP_OK; i++)
        rc = api->set(setup->logins, keys[i], "", error, error_size);
    return rc;
}

static int32_t
read_settings(struct setup *setup, char *error, size_t error_size)
{
    const struct kpop_api *api = setup->api;
    struct settings *s = &setup->settings;
    int32_t rc = kpopd_settings_read(api, setup->sessions, s, error,
                                     error_size);

    if (rc != KPOP_OK || !s->layers)
        return rc;
    s->worker_replay_cache = s->replay_cache;
    s->replay_cache = strdup(api->get(setup->logins, "replay_cache"));
    return s->replay_cache != NULL ? KPOP_OK : no_memory(error, error_size);
}

struct setup *
setup_read(kpop_plugin_entry_fn entry, const char *path, char *error,
           size_t error_size)
{
    struct setup *setup = calloc(1, sizeof(*setup));

    if (setup == NULL) {
        (void)no_memory(error, error_size);
        return NULL;
    }
    if (load_plugin(entry, &worker_host, path, setup, &setup->sessions,
                    error, error_size) == KPOP_OK)
        return setup;
    setup_free(setup);
    return NULL;
}

struct setup *
setup_load(kpop_plugin_entry_fn entry, const char *path,
           const struct override *overrides, char *error,
           size_t error_size)
{
    struct setup *setup = setup_read(entry, path, error, error_size);
    int32_t rc;

    if (setup == NULL)
        return NULL;
    rc = load_plugin(entry, &auth_host, path, setup, &setup->logins, error,
                     error_size);
    if (rc == KPOP_OK)
        rc = override_apply(setup, overrides, error, error_size);
    if (rc == KPOP_OK)
        rc = prepare_layers(setup, error, error_size);
    if (rc == KPOP_OK)
        rc = part_tls(setup, error, error_size);
    if (rc == KPOP_OK)
        rc = setup->api->ready(setup->sessions, error, error_size);
    if (rc == KPOP_OK)
        rc = read_settings(setup, error, error_size);
    if (rc != KPOP_OK) {
        setup_free(setup);
        return NULL;
    }
    return setup;
}

void
setup_free(struct setup *setup)
{
    if (setup == NULL)
        return;
    if (setup->sessions != NULL)
        setup->api->free(setup->sessions);
    if (setup->logins != NULL)
        setup->api->free(setup->logins);
    kpopd_settings_free(&setup->settings);
    free(setup->tls_files);
    free(setup);
}

void
setup_drop_sessions(struct setup *setup)
{
    setup->api->free(setup->sessions);
    setup->sessions = NULL;
}
