/*
 * keyset.c - the texts of the configuration: the module's keys and the
 * host's, what set() said and what the file says.  Reads the one file it is
 * given, with the rights of the process, and nothing else; takes a file over
 * wholly or not at all.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/config.h"
#include "plugin/text.h"

int
keyset_init(struct keyset *settings)
{
    memset(settings, 0, sizeof(*settings));
    settings->items = calloc(config_key_count, sizeof(*settings->items));
    if (settings->items == NULL)
        return STATUS_NO_MEMORY;
    settings->count = config_key_count;
    for (size_t i = 0; i < config_key_count; i++)
        settings->items[i].key = config_keys[i].key;
    return STATUS_OK;
}

static void
key_free(struct kpop_key *key)
{
    free((void *)(uintptr_t)key->name);
    free((void *)(uintptr_t)key->default_value);
    free((void *)(uintptr_t)key->choices);
    free((void *)(uintptr_t)key->help);
}

void
keyset_free(struct keyset *settings)
{
    for (size_t i = 0; i < settings->count; i++) {
        struct setting *item = &settings->items[i];

        if (item->is_declared)
            key_free(&item->key);
        free(item->fixed);
        free(item->filed);
    }
    free(settings->items);
    free(settings->path);
    memset(settings, 0, sizeof(*settings));
}

struct setting *
keyset_find(const struct keyset *settings, const char *name)
{
    for (size_t i = 0; i < settings->count; i++) {
        if (strcmp(settings->items[i].key.name, name) == 0)
            return &settings->items[i];
    }
    return NULL;
}

const char *
setting_text(const struct setting *setting)
{
    if (setting->fixed != NULL)
        return setting->fixed;
    if (setting->filed != NULL)
        return setting->filed;
    return setting->key.default_value;
}

int
keyset_declare(struct keyset *settings, const struct kpop_key *key)
{
    struct setting *items;
    struct setting *item;

    if (!key_is_sane(key) || keyset_find(settings, key->name) != NULL
        || settings->path != NULL)
        return STATUS_INVALID;
    items = realloc(settings->items,
                    (settings->count + 1) * sizeof(*settings->items));
    if (items == NULL)
        return STATUS_NO_MEMORY;
    settings->items = items;
    item = &items[settings->count];
    memset(item, 0, sizeof(*item));
    item->is_declared = true;
    item->key = *key;
    item->key.size = sizeof(item->key);
    item->key.name = text_copy(key->name);
    item->key.default_value = text_copy(key->default_value);
    item->key.choices = text_copy(key->choices);
    item->key.help = text_copy(key->help);
    if (item->key.name == NULL || item->key.default_value == NULL
        || item->key.choices == NULL || item->key.help == NULL) {
        key_free(&item->key);
        return STATUS_NO_MEMORY;
    }
    settings->count++;
    return STATUS_OK;
}

/* "unknown key `x'; did you mean y?" */
static void
say_unknown(const struct keyset *settings, const char *name, char *text,
            size_t size)
{
    const char *closest = "";
    unsigned least = 3; /* further than two edits is another word */

    for (size_t i = 0; i < settings->count; i++) {
        unsigned n = text_distance(name, settings->items[i].key.name);

        if (n < least) {
            least = n;
            closest = settings->items[i].key.name;
        }
    }
    text_say(text, size, "unknown key `%.60s'%s%s%s", name,
             closest[0] != '\0' ? "; did you mean " : "", closest,
             closest[0] != '\0' ? "?" : "");
}

int
keyset_set(struct keyset *settings, const char *name, const char *value,
             char *error, size_t error_size)
{
    struct setting *item = keyset_find(settings, name);
    char why[512];
    char *copy;

    if (item == NULL) {
        say_unknown(settings, name, error, error_size);
        return STATUS_INVALID;
    }
    if (key_check(&item->key, value, why, sizeof(why)) != STATUS_OK) {
        text_say(error, error_size, "%s: %s", name, why);
        return STATUS_INVALID;
    }
    copy = text_copy(value);
    if (copy == NULL) {
        text_say(error, error_size, "out of memory");
        return STATUS_NO_MEMORY;
    }
    free(item->fixed);
    item->fixed = copy;
    return STATUS_OK;
}

/* ---- reading ---- */

/* A reading in progress. */
struct reading {
    const struct keyset *settings;
    const char *path;
    FILE *file;
    struct filed *filed;
    unsigned line;
    char text[SETTINGS_LINE_MAX + 1];
    char why[512];    /* the sentence, when something is wrong */
};

/* Cuts blanks off both ends, in place. */
static char *
trim(char *text)
{
    size_t len;

    text += strspn(text, " \t");
    len = strlen(text);
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        len--;
    text[len] = '\0';
    return text;
}

/* A '#' at the start or behind a blank begins a comment. */
static void
cut_comment(char *text)
{
    for (char *p = text; *p != '\0'; p++) {
        if (*p == '#' && (p == text || p[-1] == ' ' || p[-1] == '\t')) {
            *p = '\0';
            return;
        }
    }
}

/* One `key = value`. */
static int
take_pair(struct reading *reading, char *name, const char *value)
{
    const struct setting *item = keyset_find(reading->settings, name);
    struct filed *filed;
    char why[400];

    if (item == NULL) {
        say_unknown(reading->settings, name, reading->why,
                    sizeof(reading->why));
        return STATUS_INVALID;
    }
    filed = &reading->filed[item - reading->settings->items];
    if (filed->text != NULL) {
        text_say(reading->why, sizeof(reading->why),
                 "%s: was set already on line %u", name, filed->line);
        return STATUS_INVALID;
    }
    if (key_check(&item->key, value, why, sizeof(why)) != STATUS_OK) {
        text_say(reading->why, sizeof(reading->why), "%s: %s", name, why);
        return STATUS_INVALID;
    }
    filed->line = reading->line;
    filed->text = text_copy(value);
    if (filed->text == NULL) {
        text_say(reading->why, sizeof(reading->why), "out of memory");
        return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

static int
take_line(struct reading *reading)
{
    char *text;
    char *equals;

    cut_comment(reading->text);
    text = trim(reading->text);
    if (*text == '\0')
        return STATUS_OK;
    equals = strchr(text, '=');
    if (equals == NULL) {
        text_say(reading->why, sizeof(reading->why),
                 "`key = value' is needed, not `%.60s'", text);
        return STATUS_INVALID;
    }
    *equals = '\0';
    return take_pair(reading, trim(text), trim(equals + 1));
}

/* What is wrong with octet c of a line; NULL = nothing. */
static const char *
octet_problem(const struct reading *reading, int c, size_t len)
{
    if (c == '\0')
        return "a NUL octet; this is not a text file";
    if (len >= SETTINGS_LINE_MAX)
        return "the line is too long";
    if (reading->line > SETTINGS_LINES_MAX)
        return "the file has too many lines";
    return NULL;
}

/* The next line without its end: 1, 0 at the end of the file, or an error. */
static int
next_line(struct reading *reading)
{
    const char *problem;
    size_t len = 0;
    int c;

    reading->line++;
    while ((c = getc(reading->file)) != EOF) {
        problem = octet_problem(reading, c, len);
        if (problem != NULL) {
            text_say(reading->why, sizeof(reading->why), "%s", problem);
            return STATUS_INVALID;
        }
        if (c == '\n')
            break;
        reading->text[len++] = (char)c;
    }
    if (ferror(reading->file)) {
        text_say(reading->why, sizeof(reading->why), "cannot read: %s",
                 strerror(errno));
        return STATUS_INVALID;
    }
    if (len > 0 && reading->text[len - 1] == '\r')
        len--;
    reading->text[len] = '\0';
    return c != EOF || len > 0;
}

static int
read_lines(struct reading *reading)
{
    int status;

    while ((status = next_line(reading)) > 0) {
        status = take_line(reading);
        if (status != STATUS_OK)
            break;
    }
    return status;
}

int
keyset_read(const struct keyset *settings, const char *path,
              struct filed **filed_out, char *error, size_t error_size)
{
    struct reading reading = { .settings = settings, .path = path };
    int status;

    /* e: never inherited by what the host starts (POSIX 2024, glibc). */
    reading.file = fopen(path, "re");
    if (reading.file == NULL) {
        text_say(error, error_size, "%s: cannot open: %s", path,
                 strerror(errno));
        return STATUS_INVALID;
    }
    reading.filed = calloc(settings->count, sizeof(*reading.filed));
    if (reading.filed == NULL) {
        (void)fclose(reading.file);
        text_say(error, error_size, "%s: out of memory", path);
        return STATUS_NO_MEMORY;
    }
    status = read_lines(&reading);
    (void)fclose(reading.file);
    if (status != STATUS_OK) {
        text_say(error, error_size, "%s:%u: %s", path, reading.line,
                 reading.why);
        keyset_drop(settings, reading.filed);
        return status;
    }
    *filed_out = reading.filed;
    return STATUS_OK;
}

void
keyset_swap(struct keyset *settings, struct filed *filed)
{
    for (size_t i = 0; i < settings->count; i++) {
        struct setting *item = &settings->items[i];
        struct filed old = { item->filed, item->line };

        item->filed = filed[i].text;
        item->line = filed[i].line;
        filed[i] = old;
    }
}

void
keyset_drop(const struct keyset *settings, struct filed *filed)
{
    if (filed == NULL)
        return;
    for (size_t i = 0; i < settings->count; i++)
        free(filed[i].text);
    free(filed);
}

int
keyset_blame(const struct keyset *settings, const char *name,
               const char *sentence, char *error, size_t error_size)
{
    const struct setting *item = keyset_find(settings, name);

    if (item == NULL || item->fixed != NULL || settings->path == NULL)
        text_say(error, error_size, "%s: %s", name, sentence);
    else if (item->filed != NULL)
        text_say(error, error_size, "%s:%u: %s: %s", settings->path,
                 item->line, name, sentence);
    else
        /* The file is where it is to be mended; it has no line yet. */
        text_say(error, error_size, "%s:1: %s: %s (not set, the default is "
                 "%s)", settings->path, name, sentence,
                 item->key.default_value[0] != '\0' ? item->key.default_value
                                                    : "none");
    return STATUS_INVALID;
}
