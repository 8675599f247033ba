/*
 * kpopd_policy.c - login_delay and expire: what is remembered, for how long,
 * and what a damaged memory does.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kpop/stuff.h"
#include "plugin/host/kpopd/log.h"
#include "tests/lib/check.h"

enum { DAY = 24 * 60 * 60 };

static char root[] = "/tmp/kpopd_policy.XXXXXX";
static char state[64];
static char box[64];

static struct settings
settings_of(uint32_t delay, uint32_t days)
{
    char command[512];
    struct settings s = { .state_dir = state, .login_delay = delay,
                          .expire = days };

    snprintf(command, sizeof(command),
             "rm -rf %s %s; mkdir -p %s %s/new %s/cur %s/tmp", state, box,
             state, box, box, box);
    CHECK_INT(system(command), 0);
    CHECK_INT(policy_prepare(&s), 0);
    return s;
}

static int32_t
login_at(const struct settings *s, const char *user, time_t seconds)
{
    const struct timespec now = { .tv_sec = seconds };

    return policy_login(s, user, &now);
}

/* ---- login_delay ---- */

TEST(second_login_within_the_delay_is_refused)
{
    struct settings s = settings_of(60, KPOP_EXPIRE_NEVER);

    CHECK_INT(login_at(&s, "alice", 1000000), KPOP_OK);
    CHECK_INT(login_at(&s, "alice", 1000000), KPOP_DELAY);
    CHECK_INT(login_at(&s, "alice", 1000059), KPOP_DELAY);
    CHECK_INT(login_at(&s, "bob", 1000059), KPOP_OK);
    CHECK_INT(login_at(&s, "alice", 1000060), KPOP_OK);
    CHECK_INT(login_at(&s, "alice", 1000119), KPOP_DELAY);
}

TEST(refused_login_begins_no_new_delay)
{
    struct settings s = settings_of(60, KPOP_EXPIRE_NEVER);

    CHECK_INT(login_at(&s, "alice", 1000000), KPOP_OK);
    CHECK_INT(login_at(&s, "alice", 1000050), KPOP_DELAY);
    CHECK_INT(login_at(&s, "alice", 1000061), KPOP_OK);
}

TEST(clock_that_was_set_back_locks_nobody_out)
{
    struct settings s = settings_of(60, KPOP_EXPIRE_NEVER);

    CHECK_INT(login_at(&s, "alice", 2000000), KPOP_OK);
    CHECK_INT(login_at(&s, "alice", 1000000), KPOP_OK);
    CHECK_INT(login_at(&s, "alice", 1000001), KPOP_DELAY);
}

TEST(no_delay_needs_no_memory)
{
    struct settings s = settings_of(0, KPOP_EXPIRE_NEVER);

    CHECK_INT(login_at(&s, "alice", 1000000), KPOP_OK);
    CHECK_INT(login_at(&s, "alice", 1000000), KPOP_OK);
    CHECK_INT(rmdir(state), 0);
}

TEST(delay_that_cannot_be_remembered_lets_nobody_in)
{
    struct settings s = settings_of(60, KPOP_EXPIRE_NEVER);
    char path[128];

    snprintf(path, sizeof(path), "%s/logins/alice", state);
    CHECK_INT(symlink("/dev/null", path), 0);
    CHECK_INT(login_at(&s, "alice", 1000000), KPOP_TEMP);
    CHECK_INT(unlink(path), 0);
    snprintf(path, sizeof(path), "%s/logins", state);
    CHECK_INT(rmdir(path), 0);
    CHECK_INT(login_at(&s, "alice", 1000000), KPOP_TEMP);
}

TEST(name_that_leads_elsewhere_is_no_file)
{
    static const char *const names[] = { "", ".", "..", "../logins/x", "a/b",
                                         ".alice" };
    struct settings s = settings_of(60, KPOP_EXPIRE_NEVER);

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        CHECK_INT(login_at(&s, names[i], 1000000), KPOP_TEMP);
}

/* ---- expire ---- */

static void
deliver(const char *name)
{
    char path[200];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", box, name);
    file = fopen(path, "w");
    CHECK(file != NULL);
    fputs("A: b\n\nbody\n", file);
    CHECK_INT(fclose(file), 0);
}

static struct maildir *
open_box(uint32_t count)
{
    struct maildir *maildir = NULL;

    CHECK_INT(maildir_open(box, NULL, stuff_wire_octets, &maildir), KPOP_OK);
    CHECK_INT(maildir_count(maildir), count);
    return maildir;
}

/* A session at this time: "R" for each message that it retrieves. */
static void
session_at(const struct settings *s, time_t seconds, const char *does)
{
    const struct timespec now = { .tv_sec = seconds };
    struct maildir *maildir = open_box((uint32_t)strlen(does));
    uint8_t marks[16] = { 0 };

    for (size_t i = 0; does[i] != '\0'; i++)
        marks[i] = does[i] == 'R' ? KPOP_MARK_RETRIEVED : 0;
    policy_note(s, "alice", maildir, marks, &now);
    maildir_close(maildir);
}

/* A login at this time finds `before` messages; `after` are left. */
static void
login_finds(const struct settings *s, time_t seconds, uint32_t before,
            uint32_t after)
{
    const struct timespec now = { .tv_sec = seconds };
    struct maildir *maildir = open_box(before);

    CHECK_INT(policy_expire(s, "alice", maildir, &now), before != after);
    maildir_close(maildir);
    maildir_close(open_box(after));
}

static char *
memory(void)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/expire/alice", state);
    return path;
}

TEST(message_expires_so_many_days_after_it_was_retrieved)
{
    struct settings s = settings_of(0, 30);

    deliver("new/1.one.x");
    deliver("new/2.two.x");
    session_at(&s, 1000000, "R-");
    login_finds(&s, 1000000 + 30 * DAY - 1, 2, 2);
    login_finds(&s, 1000000 + 30 * DAY, 2, 1);
    session_at(&s, 1000000 + 40 * DAY, "R");
    login_finds(&s, 1000000 + 69 * DAY, 1, 1);
    login_finds(&s, 1000000 + 70 * DAY, 1, 0);
}

TEST(second_retrieval_does_not_count)
{
    struct settings s = settings_of(0, 30);

    deliver("new/1.one.x");
    session_at(&s, 1000000, "R");
    session_at(&s, 1000000 + 29 * DAY, "R");
    login_finds(&s, 1000000 + 30 * DAY, 1, 0);
}

TEST(message_that_was_moved_and_flagged_is_the_same)
{
    struct settings s = settings_of(0, 1);
    char from[128];
    char to[128];

    deliver("new/1.one.x");
    session_at(&s, 1000000, "R");
    snprintf(from, sizeof(from), "%s/new/1.one.x", box);
    snprintf(to, sizeof(to), "%s/cur/1.one.x:2,S", box);
    CHECK_INT(rename(from, to), 0);
    login_finds(&s, 1000000 + DAY, 1, 0);
}

TEST(without_expire_nothing_is_remembered_or_removed)
{
    struct settings s = settings_of(0, 1);

    deliver("new/1.one.x");
    session_at(&s, 1000000, "R");
    s.expire = KPOP_EXPIRE_NEVER;
    login_finds(&s, 1000000 + 1000 * DAY, 1, 1);
    CHECK_INT(unlink(memory()), 0);
    session_at(&s, 1000000, "R");
    CHECK_INT(access(memory(), F_OK), -1);
}

TEST(damaged_memory_keeps_mail)
{
    static const char *const lines[] = {
        "",        "1000000",          "1000000 ",  "x 1.one.x\n",
        "1000000 1.one.x" /* cut off */, " \n\n\n", "1000000 1.one\n",
        "-5 1.one.x\n", "99999999999999999999999 1.one.x\n",
        "1000000\t1.one.x\n",
    };
    struct settings s = settings_of(0, 1);

    deliver("new/1.one.x");
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        FILE *file = fopen(memory(), "w");

        CHECK(file != NULL);
        fputs(lines[i], file);
        CHECK_INT(fclose(file), 0);
        login_finds(&s, 1000000 + 1000 * DAY, 1, 1);
    }
}

TEST(memory_forgets_what_is_gone)
{
    struct settings s = settings_of(0, 30);
    char path[128];
    char line[100];
    FILE *file;

    deliver("new/1.one.x");
    deliver("new/2.two.x");
    session_at(&s, 1000000, "RR");
    snprintf(path, sizeof(path), "%s/new/1.one.x", box);
    CHECK_INT(unlink(path), 0);
    session_at(&s, 1000005, "R");
    file = fopen(memory(), "r");
    CHECK(file != NULL);
    CHECK(fgets(line, sizeof(line), file) != NULL);
    CHECK_STR(line, "1000000 2.two.x\n");
    CHECK(fgets(line, sizeof(line), file) == NULL);
    CHECK_INT(fclose(file), 0);
}

TEST(memory_that_cannot_be_written_keeps_the_old_one)
{
    struct settings s = settings_of(0, 30);
    char path[128];

    deliver("new/1.one.x");
    session_at(&s, 1000000, "R");
    deliver("new/2.two.x");
    /* Where the new file would be made. */
    snprintf(path, sizeof(path), "%s/expire/.alice", state);
    CHECK_INT(mkdir(path, 0700), 0);
    session_at(&s, 1000000, "RR");
    login_finds(&s, 1000000 + 30 * DAY, 2, 1);
}

int
main(int argc, char **argv)
{
    static const struct check_test tests[] = {
        T(second_login_within_the_delay_is_refused),
        T(refused_login_begins_no_new_delay),
        T(clock_that_was_set_back_locks_nobody_out),
        T(no_delay_needs_no_memory),
        T(delay_that_cannot_be_remembered_lets_nobody_in),
        T(name_that_leads_elsewhere_is_no_file),
        T(message_expires_so_many_days_after_it_was_retrieved),
        T(second_retrieval_does_not_count),
        T(message_that_was_moved_and_flagged_is_the_same),
        T(without_expire_nothing_is_remembered_or_removed),
        T(damaged_memory_keeps_mail),
        T(memory_forgets_what_is_gone),
        T(memory_that_cannot_be_written_keeps_the_old_one),
    };
    char command[128];
    int rc;

    if (mkdtemp(root) == NULL)
        return 1;
    snprintf(state, sizeof(state), "%s/state", root);
    snprintf(box, sizeof(box), "%s/box", root);
    log_set(LOG_TO_STDERR, KPOP_LOG_ERROR);
    rc = check_main(argc, argv, "kpopd_policy", tests,
                    sizeof(tests) / sizeof(tests[0]));
    snprintf(command, sizeof(command), "rm -rf %s", root);
    return system(command) == 0 ? rc : 1;
}
