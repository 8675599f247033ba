/*
 * control_metrics.c - see control.h; the process of the metrics, in ours.
 *
 * SPDX-License-Identifier: MIT
 */
/* For its rules; the rest of kpopd is linked. */
#include "plugin/host/kpopd/metrics_serve.c"

#include "plugin/host/kpopd/ipc.h"
#include "tests/fuzz/control.h"

static struct server *
serve(void)
{
    static struct server server;
    int fds[2];

    if (server.talk.rules != NULL)
        return &server;
    script_expect(ipc_pair(fds) == 0 && begin(&server, fds[0]) == 0
                      && talk_open(&server.talk, control_listen()) == 0,
                  "a server of metrics");
    return &server;
}

/* A head, and a body of the length that the head says. */
static void
check_answer(const char *request, const char *text, size_t len)
{
    const char *body = strstr(text, "\r\n\r\n");
    const char *length = strstr(text, "\r\nContent-Length: ");
    size_t said;

    script_expect(strncmp(text, "HTTP/1.1 200 OK\r\n", 17) == 0
                      || strncmp(text, "HTTP/1.1 404 ", 13) == 0
                      || strncmp(text, "HTTP/1.1 405 ", 13) == 0,
                  "a status of HTTP");
    script_expect(strncmp(text, "HTTP/1.1 200 ", 13) != 0
                      || strncmp(request, "GET /metrics", 12) == 0
                      || strncmp(request, "HEAD /metrics", 13) == 0,
                  "metrics for who asks for them");
    script_expect(body != NULL && length != NULL && length < body,
                  "a head of HTTP");
    said = strtoul(length + 18, NULL, 10);
    body += 4;
    script_expect(len - (size_t)(body - text)
                      == (strncmp(request, "HEAD ", 5) == 0 ? 0 : said),
                  "a body as long as its head says");
}

void
control_metrics(struct script *script)
{
    static char text[CONTROL_ANSWER_MAX];
    struct server *server = serve();
    size_t piece = 1u + script_next(script);
    size_t size = script->size;
    char *request = malloc(size + 1);
    size_t len;

    script_expect(request != NULL, "memory");
    memcpy(request, script->data, size);
    request[size] = '\0';
    len = control_converse(&server->talk,
                           &(struct said){ request, size, piece }, NULL, NULL,
                           text);
    if (strstr(request, "\n\n") == NULL
        && strstr(request, "\r\n\r\n") == NULL)
        script_expect(len == 0, "no answer before the request is whole");
    else if (len > 0)
        check_answer(request, text, len);
    free(request);
}
