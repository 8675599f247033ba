/*
 * module.h - kpop.so inside a process of Dovecot.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef DOVECOT_MODULE_H
#define DOVECOT_MODULE_H

#include "plugin/kpop_plugin.h"

/* A setting of Dovecot's that takes the place of a key of kpop.conf. */
struct module_setting {
    const char *key;
    const char *value;
};

/*
 * The path of our configuration, which need not exist: KPOP_CONFIG of the
 * environment (import_environment of dovecot.conf) or SYSCONFDIR/dovecot/
 * kpop.conf.
 */
const char *module_config(void);

/* dlopens kpop.so, once: KPOP_MODULE of the environment or the installed one.
 * Runs before privileges are dropped.  0, or -1 with a sentence. */
int module_load(char *error, size_t error_size);

/*
 * A plugin of the module with the configuration, if there is any, and with
 * settings (ended by a NULL key) set over it.  The caller calls ready().
 * 0, or -1 with a sentence.
 */
int module_plugin(const struct kpop_host *host,
                  const struct module_setting *settings,
                  struct kpop_plugin **plugin_out,
                  const struct kpop_api **api_out, char *error,
                  size_t error_size);

#endif
