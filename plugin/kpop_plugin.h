/*
 * kpop_plugin.h - the ABI between the kpop module and a mail suite.
 *
 * kpop.so speaks KPOP (Kerberized POP, port 1109) and POP3 for a host: a mail
 * suite that moves bytes and answers two kinds of question, who may come in
 * and what is in the mailbox.  This file is all that a host needs; it includes
 * nothing but <stddef.h> and <stdint.h> and is clean C99 and C++.
 * plugin/host/null.c is a whole host in under 150 lines; read it beside this.
 *
 * SPDX-License-Identifier: MIT
 *
 *
 * The guarantee
 *
 *   The module opens no socket, makes no thread, forks not, sets no timer and
 *   no signal handler; it is told the time.  It calls the host only while the
 *   host is calling it.  One session is used by one thread at a time;
 *   different sessions may be used in parallel.  (serve() alone reads and
 *   writes the descriptors it is given.)
 *
 * The life of a module
 *
 *   kpop_plugin_entry  once; gives the plugin and the table of functions
 *   declare, set, load any number of times; set wins over load
 *   ready              checks the whole configuration; only then sessions
 *   service            which listeners the configuration asks for
 *   session_new ...    as many as the host likes
 *   free               after the last session was closed and the last op done
 *
 * The life of a session
 *
 *   session_new        the connection was accepted
 *   loop:              send output() and report it by wrote(); when wants()
 *                      says READ, receive and hand over by input(); when
 *                      deadline() has come, tick()
 *   wants() has CLOSE  once output() is empty: shut the sending side down,
 *                      read and discard for a moment (2 s, 64 KiB) so that no
 *                      reset destroys the last answer, close the socket
 *   session_close      exactly once, always; the pointer is dead afterwards.
 *                      conn lives on while a question of the session's is
 *                      open: its done() may still close a box through it
 *
 * Questions
 *
 *   A callback that is given a `struct kpop_op *` is a question.  It answers
 *   by its result: >= 0 done, KPOP_PENDING, or another negative KPOP_ code.
 *   Facts that do not fit into a result are handed over before that, by
 *   put_*(op, ...), which copy.  KPOP_PENDING says "I kept the op and shall
 *   call done(op, result) exactly once": still inside the callback, later, or
 *   even after session_close.  done() and put_*() count as using the session:
 *   a store thread posts to the session's own thread, which calls them.
 *   What a question points to (names, buffers, facts, marks) stays valid until
 *   it is answered.  A session has at most one question open at a time.
 *   A host that can block just returns the answer and never needs done().
 *
 *   libsasl2 has one state for the process and counts its users without a
 *   lock.  The module starts it for each GSSAPI login and leaves it then, so
 *   that a host which starts it later is heard by it.  A host that uses it as
 *   well, or wants its modules loaded once, calls sasl_server_init() before
 *   ready() and sasl_done() after free().
 *
 * Memory and strings
 *
 *   Nothing allocated on one side is freed on the other.  A `const char *` is
 *   NUL-terminated and never NULL; "" means none.  Bytes are (pointer, size)
 *   and not terminated.  Sizes are octets, times are milliseconds of any
 *   monotonic clock of the host's, durations in the configuration are seconds.
 *
 * Growth
 *
 *   Every struct begins with its size, set by the side that fills it.  Minor
 *   versions only append.  The module copies min(its size, the host's): a
 *   callback that is missing or NULL is a feature that is off.  A host must
 *   look at `size` before it uses a member newer than the header it was built
 *   with, and never allocates a struct that the module fills by itself except
 *   with `size` set.  Major 1 is frozen: a host that was built for 1.0 runs
 *   with every module of major 1.
 */
#ifndef KPOP_PLUGIN_H
#define KPOP_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KPOP_ABI_MAJOR 1u
#define KPOP_ABI_MINOR 1u

/*
 * Results.  "To the client" says which answer a result turns into.
 */
#define KPOP_OK           0 /* done */
#define KPOP_CONTINUE     1 /* exchange: put_challenge was called, go on */
#define KPOP_TAKEN        2 /* exchange: the host keeps the connection */
#define KPOP_PENDING    (-1) /* done(op, ...) will be called */
#define KPOP_AUTH       (-2) /* bad credentials: -ERR [AUTH] */
#define KPOP_DENIED     (-3) /* good ones, but not for this: -ERR [AUTH] */
#define KPOP_TEMP       (-4) /* try again later: -ERR [SYS/TEMP] */
#define KPOP_PERM       (-5) /* an admin must mend it: -ERR [SYS/PERM] */
#define KPOP_IN_USE     (-6) /* the maildrop is locked: -ERR [IN-USE] */
#define KPOP_DELAY      (-7) /* too soon after the last: -ERR [LOGIN-DELAY] */
#define KPOP_GONE       (-8) /* the message is no longer there: -ERR */
#define KPOP_INVALID    (-9) /* the call or its arguments break this ABI */
#define KPOP_NO_MEMORY (-10) /* -ERR [SYS/TEMP] */

/* Levels of log(). */
#define KPOP_LOG_ERROR   0u /* an admin must act */
#define KPOP_LOG_WARNING 1u
#define KPOP_LOG_INFO    2u /* one line a login, a refusal, a session end */
#define KPOP_LOG_DEBUG   3u

/* open: the total of the maildrop is not known without listing it. */
#define KPOP_UNKNOWN UINT64_MAX

/* fetch: for TOP; the message is not being retrieved. */
#define KPOP_FETCH_PEEK 1u

/* commit: bits in the array of marks, one octet a message. */
#define KPOP_MARK_DELETE    1u
#define KPOP_MARK_RETRIEVED 2u

/* put_policy: days a message is kept after it was retrieved; with 0 the module
 * itself marks what was retrieved for deletion. */
#define KPOP_EXPIRE_NEVER UINT32_MAX

/* Limits of this ABI, in octets. */
#define KPOP_READ_MAX     16384u /* what one input() takes when READ is on */
#define KPOP_FETCH_MAX    65536u /* largest buffer given to fetch() */
#define KPOP_UIDL_MAX        70u /* RFC 1939 section 7, 0x21 to 0x7E */
#define KPOP_USER_MAX       255u /* a user name, without its NUL */
#define KPOP_CHALLENGE_MAX 65536u

/* wants() and facts.flags are sets of these. */
#define KPOP_WANT_READ    1u /* input() will take up to KPOP_READ_MAX octets */
#define KPOP_WANT_WRITE   2u /* output() has something */
#define KPOP_WANT_CLOSE   4u /* nothing more will come after the output */
#define KPOP_WANT_TLS     8u /* output drained: start TLS, tls_started() */
#define KPOP_IS_BUSY     16u /* a question is open */
#define KPOP_IS_TAKEN    32u /* output drained: the connection is the host's */
#define KPOP_IS_LOGGED_IN 64u /* past authentication: TRANSACTION or UPDATE */
#define KPOP_IS_PARTED 128u /* with WANT_CLOSE: the client has said QUIT, and
                             * sends no more (since 1.1) */

#define KPOP_FACT_HOST_TLS 1u /* the host does STLS when WANT_TLS asks */

struct kpop_plugin;
struct kpop_session;
struct kpop_exchange;
struct kpop_op;

/*
 * What is known about a connection.  The host fills it for session_new() and
 * tls_started(), the module passes it on with each question and adds what its
 * own TLS learned.  All of it is copied by the callee.  In what the host
 * fills, but not in what it is given, NULL may stand for "".
 */
struct kpop_facts {
    uint32_t size;
    uint32_t flags;            /* KPOP_FACT_* */
    const char *service;       /* "kpop", "pop3" or "pop3s": the listener */
    const char *session_id;    /* for log lines; "" = the module makes one */
    const char *peer_address;  /* numeric, after PROXY; "" = unknown */
    const char *local_address;
    uint32_t peer_port;
    uint32_t local_port;
    uint32_t ssf;              /* strength of protection in bits, 0 = clear */
    uint32_t reserved;         /* 0 */
    const char *tls_version;   /* "TLSv1.3"; "" = no TLS */
    const char *tls_cipher;
    const char *tls_server_name;   /* SNI */
    const void *client_certificate; /* DER, verified; size 0 = none */
    size_t client_certificate_size;
    const char *binding_type;  /* RFC 5056: "tls-exporter", ... */
    const void *binding;
    size_t binding_size;
    const void *end_point; /* RFC 5929: tls-server-end-point, a hash of the */
    size_t end_point_size; /* server's certificate; 0 = unknown */
    const void *finished;  /* the handshake's first Finished message, of TLS */
    size_t finished_size;  /* 1.3, too, where some GSSAPI clients bind to it */
};

/* Who somebody proved to be, and as whom they wish to read mail. */
struct kpop_identity {
    uint32_t size;
    uint32_t reserved;      /* 0 */
    const char *mechanism;  /* "KPOP", "PLAIN", "GSSAPI", ... */
    const char *authcid;    /* proved: "alice@EXAMPLE.ORG", or a user name */
    const char *requested;  /* mailbox asked for (USER, authzid); "" = none */
    /*
     * The mailbox the module's configuration gives to authcid when it asks
     * for `requested`: principal_map, realms, auth_to_local, .k5login, in
     * this order; for a password the user itself.  Whitelisted characters.
     * "" = the configuration gives none: refuse, or know better.
     */
    const char *local;
    const struct kpop_facts *facts;
};

/* Which maildrop to open. */
struct kpop_open {
    uint32_t size;
    uint32_t reserved;      /* 0 */
    const char *user;       /* what put_user said */
    const char *requested;  /* as the client wrote it (SDPS: user@host) */
    const char *mechanism;
    const struct kpop_facts *facts;
    const void *credential; /* put_credential, e.g. a delegated ticket */
    size_t credential_size;
};

/*
 * The host's half.  `host` is the pointer given to kpop_plugin_entry, `conn`
 * the one given to session_new() or exchange_new(), `box` the host's own name
 * for an opened maildrop.
 *
 * Mandatory: log; and either authorize, or exchange_mechanisms, _start, _step
 * and _end together.  For sessions also either open, list, fetch, commit and
 * close together, or an exchange that always answers KPOP_TAKEN; a host that
 * only runs exchange_new() has neither.
 */
struct kpop_host {
    uint32_t size;    /* sizeof(struct kpop_host) */
    uint32_t version; /* KPOP_ABI_MINOR */

    /*
     * Mandatory.  One event: `event` is a stable id ("auth.fail", listed in
     * the manual), `line` its facts as "key=value ..." without line ends,
     * control characters or secrets.  conn is NULL outside a session.
     */
    void (*log)(void *host, void *conn, uint32_t level, const char *event,
                const char *line);

    /*
     * Mandatory unless exchange_* is there.  Asked after every mechanism,
     * passwords included: may this identity read this mailbox?  Nothing is
     * allowed by default.  KPOP_OK after put_user(op, mailbox owner);
     * KPOP_AUTH, KPOP_DENIED (the client can't tell the two apart),
     * KPOP_TEMP, KPOP_PERM, KPOP_DELAY.
     */
    int32_t (*authorize)(void *conn, struct kpop_op *op,
                         const struct kpop_identity *identity);

    /*
     * Optional: without it USER/PASS and PLAIN are off.  The password is
     * counted octets, may hold any of them, and is wiped when the answer is
     * there.  An unknown user must cost the same time and answer KPOP_AUTH.
     * KPOP_OK, KPOP_AUTH, KPOP_TEMP.
     */
    int32_t (*verify_password)(void *conn, struct kpop_op *op,
                               const char *user, const void *password,
                               size_t password_size);

    /*
     * Optional: without it APOP, CRAM-MD5 and SCRAM are off.  KPOP_OK after
     * put_secret(); KPOP_AUTH for an unknown user (a dummy digest is computed
     * all the same); KPOP_TEMP.
     */
    int32_t (*lookup_secret)(void *conn, struct kpop_op *op, const char *user,
                             const char *mechanism);

    /*
     * Optional, all four or none: authentication happens elsewhere (another
     * process, the suite's own service).  They replace the three above.
     *
     * A host may have both.  `authorize` is asked then when the module runs
     * GSSAPI itself: with max_ssf above 0, because the keys of a security
     * layer must be where the octets are.
     *
     * exchange_mechanisms: put_mechanisms(op, "KPOP USER GSSAPI PLAIN"), what
     * works for these facts; must not answer KPOP_PENDING.  "KPOP" is the
     * Kerberos handshake of the kpop listener, "USER" is USER and PASS, all
     * others are names for AUTH (and APOP).
     *
     * exchange_start: first bytes of the client for that mechanism; data is
     * NULL when it sent none, non-NULL with size 0 when it sent an empty
     * initial response.  exchange_step: the bytes that follow.  Results:
     * KPOP_CONTINUE after put_challenge(); KPOP_OK after put_user(), perhaps
     * put_challenge() (final data of the server) and put_credential(), which
     * is forgotten unless it is this login that opens the mailbox;
     * KPOP_TAKEN; KPOP_AUTH, KPOP_DENIED, KPOP_TEMP, KPOP_PERM, KPOP_DELAY,
     * which may come after put_challenge() (for KPOP: the KRB_ERROR to send).
     *
     * "KPOP": start gets the AP-REQ, puts the AP-REP (nothing when the client
     * does not want mutual authentication) and answers CONTINUE; step gets
     * the name of USER and answers as authorize does.  After KPOP_TEMP the
     * same step may be asked again.
     * "PLAIN" also carries USER and PASS: "" NUL user NUL password.
     * "APOP": banner SP user SP digest.
     *
     * exchange_end: exactly once for each start that did not answer an error,
     * after success, failure, cancellation or hang-up; no put_* in it.
     */
    int32_t (*exchange_mechanisms)(void *conn, struct kpop_op *op,
                                   const struct kpop_facts *facts);
    int32_t (*exchange_start)(void *conn, struct kpop_op *op,
                              const struct kpop_facts *facts,
                              const char *mechanism, const void *data,
                              size_t size);
    int32_t (*exchange_step)(void *conn, struct kpop_op *op,
                             const struct kpop_facts *facts, const void *data,
                             size_t size);
    void (*exchange_end)(void *conn);

    /*
     * Opens a maildrop and locks it for this session alone (RFC 1939 section
     * 4).  KPOP_OK after put_box() and perhaps put_policy(); KPOP_IN_USE,
     * KPOP_TEMP, KPOP_PERM, KPOP_DELAY.  The messages and their numbers stay
     * as they are at this moment until close.
     */
    int32_t (*open)(void *conn, struct kpop_op *op,
                    const struct kpop_open *what);

    /*
     * The messages first .. first + count - 1, counted from 0: one put_msg()
     * each, in this order, deleted ones included.  KPOP_OK, KPOP_TEMP,
     * KPOP_PERM.  `box` here and below is what put_box() was given.
     */
    int32_t (*list)(void *conn, struct kpop_op *op, void *box, uint32_t first,
                    uint32_t count);

    /*
     * Like pread(2): octets of a message from offset, as stored, with LF or
     * CRLF line ends (the module makes the wire form).  Returns how many, at
     * most size; 0 is the end; KPOP_GONE, KPOP_TEMP, KPOP_PERM.  An error
     * after the first octets drops the connection, so that the client does
     * not take half a message for a whole one.
     */
    int32_t (*fetch)(void *conn, struct kpop_op *op, void *box, uint32_t msg,
                     uint64_t offset, void *buffer, uint32_t size,
                     uint32_t flags);

    /*
     * Optional: without it SDPS is off.  KPOP_OK after put_envelope(); "" is
     * the null sender, or a recipient that is not known.  With the key `sdps`
     * a name user@hostname or user+hostname logs in as hostname; open() gets
     * it as `requested` and shows only what was sent to that user, each
     * message with a Return-Path field on top.
     */
    int32_t (*envelope)(void *conn, struct kpop_op *op, void *box,
                        uint32_t msg);

    /*
     * QUIT: removes what is marked KPOP_MARK_DELETE, nothing else.  Asked at
     * most once a box, also when nothing is marked; never after a hang-up
     * without QUIT.  KPOP_OK only when every deletion is durable; else
     * KPOP_TEMP or KPOP_PERM ("some deleted messages not removed").
     */
    int32_t (*commit)(void *conn, struct kpop_op *op, void *box,
                      const uint8_t *marks, uint32_t count);

    /* Exactly once for each put_box(): unlocks, deletes nothing. */
    void (*close)(void *conn, void *box);

    /* Optional: the answer to op is no longer wanted; said once at most.  A
     * hint: done() is still called. */
    void (*cancel)(void *conn, struct kpop_op *op);

    /* Version 1.0 ends here. */

    /*
     * Optional: put_policy(op, ...), what CAPA says before login, when nobody
     * is known yet, and after it, unless open says something else.  Must not
     * answer KPOP_PENDING.  Without it: EXPIRE NEVER and no LOGIN-DELAY.  The
     * host enforces what it says: by KPOP_DELAY of open, and by removing what
     * is too old.
     */
    int32_t (*policy)(void *conn, struct kpop_op *op,
                      const struct kpop_facts *facts);

    /* Version 1.1 ends here. */
};

/* A listener the configuration asks for. */
struct kpop_service {
    uint32_t size;
    uint32_t port;         /* 0 = any free one */
    uint32_t implicit_tls; /* 1 = TLS from the first octet (995) */
    uint32_t reserved;
    const char *name;      /* for facts.service */
    const char *address;   /* numeric, or "*" = IPv6 and IPv4; until reload */
};

/* Kinds of configuration value. */
#define KPOP_KEY_TEXT     0u
#define KPOP_KEY_PATH     1u /* absolute */
#define KPOP_KEY_NUMBER   2u /* decimal, within min and max */
#define KPOP_KEY_SECONDS  3u /* the same, a duration */
#define KPOP_KEY_YES_NO   4u
#define KPOP_KEY_LIST     5u /* words separated by blanks */
#define KPOP_KEY_CHOICE   6u /* one of the words in `choices` */
#define KPOP_KEY_LISTEN   7u /* words ADDRESS:PORT */

/* A key of the configuration file that belongs to the host. */
struct kpop_key {
    uint32_t size;
    uint32_t kind;              /* KPOP_KEY_* */
    uint64_t min;               /* numbers only */
    uint64_t max;
    const char *name;
    const char *default_value;  /* "" = none */
    const char *choices;        /* KPOP_KEY_CHOICE: "tls always never" */
    const char *help;           /* a sentence */
};

/* Where a value comes from. */
#define KPOP_FROM_DEFAULT 0u
#define KPOP_FROM_FILE    1u
#define KPOP_FROM_HOST    2u /* set() */

/* A key and the value in force; lent until the next declare, set, load or
 * reload. */
struct kpop_setting {
    uint32_t size;
    uint32_t origin;            /* KPOP_FROM_* */
    uint32_t line;              /* in the file; 0 = it says nothing */
    uint32_t reserved;          /* 0 */
    const struct kpop_key *key; /* look at its size */
    const char *value;
};

/* Counters of a plugin since it was made; all sessions together. */
struct kpop_stats {
    uint32_t size;
    uint32_t sessions_open;
    uint64_t sessions;
    uint64_t logins;
    uint64_t login_failures; /* bad credentials or not allowed */
    uint64_t kpop_refusals;  /* KPOP handshakes that ended before a greeting */
    uint64_t commands;
    uint64_t octets_in;      /* on the wire */
    uint64_t octets_out;
    uint64_t messages_retrieved;
    uint64_t messages_deleted;
    uint64_t commits_failed;
};

/* What an exchange has to say; lent until its next step or its end. */
struct kpop_outcome {
    uint32_t size;
    uint32_t reserved;
    const void *challenge;
    size_t challenge_size;
    const char *user;        /* after KPOP_OK */
    const char *authcid;     /* "" before it is proved */
    const void *credential;
    size_t credential_size;
};

/*
 * The module's half.  Functions that take (error, error_size) write one
 * sentence there, always terminated; size 0 with NULL is allowed.
 */
struct kpop_api {
    uint32_t size;
    uint32_t version; /* KPOP_ABI_MINOR of the module */
    const char *name; /* "kpop 0.1.0" */

    /* ---- configuration: one thread at a time ---- */

    /* Tells the module a key of the host's; copied.  Before load.
     * KPOP_INVALID: a name that is taken or not a key. */
    int32_t (*declare)(struct kpop_plugin *plugin, const struct kpop_key *key);
    /* Sets one key, stronger than the file.  KPOP_INVALID with a sentence. */
    int32_t (*set)(struct kpop_plugin *plugin, const char *key,
                   const char *value, char *error, size_t error_size);
    /* Reads a file of `key = value` lines.  KPOP_INVALID with
     * "FILE:LINE: sentence". */
    int32_t (*load)(struct kpop_plugin *plugin, const char *path, char *error,
                    size_t error_size);
    /* The text of a key, its default included; NULL for an unknown key.
     * Lent until the next set, load or reload. */
    const char *(*get)(struct kpop_plugin *plugin, const char *key);
    /* For a value that the host finds wrong: writes "FILE:LINE: key:
     * sentence" to error and returns KPOP_INVALID. */
    int32_t (*blame)(struct kpop_plugin *plugin, const char *key,
                     const char *sentence, char *error, size_t error_size);
    /* Everything that can be checked before the first client comes: values
     * against each other, keytab readable, files there.  A host whose other
     * process authenticates calls it there.  KPOP_INVALID, KPOP_NO_MEMORY. */
    int32_t (*ready)(struct kpop_plugin *plugin, char *error,
                     size_t error_size);
    /* The i-th listener: 1, or 0 when there are no more. */
    int32_t (*service)(struct kpop_plugin *plugin, uint32_t i,
                       struct kpop_service *service_out);
    /* Reads the loaded file again and makes ready; on error everything stays
     * as it was.  Running sessions keep what they began with. */
    int32_t (*reload)(struct kpop_plugin *plugin, char *error,
                      size_t error_size);
    void (*stats)(struct kpop_plugin *plugin, struct kpop_stats *stats_out);
    /* NULL is allowed. */
    void (*free)(struct kpop_plugin *plugin);

    /* ---- sessions ---- */

    /* KPOP_OK, KPOP_NO_MEMORY, KPOP_INVALID (not ready, unknown service, a
     * table without maildrops). */
    int32_t (*session_new)(struct kpop_plugin *plugin,
                           const struct kpop_facts *facts, void *conn,
                           uint64_t now, struct kpop_session **session_out);
    /* Octets from the client.  Returns how many were taken: all up to
     * KPOP_READ_MAX while wants() has KPOP_WANT_READ, else 0. */
    size_t (*input)(struct kpop_session *session, const void *data,
                    size_t size, uint64_t now);
    /* The client closed its sending side.  What it sent before is still
     * answered, a QUIT among it still commits. */
    void (*input_end)(struct kpop_session *session, uint64_t now);
    /* Octets for the client; lent until the next call for this session
     * (other than output and wants).  Returns how many. */
    size_t (*output)(struct kpop_session *session, const void **data_out);
    /* The first n octets of output() were sent.  May produce more. */
    void (*wrote)(struct kpop_session *session, size_t n);
    /* A set of KPOP_WANT_ and KPOP_IS_ bits; ask after every other call. */
    uint32_t (*wants)(struct kpop_session *session);
    /* When to call tick(), in milliseconds of the host's clock: 0 = at once,
     * UINT64_MAX = never. */
    uint64_t (*deadline)(struct kpop_session *session);
    void (*tick)(struct kpop_session *session, uint64_t now);
    /* A host with KPOP_FACT_HOST_TLS has finished the handshake. */
    int32_t (*tls_started)(struct kpop_session *session,
                           const struct kpop_facts *facts, uint64_t now);
    /* With KPOP_IS_TAKEN or KPOP_WANT_TLS: input that was not used; lent. */
    size_t (*remainder)(struct kpop_session *session, const void **data_out);
    /* This session has to end: an idle session says so and ends without
     * UPDATE, a running answer is finished first, a running QUIT is done. */
    void (*session_stop)(struct kpop_session *session, uint64_t now);
    /* Ends and frees; NULL is allowed.  A box is closed, now or, while a
     * question is open, when done() answers it.  Never commits. */
    void (*session_close)(struct kpop_session *session);

    /* ---- answers ---- */

    /* KPOP_INVALID: op has no open question. */
    int32_t (*done)(struct kpop_op *op, int32_t result);
    /* All of these: KPOP_OK, KPOP_NO_MEMORY, KPOP_INVALID (not what op asks,
     * too long, forbidden octets); an error also fails the question. */
    int32_t (*put_user)(struct kpop_op *op, const char *user);
    int32_t (*put_secret)(struct kpop_op *op, const void *secret,
                          size_t size);
    int32_t (*put_mechanisms)(struct kpop_op *op, const char *names);
    int32_t (*put_challenge)(struct kpop_op *op, const void *data,
                             size_t size);
    int32_t (*put_credential)(struct kpop_op *op, const void *data,
                              size_t size);
    /* octets: of all messages on the wire, or KPOP_UNKNOWN.  Once said in
     * open(), the box will be closed, even if the answer is an error. */
    int32_t (*put_box)(struct kpop_op *op, void *box, uint32_t count,
                       uint64_t octets);
    /* expire: days or KPOP_EXPIRE_NEVER; login_delay: seconds. */
    int32_t (*put_policy)(struct kpop_op *op, uint32_t expire,
                          uint32_t login_delay);
    /* octets: see wire_octets(); uidl: 1 to 70 of 0x21 to 0x7E. */
    int32_t (*put_msg)(struct kpop_op *op, uint64_t octets, const char *uidl);
    int32_t (*put_envelope)(struct kpop_op *op, const char *sender,
                            const char *recipient);

    /* ---- for hosts that authenticate in another process ---- */

    /* The module's own mechanisms, driven directly; conn is handed to
     * authorize, verify_password and lookup_secret.  KPOP_OK, KPOP_NO_MEMORY,
     * KPOP_DENIED (mechanism unknown or not allowed for these facts). */
    int32_t (*exchange_new)(struct kpop_plugin *plugin,
                            const struct kpop_facts *facts, void *conn,
                            const char *mechanism,
                            struct kpop_exchange **exchange_out);
    /* Results and data as exchange_start and exchange_step.  After
     * KPOP_PENDING, complete(arg, result) is called exactly once, inside the
     * host's done(). */
    int32_t (*exchange_step)(struct kpop_exchange *exchange, const void *data,
                             size_t size,
                             void (*complete)(void *arg, int32_t result),
                             void *arg);
    void (*exchange_outcome)(struct kpop_exchange *exchange,
                             struct kpop_outcome *outcome_out);
    /* NULL is allowed; a pending step then completes into nothing. */
    void (*exchange_free)(struct kpop_exchange *exchange);
    /* What put_mechanisms() is to say for these facts: the names that the
     * configuration allows, the host's callbacks carry and, for Kerberos, the
     * keytab has keys for; "" = none.  Up to 256 octets with the NUL.
     * KPOP_OK, KPOP_INVALID (not ready, bad facts, text too small). */
    int32_t (*exchange_names)(struct kpop_plugin *plugin,
                              const struct kpop_facts *facts, char *text,
                              size_t text_size);

    /* ---- helpers ---- */

    /* The exact number of octets RETR will send for a message, without dot
     * stuffing: call with *state 0, then for each piece in order, at last
     * with data NULL; add up what it returns. */
    uint64_t (*wire_octets)(uint32_t *state, const void *data, size_t size);
    /* One whole connection, blocking, for a host with a thread or a process
     * a connection whose callbacks never answer KPOP_PENDING.  Does not close
     * the descriptors.  KPOP_OK: it ended in an orderly way; KPOP_TAKEN;
     * KPOP_TEMP: the connection broke; or what session_new answered. */
    int32_t (*serve)(struct kpop_plugin *plugin, int32_t read_fd,
                     int32_t write_fd, const struct kpop_facts *facts,
                     void *conn);

    /* Version 1.0 ends here. */

    /* The i-th key, the module's own first, then the host's in the order they
     * were declared: 1, or 0 when there are no more. */
    int32_t (*setting)(struct kpop_plugin *plugin, uint32_t i,
                       struct kpop_setting *setting_out);

    /* Version 1.1 ends here. */
};

/*
 * The one symbol of kpop.so.  abi_major is KPOP_ABI_MAJOR of the header the
 * host was built with.  The table is copied; host is passed to log().
 * KPOP_OK with *plugin_out and *api_out (static, never freed); KPOP_INVALID
 * (another major, a table too short, a mandatory callback missing) or
 * KPOP_NO_MEMORY, with a sentence in error.
 */
int32_t kpop_plugin_entry(uint32_t abi_major, const struct kpop_host *table,
                          void *host, struct kpop_plugin **plugin_out,
                          const struct kpop_api **api_out, char *error,
                          size_t error_size);

/* The type of kpop_plugin_entry, for dlsym(). */
typedef int32_t (*kpop_plugin_entry_fn)(uint32_t, const struct kpop_host *,
                                        void *, struct kpop_plugin **,
                                        const struct kpop_api **, char *,
                                        size_t);

#ifdef __cplusplus
}
#endif

#endif /* KPOP_PLUGIN_H */
