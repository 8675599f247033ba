/*
 * preload_faults.c - one call of a program fails.  Counted are calls of what
 * is listed below, by the program and by kpop.so.  Which one it is says
 *
 *   $KPOP_TEST_FAIL_AT  its number; each process counts on from where its
 *                       parent stood.  With $KPOP_TEST_FAIL_ON all behind it
 *                       fail, too; what failed is written to the file
 *                       $KPOP_TEST_FAILED.
 *   $KPOP_TEST_FAULTS   a file that the test maps as well (struct turn, and
 *                       harness/faults.py): while the program runs, the test
 *                       lists its calls, and lets one of them fail.
 *
 * With neither of them nothing changes.
 *
 * Loaded by LD_PRELOAD by tests only; never installed.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <krb5.h>
#include <netdb.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/preload_fault.h"

/* ---- memory ---- */

/* dlsym() may ask for memory. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

EXPORT void *
malloc(size_t size)
{
    return fails(__builtin_return_address(0), "malloc", ENOMEM)
               ? NULL : __libc_malloc(size);
}

EXPORT void *
calloc(size_t count, size_t size)
{
    return fails(__builtin_return_address(0), "calloc", ENOMEM)
               ? NULL : __libc_calloc(count, size);
}

EXPORT void *
realloc(void *old, size_t size)
{
    return fails(__builtin_return_address(0), "realloc", ENOMEM)
               ? NULL : __libc_realloc(old, size);
}

FAULT(void *, reallocarray, NULL, ENOMEM,
      (void *old, size_t count, size_t size), (old, count, size))
FAULT(char *, strdup, NULL, ENOMEM, (const char *text), (text))
FAULT(char *, strndup, NULL, ENOMEM, (const char *text, size_t n), (text, n))
FAULT(void *, mmap, MAP_FAILED, ENOMEM,
      (void *at, size_t size, int prot, int flags, int fd, off_t offset),
      (at, size, prot, flags, fd, offset))
FAULT(FILE *, open_memstream, NULL, ENOMEM, (char **text, size_t *size),
      (text, size))

EXPORT int
asprintf(char **text_out, const char *format, ...)
{
    va_list list;
    int rc;

    if (fails(__builtin_return_address(0), "asprintf", ENOMEM))
        return -1;
    va_start(list, format);
    rc = vasprintf(text_out, format, list);
    va_end(list);
    return rc;
}

int __asprintf_chk(char **text_out, int flag, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

EXPORT int
__asprintf_chk(char **text_out, int flag, const char *format, ...)
{
    va_list list;
    int rc;

    (void)flag;
    if (fails(__builtin_return_address(0), "asprintf", ENOMEM))
        return -1;
    va_start(list, format);
    rc = vasprintf(text_out, format, list);
    va_end(list);
    return rc;
}

/* ---- files ---- */

EXPORT int
open(const char *path, int flags, ...)
{
    static int (*real)(const char *, int, ...);
    mode_t mode = 0;
    va_list list;

    if (flags & (O_CREAT | __O_TMPFILE)) {
        va_start(list, flags);
        mode = va_arg(list, mode_t);
        va_end(list);
    }
    if (fails(__builtin_return_address(0), "open", EMFILE))
        return -1;
    if (real == NULL)
        next("open", &real);
    return real(path, flags, mode);
}

EXPORT int
openat(int fd, const char *path, int flags, ...)
{
    static int (*real)(int, const char *, int, ...);
    mode_t mode = 0;
    va_list list;

    if (flags & (O_CREAT | __O_TMPFILE)) {
        va_start(list, flags);
        mode = va_arg(list, mode_t);
        va_end(list);
    }
    if (fails(__builtin_return_address(0), "openat", EMFILE))
        return -1;
    if (real == NULL)
        next("openat", &real);
    return real(fd, path, flags, mode);
}

/* Not of what the test reads itself. */
EXPORT ssize_t
write(int fd, const void *at, size_t n)
{
    static ssize_t (*real)(int, const void *, size_t);

    if (fd != STDERR_FILENO
        && fails(__builtin_return_address(0), "write", ENOSPC))
        return -1;
    if (real == NULL)
        next("write", &real);
    return real(fd, at, n);
}

FAULT(ssize_t, read, -1, EIO, (int fd, void *at, size_t n), (fd, at, n))
FAULT(ssize_t, pread, -1, EIO, (int fd, void *at, size_t n, off_t from),
      (fd, at, n, from))
FAULT(int, fsync, -1, EIO, (int fd), (fd))
FAULT(int, stat, -1, EIO, (const char *path, struct stat *st), (path, st))
FAULT(int, lstat, -1, EIO, (const char *path, struct stat *st), (path, st))
FAULT(int, fstat, -1, EIO, (int fd, struct stat *st), (fd, st))
FAULT(int, fstatat, -1, EIO,
      (int fd, const char *path, struct stat *st, int flags),
      (fd, path, st, flags))
FAULT(int, rename, -1, EIO, (const char *from, const char *to), (from, to))
FAULT(ssize_t, preadv2, -1, EIO,
      (int fd, const struct iovec *at, int n, off_t from, int flags),
      (fd, at, n, from, flags))
FAULT(int, unlinkat, -1, EIO, (int fd, const char *path, int flags),
      (fd, path, flags))
FAULT(int, renameat2, -1, EIO,
      (int from, const char *old, int to, const char *new, unsigned flags),
      (from, old, to, new, flags))
FAULT(int, futimens, -1, EIO, (int fd, const struct timespec at[2]),
      (fd, at))
FAULT(int, unlink, -1, EIO, (const char *path), (path))
FAULT(int, mkdir, -1, ENOSPC, (const char *path, mode_t mode), (path, mode))
FAULT(int, fchown, -1, EPERM, (int fd, uid_t uid, gid_t gid), (fd, uid, gid))
FAULT(int, chmod, -1, EPERM, (const char *path, mode_t mode), (path, mode))
FAULT(int, flock, -1, ENOLCK, (int fd, int how), (fd, how))
FAULT(ssize_t, readlink, -1, EIO, (const char *path, char *at, size_t n),
      (path, at, n))
FAULT(DIR *, opendir, NULL, EMFILE, (const char *path), (path))
FAULT(DIR *, fdopendir, NULL, ENOMEM, (int fd), (fd))
FAULT(FILE *, fopen, NULL, EMFILE, (const char *path, const char *mode),
      (path, mode))
FAULT(FILE *, fdopen, NULL, ENOMEM, (int fd, const char *mode), (fd, mode))

/* ---- processes and sockets ---- */

/* Landlock has no other name. */
EXPORT long
syscall(long number, ...)
{
    static long (*real)(long, ...);
    long words[6];
    va_list list;
    int i;

    if (fails(__builtin_return_address(0), "syscall", EINVAL))
        return -1;
    if (real == NULL)
        next("syscall", &real);
    va_start(list, number);
    for (i = 0; i < 6; i++)
        words[i] = va_arg(list, long);
    va_end(list);
    return real(number, words[0], words[1], words[2], words[3], words[4],
                words[5]);
}

FAULT(int, pipe2, -1, EMFILE, (int fds[2], int flags), (fds, flags))
FAULT(pid_t, fork, -1, EAGAIN, (void), ())
FAULT(int, pthread_create, EAGAIN, EAGAIN,
      (pthread_t *thread, const pthread_attr_t *attr, void *(*body)(void *),
       void *arg),
      (thread, attr, body, arg))
FAULT(int, initgroups, -1, EPERM, (const char *name, gid_t gid), (name, gid))
FAULT(int, setresgid, -1, EPERM, (gid_t r, gid_t e, gid_t s), (r, e, s))
FAULT(int, setresuid, -1, EAGAIN, (uid_t r, uid_t e, uid_t s), (r, e, s))
FAULT(int, getresuid, -1, EIO, (uid_t *r, uid_t *e, uid_t *s), (r, e, s))
FAULT(int, getresgid, -1, EIO, (gid_t *r, gid_t *e, gid_t *s), (r, e, s))
FAULT(scmp_filter_ctx, seccomp_init, NULL, ENOMEM, (uint32_t otherwise),
      (otherwise))
FAULT(int, seccomp_load, -EACCES, EACCES, (scmp_filter_ctx filter), (filter))
FAULT(int, socket, -1, EMFILE, (int domain, int type, int protocol),
      (domain, type, protocol))
FAULT(int, socketpair, -1, EMFILE,
      (int domain, int type, int protocol, int fds[2]),
      (domain, type, protocol, fds))
FAULT(int, bind, -1, EADDRINUSE,
      (int fd, __CONST_SOCKADDR_ARG at, socklen_t n), (fd, at, n))
FAULT(int, listen, -1, EADDRINUSE, (int fd, int backlog), (fd, backlog))
FAULT(int, accept4, -1, EMFILE,
      (int fd, __SOCKADDR_ARG at, socklen_t *n, int flags),
      (fd, at, n, flags))
FAULT(int, connect, -1, ECONNREFUSED,
      (int fd, __CONST_SOCKADDR_ARG at, socklen_t n), (fd, at, n))
FAULT(int, setsockopt, -1, ENOPROTOOPT,
      (int fd, int level, int name, const void *at, socklen_t n),
      (fd, level, name, at, n))
FAULT(int, getsockopt, -1, ENOPROTOOPT,
      (int fd, int level, int name, void *at, socklen_t *n),
      (fd, level, name, at, n))
FAULT(int, getsockname, -1, ENOBUFS,
      (int fd, __SOCKADDR_ARG at, socklen_t *n), (fd, at, n))
FAULT(ssize_t, send, -1, ECONNRESET,
      (int fd, const void *at, size_t n, int flags), (fd, at, n, flags))
FAULT(ssize_t, recv, -1, ECONNRESET,
      (int fd, void *at, size_t n, int flags), (fd, at, n, flags))
FAULT(ssize_t, sendmsg, -1, ENOBUFS,
      (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))
FAULT(ssize_t, recvmsg, -1, ENOMEM,
      (int fd, struct msghdr *msg, int flags), (fd, msg, flags))
FAULT(int, getaddrinfo, EAI_MEMORY, ENOMEM,
      (const char *node, const char *service, const struct addrinfo *hints,
       struct addrinfo **out),
      (node, service, hints, out))
FAULT(struct passwd *, getpwnam, NULL, EIO, (const char *name), (name))
FAULT(int, epoll_create1, -1, EMFILE, (int flags), (flags))
FAULT(int, epoll_ctl, -1, ENOMEM,
      (int fd, int op, int other, struct epoll_event *event),
      (fd, op, other, event))
FAULT(int, eventfd, -1, EMFILE, (unsigned count, int flags), (count, flags))
FAULT(int, signalfd, -1, EMFILE, (int fd, const sigset_t *set, int flags),
      (fd, set, flags))

/* ---- libraries ---- */

FAULT(krb5_error_code, krb5_init_context, ENOMEM, ENOMEM,
      (krb5_context *out), (out))
FAULT(krb5_error_code, krb5_parse_name, ENOMEM, ENOMEM,
      (krb5_context context, const char *name, krb5_principal *out),
      (context, name, out))
FAULT(krb5_error_code, krb5_unparse_name, ENOMEM, ENOMEM,
      (krb5_context context, krb5_const_principal principal, char **out),
      (context, principal, out))
FAULT(krb5_error_code, krb5_kt_resolve, ENOMEM, ENOMEM,
      (krb5_context context, const char *name, krb5_keytab *out),
      (context, name, out))
FAULT(krb5_error_code, krb5_kt_start_seq_get, EIO, EIO,
      (krb5_context context, krb5_keytab keytab, krb5_kt_cursor *out),
      (context, keytab, out))
FAULT(krb5_error_code, krb5_cc_default, ENOMEM, ENOMEM,
      (krb5_context context, krb5_ccache *out), (context, out))
FAULT(krb5_error_code, krb5_cc_get_principal, KRB5_FCC_NOFILE, EIO,
      (krb5_context context, krb5_ccache cache, krb5_principal *out),
      (context, cache, out))
FAULT(krb5_error_code, krb5_get_credentials, KRB5_KDC_UNREACH, EIO,
      (krb5_context context, krb5_flags options, krb5_ccache cache,
       krb5_creds *in, krb5_creds **out),
      (context, options, cache, in, out))
FAULT(int, RAND_bytes, 0, EIO, (unsigned char *at, int n), (at, n))
FAULT(EVP_MD_CTX *, EVP_MD_CTX_new, NULL, ENOMEM, (void), ())
FAULT(SSL_CTX *, SSL_CTX_new, NULL, ENOMEM, (const SSL_METHOD *method),
      (method))
FAULT(SSL *, SSL_new, NULL, ENOMEM, (SSL_CTX *context), (context))

/* ---- the end of main() ---- */

typedef int main_fn(int, char **, char **);
static main_fn *real_main;

static int
counted_main(int argc, char **argv, char **envp)
{
    int rc = real_main(argc, argv, envp);

    over = true;
    return rc;
}

int __libc_start_main(main_fn *main_of, int argc, char **argv,
                      void (*init)(void), void (*fini)(void),
                      void (*rtld_fini)(void), void *stack_end);

EXPORT int
__libc_start_main(main_fn *main_of, int argc, char **argv,
                  void (*init)(void), void (*fini)(void),
                  void (*rtld_fini)(void), void *stack_end)
{
    static int (*real)(main_fn *, int, char **, void (*)(void),
                       void (*)(void), void (*)(void), void *);

    next("__libc_start_main", &real);
    real_main = main_of;
    return real(counted_main, argc, argv, init, fini, rtld_fini, stack_end);
}

EXPORT void
exit(int status)
{
    static void (*real)(int) __attribute__((noreturn));

    over = true;
    next("exit", &real);
    real(status);
}
