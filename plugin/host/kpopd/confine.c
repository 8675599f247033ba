/*
 * confine.c - see confine.h.  Runs in each child before anything else does,
 * with the rights it will keep.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/confine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int
confine(const struct settings *settings, enum confine_kind kind, char *error,
        size_t error_size)
{
    const char *what = "files (Landlock)";

    if (!settings->sandbox)
        return 0;
    tzset(); /* lines of the log have local times; later it can't be read */
    if (confine_files(settings, kind) == 0) {
        what = "system calls (seccomp)";
        if (confine_calls(settings, kind) == 0)
            return 0;
    }
    snprintf(error, error_size,
             "the process can't be confined in its %s: %s; `sandbox = no` "
             "does without",
             what, strerror(errno));
    return -1;
}

const char *
confine_lacks(void)
{
    return confine_files_version() > 0
               ? NULL
               : "this kernel has no Landlock (Linux 5.19; lsm= or a "
                 "container may hide it): of files, processes can open what "
                 "their user can";
}
