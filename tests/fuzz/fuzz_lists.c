/*
 * fuzz_lists.c - the lists that admins write: principal_map, the files of
 * passwords and of secrets.  Any octets give a list or a sentence with the
 * file's name; in a list nobody is found who does not stand in it, and what is
 * locked stays locked.  The first octet chooses.
 *
 * SPDX-License-Identifier: MIT
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/host/kpopd/passdb.h"
#include "plugin/host/kpopd/secretdb.h"
#include "plugin/host/kpopd/secretlocks.h"
#include "plugin/kpop_plugin.h"
#include "sasl/map.h"
#include "tests/fuzz/script.h"

static char path[64];
static char error[512];

static void
check_error(void)
{
    script_expect(strstr(error, path) != NULL, "a sentence names the file");
}

/* Does a line of the file begin with this and a colon? */
static bool
has_line(const struct script *script, const char *user)
{
    const char *text = (const char *)script->data;
    size_t len = strlen(user);

    for (size_t at = 0; at + len < script->size; at++)
        if ((at == 0 || text[at - 1] == '\n')
            && memcmp(text + at, user, len) == 0 && text[at + len] == ':')
            return true;
    return false;
}

static void
principals(struct script *script, const char *name)
{
    const char *mailbox = "";
    struct map *map = NULL;
    int status = map_load(path, &map, error, sizeof(error));

    if (status != STATUS_OK) {
        check_error();
        return;
    }
    script_expect(map_find(map, "alice@EXAMPLE.ORG", name, &mailbox)
                          != MAP_GRANTED
                      || name[0] == '\0' || strcmp(mailbox, name) == 0,
                  "the mailbox that was asked for");
    if (map_find(map, "alice@EXAMPLE.ORG", "", &mailbox) == MAP_GRANTED) {
        script_expect(memmem(script->data, script->size, "alice@EXAMPLE.ORG",
                             17) != NULL,
                      "a principal of the list");
        script_expect(mailbox[0] != '\0' && mailbox[0] != '.'
                          && strpbrk(mailbox, "/\n \t") == NULL
                          && strstr(mailbox, "..") == NULL,
                      "a mailbox of harmless characters");
    }
    script_expect(!map_is_stale(map, path), "the file has not changed");
    map_free(map);
}

static void
passwords(struct script *script, const char *user)
{
    struct passdb *db = passdb_open(path, error, sizeof(error));
    int32_t result;

    if (db == NULL) {
        check_error();
        return;
    }
    result = passdb_unlocked(db, user, error, sizeof(error));
    script_expect(result == KPOP_OK || result == KPOP_DENIED,
                  "a list that was read answers");
    script_expect(result == KPOP_OK || has_line(script, user),
                  "nobody is locked by another one's line");
    /* Not by a password: the input could choose a hash of a thousand years. */
    passdb_close(db);
}

static void
secrets(struct script *script, const char *user)
{
    struct secretdb_secret secret;
    struct secretlocks *locks;
    int32_t result;
    int32_t lock;

    if (secretdb_check(path, error, sizeof(error)) != 0) {
        check_error();
        return;
    }
    result = secretdb_lookup(path, user, &secret, error, sizeof(error));
    if (result == KPOP_TEMP) {
        check_error();
        return;
    }
    locks = secretlocks_new(path);
    script_expect(locks != NULL, "memory");
    lock = secretlocks_ask(locks, user, error, sizeof(error));
    secretlocks_free(locks);
    script_expect(lock == KPOP_OK || (lock == KPOP_DENIED
                                      && has_line(script, user)),
                  "nobody is locked by another one's line");
    script_expect(result == KPOP_OK || result == KPOP_AUTH,
                  "a secret, or none");
    script_expect(result == KPOP_AUTH || has_line(script, user),
                  "nobody has another one's secret");
    script_expect(result == KPOP_AUTH
                      || (secret.size > 0 && secret.data[0] != '!'
                          && secret.data[0] != '*' && lock == KPOP_OK),
                  "a locked one has no secret");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    struct script script = { data, size };
    uint8_t what = script_next(&script);
    char other[32] = "alice";

    if ((what & 0x80) != 0)
        (void)script_text(&script, other, sizeof(other));
    if (fd < 0) {
        fd = memfd_create("list", MFD_CLOEXEC);
        script_expect(fd >= 0 && fchmod(fd, 0600) == 0, "a file");
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }
    script_expect(ftruncate(fd, 0) == 0
                      && pwrite(fd, script.data, script.size, 0)
                             == (ssize_t)script.size,
                  "a file");
    error[0] = '\0';
    switch (what % 3) {
    case 0:
        principals(&script, other);
        break;
    case 1:
        passwords(&script, other);
        break;
    default:
        secrets(&script, other);
        break;
    }
    return 0;
}
