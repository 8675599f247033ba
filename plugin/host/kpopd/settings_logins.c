/*
 * settings_logins.c - where passwords and secrets come from and who may open
 * the maildrops of others.  Reads texts only; whether a file or a socket is
 * there is looked at by those who will use it.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "plugin/host/kpopd/settings_internal.h"

/* Where Debian has them. */
#define SASLAUTHD_SOCKET "/run/saslauthd/mux"
#define SASLDB_FILE "/etc/sasldb2"

/* "source:WHERE". */
struct source_row {
    const char *prefix;
    int source;
    bool is_path;
    const char *standard; /* for an empty WHERE; NULL = it is needed */
};

static const struct source_row password_rows[] = {
    { "file:", PASSWORDS_FILE, true, NULL },
    { "pam:", PASSWORDS_PAM, false, NULL },
    { "saslauthd:", PASSWORDS_SASLAUTHD, true, SASLAUTHD_SOCKET },
    { NULL, PASSWORDS_NONE, false, NULL },
};

static const struct source_row secret_rows[] = {
    { "file:", SECRETS_FILE, true, NULL },
    { "sasldb:", SECRETS_SASLDB, true, SASLDB_FILE },
    { NULL, SECRETS_NONE, false, NULL },
};

/* libpam makes a file's name of it, in lower case. */
static bool
is_service(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";

    return name[0] != '\0' && name[0] != '.' && name[0] != '-'
           && strlen(name) < 64 && name[strspn(name, allowed)] == '\0';
}

/* Picks the row that the value begins with; KPOP_OK with source 0 for "". */
static int32_t
read_source(const struct reading *r, const char *key,
            const struct source_row *row, const char *fault,
            const struct source_row **row_out, char **where_out)
{
    const char *value = reading_text(r, key);
    const char *where;

    *row_out = NULL;
    if (value[0] == '\0')
        return KPOP_OK;
    while (row->prefix != NULL
           && strncmp(value, row->prefix, strlen(row->prefix)) != 0)
        row++;
    if (row->prefix == NULL)
        return reading_blame(r, key, fault);
    where = value + strlen(row->prefix);
    if (where[0] == '\0' && row->standard != NULL)
        where = row->standard;
    if (row->is_path ? where[0] != '/' : !is_service(where))
        return reading_blame(r, key, fault);
    *row_out = row;
    *where_out = strdup(where);
    return *where_out != NULL ? KPOP_OK : reading_no_memory(r);
}

static int32_t
read_passwords(const struct reading *r)
{
    struct settings *s = r->settings;
    const struct source_row *row;
    struct sockaddr_un address;
    int32_t rc = read_source(
        r, "passwords", password_rows,
        "write file:PATH, pam:SERVICE or saslauthd: (or saslauthd:PATH of "
        "its socket); a path begins with /, a service is a file's name in "
        "/etc/pam.d, in lower case",
        &row, &s->password_where);

    if (rc != KPOP_OK || row == NULL)
        return rc;
    s->password_source = (enum password_source)row->source;
    if (s->password_source == PASSWORDS_SASLAUTHD
        && strlen(s->password_where) >= sizeof(address.sun_path))
        return reading_blame(r, "passwords",
                             "the path is too long for a socket");
    return KPOP_OK;
}

static int32_t
read_secrets(const struct reading *r)
{
    struct settings *s = r->settings;
    const struct source_row *row;
    int32_t rc = read_source(
        r, "secrets", secret_rows,
        "write file:PATH with an absolute path, or sasldb: (or sasldb:PATH)",
        &row, &s->secret_where);

    if (rc == KPOP_OK && row != NULL)
        s->secret_source = (enum secret_source)row->source;
    return rc;
}

int32_t
settings_read_logins(const struct reading *r)
{
    struct settings *s = r->settings;
    int32_t rc = read_passwords(r);

    if (rc == KPOP_OK)
        rc = read_secrets(r);
    if (rc != KPOP_OK)
        return rc;
    s->proxy_users = strdup(reading_text(r, "proxy_users"));
    return s->proxy_users != NULL ? KPOP_OK : reading_no_memory(r);
}

bool
kpopd_settings_want_pool(const struct settings *settings, enum auth_pool pool)
{
    switch (pool) {
    case POOL_KRB:
        return settings->tickets_wanted;
    case POOL_PASSWORD:
        return settings->password_source == PASSWORDS_FILE
               || settings->secret_source != SECRETS_NONE
               || settings->external;
    case POOL_OUTSIDE:
        return settings->password_source == PASSWORDS_PAM
               || settings->password_source == PASSWORDS_SASLAUTHD;
    case POOL_COUNT:
        break;
    }
    return false;
}
