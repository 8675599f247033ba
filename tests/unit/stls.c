/*
 * stls.c - STLS as the engine sees it (kpop/authz.c): when it is allowed, what
 * is forgotten, what is refused before it.  The handshake is tls.c's.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/unit/peer.h"

#define BEGIN "+OK begin TLS\r\n"
#define TOO_EARLY "-ERR [AUTH] TLS required, use STLS first\r\n"
#define CAPA_HEAD                                                           \
    "+OK capability list follows\r\nTOP\r\nUIDL\r\nRESP-CODES\r\n"          \
    "AUTH-RESP-CODE\r\nPIPELINING\r\nLANG\r\nEXPIRE NEVER\r\n"

static struct peer peer;

static void
greeted(bool kpop, bool required)
{
    peer_init(&peer, kpop);
    peer.settings.tls_required = required;
    peer_greeted(&peer);
    engine_set_tls(peer.engine, true, false);
}

TEST(r25_1_stls_is_answered_before_tls_begins)
{
    greeted(false, false);
    peer_send(&peer, "stls\r\n");
    CHECK_BOTH(&peer, BEGIN, "TLS;");
    peer_send(&peer, "NOOP\r\nUSER alice\r\nPASS x\r\n");
    CHECK(engine_is_logged_in(peer.engine));
    peer_end(&peer);
}

TEST(r25_2_stls_after_login_is_refused)
{
    greeted(false, false);
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    peer_forget(&peer);
    peer_send(&peer, "STLS\r\n");
    CHECK_BOTH(&peer, "-ERR not after login\r\n", "");
    peer_end(&peer);
}

TEST(r25_3_stls_twice_is_refused)
{
    greeted(false, false);
    peer_send(&peer, "STLS\r\nSTLS\r\n");
    CHECK_BOTH(&peer, BEGIN "-ERR TLS is active already\r\n", "TLS;");
    peer_end(&peer);
}

TEST(r25_4_stls_is_listed_while_it_can_be_done)
{
    greeted(false, false);
    peer_send(&peer, "CAPA\r\n");
    CHECK_SEEN(&peer, CAPA_HEAD "STLS\r\nUSER\r\n.\r\n");
    peer_send(&peer, "STLS\r\n");
    peer_forget(&peer);
    peer_send(&peer, "CAPA\r\n");
    CHECK_SEEN(&peer, CAPA_HEAD "USER\r\n.\r\n");
    peer_end(&peer);
}

TEST(stls_without_tls_tells_fetchmail_what_to_do)
{
    greeted(true, false);
    engine_set_tls(peer.engine, false, false);
    peer_send(&peer, "STLS\r\n");
    CHECK(peer_saw(&peer, "-ERR "));
    CHECK(peer_saw(&peer, "sslproto \"\"\r\n"));
    peer_end(&peer);
}

TEST(stls_takes_no_argument)
{
    greeted(false, false);
    peer_send(&peer, "STLS now\r\n");
    CHECK_BOTH(&peer, "-ERR this command takes no argument\r\n", "");
    peer_end(&peer);
}

TEST(r25_6_user_is_forgotten)
{
    greeted(false, false);
    peer_send(&peer, "USER alice\r\nSTLS\r\nPASS x\r\n");
    CHECK_BOTH(&peer, "+OK now PASS\r\n" BEGIN "-ERR USER comes first\r\n",
               "TLS;");
    peer_end(&peer);
}

/* R68-3 */
TEST(r25_6_language_is_forgotten)
{
    greeted(false, false);
    peer_send(&peer, "LANG it\r\nSTLS\r\n");
    peer_forget(&peer);
    peer_send(&peer, "XYZZY\r\n");
    CHECK_SEEN(&peer, "-ERR unknown command\r\n");
    peer_end(&peer);
}

static void
greeted_with_utf8(const char *message)
{
    peer_init(&peer, false);
    peer.settings.options = OPTION_UTF8;
    peer.texts[0] = message;
    peer_greeted(&peer);
    engine_set_tls(peer.engine, true, false);
}

TEST(r25_6_utf8_is_forgotten)
{
    greeted_with_utf8("A: \xc3\xbc\n\n");
    peer_send(&peer, "UTF8\r\nSTLS\r\nUSER a\r\nPASS x\r\n");
    peer_forget(&peer);
    peer_send(&peer, "RETR 1\r\n");
    CHECK(peer_saw(&peer, "-ERR [UTF8] "));
    peer_end(&peer);
    greeted_with_utf8("A: \xc3\xbc\n\n");
    peer_send(&peer, "STLS\r\nUTF8\r\nUSER a\r\nPASS x\r\n");
    peer_forget(&peer);
    peer_send(&peer, "RETR 1\r\n");
    CHECK(peer_saw(&peer, "A: \xc3\xbc\r\n"));
    peer_end(&peer);
}

TEST(r25_6_ticket_of_kpop_is_not_forgotten)
{
    greeted(true, false);
    peer_send(&peer, "USER alice\r\nSTLS\r\nPASS x\r\nUSER alice\r\n"
                     "PASS x\r\n");
    CHECK_STR(peer.asked, "TLS;STEP alice;OPEN alice alice KPOP;");
    CHECK(engine_is_logged_in(peer.engine));
    peer_end(&peer);
}

TEST(failures_are_counted_across_stls)
{
    greeted(false, false);
    peer.start = STATUS_AUTH;
    peer_send(&peer, "USER a\r\nPASS x\r\nUSER a\r\nPASS x\r\nSTLS\r\n");
    CHECK(!engine_is_closing(peer.engine));
    peer_send(&peer, "USER a\r\nPASS x\r\n");
    CHECK(engine_is_closing(peer.engine));
    peer_end(&peer);
}

TEST(r25_8_failed_handshake_closes)
{
    greeted(false, false);
    peer.tls = STATUS_TEMP;
    peer_send(&peer, "STLS\r\nUSER alice\r\n");
    CHECK_BOTH(&peer, BEGIN, "TLS;");
    CHECK(engine_is_closing(peer.engine));
    CHECK_STR(engine_end_reason(peer.engine), "tls");
    peer_end(&peer);
}

TEST(r25_5_octets_behind_stls_are_not_taken)
{
    static const char text[] = "STLS\r\nUSER alice\r\n";

    greeted(false, false);
    peer.hold = NEED(ENGINE_TLS);
    CHECK_INT(peer_send_pieces(&peer, text, sizeof(text) - 1, 64), 6);
    CHECK_SEEN(&peer, BEGIN);
    peer_end(&peer);
}

TEST(r25_10_required_tls_comes_before_credentials)
{
    peer_init(&peer, false);
    peer.mechanisms = "USER APOP GSSAPI";
    peer.banner = "<1.2@3>";
    peer.settings.tls_required = true;
    peer_greeted(&peer);
    engine_set_tls(peer.engine, true, false);
    peer_send(&peer, "USER a\r\nPASS b\r\nAPOP a b\r\nAUTH\r\n"
                     "AUTH GSSAPI\r\nCAPA\r\n");
    CHECK_BOTH(&peer, TOO_EARLY TOO_EARLY TOO_EARLY TOO_EARLY TOO_EARLY
               CAPA_HEAD "STLS\r\n.\r\n", "");
    peer_send(&peer, "STLS\r\nUSER alice\r\nPASS x\r\n");
    CHECK(engine_is_logged_in(peer.engine));
    peer_end(&peer);
}

TEST(r25_10_required_tls_comes_before_the_name_on_kpop_too)
{
    greeted(true, true);
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    CHECK_BOTH(&peer, TOO_EARLY TOO_EARLY, "");
    peer_send(&peer, "STLS\r\nUSER alice\r\nPASS x\r\n");
    CHECK(engine_is_logged_in(peer.engine));
    peer_end(&peer);
}

TEST(r25_9_client_hello_on_a_clear_port_gets_a_sentence)
{
    greeted(false, false);
    peer_send(&peer, "\x16\x03\x01\x02");
    CHECK_BOTH(&peer, "-ERR this port speaks POP3 in the clear; use STLS, or "
               "a port for TLS\r\n", "");
    CHECK_STR(engine_end_reason(peer.engine), "tls-on-clear-port");
    peer_end(&peer);
}

TEST(control_octet_later_is_no_client_hello)
{
    greeted(false, false);
    peer_send(&peer, "NOOP\r\n\x16\x03\x01\r\n");
    CHECK(!engine_is_closing(peer.engine));
    peer_end(&peer);
}

TEST_MAIN("stls", T(r25_1_stls_is_answered_before_tls_begins),
          T(r25_2_stls_after_login_is_refused),
          T(r25_3_stls_twice_is_refused),
          T(r25_4_stls_is_listed_while_it_can_be_done),
          T(stls_without_tls_tells_fetchmail_what_to_do),
          T(stls_takes_no_argument), T(r25_6_user_is_forgotten),
          T(r25_6_utf8_is_forgotten), T(r25_6_language_is_forgotten),
          T(r25_6_ticket_of_kpop_is_not_forgotten),
          T(failures_are_counted_across_stls),
          T(r25_8_failed_handshake_closes),
          T(r25_5_octets_behind_stls_are_not_taken),
          T(r25_10_required_tls_comes_before_credentials),
          T(r25_10_required_tls_comes_before_the_name_on_kpop_too),
          T(r25_9_client_hello_on_a_clear_port_gets_a_sentence),
          T(control_octet_later_is_no_client_hello))
