/* LDFLAGS: -Wl,--wrap=strdup,--wrap=strndup,--wrap=calloc,--wrap=asprintf */
/*
 * kpopd_settings.c - what kpopd makes of the texts of its keys: each that is
 * wrong is blamed on its key, and without memory nothing is left behind.  The
 * module is ours here; the real one's words are in system/config.py.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/settings.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/check.h"

/* ---- memory, users, processors ---- */

static int left = -1; /* allocations; -1: as many as are wanted */
static uid_t euid;
static int cpus;

static bool
is_out_of_memory(void)
{
    return left >= 0 && left-- == 0;
}

char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
void *__real_calloc(size_t count, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);
void *__wrap_calloc(size_t count, size_t size);
int __wrap_asprintf(char **out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

char *
__wrap_strdup(const char *text)
{
    return is_out_of_memory() ? NULL : __real_strdup(text);
}

char *
__wrap_strndup(const char *text, size_t size)
{
    return is_out_of_memory() ? NULL : __real_strndup(text, size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
    return is_out_of_memory() ? NULL : __real_calloc(count, size);
}

int
__wrap_asprintf(char **out, const char *format, ...)
{
    va_list args;
    int rc = -1;

    va_start(args, format);
    if (!is_out_of_memory())
        rc = vasprintf(out, format, args);
    va_end(args);
    return rc;
}

uid_t
geteuid(void)
{
    return euid;
}

struct passwd *
getpwnam(const char *name)
{
    static struct passwd found;
    static const struct {
        const char *name;
        uid_t uid;
    } rows[] = {
        { "root", 0 }, { "toor", 0 }, { "mail", 8 }, { "auth", 9 },
        { "liam", 8 },
    };
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        found.pw_uid = rows[i].uid;
        found.pw_gid = rows[i].uid;
        if (strcmp(name, rows[i].name) == 0)
            return &found;
    }
    return NULL;
}

int
sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    size_t i;

    (void)pid;
    CHECK_INT(size, sizeof(*set));
    CPU_ZERO(set);
    for (i = 0; cpus > 0 && i < (size_t)cpus; i++)
        CPU_SET(i, set);
    return cpus < 0 ? -1 : 0;
}

/* ---- a module ---- */

enum { TEXTS_MAX = 16 };

static struct {
    const char *key;
    const char *value;
} texts[TEXTS_MAX];

static char error[400];
static const char *refused_key;

static const char *
get(struct kpop_plugin *plugin, const char *key)
{
    size_t i;

    (void)plugin;
    for (i = 0; i < TEXTS_MAX && texts[i].key != NULL; i++)
        if (strcmp(texts[i].key, key) == 0)
            return texts[i].value;
    for (i = 0; i < kpopd_key_count; i++)
        if (strcmp(kpopd_keys[i].name, key) == 0)
            return kpopd_keys[i].default_value;
    return NULL; /* a key of an older or newer module */
}

static int32_t
blame(struct kpop_plugin *plugin, const char *key, const char *sentence,
      char *out, size_t size)
{
    (void)plugin;
    (void)snprintf(out, size, "%s: %s", key, sentence);
    return KPOP_INVALID;
}

static int32_t
service(struct kpop_plugin *plugin, uint32_t i, struct kpop_service *out)
{
    (void)plugin;
    out->name = i == 0 ? "pop3" : "kpop";
    return i < (get(NULL, "listen_kpop") != NULL ? 2U : 1U);
}

static int32_t
declare(struct kpop_plugin *plugin, const struct kpop_key *key)
{
    (void)plugin;
    if (refused_key == NULL || strcmp(key->name, refused_key) != 0)
        return KPOP_OK;
    return left >= 0 ? KPOP_NO_MEMORY : KPOP_INVALID;
}

static const struct kpop_api api = {
    .size = sizeof(api),
    .declare = declare,
    .get = get,
    .blame = blame,
    .service = service,
};

static void
set(const char *key, const char *value)
{
    size_t i = 0;

    while (texts[i].key != NULL && strcmp(texts[i].key, key) != 0)
        i++;
    CHECK(i < TEXTS_MAX - 1);
    texts[i].key = key;
    texts[i].value = value;
}

static void
begin(void)
{
    memset(texts, 0, sizeof(texts));
    euid = 0;
    cpus = 3;
    set("store", "maildir:/var/mail/%u");
    set("run_as", "mail");
    set("auth_user", "auth");
    set("replay_cache", "/var/lib/kpop/replay");
    set("hostname", "pop.example.org");
}

static struct settings settings;

static int32_t
reads(void)
{
    error[0] = '\0';
    return kpopd_settings_read(&api, NULL, &settings, error, sizeof(error));
}

static void
is_good(void)
{
    if (reads() != KPOP_OK)
        CHECK_STR(error, "");
}

static void
is_blamed(const char *key, const char *value, const char *part)
{
    char start[64];

    set(key, value);
    CHECK_INT(reads(), KPOP_INVALID);
    (void)snprintf(start, sizeof(start), "%s: ", key);
    if (strncmp(error, start, strlen(start)) != 0
        || strstr(error, part) == NULL)
        CHECK_STR(error, part);
    CHECK(settings.store == NULL); /* nothing is left */
}

/* ---- what is read ---- */

TEST(a_small_configuration_is_read)
{
    begin();
    is_good();
    CHECK_STR(settings.store, "/var/mail/%u");
    CHECK_STR(settings.store_folder, "/var/mail/");
    CHECK_STR(settings.run_as.name, "mail");
    CHECK_INT(settings.auth_user.uid, 9);
    CHECK_INT(settings.workers, 3);
    CHECK_STR(settings.index_dir, "/var/lib/kpop/maildirs");
    CHECK(!settings.tickets_wanted);
    CHECK(!kpopd_settings_want_pool(&settings, POOL_KRB));
    CHECK(!kpopd_settings_want_pool(&settings, POOL_PASSWORD));
    CHECK(!kpopd_settings_want_pool(&settings, POOL_OUTSIDE));
    CHECK(!kpopd_settings_want_pool(&settings, POOL_COUNT));
    kpopd_settings_free(&settings);
}

TEST(the_folder_of_the_store_ends_before_the_first_percent)
{
    static const char *const rows[][2] = {
        { "maildir:/mail/box-%u", "/mail/" },
        { "maildir:/%u", "/" },
        { "maildir:/srv/mail/%d/%u/Maildir", "/srv/mail/" },
    };
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin();
        set("store", rows[i][0]);
        is_good();
        CHECK_STR(settings.store_folder, rows[i][1]);
        kpopd_settings_free(&settings);
    }
}

TEST(a_machine_that_cannot_count_its_processors_has_one)
{
    begin();
    cpus = -1;
    is_good();
    CHECK_INT(settings.workers, 1);
    kpopd_settings_free(&settings);
    cpus = 0;
    is_good();
    CHECK_INT(settings.workers, 1);
    kpopd_settings_free(&settings);
}

TEST(a_plain_user_needs_no_accounts_and_gets_none)
{
    begin();
    euid = 1000;
    is_good();
    CHECK(settings.run_as.name == NULL);
    kpopd_settings_free(&settings);
    set("run_as", "");
    set("auth_user", "");
    is_good();
    kpopd_settings_free(&settings);
}

TEST(each_source_has_its_pool)
{
    begin();
    set("passwords", "saslauthd:");
    set("secrets", "sasldb:");
    is_good();
    CHECK_STR(settings.password_where, "/run/saslauthd/mux");
    CHECK_STR(settings.secret_where, "/etc/sasldb2");
    CHECK(kpopd_settings_want_pool(&settings, POOL_PASSWORD));
    CHECK(kpopd_settings_want_pool(&settings, POOL_OUTSIDE));
    kpopd_settings_free(&settings);
    begin();
    set("passwords", "pam:pop3_x.d-1");
    is_good();
    CHECK(!kpopd_settings_want_pool(&settings, POOL_PASSWORD));
    CHECK(kpopd_settings_want_pool(&settings, POOL_OUTSIDE));
    kpopd_settings_free(&settings);
    begin();
    set("mechanisms", "EXTERNAL");
    set("tls_client_ca", "/etc/ca.pem");
    is_good();
    CHECK(kpopd_settings_want_pool(&settings, POOL_PASSWORD));
    kpopd_settings_free(&settings);
    set("tls_client_ca", "");
    is_good();
    CHECK(!settings.external);
    kpopd_settings_free(&settings);
}

TEST(tickets_are_wanted_for_kpop_or_by_a_keytab)
{
    begin();
    set("listen_kpop", "*:1109");
    is_good();
    CHECK(settings.tickets_wanted && !settings.layers);
    CHECK(kpopd_settings_want_pool(&settings, POOL_KRB));
    kpopd_settings_free(&settings);
    begin();
    set("mechanisms", "GSSAPI");
    set("max_ssf", "256");
    set("keytab", "/nowhere/keytab");
    is_good();
    CHECK(!settings.tickets_wanted && !settings.layers);
    kpopd_settings_free(&settings);
    set("keytab", "/dev/null");
    is_good();
    CHECK(settings.tickets_wanted && settings.layers);
    kpopd_settings_free(&settings);
}

TEST(services_behind_proxies_are_those_that_are_named)
{
    begin();
    is_good();
    CHECK(!kpopd_settings_proxied(&settings, "pop3"));
    kpopd_settings_free(&settings);
    set("haproxy_trusted_networks", "10.0.0.0/8 2001:db8::/32");
    set("haproxy_services", "kpop pop3s");
    is_good();
    CHECK_INT(settings.proxy_count, 2);
    CHECK(!kpopd_settings_proxied(&settings, "pop3"));
    CHECK(kpopd_settings_proxied(&settings, "pop3s"));
    kpopd_settings_free(&settings);
}

TEST(choices_are_read)
{
    static const struct {
        const char *log;
        enum log_target target;
    } rows[] = { { "stderr", LOG_TO_STDERR },
                 { "syslog", LOG_TO_SYSLOG },
                 { "journal", LOG_TO_JOURNAL } };
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin();
        set("log", rows[i].log);
        set("log_level", "warning");
        set("expire", "30");
        set("metrics", "[::1]:9109");
        is_good();
        CHECK_INT(settings.log, rows[i].target);
        CHECK_INT(settings.log_level, KPOP_LOG_WARNING);
        CHECK_INT(settings.expire, 30);
        kpopd_settings_free(&settings);
    }
}

/* ---- what is wrong ---- */

TEST(a_store_that_cannot_be_served_is_blamed)
{
    static char path[PATH_MAX + 20];

    begin();
    is_blamed("store", "", "is needed");
    is_blamed("store", "mbox:/var/mail/%u", "maildirs only");
    is_blamed("store", "dbox:/var/mail/%u", "neither maildir:PATH");
    is_blamed("store", "maildir:mail/%u", "must begin with /");
    is_blamed("store", "maildir:/mail/%n", "only u (user) and d");
    is_blamed("store", "maildir:/mail/%", "only u (user) and d");
    is_blamed("store", "maildir:/mail/%d", "needs %u");
    memset(path, 'x', sizeof(path) - 1);
    memcpy(path, "maildir:/%u/", 12);
    is_blamed("store", path, "too long");
}

TEST(accounts_that_give_rights_away_are_blamed)
{
    begin();
    is_blamed("run_as", "", "started as root");
    is_blamed("run_as", "nobody-here", "there is no user nobody-here");
    is_blamed("run_as", "toor", "must not be root");
    set("run_as", "mail");
    is_blamed("auth_user", "root", "must not be root");
    is_blamed("auth_user", "liam", "another user than run_as");
}

TEST(sources_that_there_are_not_are_blamed)
{
    static const char *const passwords[] = {
        "shadow",      "file:",     "file:relative", "pam:",
        "pam:.hidden", "pam:-flag", "pam:Upper",     "saslauthd:relative",
        "pam:a/b",
        "pam:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    };
    static char path[200];
    size_t i;

    for (i = 0; i < sizeof(passwords) / sizeof(passwords[0]); i++) {
        begin();
        is_blamed("passwords", passwords[i], "write file:PATH");
    }
    memset(path, 'x', sizeof(path) - 1);
    memcpy(path, "saslauthd:/", 11);
    is_blamed("passwords", path, "too long for a socket");
    begin();
    is_blamed("secrets", "pam:pop3", "write file:PATH");
    is_blamed("secrets", "sasldb:relative", "write file:PATH");
}

TEST(networks_and_numbers_that_there_are_not_are_blamed)
{
    static char network[200];

    begin();
    is_blamed("trusted_networks", "10.0.0.0/8 here", "here is no network");
    memset(network, '1', sizeof(network) - 1);
    is_blamed("trusted_networks", network, "is no network");
    set("trusted_networks", "");
    is_blamed("haproxy_trusted_networks", "10/8", "is no network");
    begin();
    is_blamed("expire", "soon", "number of days");
    is_blamed("expire", "100000", "number of days");
    is_blamed("expire", "-1", "number of days");
    begin();
    is_blamed("metrics", "192.0.2.1:9109", "");
    is_blamed("metrics", "127.0.0.1", "");
    is_blamed("metrics", "127.0.0.1:x", "");
    is_blamed("metrics", "127.0.0.1:99999", "");
    is_blamed("metrics", "127.0.0.1:80x", "");
    is_blamed("metrics", "::1:9109", "");
    is_blamed("metrics", "[]:9109", "");
    is_blamed("metrics", "unix:relative", "");
}

TEST(without_memory_nothing_is_half_read)
{
    int count;

    begin();
    set("passwords", "file:/etc/kpop/passwords");
    set("secrets", "file:/etc/kpop/secrets");
    set("metrics", "127.0.0.1:9109");
    for (count = 0;; count++) {
        left = count;
        if (reads() == KPOP_OK)
            break;
        CHECK_STR(error, "out of memory");
        CHECK(settings.store == NULL && settings.run_as.name == NULL);
        CHECK(count < 50);
    }
    CHECK(count > 10);
    left = -1;
    kpopd_settings_free(&settings);
}

TEST(a_key_that_the_module_refuses_is_named)
{
    refused_key = "run_as";
    CHECK_INT(kpopd_settings_declare(&api, NULL, error, sizeof(error)),
              KPOP_INVALID);
    CHECK_STR(error, "the module refuses the key run_as");
    left = 0;
    CHECK_INT(kpopd_settings_declare(&api, NULL, error, sizeof(error)),
              KPOP_NO_MEMORY);
    CHECK_STR(error, "out of memory (key run_as)");
    left = -1;
    refused_key = NULL;
    CHECK_INT(kpopd_settings_declare(&api, NULL, error, sizeof(error)),
              KPOP_OK);
}

TEST_MAIN("kpopd_settings", T(a_small_configuration_is_read),
          T(the_folder_of_the_store_ends_before_the_first_percent),
          T(a_machine_that_cannot_count_its_processors_has_one),
          T(a_plain_user_needs_no_accounts_and_gets_none),
          T(each_source_has_its_pool),
          T(tickets_are_wanted_for_kpop_or_by_a_keytab),
          T(services_behind_proxies_are_those_that_are_named),
          T(choices_are_read), T(a_store_that_cannot_be_served_is_blamed),
          T(accounts_that_give_rights_away_are_blamed),
          T(sources_that_there_are_not_are_blamed),
          T(networks_and_numbers_that_there_are_not_are_blamed),
          T(without_memory_nothing_is_half_read),
          T(a_key_that_the_module_refuses_is_named))
