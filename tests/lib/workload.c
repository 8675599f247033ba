/*
 * workload.c - the same work for the module each time: workload MODULE WORK N
 * does it N times, in one process, without a network.
 *   login   sessions of USER, PASS and QUIT
 *   retr    RETR of one message of 4 kB, in one session
 * Whoever counts its instructions twice, with another N, knows those of one.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugin/kpop_plugin.h"

enum { WORK_MAX = 30 };

static const struct kpop_api *api;
static char mail[4096];

/* Lines of 64 octets with LF, each eighth with a dot to be stuffed. */
static void
write_mail(void)
{
    memset(mail, 'x', sizeof(mail));
    for (size_t i = 63; i < sizeof(mail); i += 64)
        mail[i] = '\n';
    for (size_t i = 0; i < sizeof(mail); i += 8 * 64)
        mail[i] = '.';
}

static int32_t
verify(void *conn, struct kpop_op *op, const char *user, const void *password,
       size_t size)
{
    (void)conn, (void)op;
    return strcmp(user, "alice") == 0 && size == 6
           && memcmp(password, "secret", 6) == 0 ? KPOP_OK : KPOP_AUTH;
}

static int32_t
authorize(void *conn, struct kpop_op *op, const struct kpop_identity *who)
{
    (void)conn;
    return api->put_user(op, who->local);
}

static int32_t
open_box(void *conn, struct kpop_op *op, const struct kpop_open *what)
{
    (void)conn, (void)what;
    return api->put_box(op, mail, 1, KPOP_UNKNOWN);
}

static int32_t
list(void *conn, struct kpop_op *op, void *box, uint32_t first,
     uint32_t count)
{
    (void)conn, (void)box, (void)first, (void)count;
    api->put_msg(op, sizeof(mail) + 64 + 8, "1");
    return KPOP_OK;
}

static int32_t
fetch(void *conn, struct kpop_op *op, void *box, uint32_t msg,
      uint64_t offset, void *buffer, uint32_t size, uint32_t flags)
{
    size_t left = offset < sizeof(mail) ? sizeof(mail) - (size_t)offset : 0;

    (void)conn, (void)op, (void)box, (void)msg, (void)flags;
    left = left < size ? left : size;
    memcpy(buffer, mail + (left > 0 ? offset : 0), left);
    return (int32_t)left;
}

static int32_t
commit(void *conn, struct kpop_op *op, void *box, const uint8_t *marks,
       uint32_t count)
{
    (void)conn, (void)op, (void)box, (void)marks, (void)count;
    return KPOP_OK;
}

static void
close_box(void *conn, void *box)
{
    (void)conn, (void)box;
}

static void
stay_silent(void *host, void *conn, uint32_t level, const char *event,
            const char *line)
{
    (void)host, (void)conn;
    if (level == KPOP_LOG_ERROR)
        fprintf(stderr, "%s %s\n", event, line);
}

static const struct kpop_host host = {
    .size = sizeof(host), .version = KPOP_ABI_MINOR, .log = stay_silent,
    .authorize = authorize, .verify_password = verify, .open = open_box,
    .list = list, .fetch = fetch, .commit = commit, .close = close_box,
};

static _Noreturn void
die(const char *why)
{
    fprintf(stderr, "workload: %s\n", why);
    exit(1);
}

/* One connection whose client has said all of it beforehand, and whose socket
 * holds all the answers: nobody else has to run meanwhile. */
static void
serve(struct kpop_plugin *plugin, const char *before, unsigned long retrs)
{
    struct kpop_facts facts = { .size = sizeof(facts), .service = "pop3" };
    int in = memfd_create("client", MFD_CLOEXEC);
    int out[2];

    if (in < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, out) != 0)
        die("no descriptors");
    dprintf(in, "%s", before);
    while (retrs-- > 0)
        dprintf(in, "RETR 1\r\n");
    dprintf(in, "QUIT\r\n");
    if (lseek(in, 0, SEEK_SET) != 0
        || api->serve(plugin, in, out[0], &facts, NULL) != KPOP_OK)
        die("the session was not served");
    close(in);
    close(out[0]);
    close(out[1]);
}

static struct kpop_plugin *
load(const char *path)
{
    void *module = dlopen(path, RTLD_NOW);
    struct kpop_plugin *plugin;
    kpop_plugin_entry_fn entry;
    char error[512];

    if (module == NULL)
        die(dlerror());
    *(void **)&entry = dlsym(module, "kpop_plugin_entry");
    if (entry == NULL
        || entry(KPOP_ABI_MAJOR, &host, NULL, &plugin, &api, error,
                 sizeof(error)) != KPOP_OK
        || api->set(plugin, "hostname", "localhost", error, sizeof(error))
        || api->set(plugin, "listen_kpop", "", error, sizeof(error))
        || api->set(plugin, "plaintext", "always", error, sizeof(error))
        || api->ready(plugin, error, sizeof(error)))
        die("the module does not load");
    return plugin;
}

int
main(int argc, char **argv)
{
    static const char login[] = "USER alice\r\nPASS secret\r\n";
    struct kpop_plugin *plugin;
    unsigned long count;

    if (argc != 4)
        die("usage: workload MODULE login|retr N");
    count = strtoul(argv[3], NULL, 10);
    if (count > WORK_MAX)
        die("that many the socket does not hold");
    write_mail();
    plugin = load(argv[1]);
    if (strcmp(argv[2], "retr") == 0)
        serve(plugin, login, count);
    else
        while (count-- > 0)
            serve(plugin, login, 0);
    api->free(plugin);
    return 0;
}
