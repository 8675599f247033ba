/*
 * module.h - finds and loads kpop.so.
 *
 * First beside the running program, so that a build tree works as it is; else
 * in the directory the package was built for.  A module once loaded stays.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_MODULE_H
#define KPOPD_MODULE_H

#include <stddef.h>

#include "plugin/kpop_plugin.h"

/* The entry of the module at path (NULL: where it is installed), or NULL with
 * a sentence in error. */
kpop_plugin_entry_fn module_load(const char *path, char *error,
                                 size_t error_size);

#endif
