/*
 * metrics_serve.c - answers GET /metrics.  A process of its own, because it
 * reads what anybody on this machine sends: it runs as run_as, has no key, no
 * mail and no connection but to the master, and may read the counters only.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/metrics_serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "plugin/host/kpopd/control.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/metrics.h"
#include "plugin/host/kpopd/process.h"
#include "plugin/host/kpopd/talk.h"

enum { EVENTS = 16, TEND_MS = 1000 };

static const char openmetrics[] =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";
static const char plain[] = "text/plain; version=0.0.4; charset=utf-8";

/* ---- HTTP ---- */

static bool
is_whole(const char *request)
{
    return strstr(request, "\r\n\r\n") != NULL
           || strstr(request, "\n\n") != NULL;
}

/* Status line and head; the body follows. */
static void
print_head(FILE *out, const char *status, const char *type, size_t len)
{
    fprintf(out,
            "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
            "%sConnection: close\r\n\r\n",
            status, type, len,
            strncmp(status, "405", 3) == 0 ? "Allow: GET, HEAD\r\n" : "");
}

/* Sends status and body; a HEAD gets the head alone. */
static void
answer(struct talk_client *client, const char *status, const char *type,
       const char *body, size_t body_len)
{
    const bool is_head = strncmp(client->request, "HEAD ", 5) == 0;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    bool good = out != NULL;

    if (good) {
        print_head(out, status, type, body_len);
        if (!is_head)
            (void)fwrite(body, 1, body_len, out);
        good = ferror(out) == 0;
        good = fclose(out) == 0 && good;
    }
    if (!good) {
        free(text);
        text = NULL;
    }
    talk_answer(client, text, len);
}

static void
answer_metrics(struct talk_client *client)
{
    const bool is_new =
        strcasestr(client->request, "application/openmetrics-text") != NULL;
    char *body = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&body, &len);
    bool good = out != NULL;

    if (good) {
        metrics_print(out, is_new);
        good = ferror(out) == 0;
        good = fclose(out) == 0 && good;
    }
    if (good)
        answer(client, "200 OK", is_new ? openmetrics : plain, body, len);
    else
        talk_answer(client, NULL, 0);
    free(body);
}

/* The path of the first line ends at a blank or a query. */
static bool
asks_for(const char *request, const char *path)
{
    const char *at = strchr(request, ' ');
    const size_t len = strlen(path);

    return at != NULL && strncmp(at + 1, path, len) == 0
           && (at[1 + len] == ' ' || at[1 + len] == '?');
}

static void
ask(void *arg, struct talk_client *client)
{
    static const char nothing[] = "the metrics are at /metrics\n";
    static const char method[] = "GET or HEAD\n";
    const char *request = client->request;

    (void)arg;
    if (strncmp(request, "GET ", 4) != 0 && strncmp(request, "HEAD ", 5) != 0)
        answer(client, "405 Method Not Allowed", plain, method,
               sizeof(method) - 1);
    else if (asks_for(request, "/metrics"))
        answer_metrics(client);
    else
        answer(client, "404 Not Found", plain, nothing, sizeof(nothing) - 1);
}

/* ---- the process ---- */

struct server {
    struct source control_source; /* first: epoll gives it back */
    struct talk talk;
    int control;
    bool leaving; /* the master let us go */
};

/* Behind a reload the next process listens already; whoever this one accepted
 * has its answer first. */
static void
leave(struct server *server)
{
    server->leaving = true;
    (void)epoll_ctl(server->talk.epoll, EPOLL_CTL_DEL, server->control, NULL);
    talk_leave(&server->talk, process_now());
}

static void
on_control(struct source *source, uint32_t events)
{
    struct server *server = (struct server *)source;
    struct control control;
    int pass = -1;
    int rc = control_recv(server->control, &control, &pass);

    (void)events;
    if (rc == 0 || (rc < 0 && errno != EAGAIN)) {
        leave(server);
        return;
    }
    if (rc < 0)
        return;
    if (control.type == CONTROL_LISTENER && pass >= 0
        && server->talk.fd < 0) {
        if (talk_open(&server->talk, pass) != 0)
            leave(server);
    } else if (pass >= 0) {
        close(pass);
    }
}

static int
begin(struct server *server, int control_fd)
{
    static const struct talk_rules rules = { NULL, is_whole, ask };
    const struct control ready = { .type = CONTROL_READY };
    struct epoll_event event;
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    if (epoll < 0)
        return -1;
    server->control_source.ready = on_control;
    server->control = control_fd;
    talk_init(&server->talk, &rules, NULL, epoll);
    memset(&event, 0, sizeof(event));
    event.events = EPOLLIN;
    event.data.ptr = &server->control_source;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, control_fd, &event) == 0
        && control_send(control_fd, &ready, -1) == 0)
        return 0;
    close(epoll);
    return -1;
}

int
metrics_serve(int control_fd)
{
    struct epoll_event events[EVENTS];
    struct server *server = calloc(1, sizeof(*server));
    struct source *source;
    int count;
    int i;

    metrics_only_read();
    if (server == NULL || begin(server, control_fd) != 0) {
        log_event(KPOP_LOG_ERROR, "process.fail",
                  "text=\"the metrics can't be served\" error=\"%s\"",
                  strerror(errno));
        free(server);
        return 1;
    }
    while (!server->leaving || !talk_is_empty(&server->talk)) {
        count = epoll_wait(server->talk.epoll, events, EVENTS, TEND_MS);
        for (i = 0; i < count; i++) {
            source = events[i].data.ptr;
            source->ready(source, events[i].events);
        }
        talk_tend(&server->talk, process_now());
    }
    talk_close(&server->talk);
    close(server->talk.epoll);
    free(server);
    return 0;
}
