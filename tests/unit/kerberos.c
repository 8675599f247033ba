/*
 * kerberos.c - what stands around tickets and needs no KDC: contexts and their
 * profile, the look at keytab and replay cache, files of others, the texts of
 * refusals, the framing of tokens, and mechanisms that are asked out of turn.
 *
 * SPDX-License-Identifier: MIT
 */
#include <krb5.h>
#include <profile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sasl/krb.h"
#include "sasl/map.h"
#include "sasl/mech.h"
#include "sasl/overlay.h"
#include "sasl/refusal.h"
#include "sasl/replay.h"
#include "sasl/token.h"
#include "tests/lib/check.h"
#include "tests/unit/keytab_fixture.h"
#include "tests/unit/tls_fixture.h"

enum { STRANGER = 65534 };

static char error[400];

static void
no_log(void *arg, unsigned level, const char *event, const char *line)
{
    (void)arg, (void)level, (void)event, (void)line;
}

#define CHECK_SAYS(part)                                                    \
    do {                                                                    \
        if (strstr(error, (part)) == NULL)                                  \
            CHECK_STR(error, (part));                                       \
    } while (0)

/* ---- profile ---- */

static void
use_profile(void)
{
    fixture_begin();
    fixture_write("krb5.conf",
                  "[libdefaults]\n default_realm = A.ORG\n"
                  " default_rcache_name = none:\n"
                  "[realms]\n A.ORG = {\n  kdc = one.a.org\n"
                  "  kdc = two.a.org\n }\n B.ORG = {\n  kdc = b.org\n }\n",
                  0600);
    setenv("KRB5_CONFIG", fixture_path("krb5.conf"), 1);
}

TEST(profile_says_what_krb5_conf_says_but_for_the_replay_cache)
{
    const char *rcache[] = { "libdefaults", "default_rcache_name", NULL };
    const char *kdcs[] = { "realms", "A.ORG", "kdc", NULL };
    struct overlay *overlay = NULL;
    char **values = NULL;

    use_profile();
    CHECK_INT(overlay_new("file2:/replay", &overlay), 0);
    CHECK_INT(profile_get_values(overlay_profile(overlay), rcache, &values),
              0);
    CHECK_STR(values[0], "file2:/replay");
    CHECK(values[1] == NULL);
    profile_free_list(values);
    CHECK_INT(profile_get_values(overlay_profile(overlay), kdcs, &values), 0);
    CHECK_STR(values[0], "one.a.org");
    CHECK_STR(values[1], "two.a.org");
    profile_free_list(values);
    overlay_free(overlay);
    overlay_free(NULL);
}

/* libkrb5's plugins do. */
TEST(profile_lists_the_names_of_krb5_conf)
{
    const char *realms[] = { "realms", NULL };
    const char *nothing[] = { "nothing", NULL };
    struct overlay *overlay = NULL;
    char **names = NULL;
    void *iterator = NULL;
    char *name = NULL;
    char *value = NULL;

    use_profile();
    CHECK_INT(overlay_new("file2:/replay", &overlay), 0);
    CHECK_INT(profile_get_subsection_names(overlay_profile(overlay), realms,
                                           &names), 0);
    CHECK_STR(names[0], "A.ORG");
    CHECK_STR(names[1], "B.ORG");
    CHECK(names[2] == NULL);
    profile_free_list(names);
    CHECK_INT(profile_get_subsection_names(overlay_profile(overlay), nothing,
                                           &names), 0);
    CHECK(names[0] == NULL);
    profile_free_list(names);
    /* Given up before its end. */
    CHECK_INT(profile_iterator_create(overlay_profile(overlay), realms,
                                      PROFILE_ITER_LIST_SECTION
                                          | PROFILE_ITER_SECTIONS_ONLY,
                                      &iterator), 0);
    CHECK_INT(profile_iterator(&iterator, &name, &value), 0);
    CHECK_STR(name, "A.ORG");
    profile_release_string(name);
    profile_release_string(value);
    profile_iterator_free(&iterator);
    overlay_free(overlay);
}

/* ---- worlds ---- */

static struct sasl_settings
usual(void)
{
    use_profile();
    return (struct sasl_settings){
        .hostname = "mail.a.org", .keytab = fixture_path("keytab"),
        .services = "pop", .replay_cache = fixture_path("cache"),
        .realms = "", .principal_map = "",
    };
}

static struct sasl_world *
world_of(const struct sasl_settings *settings)
{
    struct sasl_world *world = NULL;

    CHECK_INT(sasl_world_new(settings, &world, error, sizeof(error)),
              STATUS_OK);
    return world;
}

static int
ready(const struct sasl_settings *settings)
{
    struct sasl_world *world = world_of(settings);
    int status;

    error[0] = '\0';
    status = sasl_world_ready(world, no_log, NULL, error, sizeof(error));
    sasl_world_free(world);
    return status;
}

TEST(contexts_are_kept_for_the_next_but_not_without_end)
{
    enum { MANY = 12 };
    struct sasl_settings settings = usual();
    struct sasl_world *world = world_of(&settings);
    struct krb *taken[MANY] = { NULL };
    struct krb *again = NULL;

    for (int i = 0; i < MANY; i++)
        CHECK_INT(krb_take(world, &taken[i]), 0);
    krb_give(world, NULL);
    for (int i = 0; i < MANY; i++)
        krb_give(world, taken[i]);
    CHECK_INT(krb_take(world, &again), 0);
    CHECK(again == taken[7]); /* the last that was kept */
    krb_give(world, again);
    sasl_world_free(world);
}

TEST(keytab_of_weak_keys_alone_is_refused_unless_they_are_allowed)
{
    struct sasl_settings settings = usual();

    keytab_fixture(settings.keytab, "pop/mail.a.org@A.ORG",
                   ENCTYPE_ARCFOUR_HMAC);
    CHECK_INT(ready(&settings), STATUS_INVALID);
    CHECK_SAYS("holds only RC4 or DES keys");
    settings.allow_weak_enctypes = true;
    CHECK_INT(ready(&settings), STATUS_OK);
    settings.allow_weak_enctypes = false;
    keytab_fixture(settings.keytab, "pop/mail.a.org@A.ORG",
                   ENCTYPE_AES256_CTS_HMAC_SHA1_96);
    CHECK_INT(ready(&settings), STATUS_OK);
}

TEST(environment_that_would_replace_the_replay_cache_is_named)
{
    struct sasl_settings settings = usual();
    char ours[400];

    (void)snprintf(ours, sizeof(ours), "file2:%s", settings.replay_cache);
    setenv("KRB5RCACHENAME", "none:", 1);
    CHECK_INT(ready(&settings), STATUS_INVALID);
    CHECK_SAYS("KRB5RCACHENAME or KRB5RCACHETYPE");
    setenv("KRB5RCACHENAME", ours, 1);
    CHECK_INT(ready(&settings), STATUS_OK);
    setenv("KRB5RCACHETYPE", "none", 1);
    CHECK_INT(ready(&settings), STATUS_INVALID);
    unsetenv("KRB5RCACHETYPE");
    unsetenv("KRB5RCACHENAME");
}

TEST(settings_beyond_a_path_are_refused)
{
    struct sasl_settings settings = usual();
    struct sasl_world *world = NULL;
    static char path[5000];

    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    settings.replay_cache = path;
    CHECK_INT(sasl_world_new(&settings, &world, error, sizeof(error)),
              STATUS_INVALID);
    CHECK_SAYS("replay_cache: ");
    CHECK_INT(sasl_world_new(&settings, &world, NULL, 0), STATUS_INVALID);
}

/* The realm of a KRB_ERROR is the first listed, or made of the host's name. */
TEST(krb_error_names_a_realm)
{
    static const char *const rows[][3] = {
        { "mail.b.org", "FIRST.ORG, SECOND.ORG", "FIRST.ORG" },
        { "mail.b.org", "", "B.ORG" },
        { "mail", "", "MAIL" },
        { "mail.", "", "MAIL." },
    };
    struct sasl_settings settings = usual();

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sasl_world *world;
        struct buf out;

        settings.hostname = rows[i][0];
        settings.realms = rows[i][1];
        world = world_of(&settings);
        buf_init(&out, 1000);
        CHECK_INT(apreq_refusal(world, -1, "text", &out), STATUS_OK);
        CHECK(memmem(buf_data(&out), buf_len(&out), rows[i][2],
                     strlen(rows[i][2])) != NULL);
        buf_reset(&out);
        sasl_world_free(world);
    }
}

TEST(enctype_without_a_name_is_its_number_and_weak)
{
    char name[40];

    krb_enctype_name(4711, name, sizeof(name));
    CHECK_STR(name, "4711");
    CHECK(!krb_enctype_is_strong(4711));
    krb_enctype_name(ENCTYPE_ARCFOUR_HMAC, name, sizeof(name));
    CHECK_STR(name, "arcfour-hmac");
    CHECK(!krb_enctype_is_strong(ENCTYPE_ARCFOUR_HMAC));
}

/* ---- files of others ---- */

static void
as_stranger(bool on)
{
    CHECK_INT(seteuid(on ? STRANGER : 0), 0);
}

static int
prepare(const char *path)
{
    error[0] = '\0';
    return replay_prepare(path, error, sizeof(error));
}

static int
inspect(const char *path)
{
    error[0] = '\0';
    return replay_inspect(path, error, sizeof(error));
}

TEST(replay_cache_must_be_where_nobody_can_replace_it)
{
    char path[400];

    fixture_begin();
    CHECK_INT(prepare("cache"), STATUS_PERM);
    CHECK_SAYS("not an absolute path");
    CHECK_INT(prepare("/nonexistent-kpop/cache"), STATUS_PERM);
    CHECK_SAYS("folder: No such file");
    CHECK_INT(inspect("/kpop-no-such-cache"),
              geteuid() == 0 ? STATUS_OK : STATUS_PERM);
    fixture_write("file", "", 0600);
    (void)snprintf(path, sizeof(path), "%s/cache", fixture_path("file"));
    CHECK_INT(prepare(path), STATUS_PERM);
    CHECK_SAYS("Not a directory");
    CHECK_INT(inspect(path), STATUS_PERM);
    CHECK_INT(mkdir(fixture_path("open"), 0700), 0);
    CHECK_INT(chmod(fixture_path("open"), 0777), 0);
    CHECK_INT(prepare(fixture_path("open/cache")), STATUS_PERM);
    CHECK_SAYS("others may write to its folder");
    CHECK_INT(chmod(fixture_path("open"), 01777), 0);
    CHECK_INT(prepare(fixture_path("open/cache")), STATUS_CONTINUE);
    CHECK_INT(prepare(fixture_path("open/cache")), STATUS_OK);
    CHECK_INT(chmod(fixture_path("open/cache"), 0640), 0);
    CHECK_INT(prepare(fixture_path("open/cache")), STATUS_PERM);
    CHECK_SAYS("others may use it");
    CHECK_INT(chmod(fixture_path("open/cache"), 0600), 0);
    CHECK_INT(link(fixture_path("open/cache"), fixture_path("open/two")), 0);
    CHECK_INT(prepare(fixture_path("open/cache")), STATUS_PERM);
    CHECK_SAYS("has a second name");
}

TEST(replay_cache_of_somebody_else_is_refused)
{
    if (geteuid() != 0)
        SKIP("only root can give files away");
    fixture_begin();
    fixture_write("cache", "", 0600);
    CHECK_INT(chmod(fixture_path(""), 0755), 0);
    CHECK_INT(chown(fixture_path("cache"), STRANGER, (gid_t)-1), 0);
    CHECK_INT(prepare(fixture_path("cache")), STATUS_PERM);
    CHECK_SAYS("belongs to uid 65534, not to us");
    CHECK_INT(inspect(fixture_path("cache")), STATUS_OK); /* root looks */
    CHECK_INT(chown(fixture_path("cache"), 0, (gid_t)-1), 0);
    CHECK_INT(mkdir(fixture_path("others"), 0755), 0);
    CHECK_INT(chown(fixture_path("others"), 1, (gid_t)-1), 0);
    CHECK_INT(mkdir(fixture_path("roots"), 0755), 0);
    as_stranger(true);
    CHECK_INT(inspect(fixture_path("cache")), STATUS_PERM);
    CHECK_SAYS("belongs to uid 0, not to us");
    CHECK_INT(prepare(fixture_path("others/cache")), STATUS_PERM);
    CHECK_SAYS("its folder belongs to uid 1");
    CHECK_INT(prepare(fixture_path("roots/cache")), STATUS_PERM);
    CHECK_SAYS("is missing and can't be made here");
    as_stranger(false);
}

static int
load(const char *path)
{
    struct map *map = NULL;
    int status;

    error[0] = '\0';
    status = map_load(path, &map, error, sizeof(error));
    map_free(map);
    return status;
}

TEST(map_of_somebody_else_is_refused)
{
    if (geteuid() != 0)
        SKIP("only root can give files away");
    fixture_begin();
    fixture_write("map", "alice@A.ORG alice\n", 0644);
    CHECK_INT(chown(fixture_path("map"), 1, (gid_t)-1), 0);
    CHECK_INT(load(fixture_path("map")), STATUS_OK); /* root trusts */
    as_stranger(true);
    CHECK_INT(load(fixture_path("map")), STATUS_INVALID);
    CHECK_SAYS("belongs to uid 1, not to root or us");
    as_stranger(false);
    CHECK_INT(chown(fixture_path("map"), STRANGER, (gid_t)-1), 0);
    as_stranger(true);
    CHECK_INT(load(fixture_path("map")), STATUS_OK);
    as_stranger(false);
}

TEST(map_that_is_no_text_or_too_large_is_refused)
{
    static char line[700];
    FILE *file;

    fixture_begin();
    fixture_write("map", "", 0600);
    file = fopen(fixture_path("map"), "w");
    CHECK(file != NULL && fwrite("a@A b\0\n", 1, 7, file) == 7);
    CHECK_INT(fclose(file), 0);
    CHECK_INT(load(fixture_path("map")), STATUS_INVALID);
    CHECK_SAYS("holds a NUL octet");
    CHECK_INT(truncate(fixture_path("map"), (16 << 20) + 1), 0);
    CHECK_INT(load(fixture_path("map")), STATUS_INVALID);
    CHECK_SAYS("larger than");
    memset(line, 'a', 600);
    (void)snprintf(line + 600, 20, "@A.ORG alice\n");
    fixture_write("map", line, 0600);
    CHECK_INT(load(fixture_path("map")), STATUS_INVALID);
    CHECK_SAYS("too long");
}

TEST(map_is_stale_when_its_file_is_another_or_gone)
{
    struct map *map = NULL;
    struct stat st;

    fixture_begin();
    fixture_write("map", "alice@A.ORG alice\n", 0600);
    CHECK_INT(map_load(fixture_path("map"), &map, error, sizeof(error)),
              STATUS_OK);
    CHECK(!map_is_stale(map, fixture_path("map")));
    CHECK_INT(stat(fixture_path("map"), &st), 0);
    CHECK_INT(rename(fixture_path("map"), fixture_path("old")), 0);
    fixture_write("map", "alice@A.ORG wrong\n", 0600);
    CHECK(map_is_stale(map, fixture_path("map")));
    CHECK_INT(unlink(fixture_path("map")), 0);
    CHECK(map_is_stale(map, fixture_path("map")));
    map_free(map);
}

/* ---- texts ---- */

static struct refusal
refused(int code, const char *service, long delta)
{
    struct apreq_peek peek = { .kvno = 3 };
    struct refusal_facts facts = { code, false, &peek, "pop/mail.a.org",
                                   "192.0.2.1", delta };
    struct refusal out;

    (void)snprintf(peek.service, sizeof(peek.service), "%s", service);
    refusal_make(&facts, &out);
    return out;
}

TEST(refusals_say_what_is_known)
{
    CHECK_STR(refused(37, "", 0).text,
              "your clock is wrong: set your clock");
    CHECK_STR(refused(37, "", -400).text,
              "your clock is 400 seconds slow: set your clock");
    CHECK_STR(refused(REFUSE_NOT_US, "", 0).text,
              "this server is pop/mail.a.org, your ticket is for another "
              "service: ask for pop/mail.a.org");
    CHECK_STR(refused(REFUSE_NOT_US, "pop/mail.a.org@A.ORG", 0).text,
              "the server's keytab has no key of pop/mail.a.org: tell the "
              "administrator");
    CHECK(strstr(refused(REFUSE_NOT_US, "pop/mail.a.org.evil", 0).text,
                 "your ticket is for pop/mail.a.org.evil") != NULL);
    CHECK_INT(refused(99, "", 0).status, STATUS_AUTH);
    CHECK(strstr(refused(99, "", 0).text, "Kerberos refused the ticket")
          != NULL);
}

/* ---- tokens ---- */

TEST(lengths_of_a_token_are_in_their_shortest_form)
{
    static const struct {
        const char *octets;
        size_t len;
    } rows[] = {
        { "\x60", 1 },
        { "\x60\x80", 2 },             /* indefinite */
        { "\x60\x85\1\1\1\1\1", 7 },   /* longer than any */
        { "\x60\x82\1", 3 },           /* cut */
        { "\x60\x82\0\1\1", 5 },       /* a zero too many */
        { "\x60\x81\x7f", 3 },         /* would fit into one octet */
        { "\x60\x03\6\1\x2a", 5 },     /* too short for the mechanism */
        { "\x61\x03\6\1\x2a", 5 },
    };
    const uint8_t *apreq;
    size_t size;

    CHECK(!token_apreq(NULL, 0, &apreq, &size));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        CHECK(!token_apreq((const uint8_t *)rows[i].octets, rows[i].len,
                           &apreq, &size));
}

TEST(wrap_tokens_have_no_unknown_bits)
{
    uint8_t token[28] = { 5, 4, 0, 0xff, 0, 12 };
    struct token_wrap wrap;

    CHECK(token_wrap(token, sizeof(token), &wrap));
    CHECK(!token_wrap(token, 15, &wrap));
    CHECK(!token_wrap(NULL, 28, &wrap));
    for (size_t i = 0; i < 4; i++) {
        token[i] ^= 0x20;
        CHECK(!token_wrap(token, sizeof(token), &wrap));
        token[i] ^= 0x20;
    }
    token[5] = 13; /* a checksum larger than the rest */
    CHECK(!token_wrap(token, sizeof(token), &wrap));
}

/* ---- out of turn ---- */

static const char *const mechanisms[] = {
    "kpop", "gssapi", "plain", "cram-md5", "apop", "external",
    "scram-sha-1", "scram-sha-256", "scram-sha-512", "scram-sha-256-plus",
};

TEST(mechanisms_that_are_asked_out_of_turn_let_nobody_in)
{
    const struct mech_peer peer = { .address = "192.0.2.1",
                                    .session_id = "s", .log = no_log };
    struct sasl_settings settings = usual();
    struct sasl_world *world = world_of(&settings);
    struct mech_ask ask;
    struct buf out;

    buf_init(&out, 65536);
    for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
        const struct mech *mech = mech_find(mechanisms[i]);
        void *state = NULL;

        CHECK(mech != NULL);
        mech->free(NULL);
        CHECK_INT(mech->start(world, &peer, &state), STATUS_OK);
        /* An answer to what was not asked. */
        CHECK_INT(mech->resume(state, STATUS_OK, (const uint8_t *)"x", 1,
                               &out, &ask),
                  STATUS_INVALID);
        CHECK(mech->step(state, (const uint8_t *)"\0", 1, &out, &ask) < 0);
        CHECK(mech->step(state, (const uint8_t *)"x", 1, &out, &ask) < 0);
        CHECK(mech->step(state, NULL, 0, &out, &ask) < 0);
        mech->free(state);
        buf_reset(&out);
    }
    sasl_world_free(world);
}

TEST(files_are_cleaned_up)
{
    fixture_end();
}

TEST_MAIN("kerberos",
          T(profile_says_what_krb5_conf_says_but_for_the_replay_cache),
          T(profile_lists_the_names_of_krb5_conf),
          T(contexts_are_kept_for_the_next_but_not_without_end),
          T(keytab_of_weak_keys_alone_is_refused_unless_they_are_allowed),
          T(environment_that_would_replace_the_replay_cache_is_named),
          T(settings_beyond_a_path_are_refused), T(krb_error_names_a_realm),
          T(enctype_without_a_name_is_its_number_and_weak),
          T(replay_cache_must_be_where_nobody_can_replace_it),
          T(replay_cache_of_somebody_else_is_refused),
          T(map_of_somebody_else_is_refused),
          T(map_that_is_no_text_or_too_large_is_refused),
          T(map_is_stale_when_its_file_is_another_or_gone),
          T(refusals_say_what_is_known),
          T(lengths_of_a_token_are_in_their_shortest_form),
          T(wrap_tokens_have_no_unknown_bits),
          T(mechanisms_that_are_asked_out_of_turn_let_nobody_in),
          T(files_are_cleaned_up))
