/*
 * login_password.c - a password for `kpopctl login`: from a file, or typed on
 * the terminal without echo.  Never from the command line, where everybody
 * could read it.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "plugin/cli/login.h"

/* The first line. */
static int
read_line(int fd, char *out)
{
    size_t len = 0;
    char octet = '\0';
    ssize_t n;

    while ((n = read(fd, &octet, 1)) != 0 && octet != '\n') {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || len + 1 >= LOGIN_PASSWORD_MAX)
            return -1;
        out[len++] = octet;
    }
    if (len > 0 && out[len - 1] == '\r')
        len--;
    out[len] = '\0';
    return memchr(out, '\0', len) == NULL ? 0 : -1;
}

static int
from_file(const char *path, char *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    int rc = -1;

    if (fd < 0 || fstat(fd, &st) != 0) {
        fprintf(stderr, "kpopctl: %s: %s\n", path, strerror(errno));
    } else if (S_ISREG(st.st_mode) && (st.st_mode & (S_IRWXG | S_IRWXO))) {
        fprintf(stderr, "kpopctl: %s: others may read the password; chmod "
                "600 it\n", path);
    } else if (read_line(fd, out) != 0) {
        fprintf(stderr, "kpopctl: %s: has no line of up to %d octets\n", path,
                LOGIN_PASSWORD_MAX - 1);
    } else {
        rc = 1;
    }
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

static int
from_terminal(const char *host, char *out)
{
    struct termios shown;
    struct termios hidden;
    int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return 0;
    if (tcgetattr(fd, &shown) != 0) {
        (void)close(fd);
        return 0;
    }
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    (void)tcsetattr(fd, TCSAFLUSH, &hidden);
    dprintf(fd, "Password for %s (empty: none): ", host);
    rc = read_line(fd, out);
    (void)tcsetattr(fd, TCSAFLUSH, &shown);
    dprintf(fd, "\n");
    (void)close(fd);
    return rc == 0 && out[0] != '\0' ? 1 : 0;
}

int
login_password(const struct cli *cli, const char *host, char *out)
{
    if (cli->password_file != NULL)
        return from_file(cli->password_file, out);
    return isatty(STDIN_FILENO) ? from_terminal(host, out) : 0;
}
