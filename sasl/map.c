/*
 * map.c - reads principal_map and finds in it.  The file opens mailboxes, so
 * it must belong to root or us and be writable by nobody else, and one bad
 * line refuses the whole file: half a map must not be taken for the map.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sasl/clean.h"

enum {
    FILE_MAX = 16 << 20, /* 200 000 users; more belong into a directory */
    PRINCIPAL_MAX = 512
};

struct entry {
    const char *principal; /* into text */
    const char *mailbox;
    size_t line;
};

struct map {
    char *text; /* the file, cut into words */
    struct entry *entries; /* by principal, then by line */
    size_t count;
    struct stat st;
};

struct reader {
    struct map *map;
    const char *path;
    size_t room; /* entries allocated */
    size_t line;
    char *error;
    size_t error_size;
};

static int complain(const struct reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int
complain(const struct reader *reader, const char *format, ...)
{
    va_list args;
    int n;

    if (reader->error_size == 0)
        return STATUS_INVALID;
    if (reader->line > 0)
        n = snprintf(reader->error, reader->error_size, "%s:%zu: ",
                     reader->path, reader->line);
    else
        n = snprintf(reader->error, reader->error_size, "%s: ", reader->path);
    va_start(args, format);
    if (n > 0 && (size_t)n < reader->error_size)
        (void)vsnprintf(reader->error + n, reader->error_size - (size_t)n,
                        format, args);
    va_end(args);
    return STATUS_INVALID;
}

/* Splits at blanks; a # that begins a word begins a comment. */
static char *
next_word(char **cursor)
{
    char *word = *cursor + strspn(*cursor, " \t\r");
    size_t len = strcspn(word, " \t\r");

    if (*word == '\0' || *word == '#')
        return NULL;
    *cursor = word + len;
    if (word[len] != '\0') {
        word[len] = '\0';
        (*cursor)++;
    }
    return word;
}

/*
 * As krb5_unparse_name writes a principal that needs no escapes: a line that
 * is compared octet by octet must not have two spellings.
 */
static int
check_principal(const struct reader *reader, const char *principal)
{
    const char *at = strchr(principal, '@');
    const char *c;

    if (strlen(principal) > PRINCIPAL_MAX)
        return complain(reader, "the principal is too long");
    if (at == NULL || at[1] == '\0')
        return complain(reader, "%s has no realm; write %s@REALM", principal,
                        principal);
    if (strchr(at + 1, '@') != NULL)
        return complain(reader, "%s has two @", principal);
    for (c = principal; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~' || *c == '\\')
            return complain(reader, "a principal may not hold octet 0x%02X",
                            (unsigned)(unsigned char)*c);
    }
    if (*principal == '/' || *principal == '@' || at[-1] == '/' ||
        strstr(principal, "//") != NULL)
        return complain(reader, "%s has an empty component", principal);
    if (strncmp(principal, "WELLKNOWN/ANONYMOUS@", 20) == 0)
        return complain(reader, "nobody in particular may read mail: %s",
                        principal);
    return STATUS_OK;
}

static int
add_entry(struct reader *reader, const char *principal, const char *mailbox)
{
    struct map *map = reader->map;
    size_t room = reader->room == 0 ? 64 : reader->room * 2;
    struct entry *grown;

    if (map->count == reader->room) {
        grown = realloc(map->entries, room * sizeof(*grown));
        if (grown == NULL)
            return STATUS_NO_MEMORY;
        map->entries = grown;
        reader->room = room;
    }
    map->entries[map->count].principal = principal;
    map->entries[map->count].mailbox = mailbox;
    map->entries[map->count].line = reader->line;
    map->count++;
    return STATUS_OK;
}

static int
read_line(struct reader *reader, char *line)
{
    char *cursor = line;
    char *principal = next_word(&cursor);
    char *mailbox;
    int status;

    if (principal == NULL)
        return STATUS_OK;
    status = check_principal(reader, principal);
    if (status != STATUS_OK)
        return status;
    mailbox = next_word(&cursor);
    if (mailbox == NULL)
        return complain(reader, "%s has no mailbox", principal);
    if (!clean_mailbox(mailbox))
        return complain(reader, "no mailbox name: letters, digits and ._+@- "
                        "only, neither . nor - first, no ..");
    if (next_word(&cursor) != NULL)
        return complain(reader, "one mailbox a line; repeat %s for another",
                        principal);
    return add_entry(reader, principal, mailbox);
}

static int
by_principal(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;
    int order = strcmp(x->principal, y->principal);

    if (order != 0)
        return order;
    return x->line < y->line ? -1 : x->line > y->line;
}

static int
read_lines(struct reader *reader)
{
    char *line = reader->map->text;
    int status = STATUS_OK;

    while (line != NULL && status == STATUS_OK) {
        char *end = strchr(line, '\n');

        if (end != NULL)
            *end++ = '\0';
        reader->line++;
        status = read_line(reader, line);
        line = end;
    }
    if (status == STATUS_OK && reader->map->count > 0)
        qsort(reader->map->entries, reader->map->count,
              sizeof(struct entry), by_principal);
    return status;
}

/* The whole file, terminated. */
static int
read_text(struct reader *reader, int fd)
{
    size_t size = (size_t)reader->map->st.st_size;
    size_t got = 0;
    ssize_t n = 1;

    reader->map->text = malloc(size + 1);
    if (reader->map->text == NULL)
        return STATUS_NO_MEMORY;
    while (got < size && n > 0) {
        n = read(fd, reader->map->text + got, size - got);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n < 0)
            return complain(reader, "%s", strerror(errno));
        else
            got += (size_t)n;
    }
    reader->map->text[got] = '\0';
    if (strlen(reader->map->text) != got)
        return complain(reader, "holds a NUL octet");
    return STATUS_OK;
}

static int
read_file(struct reader *reader, int fd)
{
    const struct stat *st = &reader->map->st;
    int status;

    if (fstat(fd, &reader->map->st) != 0)
        return complain(reader, "%s", strerror(errno));
    if (!S_ISREG(st->st_mode))
        return complain(reader, "not a regular file");
    if (st->st_uid != 0 && st->st_uid != geteuid() && geteuid() != 0)
        return complain(reader, "belongs to uid %lu, not to root or us",
                        (unsigned long)st->st_uid);
    if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return complain(reader, "others may write to it; chmod go-w it");
    if (st->st_size > FILE_MAX)
        return complain(reader, "larger than %d octets", (int)FILE_MAX);
    status = read_text(reader, fd);
    return status == STATUS_OK ? read_lines(reader) : status;
}

int
map_load(const char *path, struct map **map_out, char *error,
         size_t error_size)
{
    struct map *map = calloc(1, sizeof(*map));
    struct reader reader = { map, path, 0, 0, error, error_size };
    int status;
    int fd;

    if (map == NULL)
        return STATUS_NO_MEMORY;
    fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        status = complain(&reader, "%s", strerror(errno));
    } else {
        status = read_file(&reader, fd);
        (void)close(fd);
    }
    if (status != STATUS_OK) {
        map_free(map);
        return status;
    }
    *map_out = map;
    return STATUS_OK;
}

void
map_free(struct map *map)
{
    if (map == NULL)
        return;
    free(map->text);
    free(map->entries);
    free(map);
}

bool
map_is_stale(const struct map *map, const char *path)
{
    const struct stat *old = &map->st;
    struct stat st;

    if (stat(path, &st) != 0)
        return true;
    /* ctime also tells a chmod and a file moved into place. */
    return st.st_dev != old->st_dev || st.st_ino != old->st_ino ||
           st.st_size != old->st_size ||
           st.st_mtim.tv_sec != old->st_mtim.tv_sec ||
           st.st_mtim.tv_nsec != old->st_mtim.tv_nsec ||
           st.st_ctim.tv_sec != old->st_ctim.tv_sec ||
           st.st_ctim.tv_nsec != old->st_ctim.tv_nsec;
}

/* The first entry of a principal, or count. */
static size_t
first_of(const struct map *map, const char *principal)
{
    size_t low = 0;
    size_t high = map->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(map->entries[middle].principal, principal) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

enum map_answer
map_find(const struct map *map, const char *principal, const char *requested,
         const char **mailbox_out)
{
    enum map_answer answer = MAP_UNLISTED;

    for (size_t i = first_of(map, principal);
         i < map->count && strcmp(map->entries[i].principal, principal) == 0;
         i++) {
        answer = MAP_REFUSED;
        if (*requested == '\0' ||
            strcmp(map->entries[i].mailbox, requested) == 0) {
            *mailbox_out = map->entries[i].mailbox;
            return MAP_GRANTED;
        }
    }
    return answer;
}
