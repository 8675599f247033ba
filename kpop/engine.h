/*
 * engine.h - the protocol: KPOP preamble and POP3, without any I/O.
 *
 * An engine is one connection.  It takes octets of the client, gives octets
 * for it, and emits requests ("open this maildrop", "read this message") that
 * whoever drives it (plugin/session.c) performs and answers.  It calls nobody,
 * opens nothing, knows no time and keeps at most one octet a message, one line
 * and two fixed windows of memory.
 *
 * The driver's loop:
 *
 *   while there is something to do:
 *     if engine_request() gives one:  perform it, engine_put_*(),
 *                                     engine_answer()
 *     else if input is left:          engine_input(); 0 taken = not now
 *     else stop
 *   send engine_output(), report by engine_wrote(), and loop again
 *
 * After each call the driver asks engine_request() again: long answers are
 * produced as the output drains, one window at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_ENGINE_H
#define KPOP_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kpop/status.h"

struct engine;

/* Limits, in octets, each with its reason. */
enum {
    ENGINE_LINE_MAX = 255,           /* RFC 2449 section 4, with CRLF */
    ENGINE_REPLY_MAX = 512,          /* RFC 2449 section 4, with CRLF */
    ENGINE_SWALLOW_MAX = 65536,      /* of an overlong line; then it closes */
    ENGINE_RESPONSE_MAX = 65536,     /* a line inside AUTH; PACs are large */
    ENGINE_MECHANISM_MAX = 20,       /* RFC 4422 section 3.1 */
    ENGINE_AP_REQ_MAX = 128 * 1024,  /* tickets with a PAC reach 64 KiB */
    ENGINE_FETCH_SIZE = 16 * 1024,   /* one read of a message */
    ENGINE_OUTPUT_HIGH = 16 * 1024,  /* produce nothing above this */
    ENGINE_FAILURES_MAX = 3,         /* failed logins a connection */
    ENGINE_HEADER_MAX = 64 * 1024,   /* of a message, to be down-converted */
    ENGINE_USER_MAX = 255,
    ENGINE_UIDL_MAX = 70
};

#define ENGINE_OCTETS_UNKNOWN UINT64_MAX

/* What is not spoken unless a site wants it; a set. */
enum {
    OPTION_SDPS = 1,
    OPTION_LAST = 2,
    OPTION_XDELE = 4,
    OPTION_UTF8 = 8, /* RFC 6856; without, headers are sent as they are */
    OPTION_DOWNGRADE = 16, /* ... RFC 6858 instead of -ERR [UTF8] */
    OPTION_NO_NULS = 32,
    OPTION_HEADER_END = 64 /* also where a message has no blank line */
};

/* Lent to the engine for its whole life. */
struct engine_settings {
    bool kpop;                   /* the Kerberos handshake comes first */
    const char *hostname;        /* in the greeting */
    const char *implementation;  /* CAPA line after login: "kpop-0.1.0" */
    const char *kpop_versions;   /* accepted application strings, by blanks */
    bool plaintext_needs_tls;    /* why USER is off, for the error text */
    bool tls_required;           /* no login of any kind before TLS */
    unsigned options;            /* OPTION_* */
    const char *language;        /* what LANG * chooses; NULL = English */
};

/* What the engine wants done.  One at a time. */
enum engine_need {
    ENGINE_START,    /* exchange: mechanism, data/len (NULL = none came) */
    ENGINE_STEP,     /* exchange: data/len */
    ENGINE_END,      /* exchange: given up before its end; answered at once */
    ENGINE_REFUSE,   /* KPOP: put_challenge a KRB_ERROR of krb_code, text */
    ENGINE_OPEN,     /* user, requested, mechanism */
    ENGINE_LIST,     /* first, count */
    ENGINE_FETCH,    /* msg, offset, buffer, size, peek */
    ENGINE_ENVELOPE, /* msg */
    ENGINE_COMMIT,   /* marks, count; the driver closes the box as well */
    ENGINE_TLS       /* STLS: answered OK when TLS stands */
};

struct engine_request {
    enum engine_need need;
    const char *mechanism; /* START, OPEN */
    const uint8_t *data;   /* START, STEP */
    size_t len;
    int krb_code;          /* REFUSE: 0..127, RFC 4120 section 7.5.9 */
    const char *text;      /* REFUSE: for the user */
    const char *user;      /* OPEN: whom the exchange named */
    const char *requested; /* OPEN: as the client wrote it */
    uint32_t first;        /* LIST */
    uint32_t count;        /* LIST, COMMIT */
    uint32_t msg;          /* FETCH, ENVELOPE: 0-based */
    uint64_t offset;       /* FETCH */
    void *buffer;          /* FETCH: filled by the driver, engine's own */
    uint32_t size;         /* FETCH */
    bool peek;             /* FETCH: for TOP */
    const uint8_t *marks;  /* COMMIT: one octet a message, MARK_* */
};

/* Bits of a mark; the values of the ABI. */
enum { MARK_DELETE = 1, MARK_RETRIEVED = 2 };

/* Which clock runs. */
enum engine_timer {
    ENGINE_TIMER_FIRST, /* KPOP: nothing at all has come yet (about 10 s) */
    ENGINE_TIMER_LOGIN, /* from connect until login, never restarted */
    ENGINE_TIMER_IDLE,  /* after login; restarted by commands and output */
    ENGINE_TIMER_NONE   /* closing */
};

/* What happened, for the driver's counters. */
struct engine_counts {
    uint64_t commands;
    uint64_t retrieved;
    uint64_t deleted;      /* marks handed to a commit that succeeded */
    uint32_t failures;     /* failed logins */
};

/* NULL when there is no memory.  Says nothing yet. */
struct engine *engine_new(const struct engine_settings *settings) MUST_USE;
void engine_free(struct engine *engine); /* NULL is allowed; wipes */

/*
 * The mechanisms that work on this connection now, by blanks, such as "KPOP
 * USER GSSAPI PLAIN"; copied.  Before engine_begin and again after STLS.
 */
int engine_set_mechanisms(struct engine *engine, const char *names) MUST_USE;
bool engine_has_mechanism(const struct engine *engine, const char *name);
/* The APOP time-stamp "<...>" of the greeting; "" = none. */
int engine_set_banner(struct engine *engine, const char *banner) MUST_USE;
/* What CAPA promises to everybody: days or UINT32_MAX, and seconds. */
void engine_set_policy(struct engine *engine, uint32_t expire,
                       uint32_t login_delay);
/* STLS can be done; TLS is on already. */
void engine_set_tls(struct engine *engine, bool possible, bool active);
/* The connection stands: a pop3 listener greets now. */
void engine_begin(struct engine *engine);

/*
 * Octets of the client.  Returns how many were used; the rest must be offered
 * again later (a request is open, or the client does not read).  Once the
 * engine closes it uses everything and does nothing.
 */
size_t engine_input(struct engine *engine, const uint8_t *data, size_t len);
/* No more input will come; call when all of it was used. */
void engine_input_end(struct engine *engine);
/* The clock of engine_timer() ran out. */
void engine_timeout(struct engine *engine);
/* The service goes down: says so when idle, finishes what is running. */
void engine_stop(struct engine *engine);
/* Out of memory or out of contract in the driver: says so, closes. */
void engine_abort(struct engine *engine);

size_t engine_output(const struct engine *engine, const uint8_t **data_out);
void engine_wrote(struct engine *engine, size_t len);

/* The open request, or NULL; stays the same until engine_answer(). */
const struct engine_request *engine_request(struct engine *engine);
/*
 * Answers it: the result; for FETCH the octets read.  An exchange is over with
 * any result but CONTINUE; on the kpop listener a STEP that answered TEMP or
 * NO_MEMORY may come again.  Facts come before, by
 * engine_put_*; one that does not fit (too many, too long, forbidden octets,
 * not asked for) answers STATUS_INVALID and fails the request.
 */
void engine_answer(struct engine *engine, int64_t result);
int engine_put_challenge(struct engine *engine, const void *data, size_t len);
int engine_put_user(struct engine *engine, const char *user);
int engine_put_box(struct engine *engine, uint32_t count, uint64_t octets);
int engine_put_policy(struct engine *engine, uint32_t expire,
                      uint32_t login_delay);
int engine_put_msg(struct engine *engine, uint64_t octets, const char *uidl);
int engine_put_envelope(struct engine *engine, const char *sender,
                        const char *recipient);

enum engine_timer engine_timer(const struct engine *engine);
bool engine_wants_input(const struct engine *engine);
bool engine_is_closing(const struct engine *engine); /* after the output */
bool engine_is_taken(const struct engine *engine);
bool engine_is_logged_in(const struct engine *engine);
const char *engine_user(const struct engine *engine); /* "" before login */
/* Why it ended, a word for the log: "quit", "eof", "timeout", ... */
const char *engine_end_reason(const struct engine *engine);
void engine_get_counts(const struct engine *engine,
                       struct engine_counts *counts_out);

#endif
