/*
 * bentclient.h - a client of OpenSSL whose records are bent on their way: an
 * octet changed, a record lost, said twice, cut, held back behind the next, or
 * junk before it.  It knows what of its text can have arrived: what stood in
 * whole records in their order.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_FUZZ_BENTCLIENT_H
#define KPOP_TESTS_FUZZ_BENTCLIENT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kpop/buf.h"

enum bend {
    BEND_NOTHING,
    BEND_FLIP,  /* the octet `where` by `what` */
    BEND_DROP,
    BEND_TWICE,
    BEND_HOLD,
    BEND_CUT,   /* at `where` */
    BEND_JUNK,  /* some octets of `what` come before it */
    BEND_KINDS
};

enum { BENDS_AHEAD = 16, RECORD_MAX = 5 + 16384 + 256, TEXTS_MAX = 256 };

struct bent_client {
    SSL *ssl; /* NULL: there is no TLS yet */
    BIO *in;
    BIO *out;
    struct {
        enum bend kind;
        uint8_t where;
        uint8_t what;
    } plans[BENDS_AHEAD]; /* by the number of the record, in a ring */
    unsigned records;     /* that were made */
    bool is_bent;         /* one of them was not sent as it was made */
    struct buf made;      /* octets for the server; the caller takes them */
    struct buf held;      /* a record that the next one overtakes */
    int held_text;
    struct buf said;      /* text, one record after the other */
    size_t ends[TEXTS_MAX]; /* where in it that of each record ends */
    size_t texts;         /* records of text that were made */
    size_t arrived;       /* of these, whole and in order */
};

/* TLS begins; session NULL: none is resumed.  The buffers are the caller's to
 * initialise, once. */
void bent_begin(struct bent_client *client, SSL_CTX *context,
                SSL_SESSION *session);
/* Another connection may begin; what was planned stays. */
void bent_end(struct bent_client *client);
/* For the record that is so many ahead. */
void bent_plan(struct bent_client *client, unsigned ahead, enum bend kind,
               uint8_t where, uint8_t what);
/* What the server has sent; goes on with the handshake.  Without octets, too:
 * so it begins. */
void bent_hear(struct bent_client *client, const void *data, size_t len);
/* Text in one record; false when it can't be said. */
bool bent_say(struct bent_client *client, const void *data, size_t len);
/* Records that OpenSSL has written by itself. */
void bent_collect(struct bent_client *client);
/* Whether the server can have heard it, in capitals or small letters. */
bool bent_has(const struct bent_client *client, const void *data, size_t len);

#endif
