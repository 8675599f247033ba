/*
 * uidlmap.h - the unique-ids that messages had on another server, as
 * kpopctl uidl imported them: state_dir/uidl/USER, one file a user, in a
 * folder of run_as's own.  What is not in it keeps the unique-id of its name.
 *
 * A message is known by its base, which stays when flags change and clients
 * of other kinds move it.  Entries of messages that are gone stay, so that
 * their unique-ids are not used again.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_UIDLMAP_H
#define KPOPD_UIDLMAP_H

#include <stddef.h>
#include <stdint.h>

#include "plugin/host/kpopd/settings.h"
#include "plugin/kpop_plugin.h"

struct uidlmap;

struct uidlmap_entry {
    const char *base;
    const char *uidl;
};

/* Both wait for the disk; the maildrop is locked by the caller. */

/* KPOP_OK, with NULL where nothing was imported; KPOP_TEMP, logged, also for a
 * damaged file: other unique-ids would have clients fetch everything again;
 * KPOP_NO_MEMORY. */
int32_t uidlmap_load(const struct settings *settings, const char *user,
                     struct uidlmap **map_out);
/* Sorts, and replaces the file as a whole, durably.  0, or -1 with errno. */
int uidlmap_save(const struct settings *settings, const char *user,
                 struct uidlmap_entry *entries, size_t count);
/* NULL is allowed. */
void uidlmap_free(struct uidlmap *map);

/* All of it, sorted by base; lent. */
size_t uidlmap_entries(const struct uidlmap *map,
                       const struct uidlmap_entry **entries_out);
/* NULL when base has none.  len octets, no NUL needed. */
const char *uidlmap_find(const struct uidlmap *map, const char *base,
                         size_t len);
/* Of a message that is not in the map: changes uidl when one that is, or was,
 * has it already. */
void uidlmap_avoid(const struct uidlmap *map, char uidl[KPOP_UIDL_MAX + 1]);

#endif
