/*
 * kpopd_proxy.c - headers of the PROXY protocol, whole, cut and damaged.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/kpopd/proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/check.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define TEXT(literal) (const uint8_t *)(literal), sizeof(literal) - 1

static const char tcp4[] = "PROXY TCP4 192.0.2.7 203.0.113.1 56324 995\r\n";
static const char tcp6[] =
    "PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n";
static const char binary4[] = SIGNATURE "\x21\x11\0\x0c"
                                        "\xc0\0\x02\x07\xcb\0\x71\x01"
                                        "\xdc\x04\x03\xe3";

static struct proxy_client client;

static int
parse(const void *data, size_t len)
{
    memset(&client, 0xa5, sizeof(client)); /* it must be written */
    return proxy_parse(data, len, &client);
}

/* A line of version 1, with its end. */
static int
line(const char *text)
{
    char whole[256];

    snprintf(whole, sizeof(whole), "PROXY %s\r\n", text);
    return parse(whole, strlen(whole));
}

static bool
is_client(const char *text, unsigned port)
{
    char address[ADDRESS_TEXT_MAX];

    return client.known && client.port == port
           && strcmp(address_print(&client.address, address,
                                   sizeof(address)),
                     text)
                  == 0;
}

/* Nothing but a header's part needs more; nothing behind it belongs to it. */
static void
check_each_length(const char *header, size_t size)
{
    uint8_t more[PROXY_MAX + 64];
    size_t len;

    memcpy(more, header, size);
    memset(more + size, 'x', sizeof(more) - size);
    for (len = 0; len < size; len++) {
        CHECK_INT(parse(more, len), 0);
        CHECK(!client.known);
    }
    for (; len <= sizeof(more); len++)
        CHECK_INT(parse(more, len), (int)size);
}

TEST(version_1_tells_the_client)
{
    CHECK_INT(parse(TEXT(tcp4)), (int)sizeof(tcp4) - 1);
    CHECK(is_client("192.0.2.7", 56324));
    CHECK_INT(parse(TEXT(tcp6)), (int)sizeof(tcp6) - 1);
    CHECK(is_client("2001:db8::7", 1));
    check_each_length(tcp4, sizeof(tcp4) - 1);
    check_each_length(tcp6, sizeof(tcp6) - 1);
    CHECK(line("TCP6 ::ffff:192.0.2.7 ::1 1 2") > 0);
    CHECK(is_client("192.0.2.7", 1)); /* counts as the same client */
    CHECK_INT(line("TCP6 fe80::7%lo fe80::1 1 2"), -1);
}

TEST(version_1_unknown_is_the_proxy_itself)
{
    static const char longest[] =
        "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n";

    CHECK_INT(parse(TEXT("PROXY UNKNOWN\r\n")), 15);
    CHECK(!client.known);
    CHECK_INT(parse(TEXT(longest)), (int)sizeof(longest) - 1);
    CHECK(!client.known);
}

TEST(version_1_is_strict)
{
    static const char *const wrong[] = {
        "", "TCP4", "TCP4 ", "TCP5 192.0.2.7 192.0.2.1 1 2",
        "tcp4 192.0.2.7 192.0.2.1 1 2", "TCP4 192.0.2.7 192.0.2.1 1",
        "TCP4  192.0.2.7 192.0.2.1 1 2", "TCP4 192.0.2.7 192.0.2.1 1 2 ",
        "TCP4 192.0.2.7 192.0.2.1 1 2 3", "TCP4 192.0.2.256 192.0.2.1 1 2",
        "TCP4 192.0.2.7 192.0.2.1 65536 2", "TCP4 192.0.2.7 192.0.2.1 01 2",
        "TCP4 192.0.2.7 192.0.2.1 -1 2", "TCP4 192.0.2.7 192.0.2.1 1 2x",
        "TCP4 192.0.2.7 192.0.2.1 999999 2", "TCP4 2001:db8::7 ::1 1 2",
        "TCP6 192.0.2.7 192.0.2.1 1 2", "TCP6 2001:db8::7 192.0.2.1 1 2",
        "TCP4 192.0.2.7/8 192.0.2.1 1 2", "TCP4 a.example 192.0.2.1 1 2",
        "TCP4 192.0.2.7 192.0.2.1 1\t2", "UNKNOWNS", "UNKNOW"
    };
    size_t i;

    CHECK(line("TCP4 192.0.2.7 192.0.2.1 1 2") > 0);
    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CHECK_INT(line(wrong[i]), -1);
        CHECK(!client.known);
    }
    CHECK_INT(parse(TEXT("PROXY UNKNOWN\n")), -1);
    CHECK_INT(parse(TEXT("PROXY UNKNOWN\rX")), -1);
    CHECK_INT(parse(TEXT("PROXY UNKNOWN \0\r\n")), -1);
    CHECK_INT(parse(TEXT("CAPA\r\n")), -1);
    CHECK_INT(parse(TEXT("P ")), -1);
}

TEST(version_1_ends_within_107_octets)
{
    char longest[PROXY_V1_MAX + 2];

    memset(longest, 'x', sizeof(longest));
    memcpy(longest, "PROXY UNKNOWN ", 14);
    CHECK_INT(parse(longest, PROXY_V1_MAX - 2), 0);
    CHECK_INT(parse(longest, PROXY_V1_MAX - 1), -1);
    memcpy(longest + PROXY_V1_MAX - 2, "\r\n", 2);
    CHECK_INT(parse(longest, PROXY_V1_MAX), PROXY_V1_MAX);
    memcpy(longest + PROXY_V1_MAX - 2, "x\r\n", 3);
    CHECK_INT(parse(longest, PROXY_V1_MAX + 1), -1);
}

TEST(version_2_tells_the_client)
{
    static const char binary6[] = SIGNATURE "\x21\x21\0\x27"
        "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
        "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
        "\0\x01\xff\xff"
        "\x04\0\0"; /* a TLV: NOOP */

    CHECK_INT(parse(TEXT(binary4)), 28);
    CHECK(is_client("192.0.2.7", 56324));
    CHECK_INT(parse(TEXT(binary6)), 55);
    CHECK(is_client("2001:db8::7", 1));
    check_each_length(binary4, 28);
    check_each_length(binary6, 55);
}

TEST(version_2_local_and_others_are_the_proxy_itself)
{
    char local[PROXY_MAX] = SIGNATURE "\x21\x31\0\xd8";

    CHECK_INT(parse(TEXT(SIGNATURE "\x20\0\0\0")), 16);
    CHECK(!client.known);
    CHECK_INT(parse(TEXT(SIGNATURE "\x20\x11\0\x02xx")), 18);
    CHECK(!client.known);
    CHECK_INT(parse(TEXT(SIGNATURE "\x21\0\0\x02xx")), 18);
    CHECK(!client.known);
    CHECK_INT(parse(local, 16 + 216), 16 + 216); /* AF_UNIX */
    CHECK(!client.known);
}

TEST(version_2_is_strict_and_bounded)
{
    char longest[PROXY_MAX] = SIGNATURE "\x21\x11\x02\x08";

    CHECK_INT(parse(longest, PROXY_MAX), PROXY_MAX);
    longest[15] = 9;
    CHECK_INT(parse(longest, PROXY_MAX), -1);
    CHECK_INT(parse(TEXT(SIGNATURE "\x31")), -1);     /* version 3 */
    CHECK_INT(parse(TEXT(SIGNATURE "\x22")), -1);     /* no command */
    CHECK_INT(parse(TEXT(SIGNATURE "\x21\x12\0\x0c")), -1); /* UDP */
    CHECK_INT(parse(TEXT(SIGNATURE "\x21\x41\0\x0c")), -1); /* no family */
    CHECK_INT(parse(TEXT(SIGNATURE "\x21\x11\0\x0b")), -1);
    CHECK_INT(parse(TEXT(SIGNATURE "\x21\x21\0\x23")), -1);
    CHECK_INT(parse(TEXT(SIGNATURE "\x21\x31\0\xd7")), -1);
}

/* Whatever one octet becomes: nothing is read beyond, and a client is only
 * told by a whole header. */
TEST(damaged_headers_do_no_harm)
{
    const struct {
        const char *data;
        size_t size;
    } headers[] = { { tcp4, sizeof(tcp4) - 1 }, { binary4, 28 } };
    size_t h;
    size_t i;
    int value;

    for (h = 0; h < 2; h++) {
        for (i = 0; i < headers[h].size; i++) {
            for (value = 0; value < 256; value++) {
                /* Of its own size, so that ASan sees a read beyond. */
                uint8_t *copy = malloc(headers[h].size);
                int rc;

                CHECK(copy != NULL);
                memcpy(copy, headers[h].data, headers[h].size);
                copy[i] = (uint8_t)value;
                rc = parse(copy, headers[h].size);
                free(copy);
                CHECK(rc >= -1 && rc <= (int)headers[h].size);
                CHECK(rc > 0 || !client.known);
            }
        }
    }
}

TEST_MAIN("kpopd_proxy", T(version_1_tells_the_client),
          T(version_1_unknown_is_the_proxy_itself), T(version_1_is_strict),
          T(version_1_ends_within_107_octets), T(version_2_tells_the_client),
          T(version_2_local_and_others_are_the_proxy_itself),
          T(version_2_is_strict_and_bounded), T(damaged_headers_do_no_harm))
