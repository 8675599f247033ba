/*
 * abihost.h - the host of fuzz_abi: it answers as the input says, rightly or
 * not, and counts what the ABI promises.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_FUZZ_ABIHOST_H
#define KPOP_TESTS_FUZZ_ABIHOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/kpop_plugin.h"

enum { CONNS = 3, PLUGINS = 4, BOX_OCTETS = 100000 };

enum question {
    ASK_NOTHING,
    ASK_MECHANISMS,
    ASK_START,
    ASK_STEP,
    ASK_AUTHORIZE,
    ASK_PASSWORD,
    ASK_SECRET,
    ASK_POLICY,
    ASK_OPEN,
    ASK_LIST,
    ASK_FETCH,
    ASK_ENVELOPE,
    ASK_COMMIT
};

/* One question, as the host sees it. */
struct asked {
    struct kpop_op *op;
    enum question what;
    int32_t result;
    unsigned facts;    /* how they are put */
    uint32_t first;    /* of a list */
    uint32_t count;
    bool box_is_put;
    bool user_is_put;
    bool is_spoilt;    /* a put_*() was refused */
};

/* What the host knows of a session, or of an exchange that it drives. */
struct conn {
    struct kpop_session *session;   /* NULL: none, or closed */
    struct kpop_exchange *exchange;
    bool is_stepping;               /* the exchange's step is pending */
    struct asked kept;              /* op NULL: none */
    bool is_asked;                  /* a question's callback runs */
    bool is_cancelled;
    bool is_beginning;              /* session_new() runs */
    void *box;
    uint32_t messages;
    unsigned boxes, closes;
    unsigned commits;               /* of the last box */
    unsigned starts, ends, doubtful; /* starts that were answered twice */
    bool is_authorized;
    bool said_taken;
    bool said_quit;
    bool has_hung_up;
    bool had_close;                 /* wants() */
    unsigned matched;               /* octets of QUIT */
};

extern const struct kpop_api *abi_api;
extern struct kpop_plugin *abi_plugins[PLUGINS];
extern struct conn abi_conns[CONNS];
extern uint64_t abi_now;
extern unsigned abi_calls; /* of the ABI that run */

/* Ends the process unless the condition holds. */
void abi_expect(bool condition, const char *promise);
/* The next octet of the input; 0 behind its end, which is good manners. */
uint8_t abi_next(void);
/* An order of the input, perhaps within another. */
void abi_event(void);
/* Gives the answer that was kept; false when there is none. */
bool abi_done(struct conn *conn);
/* Several modules, once: with mechanisms of their own and with the host's,
 * with and without what is optional. */
void abi_set_up(void);

#endif
