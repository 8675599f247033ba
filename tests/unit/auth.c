/*
 * auth.c - AUTH and APOP of the engine: which requests they make, and that
 * each exchange is ended when and only when it is owed.  What a client sees
 * of them stands in the dialogues.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/unit/peer.h"

#define STAMP "<1896.697170952@dbc.mtview.ca.us>"
#define DIGEST "c4c9334bac560ecc979e58001b3e22fb"

static struct peer peer;

/* Greeted, with a mechanism whose START goes on. */
static void
greeted(const char *mechanisms)
{
    peer_init(&peer, false);
    peer.mechanisms = mechanisms;
    peer.banner = STAMP;
    peer.start = STATUS_CONTINUE;
    peer_begin(&peer);
    peer_forget(&peer);
}

TEST(start_tells_none_from_empty)
{
    greeted("GSSAPI PLAIN");
    peer_send(&peer, "AUTH GSSAPI\r\n*\r\nAUTH gssapi =\r\n*\r\n");
    CHECK_STR(peer.asked, "START GSSAPI none;END;START GSSAPI 0;END;");
    peer_end(&peer);
}

TEST(challenge_is_base64_on_one_line)
{
    greeted("CRAM-MD5");
    peer.challenge = "foobar";
    peer_send(&peer, "AUTH CRAM-MD5\r\n");
    CHECK_STR(peer.seen, "+ Zm9vYmFy\r\n");
    peer_end(&peer);
}

TEST(response_goes_to_the_mechanism_and_opens)
{
    greeted("CRAM-MD5");
    peer_send(&peer, "AUTH CRAM-MD5\r\nYWxpY2UgMDA=\r\n");
    CHECK_STR(peer.asked,
              "START CRAM-MD5 none;STEP alice 00;OPEN alice  CRAM-MD5;");
    CHECK(engine_is_logged_in(peer.engine));
    peer_end(&peer);
}

TEST(r50_18_failed_step_owes_no_end)
{
    greeted("CRAM-MD5");
    peer.step = STATUS_AUTH;
    peer_send(&peer, "AUTH CRAM-MD5\r\nYWxpY2UgMDA=\r\nQUIT\r\n");
    CHECK_STR(peer.asked, "START CRAM-MD5 none;STEP alice 00;");
    CHECK_STR(peer.seen, "+ \r\n-ERR [AUTH] login failed\r\n+OK bye\r\n");
    peer_end(&peer);
}

TEST(r50_18_cancelled_exchange_is_ended_before_the_answer)
{
    greeted("CRAM-MD5");
    peer.hold = NEED(ENGINE_END);
    peer_send(&peer, "AUTH CRAM-MD5\r\n*\r\n");
    CHECK_STR(peer.seen, "+ \r\n");
    CHECK(engine_request(peer.engine) != NULL);
    CHECK_INT(engine_request(peer.engine)->need, ENGINE_END);
    peer.hold = 0;
    peer_run(&peer);
    CHECK_STR(peer.seen, "+ \r\n-ERR cancelled\r\n");
    CHECK_STR(peer.asked, "START CRAM-MD5 none;END;");
    peer_end(&peer);
}

TEST(r50_18_closing_ends_the_exchange_once)
{
    greeted("CRAM-MD5");
    peer_send(&peer, "AUTH CRAM-MD5\r\n");
    engine_timeout(peer.engine);
    peer_run(&peer);
    CHECK_STR(peer.asked, "START CRAM-MD5 none;END;");
    CHECK(engine_is_closing(peer.engine));
    peer_end(&peer);
}

TEST(answer_to_a_final_challenge_may_be_lf_alone)
{
    greeted("SCRAM-SHA-256");
    peer.start = STATUS_OK;
    peer.challenge = "v=1";
    peer_send(&peer, "AUTH SCRAM-SHA-256 bixu\r\n");
    CHECK_STR(peer.asked, "START SCRAM-SHA-256 3;");
    peer_send(&peer, "\n");
    CHECK_STR(peer.asked,
              "START SCRAM-SHA-256 3;OPEN alice  SCRAM-SHA-256;");
    peer_end(&peer);
}

TEST(requested_name_is_never_an_older_one)
{
    greeted("USER CRAM-MD5");
    peer.start = STATUS_AUTH;
    peer_send(&peer, "USER bob\r\nPASS x\r\n");
    peer.start = STATUS_CONTINUE;
    peer_forget(&peer);
    peer_send(&peer, "AUTH CRAM-MD5\r\nYQ==\r\n");
    CHECK_STR(peer.asked,
              "START CRAM-MD5 none;STEP a;OPEN alice  CRAM-MD5;");
    peer_end(&peer);
}

TEST(line_of_an_exchange_may_come_octet_by_octet)
{
    static const char text[] = "AUTH CRAM-MD5\r\nYWxpY2UgMDA=\r\nSTAT\r\n";

    greeted("CRAM-MD5");
    CHECK_INT(peer_send_pieces(&peer, text, sizeof(text) - 1, 1),
              sizeof(text) - 1);
    CHECK_STR(peer.asked,
              "START CRAM-MD5 none;STEP alice 00;OPEN alice  CRAM-MD5;");
    CHECK(engine_is_logged_in(peer.engine));
    peer_end(&peer);
}

TEST(r50_6_line_of_64_kib_and_one_more)
{
    static char line[ENGINE_RESPONSE_MAX + 8];

    for (size_t more = 0; more <= 4; more += 4) {
        greeted("GSSAPI");
        peer.step = STATUS_AUTH;
        peer_send(&peer, "AUTH GSSAPI\r\n");
        peer_forget(&peer);
        memset(line, 'A', ENGINE_RESPONSE_MAX + more);
        memcpy(line + ENGINE_RESPONSE_MAX + more, "\r\n", 3);
        (void)peer_send_pieces(&peer, line, strlen(line), 1000);
        CHECK_STR(peer.seen, more == 0 ? "-ERR [AUTH] login failed\r\n"
                                       : "-ERR line too long, closing\r\n");
        CHECK(engine_is_closing(peer.engine) == (more != 0));
        peer_end(&peer);
    }
}

/* ---- APOP ---- */

TEST(r39_47_greeting_has_the_time_stamp)
{
    peer_init(&peer, false);
    peer.mechanisms = "APOP";
    peer.banner = STAMP;
    peer_begin(&peer);
    CHECK_STR(peer.seen, "+OK mail.example.org kpop ready " STAMP "\r\n");
    peer_end(&peer);
}

TEST(r39_49_apop_carries_banner_user_and_digest)
{
    static const char want[] = STAMP " alice " DIGEST;

    greeted("APOP");
    peer.start = STATUS_OK;
    peer_send(&peer, "apop alice " DIGEST "\r\n");
    CHECK_MEM(peer.data, peer.data_len, want, sizeof(want) - 1);
    CHECK_STR(strchr(peer.asked, ';'), ";OPEN alice alice APOP;");
    CHECK(engine_is_logged_in(peer.engine));
    peer_end(&peer);
}

TEST(r39_50_apop_without_a_name_or_a_digest)
{
    greeted("APOP");
    peer_send(&peer, "APOP\r\nAPOP alice\r\nAPOP  00\r\n");
    CHECK_STR(peer.seen,
              "-ERR a user name is wanted here\r\n"
              "-ERR APOP wants a user name and a digest\r\n"
              "-ERR APOP wants a user name and a digest\r\n");
    CHECK_STR(peer.asked, "");
    peer_end(&peer);
}

TEST(r39_53_apop_may_be_tried_again_and_the_third_failure_closes)
{
    greeted("APOP");
    peer.start = STATUS_AUTH;
    peer_send(&peer, "APOP a " DIGEST "\r\nAPOP a " DIGEST "\r\n");
    CHECK(!engine_is_closing(peer.engine));
    peer_forget(&peer);
    peer_send(&peer, "APOP a " DIGEST "\r\n");
    CHECK_STR(peer.seen, "-ERR [AUTH] too many failed logins\r\n");
    CHECK(engine_is_closing(peer.engine));
    peer_end(&peer);
}

TEST(apop_mechanism_that_goes_on_is_ended)
{
    greeted("APOP");
    peer_send(&peer, "APOP a " DIGEST "\r\n");
    CHECK(engine_is_closing(peer.engine));
    CHECK_STR(strchr(peer.asked, ';'), ";END;");
    peer_end(&peer);
}

TEST(r39_52_apop_is_refused_where_it_is_not_listed)
{
    greeted("USER CRAM-MD5");
    peer_send(&peer, "APOP alice " DIGEST "\r\n");
    CHECK_STR(peer.seen, "-ERR not available here, see CAPA\r\n");
    CHECK_STR(peer.asked, "");
    peer_end(&peer);
}

TEST_MAIN("auth", T(start_tells_none_from_empty),
          T(challenge_is_base64_on_one_line),
          T(response_goes_to_the_mechanism_and_opens),
          T(r50_18_failed_step_owes_no_end),
          T(r50_18_cancelled_exchange_is_ended_before_the_answer),
          T(r50_18_closing_ends_the_exchange_once),
          T(answer_to_a_final_challenge_may_be_lf_alone),
          T(requested_name_is_never_an_older_one),
          T(line_of_an_exchange_may_come_octet_by_octet),
          T(r50_6_line_of_64_kib_and_one_more),
          T(r39_47_greeting_has_the_time_stamp),
          T(r39_49_apop_carries_banner_user_and_digest),
          T(r39_50_apop_without_a_name_or_a_digest),
          T(r39_53_apop_may_be_tried_again_and_the_third_failure_closes),
          T(apop_mechanism_that_goes_on_is_ended),
          T(r39_52_apop_is_refused_where_it_is_not_listed))
