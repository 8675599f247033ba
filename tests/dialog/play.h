/*
 * play.h - one run of a dialogue against the module: a client that sends in
 * pieces of some size, a host that answers in some way, a connection that may
 * break, an allocation that may fail.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_PLAY_H
#define KPOP_TESTS_PLAY_H

#include "tests/dialog/host.h"
#include "tests/dialog/script.h"

enum { PLAY_CLIENTS = 4, PLAY_BLOCKS = 200 };

/* How the client's octets are cut into segments. */
enum segments {
    SEGMENT_BLOCK,     /* what stands between two answers */
    SEGMENT_ALL,       /* everything, ahead of the answers */
    SEGMENT_OCTET,
    SEGMENT_RANDOM,
    SEGMENT_RANDOM_ALL,
    SEGMENT_KINDS
};

/* What breaks the session off. */
enum cut {
    CUT_NONE,
    CUT_EOF,          /* half-close behind octet cut_at; the rest goes on */
    CUT_HANGUP,       /* session_close there */
    CUT_STOP,         /* session_stop there */
    CUT_AT_QUESTION,  /* session_close while question cut_at is open */
    CUT_EOF_AT_QUESTION,
    CUT_STOP_AT_QUESTION
};

struct variant {
    enum answering answering;
    enum segments segments;
    bool exchange;      /* which kind of host */
    bool drip;          /* one octet of output at a time */
    bool short_reads;
    uint64_t seed;
    enum cut cut;
    uint64_t cut_at;
    bool answer_badly;  /* CUT_AT_QUESTION: by an error */
    uint64_t alloc_at;  /* 0 = none */
    bool alloc_for_good;
};

struct client {
    struct conn conn;
    struct blob in;    /* what the client sends */
    size_t sent;       /* of it, taken by the session */
    bool eof_wanted;
    bool eof_told;
    struct blob out;   /* all that was received */
    size_t seen;       /* of it, expected */
    bool stalled;
    uint64_t allowance; /* what a stalled client still reads */
    bool close_seen;   /* an S: <close> */
};

/* One command or several, and what came back. */
struct exchanged {
    const struct step *first;
    unsigned sends;
    size_t from;
    size_t len;
};

struct play {
    const struct script *script;
    struct variant variant;
    struct host host;
    struct kpop_plugin *plugin;
    const struct kpop_api *api;
    struct client clients[PLAY_CLIENTS];
    struct client *client;
    uint64_t now;
    uint64_t seed;
    uint64_t sent;      /* by all clients */
    int line;           /* of the step, for messages */
    bool over;          /* broken off as the variant wanted */
    bool judged;        /* expectations count */
    struct exchanged blocks[PLAY_BLOCKS];
    size_t block_count;
};

/* Runs it; host.failure says what went wrong.  play_free() afterwards. */
void play(struct play *play, const struct script *script,
          const struct variant *variant);
void play_free(struct play *play);

/* client.c: a session is opened; driven until nothing moves. */
bool client_open(struct play *play, struct client *client);
void client_pump(struct play *play, struct client *client);
void client_close(struct play *play, struct client *client);
void client_time(struct play *play, struct client *client, uint64_t span);
bool client_is_closing(struct play *play, struct client *client);

/* expect.c: is this what comes next? */
void expect_step(struct play *play, const struct step *step);
void expect_log(struct play *play, const struct step *step);

#endif
