/*
 * master_tool.c - the master's socket for kpopctl.  Runs with the rights of
 * the master, so it reads one short line of whom the kernel calls root or
 * ourselves, and of nobody else.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugin/host/kpopd/listen_unix.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/master_internal.h"
#include "plugin/host/kpopd/process.h"
#include "plugin/host/kpopd/tool.h"

enum { BACKLOG = 64 };

/* The sessions a client of the socket waits for. */
struct kicked {
    size_t count;
    size_t left; /* looked at from the end; what is behind is gone */
    struct {
        uint64_t id;
        char user[CONTROL_USER_MAX + 1];
    } of[];
};

/* ---- answers ---- */

/* NULL without memory; finish() then lets the client go. */
static FILE *
begin(char **text, size_t *len)
{
    FILE *out;

    *text = NULL;
    *len = 0;
    out = open_memstream(text, len);
    if (out != NULL)
        fputs("kpopd\t" TOOL_PROTOCOL "\t" KPOP_VERSION "\n", out);
    return out;
}

static void
finish(struct talk_client *client, FILE *out, char **text, const size_t *len)
{
    bool good = out != NULL;

    if (good) {
        fputs("end\n", out);
        good = ferror(out) == 0;
        good = fclose(out) == 0 && good;
    }
    if (!good) {
        free(*text);
        *text = NULL;
    }
    talk_answer(client, *text, *len);
}

static void
answer_error(struct talk_client *client, const char *sentence)
{
    size_t len;
    char *text;
    FILE *out = begin(&text, &len);

    if (out != NULL)
        fprintf(out, "error\t%s\n", sentence);
    finish(client, out, &text, &len);
}

static void
print_session(FILE *out, const struct session *row, uint64_t now)
{
    char address[ADDRESS_TEXT_MAX];

    fprintf(out, "session\t%llx\t%s\t%s\t%u\t%s\t%s\t%s\t%llu\t%s\n",
            (unsigned long long)row->id, row->user != NULL ? row->user : "",
            address_print(&row->peer, address, sizeof(address)),
            row->peer_port, row->mechanism, row->tls, row->service,
            (unsigned long long)(now - row->began) / 1000,
            session_state_word(row->state));
}

static void
answer_who(const struct master *master, struct talk_client *client)
{
    const uint64_t now = process_now();
    const struct session *row;
    size_t len;
    char *text;
    FILE *out = begin(&text, &len);

    for (row = sessions_first(master->sessions); row != NULL && out != NULL;
         row = row->newer)
        print_session(out, row, now);
    finish(client, out, &text, &len);
}

static void
print_number(FILE *out, const char *name, uint64_t value)
{
    fprintf(out, "number\t%s\t%llu\n", name, (unsigned long long)value);
}

static void
print_states(FILE *out, const struct master *master)
{
    static const char *const names[SESSION_STATES] = {
        [SESSION_LOGIN] = "sessions_login",
        [SESSION_MAIL] = "sessions_mail",
        [SESSION_ENDING] = "sessions_ending",
    };
    uint64_t counts[SESSION_STATES] = { 0 };
    const struct session *row;
    int state;

    for (row = sessions_first(master->sessions); row != NULL;
         row = row->newer)
        counts[row->state]++;
    for (state = 0; state < SESSION_STATES; state++)
        print_number(out, names[state], counts[state]);
}

static void
print_processes(FILE *out, const struct master *master)
{
    const struct generation *generation;
    size_t i;

    fprintf(out, "process\tmaster\t%ld\t%zu\tcurrent\n", (long)getpid(),
            limits_total(master->limits));
    for (generation = master->current; generation != NULL;
         generation = generation->next) {
        for (i = 0; i < generation->count; i++) {
            const struct child *child = &generation->children[i];

            if (child->pid != 0)
                fprintf(out, "process\t%s\t%ld\t%zu\t%s\n",
                        child_name(child), (long)child->pid, child->sessions,
                        generation->draining ? "draining" : "current");
        }
    }
}

static void
print_counts(FILE *out)
{
    static const char *const names[COUNTS] = {
        [COUNT_REFUSED] = "refused",
        [COUNT_EVICTED] = "evicted",
        [COUNT_KICKED] = "kicked",
        [COUNT_RELOADS] = "reloads",
        [COUNT_DEATHS] = "processes_died",
        [COUNT_COMMANDS] = "commands",
        [COUNT_RETRIEVED] = "messages_retrieved",
        [COUNT_DELETED] = "messages_deleted",
        [COUNT_OCTETS_IN] = "octets_in",
        [COUNT_OCTETS_OUT] = "octets_out",
    };
    int i;

    for (i = 0; i < COUNTS; i++)
        print_number(out, names[i], metrics_get((enum metric_count)i));
}

static void
answer_stats(const struct master *master, struct talk_client *client)
{
    size_t len;
    char *text;
    FILE *out = begin(&text, &len);

    if (out != NULL) {
        print_number(out, "uptime_seconds",
                     (process_now() - master->began) / 1000);
        print_states(out, master);
        print_number(out, "connections", metrics_connections());
        print_counts(out);
        print_processes(out, master);
    }
    finish(client, out, &text, &len);
}

/* ---- kick ---- */

static bool
is_meant(const struct session *row, const char *word)
{
    char id[32];

    snprintf(id, sizeof(id), "%llx", (unsigned long long)row->id);
    return strcmp(id, word) == 0
           || (row->user != NULL && strcmp(row->user, word) == 0);
}

/* False when its worker can't be told now. */
static bool
tell_to_go(struct session *row)
{
    const struct child *worker = row->owner;
    struct control control;

    if (worker == NULL || worker->control < 0)
        return false;
    memset(&control, 0, sizeof(control));
    control.type = CONTROL_KICK;
    control.id = row->id;
    if (control_send(worker->control, &control, -1) != 0)
        return false;
    sessions_set_state(row, SESSION_ENDING);
    return true;
}

static void
answer_kicked(struct talk_client *client, const struct kicked *kicked)
{
    size_t len;
    char *text;
    FILE *out = begin(&text, &len);
    size_t i;

    for (i = 0; i < kicked->count && out != NULL; i++)
        fprintf(out, "kicked\t%llx\t%s\t%s\n",
                (unsigned long long)kicked->of[i].id, kicked->of[i].user,
                i < kicked->left ? "here" : "gone");
    finish(client, out, &text, &len);
}

static void
note_kick(const struct session *row,
          const struct talk_client *client)
{
    char quoted[CONTROL_USER_MAX * 4 + 8];
    struct ucred who;
    socklen_t size = sizeof(who);

    metrics_add(COUNT_KICKED, 1);
    if (getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0)
        memset(&who, 0, sizeof(who));
    log_event(KPOP_LOG_INFO, "session.kicked",
              "session=%llx user=%s uid=%ld text=\"kpopctl ends it\"",
              (unsigned long long)row->id,
              log_quote(row->user != NULL ? row->user : "", quoted,
                        sizeof(quoted)),
              (long)who.uid);
}

/* All that are meant, told; NULL without memory. */
static struct kicked *
kick(const struct master *master, const struct talk_client *client,
     const char *word, bool *is_busy_out)
{
    struct session *row;
    struct kicked *kicked;
    size_t count = 0;

    *is_busy_out = false;
    for (row = sessions_first(master->sessions); row != NULL;
         row = row->newer)
        count += is_meant(row, word);
    kicked = calloc(1, sizeof(*kicked) + count * sizeof(kicked->of[0]));
    if (kicked == NULL)
        return NULL;
    for (row = sessions_first(master->sessions); row != NULL;
         row = row->newer) {
        if (!is_meant(row, word))
            continue;
        if (!tell_to_go(row)) {
            *is_busy_out = true;
            continue;
        }
        note_kick(row, client);
        kicked->of[kicked->count].id = row->id;
        snprintf(kicked->of[kicked->count].user,
                 sizeof(kicked->of[0].user), "%s",
                 row->user != NULL ? row->user : "");
        kicked->count++;
    }
    kicked->left = kicked->count;
    return kicked;
}

static void
answer_kick(const struct master *master, struct talk_client *client,
            const char *word)
{
    bool is_busy;
    struct kicked *kicked = kick(master, client, word, &is_busy);

    if (kicked == NULL) {
        answer_error(client, "kpopd is out of memory");
        return;
    }
    if (kicked->count > 0 && !is_busy) {
        talk_hold(client, kicked, process_now() + TOOL_KICK_MS);
        return;
    }
    free(kicked);
    answer_error(client, is_busy ? "a worker is too busy to be told now; try "
                                   "again"
                                 : "no session has that id or user");
}

/* Those that are gone need not be waited for. */
static void
look_after(const struct master *master, struct talk_client *client,
           uint64_t now)
{
    struct kicked *kicked = client->wait;

    while (kicked->left > 0
           && sessions_find(master->sessions,
                            kicked->of[kicked->left - 1].id)
                  == NULL)
        kicked->left--;
    if (kicked->left > 0 && now < client->end_by)
        return;
    client->wait = NULL;
    answer_kicked(client, kicked);
    free(kicked);
}

/* ---- the socket ---- */

static bool
admit(void *arg, int fd)
{
    struct ucred who;
    socklen_t size = sizeof(who);

    (void)arg;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0)
        return false;
    if (who.uid == 0 || who.uid == geteuid())
        return true;
    log_event(KPOP_LOG_WARNING, "control.denied", "uid=%ld", (long)who.uid);
    return false;
}

static bool
is_whole(const char *request)
{
    return strchr(request, '\n') != NULL;
}

static void
ask(void *arg, struct talk_client *client)
{
    static const char kick_word[] = "kick\t";
    const struct master *master = arg;
    char *request = client->request;

    request[strcspn(request, "\n")] = '\0';
    if (strcmp(request, "who") == 0)
        answer_who(master, client);
    else if (strcmp(request, "stats") == 0)
        answer_stats(master, client);
    else if (strncmp(request, kick_word, sizeof(kick_word) - 1) == 0)
        answer_kick(master, client, request + sizeof(kick_word) - 1);
    else
        answer_error(client, "this kpopd does not know that request; kpopctl "
                             "and kpopd should be of one version");
}

static const struct talk_rules rules = { admit, is_whole, ask };

static void
tell_why_not(const char *path, const char *why)
{
    char quoted[sizeof(((struct sockaddr_un *)NULL)->sun_path) * 4 + 8];

    log_event(KPOP_LOG_WARNING, "control.fail",
              "path=%s error=\"%s\" text=\"kpopctl can't reach this kpopd\"",
              log_quote(path, quoted, sizeof(quoted)), why);
}

void
master_open_tool(struct master *master, const char *state_dir)
{
    struct sockaddr_un address;
    char error[160];
    int fd;

    if (!tool_address(state_dir, &address)) {
        master_close_tool(master);
        tell_why_not(state_dir, "the path of state_dir is too long");
        return;
    }
    if (strcmp(address.sun_path, master->tool_path) == 0)
        return; /* a reload */
    master_close_tool(master);
    talk_init(&master->tool, &rules, master, master->epoll);
    fd = listen_unix(address.sun_path, 0600, BACKLOG, error, sizeof(error));
    if (fd < 0) {
        tell_why_not(address.sun_path, error);
        return;
    }
    if (talk_open(&master->tool, fd) != 0) {
        tell_why_not(address.sun_path, strerror(errno));
        (void)unlink(address.sun_path);
        return;
    }
    memcpy(master->tool_path, address.sun_path, sizeof(master->tool_path));
}

void
master_tend_tool(struct master *master, uint64_t now)
{
    size_t i;

    if (master->tool_path[0] == '\0')
        return;
    for (i = 0; i < TALK_CLIENTS; i++)
        if (master->tool.clients[i].wait != NULL)
            look_after(master, &master->tool.clients[i], now);
    talk_tend(&master->tool, now);
}

void
master_close_tool(struct master *master)
{
    if (master->tool_path[0] == '\0')
        return;
    talk_close(&master->tool);
    (void)unlink(master->tool_path);
    master->tool_path[0] = '\0';
}
