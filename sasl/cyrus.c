/*
 * cyrus.c - drives libsasl2, whose state is the process's: a host may use it,
 * too.  So it is started for a login and ended with it, given no callbacks,
 * name or configuration file of ours; all that is ours belongs to a
 * connection, which answers every option itself and knows one mechanism.  A
 * connection is for one login: one that was used again has let a wrong
 * password in (measured).  Decides nothing about who may come in.  Runs where
 * authentication runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/cyrus.h"

#include <limits.h>
#include <pthread.h>
#include <sasl/sasl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sasl/apreq.h"
#include "sasl/clean.h"

enum { TEXT_MAX = 300 };

struct cyrus {
    sasl_conn_t *conn;
    sasl_callback_t callbacks[5];
    const char *mechanism;
    bool started;
    bool bad_authzid;
    char authcid[PRINCIPAL_MAX + 1];
    char authzid[NAME_OCTETS_MAX + 1];
    char text[TEXT_MAX];
};

/* ---- the library ---- */

/* The library counts its users without one. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/*
 * The library counts who started it and listens to the first alone.  If we
 * stayed, a host that starts it after us would find its callbacks ignored
 * (measured, 2.1.28), so we go when no login runs.  That costs loading the
 * library's modules for each login, unless the host has started it; kpopd
 * does.  Nothing is said: without a name no configuration file is read.
 */
static int
start(void)
{
    int code;

    (void)pthread_mutex_lock(&lock);
    code = sasl_server_init(NULL, NULL);
    (void)pthread_mutex_unlock(&lock);
    return code;
}

static void
stop(void)
{
    (void)pthread_mutex_lock(&lock);
    (void)sasl_server_done();
    (void)pthread_mutex_unlock(&lock);
}

/* ---- callbacks of a connection ---- */

/* Every option is answered here, so that none is looked up elsewhere. */
static int
get_option(void *arg, const char *plugin, const char *option,
           const char **value_out, unsigned *len_out)
{
    const struct cyrus *cyrus = arg;

    (void)plugin;
    *value_out = NULL;
    if (strcmp(option, "mech_list") == 0)
        *value_out = cyrus->mechanism;
    else if (strcmp(option, "auxprop_plugin") == 0)
        *value_out = "kpop"; /* nobody's: asks no database for the user */
    if (len_out != NULL)
        *len_out = *value_out == NULL ? 0 : (unsigned)strlen(*value_out);
    return SASL_OK;
}

static int
keep_text(void *arg, int level, const char *message)
{
    struct cyrus *cyrus = arg;

    if (level <= SASL_LOG_WARN && message != NULL)
        (void)snprintf(cyrus->text, sizeof(cyrus->text), "%s", message);
    return SASL_OK;
}

/* The octets as they came, all of them, or not at all. */
static bool
keep_name(const char *name, size_t len, char *out, size_t size)
{
    if (len >= size || !clean_text((const uint8_t *)name, len))
        return false;
    memcpy(out, name, len);
    out[len] = '\0';
    return true;
}

/*
 * Takes the names before the library bends them: it strips blanks.  What it
 * is given back opens nothing.
 */
static int
take_name(sasl_conn_t *conn, void *arg, const char *name, unsigned len,
          unsigned flags, const char *realm, char *out, unsigned size,
          unsigned *len_out)
{
    static const char nobody[] = "kpop";
    struct cyrus *cyrus = arg;

    (void)conn;
    (void)realm;
    if (len == 0)
        len = (unsigned)strlen(name);
    if (flags & SASL_CU_AUTHID) {
        if (!keep_name(name, len, cyrus->authcid, sizeof(cyrus->authcid)))
            return SASL_BADAUTH;
    } else {
        /* Old curl sends the NUL of its string, too. */
        if (len > 1 && name[len - 1] == '\0')
            len--;
        /* Refused by cyrus_step(), because the plugin leaks where this one
         * fails. */
        if (!keep_name(name, len, cyrus->authzid, sizeof(cyrus->authzid)))
            cyrus->bad_authzid = true;
    }
    if (size < sizeof(nobody))
        return SASL_BUFOVER;
    memcpy(out, nobody, sizeof(nobody));
    *len_out = sizeof(nobody) - 1;
    return SASL_OK;
}

/* The host is asked when the library is done; its answer is the last word. */
static int
let_pass(sasl_conn_t *conn, void *arg, const char *user, unsigned user_len,
         const char *auth, unsigned auth_len, const char *realm,
         unsigned realm_len, struct propctx *properties)
{
    (void)conn;
    (void)arg;
    (void)user;
    (void)user_len;
    (void)auth;
    (void)auth_len;
    (void)realm;
    (void)realm_len;
    (void)properties;
    return SASL_OK;
}

/* libsasl2 has one type for all callbacks. */
#define CALLBACK(function) ((int (*)(void))(void (*)(void))(function))

static void
set_callbacks(struct cyrus *cyrus)
{
    const sasl_callback_t callbacks[] = {
        { SASL_CB_GETOPT, CALLBACK(get_option), cyrus },
        { SASL_CB_LOG, CALLBACK(keep_text), cyrus },
        { SASL_CB_CANON_USER, CALLBACK(take_name), cyrus },
        { SASL_CB_PROXY_POLICY, CALLBACK(let_pass), cyrus },
        { SASL_CB_LIST_END, NULL, NULL },
    };

    memcpy(cyrus->callbacks, callbacks, sizeof(callbacks));
}

/* ---- a connection ---- */

static int
set_properties(struct cyrus *cyrus, const struct cyrus_settings *settings)
{
    sasl_security_properties_t props = { 0 };
    int code;

    props.max_ssf = settings->max_ssf;
    props.maxbufsize = settings->max_ssf > 0 ? (unsigned)settings->packet_max
                                             : 0;
    props.security_flags = SASL_SEC_NOANONYMOUS;
    code = sasl_setprop(cyrus->conn, SASL_SEC_PROPS, &props);
    if (code == SASL_OK && settings->credential != NULL)
        code = sasl_setprop(cyrus->conn, SASL_GSS_CREDS,
                            settings->credential);
    return code;
}

static int
fail(int code, const char *what, char *error, size_t error_size)
{
    if (code == SASL_NOMEM)
        return STATUS_NO_MEMORY;
    if (error_size > 0)
        (void)snprintf(error, error_size, "%s: %s", what,
                       sasl_errstring(code, NULL, NULL));
    return STATUS_TEMP;
}

int
cyrus_new(const struct cyrus_settings *settings, struct cyrus **cyrus_out,
          char *error, size_t error_size)
{
    struct cyrus *cyrus = calloc(1, sizeof(*cyrus));
    int code;

    if (cyrus == NULL)
        return STATUS_NO_MEMORY;
    code = start();
    if (code != SASL_OK) {
        free(cyrus);
        return fail(code, "sasl_server_init", error, error_size);
    }
    cyrus->mechanism = settings->mechanism;
    set_callbacks(cyrus);
    /* "pop" is the service name of RFC 5034 section 5. */
    code = sasl_server_new("pop", settings->hostname, NULL, NULL, NULL,
                           cyrus->callbacks, SASL_SUCCESS_DATA, &cyrus->conn);
    if (code == SASL_OK)
        code = set_properties(cyrus, settings);
    if (code != SASL_OK) {
        cyrus_free(cyrus);
        return fail(code, "sasl_server_new", error, error_size);
    }
    *cyrus_out = cyrus;
    return STATUS_OK;
}

void
cyrus_free(struct cyrus *cyrus)
{
    if (cyrus == NULL)
        return;
    if (cyrus->conn != NULL)
        sasl_dispose(&cyrus->conn);
    stop();
    wipe(cyrus, sizeof(*cyrus));
    free(cyrus);
}

static void
say_no_module(struct cyrus *cyrus)
{
    (void)snprintf(cyrus->text, sizeof(cyrus->text),
                   "libsasl2 has no mechanism %s: install its module (Debian: "
                   "libsasl2-modules-gssapi-mit)", cyrus->mechanism);
}

bool
cyrus_has_module(struct cyrus *cyrus)
{
    const char *list = NULL;

    if (sasl_listmech(cyrus->conn, NULL, " ", " ", " ", &list, NULL, NULL)
            == SASL_OK
        && list != NULL && strstr(list, cyrus->mechanism) != NULL)
        return true;
    say_no_module(cyrus);
    return false;
}

/* What is the client's fault, and what ours or the installation's? */
static int
judge(struct cyrus *cyrus, int code)
{
    switch (code) {
    case SASL_OK:
        return STATUS_OK;
    case SASL_CONTINUE:
        return STATUS_CONTINUE;
    case SASL_NOMEM:
        return STATUS_NO_MEMORY;
    case SASL_NOMECH:
        say_no_module(cyrus);
        return STATUS_TEMP;
    case SASL_NOTINIT:
    case SASL_BADPARAM:
    case SASL_BADVERS:
    case SASL_UNAVAIL:
        break;
    default:
        if (cyrus->text[0] == '\0')
            (void)snprintf(cyrus->text, sizeof(cyrus->text), "%s",
                           sasl_errdetail(cyrus->conn));
        return STATUS_AUTH;
    }
    (void)snprintf(cyrus->text, sizeof(cyrus->text), "%s",
                   sasl_errdetail(cyrus->conn));
    return STATUS_TEMP;
}

int
cyrus_step(struct cyrus *cyrus, const uint8_t *in, size_t in_len,
           struct buf *out)
{
    const char *answer = NULL;
    unsigned answer_len = 0;
    char *octets;
    int code;

    if (in_len > INT_MAX)
        return STATUS_AUTH;
    /* Terminated, as the library wants it, and ours to be written to: what
     * unwraps a token does it in place. */
    octets = calloc(1, in_len + 1);
    if (octets == NULL)
        return STATUS_NO_MEMORY;
    if (in_len > 0)
        memcpy(octets, in, in_len);
    cyrus->text[0] = '\0';
    if (cyrus->started)
        code = sasl_server_step(cyrus->conn, octets, (unsigned)in_len,
                                &answer, &answer_len);
    else
        code = sasl_server_start(cyrus->conn, cyrus->mechanism, octets,
                                 (unsigned)in_len, &answer, &answer_len);
    if (!cyrus->started) {
        /* The caller gives it to another login now. */
        (void)sasl_setprop(cyrus->conn, SASL_GSS_CREDS, NULL);
        cyrus->started = true;
    }
    free(octets);
    if ((code == SASL_OK || code == SASL_CONTINUE) && answer != NULL)
        buf_append(out, answer, answer_len);
    if (cyrus->bad_authzid) {
        (void)snprintf(cyrus->text, sizeof(cyrus->text),
                       "the name asked for is too long or not clean");
        return STATUS_AUTH;
    }
    return judge(cyrus, code);
}

const char *
cyrus_text(const struct cyrus *cyrus)
{
    return cyrus->text;
}

const char *
cyrus_authcid(const struct cyrus *cyrus)
{
    return cyrus->authcid;
}

const char *
cyrus_authzid(const struct cyrus *cyrus)
{
    return cyrus->authzid;
}

/* ---- the security layer ---- */

int
cyrus_ssf(const struct cyrus *cyrus, unsigned *ssf_out)
{
    const void *ssf = NULL;

    if (sasl_getprop(cyrus->conn, SASL_SSF, &ssf) != SASL_OK || ssf == NULL)
        return STATUS_TEMP;
    *ssf_out = *(const sasl_ssf_t *)ssf;
    return STATUS_OK;
}

size_t
cyrus_clear_max(const struct cyrus *cyrus)
{
    const void *size = NULL;

    if (sasl_getprop(cyrus->conn, SASL_MAXOUTBUF, &size) != SASL_OK ||
        size == NULL)
        return 0;
    return *(const unsigned *)size;
}

int
cyrus_encode(struct cyrus *cyrus, const uint8_t *clear, size_t len,
             struct buf *out)
{
    const char *packet = NULL;
    unsigned packet_len = 0;
    int code = len > INT_MAX ? SASL_BUFOVER
                             : sasl_encode(cyrus->conn, (const char *)clear,
                                           (unsigned)len, &packet,
                                           &packet_len);

    if (code == SASL_NOMEM)
        return STATUS_NO_MEMORY;
    if (code != SASL_OK)
        return STATUS_TEMP;
    buf_append(out, packet, packet_len);
    return buf_failed(out) ? STATUS_NO_MEMORY : STATUS_OK;
}

int
cyrus_decode(struct cyrus *cyrus, const uint8_t *packet, size_t len,
             struct buf *out)
{
    const uint8_t head[4] = { (uint8_t)(len >> 24), (uint8_t)(len >> 16),
                              (uint8_t)(len >> 8), (uint8_t)len };
    const char *clear = NULL;
    unsigned clear_len = 0;
    int code = sasl_decode(cyrus->conn, (const char *)head, sizeof(head),
                           &clear, &clear_len);

    if (code == SASL_OK && clear_len == 0)
        code = sasl_decode(cyrus->conn, (const char *)packet, (unsigned)len,
                           &clear, &clear_len);
    if (code == SASL_NOMEM)
        return STATUS_NO_MEMORY;
    if (code != SASL_OK)
        return STATUS_INVALID;
    if (clear_len > 0)
        buf_append(out, clear, clear_len);
    return buf_failed(out) ? STATUS_NO_MEMORY : STATUS_OK;
}
