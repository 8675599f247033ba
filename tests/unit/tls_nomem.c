/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc */
/*
 * tls_nomem.c - TLS without memory: each allocation of ours and of OpenSSL,
 * from reading the certificates to the last record, fails once, or all from
 * there on.  Nothing may crash, leak or be sent in the clear.
 * TIME-LIMIT: 120
 *
 * SPDX-License-Identifier: MIT
 */
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/check.h"
#include "tests/unit/tls_fixture.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static struct {
    size_t until; /* allocations that still succeed */
    bool armed;   /* in this run */
    bool inside;  /* our side is at work */
    bool for_good;
    bool failed;
} memory;

static bool
fails_now(void)
{
    if (!memory.armed || !memory.inside)
        return false;
    if (memory.until > 0) {
        memory.until--;
        return false;
    }
    memory.armed = memory.for_good;
    memory.failed = true;
    return true;
}

void *
__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
    return fails_now() ? NULL : __real_realloc(old, size);
}

static void *
ssl_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return fails_now() ? NULL : __real_malloc(size);
}

static void *
ssl_realloc(void *old, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return fails_now() ? NULL : __real_realloc(old, size);
}

static void
ssl_free(void *data, const char *file, int line)
{
    (void)file, (void)line;
    free(data);
}

/* Only possible before OpenSSL has allocated anything. */
__attribute__((constructor)) static void
take_over(void)
{
    if (CRYPTO_set_mem_functions(ssl_malloc, ssl_realloc, ssl_free) != 1)
        abort();
}

static struct fixture f;

static void
at_work(bool inside)
{
    memory.inside = inside;
}

/* The client hears what was said or nothing, and never something else. */
static void
talk(void)
{
    char heard[8] = "";
    size_t len;

    fixture_say(&f, "hello", 5);
    if (f.news == TLS_OCTETS) {
        CHECK_MEM(buf_data(tls_input(f.tls)), buf_len(tls_input(f.tls)),
                  "hello", 5);
        buf_consume(tls_input(f.tls), 5);
    }
    if (fixture_answer(&f, "world", 5) != STATUS_OK)
        return;
    len = fixture_hear(&f, heard, 5);
    CHECK(len == 0 || memcmp(heard, "world", 5) == 0);
    CHECK(buf_len(tls_output(f.tls)) == 0
          || memmem(buf_data(tls_output(f.tls)), buf_len(tls_output(f.tls)),
                    "world", 5) == NULL);
}

static void
look(void)
{
    struct tls_facts facts;

    at_work(true);
    if (tls_get_facts(f.tls, &facts) == STATUS_OK)
        CHECK(facts.version[0] != '\0');
    at_work(false);
}

/* Begins with the n-th failing. */
static void
arm(size_t n, bool for_good)
{
    memory.until = n;
    memory.for_good = for_good;
    memory.failed = false;
    memory.armed = true;
}

/* Did one fail? */
static bool
disarm(void)
{
    memory.armed = false;
    return memory.failed;
}

static void
begin(bool named)
{
    fixture_init(&f);
    f.ours = at_work;
    if (!named)
        return;
    f.settings.client_ca = fixture_path("ca.pem");
    CHECK_INT(SSL_CTX_use_certificate_file(
                  f.context, fixture_path("server.pem"), SSL_FILETYPE_PEM),
              1);
    CHECK_INT(SSL_CTX_use_PrivateKey_file(
                  f.context, fixture_path("server.key"), SSL_FILETYPE_PEM),
              1);
}

static void
play(int version)
{
    fixture_connect(&f, version, 0);
    if (fixture_run(&f)) {
        look();
        talk();
        tls_shut(f.tls);
    }
    fixture_hang_up(&f);
}

/* Every n there is. */
static void
sweep_sessions(int version, bool named, bool for_good)
{
    size_t n = 0;

    begin(named);
    CHECK_INT(fixture_world(&f), STATUS_OK);
    play(version);
    do {
        arm(n++, for_good);
        play(version);
    } while (disarm() && n < 100000);
    CHECK(n > 100);
    CHECK(n < 100000);
    fixture_free(&f);
}

TEST(tls_1_3_without_memory)
{
    sweep_sessions(TLS1_3_VERSION, false, false);
    sweep_sessions(TLS1_3_VERSION, false, true);
}

TEST(tls_1_2_without_memory)
{
    sweep_sessions(TLS1_2_VERSION, false, false);
}

TEST(client_certificates_without_memory)
{
    sweep_sessions(TLS1_3_VERSION, true, false);
}

/* Every third: they are thousands. */
TEST(certificates_without_memory)
{
    size_t n = 0;

    do {
        begin(true);
        arm(n, false);
        if (fixture_world(&f) != STATUS_OK)
            CHECK(f.error[0] != '\0');
        fixture_free(&f);
        n += 3;
    } while (disarm() && n < 100000);
    CHECK(n > 300);
    CHECK(n < 100000);
}

TEST(files_are_cleaned_up)
{
    fixture_end();
}

TEST_MAIN("tls_nomem",
          T(tls_1_3_without_memory),
          T(tls_1_2_without_memory),
          T(client_certificates_without_memory),
          T(certificates_without_memory),
          T(files_are_cleaned_up))
