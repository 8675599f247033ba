/*
 * null.c - the smallest whole host: one mailbox of two messages in memory,
 * one user, one connection at a time; a real one forks or makes a thread a
 * connection.  cc -I. null.c -ldl; ./null-host build/kpop.so 1110
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugin/kpop_plugin.h"

static const struct kpop_api *api;
static int locked; /* a real host locks the mailbox against all processes */
static struct { const char *uidl, *text; int gone; } mail[] = {
    { "first-1", "Subject: one\n\nHello.\n.leading dot\n", 0 },
    { "second-2", "Subject: two\n\nBye.\n", 0 },
};
static uint32_t shown[2]; /* this session's messages: index in mail */

static void
null_log(void *host, void *conn, uint32_t level, const char *event,
         const char *line)
{
    (void)host, (void)conn, (void)level;
    fprintf(stderr, "%s %s\n", event, line);
}

/* The password is right or it isn't; who may read what is another question. */
static int32_t
null_verify(void *conn, struct kpop_op *op, const char *user,
            const void *password, size_t size)
{
    (void)conn, (void)op;
    return strcmp(user, "alice") == 0 && size == 6
           && memcmp(password, "secret", 6) == 0 ? KPOP_OK : KPOP_AUTH;
}

/* `local` is what the configuration makes of the one who proved himself. */
static int32_t
null_authorize(void *conn, struct kpop_op *op,
               const struct kpop_identity *who)
{
    (void)conn;
    return strcmp(who->local, "alice") == 0 ? api->put_user(op, "alice")
                                            : KPOP_DENIED;
}

static int32_t
null_open(void *conn, struct kpop_op *op, const struct kpop_open *what)
{
    uint32_t count = 0;

    (void)conn, (void)what;
    if (locked)
        return KPOP_IN_USE;
    for (uint32_t i = 0; i < 2; i++)
        if (!mail[i].gone)
            shown[count++] = i;
    locked = 1;
    return api->put_box(op, mail, count, KPOP_UNKNOWN);
}

static int32_t
null_list(void *conn, struct kpop_op *op, void *box, uint32_t first,
          uint32_t count)
{
    (void)conn, (void)box;
    for (uint32_t i = first; i < first + count; i++) {
        const char *text = mail[shown[i]].text;
        uint32_t state = 0;
        uint64_t size = api->wire_octets(&state, text, strlen(text));

        api->put_msg(op, size + api->wire_octets(&state, NULL, 0),
                     mail[shown[i]].uidl);
    }
    return KPOP_OK;
}

static int32_t
null_fetch(void *conn, struct kpop_op *op, void *box, uint32_t msg,
           uint64_t offset, void *buffer, uint32_t size, uint32_t flags)
{
    const char *text = mail[shown[msg]].text;
    size_t left = offset < strlen(text) ? strlen(text) - (size_t)offset : 0;

    (void)conn, (void)op, (void)box, (void)flags;
    left = left < size ? left : size;
    memcpy(buffer, text + (left > 0 ? offset : 0), left);
    return (int32_t)left;
}

static int32_t
null_commit(void *conn, struct kpop_op *op, void *box, const uint8_t *marks,
            uint32_t count)
{
    (void)conn, (void)op, (void)box;
    for (uint32_t i = 0; i < count; i++)
        mail[shown[i]].gone |= (marks[i] & KPOP_MARK_DELETE) != 0;
    return KPOP_OK;
}

static void
null_close(void *conn, void *box)
{
    (void)conn, (void)box;
    locked = 0;
}

static const struct kpop_host host = {
    .size = sizeof(host), .version = KPOP_ABI_MINOR, .log = null_log,
    .authorize = null_authorize, .verify_password = null_verify,
    .open = null_open, .list = null_list, .fetch = null_fetch,
    .commit = null_commit, .close = null_close,
};

int
main(int argc, char **argv)
{
    struct kpop_facts facts = { .size = sizeof(facts), .service = "pop3" };
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t len = sizeof(address);
    kpop_plugin_entry_fn entry;
    static struct kpop_plugin *plugin; /* until the process ends */
    char error[512];
    int sock = socket(AF_INET, SOCK_STREAM, 0);
    void *module = argc == 3 ? dlopen(argv[1], RTLD_NOW) : NULL;

    if (!module || !(*(void **)&entry = dlsym(module, "kpop_plugin_entry")))
        return fprintf(stderr, "usage: null-host MODULE PORT\n"), 2;
    if (entry(KPOP_ABI_MAJOR, &host, NULL, &plugin, &api, error, 512)
        || api->set(plugin, "listen_kpop", "", error, 512) /* no keytab */
        || api->set(plugin, "plaintext", "always", error, 512)
        || api->ready(plugin, error, 512))
        return fprintf(stderr, "%s\n", error), 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
    if (bind(sock, (struct sockaddr *)&address, len) || listen(sock, 8)
        || getsockname(sock, (struct sockaddr *)&address, &len))
        return perror("null-host"), 1;
    fprintf(stdout, "%d\n", ntohs(address.sin_port)), fflush(stdout);
    for (int fd; (fd = accept(sock, NULL, NULL)) >= 0; close(fd))
        api->serve(plugin, fd, fd, &facts, NULL);
    return perror("accept"), 1;
}
