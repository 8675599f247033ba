/*
 * tls_fixture.h - certificates made for a test, and a TLS client of OpenSSL
 * that talks with our struct tls in memory.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_UNIT_TLS_FIXTURE_H
#define KPOP_TESTS_UNIT_TLS_FIXTURE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#include "kpop/buf.h"
#include "plugin/tls.h"

/* ---- files ---- */

/* What a certificate is to be; all zero is good for a day, P-256, signed by
 * the authority "ca". */
struct wish {
    const char *name;   /* files NAME.pem and NAME.key; its common name */
    const char *names;  /* "DNS:a,email:b"; NULL = none */
    const char *issuer; /* NULL = "ca"; its own name = by itself */
    int from;           /* days from now */
    int until;          /* 0 = 1 */
    size_t ballast;     /* octets of a comment */
    bool is_authority;
};

/* Absolute, in a folder of this run; lent, of a ring. */
const char *fixture_path(const char *name);
void fixture_certificate(const struct wish *wish);
/* "ca", then "server" for server.example.org; once. */
void fixture_begin(void);
void fixture_write(const char *name, const char *text, unsigned mode);
void fixture_end(void); /* removes the folder */

/* ---- both ends ---- */

struct fixture {
    struct tls_settings settings;
    struct tls_world *world;
    char log[4096];       /* "EVENT LINE\n"... */
    const char *key;      /* blamed */
    char error[1024];

    struct tls *tls;      /* ours */
    struct buf inbox;     /* octets of the wire for us */
    size_t piece;         /* how many of them at a time; 0 = all */
    enum tls_news news;
    const char *problem;

    void (*ours)(bool inside); /* told when our side runs; NULL = nobody */

    SSL_CTX *context;     /* the client's */
    SSL *client;
    BIO *to_client;
    BIO *from_client;
};

/* With server.pem; tests change the settings before fixture_world(). */
void fixture_init(struct fixture *f);
int fixture_world(struct fixture *f); /* tls_world_new()'s status */
/* Two ends that have said nothing yet; version 0 = any. */
void fixture_connect(struct fixture *f, int version, size_t plain);
/* Another connection, in which the client shows its last session. */
void fixture_resume(struct fixture *f);
/* Moves octets until nobody has any; true when both stand. */
bool fixture_run(struct fixture *f);
/* What we say to it; tls_wrap()'s status. */
int fixture_answer(struct fixture *f, const void *data, size_t len);
/* What the client says; then runs. */
void fixture_say(struct fixture *f, const void *data, size_t len);
/* What the client reads, up to size octets; how many. */
size_t fixture_hear(struct fixture *f, void *data, size_t size);
void fixture_hang_up(struct fixture *f); /* ends the connection alone */
void fixture_free(struct fixture *f);

#endif
