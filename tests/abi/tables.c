/*
 * tables.c - hosts older and newer than the module, and hosts that are wrong,
 * at the door of the real kpop.so.
 *
 * SPDX-License-Identifier: MIT
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/kpop_plugin.h"
#include "tests/lib/check.h"

static int32_t
never(void)
{
    return KPOP_TEMP;
}

static void
quiet(void *host, void *conn, uint32_t level, const char *event,
      const char *line)
{
    (void)host;
    (void)conn;
    (void)level;
    (void)event;
    (void)line;
}

/* Tables are only looked at here, never called. */
#define FILL(table, member)                                                  \
    do {                                                                     \
        int32_t (*function)(void) = never;                                   \
        memcpy(&(table)->member, &function, sizeof(function));               \
    } while (0)

static void
fill(struct kpop_host *table)
{
    memset(table, 0, sizeof(*table));
    table->size = sizeof(*table);
    table->version = KPOP_ABI_MINOR;
    table->log = quiet;
    FILL(table, authorize);
    FILL(table, open);
    FILL(table, list);
    FILL(table, fetch);
    FILL(table, commit);
    FILL(table, close);
}

static char error[256];
static struct kpop_plugin *plugin;
static const struct kpop_api *api;

static int32_t
enter(uint32_t major, const struct kpop_host *table)
{
    const char *build = getenv("BUILD");
    kpop_plugin_entry_fn entry = NULL;
    char path[4096];
    void *module;
    void *symbol;

    snprintf(path, sizeof(path), "%s/kpop.so", build != NULL ? build
                                                             : "build");
    module = dlopen(path, RTLD_NOW);
    CHECK(module != NULL);
    symbol = dlsym(module, "kpop_plugin_entry");
    memcpy(&entry, &symbol, sizeof(entry));
    CHECK(entry != NULL);
    memset(error, 0, sizeof(error));
    plugin = NULL;
    api = NULL;
    return entry(major, table, NULL, &plugin, &api, error, sizeof(error));
}

/* It is ours, it works, it goes. */
static void
check_works(void)
{
    CHECK(plugin != NULL);
    CHECK(api->size >= sizeof(struct kpop_api));
    CHECK_STR(api->get(plugin, "idle_timeout"), "600");
    api->free(plugin);
}

TEST(host_of_today_is_taken)
{
    struct kpop_host table;

    fill(&table);
    CHECK_INT(enter(KPOP_ABI_MAJOR, &table), KPOP_OK);
    check_works();
}

/* An older header ended before cancel; what lies behind is not ours. */
TEST(shorter_table_is_taken_and_nothing_behind_it_read)
{
    size_t size = offsetof(struct kpop_host, cancel);
    struct kpop_host *table = malloc(size);
    struct kpop_host whole;

    fill(&whole);
    whole.size = (uint32_t)size;
    memcpy(table, &whole, size);
    CHECK_INT(enter(KPOP_ABI_MAJOR, table), KPOP_OK);
    free(table); /* it was copied */
    check_works();
}

TEST(longer_table_is_taken)
{
    struct {
        struct kpop_host table;
        void (*later)(void);
    } newer;

    fill(&newer.table);
    newer.later = NULL;
    newer.table.size = sizeof(newer);
    newer.table.version = KPOP_ABI_MINOR + 7;
    CHECK_INT(enter(KPOP_ABI_MAJOR, &newer.table), KPOP_OK);
    check_works();
}

TEST(other_major_is_refused_with_a_sentence)
{
    struct kpop_host table;

    fill(&table);
    CHECK_INT(enter(KPOP_ABI_MAJOR + 1, &table), KPOP_INVALID);
    CHECK(strstr(error, "major") != NULL || strstr(error, "ABI") != NULL);
    CHECK(plugin == NULL);
}

TEST(table_without_callbacks_is_refused_with_a_sentence)
{
    struct kpop_host table;

    fill(&table);
    table.size = offsetof(struct kpop_host, log);
    CHECK_INT(enter(KPOP_ABI_MAJOR, &table), KPOP_INVALID);
    CHECK(error[0] != '\0');
}

static void
check_refused_for(const struct kpop_host *table, const char *name)
{
    CHECK_INT(enter(KPOP_ABI_MAJOR, table), KPOP_INVALID);
    if (strstr(error, name) == NULL)
        CHECK_STR(error, name);
    CHECK(plugin == NULL);
}

TEST(each_mandatory_callback_is_missed_by_name)
{
    struct kpop_host table;

#define CHECK_MISSED(member)                                                 \
    do {                                                                     \
        fill(&table);                                                        \
        table.member = NULL;                                                 \
        check_refused_for(&table, #member);                                  \
    } while (0)
    CHECK_MISSED(log);
    CHECK_MISSED(authorize);
    CHECK_MISSED(list);
    CHECK_MISSED(fetch);
    CHECK_MISSED(commit);
    CHECK_MISSED(close);
}

TEST(half_of_the_exchange_is_refused)
{
    struct kpop_host table;

    fill(&table);
    table.authorize = NULL;
    FILL(&table, exchange_mechanisms);
    FILL(&table, exchange_start);
    FILL(&table, exchange_step);
    check_refused_for(&table, "exchange_end");
    FILL(&table, exchange_end);
    CHECK_INT(enter(KPOP_ABI_MAJOR, &table), KPOP_OK);
    check_works();
}

static int32_t
begin_session(void)
{
    struct kpop_facts facts = { .size = sizeof(facts), .service = "pop3" };
    struct kpop_session *session = NULL;
    int32_t result;

    CHECK_INT(api->set(plugin, "listen_kpop", "", error, sizeof(error)),
              KPOP_OK);
    CHECK_INT(api->set(plugin, "listen_pop3", "127.0.0.1:0", error,
                       sizeof(error)), KPOP_OK);
    CHECK_INT(api->set(plugin, "mechanisms", "USER", error, sizeof(error)),
              KPOP_OK);
    CHECK_INT(api->ready(plugin, error, sizeof(error)), KPOP_OK);
    result = api->session_new(plugin, &facts, NULL, 0, &session);
    if (result == KPOP_OK)
        api->session_close(session);
    return result;
}

/* An auth process has no mail: it runs exchanges. */
TEST(table_without_maildrops_is_taken_and_has_no_sessions)
{
    struct kpop_host table;

    fill(&table);
    CHECK_INT(enter(KPOP_ABI_MAJOR, &table), KPOP_OK);
    CHECK_INT(begin_session(), KPOP_OK);
    api->free(plugin);
    table.open = NULL;
    table.list = NULL;
    table.fetch = NULL;
    table.commit = NULL;
    table.close = NULL;
    CHECK_INT(enter(KPOP_ABI_MAJOR, &table), KPOP_OK);
    CHECK_INT(begin_session(), KPOP_INVALID);
    check_works();
}

TEST(module_is_loaded_and_left_two_hundred_times)
{
    struct kpop_host table;

    fill(&table);
    for (int i = 0; i < 200; i++) {
        CHECK_INT(enter(KPOP_ABI_MAJOR, &table), KPOP_OK);
        check_works();
    }
}

TEST_MAIN("tables", T(host_of_today_is_taken),
          T(shorter_table_is_taken_and_nothing_behind_it_read),
          T(longer_table_is_taken), T(other_major_is_refused_with_a_sentence),
          T(table_without_callbacks_is_refused_with_a_sentence),
          T(each_mandatory_callback_is_missed_by_name),
          T(half_of_the_exchange_is_refused),
          T(table_without_maildrops_is_taken_and_has_no_sessions),
          T(module_is_loaded_and_left_two_hundred_times))
