/*
 * map.h - the principal_map file: which principal may read which mailboxes.
 *
 *     # comment, also behind an entry
 *     alice@EXAMPLE.ORG      alice
 *     carol/mail@OTHER.ORG   carol
 *     carol/mail@OTHER.ORG   shared
 *
 * A line is a principal with its realm and a mailbox.  A principal may have
 * several lines: it gets the mailbox it asks for if that one is listed, and
 * the first one when it asks for none.  A principal that is listed gets these
 * mailboxes and no other: realms, auth_to_local and .k5login are not asked.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_MAP_H
#define KPOP_SASL_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "kpop/status.h"

struct map; /* one reading of the file; never changes */

enum map_answer {
    MAP_UNLISTED,
    MAP_GRANTED,
    MAP_REFUSED /* listed, but not for this mailbox */
};

/*
 * Reads the file.  STATUS_OK; STATUS_INVALID with "PATH:LINE: sentence" or
 * "PATH: sentence": not to be read, others may write to it, not well-formed;
 * STATUS_NO_MEMORY.
 */
int map_load(const char *path, struct map **map_out, char *error,
             size_t error_size) MUST_USE;
void map_free(struct map *map); /* NULL is allowed */

/* The file at path is no longer what was read. */
bool map_is_stale(const struct map *map, const char *path);

/*
 * The mailbox for a principal (as krb5_unparse_name writes it) that asks for
 * requested ("" = none), lent until map_free.
 */
enum map_answer map_find(const struct map *map, const char *principal,
                         const char *requested, const char **mailbox_out);

#endif
