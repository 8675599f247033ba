/*
 * gssapi.c - mechanism "GSSAPI" (RFC 4752): a Kerberos ticket over POP3.  The
 * AP-REQ is looked into by ourselves first, as KPOP does; Cyrus and GSSAPI
 * then accept it; the host decides.  What libsasl2 leaves unchecked of the
 * client's choice of a layer is checked here.  Runs where keytab and replay
 * cache are readable.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sasl/cyrus.h"
#include "sasl/gss.h"
#include "sasl/gsslayer.h"
#include "sasl/identity.h"
#include "sasl/note.h"
#include "sasl/token.h"
#include "sasl/world.h"

enum { LEVEL_ERROR, LEVEL_WARNING, LEVEL_INFO };

/* RFC 4752 section 3.3 */
enum { LAYER_NONE = 1, LAYER_INTEGRITY = 2, LAYER_PRIVACY = 4 };
enum { CHOICE_OCTETS = 4, PACKET_LEAST = 512 };

enum gssapi_stage {
    WAIT_TOKEN,
    WAIT_REST,   /* the empty answer to an AP-REP, the choice of a layer */
    WAIT_ANSWER, /* the host decides */
    ENDED
};

struct gssapi {
    struct sasl_world *world;
    const struct mech_peer *peer;
    enum gssapi_stage stage;
    bool asked; /* for the first token, by an empty challenge */
    struct cyrus *cyrus;
    struct identity identity;
    struct note who;    /* what the log says of the ticket */
    uint64_t sequence;  /* that of the choice of a layer */
    struct mech_layer layer; /* state NULL = none; has cyrus then */
};

/* ---- refusing ---- */

static void
log_refusal(const struct gssapi *gssapi, unsigned level, const char *problem)
{
    struct note note = gssapi->who;

    note_text(&note, "problem", problem);
    gssapi->peer->log(gssapi->peer->log_arg, level, "sasl.refused",
                      note.text);
}

static int
refuse(const struct gssapi *gssapi, int status, const char *problem)
{
    log_refusal(gssapi, status == STATUS_AUTH ? LEVEL_INFO : LEVEL_ERROR,
                problem);
    return status;
}

/*
 * What GSSAPI refuses now, after the AP-REQ was found good, is a replay, or
 * something is wrong here.
 */
static int
refuse_accept(const struct gssapi *gssapi, int status)
{
    const char *text = cyrus_text(gssapi->cyrus);

    if (status == STATUS_AUTH && strstr(text, "Request is a replay") != NULL) {
        log_refusal(gssapi, LEVEL_WARNING,
                    "this very request was used before (replay)");
        return STATUS_AUTH;
    }
    return refuse(gssapi, status == STATUS_AUTH ? STATUS_TEMP : status, text);
}

/* ---- the client's messages ---- */

static int
accept_token(struct gssapi *gssapi, const uint8_t *in, size_t in_len,
             struct buf *out)
{
    struct cyrus_settings settings = {
        .mechanism = "GSSAPI",
        .hostname = gssapi->world->settings.hostname,
        .max_ssf = gssapi->peer->max_ssf,
        .packet_max = LAYER_PACKET_MAX,
    };
    struct gss *gss = NULL;
    char error[300] = "";
    int status = gss_take(gssapi->world, &gss, error, sizeof(error));

    if (status == STATUS_OK) {
        settings.credential = gss->credential;
        status = cyrus_new(&settings, &gssapi->cyrus, error, sizeof(error));
    }
    if (status != STATUS_OK) {
        gss_give(gssapi->world, gss);
        return refuse(gssapi, status, error);
    }
    status = cyrus_step(gssapi->cyrus, in, in_len, out);
    gss_give(gssapi->world, gss);
    return status == STATUS_CONTINUE ? status : refuse_accept(gssapi, status);
}

static int
step_token(struct gssapi *gssapi, const uint8_t *in, size_t in_len,
           struct buf *out)
{
    struct apreq_message message;
    int status;

    if (in == NULL && !gssapi->asked) {
        gssapi->asked = true;
        return STATUS_CONTINUE;
    }
    gssapi->stage = ENDED;
    if (!token_apreq(in, in_len, &message.data, &message.len))
        return refuse(gssapi, STATUS_AUTH,
                      "not a Kerberos 5 token of GSSAPI (SPNEGO and other "
                      "mechanisms are not served)");
    status = apreq_examine(gssapi->world, gssapi->peer, &message,
                           gssapi->identity.principal, &gssapi->who);
    if (status != STATUS_OK)
        return status;
    status = accept_token(gssapi, in, in_len, out);
    if (status == STATUS_CONTINUE) {
        gssapi->peer->log(gssapi->peer->log_arg, LEVEL_INFO, "sasl.accepted",
                          gssapi->who.text);
        gssapi->stage = WAIT_REST;
    }
    return status;
}

/* NULL = it is there, in the clear. */
static const char *
read_choice(struct gssapi *gssapi, const uint8_t *in, size_t in_len,
            uint8_t octets[CHOICE_OCTETS])
{
    struct token_wrap wrap;
    const uint8_t *old;
    size_t len = 0;

    if (!token_wrap(in, in_len, &wrap)) {
        /* The number of RC4's older form is encrypted: it makes no layer. */
        if (gssapi->peer->max_ssf > 0)
            return "choice of a layer is no token of RFC 4121";
        old = token_old_clear(in, in_len, &len);
        if (old == NULL || len < CHOICE_OCTETS)
            return "choice of a layer is none in the clear";
        memcpy(octets, old, CHOICE_OCTETS);
        return NULL;
    }
    /* RFC 4752 section 3.1 wants it in the clear, and it could hide bits
     * that libsasl2 does not look at. */
    if (wrap.sealed)
        return "choice of a layer is sealed";
    if (wrap.by_acceptor || wrap.clear_len < CHOICE_OCTETS)
        return "choice of a layer is none";
    gssapi->sequence = wrap.sequence;
    for (size_t i = 0; i < CHOICE_OCTETS; i++)
        octets[i] = token_clear(in, in_len, i);
    return NULL;
}

/* NULL = good, as far as it can be seen before the library has proved it. */
static const char *
judge_choice(struct gssapi *gssapi, const uint8_t *in, size_t in_len)
{
    bool layers = gssapi->peer->max_ssf > 0;
    uint8_t octets[CHOICE_OCTETS];
    const char *problem = read_choice(gssapi, in, in_len, octets);
    unsigned size;

    if (problem != NULL)
        return problem;
    size = (unsigned)octets[1] << 16 | (unsigned)octets[2] << 8 | octets[3];
    switch (octets[0]) {
    case LAYER_NONE:
        /* fetchmail, mpop and mutt give back the size that was offered. */
        return size == 0 || layers ? NULL : "no layer, but a packet size";
    case LAYER_INTEGRITY:
    case LAYER_PRIVACY:
        if (!layers)
            return "a layer that was not offered";
        return size < PACKET_LEAST ? "packets too small" : NULL;
    default:
        return "not one layer";
    }
}

/* libsasl2 leaves the default realm out. */
static bool
is_same_principal(const char *principal, const char *authcid)
{
    size_t len = strlen(authcid);

    return strcmp(principal, authcid) == 0 ||
           (len > 0 && strncmp(principal, authcid, len) == 0 &&
            principal[len] == '@');
}

static int
ask_host(struct gssapi *gssapi, struct mech_ask *ask)
{
    struct identity *identity = &gssapi->identity;
    const char *authzid = cyrus_authzid(gssapi->cyrus);
    unsigned ssf = 0;
    int status;

    if (!is_same_principal(identity->principal,
                           cyrus_authcid(gssapi->cyrus)))
        return refuse(gssapi, STATUS_TEMP, "GSSAPI names somebody else");
    if (strcmp(authzid, identity->principal) == 0)
        authzid = "";
    (void)snprintf(identity->requested, sizeof(identity->requested), "%s",
                   authzid);
    /* Now, because after the host's yes nothing may fail: the client would
     * be sent in clear what it believes sealed. */
    status = cyrus_ssf(gssapi->cyrus, &ssf);
    if (status == STATUS_OK && ssf > 0) {
        status = gsslayer_new(gssapi->cyrus, ssf, gssapi->sequence,
                              &gssapi->layer);
        if (status == STATUS_OK)
            gssapi->cyrus = NULL;
    }
    if (status != STATUS_OK)
        return refuse(gssapi, status, "no layer can be made");
    status = identity_ask(identity, gssapi->world, gssapi->peer, ask);
    if (status == STATUS_PENDING)
        gssapi->stage = WAIT_ANSWER;
    return status;
}

static int
step_rest(struct gssapi *gssapi, const uint8_t *in, size_t in_len,
          struct buf *out, struct mech_ask *ask)
{
    const char *problem = in_len > 0 ? judge_choice(gssapi, in, in_len)
                                     : NULL;
    int status;

    gssapi->stage = ENDED;
    if (problem != NULL)
        return refuse(gssapi, STATUS_AUTH, problem);
    status = cyrus_step(gssapi->cyrus, in, in_len, out);
    if (status == STATUS_CONTINUE) {
        gssapi->stage = WAIT_REST;
        return status;
    }
    if (status != STATUS_OK)
        return refuse(gssapi, status, cyrus_text(gssapi->cyrus));
    return ask_host(gssapi, ask);
}

/* ---- the mechanism ---- */

static int
gssapi_start(struct sasl_world *world, const struct mech_peer *peer,
             void **state_out)
{
    struct gssapi *gssapi = calloc(1, sizeof(*gssapi));

    *state_out = gssapi;
    if (gssapi == NULL)
        return STATUS_NO_MEMORY;
    gssapi->world = world;
    gssapi->peer = peer;
    note_init(&gssapi->who);
    return STATUS_OK;
}

/* libsasl2's connection ends with the login; with a layer, with that. */
static void
end_cyrus(struct gssapi *gssapi)
{
    cyrus_free(gssapi->cyrus);
    gssapi->cyrus = NULL;
}

static void
end_layer(struct gssapi *gssapi)
{
    if (gssapi->layer.state != NULL)
        gssapi->layer.free(gssapi->layer.state);
    gssapi->layer.state = NULL;
}

static int
gssapi_step(void *state, const uint8_t *in, size_t in_len, struct buf *out,
            struct mech_ask *ask)
{
    struct gssapi *gssapi = state;
    int status = STATUS_INVALID;

    switch (gssapi->stage) {
    case WAIT_TOKEN:
        status = step_token(gssapi, in, in_len, out);
        break;
    case WAIT_REST:
        status = step_rest(gssapi, in, in_len, out, ask);
        break;
    case WAIT_ANSWER:
        return STATUS_INVALID; /* the answer may still come */
    case ENDED:
        break;
    }
    if (gssapi->stage != WAIT_REST)
        end_cyrus(gssapi);
    return status;
}

static int
gssapi_resume(void *state, int result, const uint8_t *secret,
              size_t secret_len, struct buf *out, struct mech_ask *ask)
{
    struct gssapi *gssapi = state;
    bool expected = gssapi->stage == WAIT_ANSWER;

    (void)secret;
    (void)secret_len;
    (void)out;
    (void)ask;
    gssapi->stage = ENDED;
    /* The host has no say in how an exchange goes on. */
    if (!expected || result > STATUS_OK || result == STATUS_PENDING)
        result = STATUS_INVALID;
    if (result != STATUS_OK)
        end_layer(gssapi);
    return result;
}

static int
gssapi_layer(void *state, struct mech_layer *layer_out)
{
    struct gssapi *gssapi = state;

    if (gssapi->layer.state == NULL || gssapi->stage != ENDED)
        return STATUS_GONE;
    *layer_out = gssapi->layer;
    gssapi->layer.state = NULL;
    return STATUS_OK;
}

static void
gssapi_free(void *state)
{
    if (state == NULL)
        return;
    end_cyrus(state);
    end_layer(state);
    wipe(state, sizeof(struct gssapi));
    free(state);
}

int
sasl_gssapi_ready(struct sasl_world *world, char *error, size_t error_size)
{
    const struct cyrus_settings settings = {
        .mechanism = "GSSAPI",
        .hostname = world->settings.hostname,
    };
    struct cyrus *cyrus = NULL;
    int status = cyrus_new(&settings, &cyrus, error, error_size);

    if (status != STATUS_OK)
        return status;
    if (!cyrus_has_module(cyrus)) {
        if (error_size > 0)
            (void)snprintf(error, error_size, "%s", cyrus_text(cyrus));
        status = STATUS_INVALID;
    }
    cyrus_free(cyrus);
    return status;
}

const struct mech mech_gssapi = {
    .name = "GSSAPI",
    .start = gssapi_start,
    .step = gssapi_step,
    .resume = gssapi_resume,
    .free = gssapi_free,
    .layer = gssapi_layer,
};
