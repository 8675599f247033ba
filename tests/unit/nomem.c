/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc */
/*
 * nomem.c - whole sessions in which the n-th allocation fails, for every n:
 * nothing leaks, nothing crashes, every box is closed and every exchange
 * ended exactly once, and nothing is deleted that wasn't confirmed.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/check.h"
#include "tests/unit/stub.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static unsigned long countdown; /* 0 = all succeed */
static bool for_good;           /* all that follow fail as well */
static bool failed;

static bool
fails_now(void)
{
    if (countdown == 0)
        return for_good && failed;
    if (--countdown > 0)
        return false;
    failed = true;
    return true;
}

void *
__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t number, size_t size)
{
    return fails_now() ? NULL : __real_calloc(number, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
    return fails_now() ? NULL : __real_realloc(old, size);
}

static const char commands[] =
    "CAPA\r\nUSER alice\r\nPASS wrong\r\nUSER alice\r\nPASS secret\r\nSTAT\r\n"
    "LIST\r\nUIDL\r\nUIDL 2\r\nRETR 1\r\nTOP 2 1\r\nDELE 1\r\nNOOP\r\nXYZ\r\n"
    "QUIT\r\n";

static const char handshake[] =
    "\0\0\0\x13KRB5_SENDAUTH_V1.0\0\0\0\0\x09KPOPV1.0\0\0\0\0\x04"
    "n\x02zz"
    "USER alice\r\nPASS x\r\nRETR 2\r\nDELE 2\r\nQUIT\r\n";

struct scene {
    const struct kpop_host *table;
    const char *service;
    const char *octets;
    size_t len;
};

static const struct scene scenes[] = {
    { &stub_passwords, "pop3", commands, sizeof(commands) - 1 },
    { &stub_exchange, "pop3", commands, sizeof(commands) - 1 },
    { &stub_exchange, "kpop", handshake, sizeof(handshake) - 1 },
};

static struct stub stub;

/* One session; true when it went to its end undisturbed. */
static bool
run(const struct scene *scene, enum stub_mode mode)
{
    if (stub_try_begin(&stub, scene->table) == KPOP_OK) {
        stub.mode = mode;
        if (stub_connect(&stub, scene->service) == KPOP_OK) {
            for (size_t i = 0; i < scene->len; i += 7) {
                size_t n = scene->len - i < 7 ? scene->len - i : 7;

                stub_say_bytes(&stub, scene->octets + i, n);
                stub_answer_all(&stub);
            }
        }
    }
    stub_end(&stub);
    CHECK_INT(stub.misuses, 0);
    CHECK(stub.deleted <= 1);
    if (stub.deleted == 1)
        CHECK(stub.asked[STUB_COMMIT] == 1);
    return stub_got(&stub, "+OK bye") && stub.deleted == 1;
}

static void
check_scene(const struct scene *scene, bool stays)
{
    unsigned long n = 0;

    do {
        n++;
        for (int mode = STUB_RETURNS; mode <= STUB_LATER; mode++) {
            bool good;

            countdown = n;
            for_good = stays;
            failed = false;
            good = run(scene, (enum stub_mode)mode);
            for_good = false;
            countdown = 0;
            if (!failed)
                CHECK(good);
        }
    } while (failed);
    CHECK(n > 20);
    fprintf(stderr, "# %lu allocations\n", n - 1);
}

TEST(own_mechanisms_survive_each_failing_allocation)
{
    check_scene(&scenes[0], false);
}

TEST(own_mechanisms_survive_memory_running_out_for_good)
{
    check_scene(&scenes[0], true);
}

TEST(exchange_hosts_survive_each_failing_allocation)
{
    check_scene(&scenes[1], false);
}

TEST(exchange_hosts_survive_memory_running_out_for_good)
{
    check_scene(&scenes[1], true);
}

TEST(kpop_survives_each_failing_allocation)
{
    check_scene(&scenes[2], false);
}

TEST(kpop_survives_memory_running_out_for_good)
{
    check_scene(&scenes[2], true);
}

TEST_MAIN("nomem", T(own_mechanisms_survive_each_failing_allocation),
          T(own_mechanisms_survive_memory_running_out_for_good),
          T(exchange_hosts_survive_each_failing_allocation),
          T(exchange_hosts_survive_memory_running_out_for_good),
          T(kpop_survives_each_failing_allocation),
          T(kpop_survives_memory_running_out_for_good))
