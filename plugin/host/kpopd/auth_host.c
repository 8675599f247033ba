/*
 * auth_host.c - the callbacks of an auth process: who may read which mailbox
 * and whether a password is right.  Nothing is allowed by default, and the
 * client can't tell a user that does not exist from one that is not his.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/auth_host.h"

#include <stdio.h>
#include <string.h>

#include "plugin/host/kpopd/auth.h"
#include "plugin/host/kpopd/cyrus.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/metrics.h"
#include "plugin/host/kpopd/words.h"

/* In an auth process, not in the check before the start. */
static bool auth_host_serves;

void
auth_host_begin(void)
{
    auth_host_serves = true;
}

static void
on_log(void *host, void *conn, uint32_t level, const char *event,
       const char *line)
{
    (void)host;
    (void)conn;
    metrics_note_event(event, line);
    const bool config = strncmp(event, "config.", 7) == 0;

    /* Of the configuration this half knows only the keytab; all else the
     * other half has said, and the check before the start said this. */
    if (!config
        || (!auth_host_serves
            && (strcmp(event, "config.keytab") == 0
                || strcmp(event, "config.gssapi") == 0)))
        log_line(level, event, line);
}

/* ---- log ---- */

struct who {
    char session[128];
    char peer[ADDRESS_TEXT_MAX + 64];
    char user[2 * KPOP_USER_MAX];
};

/* What comes from outside, fit for a line. */
static void
name(struct who *who, const struct auth_host_peer *peer, const char *user)
{
    (void)log_quote(peer->session, who->session, sizeof(who->session));
    (void)log_quote(peer->address, who->peer, sizeof(who->peer));
    (void)log_quote(user, who->user, sizeof(who->user));
}

static void
log_reason(const struct auth_host_context *context, const char *event,
           uint32_t level, const char *user, const char *reason)
{
    char text[1024];
    struct who who;

    name(&who, context->peer, user);
    log_event(level, event, "session=%s peer=%s claimed=%s reason=%s",
              who.session, who.peer, who.user,
              log_quote(reason, text, sizeof(text)));
}

/* ---- who may read what ---- */

/* As the module has them: of harmless characters. */
static bool
is_mailbox(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._+@-";

    return name[0] != '\0' && name[0] != '.' && name[0] != '-'
           && strlen(name) <= KPOP_USER_MAX
           && name[strspn(name, allowed)] == '\0'
           && strstr(name, "..") == NULL;
}

/* A name that no maildrop can come of is not asked about: directories would
 * make something of "alice/admin", "*)(uid=alice" or "alice@elsewhere", the
 * answer would tell whether the password was right, and each spelling would
 * be another user to who counts guesses. */
static bool
can_have_maildrop(const struct auth_host_context *context, const char *name)
{
    const char *store = context->sources.settings->store;

    return is_mailbox(name)
           && (strchr(name, '@') == NULL
               || (store != NULL && strstr(store, "%d") != NULL));
}

static int32_t
check_lock(struct auth_host_context *context, const char *user)
{
    char error[512] = "";
    int32_t rc =
        sources_unlocked(&context->sources, user, error, sizeof(error));

    if (rc == KPOP_DENIED)
        log_reason(context, "auth.locked", KPOP_LOG_INFO, user,
                   "the account is locked");
    else if (rc != KPOP_OK)
        log_event(KPOP_LOG_ERROR, "auth.passwords", "text=\"%s\"", error);
    return rc;
}

/* The account of whoever comes in, which need not be the mailbox: of a
 * principal, also what stands before the realm. */
static int32_t
check_account(struct auth_host_context *context, const char *authcid)
{
    char user[KPOP_USER_MAX + 1];
    int32_t rc = check_lock(context, authcid);

    if (rc != KPOP_OK || strchr(authcid, '@') == NULL)
        return rc;
    snprintf(user, sizeof(user), "%.*s", (int)strcspn(authcid, "@"), authcid);
    return check_lock(context, user);
}

/* A word of proxy_users with an @ is a principal, and only a ticket proves to
 * be one: a user of that spelling with a password is somebody else. */
static bool
may_act_for(const struct auth_host_context *context,
            const struct kpop_identity *identity)
{
    const struct settings *s = context->sources.settings;
    bool ticket = strcmp(identity->mechanism, "KPOP") == 0
                  || strcmp(identity->mechanism, "GSSAPI") == 0;

    return ticket == (strchr(identity->authcid, '@') != NULL)
           && words_have(s->proxy_users, identity->authcid)
           && is_mailbox(identity->requested);
}

static void
log_proxy(const struct auth_host_context *context,
          const struct kpop_identity *identity)
{
    char other[2 * KPOP_USER_MAX];
    struct who who;

    name(&who, context->peer, identity->authcid);
    log_event(KPOP_LOG_INFO, "auth.proxy",
              "session=%s peer=%s mechanism=%s authcid=%s mailbox=%s",
              who.session, who.peer, identity->mechanism, who.user,
              log_quote(identity->requested, other, sizeof(other)));
}

/* The module's ladder has named the mailbox; it decides, but for locked
 * accounts and for who may act for others. */
int32_t
auth_host_decide(struct auth_host_context *context,
                 const struct kpop_identity *identity,
                 const char **mailbox_out)
{
    bool proxy = identity->requested[0] != '\0'
                 && strcmp(identity->requested, identity->local) != 0;
    const char *mailbox = proxy ? identity->requested : identity->local;
    int32_t rc;

    if (mailbox[0] == '\0' || (proxy && !may_act_for(context, identity)))
        return KPOP_DENIED;
    rc = check_account(context, identity->authcid);
    if (rc == KPOP_OK && strcmp(mailbox, identity->authcid) != 0)
        rc = check_lock(context, mailbox);
    if (rc == KPOP_OK && proxy)
        log_proxy(context, identity);
    *mailbox_out = mailbox;
    return rc;
}

static int32_t
authorize(void *conn, struct kpop_op *op,
          const struct kpop_identity *identity)
{
    struct auth_host_context *context = conn;
    const char *mailbox;
    int32_t rc = auth_host_decide(context, identity, &mailbox);

    return rc == KPOP_OK ? context->api->put_user(op, mailbox) : rc;
}

/* ---- is it him ---- */

static int32_t
verify_password(void *conn, struct kpop_op *op, const char *user,
                const void *password, size_t password_size)
{
    struct auth_host_context *context = conn;
    const struct sources_login login = { user, context->peer->address,
                                         password, password_size };
    char reason[512] = "the name is none of a mailbox";
    int32_t rc = KPOP_AUTH;

    (void)op;
    if (can_have_maildrop(context, user))
        rc = sources_verify(&context->sources, &login, reason,
                            sizeof(reason));
    if (rc == KPOP_TEMP)
        log_reason(context, "auth.passwords", KPOP_LOG_ERROR, user, reason);
    else if (rc != KPOP_OK && reason[0] != '\0')
        log_reason(context, "auth.reason", KPOP_LOG_INFO, user, reason);
    return rc;
}

static int32_t
lookup_secret(void *conn, struct kpop_op *op, const char *user,
              const char *mechanism)
{
    const struct auth_host_context *context = conn;
    struct secretdb_secret secret;
    char error[512];
    int32_t rc;

    (void)mechanism;
    if (!can_have_maildrop(context, user))
        return KPOP_AUTH;
    rc = sources_lookup(&context->sources, user, &secret, error,
                        sizeof(error));
    if (rc == KPOP_TEMP)
        log_event(KPOP_LOG_ERROR, "auth.secrets", "text=\"%s\"", error);
    if (rc == KPOP_OK)
        rc = context->api->put_secret(op, secret.data, secret.size);
    explicit_bzero(&secret, sizeof(secret));
    return rc;
}

/* An auth process has no mail and no right to any: it runs exchanges. */
const struct kpop_host auth_host = {
    .size = sizeof(struct kpop_host),
    .version = KPOP_ABI_MINOR,
    .log = on_log,
    .authorize = authorize,
    .verify_password = verify_password,
    .lookup_secret = lookup_secret,
};

/* ---- the start ---- */

/* Passwords must work even when keytab, map or replay cache don't. */
static int32_t
leave_tickets_out(const struct setup *setup, char *error, size_t error_size)
{
    struct kpop_plugin *plugin = setup->logins;
    const char *all = setup->api->get(plugin, "mechanisms");
    char names[256] = "";
    size_t len = 0;
    size_t n;
    int32_t rc;

    for (; (all = words_next(all, &n)) != NULL; all += n) {
        if (!(n == 6 && memcmp(all, "GSSAPI", n) == 0)
            && len + n + 2 < sizeof(names))
            len += (size_t)snprintf(names + len, sizeof(names) - len,
                                    "%.*s ", (int)n, all);
    }
    rc = setup->api->set(plugin, "listen_kpop", "", error, error_size);
    if (rc == KPOP_OK)
        rc = setup->api->set(plugin, "mechanisms",
                            len > 0 ? names : "PLAIN", error, error_size);
    return rc;
}

int
auth_host_ready(struct auth_host_context *context, const struct setup *setup,
                enum auth_pool pool)
{
    const char *key;
    char error[SETUP_ERROR_MAX];
    int32_t rc = KPOP_OK;

    if (pool != POOL_KRB)
        rc = leave_tickets_out(setup, error, sizeof(error));
    /* The module starts libsasl2 for each GSSAPI login; this keeps it here.
     * Where that fails, the module says so. */
    if (rc == KPOP_OK && pool == POOL_KRB)
        (void)cyrus_begin(error, sizeof(error));
    if (rc == KPOP_OK)
        rc = setup->api->ready(setup->logins, error, sizeof(error));
    if (rc == KPOP_OK
        && sources_open(&context->sources, &setup->settings, pool, &key,
                        error, sizeof(error))
               == 0)
        return 0;
    log_event(KPOP_LOG_ERROR, "process.fail", "text=\"%s\"", error);
    return -1;
}
