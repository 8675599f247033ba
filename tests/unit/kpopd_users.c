/* LDFLAGS: -Wl,--wrap=getpwnam */
/*
 * kpopd_users.c - a user who is not there, and one who cannot be looked up.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/users.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/check.h"

static struct passwd alice = { .pw_name = "alice" };
static int error; /* of those who are not alice */

struct passwd *__wrap_getpwnam(const char *name);

struct passwd *
__wrap_getpwnam(const char *name)
{
    if (strcmp(name, alice.pw_name) == 0)
        return &alice;
    if (error != 0)
        errno = error;
    return NULL;
}

TEST(a_user_is_found)
{
    char sentence[100] = "untouched";

    CHECK(users_find("alice", sentence, sizeof(sentence)) == &alice);
    CHECK_STR(sentence, "untouched");
}

TEST(a_user_who_is_not_there_is_not)
{
    static const int errors[] = { 0, ENOENT, ESRCH, EBADF, EPERM };
    char sentence[100];
    size_t i;

    for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        error = errors[i];
        errno = EIO; /* of something before */
        CHECK(users_find("bob", sentence, sizeof(sentence)) == NULL);
        CHECK_STR(sentence, "there is no user bob");
    }
}

TEST(a_source_that_does_not_answer_is_no_missing_user)
{
    static const int errors[] = { EIO,    ENOMEM, EMFILE,
                                  ENFILE, EINTR,  ERANGE };
    char sentence[100], want[100];
    size_t i;

    for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        error = errors[i];
        CHECK(users_find("bob", sentence, sizeof(sentence)) == NULL);
        (void)snprintf(want, sizeof(want),
                       "the user bob cannot be looked up: %s",
                       strerror(error));
        CHECK_STR(sentence, want);
    }
}

TEST_MAIN("kpopd_users", T(a_user_is_found),
          T(a_user_who_is_not_there_is_not),
          T(a_source_that_does_not_answer_is_no_missing_user))
