/*
 * session.h - one connection: the engine, its questions, its clock.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_PLUGIN_SESSION_H
#define KPOP_PLUGIN_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kpop/buf.h"
#include "kpop/engine.h"
#include "plugin/kpop_plugin.h"
#include "plugin/op.h"
#include "plugin/tls.h"
#include "sasl/layer.h"

struct config;
struct layer;

struct kpop_session {
    struct kpop_op op;           /* the question to the host */
    struct kpop_plugin *plugin;
    struct config *config;       /* held: the one it began with */
    struct kpop_facts *facts;    /* our copy */
    void *conn;                  /* the host's */
    struct engine *engine;
    struct engine_settings settings; /* lent to the engine */
    struct buf inbox;            /* octets the engine has not used yet */
    struct kpop_open what;       /* lent to open() */
    struct buf credential;       /* put_credential, until open() is done */
    void *box;                   /* the host's, when box_is_open */
    struct mech_layer codec;     /* negotiated, begins behind +OK: free set */
    struct layer *layer;         /* NULL: octets are sent as they are */
    struct tls *tls;             /* below the layer; NULL: none of ours */
    struct kpop_exchange *exchange; /* ours, when the host has none */
    enum op_stage step;          /* of that exchange: FREE, KEPT, ANSWERED */
    int32_t step_result;
    char *names;                 /* put_mechanisms, only while asked */
    const char *reason;          /* why we ended it; NULL = engine knows */

    bool box_is_open;
    bool exchange_is_live;       /* the host's: exchange_end is due */
    bool exchange_is_kpop;
    bool kpop_is_done;           /* the handshake succeeded */
    bool waits_for_tls;          /* the host is to do it */
    bool ended;                  /* input_end was called */
    bool end_is_told;            /* the engine knows it */
    bool closed;                 /* session_close was called */
    bool gave_up;                /* close now, whatever is unsent */
    bool alerts;                 /* but the alert of TLS goes out */
    bool end_is_seen;            /* and active is the time of it */
    bool running;                /* inside session_run(): don't recurse */
    bool fresh;                  /* now is the time of this call */
    bool stale;                  /* active is older than the last progress */

    uint64_t began;              /* ms, as are the next two */
    uint64_t active;             /* last progress */
    uint64_t now;
    uint64_t octets_in;
    uint64_t octets_out;
    struct engine_counts counted; /* what the plugin's counters have */
};

/* ---- ask.c ---- */

/* Performs the engine's open request: asks the host or answers it. */
void session_ask(struct kpop_session *session,
                 const struct engine_request *request);
/* Hands an answered op, or exchange step, to the engine. */
void session_answer(struct kpop_session *session);
void session_step_answer(struct kpop_session *session);
/* Before an answered op is taken: a start that succeeded is to be ended. */
void session_note_start(struct kpop_session *session);
/* The mechanisms that work now, to the engine. */
int session_set_mechanisms(struct kpop_session *session) MUST_USE;
/* What the host promises to everybody, to the engine. */
int session_set_policy(struct kpop_session *session) MUST_USE;
/* exchange_end and close, when they are due. */
void session_end_exchange(struct kpop_session *session);
void session_close_box(struct kpop_session *session);

/* ---- stage.c: between the octets of the host and the engine's ---- */

/* The exchange has succeeded: its layer, if there is one, waits for +OK. */
void session_keep_layer(struct kpop_session *session);
/* OPEN was answered, when so many octets of output were there: the layer
 * begins behind the next line, or is of no use. */
void session_begin_layer(struct kpop_session *session, size_t before);
/* Moves octets in or out; false when there was nothing to do. */
bool session_feed(struct kpop_session *session);
bool session_wrap(struct kpop_session *session);
/* Octets for the client; how many of them it got. */
size_t session_output(const struct kpop_session *session,
                      const uint8_t **data_out);
void session_wrote(struct kpop_session *session, size_t len);
void session_free_layer(struct kpop_session *session);

/* ---- secure.c ---- */

/* TLS comes before the greeting, and is to be ours. */
bool session_begins_with_tls(const struct kpop_session *session);
bool session_can_stls(const struct kpop_session *session);
/* Ours, behind so many octets in the clear. */
void session_begin_tls(struct kpop_session *session, size_t plain);
/* STLS was said: ours begins, or the host's. */
void session_ask_tls(struct kpop_session *session);
/* Our handshake runs; goes on with it, false when nothing can be done. */
bool session_is_shaking(const struct kpop_session *session);
bool session_shake(struct kpop_session *session);
/* A record was wrong: logs, and ends the session behind the alert. */
void session_tls_failed(struct kpop_session *session, enum tls_news news,
                        const char *problem);
/* The facts of a connection that has TLS now; takes them. */
void session_take_facts(struct kpop_session *session,
                        struct kpop_facts *copy);
/* Mechanisms, banner and the greeting (or the wait for KPOP). */
int session_greet(struct kpop_session *session) MUST_USE;

/* ---- session.c ---- */

extern const struct op_owner session_owner;

/* Everything that can be done now, without recursion. */
void session_run(struct kpop_session *session);
/* A closed session goes when no question of its is open any more.  After
 * session_run(), because a callback may have closed it. */
void session_settle(struct kpop_session *session);
/* A question is open, of the session or of its exchange. */
bool session_is_busy(const struct kpop_session *session);
bool session_is_ending(const struct kpop_session *session);
/* It ends now, without waiting for what is unsent; reason NULL = keep. */
void session_give_up(struct kpop_session *session, const char *reason);

/* ---- the ABI's functions ---- */

int32_t kpop_session_new(struct kpop_plugin *plugin,
                         const struct kpop_facts *facts, void *conn,
                         uint64_t now, struct kpop_session **session_out);
size_t kpop_input(struct kpop_session *session, const void *data, size_t size,
                  uint64_t now);
void kpop_input_end(struct kpop_session *session, uint64_t now);
size_t kpop_output(struct kpop_session *session, const void **data_out);
void kpop_wrote(struct kpop_session *session, size_t n);
uint32_t kpop_wants(struct kpop_session *session);
uint64_t kpop_deadline(struct kpop_session *session);
void kpop_tick(struct kpop_session *session, uint64_t now);
int32_t kpop_tls_started(struct kpop_session *session,
                         const struct kpop_facts *facts, uint64_t now);
size_t kpop_remainder(struct kpop_session *session, const void **data_out);
void kpop_session_stop(struct kpop_session *session, uint64_t now);
void kpop_session_close(struct kpop_session *session);

#endif
