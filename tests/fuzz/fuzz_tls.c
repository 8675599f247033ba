/*
 * fuzz_tls.c - the TLS of a session with a real client whose records are bent
 * on their way: STLS, POP3S, KPOP, tickets, client certificates, octets in the
 * clear behind STLS, early data, hang-ups.  Dies when something is answered
 * that did not come by TLS, when a deletion is committed without a QUIT that
 * arrived, when a ticket that was bent is taken, when something is said in the
 * clear behind TLS, or when a session stands still.
 *
 * The input is a list of orders for the client; see orders[].
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "tests/fuzz/steady.h"
#include "tests/fuzz/tlstalk.h"

#define api tlstalk_api
#define expect tlstalk_expect
#define run tlstalk_run
#define settle tlstalk_settle

enum { CONNECTIONS_MAX = 3 };

/* What the input says. */
struct script {
    const uint8_t *data;
    size_t size;
};

static SSL_CTX *contexts[3];

static uint8_t
next(struct script *script)
{
    if (script->size == 0)
        return 0;
    script->size--;
    return *script->data++;
}

/* ---- orders ---- */

static const char kpop_hello[] = "\0\0\0\x13KRB5_SENDAUTH_V1.0\0"
                                 "\0\0\0\x09KPOPV1.0\0\0\0\0\4n\2zz";
static const char *const words[] = {
    "USER alice\r\n", "PASS secret\r\n", "AUTH PLAIN AGFsaWNlAHg=\r\n",
    "AUTH EXTERNAL =\r\n", "AUTH PLAIN\r\n", "AGFsaWNlAHg=\r\n", "*\r\n",
    "STAT\r\n", "LIST\r\n", "UIDL\r\n", "RETR 1\r\n", "RETR 2\r\n",
    "DELE 1\r\n", "DELE 2\r\n", "RSET\r\n", "CAPA\r\n", "NOOP\r\n",
    "STLS\r\n", "QUIT\r\n",
};

static void
say(struct talk *talk, const void *data, size_t len)
{
    if (talk->client.ssl != NULL)
        (void)bent_say(&talk->client, data, len);
    else
        buf_append(&talk->client.made, data, len);
}

static void
say_word(struct talk *talk, struct script *script)
{
    const char *word = words[next(script) % (sizeof(words) / sizeof(*words))];

    say(talk, word, strlen(word));
}

static void
say_text(struct talk *talk, struct script *script)
{
    size_t len = next(script);

    if (len > script->size)
        len = script->size;
    say(talk, script->data, len);
    script->data += len;
    script->size -= len;
}

/* What the client says of itself: name of the server, protocols, OCSP. */
static void
dress(struct talk *talk, struct script *script, SSL *ssl)
{
    static const unsigned char protocols[] = "\x08http/1.1\4pop3";
    uint8_t what = next(script);
    char name[16] = "";

    if ((what & 1) != 0)
        (void)SSL_set_tlsext_host_name(ssl, "second.example.org");
    if ((what & 2) != 0)
        (void)SSL_set_alpn_protos(ssl, protocols, sizeof(protocols) - 1);
    if ((what & 4) != 0)
        (void)SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp);
    if ((what & 8) != 0) {
        for (size_t i = 0; i < sizeof(name) - 1; i++)
            name[i] = (char)next(script);
        (void)SSL_set_tlsext_host_name(ssl, name);
        talk->can_fail = true;
    }
}

/* Text in the first flight, which a listener can say again. */
static void
say_early(struct talk *talk)
{
    static const char text[] = "USER early\r\nPASS early\r\nDELE 1\r\n"
                               "QUIT\r\n";
    size_t written;

    /* Not under another name than before. */
    if (SSL_write_early_data(talk->client.ssl, text, sizeof(text) - 1,
                             &written) != 1)
        talk->can_fail = true;
    bent_collect(&talk->client);
}

static void
begin_tls(struct talk *talk, struct script *script)
{
    if (talk->is_early && talk->ticket != NULL)
        (void)SSL_SESSION_set_max_early_data(talk->ticket, 1000);
    bent_begin(&talk->client, contexts[talk->shows], talk->ticket);
    if (talk->is_old)
        (void)SSL_set_max_proto_version(talk->client.ssl, TLS1_2_VERSION);
    dress(talk, script, talk->client.ssl);
    if (talk->is_early && talk->ticket != NULL)
        say_early(talk);
    bent_hear(&talk->client, NULL, 0);
    run(talk);
}

/* Perhaps with octets behind it. */
static void
say_stls(struct talk *talk, struct script *script)
{
    static const char accepted[] = "+OK begin TLS\r\n";

    if (talk->client.ssl != NULL)
        return;
    run(talk);
    memset(talk->line, 0, sizeof(talk->line));
    talk->column = 0;
    say(talk, "STLS\r\n", 6);
    if (next(script) % 4 == 0) {
        say_word(talk, script);
        talk->can_fail = true;
    }
    run(talk);
    if (memcmp(talk->line, accepted, sizeof(talk->line)) == 0)
        begin_tls(talk, script);
}

static void
plan(struct talk *talk, struct script *script)
{
    uint8_t order = next(script);
    uint8_t where = next(script);

    bent_plan(&talk->client, order >> 4, order % BEND_KINDS, where,
              next(script));
}

static void
say_junk(struct talk *talk, struct script *script)
{
    size_t len = next(script) % 16u;

    talk->can_fail = true;
    if (len > script->size)
        len = script->size;
    buf_append(&talk->client.made, script->data, len);
    script->data += len;
    script->size -= len;
}

static void
change_keys(struct talk *talk, struct script *script)
{
    SSL *ssl = talk->client.ssl;
    bool both = (next(script) & 1) != 0;

    if (ssl == NULL || !SSL_is_init_finished(ssl))
        return;
    if (SSL_version(ssl) < TLS1_3_VERSION) {
        talk->can_fail = true; /* renegotiation is refused */
        (void)SSL_renegotiate(ssl);
    } else {
        (void)SSL_key_update(ssl, both ? SSL_KEY_UPDATE_REQUESTED
                                       : SSL_KEY_UPDATE_NOT_REQUESTED);
    }
    (void)SSL_do_handshake(ssl);
    bent_collect(&talk->client);
}

static void
shut(struct talk *talk, struct script *script)
{
    (void)script;
    if (talk->client.ssl == NULL)
        return;
    talk->can_fail =
        talk->can_fail || !SSL_is_init_finished(talk->client.ssl);
    (void)SSL_shutdown(talk->client.ssl);
    bent_collect(&talk->client);
}

static void
hang_up(struct talk *talk, struct script *script)
{
    (void)script;
    talk->can_fail = true;
    run(talk);
    api->input_end(talk->session, talk->now);
}

static void
wait_for_it(struct talk *talk, struct script *script)
{
    talk->can_fail = true;
    talk->now += next(script) * 1000u;
    api->tick(talk->session, talk->now);
}

static void
stop(struct talk *talk, struct script *script)
{
    (void)script;
    talk->can_fail = true;
    api->session_stop(talk->session, talk->now);
}

static void
say_hello(struct talk *talk, struct script *script)
{
    (void)script;
    say(talk, kpop_hello, sizeof(kpop_hello) - 1);
}

/* By the low half of an octet; its highest bit says that the next one follows
 * at once. */
static void (*const orders[16])(struct talk *talk, struct script *script) = {
    NULL, say_word, say_word, say_word, say_text, say_stls, plan, plan,
    say_junk, change_keys, shut, hang_up, wait_for_it, stop, say_hello, plan,
};

enum { ANOTHER = 0, HURRY = 0x80 };

/* ---- connections ---- */

static void
begin(struct talk *talk, struct script *script)
{
    static const char *const services[] = { "pop3", "pop3s", "kpop", "pop3s" };
    uint8_t what = next(script);
    struct kpop_facts facts = {
        .size = sizeof(facts), .session_id = "fuzz", .service = "",
        .peer_address = "192.0.2.1", .local_address = "192.0.2.2",
        .tls_version = "", .tls_cipher = "", .tls_server_name = "",
        .binding_type = "",
    };

    facts.service = services[what & 3];
    talk->is_old = (what & 4) != 0;
    talk->shows = (enum certificate)((what >> 3) % 4u % 3u);
    talk->keeps = (what & 0x20) != 0;
    talk->is_early = (what & 0x40) != 0;
    talk->piece = (what & 0x80) != 0 ? 1u + next(script) : KPOP_READ_MAX;
    expect(api->session_new(tlstalk_plugin, &facts, talk, talk->now,
                            &talk->session) == KPOP_OK, "a session");
    if (strcmp(facts.service, "pop3s") == 0)
        begin_tls(talk, script);
    run(talk);
}

/* What the next connection may show. */
static void
keep_ticket(struct talk *talk)
{
    SSL_SESSION *session = NULL;

    if (talk->client.ssl != NULL && talk->is_secure) {
        SSL_set_shutdown(talk->client.ssl,
                         SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        session = SSL_get1_session(talk->client.ssl);
    }
    if (session == NULL || SSL_SESSION_is_resumable(session) != 1) {
        SSL_SESSION_free(session);
        return;
    }
    talk->ticket_has_cert = talk->is_resumed ? talk->ticket_has_cert
                                             : talk->shows == CERT_GOOD;
    talk->ticket_is_bent = false;
    SSL_SESSION_free(talk->ticket);
    talk->ticket = session;
}

/* One octet of the ticket is another one, so nobody can open it. */
static void
bend_ticket(struct talk *talk, struct script *script)
{
    const unsigned char *ticket, *at;
    unsigned char *der = NULL, *found;
    size_t len, where = next(script);
    uint8_t what = next(script);
    int size;

    /* Twice, it might be whole again. */
    if (talk->ticket == NULL || what == 0 || talk->ticket_is_bent)
        return;
    SSL_SESSION_get0_ticket(talk->ticket, &ticket, &len);
    size = i2d_SSL_SESSION(talk->ticket, &der);
    expect(len > 0 && size > 0, "a session with a ticket");
    found = memmem(der, (size_t)size, ticket, len);
    expect(found != NULL, "its ticket");
    found[where % len] ^= what;
    SSL_SESSION_free(talk->ticket);
    at = der;
    talk->ticket = d2i_SSL_SESSION(NULL, &at, size);
    expect(talk->ticket != NULL, "a session again");
    OPENSSL_free(der);
    talk->ticket_is_bent = true;
}

static void
end(struct talk *talk)
{
    run(talk);
    expect(talk->client.ssl == NULL || talk->can_fail || talk->client.is_bent
               || (SSL_is_init_finished(talk->client.ssl) == 1
                   && talk->is_secure),
           "a handshake that nobody disturbs succeeds");
    api->session_close(talk->session);
    (void)settle(talk);
    expect(talk->opens == talk->closes, "every box is closed");
    expect(talk->starts == talk->ends, "every exchange is ended");
    expect(talk->commits <= 1, "one commit a session");
    keep_ticket(talk);
    bent_end(&talk->client);
}

/* All but the ticket and what is planned for records. */
static void
forget(struct talk *talk)
{
    struct talk old = *talk;

    memset(talk, 0, sizeof(*talk));
    memcpy(talk->client.plans, old.client.plans, sizeof(old.client.plans));
    buf_init(&talk->client.made, 1 << 20);
    buf_init(&talk->client.held, 1 << 20);
    buf_init(&talk->client.said, 1 << 20);
    talk->ticket = old.ticket;
    talk->ticket_is_bent = old.ticket_is_bent;
    talk->ticket_has_cert = old.ticket_has_cert;
    talk->now = old.now + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script script = { data, size };
    unsigned connections = 1;
    struct talk talk = { 0 };
    uint8_t order;

    if (api == NULL)
        tlstalk_set_up(contexts);
    steady_begin();
    forget(&talk);
    /* Plans for the first flight come before it. */
    for (order = next(&script) % 4; order > 0; order--)
        plan(&talk, &script);
    begin(&talk, &script);
    while (script.size > 0) {
        order = next(&script);
        if (order % 16 != ANOTHER) {
            orders[order % 16](&talk, &script);
            if ((order & HURRY) == 0)
                run(&talk);
        } else if (connections++ < CONNECTIONS_MAX) {
            end(&talk);
            forget(&talk);
            bend_ticket(&talk, &script);
            begin(&talk, &script);
        }
    }
    end(&talk);
    SSL_SESSION_free(talk.ticket);
    return 0;
}
