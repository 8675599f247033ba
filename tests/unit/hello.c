/*
 * hello.c - tests of kpop/hello.c: each row of the handshake's specification,
 * whole and octet by octet, which must give the same.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/unit/peer.h"

#define NOT_KPOP                                                            \
    "-ERR [AUTH] this port speaks KPOP: Kerberos authentication comes "     \
    "first\r\n"
#define GREETING "+OK mail.example.org kpop ready\r\n"
#define BYE "+OK bye\r\n"
#define ACCEPTED "\0\0\0\0\0"

/* What a test bends before the connection begins; NULL = nothing. */
typedef void bend_fn(struct peer *peer);

struct row {
    const char *bytes;
    size_t len;
    const char *want;
    size_t want_len;
    const char *asked;
    bool closes;
    bend_fn *bend;
};

static void
check_row(const struct row *row)
{
    const size_t pieces[] = { 1, 2, 3, 5, 7, 23, 1 << 20 };
    size_t i;

    for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct peer peer;

        peer_init(&peer, true);
        if (row->bend != NULL)
            row->bend(&peer);
        peer_begin(&peer);
        CHECK_INT(peer.seen_len, 0);
        CHECK_INT(peer_send_pieces(&peer, row->bytes, row->len, pieces[i]),
                  row->len);
        CHECK_INT(engine_is_closing(peer.engine), row->closes);
        CHECK_STR(peer.asked, row->asked);
        CHECK_MEM(peer.seen, peer.seen_len, row->want, row->want_len);
        peer_end(&peer);
    }
}

#define ROW(bytes, want, asked, closes, bend)                               \
    do {                                                                    \
        static const struct row row_ = { bytes, sizeof(bytes) - 1,          \
                                         want,  sizeof(want) - 1,           \
                                         asked, closes, bend };             \
        check_row(&row_);                                                   \
    } while (0)
#define CLOSES(bytes, want) ROW(bytes, want, "", true, NULL)

static void
with_ap_rep(struct peer *peer)
{
    peer->challenge = "AP_REP";
}

static void
with_other_versions(struct peer *peer)
{
    peer->settings.kpop_versions = "KPOPV2.0  justjunk";
}

static void
with_refusal(struct peer *peer)
{
    peer->start = STATUS_AUTH;
    peer->challenge = "KRB_ERROR";
}

static void
with_bare_auth(struct peer *peer)
{
    peer->start = STATUS_AUTH;
}

static void
with_bare_temp(struct peer *peer)
{
    peer->start = STATUS_TEMP;
}

static void
with_bare_perm(struct peer *peer)
{
    peer->start = STATUS_PERM;
}

static void
with_broken_refusal(struct peer *peer)
{
    peer->start = STATUS_TEMP;
    peer->krb_error = NULL;
}

static void
with_ok_too_early(struct peer *peer)
{
    peer->start = STATUS_OK;
}

/* ---- accepted ---- */

TEST(handshake_without_mutual_authentication)
{
    ROW(HELLO AP_REQ, ACCEPTED GREETING, "START KPOP 6;", false, NULL);
}

TEST(handshake_with_mutual_authentication)
{
    ROW(HELLO AP_REQ, ACCEPTED "\0\0\0\x06" "AP_REP" GREETING,
        "START KPOP 6;", false, with_ap_rep);
}

TEST(octets_behind_the_ap_req_belong_to_pop3)
{
    ROW(HELLO AP_REQ "USER alice\r\nPASS hej\r\nSTAT\r\nQUIT\r\n",
        ACCEPTED GREETING
        "+OK now PASS\r\n"
        "+OK maildrop has 2 messages (200 octets)\r\n"
        "+OK 2 200\r\n"
        "+OK bye, 0 messages deleted\r\n",
        "START KPOP 6;STEP alice;OPEN alice alice KPOP;COMMIT 0 0;", true,
        NULL);
}

TEST(acceptance_ap_rep_and_greeting_are_one_piece)
{
    struct peer peer;
    const uint8_t *data;

    peer_init(&peer, true);
    peer.challenge = "AP_REP";
    peer_begin(&peer);
    (void)peer_send_pieces(&peer, HELLO, sizeof(HELLO) - 1, 100);
    peer.stalls = true;
    peer.hold = NEED(ENGINE_START);
    CHECK_INT(engine_input(peer.engine, (const uint8_t *)AP_REQ,
                           sizeof(AP_REQ) - 1), sizeof(AP_REQ) - 1);
    peer_run(&peer);
    CHECK_INT(engine_output(peer.engine, &data), 0);
    peer.hold = 0;
    peer_run(&peer);
    CHECK_INT(engine_output(peer.engine, &data),
              4 + 4 + 6 + sizeof(GREETING) - 1);
    peer_end(&peer);
}

TEST(n7_other_version_string_is_accepted_when_listed)
{
    ROW("\0\0\0\x13KRB5_SENDAUTH_V1.0\0\0\0\0\x09justjunk\0", "\0", "",
        false, with_other_versions);
}

/* ---- not KPOP at all ---- */

TEST(n1_silence_is_told_what_to_do)
{
    struct peer peer;

    peer_init(&peer, true);
    peer_begin(&peer);
    CHECK_INT(engine_timer(peer.engine), ENGINE_TIMER_FIRST);
    engine_timeout(peer.engine);
    peer_run(&peer);
    CHECK(engine_is_closing(peer.engine));
    CHECK_STR(engine_end_reason(peer.engine), "timeout");
    CHECK_SEEN(&peer, NOT_KPOP);
    peer_end(&peer);
}

TEST(n2_quit_first_is_answered_at_once)
{
    CLOSES("QUIT", BYE);
    CLOSES("QUIT\r\n", BYE);
    CLOSES("quit\r\n", BYE);
    CLOSES("QuIt\r\nUSER x\r\n", BYE);
}

TEST(n2_quit_for_the_ap_req_is_answered_at_once)
{
    CLOSES(HELLO "QUIT\r\n", "\0" BYE);
    CLOSES(HELLO "quit\r\n", "\0" BYE);
}

TEST(n3_pop3_commands_are_refused)
{
    CLOSES("CAPA\r\n", NOT_KPOP);
    CLOSES("USER x\r\nPASS y\r\n", NOT_KPOP);
    CLOSES("USER x\n", NOT_KPOP);
    CLOSES("AUTH GSSAPI\r\n", NOT_KPOP);
    CLOSES("AUTH\r\n", NOT_KPOP);
    CLOSES("GET / HTTP/1.1\r\n", NOT_KPOP);
    CLOSES("\r\n", NOT_KPOP);
    CLOSES("\n", NOT_KPOP);
    CLOSES("QUI\n", NOT_KPOP);
    CLOSES("XQUIT\r\n", NOT_KPOP);
}

TEST(n3_text_is_judged_by_eight_octets)
{
    CLOSES("ABCDEFGH", NOT_KPOP);
    ROW("ABCDEFG", "", "", false, NULL);
}

TEST(n4_tls_hello_gets_an_alert)
{
    CLOSES("\x16\x03", "\x15\x03\x01\0\x02\x02\x28");
    CLOSES("\x16\x03\x01\x02\0\x01\0\x01\xfc", "\x15\x03\x01\0\x02\x02\x28");
}

TEST(n4_what_begins_like_tls_and_is_not_is_a_bad_length)
{
    CLOSES("\x16\x04\0\0", "\x01");
    ROW("\x16\x04\0", "", "", false, NULL);
}

TEST(n5_kerberos_4_is_told_so)
{
    CLOSES("AUTHV0.1KPOPV0.1\0\0\0\x20",
           "-ERR [AUTH] Kerberos 4 KPOP is not supported; use Kerberos "
           "5\r\n");
}

/* ---- bad strings ---- */

TEST(n6_bad_length_of_the_first_string)
{
    CLOSES("\xff\xff\xff\xff", "\x01");
    CLOSES("\x10\0\0\0", "\x01");
    CLOSES("\0\0\0\0", "\x01");
    CLOSES("\0\0\x01\0", "\x01");
    CLOSES("\x7f\xff\xff\xff", "\x01");
}

TEST(n6_wrong_first_string_is_answered_after_both)
{
    ROW("\0\0\0\x13KRB5_SENDAUTH_V9.9\0", "", "", false, NULL);
    CLOSES("\0\0\0\x13KRB5_SENDAUTH_V9.9\0\0\0\0\x09KPOPV1.0\0", "\x01");
    CLOSES("\0\0\0\x12KRB5_SENDAUTH_V1.0\0\0\0\x09KPOPV1.0\0", "\x01");
    CLOSES("\0\0\0\x14KRB5_SENDAUTH_V1.0\0\0\0\0\0\x09KPOPV1.0\0", "\x01");
    CLOSES("\0\0\0\x01x\0\0\0\x01y", "\x01");
}

TEST(n6_wrong_first_string_before_a_bad_length)
{
    CLOSES("\0\0\0\x01x\0\0\0\0", "\x01");
    CLOSES("\0\0\0\x01x\x7f\xff\xff\xff", "\x01");
}

TEST(n6_longest_sane_string_is_read)
{
    static char bytes[4 + 255 + 13];
    struct row row = { .bytes = bytes, .len = sizeof(bytes), .want = "\x01",
                       .want_len = 1, .asked = "", .closes = true };

    memset(bytes, 'x', sizeof(bytes));
    memcpy(bytes, "\0\0\0\xff", 4);
    memcpy(bytes + 4 + 255, "\0\0\0\x09KPOPV1.0\0", 13);
    check_row(&row);
}

#define SENDAUTH "\0\0\0\x13KRB5_SENDAUTH_V1.0\0"

TEST(n7_bad_length_of_the_version)
{
    CLOSES(SENDAUTH "\0\0\0\0", "\x02");
    CLOSES(SENDAUTH "\x7f\xff\xff\xff", "\x02");
    CLOSES(SENDAUTH "\0\0\x01\0", "\x02");
}

TEST(n7_wrong_version)
{
    CLOSES(SENDAUTH "\0\0\0\x08KPOPV1.0", "\x02");
    CLOSES(SENDAUTH "\0\0\0\x09KPOPV2.0\0", "\x02");
    CLOSES(SENDAUTH "\0\0\0\x09KPOPV0.1\0", "\x02");
    CLOSES(SENDAUTH "\0\0\0\x09justjunk\0", "\x02");
    CLOSES(SENDAUTH "\0\0\0\x01\0", "\x02");
    CLOSES(SENDAUTH "\0\0\0\x0bKPOP\0V1.0 \0", "\x02");
    ROW(SENDAUTH "\0\0\0\x0aKPOPV2.0 \0", "\x02", "", true,
        with_other_versions);
}

/* ---- the AP-REQ ---- */

#define EMPTY "REFUSE 40 the Kerberos request is empty; try kinit;"
#define LARGE                                                               \
    "REFUSE 40 the Kerberos request is larger than 128 KiB; "               \
    "ask your administrator for a smaller ticket;"

TEST(n8_bad_length_of_the_ap_req_gets_a_krb_error)
{
    ROW(HELLO "\0\0\0\0", "\0" "\0\0\0\x06KRBERR", EMPTY, true, NULL);
    ROW(HELLO "\0\x02\0\x01rest", "\0" "\0\0\0\x06KRBERR", LARGE, true, NULL);
    ROW(HELLO "\x7f\xff\xff\xff", "\0" "\0\0\0\x06KRBERR", LARGE, true, NULL);
    ROW(HELLO "\xff\xff\xff\xff", "\0" "\0\0\0\x06KRBERR", LARGE, true, NULL);
}

TEST(ap_req_of_the_largest_size_is_accepted)
{
    static char bytes[sizeof(HELLO) - 1 + 4 + ENGINE_AP_REQ_MAX];
    struct row row = { bytes, sizeof(bytes), ACCEPTED GREETING,
                       sizeof(ACCEPTED GREETING) - 1, "START KPOP 131072;",
                       false, NULL };

    memset(bytes, 'x', sizeof(bytes));
    memcpy(bytes, HELLO "\0\x02\0", sizeof(HELLO) - 1 + 4);
    check_row(&row);
}

TEST(refused_ap_req_gets_the_mechanisms_krb_error)
{
    ROW(HELLO AP_REQ "USER alice\r\n", "\0" "\0\0\0\x09KRB_ERROR",
        "START KPOP 6;", true, with_refusal);
}

TEST(refusal_without_krb_error_gets_one_of_ours)
{
    ROW(HELLO AP_REQ, "\0" "\0\0\0\x06KRBERR",
        "START KPOP 6;REFUSE 60 the mail server did not accept the ticket; "
        "try kdestroy and kinit;", true, with_bare_auth);
    ROW(HELLO AP_REQ, "\0" "\0\0\0\x06KRBERR",
        "START KPOP 6;REFUSE 60 [SYS/TEMP] the mail server cannot check "
        "tickets at the moment, try again later;", true, with_bare_temp);
    ROW(HELLO AP_REQ, "\0" "\0\0\0\x06KRBERR",
        "START KPOP 6;REFUSE 60 [SYS/PERM] Kerberos is set up wrongly on "
        "the mail server, tell its administrator;", true, with_bare_perm);
}

TEST(refusal_that_cannot_be_made_closes_silently)
{
    ROW(HELLO AP_REQ, "\0",
        "START KPOP 6;REFUSE 60 [SYS/TEMP] the mail server cannot check "
        "tickets at the moment, try again later;", true,
        with_broken_refusal);
}

TEST(host_that_says_ok_too_early_lets_nobody_in)
{
    ROW(HELLO AP_REQ "USER alice\r\nPASS x\r\n", "\0" "\0\0\0\x06KRBERR",
        "START KPOP 6;REFUSE 60 [SYS/TEMP] the mail server cannot check "
        "tickets at the moment, try again later;", true, with_ok_too_early);
}

/* ---- ends ---- */

static const char session[] = HELLO AP_REQ;

TEST(n19_half_close_at_every_octet_says_nothing_more)
{
    size_t len;

    for (len = 0; len < sizeof(session) - 1; len++) {
        struct peer peer;
        size_t seen;

        peer_init(&peer, true);
        peer_begin(&peer);
        CHECK_INT(peer_send_pieces(&peer, session, len, 100), len);
        seen = peer.seen_len;
        engine_input_end(peer.engine);
        peer_run(&peer);
        CHECK(engine_is_closing(peer.engine));
        CHECK_STR(engine_end_reason(peer.engine), "eof");
        CHECK_INT(peer.seen_len, seen);
        CHECK_STR(peer.asked, "");
        peer_end(&peer);
    }
}

TEST(n20_stall_at_every_octet_closes_silently)
{
    size_t len;

    for (len = 1; len < sizeof(session) - 1; len++) {
        struct peer peer;
        size_t seen;

        peer_init(&peer, true);
        peer_begin(&peer);
        CHECK_INT(peer_send_pieces(&peer, session, len, 100), len);
        CHECK_INT(engine_timer(peer.engine), ENGINE_TIMER_LOGIN);
        seen = peer.seen_len;
        engine_timeout(peer.engine);
        peer_run(&peer);
        CHECK(engine_is_closing(peer.engine));
        CHECK_INT(peer.seen_len, seen);
        peer_end(&peer);
    }
}

TEST(stall_in_text_is_told_what_to_do)
{
    struct peer peer;

    peer_init(&peer, true);
    peer_begin(&peer);
    peer_send(&peer, "USER");
    engine_timeout(peer.engine);
    peer_run(&peer);
    CHECK_SEEN(&peer, NOT_KPOP);
    peer_end(&peer);
}

TEST(stop_in_the_handshake_closes_silently)
{
    struct peer peer;

    peer_init(&peer, true);
    peer_begin(&peer);
    engine_stop(peer.engine);
    peer_run(&peer);
    CHECK(engine_is_closing(peer.engine));
    CHECK_INT(peer.seen_len, 0);
    peer_end(&peer);
}

TEST(half_close_while_the_ticket_is_checked_ends_the_exchange)
{
    struct peer peer;

    peer_init(&peer, true);
    peer_begin(&peer);
    peer.hold = NEED(ENGINE_START);
    (void)peer_send_pieces(&peer, session, sizeof(session) - 1, 100);
    engine_input_end(peer.engine);
    CHECK(!engine_is_closing(peer.engine));
    peer.hold = 0;
    peer_run(&peer);
    CHECK(engine_is_closing(peer.engine));
    CHECK_STR(peer.asked, "START KPOP 6;END;");
    peer_end(&peer);
}

TEST(answer_after_the_timeout_ends_the_exchange_without_greeting)
{
    struct peer peer;

    peer_init(&peer, true);
    peer_begin(&peer);
    peer.hold = NEED(ENGINE_START);
    (void)peer_send_pieces(&peer, session, sizeof(session) - 1, 100);
    engine_timeout(peer.engine);
    CHECK(engine_is_closing(peer.engine));
    peer.hold = 0;
    peer_run(&peer);
    CHECK_BOTH(&peer, "\0", "START KPOP 6;END;");
    peer_end(&peer);
}

TEST(input_waits_while_the_ticket_is_checked)
{
    struct peer peer;

    peer_init(&peer, true);
    peer_begin(&peer);
    peer.hold = NEED(ENGINE_START);
    (void)peer_send_pieces(&peer, session, sizeof(session) - 1, 100);
    CHECK(!engine_wants_input(peer.engine));
    CHECK_INT(engine_input(peer.engine, (const uint8_t *)"USER", 4), 0);
    peer_end(&peer);
}

TEST_MAIN("hello", T(handshake_without_mutual_authentication),
          T(handshake_with_mutual_authentication),
          T(octets_behind_the_ap_req_belong_to_pop3),
          T(acceptance_ap_rep_and_greeting_are_one_piece),
          T(n7_other_version_string_is_accepted_when_listed),
          T(n1_silence_is_told_what_to_do),
          T(n2_quit_first_is_answered_at_once),
          T(n2_quit_for_the_ap_req_is_answered_at_once),
          T(n3_pop3_commands_are_refused),
          T(n3_text_is_judged_by_eight_octets),
          T(n4_tls_hello_gets_an_alert),
          T(n4_what_begins_like_tls_and_is_not_is_a_bad_length),
          T(n5_kerberos_4_is_told_so), T(n6_bad_length_of_the_first_string),
          T(n6_wrong_first_string_is_answered_after_both),
          T(n6_wrong_first_string_before_a_bad_length),
          T(n6_longest_sane_string_is_read), T(n7_bad_length_of_the_version),
          T(n7_wrong_version),
          T(n8_bad_length_of_the_ap_req_gets_a_krb_error),
          T(ap_req_of_the_largest_size_is_accepted),
          T(refused_ap_req_gets_the_mechanisms_krb_error),
          T(refusal_without_krb_error_gets_one_of_ours),
          T(refusal_that_cannot_be_made_closes_silently),
          T(host_that_says_ok_too_early_lets_nobody_in),
          T(n19_half_close_at_every_octet_says_nothing_more),
          T(n20_stall_at_every_octet_closes_silently),
          T(stall_in_text_is_told_what_to_do),
          T(stop_in_the_handshake_closes_silently),
          T(half_close_while_the_ticket_is_checked_ends_the_exchange),
          T(answer_after_the_timeout_ends_the_exchange_without_greeting),
          T(input_waits_while_the_ticket_is_checked))
