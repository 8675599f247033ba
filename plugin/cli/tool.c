/*
 * tool.c - kpopctl's end of the socket of kpopd.  Believes the answer only of
 * a kpopd of root's or of the caller's own, and only when it is whole.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/cli/tool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "plugin/host/kpopd/tool.h"

enum { ANSWER_MAX = 512 * 1024 * 1024, ANSWER_FIRST = 64 * 1024 };

static int complain(const struct cli *cli, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int
complain(const struct cli *cli, int status, const char *format, ...)
{
    char sentence[SETUP_ERROR_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    cli_error(cli, sentence);
    return status;
}

/* Why there is no connection. */
static int
explain(const struct cli *cli, const char *path, int error)
{
    if (error == EACCES || error == EPERM)
        return complain(cli, CLI_DENIED,
                        "%s: only root, or the user kpopd runs as, may ask "
                        "kpopd: try sudo",
                        path);
    if (error == ENOENT || error == ENOTDIR || error == ECONNREFUSED)
        return complain(cli, CLI_ABSENT,
                        "no kpopd runs by %s: nobody listens at %s",
                        cli->config, path);
    return complain(cli, CLI_ABSENT, "kpopd can't be asked: %s: %s", path,
                    strerror(error));
}

/* state_dir may be another user's, who could listen there. */
static bool
is_trusted(int fd)
{
    struct ucred who;
    socklen_t size = sizeof(who);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0
           && (who.uid == 0 || who.uid == geteuid());
}

static int
reach(const struct cli *cli, const struct sockaddr_un *address, int *fd_out)
{
    const struct timeval patience = { .tv_sec = TOOL_WAIT_S };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0)
        return explain(cli, address->sun_path, errno);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience))
            != 0
        || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
                      sizeof(patience))
               != 0
        || connect(fd, (const struct sockaddr *)address, sizeof(*address))
               != 0) {
        error = errno;
        close(fd);
        return explain(cli, address->sun_path, error);
    }
    if (!is_trusted(fd)) {
        close(fd);
        return complain(cli, CLI_DENIED,
                        "%s is neither root's nor yours: it is not asked",
                        address->sun_path);
    }
    *fd_out = fd;
    return CLI_GOOD;
}

static int
find_socket(const struct cli *cli, struct sockaddr_un *address_out)
{
    struct setup *setup = cli_read(cli);
    const char *state_dir;
    bool fits;

    if (setup == NULL)
        return CLI_BAD;
    state_dir = setup->api->get(setup->sessions, "state_dir");
    fits = tool_address(state_dir, address_out);
    if (!fits)
        (void)complain(cli, CLI_BAD,
                       "state_dir %.200s is too long for a socket's path",
                       state_dir);
    setup_free(setup);
    return fits ? CLI_GOOD : CLI_BAD;
}

static bool
send_all(int fd, const char *text)
{
    size_t left = strlen(text);
    ssize_t n;

    while (left > 0) {
        n = send(fd, text, left, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        text += n;
        left -= (size_t)n;
    }
    return true;
}

/* Everything until the end, terminated; NULL with errno. */
static char *
read_all(int fd)
{
    size_t room = ANSWER_FIRST;
    char *text = malloc(room);
    size_t len = 0;
    ssize_t got = 1;

    while (text != NULL && got != 0) {
        if (len + 1 == room) {
            char *more = room < ANSWER_MAX ? realloc(text, room * 2) : NULL;

            if (more == NULL) {
                free(text);
                errno = ENOMEM;
                return NULL;
            }
            text = more;
            room *= 2;
        }
        got = recv(fd, text + len, room - len - 1, 0);
        if (got > 0)
            len += (size_t)got;
        /* A reset is kpopd's way to let somebody go. */
        if (got < 0 && errno == ECONNRESET)
            break;
        if (got < 0 && errno != EINTR) {
            free(text);
            return NULL;
        }
    }
    if (text != NULL)
        text[len] = '\0';
    return text;
}

/* ---- lines ---- */

/* Splits at TABs. */
static void
split(char *line, struct tool_row *row)
{
    size_t i;

    for (i = 0; i < TOOL_FIELDS; i++)
        row->field[i] = "";
    for (i = 0; i < TOOL_FIELDS && line != NULL; i++)
        row->field[i] = strsep(&line, "\t");
}

static bool
parse(struct tool_answer *answer)
{
    char *rest = answer->text;
    size_t lines = 0;
    const char *p;

    for (p = answer->text; *p != '\0'; p++)
        lines += *p == '\n';
    answer->rows = calloc(lines + 1, sizeof(answer->rows[0]));
    if (answer->rows == NULL)
        return false;
    for (answer->count = 0; answer->count < lines; answer->count++)
        split(strsep(&rest, "\n"), &answer->rows[answer->count]);
    return true;
}

/* First and last line are taken off; an error is said. */
static int
judge(const struct cli *cli, struct tool_answer *answer)
{
    const struct tool_row *rows = answer->rows;
    const size_t count = answer->count;

    if (count == 0)
        return complain(cli, CLI_DENIED,
                        "kpopd let us go without a word: only root and the "
                        "user it runs as may ask, and few at a time");
    if (strcmp(rows[0].field[0], "kpopd") != 0
        || strcmp(rows[0].field[1], TOOL_PROTOCOL) != 0)
        return complain(cli, CLI_BAD,
                        "the running kpopd and kpopctl don't understand each "
                        "other: restart kpopd after an upgrade");
    if (strcmp(rows[count - 1].field[0], "end") != 0)
        return complain(cli, CLI_BAD, "kpopd's answer is not whole; try "
                                      "again");
    if (count == 3 && strcmp(rows[1].field[0], "error") == 0)
        return complain(cli, CLI_BAD, "%s", rows[1].field[1]);
    memmove(answer->rows, answer->rows + 1,
            (count - 2) * sizeof(answer->rows[0]));
    answer->count = count - 2;
    return CLI_GOOD;
}

int64_t
tool_number(const char *field)
{
    return strtoll(field, NULL, 10);
}

void
tool_free(struct tool_answer *answer)
{
    free(answer->text);
    free(answer->rows);
    memset(answer, 0, sizeof(*answer));
}

int
tool_ask(const struct cli *cli, const char *request,
         struct tool_answer *answer_out)
{
    struct sockaddr_un address;
    int status = find_socket(cli, &address);
    int fd = -1;

    memset(answer_out, 0, sizeof(*answer_out));
    if (status == CLI_GOOD)
        status = reach(cli, &address, &fd);
    if (status != CLI_GOOD)
        return status;
    /* Whoever is let go may have been answered before; kpopd must not wait for
     * the rest of what could not be sent. */
    if (!send_all(fd, request))
        (void)shutdown(fd, SHUT_WR);
    answer_out->text = read_all(fd);
    if (answer_out->text == NULL)
        status = complain(cli, CLI_ABSENT, "kpopd does not answer: %s",
                          strerror(errno == EAGAIN ? ETIMEDOUT : errno));
    else if (!parse(answer_out))
        status = complain(cli, CLI_BAD, "out of memory");
    else
        status = judge(cli, answer_out);
    close(fd);
    if (status != CLI_GOOD)
        tool_free(answer_out);
    return status;
}
