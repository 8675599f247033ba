/*
 * authz.c - the AUTHORIZATION state: APOP, USER and PASS, which on the KPOP
 * port carry no password but decide whether the ticket's owner may open that
 * mailbox, and how every login ends.  Tells a stranger nothing: the same
 * words for a wrong password, an unknown user and a foreign mailbox.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "kpop/internal.h"

static void
copy_name(char *to, const uint8_t *name, size_t len)
{
    memcpy(to, name, len);
    to[len] = '\0';
}

bool
authz_wants_tls(const struct engine *engine)
{
    return engine->settings.plaintext_needs_tls && !engine->tls_active;
}

void
authz_refuse_plaintext(struct engine *engine)
{
    engine_reply(engine, "-ERR [AUTH] %s",
                 lang_text(engine,
                           authz_wants_tls(engine)
                               ? TEXT("no passwords without TLS: use TLS or "
                                      "Kerberos first")
                               : TEXT("no passwords here: use another way to "
                                      "log in")));
}

bool
authz_is_too_early(struct engine *engine)
{
    if (!engine->settings.tls_required || engine->tls_active)
        return false;
    engine_reply(engine, "-ERR [AUTH] TLS required, use STLS first");
    return true;
}

/* ---- STLS ---- */

static void
tls_answered(struct engine *engine, int64_t result)
{
    if (result != STATUS_OK)
        engine_close(engine, "tls");
}

/* RFC 2595 section 4: nothing said in the clear is remembered.  A ticket that
 * was shown stays: it was not taken from the words of the client. */
static void
forget(struct login *login)
{
    login->has_name = false;
    wipe(login->name, sizeof(login->name));
}

void
authz_stls(struct engine *engine, const struct cmd_args *args)
{
    (void)args;
    if (engine->tls_active) {
        engine_reply(engine, "-ERR TLS is active already");
    } else if (!engine->tls_possible) {
        /* fetchmail asks for it unless it is told not to. */
        engine_reply(engine, "-ERR no TLS on this port; fetchmail goes on "
                             "without it by sslproto \"\"");
    } else {
        forget(&engine->login);
        engine->utf8 = false;
        engine->lang = NULL;
        engine_reply(engine, "+OK begin TLS");
        (void)engine_ask(engine, ENGINE_TLS, tls_answered);
    }
}

/* ---- UTF8 (RFC 6856 section 2), USER and the rest ---- */

void
authz_utf8(struct engine *engine, const struct cmd_args *args)
{
    (void)args;
    engine->utf8 = true;
    engine_reply(engine, "+OK messages come as they are, in UTF-8");
}

void
authz_user(struct engine *engine, const struct cmd_args *args)
{
    struct login *login = &engine->login;

    login->has_name = false;
    if (authz_is_too_early(engine))
        return;
    if (!engine->settings.kpop && !engine_has_mechanism(engine, "USER")) {
        authz_refuse_plaintext(engine);
        return;
    }
    copy_name(login->name, args->text, args->len);
    login->has_name = true;
    engine_reply(engine, "+OK now PASS");
}

void
authz_quit(struct engine *engine, const struct cmd_args *args)
{
    (void)args;
    engine_reply(engine, "+OK bye");
    engine_close(engine, "quit");
}

void
authz_unavailable(struct engine *engine, const struct cmd_args *args)
{
    (void)args;
    engine_reply(engine, "-ERR not available here, see CAPA");
}

/* ---- the end of a login ---- */

static void
say_welcome(struct engine *engine)
{
    const struct drop *drop = &engine->drop;
    uint64_t octets = drop_left_octets(drop);

    if (octets == ENGINE_OCTETS_UNKNOWN)
        engine_reply(engine, "+OK maildrop has %lu messages",
                     (unsigned long)drop->count);
    else
        engine_reply(engine, "+OK maildrop has %lu messages (%llu octets)",
                     (unsigned long)drop->count, (unsigned long long)octets);
}

static const char *
failure_text(int64_t result)
{
    switch (result) {
    case STATUS_IN_USE:
        return TEXT("the maildrop is in use by another session, "
                    "try again later");
    case STATUS_DELAY:
        return TEXT("too soon after the last login, try again later");
    case STATUS_TEMP:
    case STATUS_NO_MEMORY:
    case STATUS_INVALID:
        return TEXT("login is not possible at the moment, try again later");
    default:
        return TEXT("login is not possible, tell your administrator");
    }
}

void
authz_attempt_failed(struct engine *engine, const char *text)
{
    if (++engine->counts.failures < ENGINE_FAILURES_MAX) {
        engine_say(engine, text);
        return;
    }
    engine_reply(engine, "-ERR [AUTH] too many failed logins");
    engine_close(engine, "too-many-failures");
}

/* RFC 3206: [AUTH] is for credentials and for nothing else. */
static void
refuse_credentials(struct engine *engine)
{
    if (!engine->settings.kpop) {
        authz_attempt_failed(engine, "-ERR [AUTH] login failed");
        return;
    }
    engine->counts.failures++;
    engine_reply(engine, "-ERR [AUTH] this ticket does not open that "
                         "maildrop");
    engine_close(engine, "denied");
}

static void
login_failed(struct engine *engine, int64_t result)
{
    if (result == STATUS_AUTH || result == STATUS_DENIED)
        refuse_credentials(engine);
    else if (result >= 0)
        engine_reply_error(engine, STATUS_INVALID,
                           failure_text(STATUS_INVALID));
    else
        engine_reply_error(engine, result, failure_text(result));
}

static void
open_answered(struct engine *engine, int64_t result)
{
    if (result == STATUS_OK && !engine->drop.is_open)
        result = STATUS_INVALID;
    if (result != STATUS_OK) {
        drop_close(&engine->drop);
        engine->policy = engine->anybody;
        login_failed(engine, result);
        return;
    }
    say_welcome(engine);
    wipe(&engine->login.name, sizeof(engine->login.name));
    engine_log_in(engine);
}

void
authz_open(struct engine *engine)
{
    struct login *login = &engine->login;
    struct engine_request *request;

    request = engine_ask(engine, ENGINE_OPEN, open_answered);
    request->user = login->user;
    request->requested = login->name;
    request->mechanism = login->mechanism;
}

void
authz_answered(struct engine *engine, int64_t result)
{
    struct login *login = &engine->login;

    buf_reset(&engine->data);
    if (result == STATUS_TAKEN) {
        engine_be_taken(engine);
        return;
    }
    if (result == STATUS_OK && engine->has_user) {
        login->proved = engine->settings.kpop;
        authz_open(engine);
        return;
    }
    login_failed(engine, result);
    /* KPOP: a step may be repeated after TEMP and after nothing else.
     * PASS and APOP: a mechanism that goes on has no client to go on with. */
    if (result != STATUS_TEMP && result != STATUS_NO_MEMORY
        && (engine->settings.kpop || engine->exchange_open))
        engine_close(engine, "login-failed");
}

/* An exchange of one message, which is in engine->data. */
static void
ask_start(struct engine *engine, const char *mechanism)
{
    struct buf *data = &engine->data;
    struct engine_request *request;

    if (buf_failed(data)) {
        buf_reset(data);
        login_failed(engine, STATUS_NO_MEMORY);
        return;
    }
    memcpy(engine->login.mechanism, mechanism, strlen(mechanism) + 1);
    request = engine_ask(engine, ENGINE_START, authz_answered);
    request->mechanism = engine->login.mechanism;
    request->data = buf_data(data);
    request->len = buf_len(data);
}

/* ---- APOP ---- */

void
authz_apop(struct engine *engine, const struct cmd_args *args)
{
    struct buf *data = &engine->data;
    size_t name_len = args->len;

    engine->login.has_name = false;
    if (authz_is_too_early(engine))
        return;
    if (engine->settings.kpop || !engine_has_mechanism(engine, "APOP")
        || engine->banner == NULL) {
        authz_unavailable(engine, args);
        return;
    }
    while (name_len > 0 && args->text[name_len - 1] != ' ')
        name_len--;
    if (name_len < 2) {
        engine_reply(engine, "-ERR APOP wants a user name and a digest");
        return;
    }
    copy_name(engine->login.name, args->text, name_len - 1);
    buf_append_str(data, engine->banner);
    buf_append(data, " ", 1);
    buf_append(data, args->text, args->len);
    ask_start(engine, "APOP");
}

/* ---- USER and PASS on other ports: mechanism PLAIN ---- */

static void
plain_pass(struct engine *engine, const struct cmd_args *args)
{
    struct buf *data = &engine->data;
    const char *name = sdps_account(engine, engine->login.name);

    if (args->len == 0) {
        engine_reply(engine, "-ERR PASS wants a password");
        return;
    }
    buf_append(data, "", 1);
    buf_append(data, name, strlen(name) + 1);
    buf_append(data, args->text, args->len);
    ask_start(engine, "PLAIN");
}

/* ---- USER and PASS on the KPOP port ---- */

static void
kpop_pass(struct engine *engine)
{
    struct login *login = &engine->login;
    const char *account = sdps_account(engine, login->name);
    struct engine_request *request;

    /* The AP-REQ is spent on the first name that was asked for. */
    if (login->tried && strcmp(login->tried_name, login->name) != 0) {
        refuse_credentials(engine);
        return;
    }
    memcpy(login->tried_name, login->name, sizeof(login->tried_name));
    login->tried = true;
    if (login->proved) {
        authz_open(engine);
        return;
    }
    request = engine_ask(engine, ENGINE_STEP, authz_answered);
    request->data = (const uint8_t *)account;
    request->len = strlen(account);
}

void
authz_pass(struct engine *engine, const struct cmd_args *args)
{
    if (authz_is_too_early(engine))
        return;
    if (!engine->login.has_name) {
        engine_reply(engine, "-ERR USER comes first");
        return;
    }
    engine->login.has_name = false;
    if (engine->settings.kpop)
        kpop_pass(engine);
    else
        plain_pass(engine, args);
}
