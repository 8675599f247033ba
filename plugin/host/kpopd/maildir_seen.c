/*
 * maildir_seen.c - QUIT, where a site wants it: what was retrieved gets the
 * flag S and moves to cur/, as IMAP clients expect of a message that was
 * read.  Nothing depends on it, so what can't be done is logged and left.
 * Runs in store threads with the rights of run_as.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "plugin/host/kpopd/maildir_internal.h"

/* BASE:2,FLAGS with S at its place among them; false when it has one, or when
 * it has information of another kind. */
static bool
seen_name(const char *name, size_t base_len, char out[NAME_MAX + 1])
{
    const char *flags = name + base_len;
    size_t before;

    if (strncmp(flags, ":2,", 3) == 0)
        flags += 3;
    else if (flags[0] != '\0')
        return false;
    if (strchr(flags, 'S') != NULL)
        return false;
    for (before = 0; flags[before] != '\0' && flags[before] < 'S'; before++)
        continue;
    return snprintf(out, NAME_MAX + 1, "%.*s:2,%.*sS%s", (int)base_len, name,
                    (int)before, flags, flags + before)
           <= NAME_MAX;
}

/* Another program may have renamed or removed it: then that is its state. */
static void
mark_one(const struct maildir *maildir, const struct maildir_msg *msg,
         const int folders[FOLDER_COUNT])
{
    const char *name = maildir_list_name(&maildir->list, msg);
    char to[NAME_MAX + 1];

    if (msg->gone || msg->same_base || !seen_name(name, msg->base_len, to))
        return;
    if (renameat2(folders[msg->folder], name, folders[FOLDER_CUR], to,
                  RENAME_NOREPLACE)
            != 0
        && errno != ENOENT && errno != EEXIST)
        maildir_log(maildir, msg, "rename", errno);
}

void
maildir_mark_seen(const struct maildir *maildir, const uint8_t *marks,
                  uint32_t count)
{
    int folders[FOLDER_COUNT] = { -1, -1 };
    bool ready = count == maildir->list.count;
    uint32_t i;

    for (i = 0; i < FOLDER_COUNT && ready; i++) {
        folders[i] = openat(maildir->fd, maildir_folder_names[i],
                            O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        ready = folders[i] >= 0;
        if (!ready)
            maildir_log(maildir, NULL, "open", errno);
    }
    for (i = 0; i < count && ready; i++)
        if ((marks[i] & (KPOP_MARK_RETRIEVED | KPOP_MARK_DELETE))
            == KPOP_MARK_RETRIEVED)
            mark_one(maildir, &maildir->list.msgs[i], folders);
    for (i = 0; i < FOLDER_COUNT; i++)
        if (folders[i] >= 0)
            close(folders[i]);
}
