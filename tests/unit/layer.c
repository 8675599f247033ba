/*
 * layer.c - the framing of a security layer, with a codec that turns every
 * octet around.  The real one, and what an attacker may do to its packets, is
 * tested with a KDC.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/layer.h"

#include <string.h>

#include "tests/lib/check.h"

enum { CLEAR_MAX = 10 };

static int freed;

static void
turn(const uint8_t *from, size_t len, struct buf *out)
{
    uint8_t *to = buf_reserve(out, len);

    for (size_t i = 0; to != NULL && i < len; i++)
        to[i] = from[i] ^ 0x80;
    if (to != NULL)
        buf_claim(out, len);
}

/* More than there is room for. */
static void
flood(struct buf *out)
{
    static const uint8_t much[LAYER_PACKET_MAX];

    while (!buf_failed(out))
        buf_append(out, much, sizeof(much));
}

/* "*" becomes too much, as it does below. */
static int
encode(void *state, const uint8_t *clear, size_t len, struct buf *out)
{
    (void)state;
    CHECK(len >= 1 && len <= CLEAR_MAX);
    if (*clear == '*')
        flood(out);
    buf_append_u32(out, (uint32_t)len);
    turn(clear, len, out);
    return STATUS_OK;
}

/* "!" is forged, "0" holds nothing. */
static int
decode(void *state, const uint8_t *packet, size_t len, struct buf *out,
       const char **error_out)
{
    (void)state;
    if (len == 1 && packet[0] == '!') {
        *error_out = "forged";
        return STATUS_INVALID;
    }
    if (len == 1 && packet[0] == '*')
        flood(out);
    else if (len > 1 || packet[0] != '0')
        turn(packet, len, out);
    return STATUS_OK;
}

static void
codec_free(void *state)
{
    (void)state;
    freed++;
}

static struct layer *
layer_make(size_t packet_max, size_t plain)
{
    const struct mech_layer codec = { 56, packet_max, CLEAR_MAX, encode,
                                      decode, codec_free, NULL };
    struct layer *layer = layer_new(&codec, plain);

    CHECK(layer != NULL);
    freed = 0;
    return layer;
}

static void
layer_end(struct layer *layer)
{
    layer_free(layer);
    CHECK_INT(freed, 1);
}

static const uint8_t *
packet(const char *clear)
{
    static uint8_t octets[100];
    size_t len = strlen(clear);

    memset(octets, 0, 4);
    octets[3] = (uint8_t)len;
    for (size_t i = 0; i < len; i++)
        octets[4 + i] = (uint8_t)clear[i] ^ 0x80;
    return octets;
}

/* Octets that came so far, as the session would feed them. */
static int
feed(struct layer *layer, const void *data, size_t len, const char **why_out)
{
    struct buf inbox;
    int status = STATUS_OK;

    buf_init(&inbox, 200000);
    buf_append(&inbox, data, len);
    *why_out = "";
    while (buf_len(&inbox) > 0 && status == STATUS_OK)
        status = layer_take(layer, &inbox, why_out);
    buf_reset(&inbox);
    return status;
}

TEST(packet_comes_in_any_pieces)
{
    const char *why;

    for (size_t piece = 1; piece <= 9; piece++) {
        struct layer *layer = layer_make(100, 0);

        for (size_t at = 0; at < 9; at += piece) {
            size_t len = 9 - at < piece ? 9 - at : piece;

            CHECK_INT(buf_len(layer_input(layer)), 0);
            CHECK_INT(feed(layer, packet("STAT\n") + at, len, &why),
                      STATUS_OK);
        }
        CHECK_MEM(buf_data(layer_input(layer)), buf_len(layer_input(layer)),
                  "STAT\n", 5);
        layer_end(layer);
    }
}

TEST(next_packet_stays_in_the_inbox_until_this_one_is_used)
{
    struct layer *layer = layer_make(100, 0);
    const char *why = "";
    struct buf inbox;

    buf_init(&inbox, 100);
    buf_append(&inbox, packet("one"), 7);
    buf_append(&inbox, packet("two"), 7);
    while (buf_len(layer_input(layer)) == 0)
        CHECK_INT(layer_take(layer, &inbox, &why), STATUS_OK);
    CHECK_MEM(buf_data(layer_input(layer)), 3, "one", 3);
    CHECK_INT(buf_len(&inbox), 7);
    buf_reset(&inbox);
    layer_end(layer);
}

TEST(packet_without_content_is_skipped)
{
    struct layer *layer = layer_make(100, 0);
    const char *why;

    CHECK_INT(feed(layer, "\0\0\0\0010", 5, &why), STATUS_OK);
    CHECK_INT(buf_len(layer_input(layer)), 0);
    CHECK_INT(feed(layer, packet("x"), 5, &why), STATUS_OK);
    CHECK_INT(buf_len(layer_input(layer)), 1);
    layer_end(layer);
}

/* At their length, before any of their octets are kept. */
TEST(oversize_and_empty_packets_are_refused_at_their_length)
{
    static const char *const heads[] = { "\0\0\0\0", "\0\0\0\x65",
                                         "\0\1\0\0", "\xff\xff\xff\xff" };
    const char *why;

    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        struct layer *layer = layer_make(100, 0);

        CHECK_INT(feed(layer, heads[i], 4, &why), STATUS_INVALID);
        CHECK(*why != '\0');
        layer_end(layer);
    }
}

TEST(input_in_the_clear_is_refused)
{
    struct layer *layer = layer_make(LAYER_PACKET_MAX, 0);
    const char *why;

    CHECK_INT(feed(layer, "STAT\r\n", 6, &why), STATUS_INVALID);
    layer_end(layer);
}

TEST(forged_packet_is_told)
{
    struct layer *layer = layer_make(100, 0);
    const char *why;

    CHECK_INT(feed(layer, "\0\0\0\1!", 5, &why), STATUS_INVALID);
    CHECK_STR(why, "forged");
    layer_end(layer);
}

TEST(what_finds_no_room_is_told)
{
    struct layer *layer = layer_make(100, 0);
    const char *why;
    size_t used;

    CHECK_INT(feed(layer, "\0\0\0\1*", 5, &why), STATUS_NO_MEMORY);
    CHECK_STR(why, ""); /* nothing is wrong with the packet */
    CHECK_INT(layer_wrap(layer, (const uint8_t *)"*", 1, &used),
              STATUS_NO_MEMORY);
    layer_end(layer);
}

TEST(output_is_cut_into_packets)
{
    struct layer *layer = layer_make(100, 0);
    size_t used;

    CHECK_INT(layer_wrap(layer, (const uint8_t *)"0123456789ABC", 13, &used),
              STATUS_OK);
    CHECK_INT(used, CLEAR_MAX);
    CHECK_INT(layer_wrap(layer, (const uint8_t *)"ABC", 3, &used),
              STATUS_OK);
    CHECK_INT(used, 3);
    CHECK_INT(buf_len(layer_output(layer)), 4 + CLEAR_MAX + 4 + 3);
    CHECK_MEM(buf_data(layer_output(layer)), 4, "\0\0\0\x0a", 4);
    layer_end(layer);
}

TEST(plain_octets_are_counted_down)
{
    struct layer *layer = layer_make(100, 30);

    CHECK_INT(layer_plain(layer), 30);
    layer_plain_wrote(layer, 29);
    CHECK_INT(layer_plain(layer), 1);
    layer_plain_wrote(layer, 1);
    CHECK_INT(layer_plain(layer), 0);
    layer_end(layer);
}

TEST_MAIN("layer", T(packet_comes_in_any_pieces),
          T(next_packet_stays_in_the_inbox_until_this_one_is_used),
          T(packet_without_content_is_skipped),
          T(oversize_and_empty_packets_are_refused_at_their_length),
          T(input_in_the_clear_is_refused), T(forged_packet_is_told),
          T(what_finds_no_room_is_told),
          T(output_is_cut_into_packets), T(plain_octets_are_counted_down))
