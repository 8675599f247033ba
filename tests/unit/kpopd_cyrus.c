/* LDFLAGS: -Wl,--wrap=dup,--wrap=geteuid */
/*
 * kpopd_cyrus.c - what kpopd makes of each answer of libsasl2, and what it
 * tells that library.  The library is ours here; the real one, saslauthd and a
 * sasldb are in system/passwords.py and system/sasl.py.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/cyrus.h"

#include <fcntl.h>
#include <sasl/prop.h>
#include <sasl/sasl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/kpop_plugin.h"
#include "tests/lib/check.h"

static char folder[] = "/tmp/kpop-cyrus-XXXXXX";
static char path[64];

/* ---- libsasl2 ---- */

typedef int option_fn(void *, const char *, const char *, const char **,
                      unsigned *);
typedef int log_fn(void *, int, const char *);

static char conns[64], contexts[64]; /* nobody looks into them */
static const char *secrets[2];

static struct {
    int init;
    int new;
    int check;     /* of the password, or of the user */
    int level;     /* what it writes to its log meanwhile */
    const char *line;
    const char *second_line;
    bool leaks;    /* its socket */
    bool no_context;
    int names;     /* prop_getnames */
    bool no_name;
    const char *secret;
    /* what was seen */
    const sasl_callback_t *callbacks;
    const char *realm;
    int leaked;
    bool erased;
    bool disposed;
} lib;

static void
begin(void)
{
    memset(&lib, 0, sizeof(lib));
    lib.leaked = -1;
    lib.secret = "wonderland";
}

int
sasl_server_init(const sasl_callback_t *callbacks, const char *name)
{
    CHECK(callbacks == NULL && name == NULL);
    return lib.init;
}

const char *
sasl_errstring(int code, const char *languages, const char **language_out)
{
    (void)languages;
    (void)language_out;
    return code == SASL_NOMEM ? "no memory available" : "generic failure";
}

const char *
sasl_errdetail(sasl_conn_t *conn)
{
    CHECK(conn == (sasl_conn_t *)(void *)conns);
    return "the connection's own words";
}

int
sasl_server_new(const char *service, const char *fqdn, const char *realm,
                const char *local, const char *remote,
                const sasl_callback_t *callbacks, unsigned flags,
                sasl_conn_t **out)
{
    CHECK_STR(service, "pop");
    CHECK(realm == NULL && local == NULL && remote == NULL && flags == 0);
    lib.realm = fqdn;
    lib.callbacks = callbacks;
    if (lib.new == SASL_OK)
        *out = (sasl_conn_t *)(void *)conns;
    return lib.new;
}

static void
write_log(const char *line)
{
    log_fn *function;

    CHECK_INT(lib.callbacks[1].id, SASL_CB_LOG);
    memcpy(&function, &lib.callbacks[1].proc, sizeof(function));
    if (line != NULL)
        CHECK_INT(function(lib.callbacks[1].context, lib.level, line),
                  SASL_OK);
}

/* What the library is told of an option; NULL: nothing. */
static const char *
option(const char *name, unsigned *len_out)
{
    const char *value = NULL;
    option_fn *function;

    CHECK_INT(lib.callbacks[0].id, SASL_CB_GETOPT);
    memcpy(&function, &lib.callbacks[0].proc, sizeof(function));
    if (function(lib.callbacks[0].context, NULL, name, &value, len_out)
        != SASL_OK)
        return NULL;
    return value;
}

int
sasl_checkpass(sasl_conn_t *conn, const char *user, unsigned user_len,
               const char *password, unsigned password_len)
{
    CHECK(conn == (sasl_conn_t *)(void *)conns);
    CHECK_INT(strlen(user), user_len);
    CHECK_INT(strlen(password), password_len);
    CHECK_STR(option("pwcheck_method", NULL), "saslauthd");
    CHECK_STR(option("saslauthd_path", NULL), path);
    if (lib.leaks)
        lib.leaked = open("/dev/null", O_RDONLY | O_CLOEXEC);
    write_log(lib.line);
    write_log(lib.second_line);
    return lib.check;
}

int
sasl_user_exists(sasl_conn_t *conn, const char *service, const char *realm,
                 const char *user)
{
    unsigned len = 0;

    CHECK(conn == (sasl_conn_t *)(void *)conns);
    CHECK_STR(service, "pop");
    CHECK(realm == NULL && user != NULL);
    CHECK_STR(option("auxprop_plugin", &len), "sasldb");
    CHECK_INT(len, strlen("sasldb"));
    CHECK(option("log_level", &len) == NULL);
    return lib.check;
}

struct propctx *
sasl_auxprop_getctx(sasl_conn_t *conn)
{
    (void)conn;
    return lib.no_context ? NULL : (struct propctx *)(void *)contexts;
}

int
prop_getnames(struct propctx *context, const char **names,
              struct propval *values)
{
    CHECK(context == (struct propctx *)(void *)contexts);
    secrets[0] = lib.secret;
    values[0].name = lib.no_name ? NULL : names[0];
    values[0].values = lib.names == 0 ? NULL : secrets;
    return lib.names;
}

void
prop_erase(struct propctx *context, const char *name)
{
    (void)context;
    CHECK_STR(name, SASL_AUX_PASSWORD);
    lib.erased = true;
}

void
sasl_dispose(sasl_conn_t **conn)
{
    lib.disposed = true;
    *conn = NULL;
}

/* ---- and the kernel ---- */

static bool no_descriptors;
static uid_t euid = 1000;

int __real_dup(int fd);
int __wrap_dup(int fd);
uid_t __wrap_geteuid(void);

int
__wrap_dup(int fd)
{
    return no_descriptors ? -1 : __real_dup(fd);
}

uid_t
__wrap_geteuid(void)
{
    return euid;
}

/* ---- passwords ---- */

static char error[300];

static int32_t
verify(const char *user, const char *password)
{
    const struct cyrus_source source = { path, "example.org" };

    error[0] = '\0';
    return cyrus_verify(&source, user, password, strlen(password), error,
                        sizeof(error));
}

static void
says(const char *part)
{
    if (strstr(error, part) == NULL)
        CHECK_STR(error, part);
}

TEST(saslauthd_says_yes_or_no)
{
    begin();
    CHECK_INT(verify("alice", "wonderland"), KPOP_OK);
    CHECK_STR(lib.realm, "example.org");
    begin();
    lib.check = SASL_BADAUTH;
    CHECK_INT(verify("alice", "wonderland"), KPOP_AUTH);
    CHECK_STR(error, "");
    begin();
    lib.check = SASL_NOUSER;
    CHECK_INT(verify("alice", "wonderland"), KPOP_AUTH);
    CHECK_STR(error, "");
    CHECK(lib.disposed);
}

TEST(without_a_realm_the_library_takes_the_machines_name)
{
    const struct cyrus_source source = { path, "" };

    begin();
    CHECK_INT(cyrus_verify(&source, "alice", "x", 1, error, sizeof(error)),
              KPOP_OK);
    CHECK(lib.realm == NULL);
}

TEST(trouble_is_temporary_and_told_in_the_words_of_the_log)
{
    begin();
    lib.check = SASL_FAIL;
    lib.level = SASL_LOG_ERR;
    lib.line = "cannot connect to saslauthd server";
    lib.second_line = "and so on";
    CHECK_INT(verify("alice", "x"), KPOP_TEMP);
    says("cannot connect to saslauthd server");
    CHECK(strstr(error, "and so on") == NULL);
    lib.line = "only a hint";
    lib.level = SASL_LOG_DEBUG;
    lib.second_line = NULL;
    CHECK_INT(verify("alice", "x"), KPOP_TEMP);
    says("the connection's own words");
}

TEST(a_library_without_memory_is_trouble)
{
    begin();
    lib.new = SASL_NOMEM;
    CHECK_INT(verify("alice", "x"), KPOP_TEMP);
    says("no memory available");
    CHECK(lib.disposed);
}

TEST(a_socket_that_the_library_forgot_is_closed)
{
    begin();
    lib.leaks = true;
    CHECK_INT(verify("alice", "x"), KPOP_OK);
    CHECK(lib.leaked >= 0);
    CHECK_INT(fcntl(lib.leaked, F_GETFD), -1);
    begin();
    no_descriptors = true;
    CHECK_INT(verify("alice", "x"), KPOP_OK);
    no_descriptors = false;
}

TEST(saslauthd_is_not_asked_about_names_that_would_become_others)
{
    static const char *const names[] = { "",       "alice@example.org",
                                         " alice", "al\tice", "alice\n" };
    const struct cyrus_source source = { path, "" };
    static char longest[1024];
    size_t i;

    begin();
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        CHECK_INT(verify(names[i], "x"), KPOP_AUTH);
    CHECK_INT(verify("alice", ""), KPOP_AUTH);
    memset(longest, 'x', sizeof(longest));
    CHECK_INT(cyrus_verify(&source, "alice", longest, sizeof(longest), error,
                           sizeof(error)), KPOP_AUTH);
    CHECK_INT(cyrus_verify(&source, "alice", "a\0b", 3, error, sizeof(error)),
              KPOP_AUTH);
    CHECK(lib.callbacks == NULL);
}

TEST(a_library_that_does_not_start_says_why_and_may_later)
{
    begin();
    lib.init = SASL_NOMEM;
    CHECK_INT(cyrus_begin(error, sizeof(error)), -1);
    says("does not start: no memory available");
    lib.init = SASL_OK;
    CHECK_INT(cyrus_begin(error, sizeof(error)), 0);
    lib.init = SASL_FAIL; /* once is enough */
    CHECK_INT(cyrus_begin(error, sizeof(error)), 0);
}

/* ---- secrets ---- */

static struct secretdb_secret secret;

static int32_t
lookup(const char *user)
{
    const struct cyrus_source source = { path, "example.org" };

    error[0] = '\0';
    return cyrus_lookup(&source, user, &secret, error, sizeof(error));
}

TEST(a_secret_is_what_the_library_has_read)
{
    begin();
    lib.names = 1;
    CHECK_INT(lookup("alice@example.org"), KPOP_OK);
    CHECK_MEM(secret.data, secret.size, "wonderland", 10);
    CHECK(lib.erased && lib.disposed);
}

TEST(who_has_no_secret_is_told_no)
{
    static char longest[sizeof(secret.data) + 2];

    begin();
    lib.check = SASL_NOUSER;
    CHECK_INT(lookup("alice"), KPOP_AUTH);
    CHECK_INT(lookup("al ice"), KPOP_AUTH);
    begin(); /* a user, but not this property */
    lib.no_name = true;
    CHECK_INT(lookup("alice"), KPOP_AUTH);
    begin();
    CHECK_INT(lookup("alice"), KPOP_AUTH);
    begin();
    lib.names = 1;
    lib.secret = NULL;
    CHECK_INT(lookup("alice"), KPOP_AUTH);
    lib.secret = "";
    CHECK_INT(lookup("alice"), KPOP_AUTH);
    memset(longest, 'x', sizeof(longest) - 1);
    lib.secret = longest;
    CHECK_INT(lookup("alice"), KPOP_AUTH);
    CHECK_INT(secret.size, 0);
    CHECK(lib.erased);
}

TEST(a_sasldb_in_trouble_is_temporary)
{
    begin();
    lib.new = SASL_NOMEM;
    CHECK_INT(lookup("alice"), KPOP_TEMP);
    says("no memory available");
    begin();
    lib.check = SASL_FAIL;
    CHECK_INT(lookup("alice"), KPOP_TEMP);
    says("the connection's own words");
    begin();
    lib.no_context = true;
    CHECK_INT(lookup("alice"), KPOP_TEMP);
    begin();
    lib.names = -1;
    CHECK_INT(lookup("alice"), KPOP_TEMP);
    CHECK(lib.disposed);
}

static void
refuses_file(const char *part)
{
    begin();
    lib.names = 1;
    CHECK_INT(lookup("alice"), KPOP_TEMP);
    says(part);
    CHECK(lib.callbacks == NULL);
}

TEST(a_file_that_others_may_read_or_own_is_not_used)
{
    CHECK_INT(chmod(path, 0644), 0);
    refuses_file("chmod");
    CHECK_INT(chmod(path, 0640), 0);
    /* Root's file is everybody's. */
    if (getuid() == 0)
        CHECK_INT(chown(path, 1, 1), 0);
    else
        euid = getuid() + 1;
    refuses_file("chown");
    euid = getuid();
    CHECK_INT(unlink(path), 0);
    refuses_file("No such file");
    CHECK_INT(mkdir(path, 0700), 0);
    refuses_file("is no plain file");
    CHECK_INT(rmdir(path), 0);
}

static const struct check_test tests[] = {
    T(saslauthd_says_yes_or_no),
    T(without_a_realm_the_library_takes_the_machines_name),
    T(trouble_is_temporary_and_told_in_the_words_of_the_log),
    T(a_library_without_memory_is_trouble),
    T(a_socket_that_the_library_forgot_is_closed),
    T(saslauthd_is_not_asked_about_names_that_would_become_others),
    T(a_library_that_does_not_start_says_why_and_may_later),
    T(a_secret_is_what_the_library_has_read),
    T(who_has_no_secret_is_told_no),
    T(a_sasldb_in_trouble_is_temporary),
    T(a_file_that_others_may_read_or_own_is_not_used),
};

int
main(int argc, char **argv)
{
    int status;
    int fd;

    if (mkdtemp(folder) == NULL)
        return 1;
    euid = getuid();
    (void)snprintf(path, sizeof(path), "%s/file", folder);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return 1;
    close(fd);
    status = check_main(argc, argv, "kpopd_cyrus", tests,
                        sizeof(tests) / sizeof(tests[0]));
    (void)unlink(path);
    (void)rmdir(folder);
    return status;
}
