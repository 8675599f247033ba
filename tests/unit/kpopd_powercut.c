/*
 * kpopd_powercut.c - the power fails while kpopd writes.
 *
 * What a session writes is recorded call by call.  Then the disk is made as
 * it may be when the power failed behind each of the calls: what was synced
 * is there; of the rest each piece may be there or not, in any order, and of
 * unsynced data only a half, or zeros in its place.  That a single rename is
 * done or not done, and nothing between, is what every journalling file system
 * keeps.  All these states are opened again: each message is there
 * unchanged and by its own UIDL, or the client had it deleted.
 * TIME-LIMIT: 180
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/unit/kpopd_world.h"
#include "tests/unit/syscalls_fixture.h"

enum { OPS = 200, FILES = 64, PATH = 160, POOL = 65536 };

enum kind { CREATE, TRUNCATE, WRITE, SYNC, RENAME, UNLINK };

/* How much of an op is on the disk. */
enum fate { NOTHING, ALL, HALF, ZEROS, FATES };

struct op {
    enum kind kind;
    size_t file; /* what it is about; FILES: a folder */
    char path[PATH];
    char to[PATH];
    size_t at;   /* WRITE: where the data is in the pool, and in the file */
    size_t offset;
    size_t len;
};

/* A disk: names of files, and what is in them. */
struct file {
    char data[WORLD_BODY];
    size_t len;
};

struct disk {
    struct {
        char path[PATH];
        size_t file; /* FILES: none */
    } names[FILES];
    size_t name_count;
    struct file files[FILES];
    size_t file_count;
};

static struct {
    struct disk before;
    struct disk now; /* while it is recorded: names and lengths */
    struct op ops[OPS];
    size_t count;
    char pool[POOL];
    size_t pool_len;
} record;

/* ---- disks ---- */

static size_t
find_name(const struct disk *disk, const char *path)
{
    size_t i;

    for (i = 0; i < disk->name_count; i++)
        if (strcmp(disk->names[i].path, path) == 0)
            return i;
    return FILES;
}

static size_t
file_of(const struct disk *disk, const char *path)
{
    size_t i = find_name(disk, path);

    return i == FILES ? FILES : disk->names[i].file;
}

static void
set_name(struct disk *disk, const char *path, size_t file)
{
    size_t i = find_name(disk, path);

    if (i == FILES) {
        CHECK(disk->name_count < FILES);
        i = disk->name_count++;
        snprintf(disk->names[i].path, PATH, "%s", path);
    }
    disk->names[i].file = file;
}

static int
take_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    struct disk *disk = &record.before;
    struct file *file = &disk->files[disk->file_count];

    (void)st;
    (void)ftw;
    if (type != FTW_F)
        return 0;
    CHECK(disk->file_count < FILES);
    file->len = world_read(path, file->data, sizeof(file->data));
    set_name(disk, path + strlen(world.root), disk->file_count++);
    return 0;
}

/* The tree, which the recording begins with. */
static void
take_tree(void)
{
    memset(&record, 0, sizeof(record));
    CHECK_INT(nftw(world.root, take_file, 8, FTW_PHYS), 0);
    record.now = record.before;
}

static void
put_tree(const struct disk *disk)
{
    char path[2 * PATH];
    size_t i;

    world_clear();
    world_folders();
    for (i = 0; i < disk->name_count; i++) {
        const struct file *file;

        if (disk->names[i].file == FILES)
            continue;
        file = &disk->files[disk->names[i].file];
        snprintf(path, sizeof(path), "%s%s", world.root, disk->names[i].path);
        world_write(path, file->data, file->len);
    }
}

/* ---- recording ---- */

/* Path below the world; false for one elsewhere. */
static bool
path_at(const struct syscalls_call *call, int dir, uint64_t name,
        char out[PATH])
{
    const size_t root = strlen(world.root);
    char full[PATH_MAX + NAME_MAX + 2];
    char text[PATH_MAX] = "";
    size_t len;

    (void)syscalls_read(call, name, text, sizeof(text) - 1);
    full[0] = '\0';
    if (text[0] != '/')
        syscalls_path(call, dir, full, PATH_MAX);
    len = strlen(full);
    snprintf(full + len, sizeof(full) - len, "%s%s", text[0] == '/' ? "" : "/",
             text);
    if (strncmp(full, world.root, root) != 0)
        return false;
    CHECK(strlen(full + root) < PATH);
    memcpy(out, full + root, strlen(full + root) + 1);
    return true;
}

static bool
path_of_fd(const struct syscalls_call *call, int fd, char out[PATH])
{
    const size_t root = strlen(world.root);
    char full[PATH_MAX];

    syscalls_path(call, fd, full, sizeof(full));
    if (strncmp(full, world.root, root) != 0)
        return false;
    snprintf(out, PATH, "%.*s", PATH - 1, full + root);
    return true;
}

static struct op *
add_op(enum kind kind, const char *path)
{
    struct op *op = &record.ops[record.count++];

    CHECK(record.count <= OPS);
    op->kind = kind;
    op->file = file_of(&record.now, path);
    snprintf(op->path, PATH, "%s", path);
    return op;
}

static void
note_open(const struct syscalls_call *call)
{
    const uint64_t flags = call->args[2];
    char path[PATH];

    if ((flags & (O_CREAT | O_TRUNC)) == 0
        || !path_at(call, (int)call->args[0], call->args[1], path))
        return;
    if (file_of(&record.now, path) == FILES) {
        CHECK((flags & O_CREAT) != 0 && record.now.file_count < FILES);
        set_name(&record.now, path, record.now.file_count++);
        add_op(CREATE, path);
    } else if ((flags & O_TRUNC) != 0) {
        record.now.files[add_op(TRUNCATE, path)->file].len = 0;
    }
}

static void
note_write(const struct syscalls_call *call)
{
    char path[PATH];
    struct op *op;

    if (!path_of_fd(call, (int)call->args[0], path))
        return;
    op = add_op(WRITE, path);
    CHECK(op->file < FILES);
    op->len = (size_t)call->args[2];
    op->at = record.pool_len;
    CHECK(op->len <= POOL - record.pool_len);
    CHECK_INT(syscalls_read(call, call->args[1], record.pool + op->at,
                            op->len),
              op->len);
    record.pool_len += op->len;
    op->offset = record.now.files[op->file].len;
    record.now.files[op->file].len += op->len;
}

static void
note_rename(const struct syscalls_call *call, int from_dir, uint64_t from,
            int to_dir, uint64_t to)
{
    char path[PATH];
    struct op *op;

    if (!path_at(call, from_dir, from, path))
        return;
    op = add_op(RENAME, path);
    CHECK(op->file < FILES && path_at(call, to_dir, to, op->to));
    set_name(&record.now, op->path, FILES);
    set_name(&record.now, op->to, op->file);
}

static void
note_unlink(const struct syscalls_call *call, int dir, uint64_t name)
{
    char path[PATH];

    if (!path_at(call, dir, name, path)
        || file_of(&record.now, path) == FILES)
        return; /* it was renamed meanwhile */
    add_op(UNLINK, path);
    set_name(&record.now, path, FILES);
}

/* All else succeeds, so what is asked for is what happens. */
static int
note(void *arg, const struct syscalls_call *call)
{
    const uint64_t *args = call->args;
    char path[PATH];

    (void)arg;
    switch (call->nr) {
    case SYS_openat:
        note_open(call);
        break;
    case SYS_write:
        note_write(call);
        break;
    case SYS_fsync:
        if (path_of_fd(call, (int)args[0], path))
            add_op(SYNC, path);
        break;
#ifdef SYS_rename
    case SYS_rename:
        note_rename(call, AT_FDCWD, args[0], AT_FDCWD, args[1]);
        break;
    case SYS_unlink:
        note_unlink(call, AT_FDCWD, args[0]);
        break;
#endif
    case SYS_renameat:
    case SYS_renameat2:
        note_rename(call, (int)args[0], args[1], (int)args[2], args[3]);
        break;
    case SYS_unlinkat:
        note_unlink(call, (int)args[0], args[1]);
        break;
    /* Other ways to write, which the code does not go: this test would have
     * to learn them. */
    case SYS_pwrite64:
    case SYS_writev:
    case SYS_ftruncate:
    case SYS_fdatasync:
    case SYS_linkat:
    case SYS_mkdirat:
        CHECK(!path_of_fd(call, (int)args[0], path));
        break;
    default:
        break;
    }
    return 0;
}

/* ---- what may be on the disk ---- */

static bool
is_in(const char *path, const char *folder)
{
    size_t len = strlen(folder);

    return strncmp(path, folder, len) == 0 && path[len] == '/'
           && strchr(path + len + 1, '/') == NULL;
}

/* Whether it is there for good once the calls before `cut` were made. */
static bool
is_safe(const struct op *op, size_t cut)
{
    bool data = op->kind == WRITE || op->kind == TRUNCATE;
    bool from = false;
    bool to = op->kind != RENAME;
    const struct op *sync;

    for (sync = op + 1; sync < record.ops + cut; sync++) {
        if (sync->kind != SYNC)
            continue;
        if (data && sync->file == op->file)
            return true;
        from = from || (!data && is_in(op->path, sync->path));
        to = to || is_in(op->to, sync->path);
    }
    return !data && from && to;
}

static void
write_data(struct file *file, const struct op *op, enum fate fate)
{
    size_t len = fate == HALF ? op->len / 2 : op->len;

    CHECK(op->offset + len <= sizeof(file->data));
    if (op->offset > file->len)
        memset(file->data + file->len, 0, op->offset - file->len);
    if (fate == ZEROS)
        memset(file->data + op->offset, 0, len);
    else
        memcpy(file->data + op->offset, record.pool + op->at, len);
    if (op->offset + len > file->len)
        file->len = op->offset + len;
}

static void
apply(struct disk *disk, const struct op *op, enum fate fate)
{
    if (fate == NOTHING)
        return;
    switch (op->kind) {
    case CREATE:
        set_name(disk, op->path, op->file);
        break;
    case TRUNCATE:
        disk->files[op->file].len = 0;
        break;
    case WRITE:
        write_data(&disk->files[op->file], op, fate);
        break;
    case SYNC:
        break;
    case RENAME:
        if (file_of(disk, op->path) == op->file)
            set_name(disk, op->path, FILES);
        set_name(disk, op->to, op->file);
        break;
    case UNLINK:
        if (file_of(disk, op->path) == op->file)
            set_name(disk, op->path, FILES);
        break;
    }
}

static uint64_t
fingerprint(const struct disk *disk)
{
    uint64_t sum = 0;
    size_t i;
    size_t at;

    for (i = 0; i < disk->name_count; i++) {
        const struct file *file = &disk->files[disk->names[i].file % FILES];
        uint64_t hash = 1469598103934665603u;

        if (disk->names[i].file == FILES)
            continue;
        for (at = 0; disk->names[i].path[at] != '\0'; at++)
            hash = (hash ^ (unsigned char)disk->names[i].path[at])
                   * 1099511628211u;
        for (at = 0; at < file->len; at++)
            hash = (hash ^ (unsigned char)file->data[at]) * 1099511628211u;
        sum += hash;
    }
    return sum;
}

/* False when this disk was seen before. */
static bool
is_new(uint64_t print)
{
    static uint64_t seen[1 << 16];
    size_t at = (size_t)(print % (sizeof(seen) / sizeof(seen[0])));
    size_t tries;

    if (print == 0) { /* a new round */
        memset(seen, 0, sizeof(seen));
        return false;
    }
    for (tries = 0; seen[at] != 0 && seen[at] != print; tries++) {
        CHECK(tries < 1 << 15);
        at = (at + 1) % (sizeof(seen) / sizeof(seen[0]));
    }
    if (seen[at] == print)
        return false;
    seen[at] = print;
    return true;
}

/* The next choice of fates; false when that was the last one. */
static bool
next_fates(enum fate *fates, size_t cut)
{
    size_t i;

    for (i = 0; i < cut; i++) {
        if (record.ops[i].kind == SYNC || is_safe(&record.ops[i], cut))
            continue;
        fates[i]++;
        if (fates[i] < (record.ops[i].kind == WRITE ? FATES : HALF))
            return true;
        fates[i] = NOTHING;
    }
    return false;
}

static void
first_fates(enum fate *fates, size_t cut)
{
    size_t i;

    for (i = 0; i < cut; i++)
        fates[i] = is_safe(&record.ops[i], cut) ? ALL : NOTHING;
}

/* Makes every disk there may be, and has it looked at: done when the power
 * failed behind the last call.  How many there were. */
static size_t
cut_everywhere(void (*look)(bool done))
{
    static struct disk disk;
    enum fate fates[OPS];
    size_t disks = 0;
    size_t cut;
    size_t i;

    (void)is_new(0);
    for (cut = 0; cut <= record.count; cut++) {
        first_fates(fates, cut);
        if (cut == record.count)
            (void)is_new(0); /* more is asked of these */
        do {
            disk = record.before;
            for (i = 0; i < cut; i++)
                apply(&disk, &record.ops[i], fates[i]);
            if (!is_new(fingerprint(&disk)))
                continue;
            disks++;
            put_tree(&disk);
            snprintf(world.about, sizeof(world.about),
                     "power fails behind write %zu of %zu, disk %zu", cut,
                     record.count, disks);
            look(cut == record.count);
        } while (next_fates(fates, cut));
    }
    return disks;
}

/* ---- a session ---- */

static struct talk *talk;

static void
session(void *arg)
{
    (void)arg;
    syscalls_mark();
    world_talk(talk);
    syscalls_mark();
}

/* EXPIRE goes by what the disk has kept of its file: it may forget, and then
 * mail stays; it must not make up anything. */
static void
look_at_expire(void)
{
    bool before[WORLD_COUNT];
    bool after[WORLD_COUNT];
    struct box *box;
    size_t i;

    world_look(before);
    world_policies(true);
    world.settings.login_delay = 0;
    box = box_new(&world.settings, world.box, "alice", "alice");
    CHECK(box != NULL);
    world_require(box_open(box, stuff_wire_octets) == KPOP_OK,
                  "a session with EXPIRE does not open");
    box_free(box);
    world_look(after);
    for (i = 0; i < WORLD_COUNT; i++)
        world_require(after[i] == before[i] || world_msgs[i].expired,
                      "EXPIRE removes what was not retrieved");
    world_policies(true);
}

static void
look_at_mail(bool done)
{
    /* What QUIT has said counts from the end on. */
    static struct talk so_far;
    const struct talk *heard = done ? talk : &so_far;

    so_far = *talk;
    so_far.said = WORLD_QUIT;
    look_at_expire();
    world_check(heard);
}

static void
cut_session(bool moves)
{
    size_t disks;

    if (syscalls_lack() != NULL)
        SKIP(syscalls_lack());
    if (talk == NULL)
        talk = world_new_talk();
    world_policies(true);
    world.moves = moves;
    world_make();
    take_tree();
    CHECK_INT(syscalls_watch(session, NULL, note, NULL), 0);
    CHECK(world_starts(talk, WORLD_QUIT, "+OK"));
    disks = cut_everywhere(look_at_mail);
    printf("# %zu writes, %zu disks\n", record.count, disks);
    CHECK(record.count > 15 && disks > 100);
}

TEST(power_cut_in_a_session_loses_no_mail)
{
    cut_session(false);
}

TEST(power_cut_while_another_program_renames_loses_no_mail)
{
    cut_session(true);
}

/* ---- an import of unique-ids ---- */

static void
import(void *arg)
{
    (void)arg;
    syscalls_mark();
    if (world_import_others() != 0)
        _exit(1);
    syscalls_mark();
}

static size_t old_entries;

static void
look_at_import(bool done)
{
    size_t entries = world_imported();

    world_require(entries == 3 || (!done && entries == old_entries),
                  "neither the old import nor the new one");
}

static void
cut_import(void)
{
    take_tree();
    CHECK_INT(syscalls_watch(import, NULL, note, NULL), 0);
    printf("# import: %zu disks\n", cut_everywhere(look_at_import));
    CHECK(record.count >= 5);
}

TEST(power_cut_in_an_import_leaves_the_old_one_or_the_new_one)
{
    char path[128];

    if (syscalls_lack() != NULL)
        SKIP(syscalls_lack());
    world_policies(true);
    world_make();
    old_entries = 2;
    cut_import();
    world_make();
    snprintf(path, sizeof(path), "%s/uidl/alice", world.state);
    CHECK_INT(unlink(path), 0);
    old_entries = 0;
    cut_import();
}

int
main(int argc, char **argv)
{
    static const struct check_test tests[] = {
        T(power_cut_in_a_session_loses_no_mail),
        T(power_cut_while_another_program_renames_loses_no_mail),
        T(power_cut_in_an_import_leaves_the_old_one_or_the_new_one),
    };
    int rc;

    if (!world_begin("kpopd_powercut"))
        return 1;
    log_set(LOG_TO_STDERR, KPOP_LOG_ERROR);
    rc = check_main(argc, argv, "kpopd_powercut", tests,
                    sizeof(tests) / sizeof(tests[0]));
    world_clear();
    return rc;
}
