/*
 * cyrus.c - asks saslauthd and reads a sasldb through libsasl2.  The library's
 * state belongs to the whole process, and the module uses it too: everything
 * here is told to it connection by connection, nothing is ever undone, and no
 * configuration file is read.  Runs in auth processes, as auth_user.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/cyrus.h"

#include <errno.h>
#include <fcntl.h>
#include <sasl/prop.h>
#include <sasl/sasl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/kpop_plugin.h"

static const char service_name[] = "pop";

/* What libsasl2 is told when it asks for its options. */
struct options {
    const char *method; /* pwcheck_method */
    const char *auxprop; /* auxprop_plugin */
    const struct cyrus_source *source;
};

/* One connection of libsasl2 with its callbacks, which it does not copy. */
struct cyrus {
    sasl_conn_t *conn;
    struct options options;
    sasl_callback_t callbacks[3];
    char said[200]; /* in its log, which has more than its errors have */
};

/* The type is the library's.  What is not answered has its default, which
 * no file can change, as none was read. */
static int
get_option(void *arg, const char *plugin, const char *option,
           const char **value_out, unsigned *len_out)
{
    const struct options *o = arg;
    const struct {
        const char *name;
        const char *value;
    } rows[] = {
        { "pwcheck_method", o->method },
        { "auxprop_plugin", o->auxprop },
        { "saslauthd_path", o->source->path },
        { "sasldb_path", o->source->path },
        { "canon_user_plugin", "INTERNAL" },
        { "auto_transition", "no" },
    };
    size_t i;

    (void)plugin;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(option, rows[i].name) != 0)
            continue;
        *value_out = rows[i].value;
        if (len_out != NULL)
            *len_out = (unsigned)strlen(rows[i].value);
        return SASL_OK;
    }
    return SASL_FAIL;
}

/* Without it the library writes to syslog, where our lines are not. */
static int
keep_log(void *arg, int level, const char *message)
{
    struct cyrus *cyrus = arg;

    /* The first trouble is the cause of the others. */
    if (level <= SASL_LOG_FAIL && cyrus->said[0] == '\0')
        snprintf(cyrus->said, sizeof(cyrus->said), "%s", message);
    return SASL_OK;
}

int
cyrus_begin(char *error, size_t error_size)
{
    static bool begun;
    int rc = begun ? SASL_OK : sasl_server_init(NULL, NULL);

    begun = rc == SASL_OK;
    if (begun)
        return 0;
    snprintf(error, error_size, "libsasl2 does not start: %s",
             sasl_errstring(rc, NULL, NULL));
    return -1;
}

/* The library's types of callbacks are one type. */
static void
add_callback(sasl_callback_t *row, unsigned long id, int (*function)(void),
             void *arg)
{
    row->id = id;
    row->proc = function;
    row->context = arg;
}

/* The library trims names, so one with blanks would become another one's; it
 * counts no octets, so a NUL would cut it. */
static bool
is_name(const char *user)
{
    return user[0] != '\0' && user[strcspn(user, " \t\r\n\v\f")] == '\0';
}

static int
open_conn(struct cyrus *cyrus)
{
    const char *realm = cyrus->options.source->realm;
    int (*const option_fn)(void *, const char *, const char *, const char **,
                           unsigned *) = get_option;
    int (*const log_fn)(void *, int, const char *) = keep_log;
    int (*function)(void);

    memcpy(&function, &option_fn, sizeof(function));
    add_callback(&cyrus->callbacks[0], SASL_CB_GETOPT, function,
                 &cyrus->options);
    memcpy(&function, &log_fn, sizeof(function));
    add_callback(&cyrus->callbacks[1], SASL_CB_LOG, function, cyrus);
    add_callback(&cyrus->callbacks[2], SASL_CB_LIST_END, NULL, NULL);
    return sasl_server_new(service_name, realm[0] != '\0' ? realm : NULL,
                           NULL, NULL, NULL, cyrus->callbacks, 0,
                           &cyrus->conn);
}

static const char *
why(const struct cyrus *cyrus, int rc)
{
    if (cyrus->said[0] != '\0')
        return cyrus->said;
    return cyrus->conn != NULL ? sasl_errdetail(cyrus->conn)
                               : sasl_errstring(rc, NULL, NULL);
}

/*
 * libsasl2 2.1.28 forgets its socket when saslauthd hangs up without an
 * answer.  The kernel gives the lowest free number, so the socket had the one
 * that was free before, and this process has one thread.
 */
static int
check_password(struct cyrus *cyrus, const char *user, const char *password)
{
    int next = dup(STDERR_FILENO);
    int rc;

    if (next >= 0)
        close(next);
    rc = sasl_checkpass(cyrus->conn, user, (unsigned)strlen(user), password,
                        (unsigned)strlen(password));
    if (next >= 0 && fcntl(next, F_GETFD) >= 0)
        close(next);
    return rc;
}

int32_t
cyrus_verify(const struct cyrus_source *source, const char *user,
             const void *password, size_t password_size, char *error,
             size_t error_size)
{
    /* No other method may have a say after saslauthd's no. */
    struct cyrus cyrus = { .options = { "saslauthd", "none", source } };
    char text[1024];
    int rc;

    /* It takes what stands behind @ for a realm, which saslauthd without -r
     * ignores: one password would be that of many users. */
    if (!is_name(user) || strchr(user, '@') != NULL || password_size == 0
        || password_size >= sizeof(text)
        || memchr(password, '\0', password_size) != NULL)
        return KPOP_AUTH;
    memcpy(text, password, password_size);
    text[password_size] = '\0';
    rc = open_conn(&cyrus);
    if (rc == SASL_OK)
        rc = check_password(&cyrus, user, text);
    explicit_bzero(text, sizeof(text));
    if (rc != SASL_OK && rc != SASL_BADAUTH && rc != SASL_NOUSER)
        snprintf(error, error_size, "saslauthd at %s: %s", source->path,
                 why(&cyrus, rc));
    sasl_dispose(&cyrus.conn);
    if (rc == SASL_OK)
        return KPOP_OK;
    return rc == SASL_BADAUTH || rc == SASL_NOUSER ? KPOP_AUTH : KPOP_TEMP;
}

/* Others of its group may have it: that is how a sasldb is shared. */
static const char *
file_fault(const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return "is no plain file";
    if ((st->st_mode & S_IRWXO) != 0)
        return "holds secrets, but everybody may read or write it; chmod "
               "0640 it";
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return "belongs neither to root nor to auth_user; chown it";
    return NULL;
}

int
cyrus_check_file(const char *path, char *error, size_t error_size)
{
    const char *fault;
    struct stat st;

    if (stat(path, &st) != 0 || access(path, R_OK) != 0) {
        snprintf(error, error_size, "cannot read %s: %s", path,
                 strerror(errno));
        return -1;
    }
    fault = file_fault(&st);
    if (fault == NULL)
        return 0;
    snprintf(error, error_size, "%s %s", path, fault);
    return -1;
}

/* What the library has read for the connection. */
static int32_t
take_secret(struct cyrus *cyrus, struct secretdb_secret *secret_out)
{
    static const char property[] = SASL_AUX_PASSWORD;
    const char *names[] = { property, NULL };
    struct propctx *context = sasl_auxprop_getctx(cyrus->conn);
    struct propval values[2];
    size_t size = 0;

    memset(values, 0, sizeof(values));
    if (context == NULL || prop_getnames(context, names, values) < 0)
        return KPOP_TEMP;
    if (values[0].name == NULL || values[0].values == NULL
        || values[0].values[0] == NULL)
        return KPOP_AUTH;
    size = strlen(values[0].values[0]);
    if (size > 0 && size <= sizeof(secret_out->data)) {
        memcpy(secret_out->data, values[0].values[0], size);
        secret_out->size = size;
    }
    prop_erase(context, property);
    return secret_out->size > 0 ? KPOP_OK : KPOP_AUTH;
}

int32_t
cyrus_lookup(const struct cyrus_source *source, const char *user,
             struct secretdb_secret *secret_out, char *error,
             size_t error_size)
{
    struct cyrus cyrus = { .options = { "auxprop", "sasldb", source } };
    int32_t result = KPOP_TEMP;
    int rc;

    memset(secret_out, 0, sizeof(*secret_out));
    if (cyrus_check_file(source->path, error, error_size) != 0)
        return KPOP_TEMP;
    if (!is_name(user))
        return KPOP_AUTH;
    rc = open_conn(&cyrus);
    /* Reads what is known of the user and compares no password with it. */
    if (rc == SASL_OK)
        rc = sasl_user_exists(cyrus.conn, service_name, NULL, user);
    if (rc == SASL_OK)
        result = take_secret(&cyrus, secret_out);
    else if (rc == SASL_NOUSER)
        result = KPOP_AUTH;
    if (result == KPOP_TEMP)
        snprintf(error, error_size, "sasldb %s: %s", source->path,
                 why(&cyrus, rc));
    sasl_dispose(&cyrus.conn);
    return result;
}
