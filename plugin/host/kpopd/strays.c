/*
 * strays.c - finds and kills them.  Runs in the master, which reaps them as
 * it does all its children.  Where the kernel does not list them they live.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/strays.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "plugin/host/kpopd/log.h"
#include "plugin/kpop_plugin.h"

void
strays_begin(void)
{
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

void
strays_kill(strays_known_fn *known, const void *arg)
{
    char path[64];
    char word[32];
    FILE *file;
    long pid;

    snprintf(path, sizeof(path), "/proc/self/task/%ld/children",
             (long)getpid());
    file = fopen(path, "re");
    if (file == NULL)
        return;
    while (fscanf(file, "%31s", word) == 1) {
        pid = strtol(word, NULL, 10);
        if (pid <= 1 || known(arg, (pid_t)pid))
            continue;
        log_event(KPOP_LOG_WARNING, "process.stray",
                  "child=%ld text=\"an auth process that was killed left a "
                  "program behind; it is killed too\"",
                  pid);
        (void)kill((pid_t)pid, SIGKILL);
    }
    (void)fclose(file);
}
