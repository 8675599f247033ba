/*
 * realm_fixture.c - runs tests/lib/realm.sh and mkapreq for unit tests.  The
 * realm lives in a folder of its own under TMPDIR and ends with the program.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/unit/realm_fixture.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/check.h"

static char folder[256]; /* "" = not started, or not possible */
static bool tried;
static pid_t owner;

/* Not in children, which share our exit handlers. */
static void
realm_end(void)
{
    char command[600];

    if (folder[0] == '\0' || getpid() != owner)
        return;
    snprintf(command, sizeof(command),
             "sh tests/lib/realm.sh stop %s; rm -rf %s", folder, folder);
    if (system(command) != 0)
        fprintf(stderr, "# realm in %s did not end\n", folder);
}

/* KEY=VALUE lines into our environment. */
static int
take_environment(FILE *lines)
{
    char line[1024];
    int count = 0;

    while (fgets(line, sizeof(line), lines) != NULL) {
        char *value = strchr(line, '=');

        line[strcspn(line, "\n")] = '\0';
        if (value == NULL)
            continue;
        *value++ = '\0';
        setenv(line, value, 1);
        count++;
    }
    return count;
}

static void
realm_start(void)
{
    const char *tmp = getenv("TMPDIR");
    char command[600];
    FILE *lines;
    int status;

    snprintf(folder, sizeof(folder), "%.200s/kpop-realm-XXXXXX",
             tmp != NULL ? tmp : "/tmp");
    CHECK(mkdtemp(folder) != NULL);
    owner = getpid();
    atexit(realm_end);
    snprintf(command, sizeof(command),
             "sh tests/lib/realm.sh start %s --other --lifetime 600", folder);
    lines = popen(command, "r");
    CHECK(lines != NULL);
    status = take_environment(lines);
    status = pclose(lines) == 0 && status > 0 ? 0 : 1;
    if (status != 0) {
        rmdir(folder);
        folder[0] = '\0';
    }
}

void
realm_need(void)
{
    if (!tried) {
        tried = true;
        if (system("sh tests/lib/realm.sh possible >&2") == 0)
            realm_start();
    }
    if (folder[0] == '\0')
        SKIP("no KDC (packages krb5-kdc, krb5-admin-server, krb5-user) or "
             "no loopback interface");
}

const char *
realm_path(const char *name)
{
    static char paths[64][512];
    static unsigned next;
    char *path = paths[next++ % 64];

    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

void
realm_do(const char *command, const char *args)
{
    char line[1200];
    int status;

    snprintf(line, sizeof(line), "sh tests/lib/realm.sh %s %s %s >&2", command,
             folder, args);
    status = system(line);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        SKIP("realm.sh says why");
    CHECK_INT(status, 0);
}

const char *
realm_ccache(const char *user, const char *name)
{
    const char *path = realm_path(name);
    char args[700];

    snprintf(args, sizeof(args), "%s %s", user, path);
    realm_do("kinit", args);
    return path;
}

/* BUILD/tests/unit/apreq -> BUILD/tests/lib/mkapreq */
static void
find_mkapreq(char *path, size_t size)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    CHECK(n > 0);
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    snprintf(path, size, "%.2000s/../lib/mkapreq", self);
    if (access(path, X_OK) != 0) { /* under valgrind */
        const char *build = getenv("BUILD");

        snprintf(path, size, "%s/tests/lib/mkapreq",
                 build != NULL ? build : "build");
    }
}

static void
run_mkapreq(const char *options, int in, int out)
{
    char program[PATH_MAX];
    char copy[2000];
    char *args[40] = { program };
    int count = 1;

    find_mkapreq(program, sizeof(program));
    snprintf(copy, sizeof(copy), "%s", options);
    for (char *word = strtok(copy, " "); word != NULL && count < 39;
         word = strtok(NULL, " "))
        args[count++] = word;
    dup2(in, 0);
    dup2(out, 1);
    execv(program, args);
    _exit(127);
}

static int
digit(char c)
{
    return c >= 'a' ? c - 'a' + 10 : c - '0';
}

static void
read_apreq(struct client *client)
{
    static char line[2 * APREQ_OCTETS_MAX + 16];

    CHECK(fgets(line, sizeof(line), client->from) != NULL);
    CHECK(strncmp(line, "apreq ", 6) == 0);
    client->len = 0;
    for (char *hex = line + 6; hex[0] >= '0'; hex += 2)
        client->apreq[client->len++] =
            (uint8_t)(digit(hex[0]) << 4 | digit(hex[1]));
}

struct client *
client_new(const char *options)
{
    struct client *client = calloc(1, sizeof(*client));
    int to[2];
    int from[2];

    /* A second client must not hold the first one's input open. */
    CHECK(client != NULL && pipe2(to, O_CLOEXEC) == 0 &&
          pipe2(from, O_CLOEXEC) == 0);
    fflush(NULL);
    client->pid = fork();
    CHECK(client->pid >= 0);
    if (client->pid == 0)
        run_mkapreq(options, to[0], from[1]);
    close(to[0]);
    close(from[1]);
    client->to = fdopen(to[1], "w");
    client->from = fdopen(from[0], "r");
    CHECK(client->to != NULL && client->from != NULL);
    read_apreq(client);
    return client;
}

void
client_again(struct client *client)
{
    fprintf(client->to, "again\n");
    fflush(client->to);
    read_apreq(client);
}

const char *
client_judges(struct client *client, const char *what, const uint8_t *data,
              size_t len)
{
    static char line[2048];

    fprintf(client->to, "%s ", what);
    for (size_t i = 0; i < len; i++)
        fprintf(client->to, "%02x", data[i]);
    fprintf(client->to, "\n");
    fflush(client->to);
    CHECK(fgets(line, sizeof(line), client->from) != NULL);
    line[strcspn(line, "\n")] = '\0';
    return line;
}

void
client_free(struct client *client)
{
    if (client == NULL)
        return;
    fclose(client->to);
    fclose(client->from);
    waitpid(client->pid, NULL, 0);
    free(client);
}
