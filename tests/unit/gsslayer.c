/*
 * gsslayer.c - security layers of GSSAPI between ours and MIT's library:
 * what is negotiated, that octets come through, and that no packet can be
 * replayed, dropped, reordered, reflected, forged or unsealed.  Skipped where
 * no KDC is installed.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "sasl/token.h"
#include "tests/lib/check.h"
#include "tests/unit/gss_fixture.h"

enum { NONE = 1, INTEGRITY = 2, PRIVACY = 4, CLIENT_MAX = 65536 };

struct layered {
    struct gss_login login;
    struct mech_layer layer;
    struct buf clear;
    const char *error;
};

static int
resume(struct gss_login *login, int result)
{
    return login->mech->resume(login->state, result, NULL, 0, &login->out,
                               &login->ask);
}

static void
begin(struct layered *l, unsigned max_ssf)
{
    memset(l, 0, sizeof(*l));
    gss_begin(&l->login);
    l->login.peer.max_ssf = max_ssf;
    buf_init(&l->clear, LAYER_PACKET_MAX);
}

/* A login with this layer, from which the mechanism's own state is gone. */
static void
begin_layer(struct layered *l, unsigned choice)
{
    begin(l, 256);
    CHECK_INT(gss_until_offer(&l->login), STATUS_CONTINUE);
    CHECK_INT(gss_choose(&l->login, choice, CLIENT_MAX, "alice", 5),
              STATUS_PENDING);
    CHECK_INT(resume(&l->login, STATUS_OK), STATUS_OK);
    CHECK_INT(l->login.mech->layer(l->login.state, &l->layer), STATUS_OK);
    CHECK_INT(l->login.mech->layer(l->login.state, &l->layer), STATUS_GONE);
    l->login.mech->free(l->login.state);
    l->login.state = NULL;
}

static void
end(struct layered *l)
{
    if (l->layer.state != NULL)
        l->layer.free(l->layer.state);
    buf_reset(&l->clear);
    gss_end(&l->login);
}

static int
decode(struct layered *l, const struct octets *packet)
{
    l->error = "";
    return l->layer.decode(l->layer.state, packet->data, packet->len,
                           &l->clear, &l->error);
}

static const struct octets *
packet(struct layered *l, const char *text, bool sealed)
{
    return gss_wrapped(&l->login, text, strlen(text), sealed);
}

/* ---- negotiated ---- */

TEST(g2_layers_are_offered_up_to_max_ssf)
{
    static const unsigned rows[][3] = {
        { 0, NONE, 0 },
        { 1, NONE | INTEGRITY, LAYER_PACKET_MAX },
        { 128, NONE | INTEGRITY, LAYER_PACKET_MAX }, /* the key has 256 */
        { 256, NONE | INTEGRITY | PRIVACY, LAYER_PACKET_MAX },
    };
    struct layered l;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin(&l, rows[i][0]);
        CHECK_INT(gss_until_offer(&l.login), STATUS_CONTINUE);
        CHECK_INT(l.login.offered, rows[i][1]);
        CHECK_INT(l.login.offered_size, rows[i][2]);
        end(&l);
    }
}

TEST(g3_a_layer_stronger_than_offered_or_two_are_refused)
{
    static const unsigned rows[][2] = {
        { PRIVACY, CLIENT_MAX }, { INTEGRITY | PRIVACY, CLIENT_MAX },
        { NONE | INTEGRITY, CLIENT_MAX }, { 0, 0 }, { INTEGRITY, 0 },
        { INTEGRITY, 100 },
    };
    struct layered l;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin(&l, 1);
        CHECK_INT(gss_until_offer(&l.login), STATUS_CONTINUE);
        CHECK_INT(gss_choose(&l.login, rows[i][0], rows[i][1], "", 0),
                  STATUS_AUTH);
        end(&l);
    }
}

/* fetchmail, mpop and mutt give back the server's size; RFC 4752 wants 0. */
TEST(g3_size_without_a_layer_is_taken_where_layers_are_offered)
{
    struct layered l;

    begin(&l, 1);
    CHECK_INT(gss_until_offer(&l.login), STATUS_CONTINUE);
    CHECK_INT(gss_choose(&l.login, NONE, CLIENT_MAX, "", 0), STATUS_PENDING);
    end(&l);
}

TEST(a_sealed_choice_is_refused_where_layers_are_offered)
{
    const struct octets *token;
    struct layered l;

    begin(&l, 256);
    CHECK_INT(gss_until_offer(&l.login), STATUS_CONTINUE);
    token = gss_wrapped(&l.login, "\4\0\x80\0", 4, true);
    CHECK_INT(gss_send(&l.login, token->data, token->len), STATUS_AUTH);
    end(&l);
}

TEST(no_layer_is_there_when_none_was_chosen)
{
    struct layered l;

    begin(&l, 256);
    CHECK_INT(gss_log_in(&l.login, ""), STATUS_PENDING);
    CHECK_INT(resume(&l.login, STATUS_OK), STATUS_OK);
    CHECK_INT(l.login.mech->layer(l.login.state, &l.layer), STATUS_GONE);
    end(&l);
}

/* As fetchmail, mpop and mutt do. */
TEST(a_size_without_a_layer_is_taken_where_layers_are_offered)
{
    struct layered l;

    begin(&l, 256);
    CHECK_INT(gss_until_offer(&l.login), STATUS_CONTINUE);
    CHECK_INT(gss_choose(&l.login, NONE, CLIENT_MAX, "", 0), STATUS_PENDING);
    CHECK_INT(resume(&l.login, STATUS_OK), STATUS_OK);
    CHECK_INT(l.login.mech->layer(l.login.state, &l.layer), STATUS_GONE);
    end(&l);
}

TEST(no_layer_is_there_before_the_host_s_yes_nor_after_its_no)
{
    struct layered l;

    begin(&l, 256);
    CHECK_INT(gss_until_offer(&l.login), STATUS_CONTINUE);
    CHECK_INT(l.login.mech->layer(l.login.state, &l.layer), STATUS_GONE);
    CHECK_INT(gss_choose(&l.login, PRIVACY, CLIENT_MAX, "", 0),
              STATUS_PENDING);
    CHECK_INT(l.login.mech->layer(l.login.state, &l.layer), STATUS_GONE);
    CHECK_INT(resume(&l.login, STATUS_DENIED), STATUS_DENIED);
    CHECK_INT(l.login.mech->layer(l.login.state, &l.layer), STATUS_GONE);
    end(&l);
}

TEST(a_login_that_ends_with_a_layer_in_hand_leaves_nothing)
{
    struct layered l;

    begin(&l, 256);
    CHECK_INT(gss_until_offer(&l.login), STATUS_CONTINUE);
    CHECK_INT(gss_choose(&l.login, PRIVACY, CLIENT_MAX, "", 0),
              STATUS_PENDING);
    end(&l); /* the sanitizer counts */
}

/* ---- octets ---- */

static void
check_both_ways(unsigned choice, unsigned ssf)
{
    static char text[40000];
    struct layered l;
    struct buf wire;
    OM_uint32 minor;

    memset(text, 'x', sizeof(text) - 1);
    begin_layer(&l, choice);
    CHECK_INT(l.layer.ssf, ssf);
    CHECK_INT(l.layer.packet_max, LAYER_PACKET_MAX);
    CHECK(l.layer.clear_max > 60000 && l.layer.clear_max < CLIENT_MAX);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(decode(&l, packet(&l, "STAT\r\n", ssf > 1)),
                  STATUS_OK);
        CHECK_STR(l.error, "");
    }
    CHECK_MEM(buf_data(&l.clear), buf_len(&l.clear),
              "STAT\r\nSTAT\r\nSTAT\r\nSTAT\r\nSTAT\r\n", 30);
    buf_reset(&l.clear);
    CHECK_INT(decode(&l, packet(&l, text, ssf > 1)), STATUS_OK);
    CHECK_INT(buf_len(&l.clear), sizeof(text) - 1);
    buf_init(&wire, 1 << 17);
    for (int i = 0; i < 3; i++) {
        gss_buffer_desc in;
        gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
        int sealed = -1;

        CHECK_INT(l.layer.encode(l.layer.state, (const uint8_t *)text,
                                 sizeof(text), &wire),
                  STATUS_OK);
        in.length = buf_len(&wire) - 4;
        in.value = wire.data + wire.start + 4;
        CHECK_INT(wire.data[wire.start + 1] << 16 |
                      wire.data[wire.start + 2] << 8 |
                      wire.data[wire.start + 3],
                  in.length);
        CHECK_INT(gss_unwrap(&minor, l.login.context, &in, &out, &sealed,
                             NULL),
                  GSS_S_COMPLETE);
        CHECK_INT(sealed, ssf > 1);
        CHECK_MEM(out.value, out.length, text, sizeof(text));
        (void)gss_release_buffer(&minor, &out);
        buf_reset(&wire);
    }
    end(&l);
}

TEST(integrity_goes_both_ways)
{
    check_both_ways(INTEGRITY, 1);
}

TEST(confidentiality_goes_both_ways)
{
    check_both_ways(PRIVACY, 256);
}

TEST(what_is_larger_than_the_client_takes_is_not_encoded)
{
    static uint8_t text[CLIENT_MAX];
    struct layered l;
    struct buf wire;

    begin_layer(&l, PRIVACY);
    buf_init(&wire, 1 << 18);
    CHECK_INT(l.layer.encode(l.layer.state, text, l.layer.clear_max, &wire),
              STATUS_OK);
    CHECK(buf_len(&wire) <= CLIENT_MAX + 4);
    CHECK_INT(l.layer.encode(l.layer.state, text, l.layer.clear_max + 1,
                             &wire),
              STATUS_TEMP);
    buf_reset(&wire);
    end(&l);
}

/* ---- attacks ---- */

static void
check_broken(struct layered *l, const struct octets *bad, const char *why)
{
    struct octets copy = *bad;

    CHECK_INT(decode(l, &copy), STATUS_INVALID);
    CHECK_STR(l->error, why);
    CHECK_INT(buf_len(&l->clear), 0);
    /* Whatever comes behind it. */
    CHECK_INT(decode(l, packet(l, "QUIT\r\n", l->layer.ssf > 1)),
              STATUS_INVALID);
    end(l);
}

TEST(a_replayed_packet_breaks_the_layer)
{
    struct octets first;
    struct layered l;

    for (unsigned choice = INTEGRITY; choice <= PRIVACY; choice *= 2) {
        begin_layer(&l, choice);
        first = *packet(&l, "DELE 1\r\n", choice == PRIVACY);
        CHECK_INT(decode(&l, &first), STATUS_OK);
        buf_reset(&l.clear);
        check_broken(&l, &first, "packet replayed or out of order");
    }
}

TEST(the_choice_replayed_as_a_packet_breaks_the_layer)
{
    struct octets choice;
    struct layered l;

    begin(&l, 256);
    CHECK_INT(gss_until_offer(&l.login), STATUS_CONTINUE);
    choice = *gss_wrapped(&l.login, "\2\0\x80\0alice", 9, false);
    CHECK_INT(gss_send(&l.login, choice.data, choice.len), STATUS_PENDING);
    CHECK_INT(resume(&l.login, STATUS_OK), STATUS_OK);
    CHECK_INT(l.login.mech->layer(l.login.state, &l.layer), STATUS_OK);
    check_broken(&l, &choice, "packet replayed or out of order");
}

TEST(a_dropped_packet_breaks_the_layer)
{
    struct layered l;

    for (unsigned choice = INTEGRITY; choice <= PRIVACY; choice *= 2) {
        begin_layer(&l, choice);
        (void)packet(&l, "RSET\r\n", choice == PRIVACY);
        check_broken(&l, packet(&l, "QUIT\r\n", choice == PRIVACY),
                     "packet lost or out of order");
    }
}

TEST(reordered_packets_break_the_layer)
{
    struct octets first;
    struct octets second;
    struct layered l;

    begin_layer(&l, PRIVACY);
    first = *packet(&l, "RSET\r\n", true);
    second = *packet(&l, "QUIT\r\n", true);
    CHECK_INT(decode(&l, &second), STATUS_INVALID);
    check_broken(&l, &first, "packet behind a refused one");
}

TEST(a_packet_of_ours_sent_back_breaks_the_layer)
{
    struct octets ours;
    struct layered l;
    struct buf wire;

    begin_layer(&l, INTEGRITY);
    buf_init(&wire, 4096);
    CHECK_INT(l.layer.encode(l.layer.state, (const uint8_t *)"x", 1, &wire),
              STATUS_OK);
    ours.len = buf_len(&wire) - 4;
    memcpy(ours.data, buf_data(&wire) + 4, ours.len);
    buf_reset(&wire);
    check_broken(&l, &ours, "packet of ours came back");
}

TEST(a_packet_of_the_other_protection_breaks_the_layer)
{
    struct layered l;

    begin_layer(&l, PRIVACY);
    check_broken(&l, packet(&l, "STAT\r\n", false),
                 "packet is not encrypted");
    begin_layer(&l, INTEGRITY);
    check_broken(&l, packet(&l, "STAT\r\n", true),
                 "packet is encrypted, against what was chosen");
}

/* Every octet of a packet, one after the other. */
TEST(a_changed_octet_breaks_the_layer)
{
    static const unsigned choices[] = { INTEGRITY, PRIVACY };
    struct octets good;
    struct octets bad;
    struct layered l;
    size_t len = 1;

    for (size_t c = 0; c < 2; c++) {
        for (size_t i = 0; i < len; i++) {
            begin_layer(&l, choices[c]);
            good = *packet(&l, "NOOP\r\n", choices[c] == PRIVACY);
            len = good.len;
            bad = good;
            bad.data[i] ^= 1;
            CHECK_INT(decode(&l, &bad), STATUS_INVALID);
            CHECK(l.error[0] != '\0');
            CHECK_INT(buf_len(&l.clear), 0);
            end(&l);
        }
    }
}

TEST(an_empty_packet_breaks_the_layer)
{
    struct layered l;

    begin_layer(&l, PRIVACY);
    check_broken(&l, packet(&l, "", true), "packet is empty");
}

TEST(a_sequence_number_that_was_changed_is_not_believed)
{
    struct octets bad;
    struct layered l;

    /* Dropped, and the next one made to look like it. */
    begin_layer(&l, INTEGRITY);
    (void)packet(&l, "RSET\r\n", false);
    bad = *packet(&l, "QUIT\r\n", false);
    for (size_t i = 15; i >= 8; i--) {
        if (bad.data[i]-- != 0)
            break;
    }
    check_broken(&l, &bad, "packet forged or damaged");
}

TEST(what_is_no_token_breaks_the_layer)
{
    static const char *const texts[] = { "", "QUIT\r\n",
                                         "\5\4\0\377\0\0\0\0" };
    static const size_t lens[] = { 0, 6, 8 };
    struct octets bad = { .len = 0 };
    struct layered l;

    for (size_t i = 0; i < 3; i++) {
        begin_layer(&l, INTEGRITY);
        bad.len = lens[i];
        memcpy(bad.data, texts[i], bad.len);
        check_broken(&l, &bad, "packet is no token of RFC 4121");
    }
    begin_layer(&l, INTEGRITY);
    memset(bad.data, 0, sizeof(bad.data));
    bad.len = LAYER_PACKET_MAX + 1;
    check_broken(&l, &bad, "packet too large");
}

TEST_MAIN("gsslayer",
          T(g2_layers_are_offered_up_to_max_ssf),
          T(g3_a_layer_stronger_than_offered_or_two_are_refused),
          T(g3_size_without_a_layer_is_taken_where_layers_are_offered),
          T(a_sealed_choice_is_refused_where_layers_are_offered),
          T(no_layer_is_there_when_none_was_chosen),
          T(a_size_without_a_layer_is_taken_where_layers_are_offered),
          T(no_layer_is_there_before_the_host_s_yes_nor_after_its_no),
          T(a_login_that_ends_with_a_layer_in_hand_leaves_nothing),
          T(integrity_goes_both_ways),
          T(confidentiality_goes_both_ways),
          T(what_is_larger_than_the_client_takes_is_not_encoded),
          T(a_replayed_packet_breaks_the_layer),
          T(the_choice_replayed_as_a_packet_breaks_the_layer),
          T(a_dropped_packet_breaks_the_layer),
          T(reordered_packets_break_the_layer),
          T(a_packet_of_ours_sent_back_breaks_the_layer),
          T(a_packet_of_the_other_protection_breaks_the_layer),
          T(a_changed_octet_breaks_the_layer),
          T(an_empty_packet_breaks_the_layer),
          T(a_sequence_number_that_was_changed_is_not_believed),
          T(what_is_no_token_breaks_the_layer))
