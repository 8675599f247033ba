/*
 * kpopd_process.c - giving rights up: each call that is refused, and each
 * that says yes and does nothing.  The kernel is ours here; a real one is
 * looked at by system/rights.py.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/process.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "plugin/host/kpopd/logsocket.h"
#include "tests/lib/check.h"

/* ---- the kernel ---- */

enum { USER = 1234, GROUP = 2345, CLOSED_MAX = 8 };

static struct {
    const char *refused; /* the name of a call */
    const char *ignored; /* it succeeds and changes nothing */
    const char *open;    /* it gets root's rights back */
    const char *groups_of;
    uid_t uid[3];
    gid_t gid[3];
    struct rlimit files;
    struct {
        unsigned first;
        unsigned last;
    } closed[CLOSED_MAX];
    size_t closed_count;
} kernel;

static void
begin(void)
{
    memset(&kernel, 0, sizeof(kernel));
    kernel.files.rlim_cur = 1024;
    kernel.files.rlim_max = 4096;
}

static int
answer(const char *name)
{
    if (kernel.refused == NULL || strcmp(kernel.refused, name) != 0)
        return 0;
    errno = EAGAIN;
    return -1;
}

static bool
does(const char *name)
{
    return kernel.ignored == NULL || strcmp(kernel.ignored, name) != 0;
}

int
initgroups(const char *name, gid_t gid)
{
    CHECK_INT(gid, GROUP);
    kernel.groups_of = name;
    return answer("initgroups");
}

int
setresgid(gid_t real, gid_t effective, gid_t saved)
{
    if (answer("setresgid") != 0)
        return -1;
    if (does("setresgid")) {
        kernel.gid[0] = real;
        kernel.gid[1] = effective;
    }
    if (does("setresgid") && does("saved gid"))
        kernel.gid[2] = saved;
    return 0;
}

int
setresuid(uid_t real, uid_t effective, uid_t saved)
{
    if (answer("setresuid") != 0)
        return -1;
    if (does("setresuid")) {
        kernel.uid[0] = real;
        kernel.uid[1] = effective;
    }
    if (does("setresuid") && does("saved uid"))
        kernel.uid[2] = saved;
    return 0;
}

int
getresuid(uid_t *real, uid_t *effective, uid_t *saved)
{
    *real = kernel.uid[0];
    *effective = kernel.uid[1];
    *saved = kernel.uid[2];
    return answer("getresuid");
}

int
getresgid(gid_t *real, gid_t *effective, gid_t *saved)
{
    *real = kernel.gid[0];
    *effective = kernel.gid[1];
    *saved = kernel.gid[2];
    return answer("getresgid");
}

/* Who was root and is not must not become it again. */
int
setuid(uid_t uid)
{
    CHECK_INT(uid, 0);
    return kernel.open != NULL && strcmp(kernel.open, "setuid") == 0 ? 0 : -1;
}

int
seteuid(uid_t uid)
{
    CHECK_INT(uid, 0);
    return kernel.open != NULL && strcmp(kernel.open, "seteuid") == 0 ? 0
                                                                      : -1;
}

int
getrlimit(__rlimit_resource_t what, struct rlimit *out)
{
    CHECK_INT(what, RLIMIT_NOFILE);
    *out = kernel.files;
    return answer("getrlimit");
}

int
setrlimit(__rlimit_resource_t what, const struct rlimit *limit)
{
    CHECK_INT(what, RLIMIT_NOFILE);
    kernel.files = *limit;
    return 0;
}

int
close_range(unsigned first, unsigned last, int flags)
{
    CHECK_INT(flags, 0);
    CHECK(kernel.closed_count < CLOSED_MAX);
    kernel.closed[kernel.closed_count].first = first;
    kernel.closed[kernel.closed_count++].last = last;
    return 0;
}

/* ---- rights ---- */

static char error[200];

static int
become(void)
{
    static char name[] = "mail";
    const struct account account = { name, USER, GROUP };

    error[0] = '\0';
    return process_become(&account, error, sizeof(error));
}

TEST(root_becomes_the_user_for_good)
{
    begin();
    CHECK_INT(become(), 0);
    CHECK_STR(error, "");
    CHECK_STR(kernel.groups_of, "mail");
    CHECK_INT(kernel.uid[2], USER);
    CHECK_INT(kernel.gid[2], GROUP);
}

TEST(a_plain_user_stays_who_it_is)
{
    const struct account account = { NULL, USER, GROUP };

    begin();
    kernel.refused = "setresuid";
    CHECK_INT(process_become(&account, error, sizeof(error)), 0);
    CHECK(kernel.groups_of == NULL);
}

TEST(a_call_that_is_refused_ends_it)
{
    static const char *const calls[] = { "initgroups", "setresgid",
                                         "setresuid" };
    size_t i;

    for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        begin();
        kernel.refused = calls[i];
        CHECK_INT(become(), -1);
        CHECK(strstr(error, "cannot become the user mail: ") != NULL);
        CHECK(strstr(error, strerror(EAGAIN)) != NULL);
    }
}

static void
leaves_rights(void)
{
    CHECK_INT(become(), -1);
    CHECK_STR(error, "becoming the user mail left rights of root behind");
}

TEST(a_call_that_does_nothing_is_found_out)
{
    static const char *const calls[] = { "setresgid", "setresuid",
                                         "saved gid", "saved uid" };
    size_t i;

    for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        begin();
        kernel.ignored = calls[i];
        leaves_rights();
    }
}

TEST(who_cannot_be_sure_does_not_go_on)
{
    begin();
    kernel.refused = "getresuid";
    leaves_rights();
    begin();
    kernel.refused = "getresgid";
    leaves_rights();
    begin();
    kernel.open = "setuid";
    leaves_rights();
    begin();
    kernel.open = "seteuid";
    leaves_rights();
}

/* ---- descriptors ---- */

TEST(as_many_files_as_may_be)
{
    begin();
    process_raise_files();
    CHECK_INT(kernel.files.rlim_cur, 4096);
    begin();
    kernel.refused = "getrlimit";
    process_raise_files();
    CHECK_INT(kernel.files.rlim_cur, 1024);
}

/* Is it among those that were closed? */
static bool
is_closed(unsigned fd)
{
    size_t i;

    for (i = 0; i < kernel.closed_count; i++)
        if (fd >= kernel.closed[i].first && fd <= kernel.closed[i].last)
            return true;
    return false;
}

static void
keeps(int one, int other)
{
    int fd;

    for (fd = 0; fd < 300; fd++)
        CHECK_INT(is_closed((unsigned)fd),
                  fd > 2 && fd != one && fd != other);
    CHECK(is_closed(~0u));
}

TEST(a_child_keeps_what_it_is_told_and_no_other)
{
    static const int kept[] = { -1, 3, 4, 5, 200 };
    struct sigaction old[3];
    size_t i;

    (void)sigaction(SIGINT, NULL, &old[0]);
    (void)sigaction(SIGHUP, NULL, &old[1]);
    (void)sigaction(SIGPIPE, NULL, &old[2]);
    for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        begin();
        CHECK_INT(process_begin_child(kept[i], 0, getppid()), 0);
        keeps(kept[i], logsocket_descriptor());
    }
    (void)sigaction(SIGINT, &old[0], NULL);
    (void)sigaction(SIGHUP, &old[1], NULL);
    (void)sigaction(SIGPIPE, &old[2], NULL);
}

TEST(a_child_keeps_the_socket_of_the_log_as_well)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int daemon = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path),
                   "/tmp/kpop-process-%ld", (long)getpid());
    CHECK_INT(bind(daemon, (struct sockaddr *)&address, sizeof(address)), 0);
    CHECK(logsocket_open(address.sun_path));
    CHECK_INT(unlink(address.sun_path), 0);
    close(daemon);
    a_child_keeps_what_it_is_told_and_no_other();
    begin();
    CHECK_INT(process_begin_child(logsocket_descriptor() + 1, 0, getppid()),
              0);
    keeps(logsocket_descriptor(), logsocket_descriptor() + 1);
}

TEST(a_child_whose_parent_went_does_not_begin)
{
    begin();
    CHECK_INT(process_begin_child(-1, 0, (int64_t)getppid() + 1), -1);
}

TEST_MAIN("kpopd_process", T(root_becomes_the_user_for_good),
          T(a_plain_user_stays_who_it_is),
          T(a_call_that_is_refused_ends_it),
          T(a_call_that_does_nothing_is_found_out),
          T(who_cannot_be_sure_does_not_go_on), T(as_many_files_as_may_be),
          T(a_child_keeps_what_it_is_told_and_no_other),
          T(a_child_whose_parent_went_does_not_begin),
          T(a_child_keeps_the_socket_of_the_log_as_well))
