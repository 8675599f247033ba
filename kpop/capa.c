/*
 * capa.c - CAPA (RFC 2449): says only what would work if it were tried now.
 * Names no mechanism outside a SASL line and no program before login, because
 * clients search these lines by substring.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kpop/internal.h"

/* In the order of the list: fetchmail takes the first that it knows. */
static void
add_sasl(const struct engine *engine, struct buf *out)
{
    const char *name = engine->mechanisms;
    const char *before = "SASL ";
    size_t len;

    for (; (name = engine_sasl_name(name, &len)) != NULL; name += len) {
        buf_append_str(out, before);
        buf_append(out, name, len);
        before = " ";
    }
    if (before[0] == ' ')
        buf_append_str(out, "\r\n");
}

/* What may come next before login. */
static void
add_logins(const struct engine *engine, struct buf *out)
{
    if (engine->tls_possible && !engine->tls_active)
        buf_append_str(out, "STLS\r\n");
    if (engine->settings.tls_required && !engine->tls_active)
        return;
    if (engine->settings.kpop || engine_has_mechanism(engine, "USER"))
        buf_append_str(out, "USER\r\n");
    if (!engine->settings.kpop)
        add_sasl(engine, out);
}

/* What the maildrop's owner was promised; before login, everybody. */
static void
add_policy(const struct engine *engine, struct buf *out)
{
    const struct policy *policy = &engine->policy;

    if (policy->expire == UINT32_MAX)
        buf_append_str(out, "EXPIRE NEVER\r\n");
    else
        buf_printf(out, "EXPIRE %u\r\n", (unsigned)policy->expire);
    if (policy->login_delay > 0)
        buf_printf(out, "LOGIN-DELAY %u\r\n", (unsigned)policy->login_delay);
}

void
capa_run(struct engine *engine, const struct cmd_args *args)
{
    struct buf *out = &engine->out;

    (void)args;
    engine_reply(engine, "+OK capability list follows");
    buf_append_str(out, "TOP\r\n"
                        "UIDL\r\n"
                        "RESP-CODES\r\n"
                        "AUTH-RESP-CODE\r\n"
                        "PIPELINING\r\n"
                        "LANG\r\n");
    if ((engine->settings.options & OPTION_UTF8) != 0)
        buf_append_str(out, "UTF8\r\n");
    add_policy(engine, out);
    if ((engine->settings.options & OPTION_XDELE) != 0)
        buf_append_str(out, "XDELE\r\n");
    if ((engine->settings.options & OPTION_SDPS) != 0)
        buf_append_str(out, "X-SDPS\r\n");
    if (engine->state == IN_AUTH)
        add_logins(engine, out);
    if (engine->state == IN_TRANS)
        buf_printf(out, "IMPLEMENTATION %.255s\r\n",
                   engine->settings.implementation);
    buf_append_str(out, ".\r\n");
}
