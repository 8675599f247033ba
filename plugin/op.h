/*
 * op.h - one question to the host and its answer.
 *
 * A session, or an exchange of the ABI, has one op and uses it again and
 * again; an exchange that a session runs uses the session's, so that an op
 * lives as long as what the host knows.  The
 * owner begins it, calls the host, reports what the callback returned, and
 * takes the answer when it is there.  A done() inside the callback, or inside
 * another callback, only marks the op as answered; nothing recurses.  Every
 * breach of the ABI is caught here, by the tables in op.c, and logged.
 *
 *   op_begin -> OP_ASKED -> op_returned -> OP_ANSWERED -> op_take -> OP_FREE
 *                                   \-> OP_KEPT -> done() -> OP_ANSWERED
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_PLUGIN_OP_H
#define KPOP_PLUGIN_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kpop/status.h"

struct kpop_facts;
struct kpop_plugin;

enum op_kind {
    OP_MECHANISMS,
    OP_START,
    OP_STEP,
    OP_POLICY,
    OP_OPEN,
    OP_LIST,
    OP_FETCH,
    OP_ENVELOPE,
    OP_COMMIT,
    OP_AUTHORIZE,
    OP_PASSWORD,
    OP_SECRET
};

enum op_stage {
    OP_FREE,     /* no question is open */
    OP_ASKED,    /* the callback runs */
    OP_KEPT,     /* it answered PENDING */
    OP_ANSWERED  /* the owner has to op_take() */
};

enum fact {
    FACT_USER = 1,
    FACT_SECRET = 2,
    FACT_MECHANISMS = 4,
    FACT_CHALLENGE = 8,
    FACT_CREDENTIAL = 16,
    FACT_BOX = 32,
    FACT_POLICY = 64,
    FACT_MSG = 128,
    FACT_ENVELOPE = 256
};

/* What one put_*() says; members by kind. */
struct op_fact {
    enum fact fact;
    const char *text;      /* USER, MECHANISMS, MSG: uidl, ENVELOPE: sender */
    const char *recipient; /* ENVELOPE */
    const void *data;      /* SECRET, CHALLENGE, CREDENTIAL */
    size_t size;
    void *box;             /* BOX */
    uint32_t number;       /* BOX: count, POLICY: expire */
    uint32_t login_delay;  /* POLICY */
    uint64_t octets;       /* BOX, MSG */
};

/* What the owner of an op does. */
struct op_owner {
    /* Takes a fact: KPOP_OK, KPOP_INVALID, KPOP_NO_MEMORY. */
    int32_t (*put)(void *arg, const struct op_fact *fact);
    /* A kept op was answered: go on. */
    void (*answered)(void *arg);
};

struct kpop_op {
    const struct op_owner *owner; /* of the open question: op_begin() */
    void *arg;                  /* the owner's */
    struct kpop_plugin *plugin; /* for the log, with conn and facts */
    void *conn;
    const struct kpop_facts *facts;
    enum op_kind kind;
    enum op_stage stage;
    bool cancelled;             /* the host has been told */
    int32_t result;
    int32_t spoilt;             /* what the first failed put_*() answered */
    uint32_t put;               /* set of FACT_ */
    uint32_t limit;             /* FETCH: octets the buffer has */
};

void op_begin(struct kpop_op *op, const struct op_owner *owner, void *arg,
              enum op_kind kind);
/* What the callback returned. */
void op_returned(struct kpop_op *op, int32_t result);
/* The result, made sane: one that this question can't have, or that lacks its
 * fact, is KPOP_TEMP and an error in the log.  The op is free again. */
int32_t op_take(struct kpop_op *op) MUST_USE;
/* Tells the host, once, that nobody waits for the answer to a kept question.
 * done() may come inside. */
void op_cancel(struct kpop_op *op);
/* A question is open: asked, kept, or its answer not taken yet. */
bool op_is_open(const struct kpop_op *op);

/* The ABI's answers. */
int32_t kpop_done(struct kpop_op *op, int32_t result);
int32_t kpop_put_user(struct kpop_op *op, const char *user);
int32_t kpop_put_secret(struct kpop_op *op, const void *secret, size_t size);
int32_t kpop_put_mechanisms(struct kpop_op *op, const char *names);
int32_t kpop_put_challenge(struct kpop_op *op, const void *data, size_t size);
int32_t kpop_put_credential(struct kpop_op *op, const void *data,
                            size_t size);
int32_t kpop_put_box(struct kpop_op *op, void *box, uint32_t count,
                     uint64_t octets);
int32_t kpop_put_policy(struct kpop_op *op, uint32_t expire,
                        uint32_t login_delay);
int32_t kpop_put_msg(struct kpop_op *op, uint64_t octets, const char *uidl);
int32_t kpop_put_envelope(struct kpop_op *op, const char *sender,
                          const char *recipient);

#endif
