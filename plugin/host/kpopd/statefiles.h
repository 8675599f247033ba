/*
 * statefiles.h - the files and folders of state_dir.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_STATEFILES_H
#define KPOPD_STATEFILES_H

#include "plugin/host/kpopd/settings.h"

/* All of these: 0, also when it is there already, or -1 with errno. */
int statefiles_directory(const char *path);
/* Of run_as alone: what is remembered of the mail. */
int statefiles_folder(const char *path, const struct account *owner);
int statefiles_replay(const char *path, const struct account *owner);

#endif
