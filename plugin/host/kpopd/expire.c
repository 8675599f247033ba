/*
 * expire.c - EXPIRE: remembers when a message was retrieved first, and removes
 * it so many days later.  A message that is not remembered is never removed,
 * so a lost or damaged file keeps mail.  Runs in store threads with the
 * rights of run_as.
 *
 * A file is lines "SECONDS UIDL", sorted by uidl; it is replaced as a whole.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/policy.h"
#include "plugin/host/kpopd/policy_internal.h"

enum { DAY = 24 * 60 * 60, LINE_OCTETS = KPOP_UIDL_MAX + 24 };

struct record {
    int64_t since;
    char uidl[KPOP_UIDL_MAX + 1];
};

struct records {
    struct record *items;
    size_t count;
    size_t room;
};

static int
compare(const void *a, const void *b)
{
    return strcmp(((const struct record *)a)->uidl,
                  ((const struct record *)b)->uidl);
}

static struct record *
add(struct records *records)
{
    if (records->count == records->room) {
        size_t room = records->room > 0 ? records->room * 2 : 64;
        struct record *items = reallocarray(records->items, room,
                                            sizeof(*items));

        if (items == NULL)
            return NULL;
        records->items = items;
        records->room = room;
    }
    return &records->items[records->count++];
}

/* A line that is none, such as the last one of a damaged file, is passed
 * over. */
static int
read_line(struct records *records, char *line)
{
    struct record *record;
    intmax_t since;
    char *end;
    size_t len;

    errno = 0;
    since = strtoimax(line, &end, 10);
    if (errno != 0 || end == line || *end != ' ' || since < 0)
        return 0;
    len = strcspn(++end, "\n");
    if (len == 0 || len > KPOP_UIDL_MAX || end[len] != '\n')
        return 0;
    record = add(records);
    if (record == NULL)
        return -1;
    record->since = since;
    memcpy(record->uidl, end, len);
    record->uidl[len] = '\0';
    return 0;
}

/* 0, or -1 with errno.  No file is an empty one. */
static int
read_records(const char *path, struct records *records)
{
    char line[LINE_OCTETS + 2];
    FILE *file;
    int rc = 0;
    int fd;

    memset(records, 0, sizeof(*records));
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    file = fdopen(fd, "r");
    if (file == NULL) {
        close(fd);
        return -1;
    }
    while (rc == 0 && fgets(line, sizeof(line), file) != NULL)
        rc = read_line(records, line);
    if (ferror(file))
        rc = -1;
    (void)fclose(file);
    if (records->count > 0)
        qsort(records->items, records->count, sizeof(records->items[0]),
              compare);
    return rc;
}

static int
write_to(int fd, const struct records *records)
{
    FILE *file = fdopen(fd, "w");
    size_t i;
    int rc = 0;

    if (file == NULL) {
        close(fd);
        return -1;
    }
    for (i = 0; i < records->count && rc >= 0; i++)
        rc = fprintf(file, "%" PRId64 " %s\n", records->items[i].since,
                     records->items[i].uidl);
    if (rc < 0 || fflush(file) != 0 || fsync(fd) != 0)
        rc = -1;
    return fclose(file) == 0 && rc >= 0 ? 0 : -1;
}

/* The old file or the new one, never a part. */
static int
write_records(const struct settings *settings, const char *user,
              const struct records *records)
{
    char path[PATH_MAX];
    char temp[PATH_MAX];
    int fd;

    if (policy_path(settings, "expire", "", user, path) != 0
        || policy_path(settings, "expire", ".", user, temp) != 0)
        return -1;
    fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
              0600);
    if (fd < 0)
        return -1;
    if (write_to(fd, records) == 0 && rename(temp, path) == 0)
        return 0;
    (void)unlink(temp);
    return -1;
}

static const struct record *
find(const struct records *records, const struct maildir *maildir,
     uint32_t msg)
{
    struct record key;

    if (records->count == 0)
        return NULL;
    maildir_uidl(maildir, msg, key.uidl);
    return bsearch(&key, records->items, records->count, sizeof(key),
                   compare);
}

/* ---- after login ---- */

/* How many were marked. */
static uint32_t
mark_old(const struct records *records, const struct maildir *maildir,
         int64_t before, uint8_t *marks)
{
    uint32_t count = maildir_count(maildir);
    uint32_t marked = 0;
    uint32_t msg;

    for (msg = 0; msg < count && records->count > 0; msg++) {
        const struct record *record = find(records, maildir, msg);

        if (record == NULL || record->since > before)
            continue;
        marks[msg] = KPOP_MARK_DELETE;
        marked++;
    }
    return marked;
}

bool
policy_expire(const struct settings *settings, const char *user,
              struct maildir *maildir, const struct timespec *now)
{
    uint32_t count = maildir_count(maildir);
    struct records records = { 0 };
    char quoted[KPOP_USER_MAX * 4 + 8];
    char path[PATH_MAX] = "";
    uint32_t marked = 0;
    uint8_t *marks;

    if (!policy_expires(settings) || count == 0)
        return false;
    marks = calloc(count, 1);
    if (marks == NULL
        || policy_path(settings, "expire", "", user, path) != 0
        || read_records(path, &records) != 0)
        policy_log(path, "expire", errno);
    else
        marked = mark_old(&records, maildir,
                          (int64_t)now->tv_sec
                              - (int64_t)settings->expire * DAY,
                          marks);
    if (marked > 0 && maildir_commit(maildir, marks, count) == KPOP_OK)
        log_event(KPOP_LOG_INFO, "store.expired", "user=%s messages=%u",
                  log_quote(user, quoted, sizeof(quoted)), (unsigned)marked);
    free(records.items);
    free(marks);
    return marked > 0;
}

/* ---- at QUIT ---- */

/* What the maildrop has no more is forgotten; what was retrieved for the first
 * time is added.  0 or -1; *changed_out: worth writing. */
static int
update(const struct records *old, const struct maildir *maildir,
       const uint8_t *marks, int64_t now, struct records *new_out,
       bool *changed_out)
{
    uint32_t count = maildir_count(maildir);
    uint32_t msg;

    memset(new_out, 0, sizeof(*new_out));
    *changed_out = false;
    for (msg = 0; msg < count; msg++) {
        const struct record *known = find(old, maildir, msg);
        struct record *record;

        if (known == NULL && (marks[msg] & KPOP_MARK_RETRIEVED) == 0)
            continue;
        record = add(new_out);
        if (record == NULL)
            return -1;
        maildir_uidl(maildir, msg, record->uidl);
        record->since = known != NULL ? known->since : now;
        *changed_out = *changed_out || known == NULL;
    }
    *changed_out = *changed_out || new_out->count != old->count;
    if (new_out->count > 0)
        qsort(new_out->items, new_out->count, sizeof(new_out->items[0]),
              compare);
    return 0;
}

void
policy_note(const struct settings *settings, const char *user,
            const struct maildir *maildir, const uint8_t *marks,
            const struct timespec *now)
{
    struct records old = { 0 };
    struct records new = { 0 };
    char path[PATH_MAX] = "";
    bool changed;

    if (!policy_expires(settings))
        return;
    if (policy_path(settings, "expire", "", user, path) != 0
        || read_records(path, &old) != 0
        || update(&old, maildir, marks, (int64_t)now->tv_sec, &new, &changed)
               != 0
        || (changed && write_records(settings, user, &new) != 0))
        policy_log(path, "write", errno);
    free(old.items);
    free(new.items);
}
