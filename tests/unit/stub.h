/*
 * stub.h - a host for unit tests of the module: two messages, alice with the
 * password "secret", and each answer open to change.  It counts what must
 * happen exactly once and keeps the log.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_STUB_H
#define KPOP_TESTS_STUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/kpop_plugin.h"

enum stub_mode {
    STUB_RETURNS, /* the answer is the callback's result */
    STUB_INSIDE,  /* done() inside the callback */
    STUB_LATER    /* kept until stub_answer() */
};

enum stub_question {
    STUB_START,
    STUB_STEP,
    STUB_AUTHORIZE,
    STUB_PASSWORD,
    STUB_OPEN,
    STUB_LIST,
    STUB_FETCH,
    STUB_COMMIT,
    STUB_QUESTIONS
};

enum { STUB_LOG_MAX = 16384, STUB_OUT_MAX = 65536 };

/* Both the host's context and its conn: one session at a time. */
struct stub {
    struct kpop_plugin *plugin;
    const struct kpop_api *api;
    struct kpop_session *session;
    enum stub_mode mode;
    int32_t answers[STUB_QUESTIONS]; /* instead of the usual one, if not 0 */
    bool silent[STUB_QUESTIONS];     /* put nothing */
    bool close_inside[STUB_QUESTIONS]; /* session_close in the callback */
    struct kpop_op *kept;            /* the open question */
    int32_t kept_answer;
    unsigned asked[STUB_QUESTIONS];
    unsigned starts;                 /* that did not answer an error */
    unsigned ends;
    unsigned boxes;                  /* put_box() */
    unsigned closes;
    unsigned cancels;
    unsigned deleted;
    unsigned misuses;                /* host.misuse in the log */
    bool end_in_cancel;              /* done() inside cancel() */
    size_t log_len;
    char log[STUB_LOG_MAX];          /* "event line\n" ... */
    size_t out_len;
    char out[STUB_OUT_MAX];          /* what the client got */
};

/* The tables: own mechanisms, or exchange_*. */
extern const struct kpop_host stub_passwords;
extern const struct kpop_host stub_exchange;

/* A plugin that is ready; CHECKs. */
void stub_begin(struct stub *stub, const struct kpop_host *table);
/* The same without CHECKs, for tests in which memory runs out. */
int32_t stub_try_begin(struct stub *stub, const struct kpop_host *table);
/* A session on "pop3" or "kpop" at time 0; its greeting is in out. */
int32_t stub_connect(struct stub *stub, const char *service);
/* All octets, and all output into out, until nothing moves. */
void stub_say(struct stub *stub, const char *text);
void stub_say_bytes(struct stub *stub, const void *data, size_t len);
/* Takes what output there is. */
void stub_drain(struct stub *stub);
/* Answers the kept question by done(); false when there is none. */
bool stub_answer(struct stub *stub);
void stub_answer_all(struct stub *stub);
void stub_hangup(struct stub *stub);
/* Frees; CHECKs that boxes and exchanges were closed exactly once. */
void stub_end(struct stub *stub);
/* out has it. */
bool stub_got(const struct stub *stub, const char *text);
bool stub_logged(const struct stub *stub, const char *text);

#endif
