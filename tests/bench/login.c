/*
 * login.c - how a session of the load generator begins: TLS, the handshake of
 * KPOP, and the ways to log in.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/fail.h"
#include "tests/bench/load.h"

static const struct options *
options(const struct session *session)
{
    return &session->load->options;
}

static void
say_base64(struct session *session, next_step *next, const char *before,
           const void *octets, size_t len)
{
    unsigned char text[SAY_MAX];

    if (len > sizeof(text) / 4 * 3 - 3)
        fail("a message that is too long");
    EVP_EncodeBlock(text, octets, (int)len);
    script_say(session, next, "%s%s", before, (const char *)text);
}

/* The octets of "+ BASE64". */
static size_t
decode(const struct session *session, const char *answer, size_t len,
       unsigned char octets[HELD_MAX])
{
    size_t text = len - 4; /* without "+ " and CRLF */
    int got;

    script_must_be(session, "+ ", answer, len);
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
    script_must_be(session, "+OK", answer, len);
    if (session->gss != NULL)
        gss_end(session->gss);
    session->gss = NULL;
    sessions_logged_in(session);
    script_work(session);
}

static unsigned long
name_of(const struct session *session)
{
    return options(session)->first + session->user;
}

static void
user_taken(struct session *session, const char *answer, size_t len)
{
    script_must_be(session, "+OK", answer, len);
    script_say(session, logged_in, "PASS %s", options(session)->password);
}

static void
say_user(struct session *session)
{
    script_say(session, user_taken, "USER %s%lu", options(session)->user,
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
say_apop(struct session *session)
{
    const char *password = options(session)->password;
    unsigned char digest[EVP_MAX_MD_SIZE];
    char text[2 * EVP_MAX_MD_SIZE + 1];
    char both[512];
    unsigned size;
    int count;

    count = snprintf(both, sizeof(both), "%s%s", session->stamp, password);
    if (!EVP_Digest(both, (size_t)count, digest, &size, EVP_md5(), NULL))
        fail("MD5");
    hex(digest, size, text);
    script_say(session, logged_in, "APOP %s%lu %s", options(session)->user,
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
    script_say(session, gss_offered, "%s", "");
}

static void
gss_begun(struct session *session, const char *answer, size_t len)
{
    const struct token *first = gss_first(session->gss);

    script_must_be(session, "+ ", answer, len);
    say_base64(session, gss_answered, "", first->octets, first->len);
}

static void
log_in(struct session *session)
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
        say_apop(session);
        break;
    case WAY_CRAM:
        script_say(session, cram_challenged, "AUTH CRAM-MD5");
        break;
    case WAY_GSSAPI:
        session->gss = tickets_gss(session->load->tickets, session->user);
        script_say(session, gss_begun, "AUTH GSSAPI");
        break;
    }
}

/* ---- before that ---- */

static void
secured(struct session *session, const char *answer, size_t len)
{
    (void)answer;
    (void)len;
    log_in(session);
}

static void
stls_taken(struct session *session, const char *answer, size_t len)
{
    script_must_be(session, "+OK", answer, len);
    line_secure(session, secured);
}

/* APOP's is the greeting's also behind STLS. */
static void
keep_stamp(struct session *session, const char *greeting, size_t len)
{
    const char *stamp = memchr(greeting, '<', len);
    const char *end = memchr(greeting, '>', len);

    if (stamp == NULL || end == NULL || end - stamp >= STAMP_MAX - 1)
        fail("no stamp in %.*s", (int)len, greeting);
    (void)snprintf(session->stamp, STAMP_MAX, "%.*s", (int)(end + 1 - stamp),
                   stamp);
}

static void
greeted(struct session *session, const char *answer, size_t len)
{
    script_must_be(session, "+OK", answer, len);
    if (options(session)->way == WAY_APOP)
        keep_stamp(session, answer, len);
    if (options(session)->security == SECURITY_STLS)
        script_say(session, stls_taken, "STLS");
    else
        log_in(session);
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
    char octets[SAY_MAX];
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
login_begin(struct session *session)
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
