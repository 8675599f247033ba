/*
 * module.c - finds kpop.so and gives it its configuration.  Linked to
 * kpop-login and to libmech_kpop.so.  Both paths can be set in dovecot.conf
 * by import_environment, which is root's; nothing else is asked.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/dovecot/module.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef KPOP_MODULE_DIR
#define KPOP_MODULE_DIR "/usr/lib/kpop"
#endif
#ifndef KPOP_SYSCONFDIR
#define KPOP_SYSCONFDIR "/etc"
#endif

static kpop_plugin_entry_fn entry;

static const char *
path_or(const char *variable, const char *path)
{
    const char *told = getenv(variable);

    return told != NULL && told[0] == '/' ? told : path;
}

const char *
module_config(void)
{
    return path_or("KPOP_CONFIG", KPOP_SYSCONFDIR "/dovecot/kpop.conf");
}

int
module_load(char *error, size_t error_size)
{
    const char *path = path_or("KPOP_MODULE", KPOP_MODULE_DIR "/kpop.so");
    void *handle;
    void *symbol;

    if (entry != NULL)
        return 0;
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    symbol = handle != NULL ? dlsym(handle, "kpop_plugin_entry") : NULL;
    if (symbol == NULL) {
        snprintf(error, error_size, "can't load the kpop module: %s",
                 dlerror());
        if (handle != NULL)
            dlclose(handle);
        return -1;
    }
    /* ISO C knows no cast from object to function pointer; POSIX does. */
    memcpy(&entry, &symbol, sizeof(entry));
    return 0;
}

/* No file is no mistake: everything has a default. */
static int
load_config(const struct kpop_api *api, struct kpop_plugin *plugin,
            char *error, size_t error_size)
{
    const char *path = module_config();

    if (access(path, F_OK) != 0 && errno == ENOENT)
        return 0;
    return api->load(plugin, path, error, error_size) == KPOP_OK ? 0 : -1;
}

int
module_plugin(const struct kpop_host *host,
              const struct module_setting *settings,
              struct kpop_plugin **plugin_out,
              const struct kpop_api **api_out, char *error, size_t error_size)
{
    struct kpop_plugin *plugin;
    const struct kpop_api *api;
    int rc;

    if (module_load(error, error_size) != 0
        || entry(KPOP_ABI_MAJOR, host, NULL, &plugin, &api, error,
                 error_size) != KPOP_OK)
        return -1;
    rc = load_config(api, plugin, error, error_size);
    for (; rc == 0 && settings->key != NULL; settings++) {
        if (api->set(plugin, settings->key, settings->value, error,
                     error_size) != KPOP_OK)
            rc = -1;
    }
    if (rc != 0) {
        api->free(plugin);
        return -1;
    }
    *plugin_out = plugin;
    *api_out = api;
    return 0;
}
