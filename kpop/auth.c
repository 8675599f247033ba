/*
 * auth.c - AUTH (RFC 5034): the mechanism's name, the base64 lines that
 * follow, and the end of the exchange.  What the octets mean is the
 * mechanism's business; nothing here opens a maildrop.  A password may pass
 * through, so both buffers are wiped.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "kpop/base64.h"
#include "kpop/internal.h"

static void exchange_answered(struct engine *engine, int64_t result);

/* RFC 5034 has no AUTH without a name; Thunderbird and others send it. */
static void
list_names(struct engine *engine)
{
    const char *name = engine->mechanisms;
    size_t len;

    engine_reply(engine, "+OK mechanisms follow");
    for (; (name = engine_sasl_name(name, &len)) != NULL; name += len)
        engine_reply(engine, "%.*s", (int)len, name);
    engine_reply(engine, ".");
}

/* ---- failures before an exchange and in it ---- */

/* A cancelled or garbled exchange counts, or it would be a way to try
 * passwords without end; but it isn't a wrong password (RFC 3206). */
static void
say_why(struct engine *engine, int64_t result)
{
    (void)result;
    authz_attempt_failed(engine, engine->login.why);
}

static void
give_up(struct engine *engine, const char *why)
{
    buf_reset(&engine->data);
    wipe(engine->login.user, sizeof(engine->login.user));
    engine->login.is_final = false;
    engine->login.why = why;
    if (engine->exchange_open) {
        engine->exchange_open = false;
        (void)engine_ask(engine, ENGINE_END, say_why);
    } else {
        say_why(engine, STATUS_OK);
    }
}

/* Into engine->data; false, and answered, when it isn't base64.  "=" is an
 * initial response without octets (RFC 5034 section 4), and curl's answer of
 * that kind to a challenge, too. */
static bool
decode(struct engine *engine, const uint8_t *text, size_t len)
{
    int status = len == 1 && *text == '='
                     ? STATUS_OK
                     : base64_decode(&engine->data, text, len);

    if (status == STATUS_INVALID)
        give_up(engine, "-ERR that is not base64");
    else if (status != STATUS_OK)
        give_up(engine, "-ERR [SYS/TEMP] no memory for that, try again "
                        "later");
    return status == STATUS_OK;
}

/* Data that came, even if it is empty, is not NULL. */
static void
lend_data(const struct engine *engine, struct engine_request *request)
{
    static const uint8_t none[1];

    request->len = buf_len(&engine->data);
    request->data = request->len > 0 ? buf_data(&engine->data) : none;
}

/* ---- the command ---- */

/* In upper case into login.mechanism; false if no such name can be. */
static bool
keep_name(struct login *login, const uint8_t *name, size_t len)
{
    if (len == 0 || len > ENGINE_MECHANISM_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = (char)name[i];

        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        if ((c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-'
            && c != '_')
            return false;
        login->mechanism[i] = c;
    }
    login->mechanism[len] = '\0';
    return true;
}

static bool
is_offered(const struct engine *engine, const char *wanted)
{
    const char *name = engine->mechanisms;
    size_t len;

    for (; (name = engine_sasl_name(name, &len)) != NULL; name += len)
        if (strlen(wanted) == len && memcmp(name, wanted, len) == 0)
            return true;
    return false;
}

static void
refuse_name(struct engine *engine)
{
    const char *wanted = engine->login.mechanism;

    if (strcmp(wanted, "PLAIN") == 0 && authz_wants_tls(engine))
        authz_refuse_plaintext(engine);
    else
        engine_reply(engine, "-ERR that mechanism is not available here, "
                             "see CAPA");
}

void
auth_run(struct engine *engine, const struct cmd_args *args)
{
    const uint8_t *blank = args->len > 0 ? memchr(args->text, ' ', args->len)
                                         : NULL;
    size_t name_len = blank != NULL ? (size_t)(blank - args->text)
                                    : args->len;
    struct engine_request *request;

    if (engine->settings.kpop) {
        authz_unavailable(engine, args);
        return;
    }
    engine->login.has_name = false;
    engine->login.name[0] = '\0';
    if (authz_is_too_early(engine))
        return;
    if (args->len == 0) {
        list_names(engine);
        return;
    }
    if (!keep_name(&engine->login, args->text, name_len)) {
        engine_reply(engine, "-ERR AUTH wants the name of a mechanism, "
                             "see CAPA");
        return;
    }
    if (!is_offered(engine, engine->login.mechanism)) {
        refuse_name(engine);
        return;
    }
    if (blank != NULL) {
        const uint8_t *text = blank + 1;
        size_t len = args->len - name_len - 1;

        if (len == 0) {
            engine_reply(engine, "-ERR an empty initial response is "
                                 "written =");
            return;
        }
        if (!decode(engine, text, len))
            return;
    }
    request = engine_ask(engine, ENGINE_START, exchange_answered);
    request->mechanism = engine->login.mechanism;
    if (blank != NULL)
        lend_data(engine, request);
}

/* ---- the exchange ---- */

static void
say_challenge(struct engine *engine)
{
    struct buf *challenge = &engine->challenge;

    buf_append_str(&engine->out, "+ ");
    base64_encode(&engine->out, buf_data(challenge), buf_len(challenge));
    buf_append_str(&engine->out, "\r\n");
    buf_reset(challenge);
    engine_await_response(engine);
}

static void
exchange_answered(struct engine *engine, int64_t result)
{
    struct login *login = &engine->login;

    buf_reset(&engine->data);
    login->is_final = result == STATUS_OK && engine->has_user
                      && buf_len(&engine->challenge) > 0;
    if (result == STATUS_CONTINUE || login->is_final)
        say_challenge(engine);
    else
        authz_answered(engine, result);
}

static void
respond(struct engine *engine, const uint8_t *text, size_t len)
{
    struct login *login = &engine->login;
    struct engine_request *request;

    if (len == 1 && *text == '*') {
        give_up(engine, "-ERR cancelled");
    } else if (login->is_final) {
        /* RFC 5034 section 4: the client owes an empty line. */
        login->is_final = false;
        if (len == 0)
            authz_open(engine);
        else
            give_up(engine, "-ERR an empty line was due");
    } else if (decode(engine, text, len)) {
        request = engine_ask(engine, ENGINE_STEP, exchange_answered);
        lend_data(engine, request);
    }
}

/* One line, without its end. */
static void
response_ended(struct engine *engine)
{
    struct buf *line = &engine->response;
    const uint8_t *text = buf_data(line);
    size_t len = buf_len(line) - 1;

    if (len > 0 && text[len - 1] == '\r')
        len--;
    engine->counts.commands++;
    engine_await_command(engine);
    respond(engine, text, len);
    buf_reset(line);
}

size_t
auth_feed(struct engine *engine, const uint8_t *data, size_t len)
{
    struct buf *line = &engine->response;
    const uint8_t *lf = memchr(data, '\n', len);
    size_t used = lf != NULL ? (size_t)(lf - data) + 1 : len;

    if (used > buf_room(line)) {
        engine_reply(engine, "-ERR line too long, closing");
        engine_close(engine, "line-too-long");
        return used;
    }
    buf_append(line, data, used);
    if (buf_failed(line))
        engine_abort(engine);
    else if (lf != NULL)
        response_ended(engine);
    return used;
}
