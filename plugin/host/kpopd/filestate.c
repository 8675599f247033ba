/*
 * filestate.c - see filestate.h.  Times alone would not tell a file that was
 * put back, nor a mode that others may read now.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/kpopd/filestate.h"

void
filestate_turn(struct filestate *state)
{
    state->by_turns = true;
    state->looked = false;
}

bool
filestate_changed(const struct filestate *state, const char *path)
{
    const struct stat *seen = &state->seen;
    struct stat st;

    if (state->looked)
        return false;
    if (stat(path, &st) != 0)
        return true;
    return st.st_ino != seen->st_ino || st.st_dev != seen->st_dev
           || st.st_size != seen->st_size || st.st_mode != seen->st_mode
           || st.st_uid != seen->st_uid
           || st.st_mtim.tv_sec != seen->st_mtim.tv_sec
           || st.st_mtim.tv_nsec != seen->st_mtim.tv_nsec
           || st.st_ctim.tv_sec != seen->st_ctim.tv_sec
           || st.st_ctim.tv_nsec != seen->st_ctim.tv_nsec;
}

void
filestate_good(struct filestate *state)
{
    state->looked = state->by_turns;
}
