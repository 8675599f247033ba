/*
 * mech.h - what a mechanism is: start, step, free, with the shape of the
 * ABI's exchange, so that KPOP, PLAIN, GSSAPI and the rest look alike.
 *
 * A mechanism calls nobody.  When it needs a password checked, a secret or an
 * authorisation it says so by STATUS_PENDING and struct mech_ask, and is
 * resumed with the answer.  plugin/exchange.c is the one place that drives
 * mechanisms and asks the host.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_MECH_H
#define KPOP_SASL_MECH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kpop/buf.h"
#include "kpop/status.h"
#include "sasl/layer.h"

/* Writes one log line: level as in the ABI (0 error .. 3 debug), a stable
 * event id and "key=value ..." without line ends or secrets. */
typedef void mech_log_fn(void *arg, unsigned level, const char *event,
                         const char *line);

/* Which name of a client certificate is the user's. */
enum mech_name_kind {
    MECH_NAME_EMAIL, /* the e-mail address among its other names */
    MECH_NAME_LOCAL, /* what stands before the @ of it */
    MECH_NAME_CN     /* the common name of its subject */
};

/* What mechanisms are told of the configuration; lent for their life. */
struct sasl_settings {
    const char *hostname;
    const char *keytab;        /* path */
    const char *services;      /* "pop pop3" */
    const char *replay_cache;  /* path of our own file */
    const char *realms;        /* "" = the default realm */
    const char *principal_map; /* path or "" */
    bool allow_weak_enctypes;  /* RC4 and DES service tickets */
    bool check_addresses;      /* addresses inside tickets */
    enum mech_name_kind client_name;
};

/* What all mechanisms of a plugin share (contexts of libraries).  Safe for
 * use by several threads. */
struct sasl_world;

/* A name of the TLS channel that both of its ends know (RFC 5056). */
struct mech_binding {
    const char *type;    /* "tls-exporter" */
    const uint8_t *data;
    size_t size;         /* 0 = there is none */
};

enum { MECH_BINDINGS = 2 };

/* One login attempt. */
struct mech_peer {
    const char *address;    /* numeric; "" = unknown */
    const char *session_id;
    mech_log_fn *log;
    void *log_arg;
    unsigned max_ssf; /* strongest security layer allowed; 0 = none */
    bool has_tls;
    struct mech_binding bindings[MECH_BINDINGS];
    struct mech_binding finished; /* no good name in TLS 1.3, yet used */
    bool plus;        /* the client was offered NAME-PLUS as well */
    const uint8_t *certificate; /* of the client, DER, verified */
    size_t certificate_size;    /* 0 = it showed none */
};

enum mech_need { MECH_PASSWORD, MECH_SECRET, MECH_AUTHORIZE };

/* What a step that answered STATUS_PENDING needs; lent until resume. */
struct mech_ask {
    enum mech_need need;
    const char *user;         /* PASSWORD, SECRET */
    const uint8_t *password;  /* PASSWORD */
    size_t password_len;
    const char *authcid;      /* AUTHORIZE: members of struct kpop_identity */
    const char *requested;
    const char *local;
};

/*
 * The question for the host after a password or a secret was right: it gives
 * its own mailbox and no other, whatever authzid asks for.  STATUS_PENDING;
 * both are lent to ask.
 */
int mech_ask_own(const char *user, const char *authzid,
                 struct mech_ask *ask) MUST_USE;

struct mech {
    const char *name;
    /* STATUS_OK, STATUS_NO_MEMORY, STATUS_TEMP. */
    int (*start)(struct sasl_world *world, const struct mech_peer *peer,
                 void **state_out);
    /*
     * One message of the client (in NULL: none came with the mechanism's
     * name).  STATUS_CONTINUE with a challenge appended to out, STATUS_OK
     * (perhaps with final data in out), STATUS_PENDING with *ask filled, or
     * an error, for which KPOP appends the KRB_ERROR to out.
     */
    int (*step)(void *state, const uint8_t *in, size_t in_len, struct buf *out,
                struct mech_ask *ask);
    /* The answer to ask: the host's result, and the secret if it was one.
     * Results as for step. */
    int (*resume)(void *state, int result, const uint8_t *secret,
                  size_t secret_len, struct buf *out, struct mech_ask *ask);
    void (*free)(void *state); /* NULL is allowed; wipes */
    /*
     * After STATUS_OK, at most once: the security layer, which is the
     * caller's then and outlives the state.  STATUS_OK; STATUS_GONE: the
     * client chose none.  NULL: the mechanism has no layers.
     */
    int (*layer)(void *state, struct mech_layer *layer_out);
};

/* By name, any case; NULL when there is none. */
const struct mech *mech_find(const char *name);

/*
 * STATUS_OK, or STATUS_INVALID / STATUS_NO_MEMORY with a sentence in error.
 * Opens nothing yet: a process that only passes exchanges on needs no keytab.
 */
int sasl_world_new(const struct sasl_settings *settings,
                   struct sasl_world **world_out, char *error,
                   size_t error_size) MUST_USE;
/* Checks what KPOP needs: keytab readable and holding a key of a listed
 * service, replay cache usable, principal_map well-formed.  The sentence
 * names the path. */
int sasl_world_ready(struct sasl_world *world, mech_log_fn *log, void *log_arg,
                     char *error, size_t error_size) MUST_USE;
/* Checks what GSSAPI needs besides that.  The sentence says what to do. */
int sasl_gssapi_ready(struct sasl_world *world, char *error,
                      size_t error_size) MUST_USE;
void sasl_world_free(struct sasl_world *world); /* NULL is allowed */

/*
 * A KRB_ERROR message (RFC 4120 section 5.9.1) for code 0..127 and a text,
 * appended to out.  Needs no keytab.  STATUS_OK, STATUS_NO_MEMORY.
 */
int apreq_refusal(struct sasl_world *world, int code, const char *text,
                  struct buf *out) MUST_USE;

#endif
