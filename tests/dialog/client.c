/*
 * client.c - drives one session as a host's event loop would, checking at each
 * call what the ABI promises of input(), output() and wants().
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/dialog/play.h"

#include <stdlib.h>
#include <string.h>

/* The engine's window, one read of a message stuffed, and a line. */
enum { OUTPUT_LIMIT = 16384 + 2 * 16384 + 2048 };

static void
enter(struct play *play)
{
    play->host.inside++;
    alloc_enter();
}

static void
leave(struct play *play)
{
    alloc_leave();
    play->host.inside--;
}

static uint32_t
wants(struct play *play, struct client *client)
{
    const void *data;
    uint32_t set = play->api->wants(client->conn.session);
    size_t len = play->api->output(client->conn.session, &data);

    if (((set & KPOP_WANT_WRITE) != 0) != (len > 0))
        host_fail(&play->host, "WANT_WRITE is %d with %zu octets of output",
                  (set & KPOP_WANT_WRITE) != 0, len);
    if (len > OUTPUT_LIMIT)
        host_fail(&play->host, "%zu octets of output are held", len);
    if (client->conn.is_asked && (set & KPOP_IS_BUSY) == 0)
        host_fail(&play->host, "a question is open without IS_BUSY");
    return set;
}

bool
client_is_closing(struct play *play, struct client *client)
{
    return client->conn.session == NULL ||
           (wants(play, client) & KPOP_WANT_CLOSE) != 0;
}

static void
tick(struct play *play, struct client *client)
{
    int rounds;

    for (rounds = 0; client->conn.session != NULL; rounds++) {
        if (play->api->deadline(client->conn.session) > play->now)
            return;
        if (rounds > 3) {
            host_fail(&play->host, "the deadline stays in the past");
            return;
        }
        enter(play);
        play->api->tick(client->conn.session, play->now);
        leave(play);
    }
}

static bool
receive(struct play *play, struct client *client)
{
    const void *data;
    size_t len = play->api->output(client->conn.session, &data);

    if (play->variant.drip && len > 1)
        len = 1;
    if (client->stalled && len > client->allowance)
        len = client->allowance;
    if (len == 0)
        return false;
    if (client->stalled)
        client->allowance -= len;
    blob_add(&client->out, data, len);
    enter(play);
    play->api->wrote(client->conn.session, len);
    leave(play);
    return true;
}

static size_t
segment(struct play *play, const struct client *client)
{
    size_t left = client->in.len - client->sent;
    size_t limit = KPOP_READ_MAX;

    switch (play->variant.segments) {
    case SEGMENT_OCTET:
        limit = 1;
        break;
    case SEGMENT_RANDOM:
    case SEGMENT_RANDOM_ALL:
        limit = 1 + host_random(&play->seed) % 40;
        if (limit > 30)
            limit = 1 + host_random(&play->seed) % 20000;
        break;
    case SEGMENT_BLOCK:
    case SEGMENT_ALL:
    case SEGMENT_KINDS:
        break;
    }
    if (limit > KPOP_READ_MAX)
        limit = KPOP_READ_MAX;
    if (play->variant.cut >= CUT_EOF && play->variant.cut <= CUT_STOP &&
        limit > play->variant.cut_at - play->sent)
        limit = play->variant.cut_at - play->sent;
    return left < limit ? left : limit;
}

static bool
transmit(struct play *play, struct client *client)
{
    size_t len = segment(play, client);
    uint8_t *copy;
    size_t taken;

    if (len == 0 || (wants(play, client) & KPOP_WANT_READ) == 0)
        return false;
    /* A block of its own, so that reading behind it is seen. */
    copy = memcpy(xmalloc(len), client->in.data + client->sent, len);
    enter(play);
    taken = play->api->input(client->conn.session, copy, len, play->now);
    leave(play);
    memset(copy, 'X', len);
    free(copy);
    if (taken != len)
        host_fail(&play->host, "input took %zu of %zu", taken, len);
    client->sent += len;
    play->sent += len;
    return true;
}

static bool
half_close(struct play *play, struct client *client)
{
    if (!client->eof_wanted || client->eof_told ||
        client->sent < client->in.len ||
        client_is_closing(play, client))
        return false;
    client->eof_told = true;
    enter(play);
    play->api->input_end(client->conn.session, play->now);
    leave(play);
    return true;
}

static void
stop(struct play *play, struct client *client)
{
    enter(play);
    play->api->session_stop(client->conn.session, play->now);
    leave(play);
}

/* The variant breaks off here, if it does. */
static bool
cut_by_octets(struct play *play, struct client *client)
{
    const struct variant *variant = &play->variant;

    if (play->over || variant->cut < CUT_EOF || variant->cut > CUT_STOP ||
        play->sent < variant->cut_at)
        return false;
    play->over = true;
    client->in.len = client->sent;
    if (variant->cut == CUT_EOF)
        client->eof_wanted = true;
    else if (variant->cut == CUT_STOP)
        stop(play, client);
    else
        client_close(play, client);
    return true;
}

static bool
cut_by_question(struct play *play, struct client *client)
{
    const struct variant *variant = &play->variant;

    if (play->over || variant->cut < CUT_AT_QUESTION ||
        !client->conn.is_asked || play->host.questions != variant->cut_at)
        return false;
    play->over = true;
    client->in.len = client->sent;
    if (variant->cut == CUT_EOF_AT_QUESTION)
        client->eof_wanted = true;
    else if (variant->cut == CUT_STOP_AT_QUESTION)
        stop(play, client);
    else
        client_close(play, client);
    return true;
}

/* The later the answer, the more has happened meanwhile. */
static bool
complete(struct client *client)
{
    if (!client->conn.is_asked || client->conn.host->held)
        return false;
    host_complete(&client->conn);
    return true;
}

void
client_pump(struct play *play, struct client *client)
{
    bool moved = true;

    while (moved && client->conn.session != NULL &&
           play->host.failure[0] == '\0') {
        tick(play, client);
        moved = cut_by_question(play, client) || cut_by_octets(play, client);
        if (client->conn.session == NULL)
            return;
        moved = receive(play, client) || moved;
        if (!client_is_closing(play, client))
            moved = transmit(play, client) || moved;
        moved = half_close(play, client) || moved;
        if (!moved)
            moved = complete(client);
    }
}

bool
client_open(struct play *play, struct client *client)
{
    struct kpop_facts facts = {
        .size = sizeof(facts), .service = play->script->kpop ? "kpop" : "pop3",
        .session_id = "d1", .peer_address = "192.0.2.7",
        .local_address = "192.0.2.1", .peer_port = 40000,
        .local_port = play->script->kpop ? 1109 : 110, .tls_version = "",
        .tls_cipher = "", .tls_server_name = "", .binding_type = "",
    };
    int32_t result;

    blob_free(&client->in);
    client->sent = 0;
    client->eof_wanted = client->eof_told = client->close_seen = false;
    client->stalled = false;
    client->conn.host = &play->host;
    enter(play);
    result = play->api->session_new(play->plugin, &facts, &client->conn,
                                    play->now, &client->conn.session);
    leave(play);
    if (result == KPOP_OK) {
        client_pump(play, client);
        return true;
    }
    client->conn.session = NULL;
    if (play->variant.alloc_at == 0)
        host_fail(&play->host, "session_new answered %d", result);
    play->over = true;
    return false;
}

void
client_close(struct play *play, struct client *client)
{
    struct kpop_session *session = client->conn.session;

    if (session == NULL)
        return;
    client->conn.session = NULL;
    enter(play);
    play->api->session_close(session);
    leave(play);
    if (client->conn.is_asked && play->variant.answer_badly)
        host_complete_badly(&client->conn);
    else if (client->conn.is_asked)
        host_complete(&client->conn);
    if (client->conn.is_asked)
        host_fail(&play->host, "a question after session_close");
}

void
client_time(struct play *play, struct client *client, uint64_t span)
{
    uint64_t end = play->now + span;
    int rounds;

    for (rounds = 0; rounds < 100 && client->conn.session != NULL;
         rounds++) {
        uint64_t deadline = play->api->deadline(client->conn.session);

        if (deadline > end)
            break;
        if (deadline > play->now)
            play->now = deadline;
        client_pump(play, client);
    }
    play->now = end;
    client_pump(play, client);
}
