/*
 * secretdb.c - the file of secrets.  Runs in auth processes, with the rights
 * of auth_user; nothing here is ever logged
 * but the path and a line number, and what was read is wiped.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/secretdb.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/kpop_plugin.h"

const char secretdb_double[] = "the user has another line above";

bool
secretdb_is_lock(char first)
{
    return first == '!' || first == '*';
}

struct text {
    char *data;
    size_t size;
    size_t capacity;
};

static const char *
file_fault(const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return "is no plain file";
    if (st->st_size > SECRETDB_FILE_MAX)
        return "is larger than 4 MiB";
    if ((st->st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return "holds secrets, but not only its owner may read or write it; "
               "chmod 0600 it";
    if (st->st_uid != geteuid())
        return "does not belong to auth_user; chown it";
    return NULL;
}

static void
text_free(struct text *text)
{
    if (text->data != NULL)
        explicit_bzero(text->data, text->capacity);
    free(text->data);
    memset(text, 0, sizeof(*text));
}

static int
slurp(int fd, size_t size, struct text *text_out)
{
    ssize_t got = 1;

    text_out->size = 0;
    text_out->capacity = size + 1;
    text_out->data = malloc(text_out->capacity);
    if (text_out->data == NULL)
        return -1;
    while (text_out->size < size && got != 0) {
        got = read(fd, text_out->data + text_out->size,
                   size - text_out->size);
        if (got > 0)
            text_out->size += (size_t)got;
        else if (got < 0 && errno != EINTR)
            return -1;
    }
    return 0;
}

/* 0, or -1 with a sentence. */
static int
load(const char *path, struct text *text_out, char *error, size_t error_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const char *fault;
    struct stat st;
    int rc = -1;

    memset(text_out, 0, sizeof(*text_out));
    if (fd < 0 || fstat(fd, &st) != 0) {
        snprintf(error, error_size, "cannot read %s: %s", path,
                 strerror(errno));
        goto done;
    }
    fault = file_fault(&st);
    if (fault != NULL) {
        snprintf(error, error_size, "%s %s", path, fault);
        goto done;
    }
    rc = slurp(fd, (size_t)st.st_size, text_out);
    if (rc != 0) {
        snprintf(error, error_size, "cannot read %s: %s", path,
                 strerror(errno));
        text_free(text_out);
    }
done:
    if (fd >= 0)
        close(fd);
    return rc;
}

static const char *
line_fault(const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);

    if (memchr(line, '\0', len) != NULL)
        return "the line holds a NUL";
    if (colon == NULL || colon == line || colon == line + len - 1)
        return "write user:secret";
    if ((size_t)(colon - line) > KPOP_USER_MAX)
        return "the user's name is too long";
    if (len - (size_t)(colon - line) - 1 > SECRETDB_SECRET_MAX)
        return "the secret is too long";
    return NULL;
}

int
secretdb_scan(const char *path, secretdb_line_fn *take, void *arg,
              char *error, size_t error_size)
{
    unsigned long number = 1;
    const char *fault = NULL;
    struct text text;
    size_t at = 0;

    if (load(path, &text, error, error_size) != 0)
        return -1;
    for (; at < text.size && fault == NULL; number++) {
        const char *line = text.data + at;
        const char *end = memchr(line, '\n', text.size - at);
        size_t len = end != NULL ? (size_t)(end - line) : text.size - at;

        at += len + 1;
        if (len > 0 && line[len - 1] == '\r')
            len--;
        if (len == 0 || line[0] == '#')
            continue;
        fault = line_fault(line, len);
        if (fault == NULL)
            fault = take(arg, line, len, number);
    }
    if (fault != NULL)
        snprintf(error, error_size, "%s:%lu: %s", path, number - 1, fault);
    text_free(&text);
    return fault == NULL ? 0 : -1;
}

/* Who is looked for, and the secret that was found. */
struct search {
    const char *user;
    struct secretdb_secret *secret;
};

/* Keeps the secret of a line that is the user's: of two lines one may be a
 * lock.  To the end also behind the user, so that the time tells nothing. */
static const char *
try_line(void *arg, const char *line, size_t len, unsigned long number)
{
    const struct search *search = arg;
    struct secretdb_secret *secret = search->secret;
    size_t user_len = (size_t)((const char *)memchr(line, ':', len) - line);

    (void)number;
    if (user_len != strlen(search->user)
        || memcmp(line, search->user, user_len) != 0)
        return NULL;
    if (secret->size > 0)
        return secretdb_double;
    secret->size = len - user_len - 1;
    memcpy(secret->data, line + user_len + 1, secret->size);
    return NULL;
}

static bool
is_locked(const struct secretdb_secret *secret)
{
    return secret->size > 0 && secretdb_is_lock(secret->data[0]);
}

int32_t
secretdb_lookup(const char *path, const char *user,
                struct secretdb_secret *secret_out, char *error,
                size_t error_size)
{
    struct search search = { user, secret_out };
    int32_t rc = KPOP_OK;

    memset(secret_out, 0, sizeof(*secret_out));
    if (secretdb_scan(path, try_line, &search, error, error_size) != 0)
        rc = KPOP_TEMP;
    else if (secret_out->size == 0 || is_locked(secret_out))
        rc = KPOP_AUTH;
    if (rc != KPOP_OK)
        explicit_bzero(secret_out, sizeof(*secret_out));
    return rc;
}

int
secretdb_check(const char *path, char *error, size_t error_size)
{
    struct secretdb_secret secret;
    int32_t rc = secretdb_lookup(path, "", &secret, error, error_size);

    return rc == KPOP_TEMP ? -1 : 0;
}
