/*
 * script.c - what a session of the load generator says: the way to log in,
 * then the steps of its work, each sent when the answer before it has come.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/fail.h"
#include "tests/bench/load.h"

enum { LINE_MAX_OUT = 4096, BATCH_MAX = 16384 };

/*
 * s STAT, l LIST, u UIDL, r RETR of all messages, d DELE of all, h stays until
 * the input of the program ends, q QUIT.
 */
static const struct {
    const char *work;
    const char *steps;
} works[] = {
    { "login-quit", "q" }, { "stat", "sq" },
    { "list", "sluq" },    { "retr-all", "srq" },
    { "retr-dele-quit", "srdq" }, { "idle", "h" },
};

static void take_step(struct session *session);

const char *
script_steps(const char *work)
{
    for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++)
        if (strcmp(works[i].work, work) == 0)
            return works[i].steps;
    return NULL;
}

static const struct options *
options(const struct session *session)
{
    return &session->load->options;
}

/* Sends a line and waits for one. */
__attribute__((format(printf, 3, 4))) static void
say(struct session *session, next_step *next, const char *format, ...)
{
    char line[LINE_MAX_OUT];
    va_list list;
    int len;

    va_start(list, format);
    len = vsnprintf(line, sizeof(line) - 2, format, list);
    va_end(list);
    if (len < 0 || (size_t)len >= sizeof(line) - 2)
        fail("a line that is too long");
    memcpy(line + len, "\r\n", 2);
    line_await(session, EXPECT_LINE, next);
    line_send(session, line, (size_t)len + 2);
}

static void
say_base64(struct session *session, next_step *next, const char *before,
           const void *octets, size_t len)
{
    unsigned char text[LINE_MAX_OUT];

    if (len > sizeof(text) / 4 * 3 - 3)
        fail("a message that is too long");
    EVP_EncodeBlock(text, octets, (int)len);
    say(session, next, "%s%s", before, (const char *)text);
}

static void
must_be(const struct session *session, const char *start, const char *answer,
        size_t len)
{
    if (len < strlen(start) || memcmp(answer, start, strlen(start)) != 0)
        fail("session %lu of user %lu: %.*s", session->number, session->user,
             (int)len, answer);
}

/* The octets of "+ BASE64". */
static size_t
decode(const struct session *session, const char *answer, size_t len,
       unsigned char octets[HELD_MAX])
{
    size_t text = len - 4; /* without "+ " and CRLF */
    int got;

    must_be(session, "+ ", answer, len);
    if (len < 4 || text / 4 * 3 > HELD_MAX)
        fail("a challenge of %zu octets", len);
    got = EVP_DecodeBlock(octets, (const unsigned char *)answer + 2,
                          (int)text);
    if (got < 0)
        fail("a challenge that is no base64");
    for (size_t i = len - 3; i > 1 && answer[i] == '='; i--)
        got--;
    return (size_t)got;
}

/* ---- logging in ---- */

static void
logged_in(struct session *session, const char *answer, size_t len)
{
    must_be(session, "+OK", answer, len);
    if (session->gss != NULL)
        gss_end(session->gss);
    session->gss = NULL;
    sessions_logged_in(session);
    session->step = options(session)->steps;
    take_step(session);
}

static unsigned long
name_of(const struct session *session)
{
    return options(session)->first + session->user;
}

static void
user_taken(struct session *session, const char *answer, size_t len)
{
    must_be(session, "+OK", answer, len);
    say(session, logged_in, "PASS %s", options(session)->password);
}

static void
say_user(struct session *session)
{
    say(session, user_taken, "USER %s%lu", options(session)->user,
        name_of(session));
}

static void
say_plain(struct session *session)
{
    char message[256];
    int len = snprintf(message, sizeof(message), "%c%s%lu%c%s", 0,
                       options(session)->user, name_of(session), 0,
                       options(session)->password);

    say_base64(session, logged_in, "AUTH PLAIN ", message, (size_t)len);
}

static void
hex(const unsigned char *octets, unsigned count, char *text)
{
    for (unsigned i = 0; i < count; i++)
        (void)sprintf(text + 2 * (size_t)i, "%02x", octets[i]);
}

static void
say_apop(struct session *session, const char *greeting, size_t len)
{
    const char *stamp = memchr(greeting, '<', len);
    const char *end = memchr(greeting, '>', len);
    const char *password = options(session)->password;
    unsigned char digest[EVP_MAX_MD_SIZE];
    char text[2 * EVP_MAX_MD_SIZE + 1];
    char both[512];
    unsigned size;
    int count;

    if (stamp == NULL || end == NULL)
        fail("no stamp in %.*s", (int)len, greeting);
    count = snprintf(both, sizeof(both), "%.*s%s", (int)(end + 1 - stamp),
                     stamp, password);
    if (!EVP_Digest(both, (size_t)count, digest, &size, EVP_md5(), NULL))
        fail("MD5");
    hex(digest, size, text);
    say(session, logged_in, "APOP %s%lu %s", options(session)->user,
        name_of(session), text);
}

static void
cram_challenged(struct session *session, const char *answer, size_t len)
{
    const char *password = options(session)->password;
    unsigned char challenge[HELD_MAX];
    size_t size = decode(session, answer, len, challenge);
    unsigned char digest[EVP_MAX_MD_SIZE];
    char text[2 * EVP_MAX_MD_SIZE + 1];
    char message[512];
    unsigned count;

    if (HMAC(EVP_md5(), password, (int)strlen(password), challenge, size,
             digest, &count)
        == NULL)
        fail("HMAC");
    hex(digest, count, text);
    (void)snprintf(message, sizeof(message), "%s%lu %s",
                   options(session)->user, name_of(session), text);
    say_base64(session, logged_in, "", message, strlen(message));
}

static void
gss_offered(struct session *session, const char *answer, size_t len)
{
    unsigned char octets[HELD_MAX];
    size_t size = decode(session, answer, len, octets);
    struct token choice = gss_choose(session->gss, octets, size);

    say_base64(session, logged_in, "", choice.octets, choice.len);
    free(choice.octets);
}

static void
gss_answered(struct session *session, const char *answer, size_t len)
{
    unsigned char octets[HELD_MAX];

    gss_answer(session->gss, octets, decode(session, answer, len, octets));
    say(session, gss_offered, "%s", "");
}

static void
gss_begun(struct session *session, const char *answer, size_t len)
{
    const struct token *first = gss_first(session->gss);

    must_be(session, "+ ", answer, len);
    say_base64(session, gss_answered, "", first->octets, first->len);
}

static void
log_in(struct session *session, const char *greeting, size_t len)
{
    switch (options(session)->way) {
    case WAY_KPOP: /* the ticket is the password */
    case WAY_USER:
        say_user(session);
        break;
    case WAY_PLAIN:
        say_plain(session);
        break;
    case WAY_APOP:
        say_apop(session, greeting, len);
        break;
    case WAY_CRAM:
        say(session, cram_challenged, "AUTH CRAM-MD5");
        break;
    case WAY_GSSAPI:
        session->gss = tickets_gss(session->load->tickets, session->user);
        say(session, gss_begun, "AUTH GSSAPI");
        break;
    }
}

/* ---- before that ---- */

static void
secured(struct session *session, const char *answer, size_t len)
{
    log_in(session, answer, len);
}

static void
stls_taken(struct session *session, const char *answer, size_t len)
{
    must_be(session, "+OK", answer, len);
    line_secure(session, secured);
}

static void
greeted(struct session *session, const char *answer, size_t len)
{
    must_be(session, "+OK", answer, len);
    if (options(session)->security == SECURITY_STLS)
        say(session, stls_taken, "STLS");
    else
        log_in(session, answer, len);
}

static void
kpop_proven(struct session *session, const char *answer, size_t len)
{
    if (len < 5)
        fail("no AP-REP, but %.*s", (int)len, answer);
    line_await(session, EXPECT_LINE, greeted);
}

static void
kpop_accepted(struct session *session, const char *answer, size_t len)
{
    if (len != 4 || memcmp(answer, "\0\0\0\0", 4) != 0)
        fail("session %lu: the ticket was refused", session->number);
    line_await(session, EXPECT_FRAME, kpop_proven);
}

static void
kpop_versions(struct session *session, const char *answer, size_t len)
{
    struct token request = tickets_ap_req(session->load->tickets,
                                          session->user);
    char octets[LINE_MAX_OUT];
    uint32_t size = htonl((uint32_t)request.len);

    if (len != 1 || *answer != 0)
        fail("session %lu: the versions were refused", session->number);
    if (request.len > sizeof(octets) - 4)
        fail("an AP-REQ of %zu octets", request.len);
    memcpy(octets, &size, 4);
    memcpy(octets + 4, request.octets, request.len);
    free(request.octets);
    session->wanted = 4;
    line_await(session, EXPECT_OCTETS, kpop_accepted);
    line_send(session, octets, 4 + request.len);
}

static void
tls_stands(struct session *session, const char *answer, size_t len)
{
    (void)answer;
    (void)len;
    line_await(session, EXPECT_LINE, greeted);
}

void
script_begin(struct session *session)
{
    static const char versions[] = "\0\0\0\x13KRB5_SENDAUTH_V1.0\0"
                                   "\0\0\0\x09KPOPV1.0";

    line_connect(session);
    if (options(session)->way == WAY_KPOP) {
        session->wanted = 1;
        line_await(session, EXPECT_OCTETS, kpop_versions);
        line_send(session, versions, sizeof(versions));
    } else if (options(session)->security == SECURITY_POP3S) {
        line_secure(session, tls_stands);
    } else {
        line_await(session, EXPECT_LINE, greeted);
    }
}

/* ---- the work ---- */

static void
stat_said(struct session *session, const char *answer, size_t len)
{
    if (sscanf(answer, "+OK %lu ", &session->messages) != 1)
        fail("STAT: %.*s", (int)len, answer);
    take_step(session);
}

static void
list_ended(struct session *session, const char *answer, size_t len)
{
    (void)answer;
    (void)len;
    take_step(session);
}

static void
list_begins(struct session *session, const char *answer, size_t len)
{
    must_be(session, "+OK", answer, len);
    session->sent = 1;
    line_await(session, EXPECT_BODY, list_ended);
}

/* As many as may be under way. */
static void
send_batch(struct session *session, const char *command)
{
    unsigned long most = options(session)->pipeline;
    char batch[BATCH_MAX];
    size_t len = 0;

    if (session->sent > 0 || session->due == 0)
        return;
    for (; session->due > 0 && session->sent < most && len < BATCH_MAX - 32;
         session->due--, session->sent++)
        len += (size_t)snprintf(batch + len, sizeof(batch) - len,
                                "%s %lu\r\n", command,
                                (session->due - 1) % session->messages + 1);
    line_send(session, batch, len);
}

static void retr_begins(struct session *session, const char *answer,
                        size_t len);

static void
retr_ended(struct session *session, const char *answer, size_t len)
{
    (void)answer;
    (void)len;
    session->sent--;
    session->load->messages++;
    if (session->sent == 0 && session->due == 0) {
        take_step(session);
        return;
    }
    line_await(session, EXPECT_LINE, retr_begins);
    send_batch(session, "RETR");
}

static void
retr_begins(struct session *session, const char *answer, size_t len)
{
    must_be(session, "+OK", answer, len);
    line_await(session, EXPECT_BODY, retr_ended);
}

static void
deleted(struct session *session, const char *answer, size_t len)
{
    must_be(session, "+OK", answer, len);
    if (--session->sent == 0 && session->due == 0) {
        take_step(session);
        return;
    }
    line_await(session, EXPECT_LINE, deleted);
    send_batch(session, "DELE");
}

static void
send_all(struct session *session, const char *command, unsigned long times,
         next_step *next)
{
    session->due = session->messages * times;
    session->sent = 0;
    if (session->due == 0)
        fail("the maildrop of user %lu is empty", name_of(session));
    line_await(session, EXPECT_LINE, next);
    send_batch(session, command);
}

static void
ended(struct session *session, const char *answer, size_t len)
{
    (void)answer;
    (void)len;
    sessions_end(session);
}

static void
bye(struct session *session, const char *answer, size_t len)
{
    must_be(session, "+OK", answer, len);
    line_await(session, EXPECT_END, ended);
}

static void
take_step(struct session *session)
{
    switch (*session->step++) {
    case 's':
        say(session, stat_said, "STAT");
        break;
    case 'l':
        say(session, list_begins, "LIST");
        break;
    case 'u':
        say(session, list_begins, "UIDL");
        break;
    case 'r':
        send_all(session, "RETR", options(session)->repeat, retr_begins);
        break;
    case 'd':
        send_all(session, "DELE", 1, deleted);
        break;
    case 'h':
        session->step--;
        sessions_hold(session);
        break;
    default:
        say(session, bye, "QUIT");
    }
}
