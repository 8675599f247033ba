/*
 * maildir.h - one maildrop: a maildir, locked and listed once.
 *
 * What was in new/ and cur/ at open is the maildrop until close; flags may be
 * renamed by other programs meanwhile, messages may vanish.  Everything but
 * maildir_open_now(), maildir_read_now() and maildir_uidl() may wait for the
 * disk.  One call at a time on one maildir.  Nothing follows a symlink, opens
 * a FIFO or a device.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_MAILDIR_H
#define KPOPD_MAILDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/kpop_plugin.h"

struct maildir;

/* wire_octets() of the module. */
typedef uint64_t maildir_count_fn(uint32_t *state, const void *data,
                                  size_t size);

enum { MAILDIR_MESSAGES_MAX = 8 * 1000 * 1000 };

/*
 * Locks and lists.  KPOP_OK; KPOP_IN_USE; KPOP_PERM (not there, no maildir,
 * no rights); KPOP_TEMP; KPOP_NO_MEMORY.  Errors have been logged with the
 * path.  What is learned is kept in index_directory, NULL for nowhere.
 */
int32_t maildir_open(const char *path, const char *index_directory,
                     maildir_count_fn *count_fn,
                     struct maildir **maildir_out);
/* The same for a maildir that the index knows and the kernel has in memory;
 * else KPOP_PENDING, and maildir_open() tells. */
int32_t maildir_open_now(const char *path, const char *index_directory,
                         maildir_count_fn *count_fn,
                         struct maildir **maildir_out);
/* Unlocks.  NULL is allowed. */
void maildir_close(struct maildir *maildir);
uint32_t maildir_count(const struct maildir *maildir);
/* Of all messages on the wire, if the index knows; else KPOP_UNKNOWN. */
uint64_t maildir_total(const struct maildir *maildir);

/* The unique id, the same in every session; after a maildir_size(). */
void maildir_uidl(const struct maildir *maildir, uint32_t msg,
                  char uidl_out[KPOP_UIDL_MAX + 1]);
/* The name without flags, which stays; *len_out octets, lent.  *alone_out: no
 * other file has it.  After a maildir_size(), too. */
const char *maildir_base(const struct maildir *maildir, uint32_t msg,
                         size_t *len_out, bool *alone_out);
/* The exact octets RETR sends; learned once by reading when the name does
 * not tell.  0 for a message that has vanished.  KPOP_OK, KPOP_TEMP,
 * KPOP_PERM. */
int32_t maildir_size(struct maildir *maildir, uint32_t msg,
                     uint64_t *octets_out);
/* True when maildir_size() would not touch the disk. */
bool maildir_size_is_known(const struct maildir *maildir, uint32_t msg);

/* Octets as stored: how many, 0 at the end, KPOP_GONE, KPOP_TEMP or
 * KPOP_PERM. */
int32_t maildir_read(struct maildir *maildir, uint32_t msg, uint64_t offset,
                     void *buffer, uint32_t size);
/* The same from what is in memory, of a message that is where the list says;
 * else KPOP_PENDING. */
int32_t maildir_read_now(struct maildir *maildir, uint32_t msg,
                         uint64_t offset, void *buffer, uint32_t size);

/* Removes what is marked KPOP_MARK_DELETE.  KPOP_OK when all of it is gone
 * for good; else KPOP_TEMP or KPOP_PERM. */
int32_t maildir_commit(struct maildir *maildir, const uint8_t *marks,
                       uint32_t count);

/* Gives the flag S to what is marked KPOP_MARK_RETRIEVED and nothing else.
 * After maildir_commit(), and last: names are no longer those of the list. */
void maildir_mark_seen(const struct maildir *maildir, const uint8_t *marks,
                       uint32_t count);

/*
 * The path of a user's maildir from the configured template.  KPOP_OK;
 * KPOP_PERM for a user whose name can't be part of a path, or that lacks the
 * domain the template wants (or has one it does not want).
 */
int32_t maildir_path(const char *pattern, const char *user, char *out,
                     size_t size);

#endif
