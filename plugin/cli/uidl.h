/*
 * uidl.h - what the parts of `kpopctl uidl` share: the messages of one
 * maildrop, what an import says of them, and what is wrong with it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPCTL_UIDL_H
#define KPOPCTL_UIDL_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "plugin/cli/cli.h"
#include "plugin/host/kpopd/maildir.h"
#include "plugin/host/kpopd/uidlmap.h"

enum { UIDL_LINE_MAX = 4096, UIDL_FAULTS_MAX = 100, UIDL_DIGEST_MAX = 65 };

struct uidl_msg {
    uint32_t number;               /* of the maildir */
    char base[NAME_MAX + 1];
    char own[KPOP_UIDL_MAX + 1];   /* by its name */
    char other[KPOP_UIDL_MAX + 1]; /* by this import; "" = none */
    unsigned line;                 /* where that says so */
};

/* Sorted once all is in it: what a line may call a message by. */
struct uidl_index {
    struct uidl_key {
        char *name;
        struct uidl_msg *msg;
    } *keys;
    size_t count;
    size_t room;
};

/* One maildrop, locked. */
struct uidl_box {
    const struct settings *settings;
    const char *user;
    char path[PATH_MAX];
    struct maildir *maildir;
    struct uidlmap *map; /* of earlier imports, or NULL */
    struct uidl_msg *msgs;
    size_t count;
    struct uidl_index bases;
};

/* One import into it. */
struct uidl_import {
    const struct cli *cli;
    struct uidl_box *box;
    const char *input; /* its name in sentences */
    FILE *file;        /* NULL: the messages themselves */
    unsigned line;     /* that is being read; 0 before the first one */
    char *faults[UIDL_FAULTS_MAX];
    size_t fault_count;
    size_t gone; /* lines whose message is not there */
    struct uidl_index ids;
    struct uidl_index digests;
    bool has_ids;
    bool has_digests;
};

/* An option that is wrong, or NULL. */
const char *uidl_wrong_option(const struct cli *cli);
/* Locks, and reads the list; else says why not.  An exit status. */
int uidl_open(const struct cli *cli, const struct settings *settings,
              const char *user, struct uidl_box *box_out);
void uidl_close(struct uidl_box *box);
int uidl_show(const struct cli *cli, const struct uidl_box *box);
/* Reads, judges, writes and reports: all of it or nothing. */
int uidl_import(const struct cli *cli, struct uidl_box *box);

/* A copy of name.  False without memory. */
bool uidl_index_add(struct uidl_index *index, const char *name,
                    struct uidl_msg *msg);
void uidl_index_sort(struct uidl_index *index);
/* How many messages have this name, 2 being two or more. */
int uidl_index_find(const struct uidl_index *index, const char *name,
                    struct uidl_msg **msg_out);
void uidl_index_free(struct uidl_index *index);

/* Notes what is wrong with the line that is being read. */
void uidl_fault(struct uidl_import *import, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The next line without its end; false at the end of the file, and after a
 * fault. */
bool uidl_next_line(struct uidl_import *import, char line[UIDL_LINE_MAX]);
/* A line says that the message of this file name, with flags or without, has
 * this unique-id. */
void uidl_row(struct uidl_import *import, const char *name,
              const char *uidl);
/* The same of the one message that an index has by this name. */
void uidl_row_by(struct uidl_import *import, const struct uidl_index *index,
                 const char *name, const char *uidl);

/* Each form of an import: calls the above. */
void uidl_read_dovecot(struct uidl_import *import);
void uidl_read_courier(struct uidl_import *import);
void uidl_read_map(struct uidl_import *import);
void uidl_read_header(struct uidl_import *import);
/* What is wrong with a format of Dovecot's, or NULL. */
const char *uidl_format_fault(const char *format);

/* The first field of this name in the header, unfolded, without blanks around
 * it; "" when there is none.  False: it can't be read. */
bool uidl_header(const struct uidl_box *box, const struct uidl_msg *msg,
                 const char *name, char *out, size_t size);
/* SHA-256 in hex: as it is stored, and as RETR sends it. */
bool uidl_digests(const struct uidl_box *box, const struct uidl_msg *msg,
                  char stored_out[UIDL_DIGEST_MAX],
                  char sent_out[UIDL_DIGEST_MAX]);

#endif
