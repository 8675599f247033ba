/*
 * gss_fixture.h - a login by mechanism GSSAPI between our side and MIT's
 * GSSAPI library as the client, in one process, against the realm of
 * realm_fixture.h.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_UNIT_GSS_FIXTURE_H
#define KPOP_TESTS_UNIT_GSS_FIXTURE_H

#include <gssapi/gssapi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sasl/mech.h"
#include "tests/unit/realm_fixture.h"

struct octets {
    size_t len;
    uint8_t data[1 << 17];
};

/* Both sides. */
struct gss_login {
    struct sasl_world *world;
    struct mech_peer peer;
    const struct mech *mech;
    void *state;
    struct buf out;          /* of the last step */
    struct mech_ask ask;
    char log[8192];          /* "LEVEL EVENT LINE\n"... */

    const char *service;     /* the client's: "pop@localhost" */
    OM_uint32 flags;
    gss_ctx_id_t context;
    unsigned offered;        /* layers, and packet size */
    unsigned offered_size;
};

struct sasl_settings gss_settings(void);
/* alice's ticket is in KRB5CCNAME then; a world of its own, no layers. */
void gss_begin(struct gss_login *login);
/* The same with a world of the test's. */
void gss_begin_with(struct gss_login *login,
                    const struct sasl_settings *settings);
void gss_again(struct gss_login *login); /* a new exchange, same world */
void gss_end(struct gss_login *login);
/* Our side alone, in a world of somebody else; of any thread. */
void gss_attach(struct gss_login *login, struct sasl_world *world);
void gss_detach(struct gss_login *login);

/* What the client says first, and to each of our challenges. */
const struct octets *gss_token(struct gss_login *login);
int gss_send(struct gss_login *login, const void *data, size_t len);
/* Up to our offer of layers, which is read; STATUS_CONTINUE, or what went
 * wrong. */
int gss_until_offer(struct gss_login *login);
/* What gss_wrap makes of octets; sealed or not. */
const struct octets *gss_wrapped(struct gss_login *login, const void *data,
                                 size_t len, bool sealed);
/* The client's choice, and whom it wants to be. */
int gss_choose(struct gss_login *login, unsigned layers, unsigned size,
               const char *authzid, size_t len);
/* A whole login without layer; the last status. */
int gss_log_in(struct gss_login *login, const char *authzid);

#define CHECK_HAS(text, part) CHECK(strstr((text), (part)) != NULL)
#define CHECK_LACKS(text, part) CHECK(strstr((text), (part)) == NULL)

#endif
