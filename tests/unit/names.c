/*
 * names.c - tests of the whitelist, of principal_map and of the ladder from a
 * principal to a mailbox, with a krb5.conf of their own and no KDC.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/names.h"

#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sasl/krb.h"
#include "sasl/map.h"
#include "sasl/mech.h"
#include "sasl/note.h"
#include "sasl/peek.h"
#include "tests/lib/check.h"

/* ---- whitelist ---- */

TEST(mailbox_names_are_whitelisted)
{
    static const char *const good[] = {
        "a", "alice", "Alice.B_c+d-e", "alice@example.org", "0", "_x", "+x",
        "@",
    };
    static const char *const bad[] = {
        "", ".", "..", ".alice", "-alice", "a..b", "a/b", "a b", " alice",
        "alice ", "a\nb", "a\tb", "a\\b", "a%u", "a:b", "a;b", "a*", "a'b",
        "\xc3\xa4nne", "a\x7f", "../../etc", "a\x01",
    };
    char longest[258];

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        CHECK_INT(clean_mailbox(good[i]), true);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_INT(clean_mailbox(bad[i]), false);
    memset(longest, 'a', sizeof(longest));
    longest[255] = '\0';
    CHECK_INT(clean_mailbox(longest), true);
    longest[255] = 'a';
    longest[256] = '\0';
    CHECK_INT(clean_mailbox(longest), false);
}

/* ---- files ---- */

static char folder[200];

static const char *
path_of(const char *name)
{
    static char paths[8][300];
    static unsigned next;
    char *path = paths[next++ % 8];

    if (folder[0] == '\0') {
        const char *tmp = getenv("TMPDIR");

        snprintf(folder, sizeof(folder), "%.150s/kpop-names-XXXXXX",
                 tmp != NULL ? tmp : "/tmp");
        CHECK(mkdtemp(folder) != NULL);
    }
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void
write_file(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "w");

    CHECK(file != NULL);
    CHECK(fputs(text, file) >= 0 && fclose(file) == 0);
    CHECK_INT(chmod(path_of(name), 0600), 0);
}

/* ---- the map ---- */

static const char *
map_complaint(const char *text)
{
    static char error[600];
    struct map *map = NULL;

    write_file("map", text);
    error[0] = '\0';
    if (map_load(path_of("map"), &map, error, sizeof(error)) == STATUS_OK)
        CHECK_STR(error, "");
    else
        CHECK(error[0] != '\0' && map == NULL);
    map_free(map);
    /* Without the folder before it. */
    return error[0] == '/' ? error + strlen(folder) + 1 : error;
}

static void
check_found(const struct map *map, const char *principal,
            const char *requested, const char *mailbox)
{
    const char *found = "";
    enum map_answer answer = map_find(map, principal, requested, &found);

    CHECK_INT(answer, *mailbox != '\0' ? MAP_GRANTED : MAP_REFUSED);
    CHECK_STR(found, mailbox);
}

TEST(the_map_gives_the_listed_mailboxes)
{
    struct map *map = NULL;
    char error[300];
    const char *found = NULL;

    write_file("map", "# who reads what\n\n"
                      "carol/mail@OTHER.ORG\tcarol # her own\r\n"
                      "alice@EXAMPLE.ORG  zeta\n"
                      "  alice@EXAMPLE.ORG alpha\n"
                      "zed@EXAMPLE.ORG zed");
    CHECK_INT(map_load(path_of("map"), &map, error, sizeof(error)),
              STATUS_OK);
    check_found(map, "alice@EXAMPLE.ORG", "", "zeta");
    check_found(map, "alice@EXAMPLE.ORG", "alpha", "alpha");
    check_found(map, "alice@EXAMPLE.ORG", "zeta", "zeta");
    check_found(map, "alice@EXAMPLE.ORG", "alice", "");
    check_found(map, "carol/mail@OTHER.ORG", "carol", "carol");
    check_found(map, "zed@EXAMPLE.ORG", "", "zed");
    CHECK_INT(map_find(map, "alice@OTHER.ORG", "", &found), MAP_UNLISTED);
    CHECK_INT(map_find(map, "alice", "", &found), MAP_UNLISTED);
    CHECK_INT(map_find(map, "", "", &found), MAP_UNLISTED);
    map_free(map);
    CHECK_STR(map_complaint(""), "");
}

TEST(a_bad_line_of_the_map_is_named)
{
    CHECK_STR(map_complaint("a@R a\nalice alice\n"),
              "map:2: alice has no realm; write alice@REALM");
    CHECK_STR(map_complaint("alice@ alice\n"),
              "map:1: alice@ has no realm; write alice@@REALM");
    CHECK_STR(map_complaint("a@b@R a\n"), "map:1: a@b@R has two @");
    CHECK_STR(map_complaint("@R a\n"), "map:1: @R has an empty component");
    CHECK_STR(map_complaint("a/@R a\n"),
              "map:1: a/@R has an empty component");
    CHECK_STR(map_complaint("\n\na@R\n"), "map:3: a@R has no mailbox");
    CHECK_STR(map_complaint("a@R # a\n"), "map:1: a@R has no mailbox");
    CHECK_STR(map_complaint("a@R a b\n"),
              "map:1: one mailbox a line; repeat a@R for another");
    CHECK_STR(map_complaint("a\\@b@R a\n"), "map:1: a\\@b@R has two @");
    CHECK_STR(map_complaint("a\\x@R a\n"),
              "map:1: a principal may not hold octet 0x5C");
    CHECK_STR(map_complaint("\xc3\xa4@R a\n"),
              "map:1: a principal may not hold octet 0xC3");
    CHECK(strstr(map_complaint("a@R ../x\n"), "map:1: no mailbox name") !=
          NULL);
    CHECK(strstr(map_complaint("WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS a\n"),
                 "map:1: nobody in particular") != NULL);
}

TEST(a_map_that_others_may_change_is_refused)
{
    struct map *map = NULL;
    char error[300];

    write_file("map", "a@R a\n");
    CHECK_INT(chmod(path_of("map"), 0664), 0);
    CHECK_INT(map_load(path_of("map"), &map, error, sizeof(error)),
              STATUS_INVALID);
    CHECK(strstr(error, "map: others may write to it") != NULL);
    CHECK_INT(map_load(path_of("none"), &map, error, sizeof(error)),
              STATUS_INVALID);
    CHECK(strstr(error, "none: No such file") != NULL);
    CHECK_INT(map_load(folder, &map, error, sizeof(error)), STATUS_INVALID);
    CHECK(strstr(error, "not a regular file") != NULL);
    CHECK_INT(mkfifo(path_of("fifo"), 0600), 0);
    CHECK_INT(map_load(path_of("fifo"), &map, error, sizeof(error)),
              STATUS_INVALID);
}

/* ---- the ladder ---- */

static const char plain_conf[] =
    "[libdefaults]\n default_realm = EXAMPLE.ORG\n dns_lookup_kdc = false\n";

/* What principal gets; "" = refused. */
static const char *
climb(const char *conf, const char *realms, const char *principal,
      const char *requested)
{
    static struct names_answer answer;
    struct sasl_settings settings = {
        .hostname = "localhost", .keytab = path_of("none.keytab"),
        .services = "pop", .replay_cache = path_of("replay"),
        .realms = realms, .principal_map = "",
    };
    struct sasl_world *world = NULL;
    struct krb *krb = NULL;
    char error[300];
    char map[300];

    write_file("krb5.conf", conf);
    setenv("KRB5_CONFIG", path_of("krb5.conf"), 1);
    snprintf(map, sizeof(map), "%s", path_of("ladder.map"));
    if (access(map, F_OK) == 0)
        settings.principal_map = map;
    CHECK_INT(sasl_world_new(&settings, &world, error, sizeof(error)),
              STATUS_OK);
    CHECK_INT(krb_take(world, &krb), 0);
    CHECK_INT(names_ladder(world, krb->context, principal, requested,
                           &answer), STATUS_OK);
    CHECK(answer.rung[0] != '\0');
    krb_give(world, krb);
    sasl_world_free(world);
    return answer.mailbox;
}

TEST(the_default_realm_is_stripped)
{
    CHECK_STR(climb(plain_conf, "", "alice@EXAMPLE.ORG", ""), "alice");
    CHECK_STR(climb(plain_conf, "", "alice@EXAMPLE.ORG", "alice"), "alice");
    CHECK_STR(climb(plain_conf, "", "alice@EXAMPLE.ORG", "Alice"), "");
    CHECK_STR(climb(plain_conf, "", "alice@EXAMPLE.ORG", "bob"), "");
    CHECK_STR(climb(plain_conf, "", "alice@example.org", ""), "");
}

TEST(n24_foreign_realms_components_and_anonymous_are_refused)
{
    CHECK_STR(climb(plain_conf, "", "alice@OTHER.ORG", ""), "");
    CHECK_STR(climb(plain_conf, "", "alice/admin@EXAMPLE.ORG", ""), "");
    CHECK_STR(climb(plain_conf, "", "alice/admin@EXAMPLE.ORG", "alice"), "");
    CHECK_STR(climb(plain_conf, "",
                    "WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS", ""), "");
    CHECK_STR(climb(plain_conf, "", "WELLKNOWN/ANONYMOUS@EXAMPLE.ORG", ""),
              "");
    CHECK_STR(climb(plain_conf, "EXAMPLE.ORG OTHER.ORG", "dave@OTHER.ORG",
                    "dave"), "dave");
    CHECK_STR(climb(plain_conf, "OTHER.ORG", "alice@EXAMPLE.ORG", ""), "");
    CHECK_STR(climb(plain_conf, "OTHER.ORG.X XOTHER.ORG", "dave@OTHER.ORG",
                    ""), "");
}

TEST(principals_that_map_to_dangerous_names_are_refused)
{
    static const char *const principals[] = {
        "..\\/..\\/etc@EXAMPLE.ORG", "x\\ny@EXAMPLE.ORG",
        " fred@EXAMPLE.ORG",         "fred\\0x@EXAMPLE.ORG",
        "fr\\@ed@EXAMPLE.ORG",       "-fred@EXAMPLE.ORG",
        "@EXAMPLE.ORG",              ".@EXAMPLE.ORG",
    };

    for (size_t i = 0; i < sizeof(principals) / sizeof(principals[0]); i++)
        CHECK_STR(climb(plain_conf, "", principals[i], ""), "");
}

TEST(auth_to_local_rules_are_followed)
{
    static const char conf[] =
        "[libdefaults]\n default_realm = EXAMPLE.ORG\n"
        "[realms]\n EXAMPLE.ORG = {\n"
        "  auth_to_local = RULE:[1:$1@$0](.*@OTHER\\.ORG)s/@.*/-o/\n"
        "  auth_to_local = RULE:[2:$1;$2](.*;admin)s/;.*//\n"
        "  auth_to_local = RULE:[2:$1;$2](.*;evil)s,;.*,/../x,\n"
        "  auth_to_local = DEFAULT\n"
        "  auth_to_local_names = {\n   alice = al\n  }\n }\n";

    CHECK_STR(climb(conf, "", "dave@OTHER.ORG", ""), "dave-o");
    CHECK_STR(climb(conf, "", "dave@OTHER.ORG", "dave"), "");
    CHECK_STR(climb(conf, "", "dave/admin@OTHER.ORG", ""), "dave");
    CHECK_STR(climb(conf, "", "dave/evil@OTHER.ORG", ""), "");
    CHECK_STR(climb(conf, "", "alice@EXAMPLE.ORG", "al"), "al");
    CHECK_STR(climb(conf, "", "alice@EXAMPLE.ORG", "alice"), "alice");
    /* auth_to_local_names knows no realms: this alice is another one. */
    CHECK_STR(climb(conf, "", "alice@OTHER.ORG", "al"), "");
    CHECK_STR(climb(conf, "OTHER.ORG", "bob@EXAMPLE.ORG", "bob"), "bob");
}

TEST(the_map_decides_for_whom_it_lists)
{
    write_file("ladder.map", "alice@EXAMPLE.ORG boss\n"
                             "dave/mail@OTHER.ORG dave\n");
    CHECK_STR(climb(plain_conf, "", "alice@EXAMPLE.ORG", ""), "boss");
    CHECK_STR(climb(plain_conf, "", "alice@EXAMPLE.ORG", "alice"), "");
    CHECK_STR(climb(plain_conf, "", "dave/mail@OTHER.ORG", "dave"), "dave");
    CHECK_STR(climb(plain_conf, "", "bob@EXAMPLE.ORG", ""), "bob");
    CHECK_INT(unlink(path_of("ladder.map")), 0);
}

TEST(k5login_opens_an_account_that_is_asked_for)
{
    struct passwd *me = getpwuid(getuid());
    char conf[600];
    char account[300];

    if (me == NULL || !clean_mailbox(me->pw_name))
        SKIP("this user has no account");
    snprintf(account, sizeof(account), "k5/%s", me->pw_name);
    CHECK_INT(mkdir(path_of("k5"), 0700), 0);
    write_file(account, "dave/mail@OTHER.ORG\ncarol@OTHER.ORG\n");
    snprintf(conf, sizeof(conf), "%s k5login_directory = %s\n", plain_conf,
             path_of("k5"));
    CHECK_STR(climb(conf, "", "dave/mail@OTHER.ORG", me->pw_name),
              me->pw_name);
    CHECK_STR(climb(conf, "", "carol@OTHER.ORG", me->pw_name), me->pw_name);
    CHECK_STR(climb(conf, "", "carol@OTHER.ORG", ""), "");
    CHECK_STR(climb(conf, "", "eve@OTHER.ORG", me->pw_name), "");
    CHECK_STR(climb(conf, "", "carol@OTHER.ORG", "no-such-user"), "");
    /* A FIFO would make the library wait. */
    CHECK_INT(unlink(path_of(account)), 0);
    CHECK_INT(mkfifo(path_of(account), 0600), 0);
    CHECK_STR(climb(conf, "", "carol@OTHER.ORG", me->pw_name), "");
    CHECK_INT(unlink(path_of(account)), 0);
}

TEST(a_changed_map_is_read_again)
{
    struct sasl_settings settings = {
        .hostname = "localhost", .keytab = path_of("none.keytab"),
        .services = "pop", .replay_cache = path_of("replay"),
        .realms = "", .principal_map = path_of("changing"),
    };
    struct sasl_world *world = NULL;
    struct names_answer answer;
    struct krb *krb = NULL;
    char error[300];

    write_file("krb5.conf", plain_conf);
    setenv("KRB5_CONFIG", path_of("krb5.conf"), 1);
    write_file("changing", "x@R one\n");
    CHECK_INT(sasl_world_new(&settings, &world, error, sizeof(error)),
              STATUS_OK);
    CHECK_INT(krb_take(world, &krb), 0);
    CHECK_INT(names_ladder(world, krb->context, "x@R", "", &answer),
              STATUS_OK);
    CHECK_STR(answer.mailbox, "one");
    CHECK_STR(answer.rung, "map");
    write_file("changing", "x@R other\n");
    CHECK_INT(names_ladder(world, krb->context, "x@R", "", &answer),
              STATUS_OK);
    CHECK_STR(answer.mailbox, "other");
    write_file("changing", "x@R\n");
    CHECK_INT(names_ladder(world, krb->context, "x@R", "", &answer),
              STATUS_TEMP);
    CHECK(strstr(answer.problem, "changing:1: x@R has no mailbox") != NULL);
    CHECK_STR(answer.mailbox, "");
    CHECK_INT(unlink(path_of("changing")), 0);
    CHECK_INT(names_ladder(world, krb->context, "y@R", "", &answer),
              STATUS_TEMP);
    krb_give(world, krb);
    sasl_world_free(world);
}

/* ---- settings, KRB_ERROR, log lines, DER ---- */

static const char *
world_complaint(struct sasl_settings settings)
{
    static char error[300];
    struct sasl_world *world = NULL;

    error[0] = '\0';
    if (sasl_world_new(&settings, &world, error, sizeof(error)) == STATUS_OK)
        sasl_world_free(world);
    return error;
}

TEST(settings_that_cannot_work_are_refused)
{
    struct sasl_settings good = { "h", "/k", "pop", "/r", "", "", false,
                                  false, MECH_NAME_EMAIL };
    struct sasl_settings bad = good;

    CHECK_STR(world_complaint(good), "");
    bad.services = "  ";
    CHECK(strstr(world_complaint(bad), "services: ") != NULL);
    bad = good;
    bad.replay_cache = "replay";
    CHECK(strstr(world_complaint(bad), "replay_cache: ") != NULL);
    bad.replay_cache = "/var/%{uid}";
    CHECK(strstr(world_complaint(bad), "replay_cache: ") != NULL);
    bad = good;
    bad.keytab = "kpop.keytab";
    CHECK(strstr(world_complaint(bad), "keytab: ") != NULL);
    sasl_world_free(NULL);
}

TEST(a_krb_error_needs_no_keytab_and_no_krb5_conf)
{
    struct sasl_settings settings = { "mail.example.org", "/none", "pop",
                                      "/none", "", "", false, false,
                                      MECH_NAME_EMAIL };
    struct sasl_world *world = NULL;
    char error[300];
    struct buf out;
    size_t len;

    write_file("krb5.conf", "}}} broken\n");
    setenv("KRB5_CONFIG", path_of("krb5.conf"), 1);
    CHECK_INT(sasl_world_new(&settings, &world, error, sizeof(error)),
              STATUS_OK);
    buf_init(&out, 4096);
    CHECK_INT(apreq_refusal(world, 40, "use KPOP", &out), STATUS_OK);
    len = buf_len(&out);
    CHECK(len > 60 && buf_data(&out)[0] == 0x7e);
    CHECK_MEM(buf_data(&out) + len - 8, 8, "use KPOP", 8);
    CHECK(memmem(buf_data(&out), len, "EXAMPLE.ORG", 11) != NULL);
    CHECK_INT(apreq_refusal(world, 4711, "", &out), STATUS_OK);
    buf_reset(&out);
    buf_init(&out, 10);
    CHECK_INT(apreq_refusal(world, 40, "use KPOP", &out), STATUS_NO_MEMORY);
    buf_reset(&out);
    sasl_world_free(world);
}

TEST(values_cannot_forge_log_lines)
{
    struct note note;
    char text[700];

    note_init(&note);
    note_text(&note, "a", "plain");
    note_text(&note, "b", "x y=\"z\"\n\xff\\");
    note_text(&note, "c", "");
    note_number(&note, "d", -600);
    CHECK_STR(note.text,
              "a=plain b=\"x y=\\\"z\\\"\\x0A\\xFF\\\\\" c=\"\" d=-600");
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    for (int i = 0; i < 10; i++)
        note_text(&note, "long", text);
    CHECK(note.len < sizeof(note.text));
    CHECK_INT(strlen(note.text), note.len);
    CHECK_STR(note.text + note.len - 3, "...");
}

/* An AP-REQ for "p/h@R", kvno 7, with two toy ciphertexts. */
static const uint8_t apreq_der[] =
    "\x6e\x5c\x30\x5a\xa0\x03\x02\x01\x05\xa1\x03\x02\x01\x0e\xa2\x07"
    "\x03\x05\x00\x20\x00\x00\x00\xa3\x35\x61\x33\x30\x31\xa0\x03\x02"
    "\x01\x05\xa1\x03\x1b\x01\x52\xa2\x11\x30\x0f\xa0\x03\x02\x01\x03"
    "\xa1\x08\x30\x06\x1b\x01\x70\x1b\x01\x68\xa3\x12\x30\x10\xa0\x03"
    "\x02\x01\x12\xa1\x03\x02\x01\x07\xa2\x04\x04\x02\x78\x78\xa4\x0e"
    "\x30\x0c\xa0\x03\x02\x01\x12\xa2\x05\x04\x03\x7a\x7a\x7a";

TEST(the_clear_part_of_an_ap_req_is_read)
{
    struct apreq_peek peek;
    size_t len = sizeof(apreq_der) - 1;

    CHECK_INT(apreq_peek(apreq_der, len, &peek), true);
    CHECK_STR(peek.service, "p/h@R");
    CHECK_INT(peek.first_len, 1);
    CHECK_INT(peek.etype, 18);
    CHECK_INT(peek.has_kvno, true);
    CHECK_INT(peek.kvno, 7);
}

TEST(no_octets_make_the_peek_read_past_its_end)
{
    struct apreq_peek peek;
    size_t len = sizeof(apreq_der) - 1;

    for (size_t cut = 0; cut < len; cut++) {
        /* malloc, so that a sanitizer sees the end. */
        uint8_t *copy = malloc(cut + 1);

        CHECK(copy != NULL);
        memcpy(copy, apreq_der, cut);
        copy = realloc(copy, cut > 0 ? cut : 1);
        CHECK_INT(apreq_peek(copy, cut, &peek), false);
        CHECK_STR(peek.service, "");
        free(copy);
    }
    for (size_t at = 0; at < len; at++) {
        uint8_t *copy = malloc(len);

        CHECK(copy != NULL);
        for (unsigned value = 0; value < 256; value++) {
            memcpy(copy, apreq_der, len);
            copy[at] = (uint8_t)value;
            if (apreq_peek(copy, len, &peek))
                CHECK(peek.first_len <= strlen(peek.service));
        }
        free(copy);
    }
}

TEST(files_are_cleaned_up)
{
    char command[300];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    CHECK_INT(folder[0] == '\0' ? 0 : system(command), 0);
}

TEST_MAIN("names",
          T(mailbox_names_are_whitelisted),
          T(the_map_gives_the_listed_mailboxes),
          T(a_bad_line_of_the_map_is_named),
          T(a_map_that_others_may_change_is_refused),
          T(the_default_realm_is_stripped),
          T(n24_foreign_realms_components_and_anonymous_are_refused),
          T(principals_that_map_to_dangerous_names_are_refused),
          T(auth_to_local_rules_are_followed),
          T(the_map_decides_for_whom_it_lists),
          T(k5login_opens_an_account_that_is_asked_for),
          T(a_changed_map_is_read_again),
          T(settings_that_cannot_work_are_refused),
          T(a_krb_error_needs_no_keytab_and_no_krb5_conf),
          T(values_cannot_forge_log_lines),
          T(the_clear_part_of_an_ap_req_is_read),
          T(no_octets_make_the_peek_read_past_its_end),
          T(files_are_cleaned_up))
