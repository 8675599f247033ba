/*
 * internal.h - what the engine's files know of each other.
 *
 * engine.c owns the state; the others are told about octets, commands and
 * answers and use the verbs below.  Handlers return nothing: they reply, ask,
 * or set an answer under way, and engine.c goes on from there.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_INTERNAL_H
#define KPOP_INTERNAL_H

#include "kpop/buf.h"
#include "kpop/drop.h"
#include "kpop/engine.h"
#include "kpop/header.h"
#include "kpop/lang.h"
#include "kpop/line.h"
#include "kpop/stuff.h"

/* States; bits, so that a command can be allowed in several. */
enum state {
    IN_NOTHING = 1, /* engine_begin() is still to come */
    IN_HELLO = 2,   /* the KPOP handshake */
    IN_AUTH = 4,    /* RFC 1939 AUTHORIZATION */
    IN_TRANS = 8,   /* TRANSACTION */
    IN_UPDATE = 16, /* COMMIT was asked for */
    IN_TAKEN = 32,  /* the host has the connection */
    IN_CLOSING = 64, /* nothing more is said */
    IN_RESPONSE = 128 /* AUTHORIZATION: a challenge is unanswered */
};

enum {
    ENGINE_CHALLENGE_MAX = 65536, /* of the ABI */
    ENGINE_LIST_RANGE = 64,       /* messages asked for at once */
    ENGINE_SCAN_RANGE = 1024,     /* the same, when nothing is kept of them */
    ENGINE_WORDS_MAX = 512        /* of lists of names */
};

/* What the client sent before POP3 begins. */
struct hello {
    int step;          /* enum hello_step */
    uint32_t want;     /* octets of this step, collected in engine.data */
    bool bad_sendauth; /* answered only after both strings were read */
};

/* Where a login is. */
struct login {
    bool has_name;                 /* USER came, no PASS since */
    bool tried;                    /* KPOP: PASS failed for now, and with: */
    bool proved;                   /* the exchange said yes, OPEN did not */
    bool is_final;                 /* AUTH: the last challenge is out */
    const char *why;               /* AUTH: what an END is answered with */
    char mechanism[ENGINE_MECHANISM_MAX + 1];
    char name[ENGINE_USER_MAX + 1]; /* as the client wrote it */
    char tried_name[ENGINE_USER_MAX + 1];
    char user[ENGINE_USER_MAX + 1]; /* whom the exchange named */
};

/* What is promised about messages and logins (RFC 2449 sections 6.5, 6.7). */
struct policy {
    uint32_t expire;      /* days; UINT32_MAX = never */
    uint32_t login_delay; /* seconds */
};

/* An answer of several requests.  Buffers exist only while it runs. */
struct answer {
    void (*add)(struct engine *engine, uint32_t msg, uint64_t octets,
                const char *uidl); /* LIST, UIDL: a line into listing */
    struct buf listing;  /* of one range */
    uint64_t octets;     /* sum of what this LIST request brought */
    uint32_t msg;        /* the next or the only one */
    uint32_t first;      /* XDELE: where it began, and behind its last */
    uint32_t end;
    uint64_t offset;     /* RETR, TOP: octets read of it */
    uint8_t *window;     /* RETR, TOP: ENGINE_FETCH_SIZE */
    struct stuff stuff;
    bool peek;
    bool looks;          /* RETR, TOP: may the client be shown the header? */
    struct header_look look;
    struct buf header;   /* to be down-converted; then its new form */
};

typedef void answer_fn(struct engine *engine, int64_t result);
typedef void produce_fn(struct engine *engine);

struct engine {
    struct engine_settings settings;
    char *mechanisms; /* by blanks */
    char *banner;
    bool tls_possible;
    bool tls_active;

    enum state state;
    const char *reason;  /* why it closes */
    bool utf8;           /* the client said UTF8 */
    const struct lang *lang; /* NULL: English */
    bool heard;          /* the client has sent something */
    bool logged_in;      /* stays when it closes */
    bool stopping;
    bool input_ended;
    bool midway;         /* an answer has begun and its end is not out */
    bool exchange_open;  /* START said CONTINUE: END is owed on failure */

    struct buf out;
    struct line line;
    struct buf data;     /* secret: handshake, PLAIN message; request.data */
    struct buf response; /* secret: a line of an AUTH exchange */
    struct hello hello;
    struct login login;
    struct drop drop;
    struct policy policy;  /* of this maildrop */
    struct policy anybody; /* before login */
    struct answer answer;
    produce_fn *produce; /* makes the next piece of the answer under way */

    struct engine_request request;
    answer_fn *answered; /* NULL: no request is open */
    int put_error;       /* a fact that did not fit; 0 */
    struct buf challenge;
    bool has_user;       /* put_user came */
    uint32_t msgs_given; /* put_msg came so often */

    struct engine_counts counts;
};

/* ---- engine.c, reply.c and words.c: the verbs ---- */

/*
 * One reply line; CRLF is added.  What stands behind "+OK " or "-ERR " and a
 * response code is said in the language of the client.  tests/style/lang looks
 * for such literals, and for what is marked TEXT(), and wants them translated.
 */
void engine_reply(struct engine *engine, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same for a line without conversions that is no literal here. */
void engine_say(struct engine *engine, const char *line);
/* "-ERR [CODE] text" for a result. */
void engine_reply_error(struct engine *engine, int64_t result,
                        const char *text);
/* The same for what a store answered, whatever it is: [SYS/PERM] or
 * [SYS/TEMP] and what to do; `what` failed. */
void engine_reply_store_error(struct engine *engine, int64_t result,
                              const char *what);
/* After the output the connection ends; reason is a word for the log. */
void engine_close(struct engine *engine, const char *reason);
/* A cleared request whose answer goes to `answered`; fill it in. */
struct engine_request *engine_ask(struct engine *engine,
                                  enum engine_need need, answer_fn *answered);
void engine_greet(struct engine *engine);    /* enters AUTHORIZATION */
/* A line of the exchange is next; the next command again. */
void engine_await_response(struct engine *engine);
void engine_await_command(struct engine *engine);
void engine_log_in(struct engine *engine);   /* enters TRANSACTION */
void engine_update(struct engine *engine);   /* enters UPDATE */
void engine_be_taken(struct engine *engine);
/* The answer under way is complete: its buffers go. */
void engine_answer_done(struct engine *engine);
/* The word is one of the list's. */
bool engine_has_word(const char *words, const char *word, size_t len);
/* The first name at or behind `names` that AUTH takes; NULL: none. */
const char *engine_sasl_name(const char *names, size_t *len_out);

/* ---- hello.c ---- */

void hello_init(struct engine *engine);
size_t hello_feed(struct engine *engine, const uint8_t *data, size_t len);
/* The client was too slow, or the service stops. */
void hello_timeout(struct engine *engine);

/* ---- cmd.c ---- */

struct cmd_args {
    const uint8_t *text; /* behind the blank; counted */
    size_t len;
    bool has_arg;        /* there was a blank */
    bool has_msg;
    uint32_t msg;        /* from 0, exists and is not deleted */
    uint32_t last_msg;   /* of a range; exists and is not before msg */
    uint64_t lines;
};

/* Answers a line. */
void cmd_run(struct engine *engine, const uint8_t *line, size_t len);

/* ---- authz.c: before login ---- */

void authz_user(struct engine *engine, const struct cmd_args *args);
void authz_pass(struct engine *engine, const struct cmd_args *args);
void authz_apop(struct engine *engine, const struct cmd_args *args);
void authz_utf8(struct engine *engine, const struct cmd_args *args);
void authz_quit(struct engine *engine, const struct cmd_args *args);
void authz_stls(struct engine *engine, const struct cmd_args *args);
void authz_unavailable(struct engine *engine, const struct cmd_args *args);
/* No credentials before TLS; answered when true. */
bool authz_is_too_early(struct engine *engine);
/* The exchange has ended with this result: OPEN, or the failure's words. */
void authz_answered(struct engine *engine, int64_t result);
void authz_open(struct engine *engine);
/* Counts it; closes when there were too many. */
void authz_attempt_failed(struct engine *engine, const char *text);
/* Passwords are off because this connection has no TLS. */
bool authz_wants_tls(const struct engine *engine);
void authz_refuse_plaintext(struct engine *engine);

/* ---- auth.c: AUTH ---- */

void auth_run(struct engine *engine, const struct cmd_args *args);
size_t auth_feed(struct engine *engine, const uint8_t *data, size_t len);

/* ---- lang.c ---- */

/* A literal that becomes a part of a reply through lang_text(). */
#define TEXT(literal) (literal)

/* The text in the language of the client, with the same conversions; the text
 * itself where there is no other. */
const char *lang_text(const struct engine *engine, const char *text)
    __attribute__((format_arg(2)));
void lang_run(struct engine *engine, const struct cmd_args *args);

/* ---- sdps.c ---- */

/* Whose password it is that comes for this name; a part of it. */
const char *sdps_account(const struct engine *engine, const char *name);
void sdps_env(struct engine *engine, const struct cmd_args *args);
int sdps_put(struct engine *engine, const char *sender,
             const char *recipient);

/* ---- old.c ---- */

void old_last(struct engine *engine, const struct cmd_args *args);
void old_xdele(struct engine *engine, const struct cmd_args *args);

/* ---- capa.c ---- */

void capa_run(struct engine *engine, const struct cmd_args *args);

/* ---- trans.c and retr.c: after login ---- */

void trans_stat(struct engine *engine, const struct cmd_args *args);
void trans_list(struct engine *engine, const struct cmd_args *args);
void trans_uidl(struct engine *engine, const struct cmd_args *args);
void trans_dele(struct engine *engine, const struct cmd_args *args);
void trans_noop(struct engine *engine, const struct cmd_args *args);
void trans_rset(struct engine *engine, const struct cmd_args *args);
void trans_quit(struct engine *engine, const struct cmd_args *args);
void retr_retr(struct engine *engine, const struct cmd_args *args);
void retr_top(struct engine *engine, const struct cmd_args *args);

#endif
