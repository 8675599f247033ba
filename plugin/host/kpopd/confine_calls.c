/*
 * confine_calls.c - which system calls a process can make, by seccomp.  A call
 * that is not listed fails with ENOSYS, as on an older kernel: C libraries
 * have another way then, and nobody's session ends for an update of one.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugin/host/kpopd/confine.h"
#include "plugin/host/kpopd/logsocket.h"

#define ALL ((1u << CONFINE_KIND_COUNT) - 1)
#define WORKER (1u << CONFINE_WORKER)
#define METRICS (1u << CONFINE_METRICS)
#define AUTH (1u << CONFINE_AUTH)

/* Names and not numbers: an architecture that lacks one has another one. */
static const struct {
    unsigned kinds;
    const char *name;
} calls[] = {
    /* descriptors that are open */
    { ALL, "read" },
    { ALL, "readv" },
    { ALL, "write" },
    { ALL, "writev" },
    { ALL, "close" },
    { ALL, "dup" },
    { ALL, "fcntl" },
    { ALL, "fcntl64" },
    { ALL, "fstat" },
    { ALL, "fstat64" },
    { ALL, "lseek" },
    { ALL, "_llseek" },
    { ALL, "recvfrom" },
    { ALL, "recvmsg" },
    { WORKER, "recvmmsg" },
    { WORKER, "recvmmsg_time64" },
    { ALL, "recv" },
    { ALL, "sendto" },
    { ALL, "sendmsg" },
    { ALL, "send" },
    { ALL, "shutdown" },
    { ALL, "getsockname" },
    { ALL, "getpeername" },
    { ALL, "getsockopt" },
    { ALL, "setsockopt" },
    { METRICS, "accept4" },
    /* waiting */
    { ALL, "poll" },
    { ALL, "ppoll" },
    { ALL, "ppoll_time64" },
    { ALL, "epoll_create1" },
    { ALL, "epoll_ctl" },
    { ALL, "epoll_wait" },
    { ALL, "epoll_pwait" },
    { ALL, "eventfd2" },
    { ALL, "signalfd4" },
    { ALL, "nanosleep" },
    { ALL, "clock_nanosleep" },
    { ALL, "clock_nanosleep_time64" },
    { ALL, "restart_syscall" },
    { ALL, "futex" },
    { ALL, "futex_time64" },
    { ALL, "sched_yield" },
    /* memory */
    { ALL, "brk" },
    { ALL, "munmap" },
    { ALL, "mremap" },
    { ALL, "madvise" },
    /* about oneself */
    { ALL, "getpid" },
    { ALL, "getppid" },
    { ALL, "gettid" },
    { ALL, "getuid" },
    { ALL, "geteuid" },
    { ALL, "getgid" },
    { ALL, "getegid" },
    { ALL, "getuid32" },
    { ALL, "geteuid32" },
    { ALL, "getgid32" },
    { ALL, "getegid32" },
    { ALL, "getrlimit" },
    { ALL, "ugetrlimit" },
    { ALL, "clock_gettime" },
    { ALL, "clock_gettime64" },
    { ALL, "clock_getres" },
    { ALL, "gettimeofday" },
    { ALL, "time" },
    { ALL, "getrandom" },
    { ALL, "uname" },
    { ALL, "sysinfo" },
    { ALL, "getcpu" },
    { ALL, "sched_getaffinity" },
    { ALL, "rseq" },
    { ALL, "set_robust_list" },
    { ALL, "rt_sigaction" },
    { ALL, "rt_sigprocmask" },
    { ALL, "rt_sigreturn" },
    { ALL, "sigreturn" },
    { ALL, "sigaltstack" },
    { ALL, "exit" },
    { ALL, "exit_group" },
    /* files; Landlock says which */
    { WORKER | AUTH, "open" },
    { WORKER | AUTH, "openat" },
    { WORKER, "openat2" },
    { WORKER | AUTH, "stat" },
    { WORKER | AUTH, "stat64" },
    { WORKER | AUTH, "lstat" },
    { WORKER | AUTH, "lstat64" },
    { WORKER | AUTH, "newfstatat" },
    { WORKER | AUTH, "fstatat64" },
    { WORKER | AUTH, "statx" },
    { WORKER | AUTH, "statfs" },
    { WORKER | AUTH, "statfs64" },
    { WORKER | AUTH, "fstatfs" },
    { WORKER | AUTH, "fstatfs64" },
    { WORKER | AUTH, "access" },
    { WORKER | AUTH, "faccessat" },
    { WORKER | AUTH, "faccessat2" },
    { WORKER | AUTH, "readlink" },
    { WORKER | AUTH, "readlinkat" },
    { WORKER | AUTH, "getdents64" },
    { WORKER | AUTH, "pread64" },
    { WORKER | AUTH, "preadv" },
    { WORKER | AUTH, "preadv2" },
    { WORKER | AUTH, "pwrite64" },
    { WORKER | AUTH, "fadvise64" },
    { WORKER | AUTH, "fadvise64_64" },
    { WORKER | AUTH, "arm_fadvise64_64" },
    { WORKER | AUTH, "flock" },
    { WORKER | AUTH, "fsync" },
    { WORKER | AUTH, "fdatasync" },
    { WORKER | AUTH, "ftruncate" },
    { WORKER | AUTH, "ftruncate64" },
    { WORKER | AUTH, "unlink" },
    { WORKER | AUTH, "unlinkat" },
    { WORKER | AUTH, "rename" },
    { WORKER | AUTH, "renameat" },
    { WORKER | AUTH, "renameat2" },
    { WORKER | AUTH, "umask" },
};

static bool
holds(const struct settings *settings, enum confine_kind kind,
      unsigned kinds)
{
    return (kinds & 1u << kind) != 0
           || (kind == CONFINE_WORKER && settings->layers
               && (kinds & AUTH) != 0);
}

static int
allow_calls(scmp_filter_ctx filter, const struct settings *settings,
            enum confine_kind kind)
{
    size_t i;
    int rc = 0;
    int number;

    for (i = 0; i < sizeof(calls) / sizeof(calls[0]) && rc == 0; i++) {
        number = seccomp_syscall_resolve_name(calls[i].name);
        /* libseccomp passes over those that this architecture lacks. */
        if (number != __NR_SCMP_ERROR
            && holds(settings, kind, calls[i].kinds))
            rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
    }
    return rc;
}

/* Of an int, which may have anything above it in its register. */
#define INT_BITS 0xFFFFFFFFu
#define ALL_BITS (~(scmp_datum_t)0)

/* Where these bits of an argument have this value. */
static int
allow_where(scmp_filter_ctx filter, const char *name, unsigned argument,
            scmp_datum_t bits, scmp_datum_t value)
{
    const struct scmp_arg_cmp where = { argument, SCMP_CMP_MASKED_EQ, bits,
                                        value };

    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW,
                                  seccomp_syscall_resolve_name(name), 1,
                                  &where);
}

/* Memory that can be executed is for whoever loads libraries: GSSAPI and the
 * C library's sources of users. */
static int
allow_memory(scmp_filter_ctx filter, bool loads)
{
    static const char *const maps[] = { "mmap", "mmap2", "mprotect" };
    int rc = 0;
    size_t i;

    for (i = 0; i < sizeof(maps) / sizeof(maps[0]) && rc == 0; i++)
        rc = allow_where(filter, maps[i], 2, loads ? 0 : PROT_EXEC, 0);
    return rc;
}

/* Of descriptors, not of paths: Landlock doesn't ask. */
static int
allow_times(scmp_filter_ctx filter)
{
    int rc = allow_where(filter, "utimensat", 1, ALL_BITS, 0);

    return rc != 0
               ? rc
               : allow_where(filter, "utimensat_time64", 1, ALL_BITS, 0);
}

/* Threads, no processes.  clone3 hides its flags in memory, so it is not
 * listed, and C libraries go back to clone. */
static int
allow_threads(scmp_filter_ctx filter)
{
    const scmp_datum_t flags = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND;

    return allow_where(filter, "clone", 0, flags, flags);
}

/* Limits are asked for and not set; signals are for oneself. */
static int
allow_oneself(scmp_filter_ctx filter)
{
    int rc = allow_where(filter, "prlimit64", 2, ALL_BITS, 0);

    return rc != 0 ? rc
                   : allow_where(filter, "tgkill", 0, INT_BITS,
                                 (scmp_datum_t)getpid());
}

/* The daemon that takes the log may come back; nobody else is called. */
static int
allow_log(scmp_filter_ctx filter)
{
    int log = logsocket_descriptor();

    return log < 0 ? 0
                   : allow_where(filter, "connect", 0, INT_BITS,
                                 (scmp_datum_t)log);
}

/* Of this machine: saslauthd, and those who know the users. */
static int
allow_local_sockets(scmp_filter_ctx filter)
{
    int rc = allow_where(filter, "socket", 0, INT_BITS, AF_UNIX);

    return rc != 0 ? rc
                   : seccomp_rule_add(filter, SCMP_ACT_ALLOW,
                                      SCMP_SYS(connect), 0);
}

static int
add_rules(scmp_filter_ctx filter, const struct settings *settings,
          enum confine_kind kind)
{
    const bool tickets =
        kind == CONFINE_AUTH || (kind == CONFINE_WORKER && settings->layers);
    int rc = allow_calls(filter, settings, kind);

    if (rc == 0)
        rc = allow_memory(filter, tickets);
    if (rc == 0)
        rc = allow_oneself(filter);
    if (rc == 0 && kind == CONFINE_WORKER)
        rc = allow_threads(filter);
    if (rc == 0 && kind == CONFINE_WORKER)
        rc = allow_times(filter);
    if (rc == 0)
        rc = tickets ? allow_local_sockets(filter) : allow_log(filter);
    return rc;
}

int
confine_calls(const struct settings *settings, enum confine_kind kind)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int rc;

    if (filter == NULL) {
        errno = ENOMEM;
        return -1;
    }
    rc = add_rules(filter, settings, kind);
    if (rc == 0)
        rc = seccomp_load(filter);
    seccomp_release(filter);
    errno = -rc;
    return rc == 0 ? 0 : -1;
}
