/*
 * bentclient.c - see bentclient.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/fuzz/bentclient.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEAD = 5, NO_TEXT = -1 };

static void
must(bool condition)
{
    if (!condition)
        abort();
}

void
bent_begin(struct bent_client *client, SSL_CTX *context, SSL_SESSION *session)
{
    SSL_SESSION *copy;

    client->ssl = SSL_new(context);
    client->in = BIO_new(BIO_s_mem());
    client->out = BIO_new(BIO_s_mem());
    must(client->ssl != NULL && client->in != NULL && client->out != NULL);
    SSL_set_bio(client->ssl, client->in, client->out);
    SSL_set_connect_state(client->ssl);
    if (session == NULL)
        return;
    /* A copy: a handshake that is cut off leaves libssl's own in pieces. */
    copy = SSL_SESSION_dup(session);
    must(copy != NULL && SSL_set_session(client->ssl, copy) == 1);
    SSL_SESSION_free(copy);
}

void
bent_end(struct bent_client *client)
{
    SSL_free(client->ssl);
    client->ssl = NULL;
    client->records = 0;
    client->is_bent = false;
    client->texts = 0;
    client->arrived = 0;
    buf_reset(&client->made);
    buf_reset(&client->held);
    buf_reset(&client->said);
}

void
bent_plan(struct bent_client *client, unsigned ahead, enum bend kind,
          uint8_t where, uint8_t what)
{
    unsigned i = (client->records + ahead) % BENDS_AHEAD;

    client->plans[i].kind = kind;
    client->plans[i].where = where;
    client->plans[i].what = what;
}

/* ---- records ---- */

static void
send_record(struct bent_client *client, const uint8_t *record, size_t len,
            int text)
{
    buf_append(&client->made, record, len);
    if (text == (int)client->arrived)
        client->arrived++;
}

/* The one that was held back. */
static void
send_held(struct bent_client *client)
{
    send_record(client, buf_data(&client->held), buf_len(&client->held),
                client->held_text);
    buf_reset(&client->held);
}

static void
hold(struct bent_client *client, const uint8_t *record, size_t len, int text)
{
    if (buf_len(&client->held) > 0)
        send_held(client);
    buf_append(&client->held, record, len);
    client->held_text = text;
}

static void
send_flipped(struct bent_client *client, const uint8_t *record, size_t len,
             size_t where, uint8_t what)
{
    uint8_t octet = record[where % len] ^ what;

    buf_append(&client->made, record, where % len);
    buf_append(&client->made, &octet, 1);
    buf_append(&client->made, record + where % len + 1,
               len - where % len - 1);
}

static void
bend(struct bent_client *client, const uint8_t *record, size_t len, int text)
{
    unsigned i = client->records++ % BENDS_AHEAD;
    enum bend kind = client->plans[i].kind;
    /* All of a long record can be reached, and its head. */
    size_t where = client->plans[i].where;
    uint8_t what = client->plans[i].what;

    client->plans[i].kind = BEND_NOTHING;
    where = where < HEAD ? where : where * len / 256;
    client->is_bent = client->is_bent || kind != BEND_NOTHING;
    switch (kind) {
    case BEND_FLIP:
        send_flipped(client, record, len, where, what | !what);
        break;
    case BEND_DROP:
        break;
    case BEND_HOLD:
        hold(client, record, len, text);
        return;
    case BEND_CUT:
        buf_append(&client->made, record, where % len);
        break;
    case BEND_JUNK:
        for (i = 0; i <= what % 16u; i++)
            buf_append(&client->made, &what, 1);
        send_record(client, record, len, text);
        break;
    case BEND_TWICE:
        buf_append(&client->made, record, len);
        send_record(client, record, len, text);
        break;
    case BEND_NOTHING:
    case BEND_KINDS:
        send_record(client, record, len, text);
        break;
    }
    if (buf_len(&client->held) > 0)
        send_held(client);
}

/* All that OpenSSL has written; text = that of the last record. */
static void
collect(struct bent_client *client, int text)
{
    static uint8_t octets[RECORD_MAX * 2];
    int got = BIO_read(client->out, octets, sizeof(octets));
    size_t all = got > 0 ? (size_t)got : 0;
    size_t at, len;

    must(all < sizeof(octets));
    for (at = 0; at < all; at += len) {
        must(all - at >= HEAD);
        len = HEAD + ((size_t)octets[at + 3] << 8 | octets[at + 4]);
        must(len <= all - at);
        bend(client, octets + at, len, at + len == all ? text : NO_TEXT);
    }
    ERR_clear_error();
}

void
bent_collect(struct bent_client *client)
{
    collect(client, NO_TEXT);
}

/* ---- both directions ---- */

void
bent_hear(struct bent_client *client, const void *data, size_t len)
{
    char ignored[4096];

    must(BIO_write(client->in, data, (int)len) == (int)len);
    if (!SSL_is_init_finished(client->ssl))
        (void)SSL_do_handshake(client->ssl);
    while (SSL_read(client->ssl, ignored, sizeof(ignored)) > 0)
        continue;
    collect(client, NO_TEXT);
}

bool
bent_say(struct bent_client *client, const void *data, size_t len)
{
    if (client->texts >= TEXTS_MAX || !SSL_is_init_finished(client->ssl)
        || len == 0)
        return false;
    collect(client, NO_TEXT);
    if (SSL_write(client->ssl, data, (int)len) != (int)len) {
        collect(client, NO_TEXT);
        return false;
    }
    buf_append(&client->said, data, len);
    must(!buf_failed(&client->said));
    client->ends[client->texts++] = buf_len(&client->said);
    collect(client, (int)client->texts - 1);
    return true;
}

bool
bent_has(const struct bent_client *client, const void *data, size_t len)
{
    const uint8_t *said = buf_data(&client->said);
    size_t arrived =
        client->arrived > 0 ? client->ends[client->arrived - 1] : 0;

    for (size_t at = 0; at + len <= arrived; at++)
        if (strncasecmp((const char *)said + at, data, len) == 0)
            return true;
    return len == 0;
}
