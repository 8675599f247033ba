/*
 * kpopd_sources.c - a configuration that names no source of passwords or
 * secrets: nothing is opened, and nobody is known.  Each source there is has a
 * test of its own.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/kpopd/sources.h"

#include <string.h>

#include "tests/lib/check.h"

static const struct settings settings = {
    .password_source = PASSWORDS_NONE,
    .secret_source = SECRETS_NONE,
    .hostname = "mail.test",
};

static struct sources sources;
static char error[200];

static void
begin(enum auth_pool pool)
{
    const char *key = "";

    error[0] = '\0';
    CHECK_INT(sources_open(&sources, &settings, pool, &key, error,
                           sizeof(error)), 0);
    CHECK_STR(error, "");
    CHECK(sources.passdb == NULL && sources.locks == NULL);
}

TEST(without_a_source_no_password_is_right)
{
    static const char *const passwords[] = { "", "secret" };
    char reason[100];

    begin(POOL_OUTSIDE);
    for (size_t i = 0; i < 2; i++) {
        const struct sources_login login = { "alice", "192.0.2.1",
                                             passwords[i],
                                             strlen(passwords[i]) };

        memset(reason, 'x', sizeof(reason));
        CHECK_INT(sources_verify(&sources, &login, reason, sizeof(reason)),
                  KPOP_AUTH);
        CHECK_STR(reason, "");
    }
    sources_close(&sources);
}

TEST(without_a_source_nobody_has_a_secret)
{
    struct secretdb_secret secret;
    struct secretdb_secret none;

    begin(POOL_PASSWORD);
    memset(&none, 0, sizeof(none));
    memset(&secret, 'x', sizeof(secret));
    CHECK_INT(sources_lookup(&sources, "alice", &secret, error,
                             sizeof(error)), KPOP_AUTH);
    CHECK_MEM(&secret, sizeof(secret), &none, sizeof(none));
    CHECK_STR(error, "");
    sources_close(&sources);
}

TEST(without_a_source_no_account_is_locked)
{
    begin(POOL_KRB);
    sources_turn(&sources);
    CHECK_INT(sources_unlocked(&sources, "alice", error, sizeof(error)),
              KPOP_OK);
    CHECK_STR(error, "");
    sources_close(&sources);
}

TEST_MAIN("kpopd_sources", T(without_a_source_no_password_is_right),
          T(without_a_source_nobody_has_a_secret),
          T(without_a_source_no_account_is_locked))
