/*
 * play.c - see play.h: the steps of one run, in order.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/dialog/play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
is_expectation(const struct step *step)
{
    return step->kind == STEP_EXPECT || step->kind == STEP_EXPECT_KRB ||
           step->kind == STEP_EXPECT_WIRE ||
           step->kind == STEP_EXPECT_RETR ||
           step->kind == STEP_EXPECT_CUT ||
           step->kind == STEP_EXPECT_CLOSE ||
           step->kind == STEP_EXPECT_TAKEN ||
           step->kind == STEP_EXPECT_DEAF;
}

/* ----------------------------------------------------------------- plugin */

static bool
set(struct play *play, const char *key, const char *value)
{
    char error[300] = "";
    int32_t result = play->api->set(play->plugin, key, value, error,
                                    sizeof(error));

    if (result == KPOP_OK)
        return true;
    if (play->variant.alloc_at == 0)
        host_fail(&play->host, "set %s: %d %s", key, result, error);
    return false;
}

static bool
set_all(struct play *play)
{
    const struct script *script = play->script;
    bool ok = set(play, "hostname", "mail.example.org") &&
              set(play, "plaintext", "always") &&
              set(play, "mechanisms", "USER");
    size_t i;

    if (!script->kpop)
        ok = ok && set(play, "listen_kpop", "") &&
             set(play, "listen_pop3", "127.0.0.1:0");
    for (i = 0; ok && i < script->setting_count; i++)
        ok = set(play, script->settings[i][0], script->settings[i][1]);
    return ok;
}

static bool
plugin_start(struct play *play)
{
    struct kpop_host table;
    char error[300] = "";
    int32_t result;
    bool ok = true;

    host_table(&table, play->variant.exchange);
    alloc_enter();
    play->host.inside++;
    result = kpop_plugin_entry(KPOP_ABI_MAJOR, &table, &play->host,
                               &play->plugin, &play->api, error,
                               sizeof(error));
    if (result == KPOP_OK) {
        play->host.api = play->api;
        ok = set_all(play);
        if (ok)
            result = play->api->ready(play->plugin, error, sizeof(error));
    }
    play->host.inside--;
    alloc_leave();
    if (result != KPOP_OK && play->variant.alloc_at == 0)
        host_fail(&play->host, "the plugin: %d %s", result, error);
    return ok && result == KPOP_OK;
}

/* ------------------------------------------------------------------ steps */

static void
check_nothing_more(struct play *play)
{
    struct client *client = play->client;

    if (client->seen < client->out.len)
        host_fail(&play->host, "line %d: not expected: \"%s\"", play->line,
                  blob_show(client->out.data, client->out.len, client->seen));
    else if (!client->close_seen && client_is_closing(play, client) &&
             client->conn.session != NULL)
        host_fail(&play->host, "line %d: the session closes", play->line);
}

static bool
sends_ahead(const struct play *play)
{
    return !play->script->lockstep &&
           (play->variant.segments == SEGMENT_ALL ||
            play->variant.segments == SEGMENT_RANDOM_ALL);
}

static void
enqueue(struct client *client, const struct step *step)
{
    blob_add(&client->in, step->octets.data, step->octets.len);
    client->eof_wanted = client->eof_wanted || step->number == 1;
}

static void
remember(struct play *play, size_t first, size_t end, size_t from)
{
    const struct step *steps = play->script->steps;
    struct exchanged *block = &play->blocks[play->block_count];

    if (play->block_count == PLAY_BLOCKS)
        return;
    play->block_count++;
    block->first = &steps[first];
    block->from = from;
    block->len = play->client->out.len - from;
    for (; first < end; first++)
        block->sends += steps[first].kind == STEP_SEND;
}

/* Commands and their answers; returns the step behind them. */
static size_t
play_block(struct play *play, size_t first)
{
    const struct step *steps = play->script->steps;
    size_t count = play->script->step_count, i, end;
    size_t from = play->client->out.len;
    bool ahead = sends_ahead(play), answered = false;

    for (end = first; end < count; end++) {
        if (is_expectation(&steps[end]))
            answered = true;
        else if (steps[end].kind != STEP_SEND || (answered && !ahead))
            break;
        else
            enqueue(play->client, &steps[end]);
    }
    client_pump(play, play->client);
    remember(play, first, end, from);
    if (!play->judged)
        return end;
    play->line = steps[end - 1].line;
    for (i = first; i < end && play->host.failure[0] == '\0'; i++) {
        if (is_expectation(&steps[i]))
            expect_step(play, &steps[i]);
    }
    check_nothing_more(play);
    return end;
}

static void
play_slowly(struct play *play, const struct step *step)
{
    size_t i;

    for (i = 0; i < step->octets.len; i++) {
        client_time(play, play->client, step->number);
        blob_add(&play->client->in, step->octets.data + i, 1);
        client_pump(play, play->client);
    }
}

static void
play_stop(struct play *play)
{
    if (play->client->conn.session == NULL)
        return;
    play->host.inside++;
    alloc_enter();
    play->api->session_stop(play->client->conn.session, play->now);
    alloc_leave();
    play->host.inside--;
}

static void
play_event(struct play *play, const struct step *step)
{
    struct client *client = play->client;

    switch ((int)step->kind) {
    case STEP_SEND_SLOWLY:
        play_slowly(play, step);
        break;
    case STEP_EOF:
        client->eof_wanted = true;
        break;
    case STEP_HANGUP:
        client_close(play, client);
        break;
    case STEP_STALL:
        client->stalled = true;
        client->allowance = 0;
        break;
    case STEP_READ:
        client->stalled = step->number > 0;
        client->allowance = step->number;
        break;
    case STEP_TIME:
        client_time(play, client, step->number);
        break;
    case STEP_STOP:
        play_stop(play);
        break;
    default:
        break;
    }
    client_pump(play, client);
}

static bool
is_set_up(const struct step *step)
{
    return step->kind == STEP_HOST || step->kind == STEP_CONNECTION ||
           step->kind >= STEP_CHECK_HOST;
}

static size_t
play_step(struct play *play, size_t i)
{
    const struct step *step = &play->script->steps[i];

    play->line = step->line;
    if (step->kind == STEP_HOST) {
        if (!host_directive(&play->host, step->text))
            host_fail(&play->host, "line %d: what is \"%s\"?", step->line,
                      step->text);
        return i + 1;
    }
    if (step->kind == STEP_CONNECTION && step->number < PLAY_CLIENTS)
        play->client = &play->clients[step->number];
    if (is_set_up(step))
        return i + 1;
    if (play->client->conn.session == NULL && !client_open(play, play->client))
        return i + 1;
    if (step->kind == STEP_SEND || is_expectation(step))
        return play_block(play, i);
    play_event(play, step);
    if (play->judged)
        play->client->close_seen =
            play->client->close_seen || step->kind == STEP_HANGUP;
    return i + 1;
}

/* The module must agree with host_wire() about every size, however the
 * message is cut. */
static void
check_sizes(struct play *play)
{
    struct host *host = &play->host;
    uint32_t i;

    for (i = 0; i < host->message_count; i++) {
        const struct blob *octets = &host->messages[i].octets;
        struct blob wire = { 0 };
        uint32_t state = 0;
        uint64_t sum = 0;
        size_t at, len;

        host_wire(host, i + 1, false, &wire);
        for (at = 0; at < octets->len; at += len) {
            len = 1 + host_random(&play->seed) % 7;
            if (len > octets->len - at)
                len = octets->len - at;
            sum += play->api->wire_octets(&state, octets->data + at, len);
        }
        sum += play->api->wire_octets(&state, NULL, 0);
        if (sum != wire.len)
            host_fail(host, "wire_octets of message %u: %llu, sent are %zu",
                      i + 1, (unsigned long long)sum, wire.len);
        blob_free(&wire);
    }
}

static void
finish(struct play *play)
{
    const struct step *step = play->script->steps;
    size_t i;

    for (i = 0; i < PLAY_CLIENTS; i++)
        client_close(play, &play->clients[i]);
    host_check_balance(&play->host);
    if (play->judged)
        check_sizes(play);
    for (i = 0; play->judged && i < play->script->step_count; i++, step++) {
        if (step->kind == STEP_CHECK_HOST)
            host_check(&play->host, step->text, play->variant.exchange);
        else if (step->kind == STEP_CHECK_NO_LOG ||
                 (step->kind == STEP_CHECK_LOG &&
                  !(step->number == 1 && play->variant.exchange)))
            expect_log(play, step);
    }
}

void
play(struct play *play, const struct script *script,
     const struct variant *variant)
{
    size_t i = 0;

    memset(play, 0, sizeof(*play));
    play->script = script;
    play->variant = *variant;
    play->judged = variant->cut == CUT_NONE && variant->alloc_at == 0;
    play->client = &play->clients[0];
    play->now = 1000000;
    play->seed = variant->seed | 1;
    host_init(&play->host, variant->answering, variant->seed | 1);
    play->host.short_reads = variant->short_reads;
    play->host.done_in_cancel =
        variant->cut == CUT_AT_QUESTION && variant->cut_at % 2 == 0;
    alloc_fail_at(variant->alloc_at, variant->alloc_for_good);
    if (plugin_start(play)) {
        while (i < script->step_count && !play->over &&
               play->host.failure[0] == '\0')
            i = play_step(play, i);
        finish(play);
    }
    alloc_enter();
    if (play->plugin != NULL)
        play->api->free(play->plugin);
    alloc_leave();
    alloc_stop_failing();
}

void
play_free(struct play *play)
{
    size_t i;

    for (i = 0; i < PLAY_CLIENTS; i++) {
        blob_free(&play->clients[i].in);
        blob_free(&play->clients[i].out);
    }
    host_free(&play->host);
}
