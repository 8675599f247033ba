/*
 * op.c - takes the host's answers and checks them against two tables: which
 * facts and which results each question may have.  Calls the host only to log
 * its own mistakes.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/op.h"

#include <string.h>

#include "plugin/internal.h"
#include "plugin/log.h"

enum { SECRET_MAX = 4096, CREDENTIAL_MAX = 65536, MECHANISMS_MAX = 512 };

/* A result as a bit: 0 is KPOP_TAKEN, 12 is KPOP_NO_MEMORY. */
#define R(result) (1u << (KPOP_TAKEN - (result)))
#define R_FAILED (R(KPOP_TEMP) | R(KPOP_PERM) | R(KPOP_NO_MEMORY))
#define R_LOGIN (R_FAILED | R(KPOP_AUTH) | R(KPOP_DENIED) | R(KPOP_DELAY))

static const struct rule {
    const char *name;
    uint32_t facts;   /* that may be put */
    uint32_t needed;  /* that KPOP_OK must come with */
    uint32_t results; /* that may be answered */
} rules[] = {
    [OP_MECHANISMS] = { "exchange_mechanisms", FACT_MECHANISMS,
                        FACT_MECHANISMS, R(KPOP_OK) | R_FAILED },
    [OP_START] = { "exchange_start",
                   FACT_USER | FACT_CHALLENGE | FACT_CREDENTIAL, FACT_USER,
                   R(KPOP_OK) | R(KPOP_CONTINUE) | R(KPOP_TAKEN) | R_LOGIN },
    [OP_STEP] = { "exchange_step",
                  FACT_USER | FACT_CHALLENGE | FACT_CREDENTIAL, FACT_USER,
                  R(KPOP_OK) | R(KPOP_CONTINUE) | R(KPOP_TAKEN) | R_LOGIN },
    [OP_POLICY] = { "policy", FACT_POLICY, FACT_POLICY,
                    R(KPOP_OK) | R_FAILED },
    [OP_OPEN] = { "open", FACT_BOX | FACT_POLICY, FACT_BOX,
                  R(KPOP_OK) | R(KPOP_IN_USE) | R_LOGIN },
    [OP_LIST] = { "list", FACT_MSG, 0, R(KPOP_OK) | R_FAILED },
    [OP_FETCH] = { "fetch", 0, 0, R(KPOP_GONE) | R_FAILED },
    [OP_ENVELOPE] = { "envelope", FACT_ENVELOPE, FACT_ENVELOPE,
                      R(KPOP_OK) | R(KPOP_GONE) | R_FAILED },
    [OP_COMMIT] = { "commit", 0, 0, R(KPOP_OK) | R_FAILED },
    [OP_AUTHORIZE] = { "authorize", FACT_USER, FACT_USER,
                       R(KPOP_OK) | R_LOGIN },
    [OP_PASSWORD] = { "verify_password", 0, 0,
                      R(KPOP_OK) | R_LOGIN },
    [OP_SECRET] = { "lookup_secret", FACT_SECRET, FACT_SECRET,
                    R(KPOP_OK) | R_LOGIN },
};

/* The host broke the ABI: an error for its author. */
static void
op_blame(const struct kpop_op *op, const char *what, int32_t result)
{
    struct log_line line;

    log_start(&line, op->facts);
    log_text(&line, "callback", rules[op->kind].name);
    log_text(&line, "problem", what);
    if (result != KPOP_OK)
        log_text(&line, "result", status_name(result));
    log_write(op->plugin, op->conn, KPOP_LOG_ERROR, "host.misuse", &line);
}

void
op_begin(struct kpop_op *op, const struct op_owner *owner, void *arg,
         enum op_kind kind)
{
    op->owner = owner;
    op->arg = arg;
    op->kind = kind;
    op->stage = OP_ASKED;
    op->cancelled = false;
    op->result = KPOP_TEMP;
    op->spoilt = KPOP_OK;
    op->put = 0;
    op->limit = 0;
}

void
op_returned(struct kpop_op *op, int32_t result)
{
    if (op->stage == OP_ANSWERED) {
        /* done() came inside the callback. */
        if (result == KPOP_PENDING)
            return;
        op_blame(op, "answered twice: done() and a result that is not "
                     "KPOP_PENDING", result);
        op->result = KPOP_TEMP;
    } else if (result == KPOP_PENDING) {
        op->stage = OP_KEPT;
    } else {
        op->stage = OP_ANSWERED;
        op->result = result;
    }
}

static bool
result_is_allowed(const struct kpop_op *op, int32_t result)
{
    if (op->kind == OP_FETCH && result >= 0)
        return (uint32_t)result <= op->limit;
    return result <= KPOP_TAKEN && result >= KPOP_NO_MEMORY
           && (rules[op->kind].results & R(result)) != 0;
}

int32_t
op_take(struct kpop_op *op)
{
    uint32_t needed = rules[op->kind].needed;
    int32_t result = op->result;

    op->stage = OP_FREE;
    if (!result_is_allowed(op, result)) {
        op_blame(op, "a result that this callback can't have", result);
        return KPOP_TEMP;
    }
    if (result < 0)
        return result;
    if (op->spoilt != KPOP_OK)
        return op->spoilt == KPOP_NO_MEMORY ? KPOP_NO_MEMORY : KPOP_TEMP;
    if (result == KPOP_OK && (op->put & needed) != needed) {
        op_blame(op, "KPOP_OK without its put_*()", result);
        return KPOP_TEMP;
    }
    return result;
}

void
op_cancel(struct kpop_op *op)
{
    if (op->stage != OP_KEPT || op->cancelled
        || op->plugin->host.cancel == NULL)
        return;
    op->cancelled = true;
    op->plugin->host.cancel(op->conn, op);
}

bool
op_is_open(const struct kpop_op *op)
{
    return op->stage != OP_FREE;
}

int32_t
kpop_done(struct kpop_op *op, int32_t result)
{
    if (op == NULL)
        return KPOP_INVALID;
    if (op->stage != OP_ASKED && op->stage != OP_KEPT) {
        op_blame(op, "done() without an open question", result);
        return KPOP_INVALID;
    }
    op->result = result;
    if (op->stage == OP_ASKED) {
        op->stage = OP_ANSWERED;
    } else {
        op->stage = OP_ANSWERED;
        op->owner->answered(op->arg);
    }
    return KPOP_OK;
}

/* The one way of a fact to the owner. */
static int32_t
op_put(struct kpop_op *op, const struct op_fact *fact, bool valid)
{
    /* All but the messages of a list are said once. */
    bool again = fact->fact != FACT_MSG;
    int32_t result;

    if (op == NULL)
        return KPOP_INVALID;
    if ((op->stage != OP_ASKED && op->stage != OP_KEPT)
        || (rules[op->kind].facts & fact->fact) == 0
        || (again && (op->put & fact->fact) != 0)) {
        op_blame(op, "a put_*() that this question doesn't ask for",
                 KPOP_INVALID);
        op->spoilt = KPOP_INVALID;
        return KPOP_INVALID;
    }
    op->put |= fact->fact;
    result = valid ? op->owner->put(op->arg, fact) : KPOP_INVALID;
    if (result == KPOP_INVALID)
        op_blame(op, "a put_*() with a value that is not allowed", result);
    if (result != KPOP_OK && op->spoilt == KPOP_OK)
        op->spoilt = result;
    return result;
}

/* min..max octets without control characters. */
static bool
text_is_clean(const char *text, size_t min, size_t max)
{
    size_t len;

    if (text == NULL)
        return false;
    len = strnlen(text, max + 1);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    }
    return len >= min && len <= max;
}

static bool
bytes_are_sane(const void *data, size_t size, size_t max)
{
    return size <= max && (size == 0 || data != NULL);
}

int32_t
kpop_put_user(struct kpop_op *op, const char *user)
{
    struct op_fact fact = { .fact = FACT_USER, .text = user };

    return op_put(op, &fact, text_is_clean(user, 1, KPOP_USER_MAX));
}

int32_t
kpop_put_secret(struct kpop_op *op, const void *secret, size_t size)
{
    struct op_fact fact = { .fact = FACT_SECRET, .data = secret,
                            .size = size };

    return op_put(op, &fact, bytes_are_sane(secret, size, SECRET_MAX));
}

int32_t
kpop_put_mechanisms(struct kpop_op *op, const char *names)
{
    struct op_fact fact = { .fact = FACT_MECHANISMS, .text = names };

    return op_put(op, &fact, text_is_clean(names, 0, MECHANISMS_MAX));
}

int32_t
kpop_put_challenge(struct kpop_op *op, const void *data, size_t size)
{
    struct op_fact fact = { .fact = FACT_CHALLENGE, .data = data,
                            .size = size };

    return op_put(op, &fact, bytes_are_sane(data, size, KPOP_CHALLENGE_MAX));
}

int32_t
kpop_put_credential(struct kpop_op *op, const void *data, size_t size)
{
    struct op_fact fact = { .fact = FACT_CREDENTIAL, .data = data,
                            .size = size };

    return op_put(op, &fact, bytes_are_sane(data, size, CREDENTIAL_MAX));
}

int32_t
kpop_put_box(struct kpop_op *op, void *box, uint32_t count, uint64_t octets)
{
    struct op_fact fact = { .fact = FACT_BOX, .box = box, .number = count,
                            .octets = octets };

    return op_put(op, &fact, true);
}

int32_t
kpop_put_policy(struct kpop_op *op, uint32_t expire, uint32_t login_delay)
{
    struct op_fact fact = { .fact = FACT_POLICY, .number = expire,
                            .login_delay = login_delay };

    return op_put(op, &fact, true);
}

int32_t
kpop_put_msg(struct kpop_op *op, uint64_t octets, const char *uidl)
{
    struct op_fact fact = { .fact = FACT_MSG, .text = uidl,
                            .octets = octets };

    return op_put(op, &fact, true); /* the engine looks at its uidl */
}

int32_t
kpop_put_envelope(struct kpop_op *op, const char *sender,
                  const char *recipient)
{
    struct op_fact fact = { .fact = FACT_ENVELOPE, .text = sender,
                            .recipient = recipient };

    /* RFC 5321 section 4.5.3.1.3: 256, and some air for quoting. */
    return op_put(op, &fact, text_is_clean(sender, 0, 400)
                                 && text_is_clean(recipient, 0, 400));
}
