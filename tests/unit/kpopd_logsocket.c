/*
 * kpopd_logsocket.c - the lines to a syslog daemon that is slow, away, or
 * started anew: nothing waits, and what is lost is counted and told.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/logsocket.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/process.h"
#include "plugin/kpop_plugin.h"
#include "tests/lib/check.h"

static char folder[] = "/tmp/kpop-logsocket-XXXXXX"; /* of each test */
static char path[sizeof(folder) + 8];
static int syslogd = -1;
static char got[LOG_LINE_MAX + 100];

static void
start_daemon(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    strcpy(address.sun_path, path);
    syslogd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(syslogd >= 0);
    CHECK_INT(bind(syslogd, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void
stop_daemon(void)
{
    close(syslogd);
    CHECK_INT(unlink(path), 0);
}

/* The next datagram into got; false when there is none. */
static bool
receive(void)
{
    ssize_t len = recv(syslogd, got, sizeof(got) - 1, 0);

    if (len < 0)
        return false;
    got[len] = '\0';
    return true;
}

static void
line(const char *text)
{
    log_event(KPOP_LOG_INFO, "test.line", "%s", text);
}

/* The rest of got behind what it begins with: "<22>Nov 23 21:00:00 ". */
static const char *
after_time(const char *priority)
{
    CHECK(strncmp(got, priority, strlen(priority)) == 0);
    CHECK(strlen(got) > strlen(priority) + 16);
    return got + strlen(priority) + 16;
}

static void
begin(void)
{
    strcpy(folder, "/tmp/kpop-logsocket-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/log", folder);
    start_daemon();
    log_syslog_at(path);
    log_set(true, KPOP_LOG_INFO);
}

static void
end(void)
{
    log_set(false, KPOP_LOG_INFO);
    stop_daemon();
    (void)rmdir(folder);
}

TEST(line_is_one_datagram_of_rfc_3164)
{
    char want[200];

    begin();
    line("key=value");
    CHECK(receive());
    snprintf(want, sizeof(want),
             "kpopd[%ld]: event=test.line level=info pid=%ld key=value",
             (long)getpid(), (long)getpid());
    CHECK_STR(after_time("<22>"), want);
    log_event(KPOP_LOG_ERROR, "test.line", "x=1");
    CHECK(receive());
    CHECK(strncmp(got, "<19>", 4) == 0);
    CHECK(!receive());
    end();
}

TEST(slow_daemon_stops_nobody_and_is_told_how_many_were_dropped)
{
    enum { LINES = 20000 };
    unsigned long taken = 0;
    char want[60];
    int i;

    begin();
    alarm(60); /* a line that waits would wait for ever */
    for (i = 0; i < LINES; i++)
        line("n=1");
    alarm(0);
    while (receive())
        taken++;
    CHECK(taken > 0 && taken < LINES);
    line("n=2");
    CHECK(receive());
    CHECK(strstr(after_time("<20>"), "event=log.dropped ") != NULL);
    snprintf(want, sizeof(want), " lines=%lu ", LINES - taken);
    CHECK(strstr(got, want) != NULL);
    CHECK(receive());
    CHECK(strstr(got, "n=2") != NULL);
    line("n=3");
    CHECK(receive());
    CHECK(strstr(got, "n=3") != NULL);
    end();
}

TEST(daemon_that_is_started_anew_gets_the_lines_again)
{
    int before;

    begin();
    before = logsocket_descriptor();
    line("n=1");
    stop_daemon();
    line("n=2");
    line("n=3");
    start_daemon();
    line("n=4");
    CHECK(receive());
    CHECK(strstr(got, "event=log.dropped ") != NULL);
    CHECK(strstr(got, " lines=2 ") != NULL);
    CHECK(receive());
    CHECK(strstr(got, "n=4") != NULL);
    stop_daemon();
    start_daemon();
    line("n=5"); /* none is lost when it is back before the next */
    CHECK(receive());
    CHECK(strstr(got, "n=5") != NULL);
    CHECK_INT(logsocket_descriptor(), before);
    end();
}

TEST(daemon_that_comes_later_is_found)
{
    begin();
    stop_daemon();
    log_set(true, KPOP_LOG_INFO);
    line("n=1");
    start_daemon();
    line("n=2");
    CHECK(receive());
    CHECK(strstr(got, " lines=1 ") != NULL);
    CHECK(receive());
    CHECK(strstr(got, "n=2") != NULL);
    end();
}

TEST(line_that_is_too_long_is_cut)
{
    static char text[3 * LOG_LINE_MAX];

    memset(text, 'x', sizeof(text) - 1);
    begin();
    line(text);
    CHECK(receive());
    CHECK(strlen(got) < LOG_LINE_MAX + 80);
    CHECK(strlen(got) > LOG_LINE_MAX - 80);
    end();
}

/* In a child: 0 when all but 0, 1, 2, keep and the socket is closed and the
 * socket is still the daemon's. */
static int
be_child(int keep, int parent)
{
    int fd;

    if (process_begin_child(keep, SIGKILL, parent) != 0)
        return 1;
    for (fd = 3; fd < 64; fd++)
        if ((fcntl(fd, F_GETFD) >= 0)
            != (fd == keep || fd == logsocket_descriptor()))
            return 2;
    line("from=child");
    return 0;
}

static void
check_child(int keep)
{
    int parent = (int)getpid();
    pid_t pid = fork();
    int status = -1;

    CHECK(pid >= 0);
    if (pid == 0)
        _exit(be_child(keep, parent));
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    CHECK(receive());
    CHECK(strstr(got, "from=child") != NULL);
}

TEST(child_keeps_the_socket_and_closes_what_is_around_it)
{
    int around[6];
    size_t i;

    begin();
    for (i = 0; i < 6; i++)
        CHECK((around[i] = fcntl(syslogd, F_DUPFD, 3)) >= 0);
    check_child(around[0]);
    check_child(around[5]);
    check_child(logsocket_descriptor() + 1);
    check_child(3);
    for (i = 0; i < 6; i++)
        close(around[i]);
    end();
}

TEST_MAIN("kpopd_logsocket", T(line_is_one_datagram_of_rfc_3164),
          T(slow_daemon_stops_nobody_and_is_told_how_many_were_dropped),
          T(daemon_that_is_started_anew_gets_the_lines_again),
          T(daemon_that_comes_later_is_found),
          T(line_that_is_too_long_is_cut),
          T(child_keeps_the_socket_and_closes_what_is_around_it))
