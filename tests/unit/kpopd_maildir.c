/*
 * kpopd_maildir.c - the maildir store against what other programs, and the
 * disk, do to a maildir.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/maildir.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kpop/stuff.h"
#include "plugin/host/kpopd/log.h"
#include "tests/lib/check.h"

static char root[] = "/tmp/kpopd_maildir.XXXXXX";
static char box[64];
static char text[8192];

/* ROOT/box/NAME */
static const char *
at(const char *name)
{
    static char path[4][512];
    static int next;

    next = (next + 1) % 4;
    snprintf(path[next], sizeof(path[next]), "%s/%s", box, name);
    return path[next];
}

static void
deliver(const char *name, const char *body)
{
    FILE *file = fopen(at(name), "w");

    CHECK(file != NULL);
    fputs(body, file);
    CHECK_INT(fclose(file), 0);
}

/* An empty maildir; what a former test left is removed. */
static void
fresh(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", box);
    CHECK_INT(system(command), 0);
    CHECK_INT(mkdir(box, 0700), 0);
    CHECK_INT(mkdir(at("new"), 0700), 0);
    CHECK_INT(mkdir(at("cur"), 0700), 0);
    CHECK_INT(mkdir(at("tmp"), 0700), 0);
}

static struct maildir *
open_box(void)
{
    struct maildir *maildir = NULL;

    CHECK_INT(maildir_open(box, NULL, stuff_wire_octets, &maildir), KPOP_OK);
    return maildir;
}

static const char *
uidl(struct maildir *maildir, uint32_t msg)
{
    static char out[4][KPOP_UIDL_MAX + 1];
    static int next;

    next = (next + 1) % 4;
    maildir_uidl(maildir, msg, out[next]);
    return out[next];
}

static uint64_t
octets(struct maildir *maildir, uint32_t msg)
{
    uint64_t size = 77777;

    CHECK_INT(maildir_size(maildir, msg, &size), KPOP_OK);
    return size;
}

static const char *
content(struct maildir *maildir, uint32_t msg)
{
    int32_t got = maildir_read(maildir, msg, 0, text, sizeof(text) - 1);

    CHECK(got >= 0);
    text[got] = '\0';
    return text;
}

TEST(order_is_by_delivery_time_across_new_and_cur)
{
    struct maildir *maildir;

    fresh();
    deliver("cur/1000000003.c.h:2,S", "c");
    deliver("new/1000000002.b.h", "b");
    deliver("new/999999999.a.h", "a");
    deliver("cur/1000000002.a.h:2,", "ba");
    maildir = open_box();
    CHECK_INT(maildir_count(maildir), 4);
    CHECK_STR(content(maildir, 0), "a");
    CHECK_STR(content(maildir, 1), "ba");
    CHECK_STR(content(maildir, 2), "b");
    CHECK_STR(content(maildir, 3), "c");
    maildir_close(maildir);
}

TEST(uidl_and_order_survive_flags_moves_and_restarts)
{
    struct maildir *maildir;
    char first[KPOP_UIDL_MAX + 1];

    fresh();
    deliver("new/1.a.h,S=3", "abc");
    deliver("new/1.b.h", "abc");
    maildir = open_box();
    CHECK_STR(uidl(maildir, 0), "1.a.h");
    maildir_uidl(maildir, 1, first);
    maildir_close(maildir);
    CHECK_INT(rename(at("new/1.a.h,S=3"), at("cur/1.a.h,S=3:2,FS")), 0);
    CHECK_INT(rename(at("new/1.b.h"), at("cur/1.b.h:2,")), 0);
    maildir = open_box();
    CHECK_STR(uidl(maildir, 0), "1.a.h");
    CHECK_STR(uidl(maildir, 1), first);
    maildir_close(maildir);
}

TEST(uidl_of_odd_and_long_names_is_a_hash)
{
    struct maildir *maildir;
    char name[128];
    uint32_t i;

    fresh();
    snprintf(name, sizeof(name), "new/2.%080d", 7);
    deliver(name, "long");
    deliver("new/3.with blank", "blank");
    deliver("new/4.umlaut\xc3\xa4", "umlaut");
    deliver("new/5.ctl\x01", "ctl");
    deliver("new/,S=1", "nothing before the comma");
    maildir = open_box();
    CHECK_INT(maildir_count(maildir), 5);
    for (i = 0; i < 5; i++) {
        CHECK_INT(strlen(uidl(maildir, i)), 33);
        CHECK_INT(strspn(uidl(maildir, i), "h0123456789abcdef"), 33);
        CHECK(i == 0 || strcmp(uidl(maildir, i), uidl(maildir, i - 1)) != 0);
    }
    maildir_close(maildir);
}

TEST(uidl_of_70_octets_is_kept_and_71_is_hashed)
{
    struct maildir *maildir;
    char name[128];

    fresh();
    snprintf(name, sizeof(name), "new/2.%068d", 7);
    deliver(name, "x");
    snprintf(name, sizeof(name), "new/3.%069d", 7);
    deliver(name, "x");
    maildir = open_box();
    CHECK_INT(strlen(uidl(maildir, 0)), 70);
    CHECK_INT(strlen(uidl(maildir, 1)), 33);
    maildir_close(maildir);
}

TEST(copies_of_one_unique_part_stay_distinguishable)
{
    struct maildir *maildir;
    uint32_t i;
    uint32_t j;

    fresh();
    deliver("new/1.a.h", "1");
    deliver("cur/1.a.h:2,S", "2");
    deliver("cur/1.a.h:2,T", "3");
    deliver("cur/1.a.h,S=1:2,S", "4");
    deliver("cur/1.a-b.h:2,", "5");
    maildir = open_box();
    CHECK_INT(maildir_count(maildir), 5);
    for (i = 0; i < 5; i++)
        for (j = 0; j < i; j++)
            CHECK(strcmp(uidl(maildir, i), uidl(maildir, j)) != 0);
    maildir_close(maildir);
}

/* "!" is between nothing and a comma. */
TEST(copies_of_one_unique_part_are_found_around_another_name)
{
    struct maildir *maildir;
    uint32_t i;

    fresh();
    deliver("cur/1.a:2,S", "1");
    deliver("cur/1.a!b:2,S", "2");
    deliver("cur/1.a,S=1:2,S", "3");
    maildir = open_box();
    CHECK_INT(maildir_count(maildir), 3);
    for (i = 1; i < 3; i++)
        CHECK(strcmp(uidl(maildir, i), uidl(maildir, i - 1)) != 0);
    CHECK(strcmp(uidl(maildir, 0), uidl(maildir, 2)) != 0);
    maildir_close(maildir);
}

TEST(sizes_are_what_goes_over_the_wire)
{
    struct maildir *maildir;

    fresh();
    deliver("new/1.lf", "a\nb\n");
    deliver("new/2.crlf", "a\r\nb\r\n");
    deliver("new/3.open", "a\nb");
    deliver("new/4.empty", "");
    deliver("new/5.dot", ".\n..\n");
    deliver("new/6.cr", "a\rb\r");
    maildir = open_box();
    CHECK_INT(octets(maildir, 0), 6);
    CHECK_INT(octets(maildir, 1), 6);
    CHECK_INT(octets(maildir, 2), 6);
    CHECK_INT(octets(maildir, 3), 0);
    CHECK_INT(octets(maildir, 4), 7);
    CHECK_INT(octets(maildir, 5), 5);
    CHECK(maildir_size_is_known(maildir, 5));
    maildir_close(maildir);
}

/* Nothing is opened for it: the last of these lacks its last line end, and is
 * told as Dovecot tells it, which is 2 octets less than RETR sends. */
TEST(size_in_the_name_is_believed_when_it_can_be_true)
{
    struct maildir *maildir;

    fresh();
    deliver("new/1.lf,S=4,W=6", "a\nb\n");
    deliver("cur/2.crlf,S=6,W=6:2,S", "a\r\nb\r\n");
    deliver("new/3.empty,S=0,W=0", "");
    deliver("cur/4.other-order,W=6,X=1,S=4:2,S=9", "a\nb\n");
    deliver("new/5.open,S=3,W=4", "a\nb");
    maildir = open_box();
    CHECK_INT(maildir_total(maildir), 6 + 6 + 0 + 6 + 4);
    CHECK_INT(octets(maildir, 0), 6);
    CHECK_INT(octets(maildir, 1), 6);
    CHECK_INT(octets(maildir, 2), 0);
    CHECK_INT(octets(maildir, 3), 6);
    CHECK_INT(octets(maildir, 4), 4);
    maildir_close(maildir);
}

TEST(size_in_the_name_is_counted_when_it_cannot_be_true)
{
    static const char *const ends[] = {
        "", ",W=9", ",S=4", ",S=4,W=6x", ",S=4,W=3", ",S=4,W=9", ",S=,W=",
        ",S=4,W=99999999999999999999999", ",S=-4,W=6", ":2,S=4,W=6",
    };
    const uint32_t count = sizeof(ends) / sizeof(ends[0]);
    struct maildir *maildir;
    char name[80];
    uint32_t i;

    fresh();
    for (i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "cur/%u.test%s", (unsigned)i + 1,
                 ends[i]);
        deliver(name, "a\nb\n");
    }
    maildir = open_box();
    CHECK_INT(maildir_count(maildir), count);
    for (i = 0; i < count; i++) {
        CHECK(!maildir_size_is_known(maildir, i));
        CHECK_INT(octets(maildir, i), 6);
    }
    maildir_close(maildir);
}

TEST(symlinks_fifos_directories_and_hidden_files_are_skipped)
{
    struct maildir *maildir;

    fresh();
    deliver("new/1.real", "real");
    deliver("tmp/outside", "secret");
    CHECK_INT(symlink(at("tmp/outside"), at("new/2.link")), 0);
    CHECK_INT(symlink("/nowhere", at("cur/3.dangling:2,")), 0);
    CHECK_INT(mkfifo(at("new/4.fifo"), 0600), 0);
    CHECK_INT(mkdir(at("cur/5.directory"), 0700), 0);
    deliver("new/.hidden", "x");
    maildir = open_box();
    CHECK_INT(maildir_count(maildir), 1);
    CHECK_STR(content(maildir, 0), "real");
    maildir_close(maildir);
}

TEST(message_replaced_by_a_symlink_or_fifo_is_not_followed)
{
    struct maildir *maildir;

    fresh();
    deliver("new/1.a", "a");
    deliver("new/2.b", "b");
    deliver("tmp/outside", "secret");
    maildir = open_box();
    CHECK_INT(unlink(at("new/1.a")), 0);
    CHECK_INT(symlink(at("tmp/outside"), at("new/1.a")), 0);
    CHECK_INT(unlink(at("new/2.b")), 0);
    CHECK_INT(mkfifo(at("new/2.b"), 0600), 0);
    CHECK_INT(maildir_read(maildir, 0, 0, text, 100), KPOP_PERM);
    CHECK_INT(maildir_read(maildir, 1, 0, text, 100), KPOP_PERM);
    maildir_close(maildir);
}

TEST(symlinked_maildir_or_folder_is_refused)
{
    struct maildir *maildir = NULL;
    char path[128];

    fresh();
    snprintf(path, sizeof(path), "%s/link", root);
    CHECK_INT(symlink(box, path), 0);
    CHECK_INT(maildir_open(path, NULL, stuff_wire_octets, &maildir),
              KPOP_PERM);
    CHECK(maildir == NULL);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(rmdir(at("cur")), 0);
    CHECK_INT(symlink("/tmp", at("cur")), 0);
    CHECK_INT(maildir_open(box, NULL, stuff_wire_octets, &maildir), KPOP_PERM);
    CHECK(maildir == NULL);
}

TEST(missing_maildir_and_plain_file_are_perm)
{
    struct maildir *maildir = NULL;
    char path[128];

    fresh();
    snprintf(path, sizeof(path), "%s/nobody", root);
    CHECK_INT(maildir_open(path, NULL, stuff_wire_octets, &maildir),
              KPOP_PERM);
    deliver("tmp/mbox", "From x\n");
    CHECK_INT(maildir_open(at("tmp/mbox"), NULL, stuff_wire_octets, &maildir),
              KPOP_PERM);
    CHECK_INT(rmdir(at("new")), 0);
    CHECK_INT(maildir_open(box, NULL, stuff_wire_octets, &maildir), KPOP_PERM);
}

TEST(second_open_is_in_use_until_the_first_closes)
{
    struct maildir *first;
    struct maildir *second = NULL;

    fresh();
    first = open_box();
    CHECK_INT(maildir_open(box, NULL, stuff_wire_octets, &second),
              KPOP_IN_USE);
    CHECK(second == NULL);
    maildir_close(first);
    second = open_box();
    maildir_close(second);
}

TEST(renamed_message_is_followed)
{
    struct maildir *maildir;

    fresh();
    deliver("new/1.a", "aaa");
    deliver("new/2.b", "bbb");
    maildir = open_box();
    CHECK_INT(rename(at("new/1.a"), at("cur/1.a:2,")), 0);
    CHECK_STR(content(maildir, 0), "aaa");
    CHECK_INT(octets(maildir, 0), 5);
    CHECK_INT(rename(at("cur/1.a:2,"), at("cur/1.a:2,RS")), 0);
    CHECK_INT(rename(at("new/2.b"), at("cur/2.b:2,S")), 0);
    CHECK_STR(content(maildir, 1), "bbb");
    CHECK_STR(content(maildir, 0), "aaa");
    CHECK_STR(uidl(maildir, 0), "1.a");
    maildir_close(maildir);
}

TEST(vanished_message_is_gone_and_its_size_is_0)
{
    struct maildir *maildir;

    fresh();
    deliver("new/1.a", "aaa");
    deliver("new/2.b", "bbb");
    maildir = open_box();
    CHECK_INT(unlink(at("new/1.a")), 0);
    CHECK_INT(maildir_read(maildir, 0, 0, text, 100), KPOP_GONE);
    CHECK_INT(maildir_read(maildir, 0, 0, text, 100), KPOP_GONE);
    CHECK_INT(octets(maildir, 0), 0);
    CHECK_STR(content(maildir, 1), "bbb");
    maildir_close(maildir);
}

TEST(new_mail_is_not_seen_before_the_next_session)
{
    struct maildir *maildir;

    fresh();
    deliver("new/1.a", "aaa");
    maildir = open_box();
    deliver("new/0.older", "older");
    CHECK_INT(rename(at("new/1.a"), at("cur/1.a:2,")), 0);
    CHECK_INT(maildir_count(maildir), 1);
    CHECK_STR(content(maildir, 0), "aaa");
    maildir_close(maildir);
    maildir = open_box();
    CHECK_INT(maildir_count(maildir), 2);
    maildir_close(maildir);
}

TEST(read_is_like_pread)
{
    struct maildir *maildir;

    fresh();
    deliver("new/1.a", "0123456789");
    maildir = open_box();
    CHECK_INT(maildir_read(maildir, 0, 4, text, 3), 3);
    CHECK_MEM(text, 3, "456", 3);
    CHECK_INT(maildir_read(maildir, 0, 8, text, 100), 2);
    CHECK_INT(maildir_read(maildir, 0, 10, text, 100), 0);
    CHECK_INT(maildir_read(maildir, 0, 1000, text, 100), 0);
    CHECK_INT(maildir_read(maildir, 0, UINT64_MAX, text, 100), KPOP_INVALID);
    maildir_close(maildir);
}

TEST(commit_removes_what_is_marked_and_nothing_else)
{
    const uint8_t marks[] = { KPOP_MARK_DELETE, KPOP_MARK_RETRIEVED,
                              KPOP_MARK_DELETE | KPOP_MARK_RETRIEVED, 0 };
    struct maildir *maildir;

    fresh();
    deliver("new/1.a", "a");
    deliver("new/2.b", "b");
    deliver("cur/3.c:2,S", "c");
    deliver("cur/4.d:2,S", "d");
    maildir = open_box();
    CHECK_INT(maildir_commit(maildir, marks, 4), KPOP_OK);
    maildir_close(maildir);
    CHECK(access(at("new/1.a"), F_OK) != 0);
    CHECK(access(at("new/2.b"), F_OK) == 0);
    CHECK(access(at("cur/3.c:2,S"), F_OK) != 0);
    CHECK(access(at("cur/4.d:2,S"), F_OK) == 0);
}

TEST(commit_follows_renames_and_takes_vanished_for_deleted)
{
    const uint8_t marks[] = { KPOP_MARK_DELETE, KPOP_MARK_DELETE, 0 };
    struct maildir *maildir;

    fresh();
    deliver("new/1.a", "a");
    deliver("new/2.b", "b");
    deliver("new/3.c", "c");
    maildir = open_box();
    CHECK_INT(rename(at("new/1.a"), at("cur/1.a:2,FS")), 0);
    CHECK_INT(unlink(at("new/2.b")), 0);
    CHECK_INT(rename(at("new/3.c"), at("cur/3.c:2,S")), 0);
    CHECK_INT(maildir_commit(maildir, marks, 3), KPOP_OK);
    maildir_close(maildir);
    CHECK(access(at("cur/1.a:2,FS"), F_OK) != 0);
    CHECK(access(at("cur/3.c:2,S"), F_OK) == 0);
}

TEST(copies_with_one_base_are_never_confused)
{
    const uint8_t marks[] = { 0, KPOP_MARK_DELETE };
    struct maildir *maildir;

    fresh();
    deliver("new/1.a", "in new");
    deliver("cur/1.a:2,S", "in cur");
    maildir = open_box();
    CHECK_STR(content(maildir, 0), "in new");
    CHECK_STR(content(maildir, 1), "in cur");
    /* The marked one goes by itself; the other must stay. */
    CHECK_INT(unlink(at("cur/1.a:2,S")), 0);
    CHECK_INT(maildir_commit(maildir, marks, 2), KPOP_OK);
    maildir_close(maildir);
    CHECK(access(at("new/1.a"), F_OK) == 0);
}

TEST(seen_is_set_for_what_was_retrieved_and_nothing_else)
{
    const uint8_t marks[] = { KPOP_MARK_RETRIEVED, 0, KPOP_MARK_RETRIEVED,
                              KPOP_MARK_RETRIEVED | KPOP_MARK_DELETE,
                              KPOP_MARK_RETRIEVED, KPOP_MARK_RETRIEVED,
                              KPOP_MARK_RETRIEVED };
    struct maildir *maildir;

    fresh();
    deliver("new/1.a", "x\n");
    deliver("new/2.b", "x\n");
    deliver("cur/3.c:2,FT", "x\n");
    deliver("cur/4.d:2,", "x\n");
    deliver("cur/5.e:1,x", "x\n");
    deliver("cur/6.f:2,S", "x\n");
    deliver("cur/7.g:2,R", "x\n");
    maildir = open_box();
    CHECK_INT(maildir_count(maildir), 7);
    /* Somebody else was faster. */
    CHECK_INT(rename(at("cur/7.g:2,R"), at("cur/7.g:2,")), 0);
    maildir_mark_seen(maildir, marks, 7);
    maildir_mark_seen(maildir, marks, 6);
    maildir_close(maildir);
    CHECK_INT(access(at("cur/1.a:2,S"), F_OK), 0);
    CHECK_INT(access(at("new/1.a"), F_OK), -1);
    CHECK_INT(access(at("new/2.b"), F_OK), 0);
    CHECK_INT(access(at("cur/3.c:2,FST"), F_OK), 0);
    CHECK_INT(access(at("cur/4.d:2,"), F_OK), 0);
    CHECK_INT(access(at("cur/5.e:1,x"), F_OK), 0);
    CHECK_INT(access(at("cur/6.f:2,S"), F_OK), 0);
    CHECK_INT(access(at("cur/7.g:2,"), F_OK), 0);
}

/* What has the name already is not replaced. */
TEST(seen_replaces_no_message)
{
    const uint8_t marks[] = { KPOP_MARK_RETRIEVED };
    struct maildir *maildir;

    fresh();
    deliver("new/1.a", "one\n");
    maildir = open_box();
    deliver("cur/1.a:2,S", "another\n");
    maildir_mark_seen(maildir, marks, 1);
    maildir_close(maildir);
    CHECK_INT(access(at("new/1.a"), F_OK), 0);
}

TEST(commit_with_another_count_is_refused)
{
    const uint8_t marks[] = { KPOP_MARK_DELETE, KPOP_MARK_DELETE };
    struct maildir *maildir;

    fresh();
    deliver("new/1.a", "a");
    maildir = open_box();
    CHECK_INT(maildir_commit(maildir, marks, 2), KPOP_INVALID);
    maildir_close(maildir);
    CHECK(access(at("new/1.a"), F_OK) == 0);
}

TEST(unlink_that_fails_is_an_error_and_the_rest_is_removed)
{
    const uint8_t marks[] = { KPOP_MARK_DELETE, KPOP_MARK_DELETE };
    struct maildir *maildir;

    fresh();
    deliver("new/1.a", "a");
    deliver("new/2.b", "b");
    maildir = open_box();
    /* A directory in its place can't be unlinked, even by root. */
    CHECK_INT(unlink(at("new/1.a")), 0);
    CHECK_INT(mkdir(at("new/1.a"), 0700), 0);
    CHECK_INT(maildir_commit(maildir, marks, 2), KPOP_PERM);
    maildir_close(maildir);
    CHECK(access(at("new/2.b"), F_OK) != 0);
}

TEST(thousands_of_messages_keep_their_order)
{
    struct maildir *maildir;
    char name[64];
    char before[KPOP_UIDL_MAX + 1] = "";
    uint32_t i;

    fresh();
    for (i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "%s/%u.m%s",
                 i % 2 == 0 ? "new" : "cur", 1000000 + i * 7919 % 3001,
                 i % 2 == 0 ? "" : ":2,S");
        deliver(name, "x\n");
    }
    maildir = open_box();
    CHECK_INT(maildir_count(maildir), 3000);
    for (i = 0; i < 3000; i++) {
        CHECK(strcmp(uidl(maildir, i), before) > 0);
        maildir_uidl(maildir, i, before);
    }
    maildir_close(maildir);
}

TEST(path_takes_only_whitelisted_names)
{
    static const char *const bad[] = {
        "",     ".",    "..",    "../x",  "a/b",   "a/../b", ".hidden",
        "-x",   "a b",  "a\nb",  "a%ub",  "a\\b",  "a@",     "@b",
        "a@b@c", "a@.", "a@../x", "\xc3\xa4", "a:b", "a@b"
    };
    char path[256];
    size_t i;

    CHECK_INT(maildir_path("/m/%u/Maildir", "alice.b_c+d=e-1", path, 256),
              KPOP_OK);
    CHECK_STR(path, "/m/alice.b_c+d=e-1/Maildir");
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_INT(maildir_path("/m/%u", bad[i], path, 256), KPOP_PERM);
    CHECK_INT(maildir_path("/m/%d/%u", "a@b.org", path, 256), KPOP_OK);
    CHECK_STR(path, "/m/b.org/a");
    CHECK_INT(maildir_path("/m/%d/%u", "a", path, 256), KPOP_PERM);
    CHECK_INT(maildir_path("/m/%u", "alice", path, 8), KPOP_PERM);
    CHECK_INT(maildir_path("/m/%u", "alice", path, 9), KPOP_OK);
}

static const struct check_test tests[] = {
    T(order_is_by_delivery_time_across_new_and_cur),
    T(uidl_and_order_survive_flags_moves_and_restarts),
    T(uidl_of_odd_and_long_names_is_a_hash),
    T(uidl_of_70_octets_is_kept_and_71_is_hashed),
    T(copies_of_one_unique_part_stay_distinguishable),
    T(copies_of_one_unique_part_are_found_around_another_name),
    T(sizes_are_what_goes_over_the_wire),
    T(size_in_the_name_is_believed_when_it_can_be_true),
    T(size_in_the_name_is_counted_when_it_cannot_be_true),
    T(symlinks_fifos_directories_and_hidden_files_are_skipped),
    T(message_replaced_by_a_symlink_or_fifo_is_not_followed),
    T(symlinked_maildir_or_folder_is_refused),
    T(missing_maildir_and_plain_file_are_perm),
    T(second_open_is_in_use_until_the_first_closes),
    T(renamed_message_is_followed),
    T(vanished_message_is_gone_and_its_size_is_0),
    T(new_mail_is_not_seen_before_the_next_session),
    T(read_is_like_pread),
    T(commit_removes_what_is_marked_and_nothing_else),
    T(commit_follows_renames_and_takes_vanished_for_deleted),
    T(copies_with_one_base_are_never_confused),
    T(seen_is_set_for_what_was_retrieved_and_nothing_else),
    T(seen_replaces_no_message),
    T(commit_with_another_count_is_refused),
    T(unlink_that_fails_is_an_error_and_the_rest_is_removed),
    T(thousands_of_messages_keep_their_order),
    T(path_takes_only_whitelisted_names),
};

int
main(int argc, char **argv)
{
    char command[64];
    int status;

    if (mkdtemp(root) == NULL)
        return 1;
    snprintf(box, sizeof(box), "%s/box", root);
    log_set(LOG_TO_STDERR, KPOP_LOG_ERROR);
    status = check_main(argc, argv, "kpopd_maildir", tests,
                        sizeof(tests) / sizeof(tests[0]));
    snprintf(command, sizeof(command), "rm -rf %s", root);
    return system(command) == 0 ? status : 1;
}
