/*
 * preload_faults.c - one call of a program fails: the one of number
 * $KPOP_TEST_FAIL_AT, and with $KPOP_TEST_FAIL_ON all behind it.  Counted are
 * calls of what is listed below, by the program and by kpop.so, in each
 * process anew from where its parent stood.  The call that failed is written
 * to the file $KPOP_TEST_FAILED; without KPOP_TEST_FAIL_AT nothing changes.
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
#include <krb5.h>
#include <netdb.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pwd.h>
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
#include <sys/wait.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static bool over; /* main() has returned: gcov writes its figures */

/* Is it an address of kpopd, kpopctl or kpop.so? */
static bool
is_ours(void *caller)
{
    const char *base;
    Dl_info info;

    if (dladdr(caller, &info) == 0 || info.dli_fname == NULL)
        return false;
    base = strrchr(info.dli_fname, '/');
    return strncmp(base != NULL ? base + 1 : info.dli_fname, "kpop", 4) == 0;
}

static void
note(const char *name)
{
    const char *path = getenv("KPOP_TEST_FAILED");
    int fd = path == NULL ? -1 : open(path, O_WRONLY | O_APPEND | O_CREAT,
                                      0666);

    if (fd < 0)
        return;
    dprintf(fd, "%s\n", name);
    close(fd);
}

static bool
fails(void *caller, const char *name, int error)
{
    static long at = -1;
    static bool on;
    static bool busy;

    if (at < 0) {
        const char *text = getenv("KPOP_TEST_FAIL_AT");

        at = text != NULL ? atol(text) : 0;
        on = getenv("KPOP_TEST_FAIL_ON") != NULL;
    }
    if (at == 0 || over || busy || !is_ours(caller) || --at > 0)
        return false;
    at = on ? 1 : 0;
    busy = true;
    note(name);
    busy = false;
    errno = error;
    return true;
}

/* POSIX lets dlsym() give functions; ISO C has no cast for that. */
static void
next(const char *name, void *function_out)
{
    void *symbol = dlsym(RTLD_NEXT, name);

    memcpy(function_out, &symbol, sizeof(symbol));
}

/* A function that returns `failed` with errno when its turn has come. */
#define FAULT(type, name, failed, error, parameters, arguments)             \
    EXPORT type name parameters                                             \
    {                                                                       \
        static type(*real) parameters;                                      \
                                                                            \
        if (fails(__builtin_return_address(0), #name, error))               \
            return failed;                                                  \
        if (real == NULL)                                                   \
            next(#name, &real);                                             \
        return real arguments;                                              \
    }

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

FAULT(ssize_t, read, -1, EIO, (int fd, void *at, size_t n), (fd, at, n))
FAULT(ssize_t, pread, -1, EIO, (int fd, void *at, size_t n, off_t from),
      (fd, at, n, from))
FAULT(ssize_t, write, -1, ENOSPC, (int fd, const void *at, size_t n),
      (fd, at, n))
FAULT(int, fsync, -1, EIO, (int fd), (fd))
FAULT(int, stat, -1, EIO, (const char *path, struct stat *st), (path, st))
FAULT(int, lstat, -1, EIO, (const char *path, struct stat *st), (path, st))
FAULT(int, fstat, -1, EIO, (int fd, struct stat *st), (fd, st))
FAULT(int, fstatat, -1, EIO,
      (int fd, const char *path, struct stat *st, int flags),
      (fd, path, st, flags))
FAULT(int, rename, -1, EIO, (const char *from, const char *to), (from, to))
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

FAULT(int, pipe2, -1, EMFILE, (int fds[2], int flags), (fds, flags))
FAULT(pid_t, fork, -1, EAGAIN, (void), ())
FAULT(int, socket, -1, EMFILE, (int domain, int type, int protocol),
      (domain, type, protocol))
FAULT(int, socketpair, -1, EMFILE,
      (int domain, int type, int protocol, int fds[2]),
      (domain, type, protocol, fds))
FAULT(int, bind, -1, EADDRINUSE,
      (int fd, __CONST_SOCKADDR_ARG at, socklen_t n), (fd, at, n))
FAULT(int, listen, -1, EADDRINUSE, (int fd, int backlog), (fd, backlog))
FAULT(int, connect, -1, ECONNREFUSED,
      (int fd, __CONST_SOCKADDR_ARG at, socklen_t n), (fd, at, n))
FAULT(int, setsockopt, -1, ENOPROTOOPT,
      (int fd, int level, int name, const void *at, socklen_t n),
      (fd, level, name, at, n))
FAULT(int, getsockname, -1, ENOBUFS,
      (int fd, __SOCKADDR_ARG at, socklen_t *n), (fd, at, n))
FAULT(ssize_t, send, -1, ECONNRESET,
      (int fd, const void *at, size_t n, int flags), (fd, at, n, flags))
FAULT(ssize_t, recv, -1, ECONNRESET,
      (int fd, void *at, size_t n, int flags), (fd, at, n, flags))
FAULT(ssize_t, sendmsg, -1, ECONNRESET,
      (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))
FAULT(ssize_t, recvmsg, -1, ECONNRESET,
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
