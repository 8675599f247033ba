/*
 * confine.h - what a process of kpopd can still ask of the kernel: files by
 * Landlock, system calls by seccomp.  Both hold for good, also for whoever
 * takes the process over.  SECURITY.md has the table.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_CONFINE_H
#define KPOPD_CONFINE_H

#include <stddef.h>

#include "plugin/host/kpopd/settings.h"

enum confine_kind {
    CONFINE_WORKER,  /* the mail and its folders of state_dir; no sockets */
    CONFINE_METRICS, /* its listener; no files */
    CONFINE_AUTH,    /* reads what its user may; writes the replay cache */
    CONFINE_KIND_COUNT
};

/*
 * After the process has its user and before it has threads.  0, or -1 with a
 * sentence.  What the kernel lacks is left out; confine_lacks() tells.
 */
int confine(const struct settings *settings, enum confine_kind kind,
            char *error, size_t error_size);
/* What this kernel can't hold processes by, as a sentence; NULL: nothing. */
const char *confine_lacks(void);

/* ---- between the files of confine ---- */

/* 0, also where the kernel has no Landlock, or -1 with errno. */
int confine_files(const struct settings *settings, enum confine_kind kind);
/* 0, or -1 with errno. */
int confine_calls(const struct settings *settings, enum confine_kind kind);
/* Landlock's version, 0 where there is none that is of use. */
int confine_files_version(void);

#endif
