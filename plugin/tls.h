/*
 * tls.h - the stage of a session that speaks TLS: between the octets of the
 * host and those of the SASL layer or the engine.  Memory only: records come
 * in and go out by buffers, OpenSSL sees no socket.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_PLUGIN_TLS_H
#define KPOP_PLUGIN_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kpop/buf.h"
#include "kpop/status.h"
#include "sasl/mech.h"

/* ---- certificates and keys (tlsworld.c) ---- */

/* Lists of paths by blanks; PEM. */
struct tls_settings {
    const char *certificates; /* each with its chain; the first is default */
    const char *keys;         /* "" = in the files of the certificates */
    const char *client_ca;    /* "" = clients are not asked for one */
    const char *ocsp;         /* responses to be stapled, DER */
    mech_log_fn *log;         /* for warnings */
    void *log_arg;
};

/* Immutable; used by all sessions of a configuration, by several threads. */
struct tls_world;

/* STATUS_OK; STATUS_INVALID with a sentence and the key it is about;
 * STATUS_NO_MEMORY. */
int tls_world_new(const struct tls_settings *settings,
                  struct tls_world **world_out, const char **key_out,
                  char *error, size_t error_size) MUST_USE;
void tls_world_free(struct tls_world *world); /* NULL is allowed */

/* ---- one connection (tls.c) ---- */

enum { TLS_RECORD_MAX = 16384, TLS_BINDING_MAX = 64 };

struct tls;

/* The server's side; `plain` octets of output come before the first record.
 * NULL when there is no memory.  The world must outlive it. */
struct tls *tls_new(const struct tls_world *world, size_t plain) MUST_USE;
void tls_free(struct tls *tls); /* NULL is allowed; wipes */

enum tls_news {
    TLS_MORE,     /* all octets were used and did not suffice */
    TLS_STANDS,   /* the handshake is done */
    TLS_OCTETS,   /* tls_input() has some */
    TLS_CLOSED,   /* the client closed its side in good order */
    TLS_FAILED,   /* why in problem_out; the alert is in the output */
    TLS_NO_MEMORY
};

/* Takes octets of the wire out of inbox until there is news. */
enum tls_news tls_take(struct tls *tls, struct buf *inbox,
                       const char **problem_out) MUST_USE;
bool tls_stands(const struct tls *tls);
/* Clear octets for the next stage; consume what it used. */
struct buf *tls_input(struct tls *tls);

/* What of the next stage's output may be sent as it is. */
size_t tls_plain(const struct tls *tls);
void tls_plain_wrote(struct tls *tls, size_t len);
/* Encrypts up to one record; how many octets is *used_out.  STATUS_OK,
 * STATUS_NO_MEMORY. */
int tls_wrap(struct tls *tls, const uint8_t *data, size_t len,
             size_t *used_out) MUST_USE;
/* Says that nothing more will come; once. */
void tls_shut(struct tls *tls);
bool tls_is_shut(const struct tls *tls);
/* Records for the client; consume what was sent. */
struct buf *tls_output(struct tls *tls);

/* What the handshake gave; lent until tls_free(). */
struct tls_facts {
    const char *version;     /* "TLSv1.3" */
    const char *cipher;
    const char *server_name; /* "" = none was named */
    unsigned bits;           /* strength of the cipher */
    bool resumed;
    const uint8_t *certificate; /* the client's, DER, verified */
    size_t certificate_size;    /* 0 = none */
    const char *subject;        /* of it, for the log; "" = none */
    const char *client_problem; /* why another one was not taken; "" */
    const char *binding_type;   /* RFC 9266, RFC 5929; "" = none */
    const uint8_t *binding;
    size_t binding_size;
    const uint8_t *end_point;   /* tls-server-end-point, RFC 5929 */
    size_t end_point_size;      /* 0 = it has none */
    const uint8_t *finished;    /* the first Finished message */
    size_t finished_size;
};

/* STATUS_OK, STATUS_NO_MEMORY. */
int tls_get_facts(struct tls *tls, struct tls_facts *facts_out) MUST_USE;

#endif
