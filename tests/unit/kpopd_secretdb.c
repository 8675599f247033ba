/* LDFLAGS: -Wl,--wrap=read,--wrap=malloc,--wrap=realloc,--wrap=calloc */
/*
 * kpopd_secretdb.c - the file of secrets: whose is found, which files are
 * refused, and that a change is seen at once.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/secretdb.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/host/kpopd/secretlocks.h"
#include "plugin/kpop_plugin.h"
#include "tests/lib/check.h"

static char path[64];
static char error[512];

static int read_error;        /* of the next read(); 0: none */
static bool is_out_of_memory; /* for the next malloc() */
static bool is_out_of_rows;   /* ... realloc() */
static bool is_out_of_names;  /* ... calloc() */

ssize_t __real_read(int fd, void *at, size_t size);
void *__real_malloc(size_t size);
ssize_t __wrap_read(int fd, void *at, size_t size);
void *__wrap_malloc(size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

ssize_t
__wrap_read(int fd, void *at, size_t size)
{
    const int failed = read_error;

    read_error = 0;
    if (failed == 0)
        return __real_read(fd, at, size);
    errno = failed;
    return -1;
}

void *
__wrap_malloc(size_t size)
{
    const bool failed = is_out_of_memory;

    is_out_of_memory = false;
    errno = ENOMEM;
    return failed ? NULL : __real_malloc(size);
}

void *
__wrap_realloc(void *old, size_t size)
{
    const bool failed = is_out_of_rows;

    is_out_of_rows = false;
    return failed ? NULL : __real_realloc(old, size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
    const bool failed = is_out_of_names;

    is_out_of_names = false;
    return failed ? NULL : __real_calloc(count, size);
}

static void
forget_file(void)
{
    (void)unlink(path);
}

static void
write_file(const char *text, size_t size, mode_t mode)
{
    FILE *file;

    if (path[0] == '\0') {
        int fd;

        (void)snprintf(path, sizeof(path), "/tmp/kpopd_secretdb.XXXXXX");
        fd = mkstemp(path);
        CHECK(fd >= 0);
        CHECK_INT(close(fd), 0);
        CHECK_INT(atexit(forget_file), 0);
    }
    file = fopen(path, "w");
    CHECK(file != NULL);
    CHECK_INT(fwrite(text, 1, size, file), size);
    CHECK_INT(fclose(file), 0);
    CHECK_INT(chmod(path, mode), 0);
}

static void
write_text(const char *text)
{
    write_file(text, strlen(text), 0600);
}

static int32_t
unlocked(const char *file, const char *user)
{
    struct secretlocks *locks = secretlocks_new(file);
    int32_t rc;

    CHECK(locks != NULL);
    rc = secretlocks_ask(locks, user, error, sizeof(error));
    secretlocks_free(locks);
    return rc;
}

static void
check_secret(const char *user, const char *expected)
{
    struct secretdb_secret secret;

    CHECK_INT(secretdb_lookup(path, user, &secret, error, sizeof(error)),
              expected == NULL ? KPOP_AUTH : KPOP_OK);
    if (expected == NULL)
        CHECK_INT(secret.size, 0);
    else
        CHECK_MEM(secret.data, secret.size, expected, strlen(expected));
}

static void
check_fault(const char *sentence)
{
    struct secretdb_secret secret;

    error[0] = '\0';
    CHECK_INT(secretdb_check(path, error, sizeof(error)), -1);
    CHECK(strstr(error, sentence) != NULL);
    CHECK(strstr(error, path) != NULL);
    CHECK(strstr(error, "hush") == NULL);
    CHECK_INT(secretdb_lookup(path, "alice", &secret, error, sizeof(error)),
              KPOP_TEMP);
    CHECK_INT(secret.size, 0);
}

TEST(each_user_has_his_own_secret)
{
    write_text("# alice:comment\n\nalice:hush\r\nbob:a:b #c \n"
               "carol anne:last");
    check_secret("alice", "hush");
    check_secret("bob", "a:b #c ");
    check_secret("carol anne", "last");
    check_secret("# alice", NULL);
    check_secret("ali", NULL);
    check_secret("alice2", NULL);
    check_secret("ALICE", NULL);
    check_secret("alice:hush", NULL);
    check_secret("", NULL);
    CHECK_INT(secretdb_check(path, error, sizeof(error)), 0);
}

TEST(a_change_is_seen_at_once)
{
    write_text("alice:one\n");
    check_secret("alice", "one");
    write_text("alice:two\n");
    check_secret("alice", "two");
    write_text("");
    check_secret("alice", NULL);
}

TEST(files_that_others_may_read_are_refused)
{
    static const mode_t modes[] = { 0640, 0604, 0620, 0602, 0610, 0601 };

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        write_file("alice:hush\n", 11, modes[i]);
        check_fault("chmod 0600");
    }
    write_text("alice:hush\n");
    if (geteuid() != 0)
        return; /* only root can give a file away */
    CHECK_INT(chown(path, 65534, 65534), 0);
    check_fault("does not belong to auth_user");
    CHECK_INT(chown(path, 0, 0), 0);
}

TEST(malformed_lines_are_named_without_their_text)
{
    char line[KPOP_USER_MAX + SECRETDB_SECRET_MAX + 16];

    write_text("# one\nbob:x\nhush\n");
    check_fault(":3: write user:secret");
    write_text("alice:\n");
    check_fault(":1: write user:secret");
    write_text(":hush\n");
    check_fault(":1: write user:secret");
    write_file("alice:hu\0sh\n", 12, 0600);
    check_fault(":1: the line holds a NUL");
    memset(line, 'a', sizeof(line));
    line[sizeof(line) - 1] = '\0';
    line[KPOP_USER_MAX + 1] = ':';
    write_text(line);
    check_fault("the user's name is too long");
    line[KPOP_USER_MAX + 1] = 'a';
    line[1] = ':';
    write_text(line);
    check_fault("the secret is too long");
    /* Also behind the user who asks. */
    write_text("alice:hush\nbroken\n");
    check_fault(":2: write user:secret");
}

TEST(what_is_no_file_is_refused)
{
    struct secretdb_secret secret;

    CHECK_INT(secretdb_check("/nonexistent/secrets", error, sizeof(error)),
              -1);
    CHECK_INT(secretdb_lookup("/", "alice", &secret, error, sizeof(error)),
              KPOP_TEMP);
    CHECK(strstr(error, "is no plain file") != NULL);
}

TEST(trouble_with_the_file_is_temporary)
{
    struct secretdb_secret secret;

    write_text("alice:hush\n");
    read_error = EINTR;
    check_secret("alice", "hush");
    read_error = EIO;
    CHECK_INT(secretdb_lookup(path, "alice", &secret, error, sizeof(error)),
              KPOP_TEMP);
    CHECK(strstr(error, strerror(EIO)) != NULL);
    CHECK_INT(secret.size, 0);
    is_out_of_memory = true;
    CHECK_INT(secretdb_lookup(path, "alice", &secret, error, sizeof(error)),
              KPOP_TEMP);
    CHECK(strstr(error, strerror(ENOMEM)) != NULL);
    CHECK_INT(truncate(path, SECRETDB_FILE_MAX + 1), 0);
    check_fault("is larger than 4 MiB");
}

TEST(user_of_two_lines_is_nobody_whichever_is_a_lock)
{
    static const char *const texts[] = {
        "alice:one\nbob:b\nalice:!one\n", "alice:!one\nbob:b\nalice:one\n",
    };
    struct secretdb_secret secret;

    for (size_t i = 0; i < 2; i++) {
        write_text(texts[i]);
        CHECK_INT(secretdb_lookup(path, "alice", &secret, error,
                                  sizeof(error)), KPOP_TEMP);
        CHECK_INT(secret.size, 0);
        CHECK(strstr(error, ":3: the user has another line above") != NULL);
        CHECK_INT(unlocked(path, "alice"), KPOP_TEMP);
        check_secret("bob", "b");
    }
}

TEST(lock_is_seen_and_no_secret)
{
    struct secretdb_secret secret;

    write_text("alice:!wonder land\nbob:*\ncarol:a!b*\n");
    CHECK_INT(secretdb_lookup(path, "alice", &secret, error, sizeof(error)),
              KPOP_AUTH);
    CHECK_INT(secret.size, 0);
    CHECK_INT(secretdb_lookup(path, "bob", &secret, error, sizeof(error)),
              KPOP_AUTH);
    CHECK_INT(secretdb_lookup(path, "carol", &secret, error, sizeof(error)),
              KPOP_OK);
    CHECK_INT(unlocked(path, "alice"), KPOP_DENIED);
    CHECK_INT(unlocked(path, "bob"), KPOP_DENIED);
    CHECK_INT(unlocked(path, "carol"), KPOP_OK);
    CHECK_INT(unlocked(path, "dave"), KPOP_OK);
    CHECK_INT(unlocked("/nonexistent", "dave"), KPOP_TEMP);
}

TEST(lock_is_seen_at_once_or_with_the_next_turn)
{
    struct secretlocks *locks;
    char text[64 * 1024] = "";
    size_t len = 0;
    int i;

    for (i = 0; i < 1000; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len,
                                "user%d:secret\n", i);
    write_text(text);
    locks = secretlocks_new(path);
    CHECK(locks != NULL);
    CHECK_INT(secretlocks_ask(locks, "user7", error, sizeof(error)),
              KPOP_OK);
    len += (size_t)snprintf(text + len, sizeof(text) - len, "locked:!\n");
    write_text(text);
    CHECK_INT(secretlocks_ask(locks, "locked", error, sizeof(error)),
              KPOP_DENIED);
    secretlocks_turn(locks);
    CHECK_INT(secretlocks_ask(locks, "locked", error, sizeof(error)),
              KPOP_DENIED);
    write_text("user7:!secret\n");
    CHECK_INT(secretlocks_ask(locks, "user7", error, sizeof(error)),
              KPOP_OK);
    secretlocks_turn(locks);
    CHECK_INT(secretlocks_ask(locks, "user7", error, sizeof(error)),
              KPOP_DENIED);
    CHECK_INT(secretlocks_ask(locks, "locked", error, sizeof(error)),
              KPOP_OK);
    /* A file that is not to be believed locks everybody out, again and
     * again, until it is mended. */
    CHECK_INT(chmod(path, 0644), 0);
    for (i = 0; i < 2; i++) {
        secretlocks_turn(locks);
        CHECK_INT(secretlocks_ask(locks, "locked", error, sizeof(error)),
                  KPOP_TEMP);
        CHECK(strstr(error, "chmod 0600") != NULL);
    }
    CHECK_INT(chmod(path, 0600), 0);
    CHECK_INT(secretlocks_ask(locks, "locked", error, sizeof(error)),
              KPOP_OK);
    secretlocks_free(locks);
}

TEST(locks_without_memory_let_nobody_in_and_are_read_again)
{
    bool *const missing[] = { &is_out_of_rows, &is_out_of_names };
    size_t i;

    write_text("alice:!\nbob:hush\n");
    for (i = 0; i < 2; i++) {
        struct secretlocks *locks = secretlocks_new(path);

        CHECK(locks != NULL);
        *missing[i] = true;
        CHECK_INT(secretlocks_ask(locks, "bob", error, sizeof(error)),
                  KPOP_TEMP);
        CHECK(!*missing[i]);
        CHECK(strstr(error, "out of memory") != NULL);
        CHECK_INT(secretlocks_ask(locks, "bob", error, sizeof(error)),
                  KPOP_OK);
        CHECK_INT(secretlocks_ask(locks, "alice", error, sizeof(error)),
                  KPOP_DENIED);
        secretlocks_free(locks);
    }
}

TEST_MAIN("kpopd_secretdb",
          T(each_user_has_his_own_secret),
          T(a_change_is_seen_at_once),
          T(files_that_others_may_read_are_refused),
          T(malformed_lines_are_named_without_their_text),
          T(what_is_no_file_is_refused),
          T(trouble_with_the_file_is_temporary),
          T(user_of_two_lines_is_nobody_whichever_is_a_lock),
          T(lock_is_seen_and_no_secret),
          T(lock_is_seen_at_once_or_with_the_next_turn),
          T(locks_without_memory_let_nobody_in_and_are_read_again))
