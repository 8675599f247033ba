/*
 * sweep.c - see sweep.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/dialog/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const cut_names[] = {
    "", "half-close behind octet", "hang-up behind octet",
    "stop behind octet", "hang-up at question", "half-close at question",
    "stop at question",
};

static bool
starts(const uint8_t *data, size_t len, const char *text)
{
    return len >= strlen(text) && memcmp(data, text, strlen(text)) == 0;
}

/* Exactly one line, beginning with text. */
static bool
is_line(const uint8_t *data, size_t len, const char *text)
{
    return starts(data, len, text) && len >= 2 &&
           memchr(data, '\n', len) == data + len - 1 && data[len - 2] == '\r';
}

static void
report(struct play *play, const char *what, uint64_t at, char *reason,
       size_t size)
{
    (void)snprintf(reason, size, "%s %llu (mode %d%s): %s", what,
                   (unsigned long long)at, (int)play->variant.answering,
                   play->variant.exchange ? ", exchange" : "",
                   play->host.failure);
}

/* ----------------------------------------------------- octets, questions */

/* What came is what would have come, as far as it came; a session that was
 * stopped or got a half-close may say one line more. */
static void
judge_transcript(struct play *play, const struct play *whole)
{
    const struct blob *got = &play->clients[0].out;
    const struct blob *want = &whole->clients[0].out;
    size_t i = 0;

    while (i < got->len && i < want->len && got->data[i] == want->data[i])
        i++;
    while (i > 0 && i < got->len && got->data[i - 1] != '\n')
        i--;
    if (i == got->len || play->variant.cut == CUT_NONE)
        return;
    if (play->variant.cut == CUT_HANGUP ||
        play->variant.cut == CUT_AT_QUESTION ||
        !is_line(got->data + i, got->len - i, "-ERR"))
        host_fail(&play->host, "\"%s\" was said",
                  blob_show(got->data, got->len, i));
}

/* All of "QUIT CRLF" was sent before messages were removed. */
static void
judge_deletions(struct play *play)
{
    const struct blob *in = &play->clients[0].in;
    bool quit = in->data != NULL &&
                memmem(in->data, play->clients[0].sent, "QUIT\r\n", 6) != NULL;
    uint32_t i;

    for (i = 1; i <= play->host.message_count && !quit; i++) {
        if (host_is_deleted(&play->host, i))
            host_fail(&play->host, "message %u was deleted without QUIT", i);
    }
}

static bool
run_cut(const struct script *script, const struct variant *variant,
        const struct play *whole, char *reason, size_t size)
{
    static struct play cut;
    bool ok;

    play(&cut, script, variant);
    judge_transcript(&cut, whole);
    judge_deletions(&cut);
    ok = cut.host.failure[0] == '\0';
    if (!ok)
        report(&cut, cut_names[variant->cut], variant->cut_at, reason, size);
    play_free(&cut);
    return ok;
}

unsigned
sweep_octets(const struct script *script, bool exchange, char *reason,
             size_t size)
{
    static struct play whole;
    struct variant variant = { .exchange = exchange, .seed = 1 };
    unsigned runs = 0;
    uint64_t octets;
    bool ok = true;

    play(&whole, script, &variant);
    octets = whole.sent < 3000 ? whole.sent : 3000;
    for (variant.cut = CUT_EOF; ok && variant.cut <= CUT_STOP;
         variant.cut++) {
        for (variant.cut_at = 0; ok && variant.cut_at <= octets;
             variant.cut_at++, runs++) {
            variant.answering =
                (enum answering)(variant.cut_at % ANSWER_MODES);
            ok = run_cut(script, &variant, &whole, reason, size);
        }
    }
    play_free(&whole);
    return ok ? runs : 0;
}

unsigned
sweep_questions(const struct script *script, bool exchange, char *reason,
                size_t size)
{
    static struct play whole;
    struct variant variant = { .exchange = exchange, .seed = 1,
                               .answering = ANSWER_LATER };
    unsigned runs = 0;
    uint64_t questions;
    bool ok = true;
    int badly;

    play(&whole, script, &variant);
    questions = whole.host.questions < 400 ? whole.host.questions : 400;
    for (variant.cut = CUT_AT_QUESTION;
         ok && variant.cut <= CUT_STOP_AT_QUESTION; variant.cut++) {
        for (badly = 0; badly < 2; badly++) {
            variant.answer_badly = badly != 0;
            for (variant.cut_at = 1; ok && variant.cut_at <= questions;
                 variant.cut_at++, runs++)
                ok = run_cut(script, &variant, &whole, reason, size);
        }
    }
    play_free(&whole);
    return ok ? runs : 0;
}

/* ----------------------------------------------------------- allocations */

static bool
is_command(const struct exchanged *block, const char *text)
{
    return block->first->kind == STEP_SEND &&
           starts(block->first->octets.data, block->first->octets.len, text);
}

/*
 * An answer is the right one, or -ERR, or nothing, or it breaks off visibly:
 * before its end, with the connection.  Of several commands at once only the
 * deletions are judged.
 */
static void
judge_answer(struct play *got, const struct play *whole, size_t i, bool last)
{
    const struct exchanged *mine = &got->blocks[i];
    const struct exchanged *ref = &whole->blocks[i];
    const uint8_t *data = got->clients[0].out.data;
    const uint8_t *want = whole->clients[0].out.data + ref->from;
    size_t same = 0;

    if (mine->len == 0 || mine->sends > 1)
        return;
    data += mine->from;
    while (same < mine->len && same < ref->len && data[same] == want[same])
        same++;
    if (same == mine->len && (same == ref->len || last))
        return;
    if (is_line(data, mine->len, "-ERR") ||
        (is_command(mine, "QUIT") && is_line(data, mine->len, "+OK")))
        return;
    /* KPOP: the handshake breaks off, perhaps with a KRB_ERROR. */
    if (whole->script->kpop && i <= 1 && last)
        return;
    host_fail(&got->host, "line %d was answered \"%s\"", mine->first->line,
              blob_show(data, mine->len, same > 40 ? same - 40 : 0));
}

/* "DELE n", or an XDELE that holds n. */
static bool
is_deletion(const struct exchanged *block, uint32_t msgno, size_t count)
{
    char command[40];
    size_t first;
    size_t last;

    (void)snprintf(command, sizeof(command), "DELE %u\r\n", msgno);
    if (is_command(block, command))
        return true;
    for (first = 1; first <= msgno; first++) {
        for (last = msgno; last <= count; last++) {
            (void)snprintf(command, sizeof(command), "XDELE %zu %zu\r\n",
                           first, last);
            if (is_command(block, command))
                return true;
        }
    }
    return false;
}

/* Deleted are only messages whose DELE was answered +OK. */
static void
judge_confirmed(struct play *got, const struct play *whole)
{
    uint32_t msgno;
    size_t i;

    for (msgno = 1; msgno <= got->host.message_count; msgno++) {
        bool confirmed = false;

        if (!host_is_deleted(&got->host, msgno))
            continue;
        for (i = 0; i < got->block_count; i++) {
            const struct exchanged *block = &got->blocks[i];

            confirmed = confirmed || block->sends > 1 ||
                        (is_deletion(block, msgno, got->host.message_count) &&
                         starts(got->clients[0].out.data + block->from,
                                block->len, "+OK"));
        }
        if (!confirmed || !host_is_deleted(&whole->host, msgno))
            host_fail(&got->host, "message %u was deleted", msgno);
    }
}

/* 1 = it failed as it should, 0 = the dialogue makes fewer, -1 = wrong. */
static int
run_starved(const struct script *script, const struct variant *variant,
            const struct play *whole, char *reason, size_t size)
{
    static struct play got;
    int result;
    size_t i;

    play(&got, script, variant);
    for (i = 0; i < got.block_count && i < whole->block_count; i++)
        judge_answer(&got, whole, i,
                     i + 1 == got.block_count || got.blocks[i + 1].len == 0);
    judge_confirmed(&got, whole);
    result = alloc_did_fail() ? 1 : 0;
    if (got.host.failure[0] != '\0') {
        report(&got, variant->alloc_for_good ? "no memory from allocation"
                                             : "failing allocation",
               variant->alloc_at, reason, size);
        result = -1;
    }
    play_free(&got);
    return result;
}

unsigned
sweep_allocations(const struct script *script, bool exchange, char *reason,
                  size_t size)
{
    static struct play whole;
    struct variant variant = { .exchange = exchange, .seed = 1 };
    unsigned runs = 0;
    int result = 1, pass;

    play(&whole, script, &variant);
    for (pass = 0; pass < 2 && result >= 0; pass++) {
        variant.alloc_for_good = pass == 1;
        result = 1;
        for (variant.alloc_at = 1; result > 0; variant.alloc_at++, runs++) {
            variant.answering =
                (enum answering)(variant.alloc_at % ANSWER_MODES);
            result = run_starved(script, &variant, &whole, reason, size);
        }
    }
    play_free(&whole);
    return result >= 0 ? runs : 0;
}
