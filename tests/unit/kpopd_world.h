/*
 * kpopd_world.h - a maildir with all that kpopd keeps of it, a client's whole
 * session on it, and the question whether mail was lost.
 *
 * The session is engine and box, as a worker has them, in one thread and
 * without a network, so that a test can let each step of it go wrong.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_UNIT_KPOPD_WORLD_H
#define KPOP_TESTS_UNIT_KPOPD_WORLD_H

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kpop/engine.h"
#include "kpop/stuff.h"
#include "plugin/host/kpopd/box.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/uidlmap.h"
#include "tests/lib/check.h"

enum { WORLD_DAY = 24 * 60 * 60, WORLD_STEPS = 16, WORLD_BODY = 40000 };

struct world_msg {
    const char *file; /* below the maildir */
    const char *uidl;
    size_t lines;
    size_t deleted_by; /* a command of the client's, or 0 */
    bool expired;      /* removed at a login, where a site wants it */
};

/* In their order; what expires is last, so that numbers never change. */
static const struct world_msg world_msgs[] = {
    { "new/1000000001.M1P1.test", "1000000001.M1P1.test", 1, 9, false },
    { "cur/1000000002.M2P1.test,S=34,W=37:2,", "1000000002.M2P1.test", 1, 0,
      false },
    { "new/1000000003.M3P1.test", "1000000003.M3P1.test", 3, 0, false },
    { "cur/1000000004.M4P1.test:2,FS", "1000000004.M4P1.test", 2, 10,
      false },
    { "new/1000000005.M5P1.test", "imported-5", 2, 0, false },
    { "new/1000000006.M6P1.test", "1000000006.M6P1.test", 1800, 0, false },
    { "cur/1000000007.M7P1.test:2,", "imported-7", 1, 11, false },
    { "new/1000000008.M8P1.test", "1000000008.M8P1.test", 1, 0, true },
};

enum { WORLD_COUNT = sizeof(world_msgs) / sizeof(world_msgs[0]) };

/* One line a step; a multi-line answer must follow where it says so. */
static const char *const world_commands[] = {
    "USER alice\r\n", "PASS x\r\n", "STAT\r\n",   "UIDL\r\n",
    "LIST\r\n",       "RETR 2\r\n", "RETR 3\r\n", "TOP 5 1\r\n",
    "RETR 6\r\n",     "DELE 1\r\n", "DELE 4\r\n", "DELE 7\r\n",
    "QUIT\r\n",
};

enum {
    WORLD_PASS = 1,
    WORLD_UIDL = 3,
    WORLD_QUIT = 12,
    WORLD_COMMANDS = sizeof(world_commands) / sizeof(world_commands[0])
};

/* What a session came to; in memory that outlives it. */
struct talk {
    size_t ends[WORLD_COMMANDS]; /* of the answers, in text */
    size_t said;                 /* answers that are complete */
    size_t len;
    bool committed;              /* box_commit() was called */
    size_t closed_at;            /* the command at which the server closed */
    bool leaks;                  /* descriptors */
    char text[2 * WORLD_BODY + 65536];
};

static struct {
    char root[64];
    char box[80];
    char state[80];
    char index[96];
    struct settings settings;
    bool moves;      /* another program comes before QUIT */
    char about[200]; /* what is done to it, for a failure's text */
} world;

static inline void
world_require(bool good, const char *what)
{
    if (!good)
        fprintf(stderr, "# %s: %s\n", world.about, what);
    CHECK(good);
}

/* ---- files ---- */

static inline void
world_write(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    CHECK(fd >= 0);
    CHECK_INT(write(fd, data, len), len);
    close(fd);
}

/* Up to size octets; how many. */
static inline size_t
world_read(const char *path, char *data, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    CHECK(fd >= 0);
    got = read(fd, data, size);
    close(fd);
    CHECK(got >= 0);
    return (size_t)got;
}

static inline int
world_remove_one(const char *path, const struct stat *st, int type,
                 struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void
world_clear(void)
{
    (void)nftw(world.root, world_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline size_t
world_body(size_t number, char text[WORLD_BODY])
{
    size_t len = (size_t)snprintf(text, WORLD_BODY, "Subject: %zu\n\n",
                                  number + 1);
    size_t i;

    for (i = 0; i < world_msgs[number].lines; i++)
        len += (size_t)snprintf(text + len, WORLD_BODY - len,
                                "the line %zu of it\n", i);
    return len;
}

static inline void
world_folders(void)
{
    static const char *const names[] = { "",       "/box",     "/box/new",
                                         "/box/cur", "/box/tmp", "/state",
                                         "/state/logins", "/state/expire",
                                         "/state/uidl", "/state/index" };
    char path[128];
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s%s", world.root, names[i]);
        CHECK_INT(mkdir(path, 0700), 0);
    }
}

/* The base of a message's name; its length. */
static inline int
world_base(const struct world_msg *msg, const char **base_out)
{
    *base_out = strchr(msg->file, '/') + 1;
    return (int)strcspn(*base_out, ":");
}

static inline void
world_import(size_t *count_out, struct uidlmap_entry entries[WORLD_COUNT],
             char bases[WORLD_COUNT][64])
{
    const char *base;
    size_t i;

    *count_out = 0;
    for (i = 0; i < WORLD_COUNT; i++) {
        int len = world_base(&world_msgs[i], &base);

        if (strncmp(world_msgs[i].uidl, "imported", 8) != 0)
            continue;
        snprintf(bases[*count_out], 64, "%.*s", len, base);
        entries[*count_out].base = bases[*count_out];
        entries[(*count_out)++].uidl = world_msgs[i].uidl;
    }
}

/* Other unique-ids come to be imported; as uidlmap_save(). */
static inline int
world_import_others(void)
{
    struct uidlmap_entry entries[] = {
        { "1000000001.M1P1.test", "another-1" },
        { "1000000005.M5P1.test", "another-5" },
        { "1000000007.M7P1.test", "another-7" },
    };

    return uidlmap_save(&world.settings, "alice", entries, 3);
}

/* How many imported unique-ids there are: 3 are the others, and no mixture of
 * both. */
static inline size_t
world_imported(void)
{
    const struct uidlmap_entry *entries;
    struct uidlmap *map;
    size_t count;
    size_t others = 0;
    size_t i;

    world_require(uidlmap_load(&world.settings, "alice", &map) == KPOP_OK,
                  "the imported UIDLs are damaged");
    count = uidlmap_entries(map, &entries);
    for (i = 0; i < count; i++)
        others += strncmp(entries[i].uidl, "another", 7) == 0;
    world_require(others == (count == 3 ? 3 : 0), "two imports are mixed");
    uidlmap_free(map);
    return count;
}

/* As it is before the session. */
static inline void
world_make(void)
{
    struct uidlmap_entry entries[WORLD_COUNT];
    char bases[WORLD_COUNT][64];
    char text[WORLD_BODY];
    char path[256];
    size_t count;
    size_t i;

    world_clear();
    world_folders();
    for (i = 0; i < WORLD_COUNT; i++) {
        snprintf(path, sizeof(path), "%s/%s", world.box, world_msgs[i].file);
        world_write(path, text, world_body(i, text));
        if (!world_msgs[i].expired)
            continue;
        snprintf(path, sizeof(path), "%s/expire/alice", world.state);
        snprintf(text, sizeof(text), "1000 %s\n", world_msgs[i].uidl);
        world_write(path, text, strlen(text));
    }
    world_import(&count, entries, bases);
    CHECK_INT(uidlmap_save(&world.settings, "alice", entries, count), 0);
}

/* With all policies, or with none. */
static inline void
world_policies(bool on)
{
    world.settings.login_delay = on ? 60 : 0;
    world.settings.expire = on ? 7 : KPOP_EXPIRE_NEVER;
    world.settings.retr_sets_seen = on;
}

static inline bool
world_begin(const char *name)
{
    /* In memory, where there is room: it is made some thousand times. */
    snprintf(world.root, sizeof(world.root), "/dev/shm/%s.XXXXXX", name);
    if (mkdtemp(world.root) == NULL)
        snprintf(world.root, sizeof(world.root), "/tmp/%s.XXXXXX", name);
    if (access(world.root, F_OK) != 0 && mkdtemp(world.root) == NULL)
        return false;
    snprintf(world.about, sizeof(world.about), "healthy");
    snprintf(world.box, sizeof(world.box), "%s/box", world.root);
    snprintf(world.state, sizeof(world.state), "%s/state", world.root);
    snprintf(world.index, sizeof(world.index), "%s/index", world.state);
    world.settings.state_dir = world.state;
    world.settings.index_dir = world.index;
    world_policies(true);
    return true;
}

/* ---- a session ---- */

struct world_session {
    struct engine *engine;
    struct box *box;
    struct talk *talk;
};

static inline int64_t
world_list(const struct world_session *s, const struct engine_request *want)
{
    char uidl[KPOP_UIDL_MAX + 1];
    uint64_t octets;
    int32_t rc = KPOP_OK;
    uint32_t i;

    for (i = want->first; i < want->first + want->count && rc == KPOP_OK;
         i++) {
        rc = box_size(s->box, i, &octets);
        if (rc != KPOP_OK)
            return rc;
        box_uidl(s->box, i, uidl);
        rc = engine_put_msg(s->engine, octets, uidl);
    }
    return rc;
}

static inline int64_t
world_open(struct world_session *s, const struct engine_request *want)
{
    int32_t rc = KPOP_NO_MEMORY;

    s->box = box_new(&world.settings, world.box, want->user,
                     want->requested);
    if (s->box != NULL)
        rc = box_open(s->box, stuff_wire_octets);
    if (rc == KPOP_OK)
        rc = engine_put_box(s->engine, box_count(s->box),
                            box_total(s->box));
    if (rc != KPOP_OK) {
        box_free(s->box);
        s->box = NULL;
    }
    return rc;
}

static inline int64_t
world_answer(struct world_session *s, const struct engine_request *want)
{
    int64_t rc;

    switch (want->need) {
    case ENGINE_START:
        return engine_put_user(s->engine, "alice");
    case ENGINE_OPEN:
        return world_open(s, want);
    case ENGINE_LIST:
        return world_list(s, want);
    case ENGINE_FETCH:
        rc = box_read_now(s->box, want->msg, want->offset, want->buffer,
                          want->size);
        return rc != KPOP_PENDING ? rc
                                  : box_read(s->box, want->msg, want->offset,
                                             want->buffer, want->size);
    case ENGINE_COMMIT:
        if (!box_must_commit(s->box, want->marks, want->count))
            return KPOP_OK;
        s->talk->committed = true;
        return box_commit(s->box, want->marks, want->count);
    case ENGINE_STEP:
    case ENGINE_END:
    case ENGINE_REFUSE:
    case ENGINE_ENVELOPE:
    case ENGINE_TLS:
        break; /* are not asked for */
    }
    return KPOP_INVALID;
}

static inline void
world_run(struct world_session *s)
{
    struct talk *talk = s->talk;
    const struct engine_request *want;
    const uint8_t *data;
    size_t len;

    for (;;) {
        want = engine_request(s->engine);
        if (want != NULL) {
            engine_answer(s->engine, world_answer(s, want));
            continue;
        }
        len = engine_output(s->engine, &data);
        if (len == 0)
            return;
        CHECK(len < sizeof(talk->text) - talk->len);
        memcpy(talk->text + talk->len, data, len);
        talk->len += len;
        engine_wrote(s->engine, len);
    }
}

static inline void
world_say(struct world_session *s, const char *text)
{
    size_t len = strlen(text);
    size_t used = 1;

    while (len > 0 && used > 0) {
        used = engine_input(s->engine, (const uint8_t *)text, len);
        text += used;
        len -= used;
        world_run(s);
    }
}

/* As an IMAP client does, who reads the same maildir: two that were deleted
 * by ours get other names. */
static inline void
world_move(void)
{
    char from[160];
    char to[160];

    snprintf(from, sizeof(from), "%s/%s", world.box, world_msgs[0].file);
    snprintf(to, sizeof(to), "%s/cur/%s:2,S", world.box,
             strchr(world_msgs[0].file, '/') + 1);
    (void)rename(from, to);
    snprintf(from, sizeof(from), "%s/%s", world.box, world_msgs[6].file);
    snprintf(to, sizeof(to), "%s/%sRS", world.box, world_msgs[6].file);
    (void)rename(from, to);
}

/* A whole session; what became of it is in *talk, also while it lasts. */
static inline void
world_talk(struct talk *talk)
{
    static const struct engine_settings settings = {
        .hostname = "mail.example.org", .implementation = "kpop-test",
        .kpop_versions = "KPOPV1.0"
    };
    struct world_session s = { .engine = engine_new(&settings),
                               .talk = talk };
    size_t i;

    memset(talk, 0, offsetof(struct talk, text));
    talk->closed_at = WORLD_COMMANDS;
    if (s.engine != NULL && engine_set_mechanisms(s.engine, "USER") == 0) {
        engine_begin(s.engine);
        world_run(&s);
        talk->len = 0; /* the greeting */
    } else {
        talk->closed_at = 0;
    }
    for (i = 0; i < WORLD_COMMANDS; i++) {
        if (i == WORLD_QUIT && world.moves)
            world_move();
        if (talk->closed_at > i)
            world_say(&s, world_commands[i]);
        talk->ends[i] = talk->len;
        talk->said = i + 1;
        if (talk->closed_at > i && engine_is_closing(s.engine))
            talk->closed_at = i;
    }
    box_free(s.box);
    engine_free(s.engine);
}

static inline const char *
world_said(const struct talk *talk, size_t i, size_t *len_out)
{
    size_t begin = i > 0 ? talk->ends[i - 1] : 0;

    *len_out = talk->ends[i] - begin;
    return talk->text + begin;
}

static inline bool
world_starts(const struct talk *talk, size_t i, const char *text)
{
    size_t len;
    const char *said = world_said(talk, i, &len);

    return i < talk->said && len >= strlen(text)
           && memcmp(said, text, strlen(text)) == 0;
}

/* Shared with children; never freed. */
static inline struct talk *
world_new_talk(void)
{
    void *talk = mmap(NULL, sizeof(struct talk), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(talk != MAP_FAILED);
    return talk;
}

/* ---- was anything lost? ---- */

/* The message that a name is one of; its content must be the message's. */
static inline size_t
world_known(const char *folder, const char *name)
{
    static char want[WORLD_BODY];
    static char got[WORLD_BODY];
    char path[512];
    const char *base;
    size_t i;

    for (i = 0; i < WORLD_COUNT; i++) {
        size_t len = (size_t)world_base(&world_msgs[i], &base);

        if (strncmp(name, base, len) == 0
            && (name[len] == ':' || name[len] == '\0'))
            break;
    }
    world_require(i < WORLD_COUNT, "a file that nobody delivered");
    snprintf(path, sizeof(path), "%s/%s/%s", world.box, folder, name);
    world_require(world_read(path, got, sizeof(got)) == world_body(i, want)
                      && memcmp(got, want, world_body(i, want)) == 0,
                  "a message is damaged");
    return i;
}

static inline void
world_look(bool there[WORLD_COUNT])
{
    static const char *const folders[] = { "new", "cur" };
    const struct dirent *entry;
    char path[128];
    size_t i;

    memset(there, 0, WORLD_COUNT * sizeof(there[0]));
    for (i = 0; i < 2; i++) {
        DIR *dir;

        snprintf(path, sizeof(path), "%s/%s", world.box, folders[i]);
        dir = opendir(path);
        CHECK(dir != NULL);
        while ((entry = readdir(dir)) != NULL) {
            size_t number;

            if (entry->d_name[0] == '.')
                continue;
            number = world_known(folders[i], entry->d_name);
            world_require(!there[number], "a message is there twice");
            there[number] = true;
        }
        closedir(dir);
    }
}

/* The next session must get what is there by its own UIDL, and nothing
 * else. */
static inline void
world_check_next(const bool there[WORLD_COUNT])
{
    static struct talk talk;
    char want[4096];
    size_t number = 0;
    size_t at = 0;
    size_t len;
    const char *said;
    bool policies = world.settings.login_delay > 0;
    bool moves = world.moves;
    size_t i;

    at = (size_t)snprintf(want, sizeof(want), "+OK\r\n");
    for (i = 0; i < WORLD_COUNT; i++)
        if (there[i])
            at += (size_t)snprintf(want + at, sizeof(want) - at,
                                   "%zu %s\r\n", ++number,
                                   world_msgs[i].uidl);
    snprintf(want + at, sizeof(want) - at, ".\r\n");
    world_policies(false);
    world.moves = false;
    world_talk(&talk);
    world.moves = moves;
    world_policies(policies);
    world_require(world_starts(&talk, WORLD_PASS, "+OK"),
                  "the next session does not log in");
    said = world_said(&talk, WORLD_UIDL, &len);
    said = memchr(said, '\n', len);
    world_require(said != NULL
                      && strncmp(said + 1, strchr(want, '\n') + 1,
                                 strlen(strchr(want, '\n') + 1))
                             == 0,
                  "the next session has other UIDLs");
    world_require(world_starts(&talk, WORLD_QUIT, "+OK"),
                  "the next session does not commit");
}

/* After a session that had the faults of world.about. */
static inline void
world_check(const struct talk *talk)
{
    bool quit = world_starts(talk, WORLD_PASS, "+OK")
                && world_starts(talk, WORLD_QUIT, "+OK");
    bool there[WORLD_COUNT];
    size_t i;

    world_look(there);
    for (i = 0; i < WORLD_COUNT; i++) {
        const struct world_msg *msg = &world_msgs[i];
        bool deleted = msg->deleted_by > 0
                       && world_starts(talk, msg->deleted_by, "+OK");
        bool may_go = (msg->expired && world.settings.login_delay > 0)
                      || (deleted && talk->committed);

        world_require(there[i] || may_go, "mail is lost");
        world_require(!there[i] || !deleted || !quit,
                      "QUIT said +OK, and a deleted message is there");
    }
    world_check_next(there);
}

#endif
