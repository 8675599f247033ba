/*
 * syscalls_fixture.c - the child, its filter and the loop that answers it.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "tests/unit/syscalls_fixture.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/check.h"

#define SYS_MARK SYS_getppid

void
syscalls_mark(void)
{
    (void)syscall(SYS_MARK);
}

const char *
syscalls_lack(void)
{
    const char *checker = getenv("KPOP_CHECKER");
    struct seccomp_notif_sizes sizes;

    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) != 0)
        return "this kernel or container has no seccomp notification";
    if (checker != NULL && strcmp(checker, "valgrind") == 0)
        return "valgrind's own calls would be judged, too";
    return NULL;
}

size_t
syscalls_read(const struct syscalls_call *call, uint64_t address, void *out,
              size_t size)
{
    struct iovec to = { out, size };
    struct iovec from = { 0 };
    ssize_t got;

    /* A number that is a pointer of the child's. */
    memcpy(&from.iov_base, &address, sizeof(from.iov_base));
    from.iov_len = size;
    got = process_vm_readv(call->pid, &to, 1, &from, 1, 0);
    return got < 0 ? 0 : (size_t)got;
}

void
syscalls_path(const struct syscalls_call *call, int fd, char *out,
              size_t size)
{
    char name[64];
    ssize_t len;

    snprintf(name, sizeof(name), "/proc/%d/fd/%d", (int)call->pid, fd);
    len = readlink(name, out, size - 1);
    out[len < 0 ? 0 : len] = '\0';
}

/* ---- the child ---- */

/* Everything is asked about, but sendmsg(), which hands over the listener. */
static int
install_filter(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendmsg, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
    };
    const struct sock_fprog program = {
        sizeof(filter) / sizeof(filter[0]), filter
    };

    /* Without a judge all calls fail, those to end oneself among them. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0
        || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                        SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

/* The listener with one octet around it. */
struct parcel {
    struct msghdr msg;
    struct iovec iov;
    char octet;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
};

static struct cmsghdr *
wrap(struct parcel *parcel)
{
    memset(parcel, 0, sizeof(*parcel));
    parcel->iov.iov_base = &parcel->octet;
    parcel->iov.iov_len = 1;
    parcel->msg.msg_iov = &parcel->iov;
    parcel->msg.msg_iovlen = 1;
    parcel->msg.msg_control = parcel->control;
    parcel->msg.msg_controllen = sizeof(parcel->control);
    return CMSG_FIRSTHDR(&parcel->msg);
}

static void
be_child(int channel, void (*body)(void *arg), void *arg)
{
    struct parcel parcel;
    struct cmsghdr *control = wrap(&parcel);
    int listener = install_filter();

    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(control), &listener, sizeof(int));
    if (listener < 0 || sendmsg(channel, &parcel.msg, 0) != 1)
        _exit(99);
    close(listener);
    close(channel);
    body(arg);
    exit(0); /* and not _exit(): what counts coverage and leaks runs now */
}

/* ---- the judge's side ---- */

/* Allocations fail by name in other tests; a sanitizer needs its memory. */
static bool
is_exempt(int nr)
{
    static const int exempt[] = {
        SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_brk,
        SYS_futex, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_sigaltstack,
        SYS_getpid, SYS_gettid, SYS_exit_group,
    };
    size_t i;

    for (i = 0; i < sizeof(exempt) / sizeof(exempt[0]); i++)
        if (nr == exempt[i])
            return true;
    return false;
}

static void
answer(int listener, pid_t child, syscalls_judge_fn *judge, void *arg)
{
    struct syscalls_call call = { .pid = child };
    struct seccomp_notif asked;
    struct seccomp_notif_resp resp;
    struct pollfd ready = { listener, POLLIN, 0 };
    int marks = 0;
    int verdict;

    while (poll(&ready, 1, -1) >= 0 && (ready.revents & POLLIN) != 0) {
        uint64_t args[6];

        memset(&asked, 0, sizeof(asked));
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0)
            continue; /* it died meanwhile */
        verdict = 0;
        if (asked.data.nr == SYS_MARK) {
            marks++;
        } else if (marks == 1 && !is_exempt(asked.data.nr)) {
            memcpy(args, asked.data.args, sizeof(args));
            call.number++;
            call.nr = asked.data.nr;
            call.args = args;
            verdict = judge(arg, &call);
        }
        if (verdict == SYSCALLS_KILL) {
            (void)kill(child, SIGKILL);
            continue;
        }
        memset(&resp, 0, sizeof(resp));
        resp.id = asked.id;
        resp.error = -verdict;
        resp.flags = verdict == 0 ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
        (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp);
    }
}

static int
receive_listener(int channel)
{
    struct parcel parcel;
    const struct cmsghdr *control = wrap(&parcel);
    int listener = -1;

    if (recvmsg(channel, &parcel.msg, MSG_CMSG_CLOEXEC) == 1
        && parcel.msg.msg_controllen >= CMSG_LEN(sizeof(int)))
        memcpy(&listener, CMSG_DATA(control), sizeof(int));
    return listener;
}

int
syscalls_watch(void (*body)(void *arg), void *arg, syscalls_judge_fn *judge,
               void *judge_arg)
{
    int channel[2];
    int listener;
    int status;
    pid_t child;

    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, channel), 0);
    (void)fflush(NULL);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(channel[0]);
        be_child(channel[1], body, arg);
    }
    close(channel[1]);
    listener = receive_listener(channel[0]);
    close(channel[0]);
    if (listener >= 0) {
        answer(listener, child, judge, judge_arg);
        close(listener);
    }
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(listener >= 0);
    return status;
}
