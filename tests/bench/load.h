/*
 * load.h - what the parts of the load generator share: the options, a session
 * and what it waits for.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_BENCH_LOAD_H
#define KPOP_TESTS_BENCH_LOAD_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/tickets.h"

enum way { WAY_USER, WAY_PLAIN, WAY_APOP, WAY_CRAM, WAY_GSSAPI, WAY_KPOP };
enum security { SECURITY_NONE, SECURITY_STLS, SECURITY_POP3S };

enum {
    HELD_MAX = 2048,       /* an answer that has not come whole */
    STAMP_MAX = 128,       /* of APOP */
    SAY_MAX = 4096,        /* a line, an AP-REQ */
    BUFFER_SIZE = 1 << 18, /* what is read at once */
    SPARE_MAX = 4096       /* TLS sessions to resume */
};

struct options {
    const char *address;
    int port;
    enum way way;
    enum security security;
    bool resume;
    const char *steps; /* a letter each, see script.c */
    bool holds;        /* sessions stay until the input ends */
    unsigned long connections; /* under way at once */
    unsigned long sessions;
    unsigned long pipeline; /* RETRs sent at once */
    unsigned long repeat;   /* how often all messages are retrieved */
    double rate;            /* sessions begun a second; 0: when one ends */
    const char *user;       /* names are this and a number */
    const char *password;
    unsigned long first; /* the first number */
    unsigned long users;
    const char *service; /* the principal that tickets are for */
};

/* What the server has to say next. */
enum expect {
    EXPECT_LINE,
    EXPECT_BODY,   /* up to the line with a dot */
    EXPECT_OCTETS, /* as many as wanted */
    EXPECT_FRAME,  /* a length of four octets and so many */
    EXPECT_TLS,    /* the rest of a handshake */
    EXPECT_END     /* that it closes */
};

struct load;
struct session;

/* The answer is whole: what follows. */
typedef void next_step(struct session *session, const char *answer,
                       size_t len);

struct session {
    struct load *load;
    int fd;
    SSL *ssl;
    enum expect expect;
    size_t wanted;
    next_step *next;
    unsigned matched; /* octets of the end of a body */
    char held[HELD_MAX];
    size_t held_len;
    char stamp[STAMP_MAX];
    unsigned long number; /* of all sessions, from 0 */
    unsigned long user;   /* from 0 */
    uint64_t began;       /* ns; of when it was due */
    const char *step;
    unsigned long messages; /* in the maildrop */
    unsigned long due;      /* commands to be sent */
    unsigned long sent;     /* of which no answer has come */
    struct gss_login *gss;
};

struct load {
    struct options options;
    struct session *slots;
    int epoll;
    SSL_CTX *tls;
    SSL_SESSION *spare[SPARE_MAX];
    size_t spares;
    struct tickets *tickets;
    bool *busy;             /* users that are logging or logged in */
    unsigned long next;     /* user, if not busy */
    unsigned long begun;
    unsigned long held; /* logged in, and staying */
    unsigned long done;
    double *login_ms;
    double *session_ms;
    unsigned long offered; /* handshakes that would resume */
    unsigned long resumed;
    unsigned long messages;
    uint64_t octets;
    char buffer[BUFFER_SIZE];
};

/* ---- line.c: a connection ---- */

void line_connect(struct session *session);

/* Sends all of it. */
void line_send(struct session *session, const void *octets, size_t len);

void line_await(struct session *session, enum expect expect, next_step *next);

/* A handshake begins. */
void line_secure(struct session *session, next_step *next);

/* There is something to read. */
void line_read(struct session *session);

void line_close(struct session *session);

SSL_CTX *line_tls(struct load *load);

/* ---- login.c: how a session begins ---- */

void login_begin(struct session *session);

/* ---- script.c: what it does then ---- */

/* The letters of a work, or NULL. */
const char *script_steps(const char *work);

/* The work, of a session that is logged in. */
void script_work(struct session *session);

/* Sends a line and waits for one. */
__attribute__((format(printf, 3, 4))) void
script_say(struct session *session, next_step *next, const char *format, ...);

/* Ends the program unless the answer begins so. */
void script_must_be(const struct session *session, const char *start,
                    const char *answer, size_t len);

/* ---- sessions.c: which of them run ---- */

/* Until all have ended or are held. */
void sessions_run(struct load *load);

/* What login.c and script.c tell of one. */
void sessions_logged_in(struct session *session);
void sessions_hold(struct session *session);
void sessions_end(struct session *session);

#endif
