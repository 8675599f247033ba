/*
 * uidlmap.c - reads and writes imported unique-ids.  Runs in store threads
 * and in kpopctl uidl, with the rights of run_as; never touches the maildir.
 *
 * A file is the line "kpop-uidl 1 COUNT SUM" and lines "UIDL BASE", sorted by
 * base.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/uidlmap.h"

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
#include "plugin/host/kpopd/maildir.h"
#include "plugin/host/kpopd/maildir_list.h"
#include "plugin/host/kpopd/policy_internal.h"

#define HEAD "kpop-uidl 1 "

enum { HEAD_MAX = 64, LINE_MAX_ = KPOP_UIDL_MAX + 1 + NAME_MAX + 1 };

struct uidlmap {
    struct uidlmap_entry *by_base;
    struct uidlmap_entry *by_uidl;
    size_t count;
    char text[];
};

/* FNV-1a with 64 bits: against what disks and editors do to a file. */
static uint64_t
sum(uint64_t hash, const char *data, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)data[i]) * UINT64_C(0x100000001B3);
    return hash;
}

static const uint64_t sum_basis = UINT64_C(0xCBF29CE484222325);

static int
compare_bases(const void *a, const void *b)
{
    return strcmp(((const struct uidlmap_entry *)a)->base,
                  ((const struct uidlmap_entry *)b)->base);
}

static int
compare_uidls(const void *a, const void *b)
{
    return strcmp(((const struct uidlmap_entry *)a)->uidl,
                  ((const struct uidlmap_entry *)b)->uidl);
}

static void
sort(struct uidlmap_entry *entries, size_t count,
     int (*compare)(const void *a, const void *b))
{
    if (entries != NULL && count > 0)
        qsort(entries, count, sizeof(entries[0]), compare);
}

/* ---- load ---- */

/* The whole file behind an empty map; NULL with errno. */
static struct uidlmap *
read_text(int fd, size_t *len_out)
{
    const off_t most = (off_t)MAILDIR_MESSAGES_MAX * LINE_MAX_;
    struct uidlmap *map;
    struct stat st;
    ssize_t got = 1;
    size_t len = 0;

    if (fstat(fd, &st) != 0)
        return NULL;
    if (!S_ISREG(st.st_mode) || st.st_size > most) {
        errno = EINVAL;
        return NULL;
    }
    map = calloc(1, sizeof(*map) + (size_t)st.st_size + 1);
    while (map != NULL && got > 0 && len < (size_t)st.st_size) {
        got = read(fd, map->text + len, (size_t)st.st_size - len);
        len += got > 0 ? (size_t)got : 0;
    }
    if (got < 0) {
        uidlmap_free(map);
        return NULL;
    }
    *len_out = len;
    return map;
}

/* A line without its end. */
static bool
split_line(char *line, struct uidlmap_entry *entry)
{
    char *blank = strchr(line, ' ');

    if (blank == NULL || blank[1] == '\0'
        || !maildir_list_is_uidl(line, (size_t)(blank - line)))
        return false;
    *blank = '\0';
    entry->uidl = line;
    entry->base = blank + 1;
    return true;
}

static bool
split_lines(struct uidlmap *map, char *at, size_t count)
{
    const char *last = "";
    char *end;

    for (; map->count < count; map->count++, at = end + 1) {
        struct uidlmap_entry *entry = &map->by_base[map->count];

        end = strchr(at, '\n');
        if (end == NULL)
            return false;
        *end = '\0';
        if (!split_line(at, entry) || strcmp(last, entry->base) >= 0)
            return false;
        last = entry->base;
    }
    return *at == '\0';
}

static void
make_head(char head_out[HEAD_MAX], size_t count, uint64_t hash)
{
    snprintf(head_out, HEAD_MAX, HEAD "%zu %016" PRIx64 "\n", count, hash);
}

/* 0, EINVAL for a damaged text, ENOMEM. */
static int
parse(struct uidlmap *map, size_t len)
{
    char head[HEAD_MAX];
    size_t count = 0;
    size_t i;
    char *body = memchr(map->text, '\n', len);

    if (body == NULL || strlen(map->text) != len)
        return EINVAL;
    body++;
    if (strncmp(map->text, HEAD, strlen(HEAD)) == 0)
        count = strtoul(map->text + strlen(HEAD), NULL, 10);
    make_head(head, count,
              sum(sum_basis, body, len - (size_t)(body - map->text)));
    if (count > MAILDIR_MESSAGES_MAX
        || strncmp(head, map->text, strlen(head)) != 0)
        return EINVAL;
    map->by_base = calloc(count + 1, sizeof(map->by_base[0]));
    map->by_uidl = calloc(count + 1, sizeof(map->by_uidl[0]));
    if (map->by_base == NULL || map->by_uidl == NULL)
        return ENOMEM;
    if (!split_lines(map, body, count))
        return EINVAL;
    memcpy(map->by_uidl, map->by_base, count * sizeof(map->by_base[0]));
    sort(map->by_uidl, count, compare_uidls);
    for (i = 1; i < count; i++)
        if (compare_uidls(&map->by_uidl[i - 1], &map->by_uidl[i]) == 0)
            return EINVAL;
    return 0;
}

static int32_t
fail(const char *path, int error)
{
    char quoted[PATH_MAX];

    if (error != EINVAL)
        policy_log(path, "read", error);
    else
        log_event(KPOP_LOG_ERROR, "store.fail",
                  "path=%s text=\"the imported unique-ids are damaged; put "
                  "the file back from a backup, or import them again with "
                  "kpopctl uidl --replace\"",
                  log_quote(path, quoted, sizeof(quoted)));
    return error == ENOMEM ? KPOP_NO_MEMORY : KPOP_TEMP;
}

int32_t
uidlmap_load(const struct settings *settings, const char *user,
             struct uidlmap **map_out)
{
    char path[PATH_MAX] = "";
    struct uidlmap *map;
    size_t len = 0;
    int error;
    int fd;

    *map_out = NULL;
    if (policy_path(settings, "uidl", "", user, path) != 0)
        return fail(path, errno);
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? KPOP_OK : fail(path, errno);
    map = read_text(fd, &len);
    error = map == NULL ? errno : parse(map, len);
    close(fd);
    if (error != 0) {
        uidlmap_free(map);
        return fail(path, error);
    }
    *map_out = map;
    return KPOP_OK;
}

void
uidlmap_free(struct uidlmap *map)
{
    if (map == NULL)
        return;
    free(map->by_base);
    free(map->by_uidl);
    free(map);
}

/* ---- save ---- */

static int
write_text(FILE *file, const struct uidlmap_entry *entries, size_t count)
{
    uint64_t hash = sum_basis;
    char line[LINE_MAX_ + 1];
    char head[HEAD_MAX];
    size_t i;

    /* The sum comes first in the file, so the lines are made twice. */
    for (i = 0; i < count; i++) {
        snprintf(line, sizeof(line), "%s %s\n", entries[i].uidl,
                 entries[i].base);
        hash = sum(hash, line, strlen(line));
    }
    make_head(head, count, hash);
    if (fputs(head, file) < 0)
        return -1;
    for (i = 0; i < count; i++)
        if (fprintf(file, "%s %s\n", entries[i].uidl, entries[i].base) < 0)
            return -1;
    return fflush(file) == 0 && fsync(fileno(file)) == 0 ? 0 : -1;
}

/* A new name is there for good when its folder is written, too. */
static int
sync_folder(const struct settings *settings)
{
    char path[PATH_MAX];
    int rc = -1;
    int fd = -1;

    if (policy_path(settings, "uidl", "", "x", path) == 0) {
        *strrchr(path, '/') = '\0';
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (fd >= 0) {
        rc = fsync(fd);
        close(fd);
    }
    return rc;
}

int
uidlmap_save(const struct settings *settings, const char *user,
             struct uidlmap_entry *entries, size_t count)
{
    const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC;
    char path[PATH_MAX];
    char temp[PATH_MAX];
    FILE *file;
    int error;
    int rc;
    int fd;

    sort(entries, count, compare_bases);
    if (policy_path(settings, "uidl", "", user, path) != 0
        || policy_path(settings, "uidl", ".", user, temp) != 0)
        return -1;
    fd = open(temp, flags, 0600);
    file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (file == NULL) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    rc = write_text(file, entries, count);
    if (fclose(file) != 0)
        rc = -1;
    if (rc == 0)
        rc = rename(temp, path);
    if (rc == 0)
        return sync_folder(settings);
    error = errno;
    (void)unlink(temp);
    errno = error;
    return -1;
}

/* ---- look ---- */

size_t
uidlmap_entries(const struct uidlmap *map,
                const struct uidlmap_entry **entries_out)
{
    *entries_out = map != NULL ? map->by_base : NULL;
    return map != NULL ? map->count : 0;
}

const char *
uidlmap_find(const struct uidlmap *map, const char *base, size_t len)
{
    char name[NAME_MAX + 1];
    const struct uidlmap_entry key = { name, NULL };
    const struct uidlmap_entry *found;

    if (map == NULL || map->count == 0 || len > NAME_MAX)
        return NULL;
    memcpy(name, base, len);
    name[len] = '\0';
    found = bsearch(&key, map->by_base, map->count, sizeof(key),
                    compare_bases);
    return found != NULL ? found->uidl : NULL;
}

void
uidlmap_avoid(const struct uidlmap *map, char uidl[KPOP_UIDL_MAX + 1])
{
    const struct uidlmap_entry key = { NULL, uidl };

    while (map != NULL && map->count > 0
           && bsearch(&key, map->by_uidl, map->count, sizeof(key),
                      compare_uidls) != NULL)
        snprintf(uidl, KPOP_UIDL_MAX + 1, "x%016" PRIx64,
                 sum(sum_basis, uidl, strlen(uidl)));
}
