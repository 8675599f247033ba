/* LDFLAGS: -Wl,--wrap=read,--wrap=malloc,--wrap=calloc,--wrap=strdup */
/*
 * kpopd_passdb.c - the password file: who gets in, who doesn't, and which
 * files are refused.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/passdb.h"

#include <crypt.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "plugin/kpop_plugin.h"
#include "tests/lib/check.h"

static char path[] = "/tmp/kpopd_passdb.XXXXXX";
static char error[512];

static int read_error; /* of the next read(); 0: none */
static int left = -1;  /* allocations; -1: as many as are wanted */

static bool
is_out_of_memory(void)
{
    errno = ENOMEM;
    return left >= 0 && left-- == 0;
}

ssize_t __real_read(int fd, void *at, size_t size);
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
char *__real_strdup(const char *text);
ssize_t __wrap_read(int fd, void *at, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
char *__wrap_strdup(const char *text);

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
    return is_out_of_memory() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
    return is_out_of_memory() ? NULL : __real_calloc(count, size);
}

char *
__wrap_strdup(const char *text)
{
    return is_out_of_memory() ? NULL : __real_strdup(text);
}

/* Cheap, so that the tests are quick. */
static const char *
hash_of(const char *password)
{
    static struct crypt_data data;

    return crypt_r(password, "$5$rounds=1000$saltsalt$", &data);
}

static void
write_file(const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");

    CHECK(file != NULL);
    fputs(text, file);
    CHECK_INT(fclose(file), 0);
    CHECK_INT(chmod(path, mode), 0);
}

static void
write_user(const char *user, const char *password)
{
    char text[512];

    snprintf(text, sizeof(text), "# users\n\n%s:%s\nlocked:!%s\nstar:*\n",
             user, hash_of(password), hash_of(password));
    write_file(text, 0600);
}

static int32_t
verify(struct passdb *db, const char *user, const char *password)
{
    return passdb_verify(db, user, password, strlen(password), error,
                         sizeof(error));
}

TEST(right_password_is_ok_and_all_else_is_auth)
{
    struct passdb *db;

    write_user("alice", "two words ");
    db = passdb_open(path, error, sizeof(error));
    CHECK(db != NULL);
    CHECK_INT(verify(db, "alice", "two words "), KPOP_OK);
    CHECK_INT(verify(db, "alice", "two words"), KPOP_AUTH);
    CHECK_INT(verify(db, "alice", ""), KPOP_AUTH);
    CHECK_INT(verify(db, "bob", "two words "), KPOP_AUTH);
    CHECK_INT(verify(db, "", "x"), KPOP_AUTH);
    CHECK_INT(verify(db, "ALICE", "two words "), KPOP_AUTH);
    CHECK_INT(verify(db, "locked", "two words "), KPOP_AUTH);
    CHECK_INT(verify(db, "star", "two words "), KPOP_AUTH);
    CHECK_INT(verify(db, "# users", "x"), KPOP_AUTH);
    passdb_close(db);
}

TEST(lock_is_told_from_absence)
{
    struct passdb *db;

    write_user("alice", "secret");
    db = passdb_open(path, error, sizeof(error));
    CHECK(db != NULL);
    CHECK_INT(passdb_unlocked(db, "alice", error, sizeof(error)), KPOP_OK);
    CHECK_INT(passdb_unlocked(db, "nobody", error, sizeof(error)), KPOP_OK);
    CHECK_INT(passdb_unlocked(db, "locked", error, sizeof(error)),
              KPOP_DENIED);
    CHECK_INT(passdb_unlocked(db, "star", error, sizeof(error)), KPOP_DENIED);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(passdb_unlocked(db, "alice", error, sizeof(error)), KPOP_TEMP);
    passdb_close(db);
}

TEST(password_with_nul_or_of_absurd_length_is_auth)
{
    struct passdb *db;
    char big[2000];

    write_user("alice", "secret");
    db = passdb_open(path, error, sizeof(error));
    CHECK(db != NULL);
    CHECK_INT(passdb_verify(db, "alice", "secret\0x", 8, error,
                            sizeof(error)),
              KPOP_AUTH);
    CHECK_INT(passdb_verify(db, "alice", "secret\0", 7, error, sizeof(error)),
              KPOP_AUTH);
    memset(big, 'a', sizeof(big));
    CHECK_INT(passdb_verify(db, "alice", big, sizeof(big), error,
                            sizeof(error)),
              KPOP_AUTH);
    passdb_close(db);
}

TEST(hash_itself_is_no_password)
{
    struct passdb *db;

    write_user("alice", "secret");
    db = passdb_open(path, error, sizeof(error));
    CHECK(db != NULL);
    CHECK_INT(verify(db, "alice", hash_of("secret")), KPOP_AUTH);
    passdb_close(db);
}

TEST(file_is_read_again_when_it_changed)
{
    struct passdb *db;

    write_user("alice", "old");
    db = passdb_open(path, error, sizeof(error));
    CHECK(db != NULL);
    CHECK_INT(verify(db, "alice", "old"), KPOP_OK);
    write_user("alice", "newer");
    CHECK_INT(verify(db, "alice", "old"), KPOP_AUTH);
    CHECK_INT(verify(db, "alice", "newer"), KPOP_OK);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(verify(db, "alice", "newer"), KPOP_TEMP);
    CHECK(strstr(error, path) != NULL);
    write_user("alice", "newer");
    CHECK_INT(verify(db, "alice", "newer"), KPOP_OK);
    passdb_close(db);
}

TEST(file_is_looked_at_once_a_turn)
{
    struct passdb *db;

    write_user("alice", "old");
    db = passdb_open(path, error, sizeof(error));
    CHECK(db != NULL);
    passdb_turn(db);
    CHECK_INT(verify(db, "alice", "old"), KPOP_OK);
    write_user("alice", "newer");
    CHECK_INT(passdb_unlocked(db, "alice", error, sizeof(error)), KPOP_OK);
    CHECK_INT(verify(db, "alice", "old"), KPOP_OK);
    passdb_turn(db);
    CHECK_INT(verify(db, "alice", "old"), KPOP_AUTH);
    /* A failure is no look. */
    CHECK_INT(unlink(path), 0);
    passdb_turn(db);
    CHECK_INT(verify(db, "alice", "newer"), KPOP_TEMP);
    write_user("alice", "newer");
    CHECK_INT(verify(db, "alice", "newer"), KPOP_OK);
    passdb_close(db);
}

TEST(file_open_to_others_is_refused)
{
    write_file("alice:x\n", 0644);
    CHECK(passdb_open(path, error, sizeof(error)) == NULL);
    CHECK(strstr(error, "0600") != NULL);
    write_file("alice:x\n", 0620);
    CHECK(passdb_open(path, error, sizeof(error)) == NULL);
    write_file("alice:x\n", 0602);
    CHECK(passdb_open(path, error, sizeof(error)) == NULL);
    CHECK(passdb_open("/dev/null", error, sizeof(error)) == NULL);
}

TEST(malformed_line_is_named_by_number)
{
    char want[128];

    write_file("# ok\nalice:$5$x\nbroken\n", 0600);
    CHECK(passdb_open(path, error, sizeof(error)) == NULL);
    snprintf(want, sizeof(want), "%s:3: write user:hash", path);
    CHECK_STR(error, want);
    write_file(":x\n", 0600);
    CHECK(passdb_open(path, error, sizeof(error)) == NULL);
    write_file("x:\n", 0600);
    CHECK(passdb_open(path, error, sizeof(error)) == NULL);
}

static void
is_refused(const char *part)
{
    CHECK(passdb_open(path, error, sizeof(error)) == NULL);
    if (strstr(error, part) == NULL)
        CHECK_STR(error, part);
}

TEST(names_lines_and_files_have_a_size)
{
    char line[PASSDB_LINE_MAX + 16];
    FILE *file;

    memset(line, 'a', sizeof(line));
    line[sizeof(line) - 1] = '\0';
    line[5] = ':';
    write_file(line, 0600);
    is_refused(":1: the line is too long");
    line[PASSDB_LINE_MAX] = '\0';
    line[5] = 'a';
    line[KPOP_USER_MAX + 1] = ':';
    write_file(line, 0600);
    is_refused(":1: the user's name is too long");
    file = fopen(path, "w");
    CHECK(file != NULL);
    CHECK_INT(fwrite("al\0ice:!\n", 1, 10, file), 10);
    CHECK_INT(fclose(file), 0);
    is_refused(":1: the line holds a NUL");
    CHECK_INT(truncate(path, PASSDB_FILE_MAX + 1), 0);
    is_refused("is larger than 32 MiB");
}

TEST(last_line_needs_no_end)
{
    struct passdb *db;
    char text[200];

    (void)snprintf(text, sizeof(text), "alice:%s", hash_of("x"));
    write_file(text, 0600);
    db = passdb_open(path, error, sizeof(error));
    CHECK(db != NULL);
    CHECK_INT(verify(db, "alice", "x"), KPOP_OK);
    passdb_close(db);
}

/* Of DES and of BSDi: what has neither $ before it. */
TEST(hashes_of_old_kinds_work_and_what_looks_like_them_does_not)
{
    static const char *const salts[] = { "ab", "_J9..rasm" };
    static struct crypt_data data;
    struct passdb *db;
    char text[200];
    size_t i;

    for (i = 0; i < sizeof(salts) / sizeof(salts[0]); i++) {
        const char *made = crypt_r("x", salts[i], &data);

        if (made == NULL || made[0] == '*')
            SKIP("this libcrypt has left the old kinds behind");
        (void)snprintf(text, sizeof(text), "alice:%s\n", made);
        write_file(text, 0600);
        db = passdb_open(path, error, sizeof(error));
        CHECK(db != NULL);
        CHECK_INT(verify(db, "alice", "x"), KPOP_OK);
        CHECK_INT(verify(db, "alice", "y"), KPOP_AUTH);
        passdb_close(db);
    }
    write_file("alice:abcdefghijkl\n", 0600); /* one letter is missing */
    is_refused("is no hash");
    write_file("alice:;;cdefghijklm\n", 0600);
    is_refused("is no hash");
}

TEST(file_that_cannot_be_read_lets_nobody_in)
{
    struct passdb *db;

    write_user("alice", "secret");
    read_error = EINTR;
    db = passdb_open(path, error, sizeof(error));
    CHECK(db != NULL);
    write_user("alice", "another");
    read_error = EIO;
    CHECK_INT(verify(db, "alice", "another"), KPOP_TEMP);
    CHECK(strstr(error, strerror(EIO)) != NULL);
    CHECK_INT(verify(db, "alice", "another"), KPOP_OK);
    passdb_close(db);
}

TEST(without_memory_nobody_gets_in)
{
    struct passdb *db = NULL;
    int count;

    write_user("alice", "secret");
    for (count = 0; db == NULL; count++) {
        CHECK(count < 20);
        error[0] = '\0';
        left = count;
        db = passdb_open(path, error, sizeof(error));
        left = -1;
        CHECK(db != NULL || strstr(error, "memory") != NULL);
    }
    CHECK(count > 5);
    passdb_close(db);
    passdb_close(NULL);
}

/* "alice:HASH" of password "x", and what stands behind it. */
static void
write_line(const char *tail)
{
    struct crypt_data data;
    char text[1024];

    memset(&data, 0, sizeof(data));
    snprintf(text, sizeof(text), "alice:%s%s\n",
             crypt_r("x", "$5$saltsalt$", &data), tail);
    write_file(text, 0600);
}

TEST(user_of_two_lines_is_a_mistake_whichever_is_a_lock)
{
    static const char *const texts[] = {
        "alice:!\nbob:*\nalice:$5$saltsalt$x\n",
        "alice:$5$saltsalt$x\nbob:*\nalice:!\n",
    };
    struct passdb *db;
    char want[128];

    snprintf(want, sizeof(want), "%s: user alice has more than one line",
             path);
    for (size_t i = 0; i < 2; i++) {
        write_file(texts[i], 0600);
        CHECK(passdb_open(path, error, sizeof(error)) == NULL);
        CHECK_STR(error, want);
    }
    /* Also while it runs: nobody can say who is locked. */
    write_line("");
    db = passdb_open(path, error, sizeof(error));
    CHECK(db != NULL);
    write_file(texts[0], 0600);
    CHECK_INT(verify(db, "alice", "x"), KPOP_TEMP);
    passdb_close(db);
}

TEST(what_is_no_hash_is_named_by_number_and_not_shown)
{
    static const char *const wrong[] = { "plaintext", "x", "$9$salt$hash",
                                         "{SHA}abc=" };
    char text[128], want[128];

    snprintf(want, sizeof(want), "%s:2: what stands behind the user is no "
             "hash", path);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(text, sizeof(text), "bob:!\nalice:%s\n", wrong[i]);
        write_file(text, 0600);
        CHECK(passdb_open(path, error, sizeof(error)) == NULL);
        CHECK(strncmp(error, want, strlen(want)) == 0);
        CHECK(strstr(error, wrong[i]) == NULL || strlen(wrong[i]) == 1);
    }
}

TEST(expired_account_is_a_locked_one)
{
    static const struct {
        const char *tail;
        int expired;
    } rows[] = {
        { ":19000:0:99999:7:::", 0 },   { ":19000:0:99999:7::0:", 0 },
        { ":19000:0:99999:7::-1:", 0 }, { ":19000:0:99999:7::99999:", 0 },
        { ":19000:0:99999:7::10000:", 1 }, { ":::::::1", 0 },
        { "::::::1", 1 },               { "", 0 },
    };
    struct passdb *db;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        write_line(rows[i].tail);
        db = passdb_open(path, error, sizeof(error));
        CHECK(db != NULL);
        CHECK_INT(verify(db, "alice", "x"),
                  rows[i].expired ? KPOP_AUTH : KPOP_OK);
        CHECK_INT(passdb_unlocked(db, "alice", error, sizeof(error)),
                  rows[i].expired ? KPOP_DENIED : KPOP_OK);
        passdb_close(db);
    }
    write_line(":19000:0:99999:7::soon:");
    CHECK(passdb_open(path, error, sizeof(error)) == NULL);
    CHECK(strstr(error, ":1: the date of expiry") != NULL);
}

TEST(empty_file_lets_nobody_in)
{
    struct passdb *db;

    write_file("", 0600);
    db = passdb_open(path, error, sizeof(error));
    CHECK(db != NULL);
    CHECK_INT(verify(db, "alice", "x"), KPOP_AUTH);
    passdb_close(db);
}

static double
seconds_of(struct passdb *db, const char *user)
{
    struct timespec a;
    struct timespec b;
    int i;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    for (i = 0; i < 5; i++)
        CHECK_INT(verify(db, user, "wrong"), KPOP_AUTH);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    return (double)(b.tv_sec - a.tv_sec)
           + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
}

TEST(unknown_and_locked_users_cost_as_much_as_known_ones)
{
    struct passdb *db;
    struct crypt_data data;
    char text[512];
    double known;

    memset(&data, 0, sizeof(data));
    snprintf(text, sizeof(text), "alice:%s\nlocked:!\n",
             crypt_r("x", "$5$rounds=20000$saltsalt$", &data));
    write_file(text, 0600);
    db = passdb_open(path, error, sizeof(error));
    CHECK(db != NULL);
    known = seconds_of(db, "alice");
    CHECK(seconds_of(db, "nobody") > known / 3);
    CHECK(seconds_of(db, "nobody") < known * 3);
    CHECK(seconds_of(db, "locked") > known / 3);
    passdb_close(db);
    (void)unlink(path);
}

static const struct check_test tests[] = {
    T(right_password_is_ok_and_all_else_is_auth),
    T(lock_is_told_from_absence),
    T(password_with_nul_or_of_absurd_length_is_auth),
    T(hash_itself_is_no_password),
    T(file_is_read_again_when_it_changed),
    T(file_is_looked_at_once_a_turn),
    T(file_open_to_others_is_refused),
    T(malformed_line_is_named_by_number),
    T(names_lines_and_files_have_a_size),
    T(last_line_needs_no_end),
    T(hashes_of_old_kinds_work_and_what_looks_like_them_does_not),
    T(file_that_cannot_be_read_lets_nobody_in),
    T(without_memory_nobody_gets_in),
    T(user_of_two_lines_is_a_mistake_whichever_is_a_lock),
    T(what_is_no_hash_is_named_by_number_and_not_shown),
    T(expired_account_is_a_locked_one),
    T(empty_file_lets_nobody_in),
    T(unknown_and_locked_users_cost_as_much_as_known_ones),
};

int
main(int argc, char **argv)
{
    int fd = mkstemp(path);
    int status;

    if (fd < 0)
        return 1;
    close(fd);
    status = check_main(argc, argv, "kpopd_passdb", tests,
                        sizeof(tests) / sizeof(tests[0]));
    (void)unlink(path);
    return status;
}
