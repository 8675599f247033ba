/*
 * sdps.c - Demon's Standard Dial-up POP3 Service: a login for the mail of one
 * recipient in a maildrop of many, and *ENV, which tells a message's envelope.
 * fetchmail and getmail read it.  Which mail that is, the store decides.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "kpop/internal.h"

/* user@hostname and user+hostname log in as hostname.  A local part may hold
 * a +, a host name holds neither. */
const char *
sdps_account(const struct engine *engine, const char *name)
{
    const char *mark = strrchr(name, '@');

    if ((engine->settings.options & OPTION_SDPS) == 0)
        return name;
    if (mark == NULL)
        mark = strrchr(name, '+');
    return mark != NULL && mark[1] != '\0' ? mark + 1 : name;
}

/* Clients wait for the dot, so an address must not look like it. */
static void
add_line(struct buf *out, const char *text)
{
    buf_printf(out, "%s%s\r\n", text[0] == '.' ? "." : "", text);
}

static void
env_answered(struct engine *engine, int64_t result)
{
    struct buf *listing = &engine->answer.listing;

    if (result < 0) {
        if (result == STATUS_GONE)
            engine_reply(engine, "-ERR message is gone");
        else
            engine_reply_store_error(engine, result,
                                     TEXT("the envelope cannot be read"));
    } else {
        engine_reply(engine, "+OK envelope follows");
        /* Clients look at the third and the fourth line only. */
        buf_printf(&engine->out, "%lu\r\n",
                   (unsigned long)engine->request.msg + 1);
        add_line(&engine->out, engine->login.user);
        buf_append(&engine->out, buf_data(listing), buf_len(listing));
        buf_append_str(&engine->out, ".\r\n");
    }
    engine_answer_done(engine);
}

void
sdps_env(struct engine *engine, const struct cmd_args *args)
{
    struct engine_request *request;

    request = engine_ask(engine, ENGINE_ENVELOPE, env_answered);
    request->msg = args->msg;
}

/* Addresses of RFC 5321 are much shorter, and are no control characters. */
static bool
is_address(const char *text)
{
    size_t len;

    for (len = 0; text[len] != '\0'; len++)
        if (len == ENGINE_REPLY_MAX || (unsigned char)text[len] < 0x20
            || text[len] == 0x7f)
            return false;
    return true;
}

int
sdps_put(struct engine *engine, const char *sender, const char *recipient)
{
    struct buf *listing = &engine->answer.listing;

    if (!is_address(sender) || !is_address(recipient))
        return STATUS_INVALID;
    buf_reset(listing);
    add_line(listing, sender);
    add_line(listing, recipient);
    return buf_failed(listing) ? STATUS_NO_MEMORY : STATUS_OK;
}
