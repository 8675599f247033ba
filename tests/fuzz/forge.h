/*
 * forge.h - Kerberos without a KDC: a keytab whose keys are known, and with
 * them tickets and AP-REQs (RFC 4120) of whatever one likes.  What is
 * encrypted in them is made first and can be bent before it is sealed.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_FUZZ_FORGE_H
#define KPOP_TESTS_FUZZ_FORGE_H

#include <krb5.h>
#include <stdbool.h>
#include <time.h>

#include "tests/fuzz/bend.h"

/* The keytab, kvno 1, all of EXAMPLE.ORG. */
enum { FORGE_POP, FORGE_POP3, FORGE_HOST, FORGE_SHARED, FORGE_WEAK,
       FORGE_NOBODY, FORGE_KEYS };

struct forge_key {
    const char *service;
    const char *host;
    krb5_enctype enctype;
    uint8_t seed;   /* what the key's octets are made of */
    bool in_keytab;
};

extern const struct forge_key forge_keys[FORGE_KEYS];

/* What a ticket and the AP-REQ that shows it say. */
struct forge_facts {
    const char *user; /* up to two components, NUL between them, NUL NUL */
    const char *realm;
    const struct forge_key *key; /* of the service */
    krb5_enctype session;
    time_t now;       /* the authenticator's */
    int32_t usec;
    time_t start;     /* the ticket's */
    time_t end;
    const uint8_t *address; /* IPv4, the only one good for it; NULL = all */
    bool mutual;
    bool subkey;
    bool gss;         /* with the checksum of RFC 4121 */
};

/* Once: files of a realm in TMPDIR, gone at the end, and KRB5_CONFIG. */
void forge_begin(void);
/* "krb5.conf", "keytab", "cache"; one of a few static buffers. */
const char *forge_path(const char *name);
/* Empties the replay cache. */
void forge_forget(void);
krb5_context forge_context(void);

void forge_session_key(const struct forge_facts *facts, krb5_keyblock *key,
                       uint8_t octets[32]);

/* What is sealed in the ticket, and in the AP-REQ. */
void forge_ticket_part(const struct forge_facts *facts, struct octets *out);
void forge_authenticator(const struct forge_facts *facts,
                         struct octets *out);
/* With the sealed part in it, of which sealed_out has the octets. */
void forge_ticket(const struct forge_facts *facts, const struct octets *part,
                  struct octets *out, struct octets *sealed_out);
void forge_apreq(const struct forge_facts *facts, const struct octets *ticket,
                 const struct octets *authenticator, struct octets *out,
                 struct octets *sealed_out);
/* Is this an AP-REP of one who could open the ticket? */
bool forge_is_reply(const struct forge_facts *facts, const void *data,
                    size_t len);

#endif
