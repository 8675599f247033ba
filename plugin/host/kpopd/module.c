/*
 * module.c - dlopens the kpop module.  It reads no environment and no
 * configuration to find it: the path is ours or the admin's argument.  Runs
 * before any privilege is dropped.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/module.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef KPOP_MODULE_DIR
#define KPOP_MODULE_DIR "/usr/lib/kpop"
#endif

static const char module_name[] = "kpop.so";

/* Writes DIR-of-this-program/kpop.so; 0, or -1 when that can't be told. */
static int
beside_program(char *out, size_t size)
{
    char self[PATH_MAX];
    char *slash;
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    int wrote;

    if (len <= 0)
        return -1;
    self[len] = '\0';
    slash = strrchr(self, '/');
    if (slash == NULL)
        return -1;
    *slash = '\0';
    wrote = snprintf(out, size, "%s/%s", self, module_name);
    return wrote > 0 && (size_t)wrote < size ? 0 : -1;
}

kpop_plugin_entry_fn
module_load(const char *path, char *error, size_t error_size)
{
    kpop_plugin_entry_fn entry = NULL;
    char found[PATH_MAX];
    void *handle;
    void *symbol;

    if (path == NULL) {
        if (beside_program(found, sizeof(found)) != 0
            || access(found, R_OK) != 0)
            snprintf(found, sizeof(found), "%s/%s", KPOP_MODULE_DIR,
                     module_name);
        path = found;
    }
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        snprintf(error, error_size, "cannot load the module: %s", dlerror());
        return NULL;
    }
    symbol = dlsym(handle, "kpop_plugin_entry");
    if (symbol == NULL) {
        snprintf(error, error_size, "%s is not a kpop module: %s", path,
                 dlerror());
        dlclose(handle);
        return NULL;
    }
    /* ISO C knows no cast from object to function pointer; POSIX does. */
    memcpy(&entry, &symbol, sizeof(entry));
    return entry;
}
