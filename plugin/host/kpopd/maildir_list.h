/*
 * maildir_list.h - the names of the messages of a maildir; internal to the
 * maildir files.
 *
 * A name is UNIQUE[,KEY=VALUE...][:FLAGS].  The base, all before the colon,
 * stays when flags change or the file moves from new/ to cur/.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_MAILDIR_LIST_H
#define KPOPD_MAILDIR_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/kpop_plugin.h"

enum maildir_folder { FOLDER_NEW, FOLDER_CUR, FOLDER_COUNT };

extern const char *const maildir_folder_names[FOLDER_COUNT];

struct maildir_msg {
    uint64_t octets;    /* on the wire; KPOP_UNKNOWN until learned */
    uint64_t file;      /* what tells its file from another of this name */
    uint32_t name;      /* where in the list's text */
    uint8_t base_len;   /* before the colon */
    uint8_t unique_len; /* before comma and colon */
    uint8_t folder;
    bool hashed;        /* its uidl: the unique part will not do */
    bool same_base;     /* another message has this base */
    bool gone;          /* it vanished during the session */
};

struct maildir_list {
    struct maildir_msg *msgs;
    size_t count;
    size_t room;
    char *text; /* the names, each with its NUL */
    size_t text_len;
    size_t text_room;
    /* An entry could not be read, which may change without a trace. */
    bool unsure;
    /* An entry was gone or came twice: perhaps it was renamed meanwhile. */
    bool moved;
};

enum { MAILDIR_HASH_SIZE = 33 };

/* 128 bits as hexadecimal digits. */
void maildir_hash(const char *text, size_t len, char out[MAILDIR_HASH_SIZE]);

void maildir_list_free(struct maildir_list *list);
/* All messages of the maildir open as dir_fd, in their order.  Entries that
 * are no readable plain files are left out (and logged when log_odd).
 * Results of maildir_open(); path is for log lines. */
int32_t maildir_list_read(struct maildir_list *list, int dir_fd,
                          const char *path, bool log_odd);
const char *maildir_list_name(const struct maildir_list *list,
                              const struct maildir_msg *msg);
/* As strcmp(): where two messages stand, whatever their folders and flags;
 * 0 for those of one base. */
int maildir_list_order(const struct maildir_list *a,
                       const struct maildir_msg *one,
                       const struct maildir_list *b,
                       const struct maildir_msg *other);
/* Takes over the present names of messages that were renamed meanwhile, from
 * a second reading.  Messages that are not in it become gone.  0, or -1
 * without memory. */
int maildir_list_follow(struct maildir_list *list,
                        const struct maildir_list *present);
/* Whether a unique part is a unique-id by RFC 1939 section 7. */
bool maildir_list_is_uidl(const char *unique, size_t len);
void maildir_list_uidl(const struct maildir_list *list,
                       const struct maildir_msg *msg,
                       char uidl_out[KPOP_UIDL_MAX + 1]);

#endif
