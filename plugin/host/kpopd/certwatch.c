/*
 * certwatch.c - looks at the files of TLS from outside, by stat(2) alone, with
 * the rights of the master.  It reads none of them.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/certwatch.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "plugin/host/kpopd/words.h"

static void
mix(uint64_t *print, uint64_t value)
{
    *print = (*print ^ value) * 0x100000001b3u; /* FNV-1a, 64 bits */
    *print ^= *print >> 29;
}

static void
mix_file(uint64_t *print, const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0) {
        mix(print, (uint64_t)errno);
        return;
    }
    mix(print, (uint64_t)st.st_dev);
    mix(print, (uint64_t)st.st_ino);
    mix(print, (uint64_t)st.st_size);
    mix(print, (uint64_t)st.st_mtim.tv_sec);
    mix(print, (uint64_t)st.st_mtim.tv_nsec);
}

uint64_t
certwatch_print(const char *files)
{
    uint64_t print = 0xcbf29ce484222325u;
    char path[PATH_MAX];
    size_t len;

    for (; (files = words_next(files, &len)) != NULL; files += len) {
        if (words_copy(files, len, path, sizeof(path)))
            mix_file(&print, path);
    }
    return print;
}

void
certwatch_begin(struct certwatch *watch, uint64_t print)
{
    watch->known = print;
    watch->seen = print;
}

bool
certwatch_is_due(struct certwatch *watch, uint64_t now)
{
    if (now < watch->due)
        return false;
    watch->due = now + CERTWATCH_EVERY;
    return true;
}

bool
certwatch_look(struct certwatch *watch, uint64_t print, uint64_t now)
{
    if (print != watch->seen) {
        watch->seen = print;
        watch->since = now;
    }
    if (watch->seen == watch->known || now - watch->since < CERTWATCH_CALM)
        return false;
    /* Also when it can't be used: it is not tried until it changes again. */
    watch->known = watch->seen;
    return true;
}
