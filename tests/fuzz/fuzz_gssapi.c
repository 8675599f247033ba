/*
 * fuzz_gssapi.c - mechanism GSSAPI and its security layers against MIT's
 * library as client, with a ticket for a real keytab; each of its tokens, its
 * choice of a layer and its packets can be bent, left out, repeated or sent
 * back.  Dies when somebody gets in but the ticket's principal, asks for
 * another mailbox or chooses another layer than he has wrapped, or is bound to
 * another channel; when octets come out of a layer that the client has not
 * put in, in this order; or when a client that nobody bent fails.
 *
 * The script begins with eight octets: circumstances, channel, layers that
 * are allowed, session key, how token, answer and choice are bent (2), the
 * choice and the host's verdict.
 *
 * SPDX-License-Identifier: MIT
 */
#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>
#include <sasl/sasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/layer.h"
#include "sasl/clean.h"
#include "sasl/mech.h"
#include "tests/fuzz/forge.h"

/* LeakSanitizer's; other builds have none of it, and perhaps no header. */
#pragma weak __lsan_disable
#pragma weak __lsan_enable
void __lsan_disable(void);
void __lsan_enable(void);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MUTUAL = 1, ASKED = 2, SEALED_CHOICE = 4, REFLECTED = 8,
       REPLAYED = 16, TWICE = 32 };
enum { NONE = 1, INTEGRITY = 2, PRIVACY = 4, CHOICE_OCTETS = 4 };
enum { SESSIONS = 3 };

struct talk {
    unsigned how;
    krb5_enctype session;
    bool bound;      /* the client has bound its ticket to a channel */
    bool good_bound; /* and it is ours */
    bool bent;       /* anything up to the choice */
    uint8_t verdict;
    struct mech_peer peer;
    const struct mech *mech;
    void *state;
    struct mech_ask ask;
    struct buf out;
    gss_ctx_id_t context;
    struct octets token;  /* as the client made it, as it was sent */
    struct octets sent;
    struct octets spent;  /* a token that was taken */
    struct octets choice; /* in the clear */
    bool sealed;          /* it was wrapped with secrecy */
    unsigned offered;
};

static struct sasl_world *world;
static gss_name_t target;
static gss_cred_id_t tickets[SESSIONS];
static const krb5_enctype sessions[SESSIONS] = {
    ENCTYPE_AES256_CTS_HMAC_SHA1_96, ENCTYPE_AES128_CTS_HMAC_SHA1_96,
    ENCTYPE_ARCFOUR_HMAC
};
static struct octets ticket_sealed[SESSIONS];

static void
check_log(void *arg, unsigned level, const char *event, const char *line)
{
    (void)arg;
    expect(level <= 3 && event[0] != '\0', "a level and an event");
    expect(clean_text((const uint8_t *)line, strlen(line)),
           "a clean log line");
}

/* ---- the realm ---- */

static krb5_principal
principal(const char *name)
{
    krb5_principal made;

    expect(krb5_parse_name(forge_context(), name, &made) == 0,
           "a principal");
    return made;
}

/* alice's ticket for pop/localhost, with a session key of this enctype. */
static void
store_ticket(unsigned i)
{
    time_t now = time(NULL);
    const struct forge_facts facts = {
        .user = "alice\0", .realm = "EXAMPLE.ORG",
        .key = &forge_keys[FORGE_POP], .session = sessions[i],
        .start = now - 60, .end = now + 30 * 86400,
    };
    static struct octets part, ticket;
    krb5_creds creds = { .client = principal("alice@EXAMPLE.ORG"),
                         .server = principal("pop/localhost@EXAMPLE.ORG") };
    uint8_t key[32];
    char name[32];
    krb5_ccache cache;
    OM_uint32 minor;
    gss_key_value_element_desc element = { "ccache", name };
    gss_key_value_set_desc store = { 1, &element };
    gss_OID_set_desc krb5 = { 1, gss_mech_krb5 };

    forge_ticket_part(&facts, &part);
    forge_ticket(&facts, &part, &ticket, &ticket_sealed[i]);
    forge_session_key(&facts, &creds.keyblock, key);
    creds.ticket.length = (unsigned)ticket.len;
    creds.ticket.data = (char *)ticket.data;
    creds.times.starttime = creds.times.authtime = (krb5_timestamp)facts.start;
    creds.times.endtime = (krb5_timestamp)facts.end;
    (void)snprintf(name, sizeof(name), "MEMORY:kpop-fuzz-%u", i);
    expect(krb5_cc_resolve(forge_context(), name, &cache) == 0
               && krb5_cc_initialize(forge_context(), cache, creds.client)
                      == 0
               && krb5_cc_store_cred(forge_context(), cache, &creds) == 0,
           "a ccache");
    krb5_cc_close(forge_context(), cache);
    krb5_free_principal(forge_context(), creds.client);
    krb5_free_principal(forge_context(), creds.server);
    expect(gss_acquire_cred_from(&minor, GSS_C_NO_NAME, GSS_C_INDEFINITE,
                                 &krb5, GSS_C_INITIATE, &store, &tickets[i],
                                 NULL, NULL) == GSS_S_COMPLETE,
           "a client's credential");
}

static void
set_up(void)
{
    static char service[] = "pop/localhost@EXAMPLE.ORG";
    gss_buffer_desc name = { strlen(service), service };
    struct sasl_settings settings = {
        .hostname = "localhost", .services = "pop pop3", .realms = "",
        .principal_map = "",
    };
    char error[300];
    OM_uint32 minor;

    forge_begin();
    settings.keytab = forge_path("keytab");
    settings.replay_cache = forge_path("cache");
    expect(sasl_server_init(NULL, NULL) == SASL_OK, "libsasl2"); /* as kpopd */
    expect(sasl_world_new(&settings, &world, error, sizeof(error))
                   == STATUS_OK
               && sasl_gssapi_ready(world, error, sizeof(error)) == STATUS_OK,
           "a world, and libsasl2's module of GSSAPI");
    expect(gss_import_name(&minor, &name, GSS_KRB5_NT_PRINCIPAL_NAME, &target)
               == GSS_S_COMPLETE, "a name");
    for (unsigned i = 0; i < SESSIONS; i++)
        store_ticket(i);
}

/* ---- the client ---- */

static void
keep(struct octets *octets, gss_buffer_t buffer)
{
    OM_uint32 minor;

    octets_set(octets, buffer->value, buffer->length);
    (void)gss_release_buffer(&minor, buffer);
}

/* Which channel client and server see: none, the same, another. */
static void
choose_channel(struct talk *talk, unsigned choice,
               struct gss_channel_bindings_struct *channel)
{
    static char bound[] = "tls-exporter:0123456789abcdef";
    static char other[] = "tls-exporter:0123456789abcdeF";

    talk->peer.has_tls = choice % 2 == 1;
    if (talk->peer.has_tls) {
        talk->peer.bindings[0].type = "tls-exporter";
        talk->peer.bindings[0].data = (const uint8_t *)"0123456789abcdef";
        talk->peer.bindings[0].size = 16;
    }
    memset(channel, 0, sizeof(*channel));
    channel->application_data.length = strlen(bound);
    channel->application_data.value = choice / 2 % 3 == 1 ? bound : other;
    talk->bound = choice / 2 % 3 > 0;
    talk->good_bound = talk->peer.has_tls && choice / 2 % 3 == 1;
}

/* The next token for what the server said last; false when the client doesn't
 * believe that. */
static bool
make_token(struct talk *talk, unsigned session,
           struct gss_channel_bindings_struct *channel)
{
    static struct octets heard;
    gss_buffer_desc in = { buf_len(&talk->out), heard.data };
    gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
    OM_uint32 flags = GSS_C_SEQUENCE_FLAG | GSS_C_INTEG_FLAG
                      | GSS_C_CONF_FLAG;
    OM_uint32 minor;
    OM_uint32 major;

    if ((talk->how & MUTUAL) != 0)
        flags |= GSS_C_MUTUAL_FLAG;
    octets_set(&heard, buf_data(&talk->out), buf_len(&talk->out));
    major = gss_init_sec_context(
        &minor, tickets[session], &talk->context, target, gss_mech_krb5,
        flags, 0, talk->bound ? channel : GSS_C_NO_CHANNEL_BINDINGS, &in,
        NULL, &out, NULL, NULL);
    expect(!GSS_ERROR(major) || talk->bent, "the server proves itself");
    keep(&talk->token, &out);
    return !GSS_ERROR(major);
}

static void
wrap_octets(struct talk *talk, const struct octets *clear, bool sealed,
            struct octets *token_out)
{
    static struct octets copy;
    gss_buffer_desc in = { clear->len, copy.data };
    gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor;

    copy = *clear;
    expect(gss_wrap(&minor, talk->context, sealed, GSS_C_QOP_DEFAULT, &in,
                    NULL, &out) == GSS_S_COMPLETE, "wrapping");
    keep(token_out, &out);
}

/* False when the client would not take it. */
static bool
unwrap(struct talk *talk, const void *data, size_t len, bool sealed,
       struct octets *clear_out)
{
    static struct octets copy; /* unwrapping bends it */
    gss_buffer_desc in = { len, copy.data };
    gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor;
    int was_sealed = 0;

    octets_set(&copy, data, len);
    if (gss_unwrap(&minor, talk->context, &in, &out, &was_sealed, NULL)
        != GSS_S_COMPLETE)
        return false;
    keep(clear_out, &out);
    return (was_sealed != 0) == sealed;
}

static void
bend_sent(struct talk *talk, struct script *script, unsigned times)
{
    for (; times > 0 && script->size > 0; times--) {
        bend(script, &talk->sent);
        talk->bent = true;
    }
}

/* The last octet of what is sent is the last of its memory, for ASan. */
static int
send_octets(struct talk *talk, const struct octets *octets)
{
    uint8_t *copy = malloc(octets->len > 0 ? octets->len : 1);
    int status;

    expect(copy != NULL, "memory");
    memcpy(copy, octets->data, octets->len);
    buf_reset(&talk->out);
    status = talk->mech->step(talk->state, copy, octets->len, &talk->out,
                              &talk->ask);
    free(copy);
    return status;
}

/* ---- the login ---- */

static void
check_over(struct talk *talk)
{
    static const struct octets none;

    expect(send_octets(talk, &none) == STATUS_INVALID
               && send_octets(talk, &talk->token) == STATUS_INVALID
               && talk->mech->resume(talk->state, STATUS_OK, NULL, 0,
                                     &talk->out, &talk->ask)
                      == STATUS_INVALID
               && buf_len(&talk->out) == 0,
           "what is over stays over");
}

/* Up to the offer of layers; else what went wrong, or GONE: the client gave
 * up. */
static int
until_offer(struct talk *talk, struct script *script, unsigned session,
            struct gss_channel_bindings_struct *channel, unsigned times)
{
    int status;

    if (!make_token(talk, session, channel))
        return STATUS_GONE;
    talk->sent = talk->token;
    bend_sent(talk, script, times & 7);
    status = send_octets(talk, &talk->sent);
    if (status == STATUS_CONTINUE) {
        expect(octets_have(&talk->sent, ticket_sealed[session].data,
                           ticket_sealed[session].len),
               "the ticket is as it was");
        expect(!talk->bound || talk->good_bound, "bound to this channel");
        talk->spent = talk->sent;
    }
    if (status == STATUS_CONTINUE && (talk->how & MUTUAL) != 0) {
        /* Where the wish for an AP-REP was bent away, an offer came. */
        if (!make_token(talk, session, channel))
            return STATUS_GONE;
        talk->sent = talk->token;
        bend_sent(talk, script, times >> 3 & 3);
        status = send_octets(talk, &talk->sent);
        expect(status != STATUS_CONTINUE || talk->sent.len == 0,
               "nothing answers an AP-REP");
    }
    return status;
}

static void
read_offer(struct talk *talk, unsigned max_ssf)
{
    static struct octets offer;

    talk->offered = max_ssf == 0 ? NONE
                    : max_ssf == 1 ? NONE | INTEGRITY
                                   : NONE | INTEGRITY | PRIVACY;
    if (!unwrap(talk, buf_data(&talk->out), buf_len(&talk->out), false,
                &offer)) {
        expect(talk->bent, "an offer");
        return;
    }
    expect(offer.len == CHOICE_OCTETS && offer.data[0] == talk->offered
               && (offer.data[1] | offer.data[2] | offer.data[3])
                      == (max_ssf > 0),
           "layers up to what is allowed");
}

/* What the client chooses, and whom it asks to be. */
static void
make_choice(struct talk *talk, struct script *script, uint8_t choice,
            unsigned times)
{
    static const uint8_t layers[] = { NONE, INTEGRITY, PRIVACY };
    static const char *const authzids[] = { "", "alice", "bob",
                                            "alice@EXAMPLE.ORG" };
    uint8_t layer = layers[choice % 3];
    const char *authzid = authzids[choice / 3 % 4];
    const uint8_t head[CHOICE_OCTETS] = { layer, 0,
                                          layer > NONE ? 0x40 : 0, 0 };

    octets_set(&talk->choice, head, sizeof(head));
    octets_add_text(&talk->choice, authzid);
    if ((layer & talk->offered) == 0)
        talk->bent = true; /* none that it could choose */
    for (; (times & 7) > 0 && script->size > 0; times--) {
        bend(script, &talk->choice);
        talk->bent = true;
    }
    talk->sealed = (talk->how & SEALED_CHOICE) != 0;
}

static int
send_choice(struct talk *talk, struct script *script, unsigned times)
{
    static struct octets offer;

    octets_set(&offer, buf_data(&talk->out), buf_len(&talk->out));
    wrap_octets(talk, &talk->choice, talk->sealed, &talk->sent);
    if ((talk->how & (REFLECTED | REPLAYED)) != 0) {
        talk->sent = (talk->how & REFLECTED) != 0 ? offer : talk->token;
        talk->bent = true;
    }
    bend_sent(talk, script, times);
    return send_octets(talk, &talk->sent);
}

/* Without an AP-REP RC4's tokens are the older ones, which make no layer. */
static bool
has_old_tokens(const struct talk *talk)
{
    return talk->session == ENCTYPE_ARCFOUR_HMAC && (talk->how & MUTUAL) == 0;
}

/* Has the client wrapped exactly this wish? */
static void
check_wish(const struct talk *talk)
{
    const uint8_t *authzid = talk->choice.data + CHOICE_OCTETS;
    const char *requested = talk->ask.requested;
    size_t len = talk->choice.len - CHOICE_OCTETS;
    unsigned layer = talk->choice.data[0];

    expect(talk->choice.len >= CHOICE_OCTETS && !talk->sealed,
           "a whole choice in the clear");
    expect((layer == NONE || layer == INTEGRITY || layer == PRIVACY)
               && (layer & talk->offered) != 0, "one layer that was offered");
    if (len > 1 && authzid[len - 1] == '\0') /* old curl */
        len--;
    if (requested[0] == '\0')
        expect(len == 0
                   || (len == 17
                       && memcmp(authzid, "alice@EXAMPLE.ORG", 17) == 0),
               "one's own name");
    else
        expect(len == strlen(requested)
                   && memcmp(authzid, requested, len) == 0,
               "the name that was asked for");
    expect(strcmp(talk->ask.local, requested[0] == '\0'
                                           || strcmp(requested, "alice") == 0
                                       ? "alice" : "") == 0,
           "one's own mailbox");
}

/* Would it get in if nobody bends it? */
static bool
is_honest(const struct talk *talk)
{
    return (!talk->bound || talk->good_bound) && !talk->sealed
           && (!has_old_tokens(talk) || talk->peer.max_ssf == 0);
}

/* Whether the host lets it in. */
static bool
authorize(struct talk *talk)
{
    int status = talk->verdict % 4 == 3 ? -2 - talk->verdict / 4 % 9
                                        : STATUS_OK;

    expect(talk->ask.need == MECH_AUTHORIZE
               && strcmp(talk->ask.authcid, "alice@EXAMPLE.ORG") == 0,
           "as nobody else");
    expect(buf_len(&talk->out) == 0, "nothing more is said");
    check_wish(talk);
    expect(talk->mech->resume(talk->state, status, NULL, 0, &talk->out,
                              &talk->ask) == status,
           "the host decides");
    return status == STATUS_OK;
}

/* ---- the layer ---- */

struct traffic {
    struct talk *talk;
    struct layer *layer;
    bool sealed;
    struct buf wire;
    struct octets put;    /* in the clear, in this order */
    struct octets got;
    struct octets packet; /* the client's last one */
    struct octets heard;  /* the server's last one */
    uint8_t count;
    bool bent;
    bool unframed;        /* the wire has octets that are no packet */
    bool over;            /* what came was refused */
};

static void
to_wire(struct traffic *traffic, const struct octets *packet)
{
    buf_append_u32(&traffic->wire, (uint32_t)packet->len);
    buf_append(&traffic->wire, packet->data, packet->len);
}

/* A new packet; no two have the same in them.  What is not protected as it was
 * chosen may not come through. */
static void
make_packet(struct traffic *traffic, struct script *script, bool sealed)
{
    static struct octets clear;
    const uint8_t *chunk;
    size_t len = script_chunk(script, &chunk);

    octets_set(&clear, &traffic->count, 1);
    traffic->count++;
    octets_add(&clear, chunk, len);
    if (sealed == traffic->sealed)
        octets_add(&traffic->put, clear.data, clear.len);
    wrap_octets(traffic->talk, &clear, sealed, &traffic->packet);
}

/* Octets that are no packet; true when their first four are a length that is
 * refused before a packet of it comes. */
static bool
add_junk(struct traffic *traffic, struct script *script)
{
    const uint8_t *chunk;
    size_t len = script_chunk(script, &chunk);
    bool first = !traffic->unframed && len >= 4;

    buf_append(&traffic->wire, chunk, len);
    traffic->unframed = true;
    return first
           && (chunk[0] != 0 || chunk[1] > 1
               || (chunk[1] == 1 && (chunk[2] | chunk[3]) != 0)
               || (chunk[1] | chunk[2] | chunk[3]) == 0);
}

/* In the other direction. */
static void
serve(struct traffic *traffic, struct script *script)
{
    static struct octets clear;
    struct buf *out = layer_output(traffic->layer);
    const uint8_t *chunk;
    size_t len = script_chunk(script, &chunk);
    size_t used = 0;
    int status;

    if (len == 0)
        return;
    status = layer_wrap(traffic->layer, chunk, len, &used);
    if (traffic->over && status == STATUS_TEMP)
        return;
    expect(status == STATUS_OK && used > 0 && used <= len
               && buf_len(out) > 4, "a packet");
    octets_set(&traffic->heard, buf_data(out) + 4, buf_len(out) - 4);
    buf_reset(out);
    expect(unwrap(traffic->talk, traffic->heard.data, traffic->heard.len,
                  traffic->sealed, &clear)
               && octets_are(&clear, chunk, used),
           "the client gets what the server sends");
}

enum act { HONEST, SERVE, SEALED_OTHERWISE, LOST, AGAIN, OURS, EMPTY, JUNK,
           BENT, ACTS, BAD_LENGTH };

static enum act
act(struct traffic *traffic, struct script *script)
{
    static const struct octets empty;
    enum act what = script_octet(script) % ACTS;

    if (what == SERVE) {
        serve(traffic, script);
        return what;
    }
    traffic->bent = traffic->bent || what != HONEST;
    if (what == JUNK)
        return add_junk(traffic, script) ? BAD_LENGTH : JUNK;
    if (what == OURS)
        traffic->packet = traffic->heard;
    else if (what == EMPTY)
        wrap_octets(traffic->talk, &empty, traffic->sealed,
                    &traffic->packet);
    else if (what != AGAIN)
        make_packet(traffic, script,
                    traffic->sealed != (what == SEALED_OTHERWISE));
    if (what == LOST)
        make_packet(traffic, script, traffic->sealed);
    if (what == BENT)
        bend(script, &traffic->packet);
    to_wire(traffic, &traffic->packet);
    return what;
}

/* What has come, in pieces of this size. */
static void
take(struct traffic *traffic, size_t piece)
{
    struct buf *clear = layer_input(traffic->layer);
    struct buf inbox;
    const char *error = NULL;

    buf_init(&inbox, 65536);
    while (buf_len(&traffic->wire) > 0 || buf_len(&inbox) > 0) {
        size_t len = buf_len(&traffic->wire);

        if (len > piece)
            len = piece;
        buf_append(&inbox, buf_data(&traffic->wire), len);
        buf_consume(&traffic->wire, len);
        if (layer_take(traffic->layer, &inbox, &error) != STATUS_OK) {
            expect(error != NULL, "why a packet is refused");
            traffic->over = true;
            buf_reset(&inbox);
        }
        expect(!traffic->over || buf_len(clear) == 0,
               "nothing behind a packet that was refused");
        octets_add(&traffic->got, buf_data(clear), buf_len(clear));
        buf_reset(clear);
    }
    buf_reset(&inbox);
    expect(traffic->got.len <= traffic->put.len
               && memcmp(traffic->got.data, traffic->put.data,
                         traffic->got.len) == 0,
           "what the client has put in, in its order");
    if (!traffic->bent)
        expect(!traffic->over && traffic->got.len == traffic->put.len,
               "all that an honest client has put in");
}

static void
use_layer(struct talk *talk, const struct mech_layer *codec,
          struct script *script)
{
    static struct traffic traffic;
    unsigned layer = talk->choice.data[0];

    memset(&traffic, 0, sizeof(traffic));
    traffic.talk = talk;
    traffic.sealed = layer == PRIVACY;
    expect(codec->ssf > 0 && (codec->ssf > 1) == traffic.sealed,
           "the layer that was chosen");
    traffic.layer = layer_new(codec, 0);
    expect(traffic.layer != NULL, "memory");
    buf_init(&traffic.wire, 1 << 20);
    for (unsigned i = 0; i < 24 && script->size > 0; i++) {
        enum act what = act(&traffic, script);

        /* Of an empty one GSSAPI loses an octet, as gsslayer.c says. */
        if (what == EMPTY && __lsan_disable != NULL)
            __lsan_disable();
        take(&traffic, 1 + script_octet(script) * 4u);
        if (what == EMPTY && __lsan_enable != NULL)
            __lsan_enable();
        expect(what != BAD_LENGTH || traffic.over,
               "a forbidden length is refused at once");
    }
    buf_reset(&traffic.wire);
    layer_free(traffic.layer);
}

/* ---- all of it ---- */

static void
begin(struct talk *talk, unsigned max_ssf)
{
    talk->peer.address = "192.0.2.1";
    talk->peer.session_id = "s1";
    talk->peer.log = check_log;
    talk->peer.max_ssf = max_ssf;
    talk->mech = mech_find("GSSAPI");
    expect(talk->mech->start(world, &talk->peer, &talk->state) == STATUS_OK,
           "a start");
    buf_init(&talk->out, 65536);
    if ((talk->how & ASKED) != 0)
        expect(talk->mech->step(talk->state, NULL, 0, &talk->out, &talk->ask)
                       == STATUS_CONTINUE && buf_len(&talk->out) == 0,
               "the first token is asked for");
}

/* True when it is in. */
static bool
login(struct talk *talk, struct script *script, unsigned session,
      struct gss_channel_bindings_struct *channel)
{
    unsigned times = script_pair(script);
    uint8_t choice = script_octet(script);
    int status;

    talk->verdict = script_octet(script);
    status = until_offer(talk, script, session, channel, times);
    if (status == STATUS_CONTINUE) {
        read_offer(talk, talk->peer.max_ssf);
        make_choice(talk, script, choice, times >> 5 & 7);
        status = send_choice(talk, script, times >> 8 & 7);
    }
    if (status == STATUS_PENDING)
        return authorize(talk);
    expect(status < 0 || talk->bent, "an end");
    if (status < 0 && status != STATUS_GONE)
        check_over(talk);
    expect(talk->bent || !is_honest(talk), "an honest client gets in");
    return false;
}

static void
end(struct talk *talk, bool was_in, struct script *script)
{
    struct mech_layer codec = { 0 };
    bool layer = was_in
                 && talk->mech->layer(talk->state, &codec) == STATUS_OK;

    if (was_in && !layer)
        check_over(talk);
    if (was_in)
        expect(layer == (talk->choice.data[0] != NONE),
               "a layer for who has chosen one");
    if (layer) {
        talk->mech->free(talk->state);
        talk->state = NULL;
        use_layer(talk, &codec, script);
    }
}

/* Neither as it is nor bent, by who has heard it. */
static void
check_replay(struct talk *talk, struct script *script)
{
    static struct octets token;

    token = talk->spent;
    for (unsigned i = 0; i < 2 && token.len > 0; i++) {
        talk->mech->free(talk->state);
        expect(talk->mech->start(world, &talk->peer, &talk->state)
                   == STATUS_OK, "a start");
        expect(send_octets(talk, &token) != STATUS_CONTINUE,
               "nobody gets in twice");
        bend(script, &token);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned strengths[] = { 0, 1, 256 };
    struct gss_channel_bindings_struct channel;
    struct script script = { data, size };
    static struct talk talk;
    unsigned session;
    OM_uint32 minor;

    if (world == NULL)
        set_up();
    forge_forget();
    memset(&talk, 0, sizeof(talk));
    talk.how = script_octet(&script);
    choose_channel(&talk, script_octet(&script), &channel);
    begin(&talk, strengths[script_octet(&script) % 3]);
    session = script_octet(&script) % SESSIONS;
    talk.session = sessions[session];
    end(&talk, login(&talk, &script, session, &channel), &script);
    if ((talk.how & TWICE) != 0)
        check_replay(&talk, &script);
    talk.mech->free(talk.state);
    buf_reset(&talk.out);
    (void)gss_delete_sec_context(&minor, &talk.context, GSS_C_NO_BUFFER);
    return 0;
}
