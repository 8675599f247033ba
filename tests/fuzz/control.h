/*
 * control.h - the parts of fuzz_control: each plays with one end that says
 * anything to another that must not believe it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_FUZZ_CONTROL_H
#define KPOP_TESTS_FUZZ_CONTROL_H

#include <stddef.h>

#include "plugin/host/kpopd/talk.h"
#include "tests/fuzz/script.h"

enum { CONTROL_ANSWER_MAX = 256 * 1024 };

/* An auth process, whose worker was taken over. */
void control_auth(struct script *script);
/* The master, its workers, and whoever asks it as kpopctl does. */
void control_master(struct script *script);
/* The process of the metrics, and its HTTP. */
void control_metrics(struct script *script);
/* kpopctl, and what it makes of an answer: an exit status.  Of a good one, how
 * many lines begin with this word. */
int control_tool(const char *text, size_t len, const char *word,
                 size_t *count_out);

/* A listening socket without a name in any folder. */
int control_listen(void);
/* What somebody says, and in pieces of how many octets. */
struct said {
    const char *text;
    size_t len;
    size_t piece;
};

/* He connects, sends it and reads until the end; when nothing comes, idle is
 * called, once.  How many octets, and a NUL behind them. */
size_t control_converse(struct talk *talk, const struct said *said,
                        void (*idle)(void *arg), void *arg,
                        char answer[CONTROL_ANSWER_MAX]);

#endif
