/*
 * auth_host.c - the callbacks of an auth process: who may read which mailbox
 * and whether a password is right.  Nothing is allowed by default, and the
 * client can't tell a user that does not exist from one that is not his.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/auth_host.h"

#include <string.h>

#include "plugin/host/kpopd/auth.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/secretdb.h"

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
    const bool config = strncmp(event, "config.", 7) == 0;

    /* Of the configuration this half knows only the keytab; all else the
     * other half has said, and the check before the start said this. */
    if (!config
        || (!auth_host_serves && strcmp(event, "config.keytab") == 0))
        log_line(level, event, line);
}

/* The module's ladder has named the mailbox; it decides alone. */
static int32_t
authorize(void *conn, struct kpop_op *op,
          const struct kpop_identity *identity)
{
    const struct auth_host_context *context = conn;

    if (identity->local[0] == '\0')
        return KPOP_DENIED;
    if (identity->requested[0] != '\0'
        && strcmp(identity->requested, identity->local) != 0)
        return KPOP_DENIED;
    return context->api->put_user(op, identity->local);
}

static int32_t
verify_password(void *conn, struct kpop_op *op, const char *user,
                const void *password, size_t password_size)
{
    const struct auth_host_context *context = conn;
    char error[512];
    int32_t rc;

    (void)op;
    if (context->passdb == NULL)
        return KPOP_AUTH;
    rc = passdb_verify(context->passdb, user, password, password_size, error,
                       sizeof(error));
    if (rc == KPOP_TEMP)
        log_event(KPOP_LOG_ERROR, "auth.passwords", "text=\"%s\"", error);
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
    if (context->secret_file == NULL)
        return KPOP_AUTH;
    rc = secretdb_lookup(context->secret_file, user, &secret, error,
                         sizeof(error));
    if (rc == KPOP_TEMP)
        log_event(KPOP_LOG_ERROR, "auth.secrets", "text=\"%s\"", error);
    if (rc == KPOP_OK)
        rc = context->api->put_secret(op, secret.data, secret.size);
    explicit_bzero(&secret, sizeof(secret));
    return rc;
}

/* An auth process has no mail and no right to any: it only runs exchanges,
 * but the ABI wants a whole store of whoever authorizes. */
static int32_t
no_open(void *conn, struct kpop_op *op, const struct kpop_open *what)
{
    (void)conn;
    (void)op;
    (void)what;
    return KPOP_PERM;
}

static int32_t
no_list(void *conn, struct kpop_op *op, void *box, uint32_t first,
        uint32_t count)
{
    (void)conn;
    (void)op;
    (void)box;
    (void)first;
    (void)count;
    return KPOP_PERM;
}

static int32_t
no_fetch(void *conn, struct kpop_op *op, void *box, uint32_t msg,
         uint64_t offset, void *buffer, uint32_t size, uint32_t flags)
{
    (void)conn;
    (void)op;
    (void)box;
    (void)msg;
    (void)offset;
    (void)buffer;
    (void)size;
    (void)flags;
    return KPOP_PERM;
}

static int32_t
no_commit(void *conn, struct kpop_op *op, void *box, const uint8_t *marks,
          uint32_t count)
{
    (void)conn;
    (void)op;
    (void)box;
    (void)marks;
    (void)count;
    return KPOP_PERM;
}

static void
no_close(void *conn, void *box)
{
    (void)conn;
    (void)box;
}

const struct kpop_host auth_host = {
    .size = sizeof(struct kpop_host),
    .version = KPOP_ABI_MINOR,
    .log = on_log,
    .authorize = authorize,
    .verify_password = verify_password,
    .lookup_secret = lookup_secret,
    .open = no_open,
    .list = no_list,
    .fetch = no_fetch,
    .commit = no_commit,
    .close = no_close,
};
