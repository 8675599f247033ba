/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc */
/*
 * nomem.c - tests of kpop/ without memory: each allocation of whole sessions
 * fails once, or all from there on.  Nothing may crash, leak or look whole.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kpop/buf.h"
#include "tests/unit/peer.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static struct {
    size_t until; /* allocations that still succeed */
    bool armed;
    bool for_good;
    bool failed;
} memory;

static bool
fails_now(void)
{
    if (!memory.armed)
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

/* Only the client of these tests reallocates, and it has memory. */
void *
__wrap_realloc(void *old, size_t size)
{
    return __real_realloc(old, size);
}

static struct peer peer;
enum { LARGE = 40000 };
static char large[LARGE + 1];

/* The client got what looks like the end of the large message. */
static bool
looks_whole(void)
{
    return peer.seen != NULL
           && memmem(peer.seen, peer.seen_len, "x\r\n.\r\n", 6) != NULL;
}

static bool
begin(void)
{
    peer.engine = engine_new(&peer.settings);
    if (peer.engine == NULL)
        return false;
    if (engine_set_mechanisms(peer.engine, "USER") != 0
        || engine_set_banner(peer.engine, "") != 0) {
        engine_free(peer.engine);
        return false;
    }
    engine_begin(peer.engine);
    peer_run(&peer);
    return true;
}

/* A whole session in pieces; the client goes on whatever it is told. */
static void
play(bool kpop, const char *session, size_t len, size_t n, bool for_good)
{
    peer_init(&peer, kpop);
    peer.texts[0] = large;
    peer.lens[0] = LARGE;
    peer.challenge = kpop ? "AP_REP" : NULL;
    memory.until = n;
    memory.for_good = for_good;
    memory.failed = false;
    memory.armed = true;
    if (begin()) {
        CHECK_INT(peer_send_pieces(&peer, session, len, 1000), len);
        engine_input_end(peer.engine);
        peer_run(&peer);
        CHECK(engine_is_closing(peer.engine));
        CHECK(engine_request(peer.engine) == NULL);
        engine_free(peer.engine);
    }
    memory.armed = false;
}

static const char pop3_session[] =
    "USER alice\r\nPASS x\r\nSTAT\r\nLIST\r\nUIDL 2\r\nCAPA\r\nRETR 1\r\n"
    "TOP 2 1\r\nDELE 2\r\nQUIT\r\n";
static const char kpop_session[] =
    HELLO AP_REQ "USER alice\r\nPASS x\r\nRETR 1\r\nQUIT\r\n";

/* Runs it with the n-th allocation failing, for every n there is. */
static size_t
sweep(bool kpop, const char *session, size_t len, bool for_good)
{
    size_t n;

    memset(large, 'x', LARGE);
    for (n = 0; n < 10000; n++) {
        play(kpop, session, len, n, for_good);
        /* What is marked as retrieved, or ends in a dot, came whole. */
        if (strstr(peer.asked, "COMMIT 2") != NULL)
            CHECK(looks_whole());
        if (looks_whole())
            CHECK(peer.seen_len > LARGE);
        peer_forget(&peer);
        if (!memory.failed)
            break;
    }
    CHECK(n > 5 && n < 10000);
    return n;
}

TEST(pop3_session_survives_each_failed_allocation)
{
    (void)sweep(false, pop3_session, sizeof(pop3_session) - 1, false);
}

TEST(pop3_session_survives_no_memory_at_all)
{
    (void)sweep(false, pop3_session, sizeof(pop3_session) - 1, true);
}

TEST(kpop_session_survives_each_failed_allocation)
{
    (void)sweep(true, kpop_session, sizeof(kpop_session) - 1, false);
}

TEST(kpop_session_survives_no_memory_at_all)
{
    (void)sweep(true, kpop_session, sizeof(kpop_session) - 1, true);
}

TEST(claimed_length_allocates_nothing)
{
    peer_init(&peer, true);
    peer_begin(&peer);
    (void)peer_send_pieces(&peer, HELLO "\0\x02\0\0", sizeof(HELLO) - 1 + 4,
                           100);
    memory.until = 1;
    memory.for_good = true;
    memory.armed = true;
    CHECK_INT(engine_input(peer.engine, (const uint8_t *)"abc", 3), 3);
    memory.armed = false;
    CHECK(!engine_is_closing(peer.engine));
    peer_end(&peer);
}

TEST(empty_maildrop_allocates_nothing)
{
    peer_init(&peer, false);
    peer.count = 0;
    peer_greeted(&peer);
    peer.hold = NEED(ENGINE_OPEN);
    peer_send(&peer, "USER a\r\nPASS x\r\n");
    memory.until = 0;
    memory.for_good = true;
    memory.armed = true;
    CHECK_INT(engine_put_box(peer.engine, 0, 0), STATUS_OK);
    memory.armed = false;
    peer_end(&peer);
}

TEST(buffer_without_memory_fails_and_stays_as_it_was)
{
    struct buf buf;

    buf_init(&buf, 100000);
    buf_append_str(&buf, "abc");
    memory.until = 0;
    memory.for_good = true;
    memory.armed = true;
    buf_printf(&buf, "%1000d", 1);
    CHECK(buf_reserve(&buf, 50000) == NULL);
    memory.armed = false;
    CHECK(buf_failed(&buf));
    CHECK_MEM(buf_data(&buf), buf_len(&buf), "abc", 3);
    buf_reset(&buf);
}

TEST_MAIN("nomem", T(pop3_session_survives_each_failed_allocation),
          T(pop3_session_survives_no_memory_at_all),
          T(kpop_session_survives_each_failed_allocation),
          T(kpop_session_survives_no_memory_at_all),
          T(claimed_length_allocates_nothing),
          T(empty_maildrop_allocates_nothing),
          T(buffer_without_memory_fails_and_stays_as_it_was))
