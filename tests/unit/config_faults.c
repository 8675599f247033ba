/*
 * config_faults.c - a configuration that is set, loaded, put in force and
 * loaded again while one call fails, each there is, in turn: of memory, files,
 * the resolver, libkrb5 and libsasl2.  It is in force whole or not at all,
 * what fails is said in a sentence, and the next attempt works.
 *
 * SPDX-License-Identifier: MIT
 */
#include <krb5.h>
#include <netdb.h>
#include <sasl/sasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/check.h"
#include "tests/unit/faults.h"
#include "tests/unit/keytab_fixture.h"
#include "tests/unit/stub.h"
#include "tests/unit/tls_fixture.h"

FAULT(void *, malloc, NULL, (size_t size), (size))
FAULT(void *, calloc, NULL, (size_t count, size_t size), (count, size))
FAULT(void *, realloc, NULL, (void *old, size_t size), (old, size))
FAULT(char *, strdup, NULL, (const char *text), (text))
FAULT(FILE *, fopen, NULL, (const char *path, const char *how), (path, how))
FAULT(int, ferror, 1, (FILE * file), (file))
FAULT(int, gethostname, -1, (char *at, size_t n), (at, n))
/* Of an address, for which nobody on a network is asked. */
FAULT(int, getaddrinfo, EAI_AGAIN,
      (const char *node, const char *service, const struct addrinfo *hints,
       struct addrinfo **out),
      (node != NULL ? "127.0.0.1" : NULL, service, hints, out))
FAULT(int, stat, -1, (const char *path, struct stat *st), (path, st))
FAULT(int, lstat, -1, (const char *path, struct stat *st), (path, st))
FAULT(int, fstat, -1, (int fd, struct stat *st), (fd, st))
FAULT(int, access, -1, (const char *path, int how), (path, how))
FAULT(ssize_t, read, -1, (int fd, void *at, size_t n), (fd, at, n))
FAULT(krb5_error_code, krb5_init_context, ENOMEM, (krb5_context * out),
      (out))
FAULT(krb5_error_code, krb5_kt_start_seq_get, EIO,
      (krb5_context context, krb5_keytab keytab, krb5_kt_cursor *out),
      (context, keytab, out))
FAULT(krb5_error_code, krb5_kt_next_entry, EIO,
      (krb5_context context, krb5_keytab keytab, krb5_keytab_entry *out,
       krb5_kt_cursor *cursor),
      (context, keytab, out, cursor))
FAULT(int, sasl_server_init, SASL_FAIL,
      (const sasl_callback_t *callbacks, const char *name),
      (callbacks, name))
FAULT(int, sasl_listmech, SASL_FAIL,
      (sasl_conn_t * conn, const char *user, const char *prefix,
       const char *between, const char *suffix, const char **out,
       unsigned *len_out, int *count_out),
      (conn, user, prefix, between, suffix, out, len_out, count_out))

static const struct kpop_key mine = {
    .size = sizeof(mine), .kind = KPOP_KEY_TEXT, .name = "my_key",
    .default_value = "own", .choices = "", .help = "A key.",
};

static struct stub stub;
static char error[1024];

/* A file that needs all there is: tickets, TLS, the map. */
static const char *
write_file(const char *name, const char *last)
{
    char text[2000];

    (void)snprintf(text, sizeof(text),
                   "listen_pop3 = 127.0.0.1:0 [::1]:0\n"
                   "listen_pop3s = 127.0.0.1:0\n"
                   "listen_kpop = 127.0.0.1:0 # and a comment\n"
                   "keytab = %s\nreplay_cache = %s\nprincipal_map = %s\n"
                   "tls_certificate = %s\ntls_key = %s\n%s\n",
                   fixture_path("keytab"), fixture_path("cache"),
                   fixture_path("map"), fixture_path("server.pem"),
                   fixture_path("server.key"), last);
    fixture_write(name, text, 0600);
    return fixture_path(name);
}

static void
make_files(void)
{
    fixture_begin();
    /* As kpopd does: its module libgs2 loses memory at each loading. */
    CHECK_INT(sasl_server_init(NULL, NULL), SASL_OK);
    if (access(fixture_path("keytab"), R_OK) != 0)
        keytab_fixture(fixture_path("keytab"), "pop/mail.test@A.ORG",
                       ENCTYPE_AES256_CTS_HMAC_SHA1_96);
    fixture_write("map", "alice@A.ORG alice\nbob@A.ORG bob\n", 0600);
}

/* What failed says why; the sentence is one line. */
static int32_t
told(int32_t status)
{
    faults_inside(false);
    CHECK(status == KPOP_OK || status == KPOP_INVALID
          || status == KPOP_NO_MEMORY);
    if (status != KPOP_OK)
        CHECK(error[0] != '\0' && strpbrk(error, "\r\n") == NULL);
    return status;
}

static int32_t
enter(void)
{
    faults_inside(true);
    return told(kpop_plugin_entry(KPOP_ABI_MAJOR, &stub_passwords, &stub,
                                  &stub.plugin, &stub.api, error,
                                  sizeof(error)));
}

/* A declaration that fails leaves no key behind. */
static int32_t
declare(void)
{
    int32_t status;

    faults_inside(true);
    status = stub.api->declare(stub.plugin, &mine);
    faults_inside(false);
    if (status != KPOP_OK)
        CHECK(stub.api->get(stub.plugin, "my_key") == NULL);
    return status;
}

static int32_t
set(const char *key, const char *value)
{
    int32_t status;

    faults_inside(true);
    status = told(stub.api->set(stub.plugin, key, value, error,
                                sizeof(error)));
    if (status == KPOP_OK)
        CHECK_STR(stub.api->get(stub.plugin, key), value);
    return status;
}

static int32_t
load(const char *path)
{
    int32_t status;

    faults_inside(true);
    status = told(stub.api->load(stub.plugin, path, error, sizeof(error)));
    CHECK_STR(stub.api->get(stub.plugin, "listen_pop3"),
              status == KPOP_OK ? "127.0.0.1:0 [::1]:0" : "");
    return status;
}

static uint32_t
services(void)
{
    struct kpop_service service = { .size = sizeof(service) };
    uint32_t count = 0;

    while (stub.api->service(stub.plugin, count, &service) == 1)
        count++;
    return count;
}

static int32_t
ready(void)
{
    int32_t status;

    faults_inside(true);
    status = told(stub.api->ready(stub.plugin, error, sizeof(error)));
    CHECK_INT(services(), status == KPOP_OK ? 4 : 0);
    return status;
}

/* What is in force stays in force. */
static int32_t
reload(void)
{
    int32_t status;

    (void)write_file("file", "realms = B.ORG");
    faults_inside(true);
    status = told(stub.api->reload(stub.plugin, error, sizeof(error)));
    CHECK_STR(stub.api->get(stub.plugin, "realms"),
              status == KPOP_OK ? "B.ORG" : "A.ORG");
    CHECK_INT(services(), 4);
    return status;
}

/* What an auth process is asked for, and an exchange by it. */
static int32_t
names(void)
{
    const struct kpop_facts facts = { .size = sizeof(facts),
                                      .service = "pop3", .ssf = 256 };
    struct kpop_exchange *exchange = NULL;
    char list[300] = "";
    int32_t status;

    faults_inside(true);
    status = stub.api->exchange_names(stub.plugin, &facts, list,
                                      sizeof(list));
    if (status == KPOP_OK)
        status = stub.api->exchange_new(stub.plugin, &facts, &stub, "PLAIN",
                                        &exchange);
    faults_inside(false);
    stub.api->exchange_free(exchange);
    if (status == KPOP_OK)
        CHECK(strstr(list, "USER") != NULL && strstr(list, "PLAIN") != NULL);
    return status;
}

static int32_t
run(void)
{
    const char *path = write_file("file", "realms = A.ORG");
    int32_t status = enter();

    if (status == KPOP_OK)
        status = declare();
    if (status == KPOP_OK)
        status = set("hostname", "");
    if (status == KPOP_OK)
        status = set("idle_timeout", "600");
    if (status == KPOP_OK)
        status = load(path);
    if (status == KPOP_OK)
        status = ready();
    if (status == KPOP_OK)
        status = reload();
    return status == KPOP_OK ? names() : status;
}

static const char *
once(size_t n)
{
    const char *failed;
    int32_t status;

    memset(&stub, 0, sizeof(stub));
    error[0] = '\0';
    faults_arm(n, FAULT_OTHER);
    status = run();
    failed = faults_disarm();
    if (failed == NULL)
        CHECK_INT(status, KPOP_OK);
    if (stub.plugin != NULL) {
        /* What was declared stays so. */
        if (stub.api->get(stub.plugin, "my_key") == NULL)
            CHECK_INT(declare(), KPOP_OK);
        CHECK_INT(stub.api->load(stub.plugin, fixture_path("file"), error,
                                 sizeof(error)), KPOP_OK);
        CHECK_INT(ready(), KPOP_OK);
        CHECK_INT(reload(), KPOP_OK);
        stub.api->free(stub.plugin);
    }
    return failed;
}

TEST(configuration_with_each_call_failing)
{
    size_t n = 0;

    make_files();
    while (once(n) != NULL && n < 10000)
        n++;
    CHECK(n > 150 && n < 10000);
}

TEST(files_are_cleaned_up)
{
    fixture_end();
}

TEST_MAIN("config_faults", T(configuration_with_each_call_failing),
          T(files_are_cleaned_up))
