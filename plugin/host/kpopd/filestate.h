/*
 * filestate.h - whether a file is still what was read.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_FILESTATE_H
#define KPOPD_FILESTATE_H

#include <stdbool.h>
#include <sys/stat.h>

/* What was learned of the file, and how often it is asked for. */
struct filestate {
    struct stat seen; /* of the file that was read; zeros: of none */
    bool by_turns;    /* filestate_turn() says when to look again */
    bool looked;      /* in this turn */
};

/* From now on the file is looked at once until the next turn. */
void filestate_turn(struct filestate *state);
/* Whether it must be read: it has changed, or can't be looked at. */
bool filestate_changed(const struct filestate *state, const char *path);
/* It is as it was seen. */
void filestate_good(struct filestate *state);

#endif
