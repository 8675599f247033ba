/*
 * maildir_uidl.c - unique ids.  They come from names alone, so that they are
 * the same in every session, in every process and after every restart,
 * without a file to keep.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "plugin/host/kpopd/maildir_list.h"

__extension__ typedef unsigned __int128 u128;

/* FNV-1a with 128 bits.  Senders don't choose file names, so accidents are
 * all it must avoid. */
static u128
fnv(u128 hash, const char *data, size_t len)
{
    const u128 prime = (u128)1 << 88 | 0x13B;
    size_t i;

    for (i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)data[i]) * prime;
    return hash;
}

bool
maildir_list_is_uidl(const char *unique, size_t len)
{
    size_t i;

    if (len == 0 || len > KPOP_UIDL_MAX)
        return false;
    for (i = 0; i < len; i++)
        if (unique[i] < 0x21 || unique[i] > 0x7E)
            return false;
    return true;
}

static const u128 basis =
    (u128)0x6C62272E07BB0142u << 64 | 0x62B821756295C58Du;

void
maildir_hash(const char *text, size_t len, char out[MAILDIR_HASH_SIZE])
{
    u128 hash = fnv(basis, text, len);

    snprintf(out, MAILDIR_HASH_SIZE, "%016llx%016llx",
             (unsigned long long)(hash >> 64), (unsigned long long)hash);
}

/*
 * The unique part when it is a unique-id and no other message has it; else a
 * hash of the base.  Two files of one base are told apart by folder and flags.
 */
void
maildir_list_uidl(const struct maildir_list *list,
                  const struct maildir_msg *msg,
                  char uidl_out[KPOP_UIDL_MAX + 1])
{
    const char *name = maildir_list_name(list, msg);
    u128 hash;

    if (!msg->hashed) {
        memcpy(uidl_out, name, msg->unique_len);
        uidl_out[msg->unique_len] = '\0';
        return;
    }
    hash = fnv(basis, name, msg->base_len);
    if (msg->same_base) {
        hash = fnv(hash, maildir_folder_names[msg->folder], 4);
        hash = fnv(hash, name, strlen(name));
    }
    snprintf(uidl_out, KPOP_UIDL_MAX + 1, "h%016llx%016llx",
             (unsigned long long)(hash >> 64), (unsigned long long)hash);
}
