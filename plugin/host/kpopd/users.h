/*
 * users.h - users of the system by name.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_USERS_H
#define KPOPD_USERS_H

#include <pwd.h>
#include <stddef.h>

/* The C library's own, until it is asked again; or NULL, and a sentence tells
 * whether there is no such user (errno is 0), or why that can't be known. */
const struct passwd *users_find(const char *name, char *sentence,
                                size_t sentence_size);

#endif
