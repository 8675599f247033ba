/* LDFLAGS: -ldl */
/*
 * kpopd_confine.c - what confine() asks the kernel for, and what it says when
 * it does not get it.  The kernel is ours here: this process must not be
 * confined.  What a real one makes of it is looked at by system/rights.py.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/confine.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "plugin/host/kpopd/logsocket.h"
#include "tests/lib/check.h"

/* ---- the kernel and libseccomp ---- */

enum { RULES_MAX = 300, TRUNCATE = 1 << 14 /* LANDLOCK_ACCESS_FS_ */ };

static char folder[] = "/tmp/kpop-confine-XXXXXX";
static struct {
    int version;      /* of Landlock; 0: there is none */
    uint64_t handled;
    struct {
        char path[PATH_MAX];
        uint64_t access;
    } rules[8];
    size_t rule_count;
    bool files;       /* they are confined now */
    struct {
        int call;
        unsigned conditions;
    } allowed[RULES_MAX];
    size_t allowed_count;
    bool calls;       /* these, too */
    int asked;        /* how often something was asked for */
    int refused;      /* that one fails; 0: none */
} kernel;

static bool
refuses(void)
{
    return ++kernel.asked == kernel.refused;
}

static void
begin(int version)
{
    memset(&kernel, 0, sizeof(kernel));
    kernel.version = version;
}

static int
create_ruleset(const struct landlock_ruleset_attr *attr)
{
    kernel.handled = attr->handled_access_fs;
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int
add_rule(const struct landlock_path_beneath_attr *beneath)
{
    char link[64];
    ssize_t len;

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d",
                   beneath->parent_fd);
    CHECK(kernel.rule_count < sizeof(kernel.rules) / sizeof(kernel.rules[0]));
    len = readlink(link, kernel.rules[kernel.rule_count].path, PATH_MAX - 1);
    CHECK(len > 0);
    kernel.rules[kernel.rule_count++].access = beneath->allowed_access;
    return 0;
}

static long
landlock(long number, const long *words)
{
    const void *what;

    if (number == SYS_landlock_create_ruleset
        && words[2] == LANDLOCK_CREATE_RULESET_VERSION) {
        errno = EOPNOTSUPP;
        return kernel.version > 0 ? kernel.version : -1;
    }
    if (refuses()) {
        errno = ENOMEM;
        return -1;
    }
    memcpy(&what, &words[number == SYS_landlock_add_rule ? 2 : 0],
           sizeof(what));
    if (number == SYS_landlock_create_ruleset)
        return create_ruleset(what);
    if (number == SYS_landlock_add_rule)
        return add_rule(what);
    kernel.files = true;
    return 0;
}

/* POSIX lets dlsym() give functions; ISO C has no cast for that. */
static void
next(const char *name, void *function_out)
{
    void *symbol = dlsym(RTLD_NEXT, name);

    memcpy(function_out, &symbol, sizeof(symbol));
}

long
syscall(long number, ...)
{
    long (*real)(long, ...);
    long words[6];
    va_list list;
    int i;

    va_start(list, number);
    for (i = 0; i < 6; i++)
        words[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_landlock_create_ruleset
        || number == SYS_landlock_add_rule
        || number == SYS_landlock_restrict_self)
        return landlock(number, words);
    next("syscall", &real);
    return real(number, words[0], words[1], words[2], words[3], words[4],
                words[5]);
}

scmp_filter_ctx
seccomp_init(uint32_t otherwise)
{
    scmp_filter_ctx (*real)(uint32_t);

    CHECK_INT(otherwise, SCMP_ACT_ERRNO(ENOSYS));
    next("seccomp_init", &real);
    return refuses() ? NULL : real(otherwise);
}

static int
allow(uint32_t action, int call, unsigned conditions)
{
    CHECK_INT(action, SCMP_ACT_ALLOW);
    if (refuses())
        return -ENOMEM;
    CHECK(kernel.allowed_count < RULES_MAX);
    kernel.allowed[kernel.allowed_count].call = call;
    kernel.allowed[kernel.allowed_count++].conditions = conditions;
    return 0;
}

int
seccomp_rule_add(scmp_filter_ctx filter, uint32_t action, int call,
                 unsigned count, ...)
{
    (void)filter;
    CHECK_INT(count, 0);
    return allow(action, call, 0);
}

int
seccomp_rule_add_array(scmp_filter_ctx filter, uint32_t action, int call,
                       unsigned count, const struct scmp_arg_cmp *conditions)
{
    (void)filter;
    CHECK(count > 0 && conditions != NULL);
    return allow(action, call, count);
}

int
seccomp_load(const scmp_filter_ctx filter)
{
    (void)filter;
    if (refuses())
        return -EACCES;
    kernel.calls = true;
    return 0;
}

/* ---- what is asked for ---- */

static char *
in_folder(const char *name)
{
    static char paths[64][64];
    static size_t turn;
    char *path = paths[turn++ % 64];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static struct settings
settings(void)
{
    struct settings s;

    memset(&s, 0, sizeof(s));
    s.sandbox = true;
    s.state_dir = in_folder("state");
    s.store = in_folder("mail/%u");
    s.store_folder = in_folder("mail");
    s.sandbox_paths = in_folder("more");
    s.replay_cache = in_folder("auth/replay");
    s.worker_replay_cache = in_folder("replay/workers");
    return s;
}

static void
confines(const struct settings *s, enum confine_kind kind)
{
    char error[512] = "";

    CHECK_INT(confine(s, kind, error, sizeof(error)), 0);
    CHECK_STR(error, "");
    CHECK(kernel.calls);
}

/* The access that was asked for to a folder; 0: none. */
static uint64_t
access_to(const char *path)
{
    uint64_t access = 0;
    size_t i;

    for (i = 0; i < kernel.rule_count; i++)
        if (strcmp(kernel.rules[i].path, path) == 0)
            access |= kernel.rules[i].access;
    return access;
}

/* -1: not at all; 0: always; else how many conditions it has. */
static int
may_call(const char *name)
{
    const int call = seccomp_syscall_resolve_name(name);
    size_t i;

    for (i = 0; i < kernel.allowed_count; i++)
        if (kernel.allowed[i].call == call)
            return (int)kernel.allowed[i].conditions;
    return -1;
}

static const uint64_t writes =
    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG
    | LANDLOCK_ACCESS_FS_REMOVE_FILE | TRUNCATE;

TEST(a_worker_opens_state_and_mail_and_nothing_else)
{
    struct settings s = settings();

    begin(3);
    confines(&s, CONFINE_WORKER);
    CHECK(kernel.files);
    CHECK_INT(kernel.rule_count, 3);
    CHECK_INT(access_to(s.state_dir) & writes, writes);
    CHECK_INT(access_to(s.store_folder) & LANDLOCK_ACCESS_FS_WRITE_FILE, 0);
    CHECK(access_to(s.store_folder) & LANDLOCK_ACCESS_FS_REMOVE_FILE);
    CHECK_INT(access_to(s.sandbox_paths), access_to(s.store_folder));
}

TEST(a_worker_with_layers_reads_what_libraries_read)
{
    struct settings s = settings();

    s.layers = true;
    begin(3);
    confines(&s, CONFINE_WORKER);
    CHECK_INT(access_to("/"), LANDLOCK_ACCESS_FS_READ_FILE
                                  | LANDLOCK_ACCESS_FS_READ_DIR);
    CHECK_INT(access_to(in_folder("replay")) & writes, writes);
    CHECK_INT(access_to(in_folder("auth")), 0);
}

TEST(a_worker_without_a_store_has_no_folder_of_mail)
{
    struct settings s = settings();

    s.store = NULL;
    begin(3);
    confines(&s, CONFINE_WORKER);
    CHECK_INT(kernel.rule_count, 2);
    CHECK_INT(access_to(s.store_folder), 0);
}

TEST(an_auth_process_writes_beside_its_replay_cache_only)
{
    struct settings s = settings();

    begin(3);
    confines(&s, CONFINE_AUTH);
    CHECK_INT(kernel.rule_count, 2);
    CHECK_INT(access_to("/") & writes, 0);
    CHECK_INT(access_to(in_folder("auth")) & writes, writes);
}

TEST(the_process_of_metrics_opens_nothing)
{
    struct settings s = settings();

    begin(3);
    confines(&s, CONFINE_METRICS);
    CHECK(kernel.files);
    CHECK_INT(kernel.rule_count, 0);
}

TEST(each_kind_has_its_calls)
{
    struct settings s = settings();

    begin(3);
    confines(&s, CONFINE_WORKER);
    CHECK_INT(may_call("openat"), 0);
    CHECK_INT(may_call("clone"), 1);
    CHECK_INT(may_call("mprotect"), 1);
    CHECK_INT(may_call("accept4"), -1);
    CHECK_INT(may_call("socket"), -1);
    CHECK_INT(may_call("connect"), -1);
    begin(3);
    confines(&s, CONFINE_METRICS);
    CHECK_INT(may_call("accept4"), 0);
    CHECK_INT(may_call("openat"), -1);
    CHECK_INT(may_call("clone"), -1);
    begin(3);
    confines(&s, CONFINE_AUTH);
    CHECK_INT(may_call("openat"), 0);
    CHECK_INT(may_call("socket"), 1);
    CHECK_INT(may_call("clone"), -1);
}

TEST(no_kind_starts_programs_or_looks_into_others)
{
    static const char *const never[] = { "execve", "ptrace", "fork",
                                         "kill",   "bind",   "listen",
                                         "setuid", "mount",  "clone3" };
    struct settings s = settings();
    enum confine_kind kind;
    size_t i;

    for (kind = CONFINE_WORKER; kind < CONFINE_KIND_COUNT; kind++) {
        begin(3);
        confines(&s, kind);
        CHECK_INT(may_call("read"), 0);
        for (i = 0; i < sizeof(never) / sizeof(never[0]); i++)
            CHECK_INT(may_call(never[i]), -1);
    }
}

TEST(the_socket_of_the_log_may_be_connected_anew)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct settings s = settings();
    int daemon = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, in_folder("log"));
    CHECK_INT(bind(daemon, (struct sockaddr *)&address, sizeof(address)), 0);
    CHECK(logsocket_open(address.sun_path));
    begin(3);
    confines(&s, CONFINE_WORKER);
    CHECK_INT(may_call("connect"), 1);
    close(daemon);
    CHECK_INT(unlink(address.sun_path), 0);
}

/* ---- kernels that differ ---- */

TEST(without_landlock_calls_are_confined_and_files_are_not)
{
    struct settings s = settings();

    begin(0);
    CHECK(strstr(confine_lacks(), "no Landlock") != NULL);
    confines(&s, CONFINE_WORKER);
    CHECK(!kernel.files);
    begin(1);
    CHECK(confine_lacks() != NULL);
    confines(&s, CONFINE_WORKER);
    CHECK(!kernel.files);
    begin(2);
    CHECK(confine_lacks() == NULL);
}

TEST(only_rights_that_the_kernel_knows_are_asked_for)
{
    struct settings s = settings();

    begin(2);
    confines(&s, CONFINE_WORKER);
    CHECK_INT(kernel.handled & TRUNCATE, 0);
    CHECK_INT(access_to(s.state_dir) & TRUNCATE, 0);
    begin(3);
    confines(&s, CONFINE_WORKER);
    CHECK_INT(kernel.handled & TRUNCATE, TRUNCATE);
}

TEST(sandbox_no_asks_for_nothing)
{
    struct settings s = settings();
    char error[64] = "";

    s.sandbox = false;
    begin(3);
    CHECK_INT(confine(&s, CONFINE_WORKER, error, sizeof(error)), 0);
    CHECK_INT(kernel.asked, 0);
}

/* ---- what goes wrong ---- */

TEST(a_folder_that_is_missing_opens_none_above_it)
{
    struct settings s = settings();

    s.store_folder = in_folder("nowhere");
    s.sandbox_paths = in_folder("file");
    begin(3);
    confines(&s, CONFINE_WORKER);
    CHECK_INT(kernel.rule_count, 1);
    CHECK(access_to(s.state_dir) != 0);
}

static void
fails(const struct settings *s, enum confine_kind kind, const char *what,
      const char *why)
{
    char error[512] = "";

    CHECK_INT(confine(s, kind, error, sizeof(error)), -1);
    CHECK(strstr(error, what) != NULL);
    CHECK(strstr(error, why) != NULL);
    CHECK(!kernel.files || !kernel.calls);
}

TEST(a_folder_that_cannot_be_opened_is_an_error)
{
    struct settings s = settings();
    char *loop = in_folder("loop");

    begin(3);
    s.sandbox_paths = loop;
    fails(&s, CONFINE_WORKER, "Landlock", strerror(ELOOP));
    s = settings();
    s.store_folder = loop;
    fails(&s, CONFINE_WORKER, "Landlock", strerror(ELOOP));
    s = settings();
    s.state_dir = loop;
    fails(&s, CONFINE_WORKER, "Landlock", strerror(ELOOP));
    s = settings();
    s.replay_cache = in_folder("loop/replay");
    fails(&s, CONFINE_AUTH, "Landlock", strerror(ELOOP));
    s.worker_replay_cache = s.replay_cache;
    s.layers = true;
    fails(&s, CONFINE_WORKER, "Landlock", strerror(ELOOP));
}

/* Each thing that is asked for in its turn, with the sentence that names the
 * way out. */
static void
refuse_each(enum confine_kind kind)
{
    struct settings s = settings();
    int count;
    int i;

    begin(3);
    confines(&s, kind);
    count = kernel.asked;
    CHECK(count > 50);
    for (i = 1; i <= count; i++) {
        begin(3);
        kernel.refused = i;
        fails(&s, kind, "can't be confined", "`sandbox = no`");
        CHECK_INT(kernel.asked, i);
    }
}

TEST(a_process_that_cannot_be_confined_says_so)
{
    refuse_each(CONFINE_WORKER);
    refuse_each(CONFINE_AUTH);
    refuse_each(CONFINE_METRICS);
}

static const struct check_test tests[] = {
    T(a_worker_opens_state_and_mail_and_nothing_else),
    T(a_worker_with_layers_reads_what_libraries_read),
    T(a_worker_without_a_store_has_no_folder_of_mail),
    T(an_auth_process_writes_beside_its_replay_cache_only),
    T(the_process_of_metrics_opens_nothing),
    T(each_kind_has_its_calls),
    T(no_kind_starts_programs_or_looks_into_others),
    T(without_landlock_calls_are_confined_and_files_are_not),
    T(only_rights_that_the_kernel_knows_are_asked_for),
    T(sandbox_no_asks_for_nothing),
    T(a_folder_that_is_missing_opens_none_above_it),
    T(a_folder_that_cannot_be_opened_is_an_error),
    T(a_process_that_cannot_be_confined_says_so),
    T(the_socket_of_the_log_may_be_connected_anew), /* it stays open */
};

static const char *const folders[] = { "state", "mail",   "more",
                                       "auth",  "replay", NULL };

int
main(int argc, char **argv)
{
    size_t i;
    int status;
    FILE *file;

    if (mkdtemp(folder) == NULL)
        return 1;
    for (i = 0; folders[i] != NULL; i++)
        if (mkdir(in_folder(folders[i]), 0700) != 0)
            return 1;
    file = fopen(in_folder("file"), "w");
    if (file == NULL || fclose(file) != 0
        || symlink("loop", in_folder("loop")) != 0)
        return 1;
    status = check_main(argc, argv, "kpopd_confine", tests,
                        sizeof(tests) / sizeof(tests[0]));
    for (i = 0; folders[i] != NULL; i++)
        (void)rmdir(in_folder(folders[i]));
    (void)unlink(in_folder("file"));
    (void)unlink(in_folder("loop"));
    (void)rmdir(folder);
    return status;
}
