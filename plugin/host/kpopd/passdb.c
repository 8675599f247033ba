/*
 * passdb.c - the password file.  Runs in the auth processes of the password
 * pool, with the rights of auth_user; nothing here is ever logged but the
 * path and a line number.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/passdb.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "plugin/host/kpopd/filestate.h"
#include "plugin/kpop_plugin.h"

/* One line, pointing into the text. */
struct credential {
    const char *user;
    const char *hash;
    long expires; /* days since 1970; 0 or less: never */
};

struct passdb {
    char *path;
    char *text; /* the file, its colons and line ends made NUL */
    size_t text_size;
    struct credential *credentials; /* sorted by user */
    size_t count;
    struct filestate state;   /* of the file in text */
    struct crypt_data *work;
    char dummy[CRYPT_OUTPUT_SIZE]; /* a setting as dear as the real ones */
};

static int
by_user(const void *a, const void *b)
{
    const struct credential *one = a;
    const struct credential *other = b;

    return strcmp(one->user, other->user);
}

static void
forget(struct passdb *db)
{
    if (db->text != NULL)
        explicit_bzero(db->text, db->text_size);
    free(db->text);
    free(db->credentials);
    db->text = NULL;
    db->credentials = NULL;
    db->count = 0;
}

/* Matches no password, at the usual cost. */
static bool
is_locked(const char *hash)
{
    return hash[0] == '!' || hash[0] == '*';
}

static bool
is_hash(const char *hash)
{
    /* Any two letters begin a hash of the oldest kind, which has 13. */
    bool whole = hash[0] == '$' || hash[0] == '_' || strlen(hash) == 13;

    return whole && !is_locked(hash)
           && crypt_checksalt(hash) != CRYPT_SALT_INVALID;
}

/* May nobody be this user now? */
static bool
is_closed(const struct credential *credential)
{
    return is_locked(credential->hash)
           || (credential->expires > 0
               && time(NULL) / 86400 >= credential->expires);
}

static const char *
line_fault(const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);

    if (len > PASSDB_LINE_MAX)
        return "the line is too long";
    if (memchr(line, '\0', len) != NULL)
        return "the line holds a NUL";
    if (colon == NULL || colon == line || colon == line + len - 1)
        return "write user:hash";
    if ((size_t)(colon - line) > KPOP_USER_MAX)
        return "the user's name is too long";
    return NULL;
}

/* Field `number` of shadow(5), from 1; "" when there are fewer. */
static const char *
field_of(const char *line, unsigned number)
{
    for (; number > 1; number--) {
        line += strcspn(line, ":");
        line += *line == ':';
    }
    return line;
}

/* A line without fault, into its parts; NULL, or what is wrong with it. */
static const char *
take_line(struct credential *credential, char *line)
{
    char *colon = strchr(line, ':');
    const char *expire = field_of(line, 8);
    char *end;

    errno = 0;
    credential->expires = strtol(expire, &end, 10);
    if (errno != 0 || (*end != '\0' && *end != ':' && *end != '\r'))
        return "the date of expiry, field 8, is no number of days";
    *colon = '\0';
    credential->user = line;
    credential->hash = colon + 1;
    /* shadow(5) has more fields behind the hash. */
    colon[1 + strcspn(colon + 1, ":\r")] = '\0';
    return is_hash(credential->hash) || is_locked(credential->hash)
               ? NULL
               : "what stands behind the user is no hash of crypt(3), see "
                 "mkpasswd(1), and does not begin with !";
}

/* Cuts the text into lines; -1 with a sentence. */
static int
parse(struct passdb *db, char *error, size_t error_size)
{
    char *at = db->text;
    char *end = db->text + db->text_size;
    unsigned long number = 1;
    const char *fault;
    char *line_end;

    for (; at < end; at = line_end + 1, number++) {
        line_end = memchr(at, '\n', (size_t)(end - at));
        if (line_end == NULL)
            line_end = end;
        if (at == line_end || *at == '#')
            continue;
        fault = line_fault(at, (size_t)(line_end - at));
        if (fault != NULL) {
            snprintf(error, error_size, "%s:%lu: %s", db->path, number,
                     fault);
            return -1;
        }
        *line_end = '\0';
        fault = take_line(&db->credentials[db->count++], at);
        if (fault != NULL) {
            snprintf(error, error_size, "%s:%lu: %s", db->path, number,
                     fault);
            return -1;
        }
    }
    return 0;
}

/* Which of two lines counts would be chance, and one may be a lock. */
static int
check_doubles(const struct passdb *db, char *error, size_t error_size)
{
    size_t i;

    for (i = 1; i < db->count; i++) {
        if (strcmp(db->credentials[i - 1].user, db->credentials[i].user) != 0)
            continue;
        snprintf(error, error_size, "%s: user %s has more than one line",
                 db->path, db->credentials[i].user);
        return -1;
    }
    return 0;
}

static void
choose_dummy(struct passdb *db)
{
    const char *made;
    size_t i;

    for (i = 0; i < db->count; i++) {
        if (is_hash(db->credentials[i].hash)) {
            snprintf(db->dummy, sizeof(db->dummy), "%s",
                     db->credentials[i].hash);
            return;
        }
    }
    made = crypt_gensalt_rn(NULL, 0, NULL, 0, db->dummy, sizeof(db->dummy));
    if (made == NULL)
        snprintf(db->dummy, sizeof(db->dummy), "$6$kpopkpopkpopkpop$");
}

static size_t
count_lines(const char *text, size_t size)
{
    size_t lines = 1;
    size_t i;

    for (i = 0; i < size; i++)
        lines += text[i] == '\n';
    return lines;
}

static const char *
mode_fault(const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return "is no plain file";
    if (st->st_size > PASSDB_FILE_MAX)
        return "is larger than 32 MiB";
    if ((st->st_mode & (S_IROTH | S_IWOTH | S_IWGRP)) != 0)
        return "can be read by everybody or written by others; make it "
               "mode 0600 and owned by auth_user";
    return NULL;
}

/* Reads all of fd into db->text, with room for a final NUL. */
static int
slurp(struct passdb *db, int fd)
{
    size_t size = (size_t)db->state.seen.st_size;
    size_t have = 0;
    ssize_t got = 1;

    db->text = malloc(size + 1);
    if (db->text == NULL)
        return -1;
    db->text_size = size;
    while (have < size && got > 0) {
        got = read(fd, db->text + have, size - have);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            have += (size_t)got;
    }
    if (got < 0)
        return -1;
    db->text_size = have;
    db->text[have] = '\0';
    db->credentials = calloc(count_lines(db->text, have),
                             sizeof(db->credentials[0]));
    return db->credentials != NULL ? 0 : -1;
}

static int
load(struct passdb *db, char *error, size_t error_size)
{
    const char *fault;
    int rc = -1;
    int fd = open(db->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    forget(db);
    if (fd < 0 || fstat(fd, &db->state.seen) != 0) {
        snprintf(error, error_size, "cannot read %s: %s", db->path,
                 strerror(errno));
        goto done;
    }
    fault = mode_fault(&db->state.seen);
    if (fault != NULL) {
        snprintf(error, error_size, "%s %s", db->path, fault);
        goto done;
    }
    if (slurp(db, fd) != 0) {
        snprintf(error, error_size, "cannot read %s: %s", db->path,
                 strerror(errno));
        goto done;
    }
    rc = parse(db, error, error_size);
    if (rc != 0)
        goto done;
    qsort(db->credentials, db->count, sizeof(db->credentials[0]), by_user);
    rc = check_doubles(db, error, error_size);
    if (rc != 0)
        goto done;
    choose_dummy(db);
done:
    if (rc != 0) {
        forget(db);
        memset(&db->state.seen, 0, sizeof(db->state.seen));
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

struct passdb *
passdb_open(const char *path, char *error, size_t error_size)
{
    struct passdb *db = calloc(1, sizeof(*db));

    if (db == NULL)
        goto no_memory;
    db->path = strdup(path);
    db->work = calloc(1, sizeof(*db->work));
    if (db->path == NULL || db->work == NULL)
        goto no_memory;
    if (load(db, error, error_size) == 0)
        return db;
    passdb_close(db);
    return NULL;
no_memory:
    snprintf(error, error_size, "out of memory");
    passdb_close(db);
    return NULL;
}

void
passdb_close(struct passdb *db)
{
    if (db == NULL)
        return;
    forget(db);
    if (db->work != NULL)
        explicit_bzero(db->work, sizeof(*db->work));
    free(db->work);
    free(db->path);
    free(db);
}

/* The time tells nothing but the length, which the method gives away. */
static bool
is_same(const char *a, const char *b)
{
    size_t len = strlen(a);
    unsigned char differ = 0;
    size_t i;

    if (len != strlen(b))
        return false;
    for (i = 0; i < len; i++)
        differ = (unsigned char)(differ | (a[i] ^ b[i]));
    return differ == 0;
}

static int32_t
compare(struct passdb *db, const char *hash, const char *password)
{
    const char *setting = hash != NULL ? hash : db->dummy;
    const char *made;
    int32_t rc = KPOP_AUTH;

    made = crypt_r(password, setting, db->work);
    if (made != NULL && made[0] != '*' && hash != NULL
        && is_same(made, hash))
        rc = KPOP_OK;
    explicit_bzero(db->work, sizeof(*db->work));
    return rc;
}

void
passdb_turn(struct passdb *db)
{
    filestate_turn(&db->state);
}

/* With the file of now; 0, or -1 with a sentence. */
static int
look(struct passdb *db, char *error, size_t error_size)
{
    if (filestate_changed(&db->state, db->path)
        && load(db, error, error_size) != 0)
        return -1;
    filestate_good(&db->state);
    return 0;
}

static int
find(struct passdb *db, const char *user, const struct credential **found_out,
     char *error, size_t error_size)
{
    const struct credential wanted = { .user = user };

    if (look(db, error, error_size) != 0)
        return -1;
    *found_out = db->count == 0 ? NULL
                                : bsearch(&wanted, db->credentials, db->count,
                                          sizeof(wanted), by_user);
    return 0;
}

int32_t
passdb_unlocked(struct passdb *db, const char *user, char *error,
                size_t error_size)
{
    const struct credential *found;

    if (find(db, user, &found, error, error_size) != 0)
        return KPOP_TEMP;
    return found != NULL && is_closed(found) ? KPOP_DENIED : KPOP_OK;
}

int32_t
passdb_verify(struct passdb *db, const char *user, const void *password,
              size_t password_size, char *error, size_t error_size)
{
    const struct credential *found;
    const char *hash = NULL;
    char text[CRYPT_MAX_PASSPHRASE_SIZE];
    int32_t rc;

    if (find(db, user, &found, error, error_size) != 0)
        return KPOP_TEMP;
    if (found != NULL && !is_closed(found))
        hash = found->hash;
    memset(text, 0, sizeof(text));
    if (password_size == 0 || password_size >= sizeof(text)
        || memchr(password, '\0', password_size) != NULL)
        hash = NULL; /* crypt would see another password */
    else
        memcpy(text, password, password_size);
    rc = compare(db, hash, text);
    explicit_bzero(text, sizeof(text));
    return rc;
}
