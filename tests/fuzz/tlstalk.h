/*
 * tlstalk.h - a connection of fuzz_tls: its client, its session, and a host
 * that believes no login and no deletion which did not come by TLS.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_FUZZ_TLSTALK_H
#define KPOP_TESTS_FUZZ_TLSTALK_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/kpop_plugin.h"
#include "tests/fuzz/bentclient.h"

enum certificate { CERT_NONE, CERT_GOOD, CERT_FOREIGN };

/* One connection. */
struct talk {
    struct kpop_session *session;
    struct bent_client client;
    const char *service;
    enum certificate shows;
    SSL_SESSION *ticket;  /* of the connection before */
    bool ticket_is_bent;
    bool ticket_has_cert; /* its session began with the good certificate */
    bool can_fail;        /* the client is odd: its handshake may be refused */
    bool is_secure;       /* tls.start was logged */
    bool is_resumed;
    bool is_old;          /* the client knows TLS 1.2 and no later */
    bool is_early;        /* it says something in the first flight */
    bool keeps;           /* the host answers later */
    size_t piece;         /* octets that come at a time */
    uint64_t now;
    uint8_t line[15];     /* how the server's last line in the clear begins */
    size_t column;
    uint8_t kind;         /* of its record */
    size_t body;          /* octets of its record that are still to come */
    size_t head;          /* octets of its record's head that were seen */
    /* the host's */
    struct kpop_op *kept;
    int32_t later;
    unsigned opens, closes, starts, ends, commits;
};

extern const struct kpop_api *tlstalk_api;
extern struct kpop_plugin *tlstalk_plugin;

/* Ends the process unless the condition holds. */
void tlstalk_expect(bool condition, const char *promise);
/* The module, with certificates that are gone from the disk when it returns;
 * contexts for clients, by the certificate that they show. */
void tlstalk_set_up(SSL_CTX *contexts_out[3]);
/* Until nobody has anything to say. */
void tlstalk_run(struct talk *talk);
/* Gives the answer that the host has kept; false when there is none. */
bool tlstalk_settle(struct talk *talk);

#endif
