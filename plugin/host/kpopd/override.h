/*
 * override.h - values that count instead of those of the file, such as
 * listeners that a service manager has opened.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_OVERRIDE_H
#define KPOPD_OVERRIDE_H

#include <stddef.h>

#include "plugin/host/kpopd/setup.h"

enum { OVERRIDE_KEY_MAX = 31, OVERRIDE_VALUE_MAX = 4096 };

struct override {
    char key[OVERRIDE_KEY_MAX + 1]; /* "" ends the list */
    char value[OVERRIDE_VALUE_MAX];
};

/* Sets them in both plugins of a loaded setup: auth processes, too, must know
 * which services there are.  NULL is none.  KPOP_OK, or an error with a
 * sentence. */
int32_t override_apply(const struct setup *setup,
                       const struct override *override, char *error,
                       size_t error_size);

#endif
