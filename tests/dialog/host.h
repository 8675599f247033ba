/*
 * host.h - the scripted host: users, messages and faults of a dialogue behind
 * the ABI's callbacks, in three ways of answering.  It checks what the ABI
 * promises to a host, and remembers what was done to its boxes.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_HOST_H
#define KPOP_TESTS_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/kpop_plugin.h"
#include "tests/dialog/alloc.h"

enum answering {
    ANSWER_BY_RETURN, /* the callback returns the result */
    ANSWER_INSIDE,    /* done() inside the callback */
    ANSWER_LATER,     /* done() out of the driving loop */
    ANSWER_MODES
};

enum question_kind {
    ASK_MECHANISMS,
    ASK_START,
    ASK_STEP,
    ASK_AUTHORIZE,
    ASK_VERIFY,
    ASK_OPEN,
    ASK_LIST,
    ASK_FETCH,
    ASK_COMMIT,
    ASK_ENVELOPE,
    ASK_KINDS
};

/* A host that breaks the ABI: one fact too few, one or one octet too many. */
enum { LIE_SHORT = 100, LIE_LONG = 101 };

struct question {
    enum question_kind kind;
    struct conn *conn;
    struct kpop_op *op;
    /* As given: valid until the answer, so they are used as they are. */
    const struct kpop_identity *identity;
    const struct kpop_open *what;
    const char *text;  /* mechanism, user */
    const void *data;
    size_t size;
    struct box *box;
    uint32_t first;    /* list; fetch: message */
    uint32_t count;    /* list, commit; fetch: size */
    uint64_t offset;
    void *buffer;
    uint32_t flags;
    const uint8_t *marks;
};

struct message {
    struct blob octets;
    uint64_t size;  /* put_msg; normally the right one */
    char *uidl;
    uint32_t copies; /* `messages N` */
    bool deleted;
    bool retrieved; /* at a commit */
};

struct user {
    char *name;
    char *password;
    int32_t result;
};

/* `exchange`: what a mechanism answers to an octet string. */
struct exchange_row {
    char *mechanism;
    bool none;          /* nothing came with AUTH */
    struct blob in;
    int32_t result;
    char *user;         /* with ok */
    struct blob out;    /* the challenge */
};

struct fault {
    int32_t result;   /* 0 = none */
    bool once;
    bool after_first; /* commit: the first deletion succeeds */
    uint64_t at;      /* fetch: this offset; list: this first message */
    uint32_t msg;     /* fetch: 1-based, 0 = all */
};

struct box {
    struct host *host;
    uint32_t *messages; /* indices at the time of open */
    uint32_t count;
    bool closed;
    bool committed;
    struct box *next;
};

struct conn {
    struct host *host;
    struct kpop_session *session; /* NULL: closed, or not yet opened */
    struct question asked;
    bool is_asked;     /* asked is open */
    bool in_exchange;
    bool kpop;         /* the exchange is KPOP's */
    char mechanism[24]; /* of the exchange */
    struct box *box;
};

struct host {
    const struct kpop_api *api;
    enum answering answering;
    uint64_t seed;       /* of short reads */
    bool short_reads;
    int inside;          /* calls of ours into the module */

    struct message *messages;
    size_t message_count;
    struct user *users;
    size_t user_count;
    struct exchange_row *rows;
    size_t row_count;
    struct fault faults[ASK_KINDS];
    char mechanisms[128];
    bool total_unknown;
    bool total_is_set;
    uint64_t total;
    uint32_t expire;
    uint32_t login_delay;
    char sender[120];    /* `envelope`: of every message */
    char recipient[120];
    char requested[KPOP_USER_MAX + 1]; /* what open was given last */
    bool announces;      /* the policy is said before login as well */

    struct box *boxes;
    struct conn *locked_by;
    struct blob log;     /* "level event line\n" */
    bool done_in_cancel;
    bool held;           /* questions stay open */
    uint64_t questions;
    uint64_t asked[ASK_KINDS];
    unsigned opens;      /* boxes put */
    unsigned closes;
    unsigned cancels;
    unsigned starts;
    unsigned ends;
    char failure[400];   /* the first broken promise; "" = none */
};

void host_init(struct host *host, enum answering answering, uint64_t seed);
void host_free(struct host *host);
/* One line of the file: "message ...", "fault ...", ...  False if unknown. */
bool host_directive(struct host *host, const char *line);
/* The callbacks, with exchange_* or with verify_password and authorize. */
void host_table(struct kpop_host *table, bool exchange);
/* exchange.c: `exchange ...`, its answers, its end. */
bool exchange_add(struct host *host, const char *text);
bool exchange_knows(const struct host *host, const char *mechanism);
int32_t exchange_answer(struct question *question);
void exchange_free(struct host *host);
/* A result by its word. */
bool host_find_result(const char *word, int32_t *out);
/* answer.c: the result of a question, facts put; the box of an open. */
int32_t host_answer(struct question *question);
int32_t host_answer_open(struct question *question);
/* Answers the open question of a connection by done(). */
void host_complete(struct conn *conn);
/* The same with an error; with put_box() before it if it is an open. */
void host_complete_badly(struct conn *conn);
/* Remembers the first failure of the run. */
void host_fail(struct host *host, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* What must hold when every connection is closed. */
void host_check_balance(struct host *host);
/* "deleted 1,3 opens 1 ..."; fails the run where it is not so. */
void host_check(struct host *host, const char *text, bool exchange);
bool host_is_deleted(const struct host *host, uint32_t msgno);
uint64_t host_random(uint64_t *seed);

/* The wire form of message msgno, dots doubled or not; without the last dot.
 * Written plainly, to differ from the module's own. */
void host_wire(const struct host *host, uint32_t msgno, bool stuffed,
               struct blob *out);

#endif
