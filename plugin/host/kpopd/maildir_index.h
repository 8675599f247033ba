/*
 * maildir_index.h - what was learned of a maildir, in one file below
 * state_dir: the listing and the sizes; internal to the maildir files.
 *
 * The file is a cache and never trusted over the directory: its listing
 * counts only while both folders carry the times they had, and only if those
 * were old enough when it was read that no later change can hide behind
 * them.  Sizes are taken over by name.  Whoever writes it holds the lock of
 * the maildir; it may be removed at any time.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_MAILDIR_INDEX_H
#define KPOPD_MAILDIR_INDEX_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "plugin/host/kpopd/maildir_list.h"

/* What changes when an entry comes, goes or is renamed. */
struct maildir_stamp {
    uint64_t ino; /* of the maildir */
    struct {
        uint64_t ino;
        int64_t modified_s;
        int64_t modified_ns;
        int64_t changed_s; /* ctime: nobody can set it back */
        int64_t changed_ns;
    } folders[FOLDER_COUNT];
};

/* The first octets of the file; a session keeps them until it needs more. */
struct maildir_head {
    char magic[8];
    uint64_t layout; /* tells another machine's or version's file */
    struct maildir_stamp stamp;
    uint64_t sure;     /* 1: the listing is all there was at `stamp` */
    uint64_t count;    /* messages */
    uint64_t octets;   /* of all on the wire, or KPOP_UNKNOWN */
    uint64_t text_len; /* of the names */
    uint64_t body_sum;
    uint64_t head_sum; /* last: of all above */
};

/* DIRECTORY/HASH of the maildir's path.  -1: too long. */
int maildir_index_path(const char *directory, const char *maildir,
                       char path_out[PATH_MAX]);
/* Of a folder, and of no link; 0, or -1 with errno. */
typedef int maildir_stat_fn(int dir_fd, const char *name, struct stat *st);
int maildir_stat(int dir_fd, const char *name, struct stat *st);
/* 0, or -1 with errno. */
int maildir_stamp_read(int dir_fd, maildir_stat_fn *stat_fn,
                       struct maildir_stamp *stamp_out);
bool maildir_stamp_same(const struct maildir_stamp *a,
                        const struct maildir_stamp *b);
/*
 * Whether a listing that began now could tell every later change by the
 * times: false for a change within the last seconds, one of the future, and
 * on file systems that are not local.
 */
bool maildir_stamp_settled(int dir_fd, const struct maildir_stamp *stamp);

/* Whether these octets are the head of an index. */
bool maildir_index_is_head(const struct maildir_head *head);
/* False when there is none, or a damaged one, which is logged. */
bool maildir_index_head(const char *path, struct maildir_head *head_out);
/* The list that belongs to `head`.  False when the file has gone, changed or
 * is damaged; the list is then empty. */
bool maildir_index_list(const char *path, const struct maildir_head *head,
                        struct maildir_list *list_out);
/* Takes over the sizes the file knows by name; how many it added. */
size_t maildir_index_sizes(const char *path, struct maildir_list *list);
/* Replaces the file, durably.  Errors are logged and cost nothing but time
 * at the next login. */
void maildir_index_save(const char *path, const struct maildir_stamp *stamp,
                        bool sure, const struct maildir_list *list);

#endif
