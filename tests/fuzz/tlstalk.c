/*
 * tlstalk.c - the octets of tlstalk.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/fuzz/tlstalk.h"

#include <string.h>

#define api tlstalk_api
#define expect tlstalk_expect

enum { OUTPUT_MAX = 160 * 1024, ALERT = 21 /* a kind of record */ };

/* In the clear: how the last line begins. */
static void
hear_clear(struct talk *talk, const uint8_t *data, size_t len)
{
    for (; len > 0; data++, len--) {
        if (talk->column < sizeof(talk->line))
            talk->line[talk->column] = *data;
        talk->column++;
        if (*data == '\n' && len > 1)
            talk->column = 0;
    }
}

/* By TLS: whole records of a known kind and nothing else. */
static void
check_records(struct talk *talk, const uint8_t *data, size_t len)
{
    for (; len > 0; data++, len--) {
        if (talk->head == 5 && talk->body > 0) {
            talk->body--;
            continue;
        }
        if (talk->head == 5)
            talk->head = talk->body = 0;
        expect(talk->head != 0 || (*data >= 20 && *data <= 23),
               "a record of a known kind");
        if (talk->head == 0)
            talk->kind = *data;
        /* libssl's alert names the version that a client made up. */
        expect(talk->head != 1 || *data == 3 || talk->kind == ALERT,
               "a record of TLS");
        if (talk->head >= 3)
            talk->body = talk->body << 8 | *data;
        talk->head++;
    }
}

static void
take_output(struct talk *talk)
{
    const void *data;
    size_t len = api->output(talk->session, &data);

    expect(len <= OUTPUT_MAX, "bounded output");
    if (talk->piece < 8 && len > 1)
        len = 1 + len / 2;
    if (talk->client.ssl != NULL) {
        check_records(talk, data, len);
        bent_hear(&talk->client, data, len);
    } else {
        hear_clear(talk, data, len);
    }
    api->wrote(talk->session, len);
}

static bool
give_input(struct talk *talk)
{
    struct buf *made = &talk->client.made;
    size_t len = buf_len(made);
    size_t used;

    if (len == 0)
        return false;
    if (len > talk->piece)
        len = talk->piece;
    used = api->input(talk->session, buf_data(made), len, talk->now);
    expect(used == len, "READ takes it all");
    buf_consume(made, used);
    return true;
}

bool
tlstalk_settle(struct talk *talk)
{
    struct kpop_op *op = talk->kept;

    talk->kept = NULL;
    if (op == NULL)
        return false;
    expect(api->done(op, talk->later) == KPOP_OK, "done() later");
    return true;
}

/* Until nobody has anything to say. */
void
tlstalk_run(struct talk *talk)
{
    unsigned rounds = 200000;
    uint32_t wants;
    bool moved = true;

    while (moved) {
        wants = api->wants(talk->session);
        expect(--rounds > 0, "a session does not go round in a circle");
        if ((wants & KPOP_WANT_WRITE) != 0)
            take_output(talk);
        else if ((wants & KPOP_WANT_READ) == 0 || !give_input(talk))
            moved = tlstalk_settle(talk);
    }
    expect((wants & (KPOP_WANT_READ | KPOP_WANT_CLOSE)) != 0,
           "a session ends or goes on");
}

