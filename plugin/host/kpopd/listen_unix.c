/*
 * listen_unix.c - makes Unix sockets of the master's.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/listen_unix.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int
new_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static bool
is_in_use(const struct sockaddr_un *address)
{
    int fd = new_socket();
    bool in_use;

    if (fd < 0)
        return false;
    in_use = connect(fd, (const struct sockaddr *)address, sizeof(*address))
                 == 0
             || errno == EAGAIN;
    close(fd);
    return in_use;
}

static bool
is_no_socket(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode);
}

static int
bind_here(const struct sockaddr_un *address, mode_t mode, int backlog)
{
    int fd = new_socket();
    mode_t mask;
    int rc;

    if (fd < 0)
        return -1;
    (void)unlink(address->sun_path);
    mask = umask(0777 & ~mode);
    rc = bind(fd, (const struct sockaddr *)address, sizeof(*address));
    (void)umask(mask);
    if (rc == 0 && listen(fd, backlog) == 0)
        return fd;
    rc = errno;
    close(fd);
    errno = rc;
    return -1;
}

int
listen_unix(const char *path, mode_t mode, int backlog, char *error,
            size_t error_size)
{
    struct sockaddr_un address;
    int fd;

    memset(&address, 0, sizeof(address));
    address.sun_family = AF_UNIX;
    if ((size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s",
                         path)
        >= sizeof(address.sun_path)) {
        snprintf(error, error_size, "the path is too long for a socket");
        return -1;
    }
    if (is_no_socket(path) || is_in_use(&address)) {
        snprintf(error, error_size,
                 "another kpopd listens there, or it is another kind of "
                 "file");
        return -1;
    }
    fd = bind_here(&address, mode, backlog);
    if (fd < 0)
        snprintf(error, error_size, "%s", strerror(errno));
    return fd;
}
