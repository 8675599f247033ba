/*
 * control_master.c - see control.h; the master between two workers that say
 * anything and somebody who asks it as kpopctl does, or otherwise.
 *
 * SPDX-License-Identifier: MIT
 */
/* For its rules; the rest of kpopd is linked. */
#include "plugin/host/kpopd/master_tool.c"

#include <sys/epoll.h>

#include "plugin/cli/cli.h"
#include "plugin/host/kpopd/ipc.h"
#include "tests/fuzz/control.h"

enum { WORKERS = 2, IDS = 8 };

struct world {
    struct master master;
    struct setup setup;
    struct generation generation;
    struct child workers[WORKERS];
    int ends[WORKERS]; /* theirs */
    bool obeys;        /* who is kicked goes */
};

static void
begin_world(struct world *world)
{
    static const struct limits_config limits = { 5, 3, 2, NULL, 0 };
    struct master *master = &world->master;
    int fds[2];

    memset(world, 0, sizeof(*world));
    master->epoll = epoll_create1(EPOLL_CLOEXEC);
    master->limits = limits_new(&limits);
    master->sessions = sessions_new();
    master->current = &world->generation;
    world->generation.setup = &world->setup;
    world->generation.owner = master;
    world->generation.epoll = master->epoll;
    world->generation.children = world->workers;
    world->generation.count = WORKERS;
    /* Its service manager is not told of it. */
    world->generation.was_ready = true;
    for (size_t i = 0; i < WORKERS; i++) {
        script_expect(ipc_pair(fds) == 0, "descriptors");
        world->workers[i].generation = &world->generation;
        world->workers[i].control = fds[0];
        world->ends[i] = fds[1];
    }
    talk_init(&master->tool, &rules, master, master->epoll);
    script_expect(master->epoll >= 0 && master->limits != NULL
                      && master->sessions != NULL
                      && talk_open(&master->tool, control_listen()) == 0,
                  "a master");
    memcpy(master->tool_path, "-", 2);
}

static void
end_world(struct world *world)
{
    talk_close(&world->master.tool);
    for (size_t i = 0; i < WORKERS; i++) {
        child_let_go(&world->workers[i]);
        close(world->ends[i]);
    }
    sessions_free(world->master.sessions);
    limits_free(world->master.limits);
    close(world->master.epoll);
}

static struct control
any_control(struct script *script)
{
    struct control control = { .type = CONTROL_CONNECTION };

    control.type = (enum control_type)(script_next(script) % CONTROL_LAST);
    control.id = script_next(script) % IDS;
    control.peer.octets[15] = script_next(script) % 4;
    control.peer_port = script_next(script);
    (void)script_text(script, control.service, sizeof(control.service));
    (void)script_text(script, control.tls, sizeof(control.tls));
    (void)script_text(script, control.mechanism, sizeof(control.mechanism));
    (void)script_text(script, control.user, sizeof(control.user));
    return control;
}

/* As the master does when it has accepted one. */
static void
connection(struct world *world, struct script *script)
{
    struct master *master = &world->master;
    struct control control = any_control(script);
    struct child *worker = &world->workers[script_next(script) % WORKERS];
    struct limits_victim victim;
    struct session *row;

    memcpy(control.service, "pop3", 5);
    if (sessions_find(master->sessions, control.id) != NULL
        || limits_admit(master->limits, control.id, &control.peer, &victim)
               == LIMITS_REFUSE)
        return;
    limits_set_owner(master->limits, control.id, worker);
    script_expect(sessions_add(master->sessions, &control, 1), "memory");
    row = sessions_find(master->sessions, control.id);
    row->owner = worker;
    worker->sessions++;
}

/* A worker says what it may, or what it may not, or nonsense. */
static void
report(struct world *world, struct script *script)
{
    uint8_t what = script_next(script);
    size_t i = what % WORKERS;
    struct control control;
    const uint8_t *raw;
    size_t len;

    if (world->workers[i].control < 0)
        return;
    if ((what & 0x80) != 0) {
        len = script_take(script, CONTROL_FRAME_MAX, &raw);
        if (len > 0)
            (void)ipc_send(world->ends[i], raw, len, -1);
    } else {
        control = any_control(script);
        (void)control_send(world->ends[i], &control,
                           (what & 0x40) != 0 ? 0 : -1);
    }
    master_on_report(&world->workers[i].source, EPOLLIN);
}

/* What the workers are told, and perhaps do. */
static void
obey(void *arg)
{
    struct world *world = arg;
    struct control control;
    int pass;

    for (size_t i = 0; i < WORKERS; i++) {
        while (control_recv(world->ends[i], &control, &pass) == 1) {
            script_expect(pass < 0 && control.type != CONTROL_CONNECTION,
                          "no descriptor is passed by a kick");
            if (control.type != CONTROL_KICK || !world->obeys)
                continue;
            sessions_remove(world->master.sessions, control.id,
                            &world->workers[i]);
            limits_remove(world->master.limits, control.id,
                          &world->workers[i]);
        }
    }
    master_tend_tool(&world->master, process_now());
}

static size_t
count_sessions(const struct world *world)
{
    size_t count = 0;

    for (const struct session *row = sessions_first(world->master.sessions);
         row != NULL; row = row->newer)
        count++;
    return count;
}

/* Of who: each session is one line, and nobody's name makes two fields. */
static void
check_lines(const char *text, size_t sessions, size_t read)
{
    size_t lines = 0;
    size_t tabs = 0;

    for (; *text != '\0'; text++) {
        lines += *text == '\n';
        tabs += *text == '\t';
    }
    script_expect(read == sessions && lines == sessions + 2
                      && tabs == sessions * 9 + 2,
                  "each session has its line and its fields");
}

/* Its answer is what kpopctl understands. */
static void
ask_it(struct world *world, struct script *script)
{
    static const char *const words[] = { "who\n", "stats\n", "kick\talice\n",
                                         "kick\t1\n" };
    static char answer_text[CONTROL_ANSWER_MAX];
    uint8_t what = script_next(script);
    const char *request = words[what % 4u];
    size_t len = strlen(request);
    const uint8_t *raw;
    size_t count, got;
    int status;

    if ((what & 0x80) != 0) {
        len = script_take(script, 255, &raw);
        request = (const char *)raw;
    }
    world->obeys = (what & 0x20) != 0;
    got = control_converse(&world->master.tool,
                           &(struct said){ request, len,
                                           what & 0x40 ? 3 : 512 },
                           obey, world, answer_text);
    if (got == 0)
        return;
    status = control_tool(answer_text, got, "session", &count);
    script_expect(strncmp(answer_text, "kpopd\t" TOOL_PROTOCOL "\t", 8) == 0
                      && strstr(answer_text, "\nend\n") != NULL,
                  "an answer is whole");
    if (status == CLI_GOOD && strncmp(request, "who", 3) == 0)
        check_lines(answer_text, count_sessions(world), count);
    script_expect((status == CLI_GOOD)
                      != (strstr(answer_text, "\nerror\t") != NULL),
                  "kpopctl understands the answer");
}

void
control_master(struct script *script)
{
    struct world world;

    begin_world(&world);
    while (script->size > 0) {
        switch (script_next(script) % 4) {
        case 0:
            connection(&world, script);
            break;
        case 1:
        case 2:
            report(&world, script);
            break;
        default:
            ask_it(&world, script);
            break;
        }
    }
    end_world(&world);
}
