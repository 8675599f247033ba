/*
 * setup.h - one reading of the configuration and what was made of it.
 *
 * Master, workers and auth processes of one generation share one setup: it is
 * read once, by the master, and children are forked from it, so that a
 * process that is replaced later works by the same configuration even when
 * the file has been edited meanwhile.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_SETUP_H
#define KPOPD_SETUP_H

#include <stdbool.h>
#include <stddef.h>

#include "plugin/host/kpopd/settings.h"
#include "plugin/kpop_plugin.h"

struct setup {
    const struct kpop_api *api;
    struct kpop_plugin *sessions; /* ready; for workers */
    struct kpop_plugin *logins;   /* loaded; for auth processes */
    struct settings settings;
    bool gssapi_works;            /* setup_check() found keys for it */
    char *tls_files;              /* by blanks; "" = no TLS */
    uint64_t tls_print;           /* certwatch_print() before they were read */
};

enum { SETUP_ERROR_MAX = 1024 };

struct override;

/*
 * Only the texts, for who looks at them: nothing is judged but each value by
 * itself, sessions is loaded and not ready, logins is NULL, settings is empty.
 * NULL with "FILE:LINE: sentence".
 */
struct setup *setup_read(kpop_plugin_entry_fn entry, const char *path,
                         char *error, size_t error_size);
/* NULL with "FILE:LINE: sentence".  overrides may be NULL. */
struct setup *setup_load(kpop_plugin_entry_fn entry, const char *path,
                         const struct override *overrides, char *error,
                         size_t error_size);
/*
 * Everything else that would keep us from serving: makes state_dir and the
 * replay cache's file with their owners when they are missing, then looks,
 * with the rights of those who will use them, at keytab, password file and
 * mail.  0, or -1 with a sentence.
 */
int setup_check(struct setup *setup, char *error, size_t error_size);
void setup_free(struct setup *setup);
/* In a process that serves no sessions: the key of TLS is wiped with them. */
void setup_drop_sessions(struct setup *setup);

#endif
