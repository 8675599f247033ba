/*
 * hello.c - the KPOP preamble of port 1109: krb5_sendauth's framing up to the
 * POP3 greeting, and answers for everybody who speaks something else.
 *
 * It reads octets of strangers, so each step knows how many it wants before
 * it keeps one, and memory grows only as they come.  It must not keep or log
 * what was sent in place of the handshake: that may be a password.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "kpop/internal.h"

enum hello_step {
    STEP_FIRST,        /* the first octet tells what it will be */
    STEP_TEXT,         /* somebody speaks POP3, HTTP, ... */
    STEP_TLS,
    STEP_SENDAUTH_LEN,
    STEP_SENDAUTH,
    STEP_VERSION_LEN,
    STEP_VERSION,
    STEP_AP_REQ_LEN,
    STEP_AP_REQ
};

enum {
    TEXT_MAX = 8,          /* "AUTHV0.1" */
    HELLO_STRING_MAX = 255,
    KRB_AP_ERR_MSG_TYPE = 40,
    KRB_ERR_GENERIC = 60
};

/* One octet of krb5_sendauth's answer. */
enum { SENDAUTH_OK = 0, SENDAUTH_BAD_AUTH = 1, SENDAUTH_BAD_VERSION = 2 };

static const char sendauth_string[] = "KRB5_SENDAUTH_V1.0"; /* with its NUL */
static const char not_kpop[] = "-ERR [AUTH] this port speaks KPOP: "
                               "Kerberos authentication comes first";

static void
go_to(struct engine *engine, enum hello_step step, uint32_t want)
{
    engine->hello.step = (int)step;
    engine->hello.want = want;
}

void
hello_init(struct engine *engine)
{
    go_to(engine, STEP_FIRST, 1);
}

static void
refuse_text(struct engine *engine, const char *reply)
{
    engine_reply(engine, "%s", reply);
    engine_close(engine, "not-kpop");
}

static void
say_bye(struct engine *engine)
{
    engine_reply(engine, "+OK bye");
    engine_close(engine, "quit");
}

static void
say_octet(struct engine *engine, uint8_t octet)
{
    buf_append(&engine->out, &octet, 1);
    if (octet != SENDAUTH_OK)
        engine_close(engine, "kpop-refused");
}

static bool
is_quit(const uint8_t *octets)
{
    static const char quit[] = "QUIT";
    size_t i;

    for (i = 0; i < 4; i++)
        if ((octets[i] & 0xdf) != quit[i])
            return false;
    return true;
}

static uint32_t
get_u32(const uint8_t *octets)
{
    return (uint32_t)octets[0] << 24 | (uint32_t)octets[1] << 16
           | (uint32_t)octets[2] << 8 | octets[3];
}

/* Both lengths of strings obey the same limits. */
static bool
is_sane(uint32_t len)
{
    return len > 0 && len <= HELLO_STRING_MAX;
}

/* A length's first octet is never a printable one when the length is sane. */
static void
see_first(struct engine *engine, uint8_t octet)
{
    if (octet == 0x16)
        go_to(engine, STEP_TLS, 2);
    else if ((octet >= 0x20 && octet < 0x7f)
             || (octet >= '\t' && octet <= '\r'))
        go_to(engine, STEP_TEXT, TEXT_MAX);
    else
        go_to(engine, STEP_SENDAUTH_LEN, 4);
}

/* Only the octets decide, never how they were cut into segments. */
static void
see_text(struct engine *engine, const uint8_t *text, size_t len)
{
    if (len >= 4 && is_quit(text))
        say_bye(engine);
    else if (len == TEXT_MAX && memcmp(text, "AUTHV0.1", TEXT_MAX) == 0)
        refuse_text(engine, "-ERR [AUTH] Kerberos 4 KPOP is not supported; "
                            "use Kerberos 5");
    else if (len == TEXT_MAX || text[len - 1] == '\n')
        refuse_text(engine, not_kpop);
}

static void
see_tls(struct engine *engine, const uint8_t *octets)
{
    /* TLS 1.0 record, alert, fatal, handshake_failure. */
    static const uint8_t alert[] = { 0x15, 3, 1, 0, 2, 2, 0x28 };

    if (octets[1] != 3) {
        go_to(engine, STEP_SENDAUTH_LEN, 4);
        return;
    }
    buf_append(&engine->out, alert, sizeof(alert));
    engine_close(engine, "not-kpop");
}

static void
see_sendauth(struct engine *engine, const uint8_t *text, size_t len)
{
    engine->hello.bad_sendauth = len != sizeof(sendauth_string)
                                 || memcmp(text, sendauth_string, len) != 0;
    go_to(engine, STEP_VERSION_LEN, 4);
}

static void
see_version(struct engine *engine, const uint8_t *text, size_t len)
{
    const char *versions = engine->settings.kpop_versions;

    if (engine->hello.bad_sendauth) {
        say_octet(engine, SENDAUTH_BAD_AUTH);
    } else if (text[len - 1] != '\0'
               || !engine_has_word(versions, (const char *)text, len - 1)) {
        say_octet(engine, SENDAUTH_BAD_VERSION);
    } else {
        say_octet(engine, SENDAUTH_OK);
        go_to(engine, STEP_AP_REQ_LEN, 4);
    }
}

/* What the Kerberos library of the client prints to the user. */
static void
send_refusal(struct engine *engine)
{
    if (buf_len(&engine->challenge) > 0) {
        buf_append_u32(&engine->out, (uint32_t)buf_len(&engine->challenge));
        buf_append(&engine->out, buf_data(&engine->challenge),
                   buf_len(&engine->challenge));
    }
    engine_close(engine, "kpop-refused");
}

static void
refusal_made(struct engine *engine, int64_t result)
{
    if (result < 0)
        buf_reset(&engine->challenge);
    send_refusal(engine);
}

static void
refuse(struct engine *engine, int krb_code, const char *text)
{
    struct engine_request *request;

    request = engine_ask(engine, ENGINE_REFUSE, refusal_made);
    request->krb_code = krb_code;
    request->text = text;
}

static const char *
refusal_text(int64_t result)
{
    switch (result) {
    case STATUS_TEMP:
    case STATUS_NO_MEMORY:
    case STATUS_INVALID:
        return "[SYS/TEMP] the mail server cannot check tickets at the "
               "moment, try again later";
    case STATUS_AUTH:
    case STATUS_DENIED:
        return "the mail server did not accept the ticket; "
               "try kdestroy and kinit";
    default:
        return "[SYS/PERM] Kerberos is set up wrongly on the mail server, "
               "tell its administrator";
    }
}

/* Accepted: 0, the AP-REP if there is one, and the greeting, in one piece,
 * because small writes cost 40 ms each (Nagle against delayed ACK). */
static void
ap_req_answered(struct engine *engine, int64_t result)
{
    buf_reset(&engine->data);
    if (result == STATUS_CONTINUE) {
        buf_append_u32(&engine->out, 0);
        if (buf_len(&engine->challenge) > 0) {
            buf_append_u32(&engine->out,
                           (uint32_t)buf_len(&engine->challenge));
            buf_append(&engine->out, buf_data(&engine->challenge),
                       buf_len(&engine->challenge));
        }
        engine_greet(engine);
    } else if (result < 0 && buf_len(&engine->challenge) > 0) {
        send_refusal(engine);
    } else {
        refuse(engine, KRB_ERR_GENERIC,
               refusal_text(result < 0 ? result : STATUS_INVALID));
    }
}

static void
see_ap_req(struct engine *engine)
{
    struct engine_request *request;

    request = engine_ask(engine, ENGINE_START, ap_req_answered);
    memcpy(engine->login.mechanism, "KPOP", sizeof("KPOP"));
    request->mechanism = engine->login.mechanism;
    request->data = buf_data(&engine->data);
    request->len = buf_len(&engine->data);
}

static void
see_ap_req_len(struct engine *engine, const uint8_t *octets)
{
    uint32_t len = get_u32(octets);

    if (is_quit(octets))
        say_bye(engine);
    else if (len == 0)
        refuse(engine, KRB_AP_ERR_MSG_TYPE,
               "the Kerberos request is empty; try kinit");
    else if (len > ENGINE_AP_REQ_MAX)
        refuse(engine, KRB_AP_ERR_MSG_TYPE,
               "the Kerberos request is larger than 128 KiB; "
               "ask your administrator for a smaller ticket");
    else
        go_to(engine, STEP_AP_REQ, len);
}

/* All octets that the step wanted are there. */
static void
see_whole(struct engine *engine, const uint8_t *octets, size_t len)
{
    switch ((enum hello_step)engine->hello.step) {
    case STEP_FIRST:
    case STEP_TEXT:
        break;
    case STEP_TLS:
        see_tls(engine, octets);
        break;
    case STEP_SENDAUTH_LEN:
        if (is_sane(get_u32(octets)))
            go_to(engine, STEP_SENDAUTH, get_u32(octets));
        else
            say_octet(engine, SENDAUTH_BAD_AUTH);
        break;
    case STEP_SENDAUTH:
        see_sendauth(engine, octets, len);
        break;
    case STEP_VERSION_LEN:
        if (is_sane(get_u32(octets)))
            go_to(engine, STEP_VERSION, get_u32(octets));
        else
            say_octet(engine, engine->hello.bad_sendauth
                                  ? SENDAUTH_BAD_AUTH
                                  : SENDAUTH_BAD_VERSION);
        break;
    case STEP_VERSION:
        see_version(engine, octets, len);
        break;
    case STEP_AP_REQ_LEN:
        see_ap_req_len(engine, octets);
        break;
    case STEP_AP_REQ:
        see_ap_req(engine);
        break;
    }
}

/* Steps that only look at the octets leave them for the next one. */
static bool
keeps_octets(int before, const struct engine *engine)
{
    return engine->answered != NULL
           || (before == STEP_TLS && engine->hello.step == STEP_SENDAUTH_LEN);
}

size_t
hello_feed(struct engine *engine, const uint8_t *data, size_t len)
{
    struct hello *hello = &engine->hello;
    int before;
    size_t take;

    if (hello->step == STEP_FIRST)
        see_first(engine, data[0]);
    take = hello->want - buf_len(&engine->data);
    if (hello->step == STEP_TEXT)
        take = 1;
    if (take > len)
        take = len;
    buf_append(&engine->data, data, take);
    if (buf_failed(&engine->data)) {
        engine_close(engine, "no-memory");
        return take;
    }
    before = hello->step;
    if (before == STEP_TEXT)
        see_text(engine, buf_data(&engine->data), buf_len(&engine->data));
    else if (buf_len(&engine->data) == hello->want)
        see_whole(engine, buf_data(&engine->data), buf_len(&engine->data));
    if (hello->step != before && !keeps_octets(before, engine))
        buf_reset(&engine->data);
    return take;
}

void
hello_timeout(struct engine *engine)
{
    if (engine->hello.step == STEP_FIRST || engine->hello.step == STEP_TEXT)
        engine_reply(engine, "%s", not_kpop);
    engine_close(engine, "timeout");
}
