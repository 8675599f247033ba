/*
 * settings_internal.h - what the files that read kpopd's keys share.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_SETTINGS_INTERNAL_H
#define KPOPD_SETTINGS_INTERNAL_H

#include "plugin/host/kpopd/settings.h"

/* One reading of the values. */
struct reading {
    const struct kpop_api *api;
    struct kpop_plugin *plugin;
    struct settings *settings;
    char *error;
    size_t error_size;
};

/* Never NULL. */
const char *reading_text(const struct reading *r, const char *key);
/* KPOP_INVALID after "FILE:LINE: key: sentence". */
int32_t reading_blame(const struct reading *r, const char *key,
                      const char *sentence);
int32_t reading_no_memory(const struct reading *r);

/* settings_logins.c: passwords, secrets, proxy_users. */
int32_t settings_read_logins(const struct reading *r);

#endif
