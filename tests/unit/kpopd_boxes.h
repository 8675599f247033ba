/*
 * kpopd_boxes.h - what the tests of kpopd's maildirs with an index share: a
 * maildir of three messages, its index, and a clock that can be ahead.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_KPOPD_BOXES_H
#define KPOP_TESTS_KPOPD_BOXES_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "kpop/stuff.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/maildir.h"
#include "plugin/host/kpopd/maildir_index.h"
#include "tests/lib/check.h"

#define LATER 10 /* seconds: every change before is settled */

static char root[] = "/tmp/kpopd_boxes.XXXXXX";
static char box[64];
static char state[64];
static char index_file[PATH_MAX];
static time_t ahead;

/* The clock of the code under test: the folders' times can't be set back. */
int
clock_gettime(clockid_t id, struct timespec *now)
{
    long rc = syscall(SYS_clock_gettime, id, now);

    now->tv_sec += ahead;
    return (int)rc;
}

/* The file system of the code under test: NFS, or what it is. */
static bool on_nfs;

int
fstatfs(int fd, struct statfs *fs)
{
    int rc = (int)syscall(SYS_fstatfs, fd, fs);

    if (on_nfs)
        fs->f_type = 0x6969;
    return rc;
}

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

static struct maildir *
open_box(void)
{
    struct maildir *maildir = NULL;

    CHECK_INT(maildir_open(box, state, stuff_wire_octets, &maildir), KPOP_OK);
    return maildir;
}

/* A session that asks for all sizes, and so learns them. */
static void
learn(void)
{
    struct maildir *maildir = open_box();
    uint64_t octets;
    uint32_t i;

    for (i = 0; i < maildir_count(maildir); i++)
        CHECK_INT(maildir_size(maildir, i, &octets), KPOP_OK);
    maildir_close(maildir);
}

static struct maildir_head
head(void)
{
    struct maildir_head out;

    memset(&out, 0, sizeof(out));
    CHECK(maildir_index_head(index_file, &out));
    return out;
}

/* Three messages of 5, 8 and 12 octets on the wire, in an empty maildir. */
static void
fresh(void)
{
    char command[512];

    snprintf(command, sizeof(command),
             "rm -rf %s %s; mkdir -p %s %s/new %s/cur %s/tmp", box, state,
             state, box, box, box);
    CHECK_INT(system(command), 0);
    ahead = 0;
    deliver("new/1.a", "abc\n");
    deliver("cur/2.b:2,S", "abcdef\n");
    deliver("cur/3.c:2,", "abcd\n1234\n");
}

/* The same with an index that can be trusted. */
static void
indexed(void)
{
    fresh();
    ahead = LATER;
    learn();
    CHECK_INT(head().sure, 1);
}

static int
boxes_main(int argc, char **argv, const char *name,
           const struct check_test *tests, size_t count)
{
    char command[64];
    int status;

    if (mkdtemp(root) == NULL)
        return 1;
    snprintf(box, sizeof(box), "%s/box", root);
    snprintf(state, sizeof(state), "%s/state", root);
    if (maildir_index_path(state, box, index_file) != 0)
        return 1;
    log_set(LOG_TO_STDERR, KPOP_LOG_ERROR);
    status = check_main(argc, argv, name, tests, count);
    snprintf(command, sizeof(command), "rm -rf %s", root);
    return system(command) == 0 ? status : 1;
}

#endif
