/*
 * secretlocks.c - see secretlocks.h.  Runs in every auth process, with the
 * rights of auth_user; the secrets pass by and are wiped by secretdb.c.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/secretlocks.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/host/kpopd/filestate.h"
#include "plugin/host/kpopd/secretdb.h"
#include "plugin/kpop_plugin.h"

struct row {
    char *user;
    unsigned long line;
    bool locked;
    bool doubled; /* which of the lines counts would be chance */
};

struct secretlocks {
    char *path;
    struct filestate state;
    struct row *rows; /* sorted by user */
    size_t count;
    size_t room;
};

struct secretlocks *
secretlocks_new(const char *path)
{
    struct secretlocks *locks = calloc(1, sizeof(*locks));

    if (locks != NULL)
        locks->path = strdup(path);
    if (locks == NULL || locks->path == NULL) {
        free(locks);
        return NULL;
    }
    return locks;
}

static void
forget(struct secretlocks *locks)
{
    while (locks->count > 0)
        free(locks->rows[--locks->count].user);
    free(locks->rows);
    locks->rows = NULL;
    locks->room = 0;
    memset(&locks->state.seen, 0, sizeof(locks->state.seen));
}

void
secretlocks_free(struct secretlocks *locks)
{
    if (locks == NULL)
        return;
    forget(locks);
    free(locks->path);
    free(locks);
}

void
secretlocks_turn(struct secretlocks *locks)
{
    filestate_turn(&locks->state);
}

static const char *
take_line(void *arg, const char *line, size_t len, unsigned long number)
{
    struct secretlocks *locks = arg;
    size_t user_len = (size_t)((const char *)memchr(line, ':', len) - line);
    struct row *row;

    if (locks->count == locks->room) {
        size_t room = locks->room == 0 ? 64 : locks->room * 2;
        struct row *rows = realloc(locks->rows, room * sizeof(rows[0]));

        if (rows == NULL)
            return "out of memory";
        locks->rows = rows;
        locks->room = room;
    }
    row = &locks->rows[locks->count];
    row->user = calloc(1, user_len + 1);
    if (row->user == NULL)
        return "out of memory";
    memcpy(row->user, line, user_len);
    row->line = number;
    row->locked = secretdb_is_lock(line[user_len + 1]);
    row->doubled = false;
    locks->count++;
    return NULL;
}

static int
by_user(const void *a, const void *b)
{
    const struct row *one = a;
    const struct row *other = b;
    int order = strcmp(one->user, other->user);

    return order != 0 ? order
                      : (one->line > other->line) - (one->line < other->line);
}

/* Of all users to those of whom there is something to say. */
static void
sift(struct secretlocks *locks)
{
    size_t kept = 0;
    size_t i;

    for (i = 0; i < locks->count; i++) {
        struct row *row = &locks->rows[i];
        bool again = i + 1 < locks->count
                     && strcmp(row->user, row[1].user) == 0;

        if (again)
            row[1].doubled = true;
        if (again || !(row->locked || row->doubled))
            free(row->user);
        else
            locks->rows[kept++] = *row;
    }
    locks->count = kept;
}

static int
load(struct secretlocks *locks, char *error, size_t error_size)
{
    struct stat seen;

    forget(locks);
    /* Before it is read: what changes meanwhile shows next time. */
    if (stat(locks->path, &seen) != 0)
        memset(&seen, 0, sizeof(seen));
    if (secretdb_scan(locks->path, take_line, locks, error, error_size)
        != 0) {
        forget(locks);
        return -1;
    }
    if (locks->count > 0)
        qsort(locks->rows, locks->count, sizeof(locks->rows[0]), by_user);
    sift(locks);
    locks->state.seen = seen;
    return 0;
}

static const struct row *
find(const struct secretlocks *locks, const char *user)
{
    size_t low = 0;
    size_t high = locks->count;

    while (low < high) {
        size_t at = low + (high - low) / 2;
        int order = strcmp(locks->rows[at].user, user);

        if (order == 0)
            return &locks->rows[at];
        if (order < 0)
            low = at + 1;
        else
            high = at;
    }
    return NULL;
}

int32_t
secretlocks_ask(struct secretlocks *locks, const char *user, char *error,
                size_t error_size)
{
    const struct row *row;

    if (filestate_changed(&locks->state, locks->path)
        && load(locks, error, error_size) != 0)
        return KPOP_TEMP;
    filestate_good(&locks->state);
    row = find(locks, user);
    if (row != NULL && row->doubled) {
        snprintf(error, error_size, "%s:%lu: %s", locks->path, row->line,
                 secretdb_double);
        return KPOP_TEMP;
    }
    return row != NULL && row->locked ? KPOP_DENIED : KPOP_OK;
}
