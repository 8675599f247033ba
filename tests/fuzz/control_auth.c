/*
 * control_auth.c - see control.h; an auth process for passwords and secrets,
 * in ours.  Nobody comes in by another password than alice's.
 *
 * SPDX-License-Identifier: MIT
 */
/* For its loop's parts; the rest of kpopd is linked. */
#include "plugin/host/kpopd/auth.c"

#include <crypt.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/fuzz/control.h"

enum { LOGINS_MAX = 3, WORKERS = 2 };

static struct auth auth;
static struct auth_mark mark;
static struct setup setup;
static int ends[WORKERS]; /* the workers' */

/* A file in memory; its path, lent. */
static char *
make_file(const char *text)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    char path[64];

    script_expect(fd >= 0 && fchmod(fd, 0600) == 0
                      && write(fd, text, strlen(text))
                             == (ssize_t)strlen(text),
                  "a file");
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return strdup(path);
}

static void
set_key(const char *key, const char *value)
{
    char error[256];

    script_expect(setup.api->set(setup.logins, key, value, error,
                                 sizeof(error)) == KPOP_OK, error);
}

static void
set_up(void)
{
    struct settings *s = &setup.settings;
    char passwords[200];
    char error[256];

    /* The cheapest hash there is. */
    (void)snprintf(passwords, sizeof(passwords), "alice:%s\nlocked:!\n",
                   crypt("secret", "$1$fuzzfuzz$"));
    s->password_source = PASSWORDS_FILE;
    s->password_where = make_file(passwords);
    s->secret_source = SECRETS_FILE;
    s->secret_where = make_file("alice:wonderland\nlocked:!\n");
    s->hostname = strdup("fuzz.example.org");
    s->store = strdup("/nowhere/%u");
    s->proxy_users = strdup("carol");
    s->max_unauthenticated = LOGINS_MAX;
    s->login_timeout = 60000;
    s->auth_timeout = 5000;
    script_expect(kpop_plugin_entry(KPOP_ABI_MAJOR, &auth_host, NULL,
                                    &setup.logins, &setup.api, error,
                                    sizeof(error)) == KPOP_OK, error);
    set_key("hostname", "fuzz.example.org");
    set_key("plaintext", "always");
    set_key("mechanisms", "USER PLAIN CRAM-MD5 APOP SCRAM-SHA-256");
    auth.api = setup.api;
    auth.setup = &setup;
    auth.context.api = setup.api;
    auth.pool = POOL_PASSWORD;
    auth.mark = &mark;
    auth.polls = calloc(1, sizeof(auth.polls[0]));
    script_expect(auth.polls != NULL
                      && auth_host_ready(&auth.context, &setup,
                                         POOL_PASSWORD) == 0,
                  "an auth process");
}

/* ---- what is always so ---- */

static void
check_logins(void)
{
    size_t count = 0;

    for (size_t i = 0; i < auth.channel_count; i++) {
        for (const struct login *login = auth.channels[i].logins;
             login != NULL; login = login->next) {
            count++;
            script_expect(login->state == PERMIT_CONTINUING,
                          "a login that is kept has begun");
            for (const struct login *other = login->next; other != NULL;
                 other = other->next)
                script_expect(other->id != login->id,
                              "one login of a number");
        }
    }
    script_expect(count == auth.login_count && count <= LOGINS_MAX,
                  "logins are counted, and few");
}

/* By the right password, and of the right mailbox. */
static void
check_success(const struct auth_request *request,
              const struct auth_answer *answer)
{
    script_expect(request->size >= 13
                      && memmem(request->data, request->size,
                                "\0alice\0secret", 13) != NULL,
                  "nobody comes in by another password");
    script_expect(strcmp(answer->outcome.user, "alice") == 0
                      && strcmp(answer->outcome.authcid, "alice") == 0,
                  "nobody reads another mailbox");
}

/* One answer, to what was asked; whether one had to come. */
static void
check_answer(int fd, const void *frame, size_t len, bool is_good)
{
    static uint8_t heard[IPC_FRAME_MAX];
    struct auth_request request;
    struct auth_answer answer;
    bool is_request = auth_request_decode(frame, len, &request);
    ssize_t got = ipc_recv(fd, heard, sizeof(heard), NULL);

    script_expect((got > 0)
                      == (is_good && is_request && request.type != AUTH_END),
                  "each question that may be asked has its answer");
    if (got <= 0)
        return;
    script_expect(auth_answer_decode(heard, (size_t)got, &answer)
                      && answer.exchange == request.exchange,
                  "an answer to what was asked");
    if (answer.result == KPOP_OK)
        check_success(&request, &answer);
    script_expect(request.type != AUTH_DECIDE, "this pool decides nothing");
    script_expect(ipc_recv(fd, heard, sizeof(heard), NULL) < 0,
                  "one answer");
}

/* ---- orders ---- */

static void
fill(struct auth_request *request, struct script *script, char texts[3][64])
{
    static const char *const names[] = { "PLAIN", "CRAM-MD5", "APOP",
                                         "SCRAM-SHA-256", "EXTERNAL", "KPOP",
                                         "GSSAPI", "NONE" };
    static const char *const claims[] = { "alice", "locked", "carol", "" };
    uint8_t what = script_next(script);

    request->type = (enum auth_request_type)(AUTH_START + what % 4u);
    request->exchange = what >> 2 & 3u;
    request->mechanism = names[what >> 4 & 7u];
    request->facts.size = sizeof(request->facts);
    request->facts.service = "pop3";
    if ((what & 0x80) != 0) {
        request->facts.service = script_text(script, texts[0], 64);
        request->facts.session_id = script_text(script, texts[1], 64);
        request->facts.peer_address = script_text(script, texts[2], 64);
        request->facts.ssf = script_next(script);
    }
    what = script_next(script);
    request->claim.authcid = claims[what & 3];
    request->claim.requested = claims[what >> 2 & 3];
    request->claim.local = claims[what >> 4 & 3];
}

/* Messages that fit, which a fuzzer would not find. */
static void
fill_data(struct auth_request *request, struct script *script)
{
    static const char *const messages[] = {
        "\0alice\0secret", "alice\0alice\0secret", "carol\0alice\0secret",
        "\0locked\0secret", "n,,n=alice,r=b", "\0alice\0wrong"
    };
    static const size_t lengths[] = { 13, 18, 18, 14, 14, 12 };
    uint8_t what = script_next(script);
    const uint8_t *raw;

    if ((what & 0x80) != 0) {
        request->size = script_take(script, 255, &raw);
        request->data = request->size > 0 ? (const void *)raw : "";
    } else if (what % 8u < 6) {
        request->data = messages[what % 8u];
        request->size = lengths[what % 8u];
    }
}

/* Its length; perhaps not as an encoder would make it. */
static size_t
make_frame(struct script *script, uint8_t *frame, size_t size)
{
    struct auth_request request = { 0 };
    char texts[3][64];
    const uint8_t *raw;
    size_t len, where;
    uint8_t bent = script_next(script);

    if (bent >= 0xf0) {
        len = script_take(script, 255, &raw);
        memcpy(frame, raw, len);
        return len;
    }
    fill(&request, script, texts);
    fill_data(&request, script);
    len = auth_request_encode(&request, frame, size);
    if (bent < 0xc0 || len == 0)
        return len;
    where = script_next(script) * len / 256;
    frame[where] ^= script_next(script);
    return len;
}

static void
add_worker(size_t i)
{
    int fds[2];

    script_expect(ipc_pair(fds) == 0 && add_channel(&auth, fds[0]) == 0,
                  "a worker");
    ends[i] = fds[1];
}

/* The same octets, when they are a request at all. */
static void
check_frame(const uint8_t *frame, size_t len)
{
    static uint8_t again[IPC_FRAME_MAX];
    struct auth_request request;

    if (auth_request_decode(frame, len, &request))
        script_expect(auth_request_encode(&request, again, sizeof(again))
                              == len
                          && memcmp(again, frame, len) == 0,
                      "one way to write a request");
}

void
control_auth(struct script *script)
{
    static uint8_t frame[IPC_FRAME_MAX];
    size_t len, i;
    bool is_good;

    if (auth.api == NULL)
        set_up();
    for (i = 0; i < WORKERS; i++)
        add_worker(i);
    while (script->size > 0 && auth.channel_count == WORKERS) {
        i = script_next(script) % WORKERS;
        len = make_frame(script, frame, sizeof(frame));
        check_frame(frame, len);
        if (len == 0 || ipc_send(ends[i], frame, len, -1) != 0)
            continue;
        is_good = serve_channel(&auth, &auth.channels[i]) == 0;
        check_answer(ends[i], frame, len, is_good);
        check_logins();
        if (!is_good)
            break; /* its channel is closed, and who was in it ends */
    }
    while (auth.channel_count > 0)
        close_channel(&auth, &auth.channels[0]);
    script_expect(auth.login_count == 0, "nothing is left of a worker");
    for (i = 0; i < WORKERS; i++)
        close(ends[i]);
}
