/*
 * kpopd_sample.c - plugin.conf.sample has every key of the module's table and
 * of kpopd's exactly once, with its default and its help, and loads.
 * Reads the file of the source tree, so it runs from its top.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin/config.h"
#include "tests/lib/check.h"

/* kpopd's settings.h has another struct of the name that config.h uses. */
extern const struct kpop_key kpopd_keys[];
extern const size_t kpopd_key_count;

enum { FILE_MAX = 65536, KEYS_MAX = 100 };

static const struct kpop_key *
key_at(size_t i)
{
    if (i < config_key_count)
        return &config_keys[i].key;
    i -= config_key_count;
    return i < kpopd_key_count ? &kpopd_keys[i] : NULL;
}

static const struct kpop_key *
key_named(const char *name, size_t len)
{
    const struct kpop_key *key;

    for (size_t i = 0; (key = key_at(i)) != NULL; i++) {
        if (strlen(key->name) == len && memcmp(key->name, name, len) == 0)
            return key;
    }
    return NULL;
}

static char *
sample_read(void)
{
    static char text[FILE_MAX];
    FILE *file = fopen("plugin.conf.sample", "r");
    size_t len;

    CHECK(file != NULL);
    len = fread(text, 1, sizeof(text) - 1, file);
    (void)fclose(file);
    CHECK(len < sizeof(text) - 1);
    text[len] = '\0';
    return text;
}

/* "#name = value" without a blank behind the '#'. */
static int
is_key_line(const char *line)
{
    return line[0] == '#' && line[1] >= 'a' && line[1] <= 'z'
           && strchr(line, '=') != NULL;
}

/* The comment above a key, in one line. */
static void
comment_add(char *comment, size_t size, const char *line)
{
    if (comment[0] != '\0')
        strncat(comment, " ", size - strlen(comment) - 1);
    strncat(comment, line + 2, size - strlen(comment) - 1);
}

/* One blank between words, as the comment has it after joining. */
static void
squeeze(char *text)
{
    char *out = text;

    for (const char *p = text; *p != '\0'; p++) {
        if (*p != ' ' || (out > text && out[-1] != ' '))
            *out++ = *p;
    }
    *out = '\0';
}

static void
check_key_line(const char *line, char *comment)
{
    size_t len = strcspn(line + 1, " =");
    const struct kpop_key *key = key_named(line + 1, len);
    char want[1024];

    if (key == NULL)
        fprintf(stderr, "# no such key: %s\n", line);
    CHECK(key != NULL);
    (void)snprintf(want, sizeof(want), "#%s =%s%s", key->name,
                   key->default_value[0] != '\0' ? " " : "",
                   key->default_value);
    CHECK_STR(line, want);
    (void)snprintf(want, sizeof(want), "%s%s%s", key->help,
                   key->choices[0] == '\0' ? ""
                   : key->kind == KPOP_KEY_CHOICE ? " One of: "
                                                  : " Any of: ",
                   key->choices);
    squeeze(comment);
    CHECK_STR(comment, want);
}

TEST(each_key_of_the_sample_is_in_a_table_with_its_help_and_default)
{
    char *text = sample_read();
    char comment[2048] = "";

    for (char *line = text; line != NULL;) {
        char *end = strchr(line, '\n');

        if (end != NULL)
            *end = '\0';
        if (is_key_line(line)) {
            check_key_line(line, comment);
            comment[0] = '\0';
        } else if (line[0] == '#' && line[1] == ' ') {
            comment_add(comment, sizeof(comment), line);
        } else {
            CHECK(line[0] == '\0' || strcmp(line, "#") == 0);
            comment[0] = '\0';
        }
        line = end != NULL ? end + 1 : NULL;
    }
}

TEST(each_key_of_the_tables_is_in_the_sample_once)
{
    const char *text = sample_read();
    const struct kpop_key *key;
    char line[128];

    for (size_t i = 0; (key = key_at(i)) != NULL; i++) {
        const char *first;

        (void)snprintf(line, sizeof(line), "\n#%s =", key->name);
        first = strstr(text, line);
        if (first == NULL)
            fprintf(stderr, "# missing: %s\n", key->name);
        CHECK(first != NULL);
        CHECK(strstr(first + 1, line) == NULL);
    }
}

static void
quiet(void *host, void *conn, uint32_t level, const char *event,
      const char *line)
{
    (void)host, (void)conn, (void)level, (void)event, (void)line;
}

static int32_t
no_one(void *conn, struct kpop_op *op, const struct kpop_identity *identity)
{
    (void)conn, (void)op, (void)identity;
    return KPOP_DENIED;
}

/* The sample with every key switched on, or as it is, gives the defaults. */
static void
check_loaded(const char *path)
{
    static const struct kpop_host host = {
        .size = sizeof(host), .log = quiet, .authorize = no_one,
    };
    const struct kpop_api *api;
    const struct kpop_key *key;
    struct kpop_plugin *plugin;
    char error[512] = "";

    CHECK_INT(kpop_plugin_entry(KPOP_ABI_MAJOR, &host, NULL, &plugin, &api,
                                error, sizeof(error)), KPOP_OK);
    for (size_t i = 0; i < kpopd_key_count; i++)
        CHECK_INT(api->declare(plugin, &kpopd_keys[i]), KPOP_OK);
    (void)api->load(plugin, path, error, sizeof(error));
    CHECK_STR(error, "");
    for (size_t i = 0; (key = key_at(i)) != NULL; i++)
        CHECK_STR(api->get(plugin, key->name), key->default_value);
    api->free(plugin);
}

TEST(loading_the_sample_gives_the_defaults)
{
    check_loaded("plugin.conf.sample");
}

TEST(loading_the_sample_with_every_key_switched_on_gives_the_defaults)
{
    char path[] = "/tmp/kpop-sample-XXXXXX";
    const char *line = sample_read();
    int fd = mkstemp(path);
    FILE *file;

    CHECK(fd >= 0);
    file = fdopen(fd, "w");
    while (*line != '\0') {
        size_t len = strcspn(line, "\n");

        (void)fprintf(file, "%.*s\n", (int)len - is_key_line(line),
                      line + is_key_line(line));
        line += len + (line[len] == '\n');
    }
    (void)fclose(file);
    check_loaded(path);
    (void)unlink(path);
}

TEST_MAIN("sample",
          T(each_key_of_the_sample_is_in_a_table_with_its_help_and_default),
          T(each_key_of_the_tables_is_in_the_sample_once),
          T(loading_the_sample_gives_the_defaults),
          T(loading_the_sample_with_every_key_switched_on_gives_the_defaults))
