/*
 * master.h - the process that starts, feeds and replaces the others.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_MASTER_H
#define KPOPD_MASTER_H

#include "plugin/kpop_plugin.h"

/* The life of kpopd with the configuration at path, already checked by
 * nobody; the exit status.  Errors before the start go to stderr. */
int master_main(kpop_plugin_entry_fn entry, const char *path);

#endif
