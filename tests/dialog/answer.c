/*
 * answer.c - the answers of the scripted host: the users, the maildrop and the
 * faults of a dialogue.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/dialog/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int32_t
answer_start(struct question *q)
{
    const struct kpop_api *api = q->conn->host->api;
    static const char good[] = "GOOD-AP-REQ";

    if (strcmp(q->text, "KPOP") != 0)
        return KPOP_AUTH;
    q->conn->kpop = true;
    if (q->size < sizeof(good) - 1 ||
        memcmp(q->data, good, sizeof(good) - 1) != 0) {
        (void)api->put_challenge(q->op, "\x7eKRB-ERROR", 10);
        return KPOP_AUTH;
    }
    if (memchr(q->data, '!', q->size) == NULL &&
        api->put_challenge(q->op, "\x6f" "AP-REP", 7) != KPOP_OK)
        return KPOP_NO_MEMORY;
    return KPOP_CONTINUE;
}

static struct user *
find_user(struct host *host, const char *name, size_t len)
{
    size_t i;

    for (i = 0; i < host->user_count; i++) {
        if (strlen(host->users[i].name) == len &&
            memcmp(host->users[i].name, name, len) == 0)
            return &host->users[i];
    }
    return NULL;
}

static int32_t
accept_user(struct question *q, struct user *user)
{
    struct host *host = q->conn->host;

    if (user->result != KPOP_OK)
        return user->result;
    return host->api->put_user(q->op, user->name);
}

/* "" NUL user NUL password */
static int32_t
answer_plain(struct question *q)
{
    struct host *host = q->conn->host;
    const char *data = q->data;
    const char *end = data + q->size;
    const char *name, *password;
    struct user *user;

    if (q->size < 3 || data[0] != '\0')
        return KPOP_AUTH;
    name = data + 1;
    password = memchr(name, '\0', q->size - 1);
    if (password++ == NULL)
        return KPOP_AUTH;
    user = find_user(host, name, (size_t)(password - 1 - name));
    if (user == NULL || strlen(user->password) != (size_t)(end - password) ||
        memcmp(user->password, password, (size_t)(end - password)) != 0)
        return KPOP_AUTH;
    return accept_user(q, user);
}

static int32_t
answer_step(struct question *q)
{
    struct user *user = find_user(q->conn->host, q->data, q->size);

    if (!q->conn->kpop)
        return exchange_answer(q);
    return user != NULL ? accept_user(q, user) : KPOP_DENIED;
}

static int32_t
answer_verify(struct question *q)
{
    struct user *user = find_user(q->conn->host, q->text, strlen(q->text));

    if (user == NULL || strlen(user->password) != q->size ||
        memcmp(user->password, q->data, q->size) != 0)
        return KPOP_AUTH;
    return user->result == KPOP_TEMP ? KPOP_TEMP : KPOP_OK;
}

static int32_t
answer_authorize(struct question *q)
{
    const char *name = q->identity->authcid;
    const char *requested = q->identity->requested;
    struct user *user = find_user(q->conn->host, name, strlen(name));

    if (requested[0] != '\0' && strcmp(requested, name) != 0)
        return KPOP_DENIED;
    return user != NULL ? accept_user(q, user) : KPOP_DENIED;
}

static uint32_t
expand(struct host *host, uint32_t *indices_out)
{
    uint32_t count = 0;
    size_t i;

    for (i = 0; i < host->message_count; i++) {
        uint32_t left = host->messages[i].copies;

        if (host->messages[i].deleted)
            continue;
        for (; left > 0; left--, count++) {
            if (indices_out != NULL)
                indices_out[count] = (uint32_t)i;
        }
    }
    return count;
}

static uint64_t
total_of(struct host *host, struct box *box)
{
    uint64_t total = 0;
    uint32_t i;

    if (host->total_unknown)
        return KPOP_UNKNOWN;
    if (host->total_is_set)
        return host->total;
    for (i = 0; i < box->count; i++)
        total += host->messages[box->messages[i]].size;
    return total;
}

int32_t
host_answer_open(struct question *q)
{
    struct host *host = q->conn->host;
    struct box *box;
    int32_t result;

    (void)snprintf(host->requested, sizeof(host->requested), "%s",
                   q->what->requested);
    if (host->locked_by != NULL)
        return KPOP_IN_USE;
    box = xmalloc(sizeof(*box));
    box->host = host;
    box->count = expand(host, NULL);
    box->messages = xmalloc((box->count + 1) * sizeof(*box->messages));
    (void)expand(host, box->messages);
    box->next = host->boxes;
    host->boxes = box;
    /* From here on the box is the module's to close, whatever follows. */
    host->opens++;
    host->locked_by = q->conn;
    q->conn->box = box;
    result = host->api->put_box(q->op, box, box->count, total_of(host, box));
    if (result != KPOP_OK)
        return result;
    if (!host->announces
        && (host->expire != KPOP_EXPIRE_NEVER || host->login_delay > 0))
        return host->api->put_policy(q->op, host->expire, host->login_delay);
    return KPOP_OK;
}

static int32_t
answer_list(struct question *q)
{
    struct host *host = q->conn->host;
    uint32_t i;

    if (q->box->count < q->first || q->box->count - q->first < q->count) {
        host_fail(host, "list of %u+%u in a box of %u", q->first, q->count,
                  q->box->count);
        return KPOP_PERM;
    }
    for (i = q->first; i < q->first + q->count; i++) {
        const struct message *message = &host->messages[q->box->messages[i]];
        char uidl[100];
        int32_t result;

        if (message->uidl != NULL)
            (void)snprintf(uidl, sizeof(uidl), "%s", message->uidl);
        else if (message->copies > 1)
            (void)snprintf(uidl, sizeof(uidl), "u%u", i + 1);
        else
            (void)snprintf(uidl, sizeof(uidl), "u%u",
                           q->box->messages[i] + 1);
        result = host->api->put_msg(q->op, message->size, uidl);
        if (result != KPOP_OK)
            return result;
    }
    return KPOP_OK;
}

static int32_t
answer_fetch(struct question *q)
{
    struct host *host = q->conn->host;
    const struct message *message;
    uint64_t count;

    if (q->first >= q->box->count || q->count == 0 ||
        q->count > KPOP_FETCH_MAX) {
        host_fail(host, "fetch of message %u, %u octets", q->first, q->count);
        return KPOP_PERM;
    }
    message = &host->messages[q->box->messages[q->first]];
    if (q->offset > message->octets.len) {
        host_fail(host, "fetch behind the end");
        return KPOP_PERM;
    }
    count = message->octets.len - q->offset;
    if (count > q->count)
        count = q->count;
    if (host->short_reads && count > 1)
        count = 1 + host_random(&host->seed) % (count < 9 ? count : 9);
    if (count > 0)
        memcpy(q->buffer, message->octets.data + q->offset, count);
    return (int32_t)count;
}

static int32_t
answer_commit(struct question *q)
{
    struct host *host = q->conn->host;
    const struct fault *fault = &host->faults[ASK_COMMIT];
    uint32_t i;

    if (q->count != q->box->count)
        host_fail(host, "commit of %u marks for %u messages", q->count,
                  q->box->count);
    for (i = 0; i < q->count && i < q->box->count; i++) {
        if ((q->marks[i] & KPOP_MARK_RETRIEVED) != 0)
            host->messages[q->box->messages[i]].retrieved = true;
        if ((q->marks[i] & KPOP_MARK_DELETE) == 0)
            continue;
        host->messages[q->box->messages[i]].deleted = true;
        if (fault->after_first)
            break;
    }
    return KPOP_OK;
}

static int32_t
answer_envelope(struct question *q)
{
    struct host *host = q->conn->host;

    if (q->first >= q->box->count) {
        host_fail(host, "envelope of message %u", q->first);
        return KPOP_PERM;
    }
    return host->api->put_envelope(
        q->op, strcmp(host->sender, "-") == 0 ? "" : host->sender,
        host->recipient);
}

static bool
fault_applies(struct fault *fault, const struct question *q)
{
    if (fault->result == 0)
        return false;
    if (q->kind == ASK_LIST)
        return q->first >= fault->at;
    if (q->kind != ASK_FETCH)
        return true;
    return q->offset >= fault->at &&
           (fault->msg == 0 || fault->msg == q->first + 1);
}

/* What a host may not do; the octets behind the buffer are not touched. */
static int32_t
answer_with_lie(struct question *q, int32_t lie)
{
    const struct kpop_api *api = q->conn->host->api;
    int32_t result = KPOP_OK;

    switch ((int)q->kind) {
    case ASK_LIST:
        q->count -= lie == LIE_SHORT;
        result = answer_list(q);
        if (lie == LIE_LONG)
            (void)api->put_msg(q->op, 1, "extra");
        return result;
    case ASK_FETCH:
        return lie == LIE_LONG ? (int32_t)q->count + 1 : 0;
    case ASK_OPEN:
        if (lie == LIE_LONG)
            (void)api->put_user(q->op, "mallory");
        return lie == LIE_LONG ? host_answer_open(q) : KPOP_OK;
    default:
        return lie == LIE_LONG ? 12345 : KPOP_OK;
    }
}

int32_t
host_answer(struct question *q)
{
    static int32_t (*const answers[ASK_KINDS])(struct question *) = {
        [ASK_START] = answer_start,         [ASK_STEP] = answer_step,
        [ASK_AUTHORIZE] = answer_authorize, [ASK_VERIFY] = answer_verify,
        [ASK_OPEN] = host_answer_open,           [ASK_LIST] = answer_list,
        [ASK_FETCH] = answer_fetch,         [ASK_COMMIT] = answer_commit,
        [ASK_ENVELOPE] = answer_envelope,
    };
    struct fault *fault = &q->conn->host->faults[q->kind];
    int32_t result;

    if (fault_applies(fault, q)) {
        if (fault->after_first)
            (void)answer_commit(q);
        result = fault->result;
        if (fault->once)
            fault->result = 0;
        return result < LIE_SHORT ? result : answer_with_lie(q, result);
    }
    if (q->kind == ASK_START && exchange_knows(q->conn->host, q->text))
        return exchange_answer(q);
    if (q->kind == ASK_START && strcmp(q->text, "PLAIN") == 0)
        return answer_plain(q);
    return answers[q->kind](q);
}
