/*
 * apreq.c - verifies one Kerberos 5 AP-REQ, which for KPOP is the login, and
 * answers AP_REP or KRB_ERROR; and looks into one that GSSAPI will verify,
 * whose errors tell nobody what to do.  libkrb5 works on octets only; framing
 * and limits are the engine's.  Runs where keytab and replay cache are
 * readable, and may block there on the replay cache's lock.  The cache is
 * never switched off: when it can't be used, nobody gets in.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/apreq.h"

#include <arpa/inet.h>
#include <errno.h>
#include <krb5.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "sasl/binding.h"
#include "sasl/clean.h"
#include "sasl/krb.h"
#include "sasl/names.h"
#include "sasl/note.h"
#include "sasl/peek.h"
#include "sasl/refusal.h"
#include "sasl/replay.h"
#include "sasl/world.h"

enum {
    LEVEL_WARNING = 1,
    LEVEL_INFO = 2,
    CHECKSUM_GSS = 0x8003, /* RFC 4121 section 4.1.1 */
    BOUND_AT = 4           /* where in it the channel bindings are */
};

/* One AP-REQ. */
struct attempt {
    struct sasl_world *world;
    const struct mech_peer *peer;
    bool gss;        /* of AUTH GSSAPI, not of KPOP; nothing is answered */
    char *principal; /* PRINCIPAL_MAX + 1; "" = unknown */
    struct krb *krb; /* NULL = none could be had */
    krb5_auth_context auth;
    krb5_ticket *ticket;
    krb5_flags options;
    krb5_error_code code; /* the library's, for the log */
    struct apreq_peek peek;
    char problem[512]; /* in place of the library's text */
    bool has_delta;
    long delta; /* seconds the client's clock is ahead */
    bool has_authenticator;
    krb5_cksumtype checksum; /* the authenticator's; 0 = none */
    uint8_t bound[BINDING_OCTETS]; /* GSSAPI: to which channel */
};

static void
log_note(const struct attempt *attempt, unsigned level, const char *event,
         const struct note *note)
{
    attempt->peer->log(attempt->peer->log_arg, level, event, note->text);
}

/* ---- refusing ---- */

static void
note_ticket(struct note *note, const struct attempt *attempt)
{
    char name[80];

    if (attempt->peek.service[0] == '\0')
        return;
    note_text(note, "service", attempt->peek.service);
    if (attempt->peek.has_kvno)
        note_number(note, "kvno", (long)attempt->peek.kvno);
    krb_enctype_name(attempt->peek.etype, name, sizeof(name));
    note_text(note, "enctype", name);
}

static void
note_reason(struct note *note, const struct attempt *attempt)
{
    krb5_context context = attempt->krb == NULL ? NULL
                                                : attempt->krb->context;
    const char *text;

    if (attempt->problem[0] != '\0')
        note_text(note, "problem", attempt->problem);
    if (attempt->code == 0)
        return;
    text = krb5_get_error_message(context, attempt->code);
    note_text(note, "krb5", text);
    krb5_free_error_message(context, text);
}

/* Logs, and appends the KRB_ERROR; the status to answer. */
static int
refuse(struct attempt *attempt, int code, bool trouble, struct buf *out)
{
    struct refusal_facts facts = { code, trouble, &attempt->peek,
                                   attempt->world->wanted,
                                   attempt->peer->address, attempt->delta };
    struct refusal refusal;
    struct note note;
    int told = STATUS_OK;

    refusal_make(&facts, &refusal);
    note_init(&note);
    note_number(&note, "code", code);
    if (attempt->principal[0] != '\0')
        note_text(&note, "principal", attempt->principal);
    note_ticket(&note, attempt);
    if (attempt->has_delta)
        note_number(&note, "delta", attempt->delta);
    if (code == REFUSE_NOT_US || code == 44 || code == 45)
        note_text(&note, "keytab", attempt->world->settings.keytab);
    if (trouble && attempt->code != 0) /* of a full disk libkrb5 names none */
        note_text(&note, "replay", attempt->world->settings.replay_cache);
    note_reason(&note, attempt);
    log_note(attempt, refusal.level,
             attempt->gss ? "sasl.refused" : "kpop.refused", &note);
    if (!attempt->gss)
        told = apreq_refusal(attempt->world, code, refusal.text, out);
    (void)told; /* without memory, closing without a text must do */
    return refusal.status;
}

static int
refuse_saying(struct attempt *attempt, int code, const char *problem,
              struct buf *out)
{
    (void)snprintf(attempt->problem, sizeof(attempt->problem), "%s", problem);
    return refuse(attempt, code, false, out);
}

/*
 * Failures of ours, not of the request: system errors, replay cache, keytab,
 * krb5.conf.  EINVAL is what an authenticator shorter than a checksum gives.
 */
static bool
is_trouble(krb5_error_code code)
{
    return (code > 0 && code < 4096 && code != EINVAL) ||
           (code >= KRB5_RC_TYPE_EXISTS && code <= KRB5_RC_IO_SPACE) ||
           code == KRB5_RC_REQUIRED || code == KRB5_KT_IOERR ||
           code == KRB5_CONFIG_BADFORMAT || code == KRB5_CONFIG_CANTOPEN ||
           code == KRB5_CONFIG_NODEFREALM;
}

/* libkrb5 says "Service key not available" of a file it may not read. */
static void
explain_keytab(struct attempt *attempt)
{
    if (access(attempt->world->settings.keytab, R_OK) != 0)
        (void)snprintf(attempt->problem, sizeof(attempt->problem),
                       "%s; it must be there and readable by this process's "
                       "user (chown, chmod 400)", strerror(errno));
}

static int
refuse_library(struct attempt *attempt, struct buf *out)
{
    /* Wider, because those of ASN.1 are more than 2^31 away. */
    long long code = (long long)attempt->code - ERROR_TABLE_BASE_krb5;

    if (code < 0 || code > 127 || code == REFUSE_GENERIC)
        return refuse(attempt, REFUSE_GENERIC, is_trouble(attempt->code),
                      out);
    if (code == 45)
        explain_keytab(attempt);
    return refuse(attempt, (int)code, false, out);
}

/* ---- verifying ---- */

/* KRB5_PARSE_MALFORMED when no log or host should see the name. */
static krb5_error_code
keep_principal(struct attempt *attempt, krb5_const_principal principal)
{
    char *name = NULL;
    krb5_error_code code;
    size_t len;

    code = krb5_unparse_name(attempt->krb->context, principal, &name);
    if (code != 0)
        return code;
    len = strlen(name);
    if (len <= PRINCIPAL_MAX && clean_text((const uint8_t *)name, len))
        memcpy(attempt->principal, name, len + 1);
    else
        code = KRB5_PARSE_MALFORMED;
    krb5_free_unparsed_name(attempt->krb->context, name);
    return code;
}

/* One that is too short, GSSAPI refuses. */
static void
read_checksum(struct attempt *attempt, const krb5_checksum *checksum)
{
    attempt->checksum = checksum->checksum_type;
    if (checksum->checksum_type == CHECKSUM_GSS
        && checksum->length >= BOUND_AT + BINDING_OCTETS)
        memcpy(attempt->bound, checksum->contents + BOUND_AT, BINDING_OCTETS);
}

/* The client's clock, name and checksum, from an authenticator that was
 * decrypted. */
static void
read_authenticator(struct attempt *attempt)
{
    krb5_context context = attempt->krb->context;
    krb5_authenticator *seen = NULL;
    krb5_timestamp now = 0;

    if (krb5_auth_con_getauthenticator(context, attempt->auth, &seen) != 0)
        return;
    if (krb5_timeofday(context, &now) == 0) {
        /* 32-bit seconds that wrap in 2106. */
        attempt->delta = (int32_t)((uint32_t)seen->ctime - (uint32_t)now);
        attempt->has_delta = true;
    }
    (void)keep_principal(attempt, seen->client);
    attempt->has_authenticator = true;
    if (seen->checksum != NULL)
        read_checksum(attempt, seen->checksum);
    krb5_free_authenticator(context, seen);
}

/* The peer's address for comparison; false when it is none. */
static bool
parse_address(const char *text, krb5_address *address, krb5_octet octets[16])
{
    static const char v4_mapped[] = "::ffff:";
    char plain[64];

    if (strncasecmp(text, v4_mapped, 7) == 0 && strchr(text, '.') != NULL)
        text += 7;
    /* fe80::1%eth0: the zone is not part of it. */
    (void)snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(text, "%"),
                   text);
    address->magic = KV5M_ADDRESS;
    address->contents = octets;
    if (inet_pton(AF_INET, plain, octets) == 1) {
        address->addrtype = ADDRTYPE_INET;
        address->length = 4;
        return true;
    }
    address->addrtype = ADDRTYPE_INET6;
    address->length = 16;
    return inet_pton(AF_INET6, plain, octets) == 1;
}

/* A ticket without addresses is good from everywhere. */
static bool
address_is_good(const struct attempt *attempt)
{
    krb5_address **listed = attempt->ticket->enc_part2->caddrs;
    krb5_octet octets[16];
    krb5_address address;

    if (!attempt->world->settings.check_addresses || listed == NULL ||
        listed[0] == NULL)
        return true;
    return parse_address(attempt->peer->address, &address, octets) &&
           krb5_address_search(attempt->krb->context, &address, listed);
}

/*
 * Both names must be in the list: the keytab's, whose key opened the ticket,
 * and the one the ticket carries, because one key may have several names (in
 * Active Directory host/ and pop/ of a machine share theirs).
 */
static bool
service_is_good(const struct attempt *attempt)
{
    const char *services = attempt->world->settings.services;
    krb5_const_principal server = attempt->ticket->server;

    return server->length > 0 &&
           world_lists(services, server->data[0].data,
                       server->data[0].length) &&
           world_lists(services, attempt->peek.service,
                       attempt->peek.first_len);
}

static bool
enctype_is_good(const struct attempt *attempt)
{
    return attempt->world->settings.allow_weak_enctypes ||
           krb_enctype_is_strong(attempt->ticket->enc_part.enctype);
}

/*
 * A request of AUTH GSSAPI is none of KPOP, nor the other way round: where
 * several hosts share a key, each has its own replay cache.
 */
static bool
protocol_is_ours(const struct attempt *attempt)
{
    return attempt->gss == (attempt->checksum == CHECKSUM_GSS);
}

static void
note_accepted(struct note *note, const struct attempt *attempt)
{
    const krb5_enc_tkt_part *part = attempt->ticket->enc_part2;
    char name[80];

    note_init(note);
    note_text(note, "principal", attempt->principal);
    note_ticket(note, attempt);
    krb_enctype_name(part->session->enctype, name, sizeof(name));
    note_text(note, "session_enctype", name);
    if (attempt->has_delta)
        note_number(note, "delta", attempt->delta);
    note_text(note, "mutual",
              (attempt->options & AP_OPTS_MUTUAL_REQUIRED) ? "yes" : "no");
}

/* Unasked or missing, an AP_REP breaks the client. */
static int
answer_mutual(struct attempt *attempt, struct buf *out)
{
    krb5_data reply = { 0 };

    if ((attempt->options & AP_OPTS_MUTUAL_REQUIRED) == 0)
        return STATUS_OK;
    attempt->code = krb5_mk_rep(attempt->krb->context, attempt->auth, &reply);
    if (attempt->code != 0)
        return refuse_library(attempt, out);
    buf_append(out, reply.data, reply.length);
    krb5_free_data_contents(attempt->krb->context, &reply);
    return buf_failed(out) ? STATUS_NO_MEMORY : STATUS_OK;
}

/* The AP-REQ is genuine; is it for us? */
static int
judge(struct attempt *attempt, struct buf *out)
{
    const char *problem;
    krb5_error_code code;

    read_authenticator(attempt);
    if (!attempt->has_authenticator)
        return refuse(attempt, REFUSE_GENERIC, true, out); /* no memory */
    if (!protocol_is_ours(attempt))
        return refuse_saying(attempt, REFUSE_CHECKSUM,
                             attempt->gss ? "not made for GSSAPI"
                                          : "made for GSSAPI", out);
    code = keep_principal(attempt, attempt->ticket->enc_part2->client);
    if (code == KRB5_PARSE_MALFORMED)
        return refuse_saying(attempt, REFUSE_GENERIC,
                             "the principal's name is too long or not clean",
                             out);
    attempt->code = code;
    if (code != 0)
        return refuse_library(attempt, out);
    if (!service_is_good(attempt))
        return refuse_saying(attempt, REFUSE_NOT_US,
                             "service not in `services'", out);
    if (!enctype_is_good(attempt))
        return refuse_saying(attempt, REFUSE_ETYPE,
                             "weak enctype of the service's key", out);
    if (!address_is_good(attempt))
        return refuse_saying(attempt, REFUSE_ADDRESS,
                             "peer not among the ticket's addresses", out);
    problem = binding_problem(attempt->peer, attempt->bound);
    if (problem != NULL)
        return refuse_saying(attempt, REFUSE_CHECKSUM, problem, out);
    return attempt->gss ? STATUS_OK : answer_mutual(attempt, out);
}

/* Our file, in place, and used by the library. */
static int
prepare_replay(struct attempt *attempt, struct buf *out)
{
    struct sasl_world *world = attempt->world;
    struct note note;
    int status;

    if (!krb_environment_is_clean(world)) {
        (void)snprintf(attempt->problem, sizeof(attempt->problem),
                       "KRB5RCACHENAME or KRB5RCACHETYPE in the environment "
                       "would replace replay_cache; unset them");
        return refuse(attempt, REFUSE_GENERIC, true, out);
    }
    status = replay_prepare(world->settings.replay_cache, attempt->problem,
                            sizeof(attempt->problem));
    if (status == STATUS_CONTINUE) {
        note_init(&note);
        note_text(&note, "path", world->settings.replay_cache);
        note_text(&note, "problem", "was missing and is new: requests "
                  "recorded in the last minutes could be used again");
        log_note(attempt, LEVEL_WARNING, "kpop.replay", &note);
        return STATUS_OK;
    }
    return status == STATUS_OK ? STATUS_OK
                               : refuse(attempt, REFUSE_GENERIC, true, out);
}

static int
verify(struct attempt *attempt, const struct apreq_message *in,
       struct buf *out)
{
    krb5_data request = { .length = (unsigned int)in->len };
    int status = prepare_replay(attempt, out);

    if (status != STATUS_OK)
        return status;
    attempt->code = krb_take(attempt->world, &attempt->krb);
    if (attempt->code == 0)
        attempt->code = krb5_auth_con_init(attempt->krb->context,
                                           &attempt->auth);
    /* Without DO_TIME it isn't entered into the replay cache: GSSAPI does. */
    if (attempt->code == 0 && attempt->gss)
        attempt->code = krb5_auth_con_setflags(attempt->krb->context,
                                               attempt->auth, 0);
    if (attempt->code == 0) {
        request.data = malloc(in->len);
        attempt->code = request.data == NULL ? ENOMEM : 0;
    }
    if (attempt->code == 0) {
        memcpy(request.data, in->data, in->len);
        attempt->code = krb5_rd_req(attempt->krb->context, &attempt->auth,
                                    &request, NULL, attempt->krb->keytab,
                                    &attempt->options, &attempt->ticket);
        free(request.data);
    }
    if (attempt->code == 0)
        return judge(attempt, out);
    /* Only for these two was there an authenticator; else it crashes. */
    if (attempt->code == KRB5KRB_AP_ERR_SKEW ||
        attempt->code == KRB5KRB_AP_ERR_REPEAT)
        read_authenticator(attempt);
    return refuse_library(attempt, out);
}

static int
run(struct attempt *attempt, const struct apreq_message *in, struct buf *out)
{
    attempt->principal[0] = '\0';
    if (in->data == NULL || in->len == 0 || in->len > INT_MAX ||
        !apreq_peek(in->data, in->len, &attempt->peek)) {
        bool tagged = in->data != NULL && in->len > 0 && in->data[0] == 0x6e;

        return refuse_saying(attempt,
                             tagged ? REFUSE_GENERIC : REFUSE_NO_APREQ,
                             "not an AP-REQ", out);
    }
    return verify(attempt, in, out);
}

static void
end(struct attempt *attempt)
{
    if (attempt->krb == NULL)
        return;
    krb5_free_ticket(attempt->krb->context, attempt->ticket);
    krb5_auth_con_free(attempt->krb->context, attempt->auth);
    krb_give(attempt->world, attempt->krb);
}

int
apreq_verify(struct sasl_world *world, const struct mech_peer *peer,
             const struct apreq_message *in, char *principal_out,
             struct buf *out)
{
    struct attempt attempt = { .world = world, .peer = peer,
                               .principal = principal_out };
    int status = run(&attempt, in, out);
    struct note note;

    if (status == STATUS_OK) {
        note_accepted(&note, &attempt);
        log_note(&attempt, LEVEL_INFO, "kpop.accepted", &note);
    }
    end(&attempt);
    return status;
}

int
apreq_examine(struct sasl_world *world, const struct mech_peer *peer,
              const struct apreq_message *in, char *principal_out,
              struct note *note_out)
{
    struct attempt attempt = { .world = world, .peer = peer, .gss = true,
                               .principal = principal_out };
    int status = run(&attempt, in, NULL);

    note_init(note_out);
    if (status == STATUS_OK)
        note_accepted(note_out, &attempt);
    end(&attempt);
    return status;
}
