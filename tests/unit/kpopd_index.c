/*
 * kpopd_index.c - the index of a maildir: what it saves, and that nothing
 * which happens to it or to the maildir makes it lie.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/maildir_index.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kpop/stuff.h"
#include "plugin/host/kpopd/box.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/maildir.h"
#include "tests/lib/check.h"
#include "tests/unit/kpopd_boxes.h"

/* What the code under test does to its file, step by step: each is noted by a
 * letter, and dies_at is the last one, of which half is done. */
static char steps[16];
static size_t dies_at;

static bool
step(char letter)
{
    size_t len = strlen(steps);

    if (len + 1 < sizeof(steps))
        steps[len] = letter;
    return len + 1 == dies_at;
}

ssize_t
write(int fd, const void *data, size_t size)
{
    bool last = step('w');
    ssize_t done = syscall(SYS_write, fd, data, last ? size / 2 : size);

    if (last)
        _exit(0);
    return done;
}

int
fsync(int fd)
{
    if (step('s'))
        _exit(0);
    return (int)syscall(SYS_fsync, fd);
}

int
rename(const char *from, const char *to)
{
    if (step('r'))
        _exit(0);
    return (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

/* Everything a client can learn, as one line. */
static const char *
answers(void)
{
    static char out[1024];
    struct maildir *maildir = open_box();
    char uidl[KPOP_UIDL_MAX + 1];
    uint64_t octets;
    size_t len = 0;
    uint32_t i;

    for (i = 0; i < maildir_count(maildir); i++) {
        CHECK_INT(maildir_size(maildir, i, &octets), KPOP_OK);
        maildir_uidl(maildir, i, uidl);
        len += (size_t)snprintf(out + len, sizeof(out) - len, "%s=%llu ",
                                uidl, (unsigned long long)octets);
    }
    out[len] = '\0';
    maildir_close(maildir);
    return out;
}

static uint64_t
total(void)
{
    struct maildir *maildir = open_box();
    uint64_t octets = maildir_total(maildir);

    maildir_close(maildir);
    return octets;
}

TEST(total_is_known_at_once_when_the_index_is_there)
{
    fresh();
    CHECK(total() == KPOP_UNKNOWN);
    indexed();
    CHECK_INT(total(), 25);
    CHECK_STR(answers(), "1.a=5 2.b=8 3.c=12 ");
}

TEST(recent_change_is_never_trusted)
{
    fresh();
    learn();
    CHECK_INT(head().sure, 0);
    /* A clock that was set back knows nothing either. */
    ahead = -100;
    learn();
    CHECK_INT(head().sure, 0);
    ahead = LATER;
    CHECK_INT(total(), 25); /* the sizes are worth having, though */
    CHECK_INT(head().sure, 1);
}

TEST(delivery_removal_and_flags_by_others_are_seen)
{
    indexed();
    deliver("new/4.d", "x\n");
    CHECK_STR(answers(), "1.a=5 2.b=8 3.c=12 4.d=3 ");
    CHECK_INT(unlink(at("cur/2.b:2,S")), 0);
    CHECK_STR(answers(), "1.a=5 3.c=12 4.d=3 ");
    CHECK_INT(rename(at("new/1.a"), at("cur/1.a:2,RS")), 0);
    CHECK_STR(answers(), "1.a=5 3.c=12 4.d=3 ");
    ahead = LATER;
    CHECK_STR(answers(), "1.a=5 3.c=12 4.d=3 ");
    CHECK_INT(head().sure, 1);
    CHECK_INT(total(), 20);
}

TEST(another_file_of_the_same_name_has_its_own_size)
{
    indexed();
    CHECK_INT(unlink(at("new/1.a")), 0);
    deliver("new/1.a", "longer than before\n");
    CHECK_STR(answers(), "1.a=20 2.b=8 3.c=12 ");
}

TEST(sizes_in_names_are_known_without_any_message)
{
    fresh();
    deliver("new/4.d,S=6,W=7", "\n\n\n\n\n\n"); /* would be 12 */
    CHECK_INT(unlink(at("new/1.a")), 0);
    CHECK_INT(unlink(at("cur/2.b:2,S")), 0);
    CHECK_INT(unlink(at("cur/3.c:2,")), 0);
    CHECK_INT(total(), 7);
    ahead = LATER;
    CHECK_INT(total(), 7);
    CHECK_INT(head().sure, 1);
    CHECK_STR(answers(), "4.d=7 ");
}

/* The times come from another machine's clock and may be cached here. */
TEST(file_system_that_is_not_local_is_never_sure)
{
    fresh();
    ahead = LATER;
    on_nfs = true;
    learn();
    on_nfs = false;
    CHECK_INT(head().sure, 0);
    CHECK_INT(total(), 25);
    CHECK_INT(head().sure, 1);
}

/* Each has its index; both see what the other and a delivery have done. */
TEST(two_hosts_with_one_maildir_miss_and_repeat_nothing)
{
    const uint8_t marks[3] = { 0, KPOP_MARK_DELETE, 0 };
    char first[sizeof(state)];
    struct maildir *maildir;

    indexed();
    memcpy(first, state, sizeof(first));
    snprintf(state, sizeof(state), "%s/second", root);
    CHECK_INT(mkdir(state, 0700), 0);
    CHECK_STR(answers(), "1.a=5 2.b=8 3.c=12 ");
    CHECK_INT(total(), 25);
    maildir = open_box();
    CHECK_INT(maildir_commit(maildir, marks, 3), KPOP_OK);
    maildir_close(maildir);
    deliver("new/4.d", "x\n");
    memcpy(state, first, sizeof(first));
    CHECK_STR(answers(), "1.a=5 3.c=12 4.d=3 ");
    CHECK_INT(unlink(at("cur/3.c:2,")), 0);
    snprintf(state, sizeof(state), "%s/second", root);
    CHECK_STR(answers(), "1.a=5 4.d=3 ");
    memcpy(state, first, sizeof(first));
}

/* The index as it was, or a new one; on the disk before it has its name. */
TEST(death_at_any_step_of_a_write_leaves_the_truth)
{
    struct maildir_head found;
    int status = 0;
    size_t count;
    size_t i;
    pid_t pid;

    indexed();
    memset(steps, 0, sizeof(steps));
    deliver("new/4.d", "x\n");
    learn();
    CHECK_STR(steps, "wwwsr");
    count = strlen(steps);
    for (i = 1; i <= count; i++) {
        indexed();
        deliver("new/4.d", "x\n");
        memset(steps, 0, sizeof(steps));
        dies_at = i;
        pid = fork();
        if (pid == 0) {
            learn();
            _exit(1);
        }
        dies_at = 0;
        CHECK_INT(waitpid(pid, &status, 0), pid);
        CHECK_INT(WEXITSTATUS(status), 0); /* it did not come to its end */
        CHECK(maildir_index_head(index_file, &found));
        CHECK_INT(found.octets, 25);
        CHECK_STR(answers(), "1.a=5 2.b=8 3.c=12 4.d=3 ");
        CHECK_INT(total(), 28);
        CHECK_INT(head().sure, 1);
    }
}

TEST(times_that_are_set_back_do_not_hide_a_delivery)
{
    struct timespec times[2];
    struct stat st;

    indexed();
    CHECK_INT(stat(at("new"), &st), 0);
    times[0] = st.st_atim;
    times[1] = st.st_mtim;
    deliver("new/4.d", "x\n");
    CHECK_INT(utimensat(AT_FDCWD, at("new"), times, 0), 0);
    CHECK_STR(answers(), "1.a=5 2.b=8 3.c=12 4.d=3 ");
}

TEST(another_maildir_in_its_place_is_read)
{
    char old[80];

    indexed();
    snprintf(old, sizeof(old), "%s/old", root);
    CHECK_INT(rename(box, old), 0);
    CHECK_INT(mkdir(box, 0700), 0);
    CHECK_INT(rename(old, at("tmp")), 0);
    CHECK_INT(rename(at("tmp/new"), at("new")), 0);
    CHECK_INT(rename(at("tmp/cur"), at("cur")), 0);
    deliver("cur/4.d:2,", "x\n");
    CHECK_STR(answers(), "1.a=5 2.b=8 3.c=12 4.d=3 ");
}

TEST(index_of_another_folder_is_not_believed)
{
    const struct maildir_list none = { 0 };
    struct maildir_stamp stamp;

    indexed();
    stamp = head().stamp;
    stamp.folders[0].ino++;
    maildir_index_save(index_file, &stamp, true, &none);
    CHECK_STR(answers(), "1.a=5 2.b=8 3.c=12 ");
    stamp = head().stamp;
    stamp.ino++;
    maildir_index_save(index_file, &stamp, true, &none);
    CHECK_STR(answers(), "1.a=5 2.b=8 3.c=12 ");
}

TEST(any_octet_that_is_damaged_is_noticed_and_mended)
{
    unsigned char octet;
    struct stat st;
    off_t i;
    int fd;

    indexed();
    CHECK_INT(stat(index_file, &st), 0);
    for (i = 0; i < st.st_size; i++) {
        fd = open(index_file, O_RDWR);
        CHECK_INT(pread(fd, &octet, 1, i), 1);
        octet ^= (unsigned char)(1 << i % 8);
        CHECK_INT(pwrite(fd, &octet, 1, i), 1);
        close(fd);
        CHECK_STR(answers(), "1.a=5 2.b=8 3.c=12 ");
        learn();
        CHECK_INT(head().sure, 1);
        CHECK_INT(total(), 25);
    }
}

TEST(file_cut_off_anywhere_is_noticed_and_mended)
{
    struct stat st;
    off_t i;

    indexed();
    CHECK_INT(stat(index_file, &st), 0);
    for (i = 0; i < st.st_size; i++) {
        CHECK_INT(truncate(index_file, i), 0);
        CHECK_STR(answers(), "1.a=5 2.b=8 3.c=12 ");
        CHECK_INT(total(), 25);
    }
}

/* Sums that fit are no reason to leave memory. */
TEST(lengths_that_lie_are_refused_although_the_sums_fit)
{
    static char text[160];
    const struct maildir_msg good = { .base_len = 80, .unique_len = 80,
                                      .hashed = true };
    struct maildir_msg msgs[6] = { good, good, good, good, good, good };
    struct maildir_list list = { .count = 1, .text = text };
    struct maildir_list found;
    struct maildir_stamp stamp;
    struct maildir_head now;
    struct maildir *maildir;
    uint64_t octets;
    size_t i;

    indexed();
    stamp = head().stamp;
    memset(text, 'x', sizeof(text) - 1);
    list.text_len = sizeof(text);
    msgs[1].name = sizeof(text);
    msgs[2].base_len = sizeof(text);
    msgs[3].unique_len = 81;
    msgs[4].folder = FOLDER_COUNT;
    msgs[5].hashed = false; /* 80 octets are no uidl */
    for (i = 0; i < sizeof(msgs) / sizeof(msgs[0]); i++) {
        list.msgs = &msgs[i];
        maildir_index_save(index_file, &stamp, true, &list);
        now = head();
        CHECK_INT(maildir_index_list(index_file, &now, &found), i == 0);
        maildir_list_free(&found);
    }
    /* Its head has told the client of one message; it ends there. */
    maildir = open_box();
    CHECK_INT(maildir_size(maildir, 0, &octets), KPOP_TEMP);
    maildir_close(maildir);
    CHECK_STR(answers(), "1.a=5 2.b=8 3.c=12 ");
}

TEST(list_that_is_lost_behind_the_client_is_read_again)
{
    struct maildir *maildir;
    uint64_t octets = 0;

    indexed();
    maildir = open_box();
    CHECK_INT(maildir_total(maildir), 25);
    CHECK_INT(truncate(index_file, 100), 0);
    CHECK_INT(maildir_size(maildir, 2, &octets), KPOP_OK);
    CHECK_INT(octets, 12);
    maildir_close(maildir);
}

/* 1 could be another message than the one STAT counted. */
TEST(list_that_is_lost_while_mail_comes_ends_the_session)
{
    const uint8_t marks[3] = { KPOP_MARK_DELETE, 0, 0 };
    struct maildir *maildir;
    uint64_t octets = 0;

    indexed();
    maildir = open_box();
    CHECK_INT(unlink(index_file), 0);
    CHECK_INT(unlink(at("new/1.a")), 0);
    deliver("new/0.z", "x\n");
    CHECK_INT(maildir_size(maildir, 0, &octets), KPOP_TEMP);
    CHECK_INT(maildir_commit(maildir, marks, 3), KPOP_TEMP);
    maildir_close(maildir);
    CHECK_STR(answers(), "0.z=3 2.b=8 3.c=12 ");
}

TEST(list_that_was_replaced_behind_the_client_is_not_taken)
{
    struct maildir *maildir;
    struct maildir_list list;
    struct maildir_head other;
    uint64_t octets = 0;

    indexed();
    maildir = open_box();
    other = head();
    CHECK(maildir_index_list(index_file, &other, &list));
    list.msgs[2].octets = 13;
    maildir_index_save(index_file, &other.stamp, true, &list);
    maildir_list_free(&list);
    CHECK_INT(maildir_size(maildir, 2, &octets), KPOP_OK);
    CHECK_INT(octets, 12);
    maildir_close(maildir);
}

TEST(commit_is_seen_by_the_next_session)
{
    const uint8_t marks[3] = { 0, KPOP_MARK_DELETE, 0 };
    struct maildir *maildir;

    indexed();
    maildir = open_box();
    CHECK_INT(maildir_commit(maildir, marks, 3), KPOP_OK);
    maildir_close(maildir);
    CHECK_STR(answers(), "1.a=5 3.c=12 ");
}

TEST(message_that_vanished_is_not_kept_with_size_0)
{
    struct maildir *maildir;
    uint64_t octets = 0;

    fresh();
    ahead = LATER;
    maildir = open_box();
    CHECK_INT(rename(at("new/1.a"), at("tmp/1.a")), 0);
    CHECK_INT(maildir_size(maildir, 0, &octets), KPOP_OK);
    CHECK_INT(octets, 0);
    CHECK_INT(maildir_size(maildir, 1, &octets), KPOP_OK);
    CHECK_INT(maildir_size(maildir, 2, &octets), KPOP_OK);
    maildir_close(maildir);
    CHECK_INT(rename(at("tmp/1.a"), at("new/1.a")), 0);
    CHECK_STR(answers(), "1.a=5 2.b=8 3.c=12 ");
}

/* What was retrieved is noted, and expires, in sessions that STAT could have
 * answered from the index alone. */
TEST(policies_find_their_messages_behind_an_index)
{
    const struct settings settings = { .state_dir = root, .index_dir = state,
                                       .expire = 1 };
    const uint8_t marks[3] = { 0, KPOP_MARK_RETRIEVED, 0 };
    struct box *session;
    char path[80];

    indexed();
    snprintf(path, sizeof(path), "%s/expire", root);
    CHECK_INT(mkdir(path, 0700), 0);
    session = box_new(&settings, box, "alice", "alice");
    CHECK_INT(box_open(session, stuff_wire_octets), KPOP_OK);
    CHECK_INT(box_total(session), 25);
    CHECK_INT(box_commit(session, marks, 3), KPOP_OK);
    box_free(session);
    ahead = 2 * 24 * 60 * 60;
    session = box_new(&settings, box, "alice", "alice");
    CHECK_INT(box_open(session, stuff_wire_octets), KPOP_OK);
    CHECK_INT(box_count(session), 2);
    box_free(session);
    CHECK_STR(answers(), "1.a=5 3.c=12 ");
}

TEST(nothing_is_written_into_the_maildir)
{
    struct stat before;
    struct stat after;

    fresh();
    ahead = LATER;
    CHECK_INT(stat(box, &before), 0);
    learn();
    learn();
    CHECK_INT(stat(box, &after), 0);
    CHECK_INT(after.st_ctim.tv_sec, before.st_ctim.tv_sec);
    CHECK_INT(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
    CHECK_INT(head().sure, 1); /* nor into new and cur */
}

TEST(index_that_cannot_be_written_costs_nothing_but_time)
{
    fresh();
    ahead = LATER;
    CHECK_INT(rmdir(state), 0);
    CHECK_STR(answers(), "1.a=5 2.b=8 3.c=12 ");
    CHECK_INT(mkdir(state, 0700), 0);
    CHECK_INT(mkdir(index_file, 0700), 0);
    CHECK_STR(answers(), "1.a=5 2.b=8 3.c=12 ");
}

TEST(link_in_place_of_the_index_is_not_followed)
{
    struct stat st;

    indexed();
    CHECK_INT(rename(index_file, at("tmp/stolen")), 0);
    CHECK_INT(symlink(at("tmp/stolen"), index_file), 0);
    CHECK(total() == KPOP_UNKNOWN);
    learn();
    CHECK_INT(lstat(index_file, &st), 0);
    CHECK(S_ISREG(st.st_mode));
}

static const struct check_test tests[] = {
    T(total_is_known_at_once_when_the_index_is_there),
    T(recent_change_is_never_trusted),
    T(delivery_removal_and_flags_by_others_are_seen),
    T(another_file_of_the_same_name_has_its_own_size),
    T(sizes_in_names_are_known_without_any_message),
    T(file_system_that_is_not_local_is_never_sure),
    T(two_hosts_with_one_maildir_miss_and_repeat_nothing),
    T(death_at_any_step_of_a_write_leaves_the_truth),
    T(times_that_are_set_back_do_not_hide_a_delivery),
    T(another_maildir_in_its_place_is_read),
    T(index_of_another_folder_is_not_believed),
    T(any_octet_that_is_damaged_is_noticed_and_mended),
    T(file_cut_off_anywhere_is_noticed_and_mended),
    T(lengths_that_lie_are_refused_although_the_sums_fit),
    T(list_that_is_lost_behind_the_client_is_read_again),
    T(list_that_is_lost_while_mail_comes_ends_the_session),
    T(list_that_was_replaced_behind_the_client_is_not_taken),
    T(commit_is_seen_by_the_next_session),
    T(message_that_vanished_is_not_kept_with_size_0),
    T(policies_find_their_messages_behind_an_index),
    T(nothing_is_written_into_the_maildir),
    T(index_that_cannot_be_written_costs_nothing_but_time),
    T(link_in_place_of_the_index_is_not_followed),
};

int
main(int argc, char **argv)
{
    return boxes_main(argc, argv, "kpopd_index", tests,
                      sizeof(tests) / sizeof(tests[0]));
}
