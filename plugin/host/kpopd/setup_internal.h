/*
 * setup_internal.h - what loading and checking a configuration share.
 *
 * All of these answer 0, or -1 with a sentence that names file and line.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_SETUP_INTERNAL_H
#define KPOPD_SETUP_INTERNAL_H

#include <stddef.h>

#include "plugin/host/kpopd/setup.h"

/* Always -1. */
int setup_blame(const struct setup *setup, const char *key,
                const char *sentence, char *error, size_t error_size);
int setup_blame_path(const struct setup *setup, const char *key,
                     const char *path, const char *why, char *error,
                     size_t error_size);

/* Make the folder if it is missing; that of the replay caches is state_dir in
 * most places. */
int setup_state_folder(const struct setup *setup, char *error,
                       size_t error_size);
int setup_replay_folder(const struct setup *setup, char *error,
                        size_t error_size);

#endif
