/*
 * policy_internal.h - what policy.c and expire.c share.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_POLICY_INTERNAL_H
#define KPOPD_POLICY_INTERNAL_H

#include <limits.h>

#include "plugin/host/kpopd/settings.h"

/* STATE_DIR/FOLDER/USER; a dot before USER makes another file's name, because
 * no user's begins so.  0 or -1, errno. */
int policy_path(const struct settings *settings, const char *folder,
                const char *dot, const char *user, char path[PATH_MAX]);
/* An error of the disk, for an admin. */
void policy_log(const char *path, const char *call, int error);

#endif
