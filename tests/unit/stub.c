/*
 * stub.c - see stub.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/unit/stub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/check.h"

static const char *const messages[] = { "Subject: one\n\n.dot\n",
                                        "Subject: two\n\nbye" };

static void
stub_log(void *host, void *conn, uint32_t level, const char *event,
         const char *line)
{
    struct stub *stub = host;
    int n = snprintf(stub->log + stub->log_len, STUB_LOG_MAX - stub->log_len,
                     "%s %s\n", event, line);

    (void)conn, (void)level;
    if (n > 0 && (size_t)n < STUB_LOG_MAX - stub->log_len)
        stub->log_len += (size_t)n;
    if (strcmp(event, "host.misuse") == 0)
        stub->misuses++;
}

/* Answers in the way the mode says. */
static int32_t
reply(struct stub *stub, enum stub_question which, struct kpop_op *op,
      int32_t result)
{
    stub->asked[which]++;
    if (stub->answers[which] != 0)
        result = stub->answers[which];
    if (stub->close_inside[which])
        stub->api->session_close(stub->session);
    switch (stub->mode) {
    case STUB_INSIDE:
        CHECK_INT(stub->api->done(op, result), KPOP_OK);
        return KPOP_PENDING;
    case STUB_LATER:
        stub->kept = op;
        stub->kept_answer = result;
        return KPOP_PENDING;
    case STUB_RETURNS:
        break;
    }
    return result;
}

static int32_t
stub_authorize(void *conn, struct kpop_op *op,
               const struct kpop_identity *identity)
{
    struct stub *stub = conn;
    int32_t result = KPOP_OK;

    if (strcmp(identity->local, "alice") != 0)
        result = KPOP_DENIED;
    else if (!stub->silent[STUB_AUTHORIZE])
        result = stub->api->put_user(op, "alice");
    return reply(stub, STUB_AUTHORIZE, op, result);
}

static int32_t
stub_verify(void *conn, struct kpop_op *op, const char *user,
            const void *password, size_t size)
{
    bool right = strcmp(user, "alice") == 0 && size == 6
                 && memcmp(password, "secret", 6) == 0;

    return reply(conn, STUB_PASSWORD, op, right ? KPOP_OK : KPOP_AUTH);
}

static int32_t
stub_mechanisms(void *conn, struct kpop_op *op,
                const struct kpop_facts *facts)
{
    struct stub *stub = conn;

    (void)facts;
    return stub->api->put_mechanisms(op, "KPOP USER GSSAPI");
}

static int32_t
stub_start(void *conn, struct kpop_op *op, const struct kpop_facts *facts,
           const char *mechanism, const void *data, size_t size)
{
    static const char plain[] = "\0alice\0secret";
    struct stub *stub = conn;
    int32_t result = KPOP_AUTH;

    (void)facts;
    if (strcmp(mechanism, "KPOP") == 0) {
        result = KPOP_CONTINUE;
        if (!stub->silent[STUB_START])
            (void)stub->api->put_challenge(op, "REP", 3);
    } else if (size == sizeof(plain) - 1 && memcmp(data, plain, size) == 0) {
        result = KPOP_OK;
        if (!stub->silent[STUB_START])
            result = stub->api->put_user(op, "alice");
    }
    if (stub->answers[STUB_START] != 0)
        result = stub->answers[STUB_START];
    if (result >= 0)
        stub->starts++;
    return reply(stub, STUB_START, op, result);
}

static int32_t
stub_step(void *conn, struct kpop_op *op, const struct kpop_facts *facts,
          const void *data, size_t size)
{
    struct stub *stub = conn;
    int32_t result = KPOP_DENIED;

    (void)facts;
    if (size == 5 && memcmp(data, "alice", 5) == 0)
        result = stub->api->put_user(op, "alice");
    return reply(stub, STUB_STEP, op, result);
}

static void
stub_exchange_end(void *conn)
{
    ((struct stub *)conn)->ends++;
}

static int32_t
stub_open(void *conn, struct kpop_op *op, const struct kpop_open *what)
{
    struct stub *stub = conn;
    int32_t result = KPOP_OK;

    (void)what;
    if (!stub->silent[STUB_OPEN]) {
        stub->boxes++;
        result = stub->api->put_box(op, stub, 2, KPOP_UNKNOWN);
    }
    return reply(stub, STUB_OPEN, op, result);
}

static int32_t
stub_list(void *conn, struct kpop_op *op, void *box, uint32_t first,
          uint32_t count)
{
    struct stub *stub = conn;
    int32_t result = KPOP_OK;

    CHECK(box == stub);
    for (uint32_t i = first; i < first + count && result == KPOP_OK; i++) {
        uint32_t state = 0;
        uint64_t size = stub->api->wire_octets(&state, messages[i],
                                               strlen(messages[i]));

        size += stub->api->wire_octets(&state, NULL, 0);
        result = stub->api->put_msg(op, size, i == 0 ? "uid-1" : "uid-2");
    }
    return reply(stub, STUB_LIST, op, result);
}

static int32_t
stub_fetch(void *conn, struct kpop_op *op, void *box, uint32_t msg,
           uint64_t offset, void *buffer, uint32_t size, uint32_t flags)
{
    size_t left = strlen(messages[msg]) - (size_t)offset;
    uint32_t n = left < 5 ? (uint32_t)left : 5; /* pieces */

    (void)flags;
    CHECK(box == conn);
    CHECK(size >= 5);
    memcpy(buffer, messages[msg] + offset, n);
    return reply(conn, STUB_FETCH, op, (int32_t)n);
}

static int32_t
stub_commit(void *conn, struct kpop_op *op, void *box, const uint8_t *marks,
            uint32_t count)
{
    struct stub *stub = conn;

    CHECK(box == stub);
    CHECK_INT(count, 2);
    for (uint32_t i = 0; i < count; i++)
        stub->deleted += (marks[i] & KPOP_MARK_DELETE) != 0;
    return reply(stub, STUB_COMMIT, op, KPOP_OK);
}

static void
stub_close(void *conn, void *box)
{
    struct stub *stub = conn;

    CHECK(box == stub);
    stub->closes++;
}

static void
stub_cancel(void *conn, struct kpop_op *op)
{
    struct stub *stub = conn;

    stub->cancels++;
    CHECK(op == stub->kept);
    if (stub->end_in_cancel)
        (void)stub_answer(stub);
}

#define STORE                                                              \
    .open = stub_open, .list = stub_list, .fetch = stub_fetch,             \
    .commit = stub_commit, .close = stub_close, .cancel = stub_cancel

const struct kpop_host stub_passwords = {
    .size = sizeof(stub_passwords),
    .version = KPOP_ABI_MINOR,
    .log = stub_log,
    .authorize = stub_authorize,
    .verify_password = stub_verify,
    STORE,
};

const struct kpop_host stub_exchange = {
    .size = sizeof(stub_exchange),
    .version = KPOP_ABI_MINOR,
    .log = stub_log,
    .exchange_mechanisms = stub_mechanisms,
    .exchange_start = stub_start,
    .exchange_step = stub_step,
    .exchange_end = stub_exchange_end,
    STORE,
};

int32_t
stub_try_begin(struct stub *stub, const struct kpop_host *table)
{
    static const char *const keys[][2] = { { "listen_kpop", "" },
                                           { "plaintext", "always" },
                                           { "hostname", "mail.test" } };
    char error[512];
    int32_t status;

    memset(stub, 0, sizeof(*stub));
    status = kpop_plugin_entry(KPOP_ABI_MAJOR, table, stub, &stub->plugin,
                               &stub->api, error, sizeof(error));
    for (size_t i = 0; i < 3 && status == KPOP_OK; i++)
        status = stub->api->set(stub->plugin, keys[i][0], keys[i][1], error,
                                sizeof(error));
    if (status == KPOP_OK)
        status = stub->api->ready(stub->plugin, error, sizeof(error));
    return status;
}

void
stub_begin(struct stub *stub, const struct kpop_host *table)
{
    CHECK_INT(stub_try_begin(stub, table), KPOP_OK);
}

int32_t
stub_connect(struct stub *stub, const char *service)
{
    struct kpop_facts facts = { .size = sizeof(facts), .service = service,
                                .peer_address = "192.0.2.1" };
    int32_t status = stub->api->session_new(stub->plugin, &facts, stub, 0,
                                            &stub->session);

    if (status == KPOP_OK)
        stub_drain(stub);
    else
        stub->session = NULL;
    return status;
}

void
stub_drain(struct stub *stub)
{
    const void *data;
    size_t len;

    while ((len = stub->api->output(stub->session, &data)) > 0) {
        CHECK(len < STUB_OUT_MAX - stub->out_len);
        memcpy(stub->out + stub->out_len, data, len);
        stub->out_len += len;
        stub->out[stub->out_len] = '\0';
        stub->api->wrote(stub->session, len);
    }
}

void
stub_say_bytes(struct stub *stub, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        size_t n = stub->api->input(stub->session, at, len, 0);

        at += n;
        len -= n;
        stub_drain(stub);
        if (n == 0)
            return;
    }
}

void
stub_say(struct stub *stub, const char *text)
{
    stub_say_bytes(stub, text, strlen(text));
}

bool
stub_answer(struct stub *stub)
{
    struct kpop_op *op = stub->kept;

    if (op == NULL)
        return false;
    stub->kept = NULL;
    CHECK_INT(stub->api->done(op, stub->kept_answer), KPOP_OK);
    return true;
}

void
stub_answer_all(struct stub *stub)
{
    while (stub_answer(stub))
        stub_drain(stub);
}

void
stub_hangup(struct stub *stub)
{
    stub->api->session_close(stub->session);
    stub->session = NULL;
}

void
stub_end(struct stub *stub)
{
    if (stub->session != NULL)
        stub_hangup(stub);
    (void)stub_answer(stub);
    CHECK_INT(stub->closes, stub->boxes);
    CHECK_INT(stub->ends, stub->starts);
    if (stub->plugin != NULL)
        stub->api->free(stub->plugin);
    stub->plugin = NULL;
}

bool
stub_got(const struct stub *stub, const char *text)
{
    size_t len = strlen(text);

    /* A handshake has NULs in it. */
    for (size_t i = 0; i + len <= stub->out_len; i++) {
        if (memcmp(stub->out + i, text, len) == 0)
            return true;
    }
    return false;
}

bool
stub_logged(const struct stub *stub, const char *text)
{
    return strstr(stub->log, text) != NULL;
}
