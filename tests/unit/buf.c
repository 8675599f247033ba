/*
 * buf.c - tests of kpop/buf.c: limits, the sticky error, no memory when empty.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kpop/buf.h"

#include <string.h>

#include "tests/lib/check.h"

#define CHECK_BUF(buf, text)                                                \
    CHECK_MEM(buf_data(&(buf)), buf_len(&(buf)), text, sizeof(text) - 1)

TEST(empty_buffer_holds_no_memory)
{
    struct buf buf;

    buf_init(&buf, 100);
    CHECK(buf.data == NULL);
    CHECK(buf_data(&buf) == NULL);
    CHECK_INT(buf_len(&buf), 0);
    CHECK_INT(buf_room(&buf), 100);
    buf_append(&buf, "", 0);
    CHECK(buf.data == NULL);
}

TEST(appended_octets_come_out_in_order)
{
    struct buf buf;

    buf_init(&buf, 100);
    buf_append(&buf, "a\0b", 3);
    buf_append_str(&buf, "cd");
    CHECK_BUF(buf, "a\0bcd");
    buf_consume(&buf, 2);
    CHECK_BUF(buf, "bcd");
    buf_consume(&buf, 3);
    CHECK(buf.data == NULL);
}

TEST(exactly_the_maximum_fits)
{
    struct buf buf;

    buf_init(&buf, 5);
    buf_append_str(&buf, "12345");
    CHECK(!buf_failed(&buf));
    CHECK_INT(buf_room(&buf), 0);
    CHECK_BUF(buf, "12345");
    buf_reset(&buf);
}

TEST(one_octet_more_fails_and_changes_nothing)
{
    struct buf buf;

    buf_init(&buf, 5);
    buf_append_str(&buf, "123");
    buf_append_str(&buf, "456");
    CHECK(buf_failed(&buf));
    CHECK_BUF(buf, "123");
    buf_reset(&buf);
}

TEST(error_is_sticky_until_reset)
{
    struct buf buf;

    buf_init(&buf, 3);
    buf_append_str(&buf, "1234");
    buf_append_str(&buf, "1");
    CHECK_INT(buf_len(&buf), 0);
    CHECK_INT(buf_room(&buf), 0);
    buf_reset(&buf);
    buf_append_str(&buf, "1");
    CHECK_BUF(buf, "1");
    buf_reset(&buf);
}

TEST(error_stays_when_the_buffer_is_drained)
{
    struct buf buf;

    buf_init(&buf, 3);
    buf_append_str(&buf, "123");
    buf_append_str(&buf, "4");
    buf_consume(&buf, 3);
    CHECK(buf_failed(&buf));
    buf_reset(&buf);
}

TEST(absurd_length_fails_without_overflow)
{
    struct buf buf;

    buf_init(&buf, 100);
    buf_append_str(&buf, "12");
    CHECK(buf_reserve(&buf, SIZE_MAX) == NULL);
    CHECK(buf_failed(&buf));
    buf_reset(&buf);
}

TEST(consumed_front_makes_room_again)
{
    struct buf buf;
    int i;

    buf_init(&buf, 300);
    for (i = 0; i < 1000; i++) {
        buf_append_str(&buf, "0123456789");
        if (buf_len(&buf) > 200)
            buf_consume(&buf, 10);
    }
    CHECK(!buf_failed(&buf));
    CHECK(buf.capacity <= 300);
    CHECK_MEM(buf_data(&buf), 10, "0123456789", 10);
    buf_reset(&buf);
}

TEST(u32_is_big_endian)
{
    struct buf buf;

    buf_init(&buf, 100);
    buf_append_u32(&buf, 0x01020304);
    buf_append_u32(&buf, 0xfffefdfc);
    CHECK_BUF(buf, "\x01\x02\x03\x04\xff\xfe\xfd\xfc");
    buf_reset(&buf);
}

TEST(decimal_writes_zero_and_the_largest)
{
    struct buf buf;

    buf_init(&buf, 100);
    buf_append_decimal(&buf, 0);
    buf_append_str(&buf, " ");
    buf_append_decimal(&buf, UINT64_MAX);
    CHECK_BUF(buf, "0 18446744073709551615");
    buf_reset(&buf);
}

TEST(printf_fills_the_maximum_without_a_nul)
{
    struct buf buf;

    buf_init(&buf, 7);
    buf_printf(&buf, "%s=%d", "abc", 123);
    CHECK(!buf_failed(&buf));
    CHECK_BUF(buf, "abc=123");
    buf_printf(&buf, "%s", "");
    CHECK(!buf_failed(&buf));
    buf_printf(&buf, "x");
    CHECK(buf_failed(&buf));
    buf_reset(&buf);
}

TEST(reserve_and_claim_take_only_what_was_written)
{
    struct buf buf;
    uint8_t *to;

    buf_init(&buf, 100);
    to = buf_reserve(&buf, 50);
    CHECK(to != NULL);
    memcpy(to, "xyz", 3);
    buf_claim(&buf, 3);
    CHECK_BUF(buf, "xyz");
    buf_reset(&buf);
}

TEST(claim_of_nothing_leaves_no_memory)
{
    struct buf buf;

    buf_init(&buf, 100);
    CHECK(buf_reserve(&buf, 50) != NULL);
    buf_claim(&buf, 0);
    CHECK(buf.data == NULL);
}

TEST(truncate_drops_the_end)
{
    struct buf buf;

    buf_init(&buf, 100);
    buf_append_str(&buf, "abcdef");
    buf_consume(&buf, 1);
    buf_truncate(&buf, 3);
    CHECK_BUF(buf, "bcd");
    buf_truncate(&buf, 10);
    CHECK_BUF(buf, "bcd");
    buf_truncate(&buf, 0);
    CHECK(buf.data == NULL);
}

TEST(consumed_secret_is_wiped_at_once)
{
    struct buf buf;

    buf_init_secret(&buf, 100);
    buf_append_str(&buf, "password+rest");
    buf_consume(&buf, 8);
    CHECK_MEM(buf.data, 8, "\0\0\0\0\0\0\0\0", 8);
    buf_truncate(&buf, 1);
    CHECK_MEM(buf.data + 8, 5, "+\0\0\0\0", 5);
    buf_reset(&buf);
}

TEST(wipe_overwrites)
{
    char text[] = "secret";

    wipe(text, sizeof(text));
    CHECK_MEM(text, sizeof(text), "\0\0\0\0\0\0\0", 7);
    wipe(NULL, 0);
}

TEST_MAIN("buf", T(empty_buffer_holds_no_memory),
          T(appended_octets_come_out_in_order), T(exactly_the_maximum_fits),
          T(one_octet_more_fails_and_changes_nothing),
          T(error_is_sticky_until_reset),
          T(error_stays_when_the_buffer_is_drained),
          T(absurd_length_fails_without_overflow),
          T(consumed_front_makes_room_again), T(u32_is_big_endian),
          T(decimal_writes_zero_and_the_largest),
          T(printf_fills_the_maximum_without_a_nul),
          T(reserve_and_claim_take_only_what_was_written),
          T(claim_of_nothing_leaves_no_memory), T(truncate_drops_the_end),
          T(consumed_secret_is_wiped_at_once), T(wipe_overwrites))
