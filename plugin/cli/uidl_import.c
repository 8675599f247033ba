/*
 * uidl_import.c - takes unique-ids of another server into a maildrop: all of
 * them, or none when one is wrong.  Runs with the rights of run_as.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/cli/json.h"
#include "plugin/cli/uidl.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/maildir_list.h"

/* What --from takes. */
static const struct form {
    const char *name;
    const char *file; /* in the maildir; NULL: none, "-": stdin */
    void (*read)(struct uidl_import *import);
} forms[] = {
    { "dovecot", "dovecot-uidlist", uidl_read_dovecot },
    { "courier", "courierpop3dsizelist", uidl_read_courier },
    { "x-uidl", NULL, uidl_read_header },
    { "map", "-", uidl_read_map },
};

enum { FORMS = sizeof(forms) / sizeof(forms[0]) };

static const struct form *
find_form(const char *name)
{
    size_t i;

    for (i = 0; i < FORMS && name != NULL; i++)
        if (strcmp(forms[i].name, name) == 0)
            return &forms[i];
    return NULL;
}

const char *
uidl_wrong_option(const struct cli *cli)
{
    const struct form *form = find_form(cli->from);
    bool shows = strcmp(cli->word, "show") == 0;

    if (!shows && strcmp(cli->word, "import") != 0)
        return "behind uidl stands show or import";
    if (shows)
        return cli->from != NULL || cli->input != NULL || cli->format != NULL
                       || cli->dry_run || cli->replace
                   ? "uidl show takes none of the options of uidl import"
                   : NULL;
    if (form == NULL)
        return "uidl import needs --from dovecot, courier, x-uidl or map";
    if (form->file == NULL && cli->input != NULL)
        return "--from x-uidl reads the messages; it takes no --input";
    if (cli->format == NULL)
        return NULL;
    if (form->read != uidl_read_dovecot)
        return "--format is for --from dovecot";
    return uidl_format_fault(cli->format);
}

/* ---- faults ---- */

/* Names of files may hold what a terminal would obey. */
static void
clean(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7F)
            *text = '?';
}

void
uidl_fault(struct uidl_import *import, const char *format, ...)
{
    char where[PATH_MAX + 16];
    char **fault;
    char *text = NULL;
    va_list args;
    int len;

    if (import->fault_count++ >= UIDL_FAULTS_MAX)
        return;
    fault = &import->faults[import->fault_count - 1];
    if (import->line > 0)
        snprintf(where, sizeof(where), "%s:%u", import->input, import->line);
    else
        snprintf(where, sizeof(where), "%s", import->input);
    va_start(args, format);
    len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0 || asprintf(fault, "%s: %s", where, text) < 0)
        *fault = NULL;
    if (*fault != NULL)
        clean(*fault);
    if (len >= 0)
        free(text);
}

static const char *
fault_text(const struct uidl_import *import, size_t i)
{
    return import->faults[i] != NULL ? import->faults[i] : "out of memory";
}

static void
report_faults(const struct uidl_import *import)
{
    struct json json = { false };
    size_t shown = import->fault_count;
    size_t i;

    if (shown > UIDL_FAULTS_MAX)
        shown = UIDL_FAULTS_MAX;
    if (!import->cli->json) {
        for (i = 0; i < shown; i++)
            puts(fault_text(import, i));
        if (shown < import->fault_count)
            printf("and %zu more\n", import->fault_count - shown);
        puts("nothing was imported");
        return;
    }
    json_open(&json, NULL, '{');
    json_text(&json, "error", fault_text(import, 0));
    json_open(&json, "errors", '[');
    for (i = 0; i < shown; i++)
        json_text(&json, NULL, fault_text(import, i));
    json_close(&json, ']');
    json_close(&json, '}');
    json_end(&json);
}

/* ---- lines ---- */

bool
uidl_next_line(struct uidl_import *import, char line[UIDL_LINE_MAX])
{
    size_t len;

    if (fgets(line, UIDL_LINE_MAX, import->file) == NULL) {
        if (ferror(import->file))
            uidl_fault(import, "%s", strerror(errno));
        return false;
    }
    import->line++;
    len = strlen(line);
    if (len > 0 && line[len - 1] == '\n') {
        line[--len] = '\0';
        if (len > 0 && line[len - 1] == '\r')
            line[len - 1] = '\0';
        return true;
    }
    uidl_fault(import, feof(import->file) ? "the line has no end"
                                          : "the line is too long, or has "
                                            "a NUL");
    return false;
}

static void
set_uidl(struct uidl_import *import, struct uidl_msg *msg, const char *uidl)
{
    char quoted[UIDL_LINE_MAX];

    if (msg->other[0] != '\0') {
        uidl_fault(import, "this message was named before, in line %u",
                   msg->line);
    } else if (!maildir_list_is_uidl(uidl, strlen(uidl))) {
        uidl_fault(import, "%s is no unique-id, which has 1 to %d octets "
                   "from ! to ~", log_quote(uidl, quoted, sizeof(quoted)),
                   KPOP_UIDL_MAX);
    } else {
        snprintf(msg->other, sizeof(msg->other), "%s", uidl);
        msg->line = import->line;
    }
}

void
uidl_row_by(struct uidl_import *import, const struct uidl_index *index,
            const char *name, const char *uidl)
{
    char quoted[UIDL_LINE_MAX];
    struct uidl_msg *msg = NULL;
    int found = uidl_index_find(index, name, &msg);

    if (found == 0)
        import->gone++;
    else if (found == 1)
        set_uidl(import, msg, uidl);
    else
        uidl_fault(import, "more than one message is %s",
                   log_quote(name, quoted, sizeof(quoted)));
}

void
uidl_row(struct uidl_import *import, const char *name, const char *uidl)
{
    const char *slash = strrchr(name, '/');
    char base[UIDL_LINE_MAX];

    snprintf(base, sizeof(base), "%s", slash != NULL ? slash + 1 : name);
    base[strcspn(base, ":")] = '\0';
    uidl_row_by(import, &import->box->bases, base, uidl);
}

/* ---- all of them together ---- */

/* Who has, or had, a unique-id. */
struct claim {
    struct uidlmap_entry entry;
    const struct uidl_msg *msg; /* of this import, else NULL */
    bool own;                   /* by its name, so it is not written */
};

static int
compare_claims(const void *a, const void *b)
{
    return strcmp(((const struct claim *)a)->entry.uidl,
                  ((const struct claim *)b)->entry.uidl);
}

/* Earlier imports, but for what this one says again. */
static size_t
claim_known(struct uidl_import *import, struct claim *claims)
{
    const struct uidl_box *box = import->box;
    const struct uidlmap_entry *entries;
    size_t known = uidlmap_entries(box->map, &entries);
    struct uidl_msg *msg;
    size_t count = 0;
    size_t i;

    for (i = 0; i < known; i++) {
        if (uidl_index_find(&box->bases, entries[i].base, &msg) == 1
            && msg->other[0] != '\0') {
            import->line = msg->line;
            if (strcmp(msg->other, entries[i].uidl) != 0)
                uidl_fault(import, "the message %s got the unique-id %s by "
                           "an earlier import; --replace forgets those",
                           msg->base, entries[i].uidl);
            continue;
        }
        claims[count++].entry = entries[i];
    }
    return count;
}

static size_t
claim_present(const struct uidl_box *box, struct claim *claims)
{
    size_t count = 0;
    size_t i;

    for (i = 0; i < box->count; i++) {
        const struct uidl_msg *msg = &box->msgs[i];
        bool is_new = msg->other[0] != '\0';

        if (!is_new
            && uidlmap_find(box->map, msg->base, strlen(msg->base)) != NULL)
            continue;
        claims[count].entry.base = msg->base;
        claims[count].entry.uidl = is_new ? msg->other : msg->own;
        claims[count].msg = is_new ? msg : NULL;
        claims[count++].own = !is_new;
    }
    return count;
}

/* What earlier imports and names have between them was never answered. */
static void
refuse_same(struct uidl_import *import, struct claim *claims, size_t count)
{
    size_t i;

    if (count > 0)
        qsort(claims, count, sizeof(claims[0]), compare_claims);
    for (i = 1; i < count; i++) {
        const struct claim *one = &claims[i - 1];
        const struct claim *other = &claims[i];

        if (compare_claims(one, other) != 0)
            continue;
        if (other->msg == NULL
            || (one->msg != NULL && one->msg->line > other->msg->line)) {
            one = other;
            other = &claims[i - 1];
        }
        if (other->msg == NULL)
            continue;
        import->line = other->msg->line;
        uidl_fault(import, "%s is the unique-id of %s and of %s",
                   one->entry.uidl, other->entry.base, one->entry.base);
    }
}

static bool
is_plain(const char *base)
{
    for (; *base != '\0'; base++)
        if ((unsigned char)*base < 0x20 || *base == 0x7F)
            return false;
    return true;
}

/* Those that are to be written; sorted by unique-id. */
static size_t
collect(struct uidl_import *import, const struct claim *claims, size_t count,
        struct uidlmap_entry *entries)
{
    size_t kept = 0;
    size_t i;

    for (i = 0; i < count; i++) {
        if (claims[i].own)
            continue;
        if (claims[i].msg != NULL && !is_plain(claims[i].entry.base)) {
            import->line = claims[i].msg->line;
            uidl_fault(import, "the message's file name has controls");
        }
        entries[kept++] = claims[i].entry;
    }
    return kept;
}

static size_t
count_new(const struct uidl_box *box)
{
    size_t count = 0;
    size_t i;

    for (i = 0; i < box->count; i++)
        count += box->msgs[i].other[0] != '\0';
    return count;
}

static void
judge_and_write(struct uidl_import *import)
{
    const struct uidl_box *box = import->box;
    const struct uidlmap_entry *known;
    size_t room = uidlmap_entries(box->map, &known) + box->count + 1;
    struct claim *claims = calloc(room, sizeof(claims[0]));
    struct uidlmap_entry *entries = calloc(room, sizeof(entries[0]));
    size_t count;

    if (claims == NULL || entries == NULL) {
        uidl_fault(import, "out of memory");
    } else {
        count = claim_known(import, claims);
        count += claim_present(box, claims + count);
        refuse_same(import, claims, count);
        count = collect(import, claims, count, entries);
        import->line = 0;
        if (count_new(box) == 0 && import->gone > 0)
            uidl_fault(import, "none of its messages is in %s", box->path);
        if (import->fault_count == 0 && !import->cli->dry_run
            && uidlmap_save(box->settings, box->user, entries, count) != 0)
            uidl_fault(import, "the unique-ids can't be written: %s",
                       strerror(errno));
    }
    free(claims);
    free(entries);
}

static void
report(const struct uidl_import *import)
{
    const struct uidl_box *box = import->box;
    size_t imported = count_new(box);
    struct json json = { false };

    if (!import->cli->json) {
        printf("%s: %zu of %zu messages %s; lines of messages that are not "
               "there: %zu\n",
               box->user, imported, box->count,
               import->cli->dry_run ? "would get their unique-id"
                                    : "got their unique-id",
               import->gone);
        return;
    }
    json_open(&json, NULL, '{');
    json_null(&json, "error");
    json_text(&json, "user", box->user);
    json_number(&json, "messages", (int64_t)box->count);
    json_number(&json, "imported", (int64_t)imported);
    json_number(&json, "gone", (int64_t)import->gone);
    json_bool(&json, "dry_run", import->cli->dry_run);
    json_close(&json, '}');
    json_end(&json);
}

/* A path is opened with the rights of run_as; what only the caller may read
 * comes by stdin. */
static FILE *
open_input(const char *path)
{
    struct stat st;
    FILE *file;
    int fd;

    if (strcmp(path, "-") == 0)
        return stdin;
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY
                        | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    errno = EINVAL;
    file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? fdopen(fd, "r")
                                                      : NULL;
    if (file == NULL)
        close(fd);
    return file;
}

/* path: the maildir's file, when no other one is named. */
static void
read_input(struct uidl_import *import, const struct form *form,
           const char *path)
{
    if (import->cli->input != NULL)
        path = import->cli->input;
    import->input = path;
    if (form->file != NULL) {
        import->file = open_input(path);
        if (import->file == stdin)
            import->input = "stdin";
        if (import->file == NULL) {
            uidl_fault(import, "%s",
                       errno == EINVAL ? "it is no regular file"
                                       : strerror(errno));
            return;
        }
    }
    form->read(import);
    if (import->file != NULL && import->file != stdin)
        (void)fclose(import->file);
}

int
uidl_import(const struct cli *cli, struct uidl_box *box)
{
    struct uidl_import import = { .cli = cli, .box = box };
    const struct form *form = find_form(cli->from);
    char path[PATH_MAX + 32] = "-";
    size_t i;

    if (form == NULL)
        return CLI_USAGE;
    if (form->file == NULL || strcmp(form->file, "-") != 0)
        snprintf(path, sizeof(path), "%s/%s", box->path,
                 form->file != NULL ? form->file : "");
    read_input(&import, form, path);
    if (import.fault_count == 0)
        judge_and_write(&import);
    if (import.fault_count == 0)
        report(&import);
    else
        report_faults(&import);
    for (i = 0; i < import.fault_count && i < UIDL_FAULTS_MAX; i++)
        free(import.faults[i]);
    uidl_index_free(&import.ids);
    uidl_index_free(&import.digests);
    return import.fault_count == 0 ? CLI_GOOD : CLI_BAD;
}
