/*
 * config.c - the configuration: files, keys, values, errors with file and
 * line, listeners, reload.  Writes files under /tmp.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin/config.h"
#include "plugin/text.h"
#include "tests/lib/check.h"
#include "tests/unit/stub.h"

static struct stub stub;
static char path[] = "/tmp/kpop-config-XXXXXX";
static bool path_is_made;
static char error[1024];

static void
file_write(const void *data, size_t len)
{
    FILE *file;

    if (!path_is_made) {
        int fd = mkstemp(path);

        CHECK(fd >= 0);
        CHECK_INT(close(fd), 0);
        path_is_made = true;
    }
    file = fopen(path, "w");
    CHECK(file != NULL);
    CHECK(fwrite(data, 1, len, file) == len);
    CHECK_INT(fclose(file), 0);
}

/* A fresh plugin loads a file of this text. */
static int32_t
load_bytes(const void *data, size_t len)
{
    stub_begin(&stub, &stub_passwords);
    file_write(data, len);
    return stub.api->load(stub.plugin, path, error, sizeof(error));
}

static int32_t
load(const char *text)
{
    return load_bytes(text, strlen(text));
}

/* It is refused with this sentence behind FILE:LINE. */
static void
check_refused(const char *text, unsigned line, const char *sentence)
{
    char want[1024];

    CHECK_INT(load(text), KPOP_INVALID);
    (void)snprintf(want, sizeof(want), "%s:%u: %s", path, line, sentence);
    CHECK_STR(error, want);
    stub_end(&stub);
}

static void
check_value(const char *text, const char *key, const char *value)
{
    error[0] = '\0';
    (void)load(text);
    CHECK_STR(error, "");
    CHECK_STR(stub.api->get(stub.plugin, key), value);
    stub_end(&stub);
}

TEST(a_line_is_key_equals_value_and_blanks_around_do_not_matter)
{
    check_value("realms = A.TEST B.TEST\n", "realms", "A.TEST B.TEST");
    check_value("realms=A.TEST\n", "realms", "A.TEST");
    check_value("\t realms \t=\t A.TEST \t\r\n", "realms", "A.TEST");
    check_value("realms = A.TEST", "realms", "A.TEST");
    check_value("realms =\n", "realms", "");
}

TEST(comments_begin_a_line_or_follow_a_blank)
{
    check_value("# realms = B\n  #x\n\nrealms = A\n", "realms", "A");
    check_value("realms = A # B\n", "realms", "A");
    check_value("keytab = /etc/a#b\n", "keytab", "/etc/a#b");
    check_value("realms = # nothing\n", "realms", "");
}

TEST(what_is_not_set_has_its_default)
{
    check_value("", "login_timeout", "60");
    check_value("", "services", "pop pop3");
}

TEST(set_is_stronger_than_the_file)
{
    CHECK_INT(load("hostname = file.test\nidle_timeout = 700\n"), KPOP_OK);
    CHECK_STR(stub.api->get(stub.plugin, "hostname"), "mail.test");
    CHECK_STR(stub.api->get(stub.plugin, "idle_timeout"), "700");
    stub_end(&stub);
}

TEST(an_unknown_key_names_the_closest_one)
{
    check_refused("\nkaytab = /x\n", 2,
                  "unknown key `kaytab'; did you mean keytab?");
    check_refused("metrics = /x\n", 1, "unknown key `metrics'");
}

TEST(a_key_set_twice_is_refused)
{
    check_refused("realms = A\n\nrealms = B\n", 3,
                  "realms: was set already on line 1");
}

TEST(a_line_without_equals_is_refused)
{
    check_refused("realms A\n", 1, "`key = value' is needed, not `realms A'");
}

TEST(numbers_are_digits_within_their_range)
{
    static const char *const bad[] = { "0",   "3601", "-1",  "+5", "1x",
                                       "0x5", "1 2",  "1.5", "",
                                       "18446744073709551617" };
    char text[100];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        (void)snprintf(text, sizeof(text), "login_timeout = %s\n", bad[i]);
        CHECK_INT(load(text), KPOP_INVALID);
        CHECK(strstr(error, ":1: login_timeout: ") != NULL);
        stub_end(&stub);
    }
    check_refused("login_timeout = 9x\n", 1,
                  "login_timeout: a number from 1 to 3600 (seconds) is "
                  "needed, not `9x'");
    check_value("login_timeout = 3600\n", "login_timeout", "3600");
}

TEST(each_kind_refuses_what_it_is_not)
{
    check_refused("keytab = etc/kpop.keytab\n", 1,
                  "keytab: an absolute path is needed, not "
                  "`etc/kpop.keytab'");
    check_refused("keytab =\n", 1, "keytab: a value is needed");
    check_refused("weak_enctypes = maybe\n", 1,
                  "weak_enctypes: yes or no is needed, not `maybe'");
    check_refused("plaintext = sometimes\n", 1,
                  "plaintext: `sometimes' is none of: tls always never");
    check_refused("mechanisms = USER NTLM\n", 1,
                  "mechanisms: `NTLM' is none of: GSSAPI PLAIN USER CRAM-MD5 "
                  "APOP SCRAM-SHA-256 SCRAM-SHA-512 SCRAM-SHA-1 "
                  "SCRAM-SHA-256-PLUS EXTERNAL");
    check_refused("realms = A\x01"
                  "B\n", 1,
                  "realms: control characters are not allowed");
}

TEST(listeners_are_addresses_with_ports)
{
    static const char *const bad[] = {
        "1109",    "*",          "*:",       "*:65536",  "*:-1",
        "*:1x",    "localhost:1", "::1:1109", "[::1]",    "[::1:1109",
        "[127.0.0.1]:1", "1.2.3:4", "[]:1",   ":1109",    "*:1109,*:1110"
    };
    char text[100];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        (void)snprintf(text, sizeof(text), "listen_pop3 = *:110 %s\n",
                       bad[i]);
        CHECK_INT(load(text), KPOP_INVALID);
        CHECK(strstr(error, "is not ADDRESS:PORT") != NULL);
        stub_end(&stub);
    }
    check_value("listen_kpop =\n", "listen_kpop", "");
}

TEST(services_are_told_in_order)
{
    struct kpop_service service = { .size = sizeof(service) };

    CHECK_INT(load("listen_pop3 = [::1]:1110 127.0.0.1:0 *:110\n"
                   "listen_pop3s = *:995\n"), KPOP_OK);
    CHECK_INT(stub.api->ready(stub.plugin, error, sizeof(error)), KPOP_OK);
    CHECK_INT(stub.api->service(stub.plugin, 0, &service), 1);
    CHECK_STR(service.name, "pop3");
    CHECK_STR(service.address, "::1");
    CHECK_INT(service.port, 1110);
    CHECK_INT(service.implicit_tls, 0);
    CHECK_INT(stub.api->service(stub.plugin, 1, &service), 1);
    CHECK_STR(service.address, "127.0.0.1");
    CHECK_INT(service.port, 0);
    CHECK_INT(stub.api->service(stub.plugin, 2, &service), 1);
    CHECK_STR(service.address, "*");
    CHECK_INT(stub.api->service(stub.plugin, 3, &service), 1);
    CHECK_STR(service.name, "pop3s");
    CHECK_INT(service.implicit_tls, 1);
    CHECK_INT(stub.api->service(stub.plugin, 4, &service), 0);
    stub_end(&stub);
}

/* The setting of this name. */
static struct kpop_setting
setting_of(const char *name)
{
    struct kpop_setting setting = { .size = sizeof(setting) };

    bool found = false;

    for (uint32_t i = 0;
         !found && stub.api->setting(stub.plugin, i, &setting) == 1; i++)
        found = strcmp(setting.key->name, name) == 0;
    CHECK(found);
    return setting;
}

TEST(settings_tell_their_origin)
{
    static const struct kpop_key mine = {
        .size = sizeof(mine), .kind = KPOP_KEY_TEXT, .name = "my_key",
        .default_value = "own", .choices = "", .help = "A key.",
    };
    struct kpop_setting setting;

    stub_begin(&stub, &stub_passwords);
    CHECK_INT(stub.api->declare(stub.plugin, &mine), KPOP_OK);
    file_write("realms = A.ORG\nservices = pop\n", 30);
    CHECK_INT(stub.api->load(stub.plugin, path, error, sizeof(error)),
              KPOP_OK);
    CHECK_INT(stub.api->set(stub.plugin, "services", "pop3", NULL, 0),
              KPOP_OK);
    setting = setting_of("realms");
    CHECK_INT(setting.origin, KPOP_FROM_FILE);
    CHECK_INT(setting.line, 1);
    CHECK_STR(setting.value, "A.ORG");
    setting = setting_of("services");
    CHECK_INT(setting.origin, KPOP_FROM_HOST);
    CHECK_INT(setting.line, 2);
    CHECK_STR(setting.value, "pop3");
    setting = setting_of("my_key");
    CHECK_INT(setting.origin, KPOP_FROM_DEFAULT);
    CHECK_INT(setting.line, 0);
    CHECK_STR(setting.value, "own");
    stub_end(&stub);
}

TEST(an_older_host_gets_of_a_setting_what_it_knows)
{
    struct kpop_setting setting = {
        .size = offsetof(struct kpop_setting, value), .value = "untouched"
    };

    stub_begin(&stub, &stub_passwords);
    CHECK_INT(stub.api->setting(stub.plugin, 0, &setting), 1);
    CHECK_STR(setting.key->name, "hostname");
    CHECK_STR(setting.value, "untouched");
    CHECK_INT(stub.api->setting(stub.plugin, UINT32_MAX, &setting), 0);
    stub_end(&stub);
}

TEST(nul_octets_long_lines_and_missing_files_are_refused)
{
    static char big[SETTINGS_LINE_MAX + 100];
    char want[200];

    CHECK_INT(load_bytes("realms = A\nrealms\0 = B\n", 23), KPOP_INVALID);
    (void)snprintf(want, sizeof(want),
                   "%s:2: a NUL octet; this is not a text file", path);
    CHECK_STR(error, want);
    stub_end(&stub);
    memset(big, 'x', sizeof(big) - 1);
    check_refused(big, 1, "the line is too long");
    stub_begin(&stub, &stub_passwords);
    CHECK_INT(stub.api->load(stub.plugin, "/nonexistent/kpop", error,
                             sizeof(error)), KPOP_INVALID);
    CHECK_STR(error, "/nonexistent/kpop: cannot open: No such file or "
                     "directory");
    CHECK_INT(stub.api->load(stub.plugin, "/", error, sizeof(error)),
              KPOP_INVALID);
    CHECK_STR(error, "/:1: cannot read: Is a directory");
    stub_end(&stub);
}

TEST(a_file_of_endless_lines_is_refused)
{
    static char text[SETTINGS_LINES_MAX + 10];

    memset(text, '\n', sizeof(text) - 1);
    CHECK_INT(load(text), KPOP_INVALID);
    CHECK(strstr(error, "the file has too many lines") != NULL);
    stub_end(&stub);
}

TEST(a_refused_file_changes_nothing)
{
    CHECK_INT(load("realms = A\n"), KPOP_OK);
    file_write("realms = B\nnonsense\n", 20);
    CHECK_INT(stub.api->load(stub.plugin, path, error, sizeof(error)),
              KPOP_INVALID);
    CHECK_STR(stub.api->get(stub.plugin, "realms"), "A");
    CHECK_INT(stub.api->reload(stub.plugin, error, sizeof(error)),
              KPOP_INVALID);
    CHECK_STR(stub.api->get(stub.plugin, "realms"), "A");
    file_write("hostname = B\n", 13);
    CHECK_INT(stub.api->reload(stub.plugin, error, sizeof(error)), KPOP_OK);
    CHECK_STR(stub.api->get(stub.plugin, "realms"), "");
    stub_end(&stub);
}

TEST(a_host_declares_keys_of_its_own)
{
    static const struct kpop_key store = {
        .size = sizeof(store), .kind = KPOP_KEY_NUMBER, .min = 1, .max = 9,
        .name = "boxes", .default_value = "3", .choices = "", .help = "."
    };
    struct kpop_key bad = store;

    stub_begin(&stub, &stub_passwords);
    CHECK_INT(stub.api->declare(stub.plugin, &store), KPOP_OK);
    CHECK_INT(stub.api->declare(stub.plugin, &store), KPOP_INVALID);
    bad.name = "keytab";
    CHECK_INT(stub.api->declare(stub.plugin, &bad), KPOP_INVALID);
    bad.name = "No Key";
    CHECK_INT(stub.api->declare(stub.plugin, &bad), KPOP_INVALID);
    bad.name = "fine";
    bad.default_value = "10";
    CHECK_INT(stub.api->declare(stub.plugin, &bad), KPOP_INVALID);
    bad.default_value = "1";
    bad.kind = 99;
    CHECK_INT(stub.api->declare(stub.plugin, &bad), KPOP_INVALID);
    CHECK_STR(stub.api->get(stub.plugin, "boxes"), "3");
    CHECK(stub.api->get(stub.plugin, "fine") == NULL);
    file_write("\nboxes = 4\n", 11);
    CHECK_INT(stub.api->load(stub.plugin, path, error, sizeof(error)),
              KPOP_OK);
    CHECK_STR(stub.api->get(stub.plugin, "boxes"), "4");
    stub_end(&stub);
}

TEST(blame_says_where_a_value_was_set)
{
    char want[300];

    CHECK_INT(load("\nservices = pop\nhostname = x\n"), KPOP_OK);
    CHECK_INT(stub.api->blame(stub.plugin, "services", "bad", error,
                              sizeof(error)), KPOP_INVALID);
    (void)snprintf(want, sizeof(want), "%s:2: services: bad", path);
    CHECK_STR(error, want);
    (void)stub.api->blame(stub.plugin, "keytab", "bad", error, sizeof(error));
    (void)snprintf(want, sizeof(want), "%s:1: keytab: bad (not set, the "
                   "default is /etc/kpop/kpop.keytab)", path);
    CHECK_STR(error, want);
    (void)stub.api->blame(stub.plugin, "hostname", "bad", error,
                          sizeof(error));
    CHECK_STR(error, "hostname: bad");
    stub_end(&stub);
}

TEST(set_refuses_with_the_name_of_the_key)
{
    stub_begin(&stub, &stub_passwords);
    CHECK_INT(stub.api->set(stub.plugin, "plaintext", "no", error,
                            sizeof(error)), KPOP_INVALID);
    CHECK_STR(error, "plaintext: `no' is none of: tls always never");
    CHECK_INT(stub.api->set(stub.plugin, "realm", "A", error, sizeof(error)),
              KPOP_INVALID);
    CHECK_STR(error, "unknown key `realm'; did you mean realms?");
    CHECK_INT(stub.api->set(stub.plugin, "x", "", NULL, 0), KPOP_INVALID);
    stub_end(&stub);
}

TEST(ready_blames_the_key_of_a_keytab_that_is_not_there)
{
    char want[300];

    CHECK_INT(load("services = pop\nkeytab = /nonexistent/keytab\n"),
              KPOP_OK);
    CHECK_INT(stub.api->set(stub.plugin, "listen_kpop", "*:0", error,
                            sizeof(error)), KPOP_OK);
    CHECK_INT(stub.api->ready(stub.plugin, error, sizeof(error)),
              KPOP_INVALID);
    (void)snprintf(want, sizeof(want), "%s:2: keytab: ", path);
    CHECK(strncmp(error, want, strlen(want)) == 0);
    CHECK(strstr(error, "/nonexistent/keytab") != NULL);
    stub_end(&stub);
}

TEST(a_host_that_authenticates_elsewhere_needs_no_keytab)
{
    stub_begin(&stub, &stub_exchange);
    CHECK_INT(stub.api->set(stub.plugin, "keytab", "/nonexistent/keytab",
                            error, sizeof(error)), KPOP_OK);
    CHECK_INT(stub.api->set(stub.plugin, "listen_kpop", "*:0", error,
                            sizeof(error)), KPOP_OK);
    CHECK_INT(stub.api->ready(stub.plugin, error, sizeof(error)), KPOP_OK);
    stub_end(&stub);
}

TEST(ready_checks_the_host_name)
{
    CHECK_INT(load(""), KPOP_OK);
    CHECK_INT(stub.api->set(stub.plugin, "hostname", "two words", error,
                            sizeof(error)), KPOP_OK);
    CHECK_INT(stub.api->ready(stub.plugin, error, sizeof(error)),
              KPOP_INVALID);
    CHECK_STR(error, "hostname: a host name is needed, of letters, digits, "
                     "dots and hyphens");
    CHECK_INT(stub.api->set(stub.plugin, "hostname", "", error,
                            sizeof(error)), KPOP_OK);
    CHECK_INT(stub.api->ready(stub.plugin, error, sizeof(error)), KPOP_OK);
    CHECK_INT(stub_connect(&stub, "pop3"), KPOP_OK);
    CHECK(stub_got(&stub, "+OK "));
    stub_end(&stub);
}

TEST(ready_warns_of_what_surprises)
{
    CHECK_INT(load("idle_timeout = 5\nlisten_pop3 = *:110\n"), KPOP_OK);
    CHECK_INT(stub.api->set(stub.plugin, "plaintext", "tls", error,
                            sizeof(error)), KPOP_OK);
    CHECK_INT(stub.api->ready(stub.plugin, error, sizeof(error)), KPOP_OK);
    CHECK(stub_logged(&stub, "config.idle_timeout "));
    CHECK(stub_logged(&stub, "config.plaintext "));
    stub_end(&stub);
}

TEST(ready_does_not_warn_of_passwords_that_nobody_wants)
{
    CHECK_INT(load("listen_pop3 = *:110\nmechanisms = CRAM-MD5 APOP\n"),
              KPOP_OK);
    CHECK_INT(stub.api->set(stub.plugin, "plaintext", "tls", error,
                            sizeof(error)), KPOP_OK);
    CHECK_INT(stub.api->ready(stub.plugin, error, sizeof(error)), KPOP_OK);
    CHECK(!stub_logged(&stub, "config.plaintext "));
    stub_end(&stub);
}

TEST(sessions_keep_the_configuration_they_began_with)
{
    uint64_t before;

    CHECK_INT(load("login_timeout = 100\n"), KPOP_OK);
    CHECK_INT(stub.api->ready(stub.plugin, error, sizeof(error)), KPOP_OK);
    CHECK_INT(stub_connect(&stub, "pop3"), KPOP_OK);
    stub.api->tick(stub.session, 0);
    before = stub.api->deadline(stub.session);
    CHECK_INT(before, 100000);
    file_write("login_timeout = 7\n", 18);
    CHECK_INT(stub.api->reload(stub.plugin, error, sizeof(error)), KPOP_OK);
    CHECK_INT(stub.api->deadline(stub.session), before);
    stub_hangup(&stub);
    CHECK_INT(stub_connect(&stub, "pop3"), KPOP_OK);
    stub.api->tick(stub.session, 0);
    CHECK_INT(stub.api->deadline(stub.session), 7000);
    stub_end(&stub);
    (void)unlink(path);
}

TEST(there_are_no_sessions_before_ready)
{
    struct kpop_facts facts = { .size = sizeof(facts), .service = "pop3" };
    struct kpop_service service = { .size = sizeof(service) };
    struct kpop_exchange *exchange;

    memset(&stub, 0, sizeof(stub));
    CHECK_INT(kpop_plugin_entry(KPOP_ABI_MAJOR, &stub_passwords, &stub,
                                &stub.plugin, &stub.api, NULL, 0), KPOP_OK);
    CHECK_INT(stub.api->session_new(stub.plugin, &facts, &stub, 0,
                                    &stub.session), KPOP_INVALID);
    CHECK_INT(stub.api->exchange_new(stub.plugin, &facts, &stub, "PLAIN",
                                     &exchange), KPOP_INVALID);
    CHECK_INT(stub.api->service(stub.plugin, 0, &service), 0);
    stub_end(&stub);
}

TEST(distances_count_single_edits)
{
    CHECK_INT(text_distance("", ""), 0);
    CHECK_INT(text_distance("keytab", "keytab"), 0);
    CHECK_INT(text_distance("kaytab", "keytab"), 1);
    CHECK_INT(text_distance("ketab", "keytab"), 1);
    CHECK_INT(text_distance("", "abc"), 3);
}

TEST_MAIN("config",
          T(a_line_is_key_equals_value_and_blanks_around_do_not_matter),
          T(comments_begin_a_line_or_follow_a_blank),
          T(what_is_not_set_has_its_default),
          T(set_is_stronger_than_the_file),
          T(an_unknown_key_names_the_closest_one),
          T(a_key_set_twice_is_refused),
          T(a_line_without_equals_is_refused),
          T(numbers_are_digits_within_their_range),
          T(each_kind_refuses_what_it_is_not),
          T(listeners_are_addresses_with_ports),
          T(services_are_told_in_order),
          T(nul_octets_long_lines_and_missing_files_are_refused),
          T(a_file_of_endless_lines_is_refused),
          T(a_refused_file_changes_nothing),
          T(a_host_declares_keys_of_its_own),
          T(blame_says_where_a_value_was_set),
          T(set_refuses_with_the_name_of_the_key),
          T(ready_blames_the_key_of_a_keytab_that_is_not_there),
          T(a_host_that_authenticates_elsewhere_needs_no_keytab),
          T(ready_checks_the_host_name),
          T(ready_warns_of_what_surprises),
          T(ready_does_not_warn_of_passwords_that_nobody_wants),
          T(settings_tell_their_origin),
          T(an_older_host_gets_of_a_setting_what_it_knows),
          T(there_are_no_sessions_before_ready),
          T(distances_count_single_edits),
          T(sessions_keep_the_configuration_they_began_with))
