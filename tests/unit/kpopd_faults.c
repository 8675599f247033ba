/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc */
/*
 * kpopd_faults.c - a session in which one system call fails, or one
 * allocation, or at one of which the process is killed: each there is, in
 * turn.  No mail may be lost that was not deleted, every command has its
 * answer, and the next session works.
 * TIME-LIMIT: 400
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/kpopd_world.h"
#include "tests/unit/syscalls_fixture.h"

/* ---- allocations ---- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

/* Of the child, which the parent must hear of. */
struct memory {
    size_t fails; /* so many allocations later; 0: none */
    bool for_good;
    bool hit;
};

static struct memory *memory;

static bool
fails_now(void)
{
    if (memory == NULL || memory->fails == 0 || --memory->fails > 0)
        return false;
    memory->fails = memory->for_good ? 1 : 0;
    memory->hit = true;
    errno = ENOMEM;
    return true;
}

void *
__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
    return fails_now() ? NULL : __real_realloc(old, size);
}

/* That of libc would call realloc() inside of libc. */
void *
reallocarray(void *old, size_t count, size_t size)
{
    return count > SIZE_MAX / size ? NULL : realloc(old, count * size);
}

/* ---- calls ---- */

/* The clock of the code under test: later, the folders' times count. */
static time_t ahead;

int
clock_gettime(clockid_t id, struct timespec *now)
{
    long rc = syscall(SYS_clock_gettime, id, now);

    now->tv_sec += ahead;
    return (int)rc;
}

/* What the test itself writes need not be there for good. */
static bool is_child;

int
fsync(int fd)
{
    return is_child ? (int)syscall(SYS_fsync, fd) : 0;
}

/* Not a fault: another program renames messages before the call. */
enum { RENAMED = -2 };

struct fault {
    size_t at;         /* the number of the call that fails, or 0 */
    bool for_good;     /* and all behind it */
    int error;         /* with that, or SYSCALLS_KILL, or RENAMED */
    size_t allocation; /* that fails, or 0 */
    bool hit;
    int nr;            /* of the call */
};

static int
judge(void *arg, const struct syscalls_call *call)
{
    struct fault *fault = arg;

    if (fault->at == 0 || call->number < fault->at
        || (call->number > fault->at && !fault->for_good))
        return 0;
    if (!fault->hit)
        fault->nr = call->nr;
    fault->hit = true;
    if (fault->error != RENAMED)
        return fault->error;
    world_move();
    return 0;
}

/* ---- what a session may say ---- */

/* With the message that expires, and without it. */
static struct talk *healthy[2];
static struct talk *talk;

static bool
is_same(const struct talk *other, size_t i)
{
    size_t len;
    size_t other_len;
    const char *said = world_said(talk, i, &len);
    const char *wanted = world_said(other, i, &other_len);

    return len == other_len && memcmp(said, wanted, len) == 0;
}

/* The beginning of a message, and then the end of the connection: the client
 * sees that it is not whole.  Only where there is no memory for a line may
 * nothing at all be said to QUIT. */
static bool
is_cut(size_t i)
{
    size_t len;
    size_t whole;
    const char *said = world_said(talk, i, &len);
    const char *wanted = world_said(healthy[0], i, &whole);

    return i >= talk->closed_at && len < whole
           && memcmp(said, wanted, len) == 0 && talk->ends[i] == talk->len
           && (talk->closed_at < WORLD_QUIT || memory->hit);
}

static bool
is_error(size_t i)
{
    bool in = world_starts(talk, WORLD_PASS, "+OK");
    size_t len;
    const char *said = world_said(talk, i, &len);

    return world_starts(talk, i, in ? "-ERR [SYS/" : "-ERR ")
           && memchr(said, '\n', len) == said + len - 1;
}

/* To whoever never got in, or was refused a DELE; world_check() sees to those
 * that were taken. */
static bool
is_good_bye(size_t i)
{
    bool refused = !world_starts(talk, WORLD_PASS, "+OK");
    size_t msg;

    for (msg = 0; msg < WORLD_COUNT; msg++)
        refused = refused
                  || world_starts(talk, world_msgs[msg].deleted_by, "-ERR");
    return i == WORLD_QUIT && refused && world_starts(talk, i, "+OK ");
}

static void
check_answers(void)
{
    char what[64];
    size_t i;

    for (i = 0; i < WORLD_COMMANDS; i++) {
        snprintf(what, sizeof(what), "no clear answer to %.10s",
                 world_commands[i]);
        what[strcspn(what, "\r")] = '\0';
        world_require(is_same(healthy[0], i) || is_same(healthy[1], i)
                          || is_cut(i) || is_error(i) || is_good_bye(i),
                      what);
    }
}

/* ---- sessions ---- */

static int
open_files(void)
{
    int count = 0;
    int fd;

    for (fd = 0; fd < 64; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* In the child. */
static void
session(void *arg)
{
    const struct fault *fault = arg;
    int before = open_files();

    is_child = true;
    memory->fails = fault->allocation;
    syscalls_mark();
    world_talk(talk);
    syscalls_mark();
    memory->fails = 0;
    talk->leaks = open_files() != before;
}

/* What the faults log is of no interest, and there is a lot of it. */
static int
watch(void (*body)(void *arg), struct fault *fault)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int old = dup(STDERR_FILENO);
    int status;

    CHECK(null >= 0 && old >= 0);
    (void)dup2(null, STDERR_FILENO);
    memory->hit = false;
    status = syscalls_watch(body, fault, judge, fault);
    (void)dup2(old, STDERR_FILENO);
    close(null);
    close(old);
    fault->hit = fault->hit || memory->hit;
    return status;
}

/* Everything a site can want, and no index yet. */
static void
make_new(void)
{
    world.moves = false;
    world.settings.sdps = false;
    world_policies(true);
    world_make();
}

/* Messages get other names in the session. */
static void
make_moving(void)
{
    make_new();
    world.moves = true;
}

/* Envelopes are read at the login. */
static char sdps_headers[] = "Delivered-To";

static void
make_sdps(void)
{
    make_new();
    world.settings.sdps = true;
    world.settings.sdps_headers = sdps_headers;
}

/* No policies, and an index that is trusted: a session has been there, long
 * after the last delivery. */
static void
make_indexed(void)
{
    struct maildir *maildir;
    uint64_t octets;
    uint32_t i;

    world.moves = false;
    world.settings.sdps = false;
    world_policies(false);
    world_make();
    CHECK_INT(maildir_open(world.box, world.index, stuff_wire_octets,
                           &maildir),
              KPOP_OK);
    for (i = 0; i < maildir_count(maildir); i++)
        CHECK_INT(maildir_size(maildir, i, &octets), KPOP_OK);
    maildir_close(maildir);
}

static void
hear(struct talk *to)
{
    struct fault none = { 0 };

    talk = to;
    CHECK_INT(watch(session, &none), 0);
    world_require(!talk->leaks, "descriptors leak");
    world_require(world_starts(talk, WORLD_QUIT, "+OK"), "QUIT fails");
    world_check(talk);
}

/* What is right. */
static void
hear_healthy(void (*make)(void))
{
    static struct talk *talks[3];
    char path[128];
    size_t i;

    for (i = 0; i < 3 && talks[i] == NULL; i++)
        talks[i] = world_new_talk();
    snprintf(world.about, sizeof(world.about), "healthy");
    healthy[0] = talks[0];
    healthy[1] = talks[1];
    make();
    hear(healthy[0]);
    make();
    snprintf(path, sizeof(path), "%s/expire/alice", world.state);
    CHECK_INT(unlink(path), 0); /* nothing expires, as if it failed */
    hear(healthy[1]);
    talk = talks[2];
}

/* Nothing failed, so nothing is refused. */
static void
check_undisturbed(void)
{
    size_t i;

    for (i = 0; i < WORLD_COMMANDS; i++)
        world_require(is_same(healthy[0], i), world_commands[i]);
}

static void
describe(const struct fault *fault, const char *kind)
{
    if (fault->allocation > 0)
        snprintf(world.about, sizeof(world.about),
                 "without memory from allocation %zu on", fault->allocation);
    else
        snprintf(world.about, sizeof(world.about), "%s at call %zu, SYS_%d",
                 kind, fault->at, fault->nr);
}

/* False when the session had come to its end before. */
static bool
run_one(void (*make)(void), struct fault *fault, const char *kind)
{
    int status;

    make();
    memset(talk, 0, sizeof(*talk));
    status = watch(session, fault);
    describe(fault, kind);
    if (fault->hit && fault->error == SYSCALLS_KILL) {
        world_require(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
                      "it was not killed");
    } else {
        world_require(status == 0, "it crashed");
        world_require(!talk->leaks || fault->nr == SYS_close
                          || fault->for_good,
                      "descriptors leak");
        check_answers();
        if (fault->error == RENAMED)
            check_undisturbed();
    }
    world_check(talk);
    return fault->hit;
}

/* Each call in turn. */
static void
sweep_calls(void (*make)(void), int error, bool for_good, const char *kind)
{
    struct fault fault;
    size_t at = 0;

    hear_healthy(make);
    do
        fault = (struct fault){ .at = ++at, .error = error,
                                .for_good = for_good };
    while (run_one(make, &fault, kind));
    printf("# %s: %zu calls\n", kind, at - 1);
    CHECK(at > 40);
}

static void
sweep(int error, bool for_good, const char *kind)
{
    if (syscalls_lack() != NULL)
        SKIP(syscalls_lack());
    sweep_calls(make_new, error, for_good, kind);
    sweep_calls(make_indexed, error, for_good, kind);
    if (error != EIO && error != SYSCALLS_KILL)
        return; /* which error it is changes nothing in what follows */
    sweep_calls(make_moving, error, for_good, kind);
    sweep_calls(make_sdps, error, for_good, kind);
}

TEST(eio_at_each_call_loses_no_mail)
{
    sweep(EIO, false, "EIO");
}

TEST(enospc_at_each_call_loses_no_mail)
{
    sweep(ENOSPC, false, "ENOSPC");
}

TEST(enomem_at_each_call_loses_no_mail)
{
    sweep(ENOMEM, false, "ENOMEM");
}

TEST(emfile_at_each_call_loses_no_mail)
{
    sweep(EMFILE, false, "EMFILE");
}

TEST(disk_that_fails_from_each_call_on_loses_no_mail)
{
    sweep(EIO, true, "EIO from there on");
}

TEST(rename_by_another_program_at_each_call_is_not_noticed)
{
    sweep(RENAMED, false, "rename");
}

TEST(kill_at_each_call_loses_no_mail)
{
    sweep(SYSCALLS_KILL, false, "SIGKILL");
}

static void
sweep_allocations(void (*make)(void), bool for_good)
{
    struct fault fault;
    size_t n = 0;

    hear_healthy(make);
    memory->for_good = for_good;
    do
        fault = (struct fault){ .allocation = ++n };
    while (run_one(make, &fault, "allocation"));
    printf("# %zu allocations\n", n - 1);
    CHECK(n > 10);
}

TEST(lack_of_memory_at_each_allocation_loses_no_mail)
{
    if (syscalls_lack() != NULL)
        SKIP(syscalls_lack());
    sweep_allocations(make_new, false);
    sweep_allocations(make_new, true);
    sweep_allocations(make_moving, false);
    sweep_allocations(make_moving, true);
    sweep_allocations(make_sdps, false);
    sweep_allocations(make_indexed, false);
    sweep_allocations(make_indexed, true);
}

/* ---- an import of unique-ids ---- */

static void
import(void *arg)
{
    const struct fault *fault = arg;

    is_child = true;
    memory->fails = fault->allocation;
    syscalls_mark();
    talk->committed = world_import_others() == 0;
    syscalls_mark();
    memory->fails = 0;
}

/* What failed said so, and left the old ones or the new ones. */
static bool
import_one(struct fault *fault)
{
    size_t entries;
    int status;

    make_new();
    memset(talk, 0, sizeof(*talk));
    status = watch(import, fault);
    describe(fault, "import");
    world_require(status == 0 || fault->error == SYSCALLS_KILL,
                  "it crashed");
    entries = world_imported();
    world_require(entries == 3 || (entries == 2 && !talk->committed),
                  "neither the old import nor the new one");
    return fault->hit;
}

TEST(import_leaves_the_old_one_or_the_new_one_at_each_call)
{
    static const int errors[] = { EIO, ENOSPC, SYSCALLS_KILL };
    struct fault fault;
    size_t i;
    size_t n;

    if (syscalls_lack() != NULL)
        SKIP(syscalls_lack());
    talk = world_new_talk();
    for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        n = 0;
        do
            fault = (struct fault){ .at = ++n, .error = errors[i] };
        while (import_one(&fault));
        CHECK(n > 5);
    }
}

int
main(int argc, char **argv)
{
    static const struct check_test tests[] = {
        T(eio_at_each_call_loses_no_mail),
        T(enospc_at_each_call_loses_no_mail),
        T(enomem_at_each_call_loses_no_mail),
        T(emfile_at_each_call_loses_no_mail),
        T(disk_that_fails_from_each_call_on_loses_no_mail),
        T(rename_by_another_program_at_each_call_is_not_noticed),
        T(kill_at_each_call_loses_no_mail),
        T(lack_of_memory_at_each_allocation_loses_no_mail),
        T(import_leaves_the_old_one_or_the_new_one_at_each_call),
    };
    void *shared = mmap(NULL, sizeof(*memory), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int rc;

    if (shared == MAP_FAILED || !world_begin("kpopd_faults"))
        return 1;
    memory = shared;
    ahead = 10;
    log_set(LOG_TO_STDERR, KPOP_LOG_ERROR);
    rc = check_main(argc, argv, "kpopd_faults", tests,
                    sizeof(tests) / sizeof(tests[0]));
    world_clear();
    return rc;
}
