/*
 * kpopd_now.c - a maildir that is opened without waiting: what comes in that
 * way, and what is left to a thread, with nothing of it left behind.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "tests/unit/kpopd_boxes.h"

/* It is not in the kernel's memory. */
static bool forgotten;
static unsigned reads;

ssize_t
preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    reads++;
    if (forgotten && (flags & RWF_NOWAIT) != 0) {
        errno = EAGAIN;
        return -1;
    }
    /* A tmpfs does not know the flag, and /tmp may be one. */
    return syscall(SYS_preadv2, fd, iov, (unsigned long)count, offset, 0L,
                   flags & ~RWF_NOWAIT);
}

/* valgrind 3.19 has neither openat2() nor preadv2(). */
static void
need_now(void)
{
    if (syscall(SYS_openat2, -1, "", NULL, (size_t)0) != 0 && errno == ENOSYS)
        SKIP("this kernel, or valgrind, opens nothing without waiting");
}

static unsigned
descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    CHECK(dir != NULL);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static int32_t
open_now(struct maildir **maildir_out)
{
    return maildir_open_now(box, state, stuff_wire_octets, maildir_out);
}

/* It is left to a thread, which finds neither lock nor descriptor of ours. */
static void
waits(void)
{
    unsigned before = descriptors();
    struct maildir *maildir;

    CHECK_INT(open_now(&maildir), KPOP_PENDING);
    CHECK(maildir == NULL);
    CHECK_INT(descriptors(), before);
    maildir_close(open_box());
}

TEST(what_the_index_vouches_for_opens_at_once)
{
    unsigned before = descriptors();
    struct maildir *maildir;
    char uidl[KPOP_UIDL_MAX + 1];
    uint64_t octets;

    need_now();
    indexed();
    CHECK_INT(open_now(&maildir), KPOP_OK);
    CHECK_INT(maildir_count(maildir), 3);
    CHECK_INT(maildir_total(maildir), 25);
    CHECK_INT(maildir_size(maildir, 1, &octets), KPOP_OK);
    CHECK_INT(octets, 8);
    maildir_uidl(maildir, 1, uidl);
    CHECK_STR(uidl, "2.b");
    maildir_close(maildir);
    CHECK_INT(descriptors(), before);
}

TEST(maildir_without_an_index_waits)
{
    fresh();
    waits();
}

TEST(recent_change_waits)
{
    fresh();
    learn();
    CHECK_INT(head().sure, 0);
    waits();
}

TEST(each_change_of_a_folder_waits)
{
    indexed();
    deliver("new/4.d", "x\n");
    waits();
    indexed();
    CHECK_INT(rename(at("new/1.a"), at("cur/1.a:2,S")), 0);
    waits();
    indexed();
    CHECK_INT(unlink(at("cur/3.c:2,")), 0);
    waits();
    indexed();
    CHECK_INT(rename(at("cur"), at("old")), 0);
    CHECK_INT(mkdir(at("cur"), 0700), 0);
    waits();
}

TEST(other_file_systems_than_local_ones_wait)
{
    fresh();
    ahead = LATER;
    on_nfs = true;
    learn();
    on_nfs = false;
    CHECK_INT(head().sure, 0);
    waits();
}

TEST(what_is_not_in_memory_waits)
{
    indexed();
    forgotten = true;
    waits();
    forgotten = false;
}

TEST(damaged_index_waits)
{
    indexed();
    CHECK_INT(truncate(index_file, 20), 0);
    waits();
}

TEST(maildir_in_use_is_told_at_once)
{
    struct maildir *other;
    struct maildir *maildir;

    need_now();
    indexed();
    other = open_box();
    CHECK_INT(open_now(&maildir), KPOP_IN_USE);
    CHECK(maildir == NULL);
    maildir_close(other);
    CHECK_INT(open_now(&maildir), KPOP_OK);
    maildir_close(maildir);
}

TEST(lock_excludes_those_who_wait)
{
    struct maildir *maildir;
    struct maildir *other;

    need_now();
    indexed();
    CHECK_INT(open_now(&maildir), KPOP_OK);
    CHECK_INT(maildir_open(box, state, stuff_wire_octets, &other),
              KPOP_IN_USE);
    maildir_close(maildir);
    maildir_close(open_box());
}

TEST(link_in_place_of_the_maildir_is_not_followed)
{
    char moved[128];
    struct maildir *maildir;

    indexed();
    snprintf(moved, sizeof(moved), "%s.moved", box);
    CHECK_INT(rename(box, moved), 0);
    CHECK_INT(symlink(moved, box), 0);
    CHECK_INT(open_now(&maildir), KPOP_PENDING);
    CHECK_INT(unlink(box), 0);
    CHECK_INT(rename(moved, box), 0);
}

/* With the rights of a worker; 0, or what is wrong. */
static int
try_unwritable(void)
{
    if (chmod(at("cur"), 0500) != 0)
        return 1;
    learn();
    if (head().sure != 0)
        return 2;
    waits();
    if (chmod(at("cur"), 0700) != 0)
        return 3;
    learn();
    return head().sure == 1 ? 0 : 4;
}

/* Else the warning of each login would end with the first index. */
TEST(maildir_that_cannot_be_written_is_never_vouched_for)
{
    char command[64];
    int status;
    pid_t pid;

    need_now();
    fresh();
    ahead = LATER;
    snprintf(command, sizeof(command), "chown -R 65534 %s", root);
    CHECK_INT(geteuid() == 0 ? system(command) : 0, 0);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(geteuid() == 0 && setresuid(65534, 65534, 65534) != 0
                  ? 9
                  : try_unwritable());
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
}

/* ---- messages ---- */

static char text[64];

static struct maildir *
listed(void)
{
    struct maildir *maildir;
    uint64_t octets;

    need_now();
    indexed();
    CHECK_INT(open_now(&maildir), KPOP_OK);
    CHECK_INT(maildir_size(maildir, 0, &octets), KPOP_OK);
    return maildir;
}

static int32_t
read_now(struct maildir *maildir, uint32_t msg)
{
    return maildir_read_now(maildir, msg, 0, text, sizeof(text));
}

TEST(message_in_memory_is_read_at_once_and_not_beyond_its_end)
{
    struct maildir *maildir = listed();
    unsigned before = descriptors();

    CHECK_INT(read_now(maildir, 0), 4);
    CHECK_MEM(text, 4, "abc\n", 4);
    CHECK_INT(read_now(maildir, 1), 7);
    CHECK_INT(descriptors(), before + 1);
    reads = 0;
    CHECK_INT(maildir_read_now(maildir, 1, 7, text, sizeof(text)), 0);
    CHECK_INT(reads, 0);
    CHECK_INT(descriptors(), before);
    maildir_close(maildir);
}

TEST(list_that_is_not_here_yet_waits)
{
    struct maildir *maildir;

    need_now();
    indexed();
    CHECK_INT(open_now(&maildir), KPOP_OK);
    CHECK_INT(read_now(maildir, 0), KPOP_PENDING);
    CHECK_INT(maildir_read(maildir, 0, 0, text, sizeof(text)), 4);
    maildir_close(maildir);
}

TEST(message_that_is_not_in_memory_waits)
{
    struct maildir *maildir = listed();

    forgotten = true;
    CHECK_INT(read_now(maildir, 0), KPOP_PENDING);
    CHECK_INT(maildir_read(maildir, 0, 0, text, sizeof(text)), 4);
    forgotten = false;
    maildir_close(maildir);
}

TEST(message_that_was_renamed_is_followed_by_a_thread)
{
    struct maildir *maildir = listed();

    CHECK_INT(rename(at("new/1.a"), at("cur/1.a:2,S")), 0);
    CHECK_INT(read_now(maildir, 0), KPOP_PENDING);
    CHECK_INT(maildir_read(maildir, 0, 0, text, sizeof(text)), 4);
    CHECK_INT(unlink(at("cur/2.b:2,S")), 0);
    CHECK_INT(read_now(maildir, 1), KPOP_PENDING);
    CHECK_INT(maildir_read(maildir, 1, 0, text, sizeof(text)), KPOP_GONE);
    CHECK_INT(read_now(maildir, 1), KPOP_PENDING);
    maildir_close(maildir);
}

TEST(what_is_odd_is_left_to_a_thread_that_refuses_it)
{
    struct maildir *maildir = listed();
    unsigned before = descriptors();

    CHECK_INT(unlink(at("new/1.a")), 0);
    CHECK_INT(symlink(at("cur/3.c:2,"), at("new/1.a")), 0);
    CHECK_INT(read_now(maildir, 0), KPOP_PENDING);
    CHECK_INT(unlink(at("new/1.a")), 0);
    CHECK_INT(mkfifo(at("new/1.a"), 0600), 0);
    CHECK_INT(read_now(maildir, 0), KPOP_PENDING);
    CHECK_INT(unlink(at("new/1.a")), 0);
    CHECK_INT(mkdir(at("new/1.a"), 0700), 0);
    CHECK_INT(read_now(maildir, 0), KPOP_PENDING);
    CHECK_INT(rename(at("cur"), at("moved")), 0);
    CHECK_INT(symlink("moved", at("cur")), 0);
    CHECK_INT(read_now(maildir, 1), KPOP_PENDING);
    CHECK_INT(descriptors(), before);
    maildir_close(maildir);
    CHECK_INT(unlink(at("cur")), 0);
    CHECK_INT(rename(at("moved"), at("cur")), 0);
}

static const struct check_test tests[] = {
    T(what_the_index_vouches_for_opens_at_once),
    T(maildir_without_an_index_waits),
    T(recent_change_waits),
    T(each_change_of_a_folder_waits),
    T(other_file_systems_than_local_ones_wait),
    T(what_is_not_in_memory_waits),
    T(damaged_index_waits),
    T(maildir_in_use_is_told_at_once),
    T(lock_excludes_those_who_wait),
    T(link_in_place_of_the_maildir_is_not_followed),
    T(maildir_that_cannot_be_written_is_never_vouched_for),
    T(message_in_memory_is_read_at_once_and_not_beyond_its_end),
    T(list_that_is_not_here_yet_waits),
    T(message_that_is_not_in_memory_waits),
    T(message_that_was_renamed_is_followed_by_a_thread),
    T(what_is_odd_is_left_to_a_thread_that_refuses_it),
};

int
main(int argc, char **argv)
{
    return boxes_main(argc, argv, "kpopd_now", tests,
                      sizeof(tests) / sizeof(tests[0]));
}
