/*
 * users.c - looks a user up.  Who is told that a user is missing makes one; a
 * source of users that does not answer must not look like that.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/users.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* All that getpwnam(3) says of a name that nobody has. */
static int
means_nobody(int error)
{
    return error == 0 || error == ENOENT || error == ESRCH || error == EBADF
           || error == EPERM;
}

const struct passwd *
users_find(const char *name, char *sentence, size_t sentence_size)
{
    const struct passwd *entry;
    int error;

    errno = 0;
    entry = getpwnam(name);
    if (entry != NULL)
        return entry;
    error = means_nobody(errno) ? 0 : errno;
    if (error == 0)
        snprintf(sentence, sentence_size, "there is no user %.64s", name);
    else
        snprintf(sentence, sentence_size,
                 "the user %.64s cannot be looked up: %s", name,
                 strerror(error));
    errno = error;
    return NULL;
}
