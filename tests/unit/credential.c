/*
 * credential.c - what a host's exchange puts with put_credential(), such as a
 * delegated ticket: it reaches the open() of the login that brought it, and
 * no other.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>

#include "tests/lib/check.h"
#include "tests/unit/stub.h"

static struct stub stub;

/* What the next exchange puts and answers; what open() was given. */
static struct {
    const void *credential; /* NULL: nothing */
    size_t size;
    int32_t put;            /* what putting it must answer */
    int32_t answer;
    char got[32];
} now;

static int32_t
start(void *conn, struct kpop_op *op, const struct kpop_facts *facts,
      const char *mechanism, const void *data, size_t size)
{
    (void)conn, (void)facts, (void)mechanism, (void)data, (void)size;
    if (now.size > 0)
        CHECK_INT(stub.api->put_credential(op, now.credential, now.size),
                  now.put);
    if (now.answer == KPOP_OK)
        CHECK_INT(stub.api->put_user(op, "alice"), KPOP_OK);
    if (now.answer >= 0)
        stub.starts++;
    return now.answer;
}

static int32_t
open_box(void *conn, struct kpop_op *op, const struct kpop_open *what)
{
    (void)snprintf(now.got, sizeof(now.got), "%zu %.*s",
                   what->credential_size, (int)what->credential_size,
                   what->credential != NULL ? (const char *)what->credential
                                            : "");
    return stub_exchange.open(conn, op, what);
}

static void
begin(void)
{
    static struct kpop_host table;

    table = stub_exchange;
    table.exchange_start = start;
    table.open = open_box;
    memset(&now, 0, sizeof(now));
    stub_begin(&stub, &table);
    CHECK_INT(stub_connect(&stub, "pop3"), KPOP_OK);
}

static void
log_in(const char *credential, int32_t answer)
{
    now.credential = credential;
    now.size = credential != NULL ? strlen(credential) : 0;
    now.answer = answer;
    stub_say(&stub, "USER alice\r\nPASS secret\r\n");
}

TEST(open_gets_the_credential_of_its_login)
{
    begin();
    log_in("a ticket", KPOP_OK);
    CHECK_STR(now.got, "8 a ticket");
    stub_end(&stub);
}

TEST(login_without_a_credential_brings_none)
{
    begin();
    log_in(NULL, KPOP_OK);
    CHECK_STR(now.got, "0 ");
    stub_end(&stub);
}

TEST(credential_of_a_refused_login_reaches_nobody)
{
    static const int32_t refusals[] = { KPOP_AUTH, KPOP_DENIED, KPOP_TEMP };

    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        begin();
        log_in("bob's ticket", refusals[i]);
        CHECK(stub_got(&stub, "-ERR"));
        log_in(NULL, KPOP_OK);
        CHECK_STR(now.got, "0 ");
        stub_end(&stub);
    }
}

TEST(credential_of_a_cancelled_login_reaches_nobody)
{
    begin();
    now.credential = "bob's ticket";
    now.size = 12;
    now.answer = KPOP_CONTINUE;
    stub_say(&stub, "AUTH GSSAPI\r\n");
    stub_say(&stub, "*\r\n");
    log_in(NULL, KPOP_OK);
    CHECK_STR(now.got, "0 ");
    stub_end(&stub);
}

TEST(credential_that_is_none_logs_nobody_in)
{
    static char large[65537];

    for (int i = 0; i < 2; i++) {
        begin();
        now.credential = i == 0 ? large : NULL;
        now.size = sizeof(large);
        now.put = KPOP_INVALID;
        now.answer = KPOP_OK;
        stub_say(&stub, "USER alice\r\nPASS secret\r\n");
        CHECK(stub_got(&stub, "-ERR [SYS/TEMP]"));
        CHECK(stub_logged(&stub, "a put_*() with a value"));
        CHECK_INT(stub.boxes, 0);
        stub_end(&stub);
    }
}

TEST_MAIN("credential", T(open_gets_the_credential_of_its_login),
          T(login_without_a_credential_brings_none),
          T(credential_of_a_refused_login_reaches_nobody),
          T(credential_of_a_cancelled_login_reaches_nobody),
          T(credential_that_is_none_logs_nobody_in))
