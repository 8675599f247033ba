/*
 * expect.c - compares what came with what a dialogue expects.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/dialog/play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPLY_MAX = 512 };

static const uint8_t *
unseen(const struct client *client, size_t *len_out)
{
    *len_out = client->out.len - client->seen;
    return client->out.data != NULL ? client->out.data + client->seen
                                    : (const uint8_t *)"";
}

static void
expect_octets(struct play *play, const void *want, size_t want_len)
{
    size_t len, i = 0;
    const uint8_t *got = unseen(play->client, &len);
    const uint8_t *wanted = want;
    size_t shown;

    while (i < len && i < want_len && got[i] == wanted[i])
        i++;
    if (i < want_len) {
        shown = i > 40 ? i - 40 : 0;
        host_fail(&play->host,
                  "line %d: \"%s\" instead of \"%s\" (differs at octet %zu)",
                  play->line, blob_show(got, len, shown),
                  blob_show(want, want_len, shown), i);
        return;
    }
    play->client->seen += want_len;
}

/* A reply is one line of at most 512 octets (RFC 2449 section 4). */
static void
check_reply(struct play *play)
{
    size_t len;
    const uint8_t *got = unseen(play->client, &len);
    const uint8_t *end = memchr(got, '\n', len);

    if (len < 4 || (memcmp(got, "+OK", 3) != 0 && memcmp(got, "-ERR", 4) != 0))
        return;
    if (end != NULL && end - got >= REPLY_MAX)
        host_fail(&play->host, "line %d: a reply of %td octets", play->line,
                  end - got + 1);
}

static void
skip_line(struct play *play)
{
    size_t len;
    const uint8_t *got = unseen(play->client, &len);
    const uint8_t *end = memchr(got, '\n', len);

    if (end == NULL || end == got || end[-1] != '\r')
        host_fail(&play->host, "line %d: the line has no CRLF: \"%s\"",
                  play->line, blob_show(got, len, 0));
    else
        play->client->seen += (size_t)(end - got) + 1;
}

static bool
contains(const uint8_t *data, size_t len, const void *part, size_t part_len)
{
    return memmem(data, len, part, part_len) != NULL;
}

/* What differs from run to run (a time, a length read) is not compared with
 * other transcripts. */
static void
replace_unseen(struct play *play, const char *word)
{
    struct client *client = play->client;

    client->out.len = client->seen;
    blob_add(&client->out, word, strlen(word));
    client->seen = client->out.len;
}

/* u32 length, KRB_ERROR with error-code [6] and the text. */
static void
expect_krb(struct play *play, const struct step *step)
{
    uint8_t code[5] = { 0xa6, 0x03, 0x02, 0x01, (uint8_t)step->number };
    size_t len, body;
    const uint8_t *got = unseen(play->client, &len);

    if (len < 5) {
        host_fail(&play->host, "line %d: no KRB_ERROR, \"%s\"", play->line,
                  blob_show(got, len, 0));
        return;
    }
    body = (size_t)got[0] << 24 | (size_t)got[1] << 16 |
           (size_t)got[2] << 8 | got[3];
    if (body < 10 || body != len - 4 || got[4] != 0x7e ||
        !contains(got + 4, body, code, sizeof(code)) ||
        !contains(got + 4, body, step->text, strlen(step->text)))
        host_fail(&play->host, "line %d: no such KRB_ERROR: \"%s\"",
                  play->line, blob_show(got, len, 0));
    replace_unseen(play, "KRB_ERROR");
}

static void
expect_wire(struct play *play, const struct step *step)
{
    struct blob wire = { 0 };

    host_wire(&play->host, (uint32_t)step->number, true, &wire);
    blob_add(&wire, ".\r\n", 3);
    expect_octets(play, wire.data, wire.len);
    blob_free(&wire);
}

static void
expect_retr(struct play *play, const struct step *step)
{
    unsigned long left = strtoul(step->text, NULL, 10);

    for (; left > 0 && play->host.failure[0] == '\0'; left--) {
        check_reply(play);
        expect_octets(play, "+OK", 3);
        if (play->host.failure[0] != '\0')
            return;
        skip_line(play);
        expect_wire(play, step);
    }
}

/* An answer that broke off: it must not look whole. */
static void
expect_cut(struct play *play)
{
    size_t len;
    const uint8_t *got = unseen(play->client, &len);

    if (contains(got, len, "\r\n.\r\n", 5) ||
        (len >= 3 && memcmp(got, ".\r\n", 3) == 0))
        host_fail(&play->host, "line %d: the final dot was sent",
                  play->line);
    replace_unseen(play, "CUT");
}

static void
expect_close(struct play *play)
{
    size_t len;
    const uint8_t *got = unseen(play->client, &len);

    if (len > 0)
        host_fail(&play->host, "line %d: \"%s\" before the close",
                  play->line, blob_show(got, len, 0));
    else if (!client_is_closing(play, play->client))
        host_fail(&play->host, "line %d: the session does not close",
                  play->line);
    play->client->close_seen = true;
}

static void
expect_taken(struct play *play)
{
    struct kpop_session *session = play->client->conn.session;

    if (session == NULL ||
        (play->api->wants(session) & KPOP_IS_TAKEN) == 0)
        host_fail(&play->host, "line %d: the connection is not taken",
                  play->line);
    play->client->close_seen = true;
}

static void
expect_deaf(struct play *play)
{
    struct client *client = play->client;

    if (client->conn.session == NULL || client->sent == client->in.len ||
        (play->api->wants(client->conn.session) & KPOP_WANT_READ) != 0)
        host_fail(&play->host, "line %d: the session still reads",
                  play->line);
}

void
expect_step(struct play *play, const struct step *step)
{
    play->line = step->line;
    switch ((int)step->kind) {
    case STEP_EXPECT:
        check_reply(play);
        expect_octets(play, step->octets.data, step->octets.len);
        if (step->prefix && play->host.failure[0] == '\0')
            skip_line(play);
        break;
    case STEP_EXPECT_KRB:
        expect_krb(play, step);
        break;
    case STEP_EXPECT_WIRE:
        expect_wire(play, step);
        break;
    case STEP_EXPECT_RETR:
        expect_retr(play, step);
        break;
    case STEP_EXPECT_CUT:
        expect_cut(play);
        break;
    case STEP_EXPECT_CLOSE:
        expect_close(play);
        break;
    case STEP_EXPECT_TAKEN:
        expect_taken(play);
        break;
    case STEP_EXPECT_DEAF:
        expect_deaf(play);
        break;
    default:
        break;
    }
}

/* "EVENT" or "EVENT part of the line" */
static bool
log_line_matches(const char *line, const char *wanted)
{
    size_t word = strcspn(wanted, " ");
    const char *event = strchr(line, ' ');

    if (event == NULL || strncmp(event + 1, wanted, word) != 0 ||
        event[1 + word] != ' ')
        return false;
    return wanted[word] == '\0' || strstr(line, wanted + word + 1) != NULL;
}

void
expect_log(struct play *play, const struct step *step)
{
    bool wanted = step->kind == STEP_CHECK_LOG, found = false;
    char *copy, *rest, *line;

    blob_add(&play->host.log, "", 0);
    copy = xstrdup((const char *)play->host.log.data);
    rest = copy;
    for (line = strtok_r(copy, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest))
        found = found || log_line_matches(line, step->text);
    free(copy);
    if (found != wanted)
        host_fail(&play->host, "line %d: %s \"%s\" in the log:\n%s",
                  step->line, wanted ? "no" : "there is", step->text,
                  (const char *)play->host.log.data);
}
