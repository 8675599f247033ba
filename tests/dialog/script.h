/*
 * script.h - a dialogue file, read into steps.  tests/dialog/README describes
 * the language.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_SCRIPT_H
#define KPOP_TESTS_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/dialog/alloc.h"

enum step_kind {
    STEP_HOST,         /* text: a line for host_directive() */
    STEP_SEND,         /* octets; number 1: and a half-close */
    STEP_SEND_SLOWLY,  /* octets, number: milliseconds before each */
    STEP_EXPECT,       /* octets; prefix: the rest of the line is free */
    STEP_EXPECT_KRB,   /* number: code; text: must be inside */
    STEP_EXPECT_CUT,   /* anything, but no line that is a dot */
    STEP_EXPECT_WIRE,  /* number: message, its wire form and the dot */
    STEP_EXPECT_RETR,  /* text: how often, number: message; +OK and all */
    STEP_EXPECT_CLOSE,
    STEP_EXPECT_TAKEN, /* the connection is the host's */
    STEP_EXPECT_DEAF,  /* input is waiting and the session takes none */
    STEP_EOF,
    STEP_HANGUP,
    STEP_STALL,        /* the client reads no more */
    STEP_READ,         /* number octets, 0 = everything from now on */
    STEP_TIME,         /* number: milliseconds */
    STEP_STOP,
    STEP_CONNECTION,   /* number */
    STEP_CHECK_HOST,   /* text; at the end of all */
    STEP_CHECK_LOG,    /* text; number 1: not with exchange_*; the same */
    STEP_CHECK_NO_LOG
};

struct step {
    enum step_kind kind;
    int line;
    bool prefix;
    uint64_t number;
    struct blob octets;
    char *text;
};

struct script {
    char *path;
    char *title;
    bool kpop;        /* listener */
    bool lockstep;    /* may not be sent ahead of the answers */
    bool later;       /* only done() out of the driving loop */
    bool sweep;       /* allocation failures, hang-ups, cuts as well */
    bool exchange;    /* run with a host that has exchange_* */
    bool passwords;   /* run with one that has verify_password */
    char *settings[16][2];
    size_t setting_count;
    struct step *steps;
    size_t step_count;
};

/* NULL, with the reason on stderr. */
struct script *script_read(const char *path);
void script_free(struct script *script);

/*
 * Octets in the notation of the files: "text with \r \n \0 \x41 \\ \"" and hex
 * pairs, each perhaps with *N behind it.  False when it is not that.
 */
bool script_octets(const char *text, struct blob *out);
/* One line of text with escapes, CRLF behind it, some times. */
bool script_line(const char *text, unsigned long times, struct blob *out);

#endif
