/*
 * mech.c - libmech_kpop.so: the mechanism KPOP in Dovecot's auth process.  It
 * verifies the AP-REQ by the module, looks the user up in the passdbs and
 * decides who may read which mailbox.  It runs with the rights of the auth
 * process, which alone can read the keytab, and blocks for nothing but the
 * replay cache, which is this process's own file.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/dovecot/compat.h"

#include <auth-common.h>
#include <auth-fields.h>
#include <auth-settings.h>
#include <mech.h>

#include "plugin/host/dovecot/mech_world.h"
#include "plugin/host/dovecot/pieces.h"

struct module;

/* Named by Dovecot: the module's file without "lib" and ".so". */
#define SHOWN __attribute__((visibility("default")))
SHOWN void mech_kpop_init(struct module *module);
SHOWN void mech_kpop_deinit(void);
SHOWN extern const char *mech_kpop_version;

/* A login; pool and request are one allocation. */
struct kpop_request {
    struct auth_request auth;
    struct kpop_exchange *exchange;
    buffer_t *ap_req;           /* what came of it */
    struct kpop_op *op;         /* the question that a passdb answers */
    const char *principal;
    const char *local;          /* the mailbox the ladder gives; "" = none */
    bool proved;                /* the AP-REQ was right; USER comes next */
};

static struct kpop_request *
of(struct auth_request *request)
{
    return (struct kpop_request *)request;
}

/* ---- who may read what ---- */

/* The field k5principals of a passdb, as GSSAPI has it: a list separated by
 * commas. */
static bool
is_listed(struct auth_request *request, const char *principal)
{
    const char *field =
        auth_fields_find(request->fields.extra_fields, "k5principals");
    bool found = FALSE;

    if (field == NULL)
        return FALSE;
    T_BEGIN {
        found = str_array_find(t_strsplit_spaces(field, ","), principal);
    } T_END;
    return found;
}

static int32_t
decide(struct kpop_request *request, enum passdb_result looked_up)
{
    struct auth_request *auth = &request->auth;

    switch (looked_up) {
    case PASSDB_RESULT_INTERNAL_FAILURE:
        return KPOP_TEMP;
    case PASSDB_RESULT_USER_DISABLED:
    case PASSDB_RESULT_PASS_EXPIRED:
        return KPOP_DENIED;
    case PASSDB_RESULT_OK:
    case PASSDB_RESULT_NEXT:
    case PASSDB_RESULT_PASSWORD_MISMATCH:
    case PASSDB_RESULT_SCHEME_NOT_AVAILABLE:
    case PASSDB_RESULT_USER_UNKNOWN:
    default:
        break;
    }
    /* No passdb has to know him: the userdb will, or there is no login. */
    if (is_listed(auth, request->principal)
        || (request->local[0] != '\0'
            && strcmp(request->local, auth->fields.original_username) == 0))
        return mech_world_api()->put_user(request->op,
                                          auth->fields.original_username);
    e_info(auth->mech_event, "%s may not log in as %s", request->principal,
           auth->fields.user);
    return KPOP_DENIED;
}

static void
looked_up(enum passdb_result result, const unsigned char *credentials,
          size_t size, struct auth_request *auth)
{
    struct kpop_request *request = of(auth);
    struct kpop_op *op = request->op;
    int32_t answer = decide(request, result);

    (void)credentials;
    (void)size;
    request->op = NULL;
    if (mech_world_api()->done(op, answer) != KPOP_OK)
        e_error(auth->mech_event, "the kpop module takes no answer");
}

int32_t
mech_authorize(void *conn, struct kpop_op *op,
               const struct kpop_identity *identity)
{
    struct kpop_request *request = conn;
    struct auth_request *auth = &request->auth;
    const char *error;

    request->op = op;
    request->principal = p_strdup(auth->pool, identity->authcid);
    request->local = p_strdup(auth->pool, identity->local);
    if (!auth_request_set_username(auth, identity->requested, &error)) {
        e_info(auth->mech_event, "%s: %s", identity->authcid, error);
        return KPOP_AUTH;
    }
    if (auth->fields.requested_login_user != NULL) {
        /* The lookup would be the master's, and speak for him alone. */
        e_info(auth->mech_event, "%s: no ticket opens other mailboxes as a "
               "master user", identity->authcid);
        return KPOP_DENIED;
    }
    auth->passdb_success = TRUE; /* a passdb may say no, and needn't say yes */
    auth_request_lookup_credentials(auth, "", looked_up);
    return KPOP_PENDING;
}

void
mech_log(void *conn, uint32_t level, const char *event, const char *line)
{
    struct kpop_request *request = conn;

    if (level == KPOP_LOG_ERROR)
        e_error(request->auth.mech_event, "%s %s", event, line);
    else if (level == KPOP_LOG_WARNING)
        e_warning(request->auth.mech_event, "%s %s", event, line);
    else if (level == KPOP_LOG_INFO)
        e_info(request->auth.mech_event, "%s %s", event, line);
    else
        e_debug(request->auth.mech_event, "%s %s", event, line);
}

/* ---- the steps ---- */

/* One answer to each message: Dovecot counts them. */
static void
say(struct kpop_request *request, char what, const struct kpop_outcome *news)
{
    buffer_t *reply = t_buffer_create(news->challenge_size + 1);

    buffer_append_c(reply, (unsigned char)what);
    buffer_append(reply, news->challenge, news->challenge_size);
    auth_request_handler_reply_continue(&request->auth, reply->data,
                                        reply->used);
}

static void
stepped(struct kpop_request *request, int32_t result)
{
    struct auth_request *auth = &request->auth;
    struct kpop_outcome news = { .size = sizeof(news) };

    mech_world_api()->exchange_outcome(request->exchange, &news);
    if (result == KPOP_CONTINUE) {
        request->proved = TRUE;
        say(request, PIECE_PROVED, &news);
    } else if (result == KPOP_OK) {
        auth_request_success(auth, NULL, 0);
    } else if (!request->proved && news.challenge_size > 0) {
        /* The client hears of it before Dovecot's delay for failures, which
         * begins when kpop-login has answered this. */
        say(request, PIECE_REFUSED, &news);
    } else if (result == KPOP_AUTH || result == KPOP_DENIED) {
        auth_request_fail(auth);
    } else {
        auth_request_internal_failure(auth);
    }
}

static void
completed(void *arg, int32_t result)
{
    stepped(arg, result);
}

static void
step(struct kpop_request *request, const void *data, size_t size)
{
    int32_t result = mech_world_api()->exchange_step(
        request->exchange, data, size, completed, request);

    if (result != KPOP_PENDING)
        stepped(request, result);
}

static void
verify(struct kpop_request *request)
{
    struct auth_request *auth = &request->auth;
    struct kpop_facts facts = {
        .size = sizeof(facts),
        .service = "kpop",
        .session_id = auth->fields.session_id,
        .peer_port = auth->fields.remote_port,
        .local_port = auth->fields.local_port,
    };

    facts.peer_address = net_ip2addr(&auth->fields.remote_ip);
    facts.local_address = net_ip2addr(&auth->fields.local_ip);
    if (mech_world_api()->exchange_new(mech_world_plugin(), &facts, request,
                                       "KPOP", &request->exchange)
        != KPOP_OK) {
        e_error(auth->mech_event, "the kpop module begins no login");
        auth_request_internal_failure(auth);
        return;
    }
    step(request, request->ap_req->data, request->ap_req->used);
}

static void
take_piece(struct kpop_request *request, const unsigned char *data,
           size_t size)
{
    static const struct kpop_outcome nothing = { .size = sizeof(nothing) };

    if (size == 0 || (data[0] != PIECE_MORE && data[0] != PIECE_LAST)
        || request->ap_req->used + size - 1 > PIECES_MAX) {
        e_info(request->auth.mech_event,
               "this is no kpop-login: KPOP is of no use elsewhere");
        auth_request_fail(&request->auth);
        return;
    }
    buffer_append(request->ap_req, data + 1, size - 1);
    if (data[0] == PIECE_LAST)
        verify(request);
    else
        say(request, PIECE_NEXT, &nothing);
}

/* ---- what Dovecot calls ---- */

static struct auth_request *
kpop_auth_new(void)
{
    pool_t pool =
        pool_alloconly_create(MEMPOOL_GROWING "kpop_auth_request", 2048);
    struct kpop_request *request = p_new(pool, struct kpop_request, 1);

    request->auth.pool = pool;
    request->local = "";
    request->principal = "";
    request->ap_req = buffer_create_dynamic(default_pool, 1024);
    return &request->auth;
}

/*
 * A build against the headers of another Dovecot finds other things where it
 * looks for these, and must not go on.  Dovecot filled them just now.
 */
static void
guard(const struct auth_request *auth)
{
    if (auth->refcount < 1 || auth->pool == NULL || auth->mech == NULL
        || auth->mech->auth_new != kpop_auth_new
        || auth->state != AUTH_REQUEST_STATE_MECH_CONTINUE
        || auth->set == NULL || auth->handler == NULL
        || auth->passdb_success || auth->internal_failure)
        i_fatal("libmech_kpop.so was built for another build of Dovecot: "
                "install the package that fits this one, or build it anew");
}

static void
kpop_auth_initial(struct auth_request *auth, const unsigned char *data,
                  size_t size)
{
    char error[1024];

    guard(auth);
    /* Other services that use Dovecot's passwords would take the AP-REQ for
     * a login of theirs. */
    if (strcmp(KPOP_AUTH_PROTOCOL(auth), "pop3") != 0) {
        e_info(auth->mech_event, "KPOP is of no use for %s",
               KPOP_AUTH_PROTOCOL(auth));
        auth_request_fail(auth);
    } else if (mech_world_open(auth->set->krb5_keytab, error, sizeof(error))
               != 0) {
        e_error(auth->mech_event, "%s", error);
        auth_request_internal_failure(auth);
    } else {
        take_piece(of(auth), data, size);
    }
}

static void
kpop_auth_continue(struct auth_request *auth, const unsigned char *data,
                   size_t size)
{
    struct kpop_request *request = of(auth);

    if (request->proved)
        step(request, data, size);
    else if (request->exchange == NULL)
        take_piece(request, data, size);
    else
        auth_request_fail(auth); /* it was refused */
}

static void
kpop_auth_free(struct auth_request *auth)
{
    struct kpop_request *request = of(auth);

    if (request->exchange != NULL)
        mech_world_api()->exchange_free(request->exchange);
    buffer_free(&request->ap_req);
    pool_unref(&auth->pool);
}

/* Private: no client may ask for it by AUTH, and none is told of it. */
static const struct mech_module mech_kpop = {
    .mech_name = "KPOP",
    .flags = MECH_SEC_PRIVATE | MECH_SEC_MUTUAL_AUTH | MECH_SEC_ALLOW_NULS,
    .passdb_need = MECH_PASSDB_NEED_NOTHING,
    .auth_new = kpop_auth_new,
    .auth_initial = kpop_auth_initial,
    .auth_continue = kpop_auth_continue,
    .auth_free = kpop_auth_free,
};

const char *mech_kpop_version = DOVECOT_ABI_VERSION;

void
mech_kpop_init(struct module *module)
{
    char error[1024];

    (void)module;
    /* Others log in all the same; a login by KPOP says it again. */
    if (mech_world_init(error, sizeof(error)) != 0)
        i_error("%s", error);
    mech_register_module(&mech_kpop);
}

void
mech_kpop_deinit(void)
{
    mech_unregister_module(&mech_kpop);
    mech_world_deinit();
}
