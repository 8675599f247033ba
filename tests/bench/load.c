/*
 * load.c - the load generator of `make bench`: sessions of POP3 and KPOP, many
 * at once in one process, and how long they took.
 *
 *   load KEY=VALUE...
 *     address=127.0.0.1 port=PORT
 *     way=user|plain|apop|cram|gssapi|kpop       default user
 *     security=none|stls|pop3s                   default none
 *     resume=0|1     TLS sessions are used again
 *     work=login-quit|stat|list|retr-all|retr-dele-quit|idle
 *     sessions=N     in all; connections=N under way at once
 *     rate=N         so many begin each second, and wait when all
 *                    connections are taken; their time counts from when they
 *                    were due
 *     pipeline=N     commands sent before the first of them is answered
 *     repeat=N       how often all messages are retrieved
 *     user=NAME first=N users=N password=TEXT    NAME<first>... in turns
 *     service=PRINCIPAL                          gssapi, kpop: KRB5_CONFIG
 *
 * Tickets, AP-REQs and the first tokens of GSSAPI are there before it says
 * "ready" and waits for a line on its input; then it runs, and prints one
 * object of JSON.  With work=idle it says "held" when all have logged in, and
 * hangs up when its input ends.  An answer that is not expected ends it with
 * status 1.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/bench/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "tests/bench/fail.h"

static struct load load;

static void *
some(size_t count, size_t size)
{
    void *made = calloc(count, size);

    if (made == NULL)
        fail("no memory");
    return made;
}

/* ---- options ---- */

static int
word(const char *value, const char *const words[], const char *key)
{
    for (int i = 0; words[i] != NULL; i++)
        if (strcmp(words[i], value) == 0)
            return i;
    fail("%s=%s", key, value);
}

static void
set_word(struct options *options, const char *key, const char *value)
{
    static const char *const ways[] = { "user",   "plain", "apop", "cram",
                                        "gssapi", "kpop",  NULL };
    static const char *const securities[] = { "none", "stls", "pop3s", NULL };

    if (strcmp(key, "way") == 0)
        options->way = (enum way)word(value, ways, key);
    else if (strcmp(key, "security") == 0)
        options->security = (enum security)word(value, securities, key);
    else if (strcmp(key, "work") == 0)
        options->steps = script_steps(value);
    else if (strcmp(key, "address") == 0)
        options->address = value;
    else if (strcmp(key, "user") == 0)
        options->user = value;
    else if (strcmp(key, "password") == 0)
        options->password = value;
    else if (strcmp(key, "service") == 0)
        options->service = value;
    else if (strcmp(key, "rate") == 0)
        options->rate = strtod(value, NULL);
    else
        fail("%s is no key", key);
}

static void
set(struct options *options, const char *key, const char *value)
{
    const struct {
        const char *key;
        unsigned long *number;
    } numbers[] = {
        { "sessions", &options->sessions },
        { "connections", &options->connections },
        { "pipeline", &options->pipeline },
        { "repeat", &options->repeat },
        { "first", &options->first },
        { "users", &options->users },
    };

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strcmp(numbers[i].key, key) == 0) {
            *numbers[i].number = strtoul(value, NULL, 10);
            return;
        }
    }
    if (strcmp(key, "port") == 0)
        options->port = (int)strtol(value, NULL, 10);
    else if (strcmp(key, "resume") == 0)
        options->resume = strcmp(value, "1") == 0;
    else
        set_word(options, key, value);
}

static void
read_options(struct options *options, int argc, char **argv)
{
    *options = (struct options){
        .address = "127.0.0.1", .steps = "q", .connections = 16,
        .sessions = 1000, .pipeline = 1, .repeat = 1, .user = "user",
        .password = "secret", .users = 64,
    };
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');

        if (value == NULL)
            fail("%s: write KEY=VALUE", argv[i]);
        *value = '\0';
        set(options, argv[i], value + 1);
    }
    if (options->steps == NULL || options->sessions == 0
        || options->connections == 0 || options->users == 0
        || options->pipeline == 0)
        fail("no work, or a number is 0");
    if (options->users < options->connections)
        fail("a user can have one session at a time");
    options->holds = strchr(options->steps, 'h') != NULL;
}

/* ---- before and behind ---- */

static void
prepare(void)
{
    struct options *options = &load.options;
    unsigned long slots = options->holds ? options->sessions + 1
                                         : options->connections;
    struct rlimit files;
    size_t each;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.tls = line_tls(&load);
    load.login_ms = some(options->sessions, sizeof(double));
    load.session_ms = some(options->sessions, sizeof(double));
    load.busy = some(options->users, sizeof(*load.busy));
    load.slots = some(slots, sizeof(*load.slots));
    for (unsigned long i = 0; i < slots; i++)
        load.slots[i] = (struct session){ .load = &load, .fd = -1 };
    if (options->way != WAY_KPOP && options->way != WAY_GSSAPI)
        return;
    load.tickets = tickets_get(options->service, options->user,
                               options->first, options->users,
                               options->password);
    each = options->sessions / options->users + 1;
    if (options->way == WAY_KPOP)
        tickets_keep_ap_reqs(load.tickets, each);
    else
        tickets_keep_gss(load.tickets, each);
}

static int
by_size(const void *a, const void *b)
{
    double one = *(const double *)a;
    double other = *(const double *)b;

    return (one > other) - (one < other);
}

static void
print_times(const char *name, double *ms, unsigned long count)
{
    qsort(ms, count, sizeof(*ms), by_size);
    printf("\"%s\": {\"p50\": %.4f, \"p99\": %.4f, \"max\": %.4f}, ", name,
           ms[count / 2], ms[count * 99 / 100], ms[count - 1]);
}

static void
print(double seconds)
{
    printf("{");
    print_times("login_ms", load.login_ms, load.options.sessions);
    print_times("session_ms", load.session_ms, load.options.sessions);
    printf("\"sessions\": %lu, \"seconds\": %.6f, \"messages\": %lu, "
           "\"octets\": %llu, \"offered\": %lu, \"resumed\": %lu}\n",
           load.done + load.held, seconds, load.messages,
           (unsigned long long)load.octets, load.offered, load.resumed);
    (void)fflush(stdout);
}

/* False when the input ends instead. */
static bool
await_word(const char *what)
{
    char line[64];

    (void)puts(what);
    (void)fflush(stdout);
    return fgets(line, sizeof(line), stdin) != NULL;
}

int
main(int argc, char **argv)
{
    uint64_t began;

    read_options(&load.options, argc, argv);
    prepare();
    if (!await_word("ready"))
        return 2;
    began = nanoseconds();
    sessions_run(&load);
    if (load.held > 0)
        (void)await_word("held");
    print((double)(nanoseconds() - began) / 1e9);
    return 0;
}
