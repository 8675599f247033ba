/*
 * authz.c - tests of kpop/authz.c, cmd.c and capa.c: who gets in, by which
 * questions, with which words.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/unit/peer.h"

#define WELCOME "+OK maildrop has 2 messages (200 octets)\r\n"
#define NOW_PASS "+OK now PASS\r\n"
#define FOREIGN "-ERR [AUTH] this ticket does not open that maildrop\r\n"
#define FAILED "-ERR [AUTH] login failed\r\n"

static struct peer peer;

static void
greeted(bool kpop)
{
    peer_init(&peer, kpop);
    peer_greeted(&peer);
}

/* ---- passwords ---- */

TEST(user_and_pass_become_plain)
{
    greeted(false);
    peer_send(&peer, "USER alice\r\nPASS secret\r\n");
    CHECK_BOTH(&peer, NOW_PASS WELCOME,
               "START PLAIN 13;OPEN alice alice PLAIN;");
    CHECK_STR(engine_user(peer.engine), "alice");
    peer_end(&peer);
}

TEST(plain_message_is_nul_user_nul_password)
{
    const struct engine_request *request;

    greeted(false);
    peer.hold = NEED(ENGINE_START);
    peer_send(&peer, "USER alice\r\nPASS  two words \r\n");
    request = engine_request(peer.engine);
    CHECK(request != NULL);
    CHECK_STR(request->mechanism, "PLAIN");
    CHECK_MEM(request->data, request->len, "\0alice\0 two words ", 18);
    CHECK(engine_request(peer.engine) == request);
    peer_end(&peer);
}

TEST(nobody_is_logged_in_while_the_box_is_being_opened)
{
    greeted(false);
    peer.hold = NEED(ENGINE_OPEN);
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    CHECK_INT(engine_put_box(peer.engine, 1, 1), 0);
    CHECK(!engine_is_logged_in(peer.engine));
    CHECK_STR(engine_user(peer.engine), "");
    peer_end(&peer);
}

TEST(user_says_ok_whoever_it_is)
{
    greeted(false);
    peer_send(&peer, "USER nobody\r\nUSER \xc3\xa9\r\nUSER a b\r\n");
    CHECK_BOTH(&peer, NOW_PASS NOW_PASS NOW_PASS, "");
    peer_end(&peer);
}

TEST(last_user_counts)
{
    greeted(true);
    peer_send(&peer, "USER bob\r\nUSER alice\r\nPASS\r\n");
    CHECK_BOTH(&peer, NOW_PASS NOW_PASS WELCOME,
               "STEP alice;OPEN alice alice KPOP;");
    peer_end(&peer);
}

TEST(pass_without_user_asks_nobody)
{
    greeted(false);
    peer_send(&peer, "PASS x\r\n");
    CHECK_BOTH(&peer, "-ERR USER comes first\r\n", "");
    peer_end(&peer);
}

TEST(failed_pass_needs_user_again)
{
    greeted(false);
    peer.start = STATUS_AUTH;
    peer_send(&peer, "USER alice\r\nPASS x\r\nPASS y\r\n");
    CHECK_BOTH(&peer, NOW_PASS FAILED "-ERR USER comes first\r\n",
               "START PLAIN 8;");
    peer_end(&peer);
}

TEST(denied_looks_like_a_wrong_password)
{
    greeted(false);
    peer.start = STATUS_DENIED;
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    CHECK_SEEN(&peer, NOW_PASS FAILED);
    peer_end(&peer);
}

TEST(third_failure_closes)
{
    struct engine_counts counts;

    greeted(false);
    peer.start = STATUS_AUTH;
    peer_send(&peer, "USER a\r\nPASS x\r\nUSER a\r\nPASS x\r\nUSER a\r\n");
    CHECK(!engine_is_closing(peer.engine));
    peer_forget(&peer);
    peer_send(&peer, "PASS x\r\nUSER a\r\nPASS right\r\n");
    CHECK_BOTH(&peer, "-ERR [AUTH] too many failed logins\r\n",
               "START PLAIN 4;");
    CHECK_STR(engine_end_reason(peer.engine), "too-many-failures");
    engine_get_counts(peer.engine, &counts);
    CHECK_INT(counts.failures, 3);
    peer_end(&peer);
}

static void
check_trouble(int result, const char *reply)
{
    struct engine_counts counts;
    int i;

    greeted(false);
    peer.start = result;
    for (i = 0; i < 5; i++) {
        peer_forget(&peer);
        peer_send(&peer, "USER alice\r\nPASS x\r\n");
        CHECK_STR(peer.seen + sizeof(NOW_PASS) - 1, reply);
    }
    engine_get_counts(peer.engine, &counts);
    CHECK_INT(counts.failures, 0);
    CHECK(!engine_is_closing(peer.engine));
    peer_end(&peer);
}

TEST(trouble_at_the_password_is_no_failure)
{
    check_trouble(STATUS_TEMP, "-ERR [SYS/TEMP] login is not possible at the "
                               "moment, try again later\r\n");
    check_trouble(STATUS_NO_MEMORY, "-ERR [SYS/TEMP] login is not possible "
                                    "at the moment, try again later\r\n");
    check_trouble(STATUS_PERM, "-ERR [SYS/PERM] login is not possible, tell "
                               "your administrator\r\n");
    check_trouble(STATUS_DELAY, "-ERR [LOGIN-DELAY] too soon after the last "
                                "login, try again later\r\n");
}

TEST(locked_maildrop_is_no_failure_and_may_be_tried_again)
{
    struct engine_counts counts;

    greeted(false);
    peer.open = STATUS_IN_USE;
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    CHECK_BOTH(&peer,
               NOW_PASS "-ERR [IN-USE] the maildrop is in use by another "
                        "session, try again later\r\n",
               "START PLAIN 8;OPEN alice alice PLAIN;");
    engine_get_counts(peer.engine, &counts);
    CHECK_INT(counts.failures, 0);
    peer.open = STATUS_OK;
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    CHECK_BOTH(&peer, NOW_PASS WELCOME,
               "START PLAIN 8;OPEN alice alice PLAIN;");
    peer_end(&peer);
}

TEST(ok_without_a_user_lets_nobody_in)
{
    greeted(false);
    peer.no_user = true;
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    CHECK(peer_saw(&peer, "-ERR [SYS/TEMP]"));
    CHECK_STR(peer.asked, "START PLAIN 8;");
    peer_end(&peer);
}

TEST(ok_without_a_box_lets_nobody_in)
{
    greeted(false);
    peer.no_box = true;
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    CHECK(peer_saw(&peer, "-ERR [SYS/TEMP]"));
    CHECK(!engine_is_logged_in(peer.engine));
    peer_end(&peer);
}

TEST(password_mechanism_that_goes_on_is_ended)
{
    greeted(false);
    peer.start = STATUS_CONTINUE;
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    CHECK(peer_saw(&peer, "-ERR [SYS/TEMP]"));
    CHECK(engine_is_closing(peer.engine));
    CHECK_STR(peer.asked, "START PLAIN 8;END;");
    peer_end(&peer);
}

TEST(taken_says_nothing_more)
{
    greeted(false);
    peer.start = STATUS_TAKEN;
    CHECK_INT(peer_send_pieces(&peer, "USER a\r\nPASS x\r\nSTAT\r\n", 22, 22),
              16);
    CHECK(engine_is_taken(peer.engine));
    CHECK(!engine_wants_input(peer.engine));
    engine_timeout(peer.engine);
    engine_stop(peer.engine);
    engine_input_end(peer.engine);
    CHECK(engine_is_taken(peer.engine));
    CHECK(!engine_is_closing(peer.engine));
    CHECK_INT(engine_timer(peer.engine), ENGINE_TIMER_NONE);
    CHECK_SEEN(&peer, NOW_PASS);
    peer_end(&peer);
}

TEST(password_octets_do_not_stay_in_the_line)
{
    size_t i;
    const char *octets;

    greeted(false);
    peer_send(&peer, "USER alice\r\nPASS Wx7secretQ\r\n");
    octets = (const char *)peer.engine;
    for (i = 0; i < 1500; i++)
        CHECK(memcmp(octets + i, "secretQ", 7) != 0);
    peer_end(&peer);
}

TEST(user_is_off_without_the_mechanism)
{
    greeted(false);
    CHECK_INT(engine_set_mechanisms(peer.engine, "GSSAPI XUSER"), 0);
    peer_send(&peer, "USER alice\r\nPASS x\r\nCAPA\r\n");
    CHECK(peer_saw(&peer, "-ERR [AUTH] no passwords here: use another way "
                          "to log in\r\n-ERR USER comes first\r\n"));
    CHECK(!peer_saw(&peer, "\r\nUSER\r\n"));
    CHECK_STR(peer.asked, "");
    peer_end(&peer);
}

TEST(user_without_tls_is_told_to_use_it)
{
    peer_init(&peer, false);
    peer.settings.plaintext_needs_tls = true;
    peer_greeted(&peer);
    CHECK_INT(engine_set_mechanisms(peer.engine, ""), 0);
    peer_send(&peer, "USER alice\r\n");
    CHECK_SEEN(&peer, "-ERR [AUTH] no passwords without TLS: use TLS or "
                      "Kerberos first\r\n");
    peer_end(&peer);
}

/* ---- KPOP ---- */

TEST(kpop_pass_may_be_anything)
{
    static const char *const lines[] = { "PASS\r\n", "PASS \r\n",
                                         "PASS hej\r\n", "pass a b c\r\n" };
    size_t i;

    for (i = 0; i < 4; i++) {
        greeted(true);
        peer_send(&peer, "USER alice\r\n");
        peer_send(&peer, lines[i]);
        CHECK_BOTH(&peer, NOW_PASS WELCOME,
                   "STEP alice;OPEN alice alice KPOP;");
        peer_end(&peer);
    }
}

TEST(kpop_wrong_name_closes)
{
    static const int results[] = { STATUS_AUTH, STATUS_DENIED };
    size_t i;

    for (i = 0; i < 2; i++) {
        greeted(true);
        peer.step = results[i];
        peer_send(&peer, "USER bob\r\nPASS x\r\nUSER alice\r\nPASS x\r\n");
        CHECK_BOTH(&peer, NOW_PASS FOREIGN, "STEP bob;");
        CHECK(engine_is_closing(peer.engine));
        peer_end(&peer);
    }
}

TEST(kpop_step_is_repeated_after_temp)
{
    greeted(true);
    peer.step = STATUS_TEMP;
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    CHECK(peer_saw(&peer, "-ERR [SYS/TEMP]"));
    peer_forget(&peer);
    peer.step = STATUS_OK;
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    CHECK_BOTH(&peer, NOW_PASS WELCOME, "STEP alice;OPEN alice alice KPOP;");
    peer_end(&peer);
}

TEST(kpop_open_alone_is_repeated_when_the_name_was_accepted)
{
    greeted(true);
    peer.open = STATUS_IN_USE;
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    CHECK(peer_saw(&peer, "-ERR [IN-USE]"));
    peer_forget(&peer);
    peer.open = STATUS_TEMP;
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    CHECK(peer_saw(&peer, "-ERR [SYS/TEMP]"));
    CHECK_STR(peer.asked, "OPEN alice alice KPOP;");
    peer_forget(&peer);
    peer.open = STATUS_OK;
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    CHECK_BOTH(&peer, NOW_PASS WELCOME, "OPEN alice alice KPOP;");
    peer_end(&peer);
}

TEST(kpop_another_name_after_in_use_closes)
{
    greeted(true);
    peer.open = STATUS_IN_USE;
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    peer_forget(&peer);
    peer_send(&peer, "USER alic\r\nPASS x\r\n");
    CHECK_BOTH(&peer, NOW_PASS FOREIGN, "");
    CHECK(engine_is_closing(peer.engine));
    peer_end(&peer);
}

TEST(kpop_another_name_after_temp_closes_and_ends_the_exchange)
{
    greeted(true);
    peer.step = STATUS_TEMP;
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    peer_forget(&peer);
    peer_send(&peer, "USER bob\r\nPASS x\r\n");
    CHECK_BOTH(&peer, NOW_PASS FOREIGN, "END;");
    peer_end(&peer);
}

TEST(kpop_step_is_not_repeated_after_perm)
{
    greeted(true);
    peer.step = STATUS_PERM;
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    CHECK(peer_saw(&peer, "-ERR [SYS/PERM]"));
    CHECK(engine_is_closing(peer.engine));
    CHECK_STR(peer.asked, "STEP alice;");
    peer_end(&peer);
}

TEST(kpop_user_of_the_host_is_opened_not_the_one_asked_for)
{
    greeted(true);
    peer.user = "alice@other";
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    CHECK_STR(peer.asked, "STEP alice;OPEN alice@other alice KPOP;");
    CHECK_STR(engine_user(peer.engine), "alice@other");
    peer_end(&peer);
}

TEST(kpop_quit_before_user_ends_the_exchange)
{
    greeted(true);
    peer_send(&peer, "QUIT\r\n");
    CHECK_BOTH(&peer, "+OK bye\r\n", "END;");
    peer_end(&peer);
}

/* ---- names and lines ---- */

TEST(longest_name_that_fits_a_line)
{
    char line[ENGINE_LINE_MAX + 1] = "USER ";
    char want[300] = "STEP ";

    memset(line + 5, 'n', ENGINE_LINE_MAX - 7);
    memcpy(line + ENGINE_LINE_MAX - 2, "\r\n", 3);
    memset(want + 5, 'n', ENGINE_LINE_MAX - 7);
    memcpy(want + 5 + ENGINE_LINE_MAX - 7, ";", 2);
    greeted(true);
    peer.step = STATUS_DENIED;
    peer_send(&peer, line);
    peer_send(&peer, "PASS\r\n");
    CHECK_STR(peer.asked, want);
    peer_end(&peer);
}

static void
check_bytes(const char *bytes, size_t len, const char *want)
{
    greeted(true);
    CHECK_INT(peer_send_pieces(&peer, bytes, len, len), len);
    CHECK_MEM(peer.seen, peer.seen_len, want, strlen(want));
    CHECK_STR(peer.asked, "");
    peer_end(&peer);
}

#define BYTES(bytes, want) check_bytes(bytes, sizeof(bytes) - 1, want)
#define FORBIDDEN "-ERR forbidden octets in the line\r\n"
#define UNKNOWN "-ERR unknown command\r\n"

TEST(n22_nul_never_shortens_a_name)
{
    BYTES("USER alice\0x\r\nPASS\r\n", FORBIDDEN "-ERR USER comes first\r\n");
    BYTES("USER alice\0\r\n", FORBIDDEN);
    BYTES("USER \0\r\n", FORBIDDEN);
}

TEST(n22_control_octets_are_refused)
{
    BYTES("USER a\x7f\r\n", FORBIDDEN);
    BYTES("USER a\tb\r\n", FORBIDDEN);
    BYTES("USER a\rb\r\n", FORBIDDEN);
    BYTES("USER a\r\nPASS a\0b\r\n", NOW_PASS FORBIDDEN);
    BYTES("USER a\r\nPASS a\rb\r\n", NOW_PASS FORBIDDEN);
    BYTES("QUIT\0\r\n", UNKNOWN);
    BYTES("QUIT \0\r\n", FORBIDDEN);
    BYTES("\0\r\n", UNKNOWN);
    BYTES("\xff\xfe\x80\r\n", UNKNOWN);
    BYTES("CAPA \xc3\xa9\r\n", FORBIDDEN);
}

TEST(user_without_a_name_is_refused)
{
    BYTES("USER\r\nUSER \r\n", "-ERR a user name is wanted here\r\n"
                               "-ERR a user name is wanted here\r\n");
}

TEST(pass_without_a_password_asks_nobody)
{
    greeted(false);
    peer_send(&peer, "USER a\r\nPASS\r\nUSER a\r\nPASS \r\n");
    CHECK_BOTH(&peer, NOW_PASS "-ERR PASS wants a password\r\n"
               NOW_PASS "-ERR PASS wants a password\r\n", "");
    peer_end(&peer);
}

TEST(n22_overlong_line_is_answered_once)
{
    static char line[5003];

    memset(line, 'x', 5000);
    memcpy(line + 5000, "\r\n", 3);
    greeted(true);
    peer_send(&peer, line);
    peer_send(&peer, "QUIT\r\n");
    CHECK_SEEN(&peer, "-ERR line too long, 255 octets are the limit\r\n"
                      "+OK bye\r\n");
    peer_end(&peer);
}

TEST(line_without_end_closes)
{
    static char line[ENGINE_SWALLOW_MAX + 2];

    memset(line, 'x', sizeof(line) - 1);
    greeted(true);
    peer_send(&peer, line);
    CHECK_BOTH(&peer, "-ERR line too long, closing\r\n", "END;");
    CHECK(engine_is_closing(peer.engine));
    CHECK_STR(engine_end_reason(peer.engine), "line-too-long");
    peer_end(&peer);
}

TEST(keywords_are_case_insensitive)
{
    greeted(false);
    peer_send(&peer, "uSeR alice\r\npaSS x\r\nnoop\r\nnOoP\r\n");
    CHECK_SEEN(&peer, NOW_PASS WELCOME "+OK\r\n+OK\r\n");
    peer_end(&peer);
}

TEST(commands_of_the_other_state_are_refused)
{
    greeted(false);
    peer_send(&peer, "STAT\r\nRETR 1\r\nNOOP\r\n");
    CHECK_SEEN(&peer, "-ERR log in first\r\n-ERR log in first\r\n"
                      "-ERR log in first\r\n");
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    peer_forget(&peer);
    peer_send(&peer, "USER alice\r\nPASS x\r\nAPOP a b\r\nAUTH\r\nSTLS\r\n");
    CHECK_SEEN(&peer, "-ERR not after login\r\n-ERR not after login\r\n"
                      "-ERR not after login\r\n-ERR not after login\r\n"
                      "-ERR not after login\r\n");
    peer_end(&peer);
}

TEST(verbs_of_other_protocols_are_unknown)
{
    static const char *const verbs[] = {
        "HELO a b", "FOLD x",  "READ",   "ACKS", "NACK", "LFLD", "SFLD x",
        "CFLD x",   "DFLD x",  "MOVF",   "RENF", "MOVE", "COPY", "STOR",
        "RPOP a",   "XTND x",  "*ENV 1", "",     " ",
        "USERX",    "USE",     "TOPP",   "XDELE 1 2",
    };
    size_t i;

    greeted(true);
    for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        peer_send(&peer, verbs[i]);
        peer_send(&peer, "\r\n");
        CHECK_SEEN(&peer, UNKNOWN);
    }
    peer_end(&peer);
}

/* ---- CAPA ---- */

#define CAPA_HEAD                                                           \
    "+OK capability list follows\r\nTOP\r\nUIDL\r\nRESP-CODES\r\n"          \
    "AUTH-RESP-CODE\r\nPIPELINING\r\nLANG\r\n"

TEST(capa_before_login)
{
    greeted(false);
    peer_send(&peer, "CAPA\r\n");
    CHECK_SEEN(&peer, CAPA_HEAD "EXPIRE NEVER\r\nUSER\r\n.\r\n");
    peer_end(&peer);
}

TEST(capa_on_kpop_lists_user_and_no_sasl)
{
    greeted(true);
    CHECK_INT(engine_set_mechanisms(peer.engine, "KPOP GSSAPI PLAIN"), 0);
    peer_send(&peer, "CAPA\r\n");
    CHECK_SEEN(&peer, CAPA_HEAD "EXPIRE NEVER\r\nUSER\r\n.\r\n");
    peer_end(&peer);
}

TEST(capa_after_login)
{
    peer_init(&peer, false);
    peer_logged_in(&peer);
    peer_send(&peer, "CAPA\r\n");
    CHECK_SEEN(&peer, CAPA_HEAD "EXPIRE NEVER\r\n"
                                "IMPLEMENTATION kpop-test\r\n.\r\n");
    peer_end(&peer);
}

TEST(capa_tells_the_policy_of_the_maildrop)
{
    greeted(false);
    peer.hold = NEED(ENGINE_OPEN);
    peer_send(&peer, "USER alice\r\nPASS x\r\n");
    CHECK_INT(engine_put_policy(peer.engine, 30, 60), 0);
    peer.hold = 0;
    peer_run(&peer);
    peer_forget(&peer);
    peer_send(&peer, "CAPA\r\n");
    CHECK_SEEN(&peer, CAPA_HEAD "EXPIRE 30\r\nLOGIN-DELAY 60\r\n"
                                "IMPLEMENTATION kpop-test\r\n.\r\n");
    peer_end(&peer);
}

TEST(capa_takes_no_argument)
{
    greeted(false);
    peer_send(&peer, "CAPA x\r\n");
    CHECK_SEEN(&peer, "-ERR this command takes no argument\r\n");
    peer_end(&peer);
}

TEST(banner_stands_in_the_greeting)
{
    peer_init(&peer, false);
    peer.engine = engine_new(&peer.settings);
    CHECK_INT(engine_set_banner(peer.engine, "<1.2@mail.example.org>"), 0);
    engine_begin(peer.engine);
    peer_run(&peer);
    CHECK_SEEN(&peer, "+OK mail.example.org kpop ready "
                      "<1.2@mail.example.org>\r\n");
    peer_end(&peer);
}

TEST(greeting_is_one_short_line_whatever_the_names)
{
    static char name[1000];
    static char banner[400];

    memset(name, 'h', sizeof(name) - 1);
    memset(banner, 'b', sizeof(banner) - 1);
    peer_init(&peer, false);
    peer.settings.hostname = name;
    peer.engine = engine_new(&peer.settings);
    CHECK_INT(engine_set_mechanisms(peer.engine, name), STATUS_INVALID);
    CHECK_INT(engine_set_banner(peer.engine, banner), 0);
    engine_begin(peer.engine);
    peer_run(&peer);
    CHECK(peer.seen_len <= ENGINE_REPLY_MAX);
    CHECK_MEM(peer.seen + peer.seen_len - 2, 2, "\r\n", 2);
    peer_end(&peer);
}

TEST_MAIN("authz", T(user_and_pass_become_plain),
          T(plain_message_is_nul_user_nul_password),
          T(nobody_is_logged_in_while_the_box_is_being_opened),
          T(user_says_ok_whoever_it_is), T(last_user_counts),
          T(pass_without_user_asks_nobody), T(failed_pass_needs_user_again),
          T(denied_looks_like_a_wrong_password), T(third_failure_closes),
          T(trouble_at_the_password_is_no_failure),
          T(locked_maildrop_is_no_failure_and_may_be_tried_again),
          T(ok_without_a_user_lets_nobody_in),
          T(ok_without_a_box_lets_nobody_in),
          T(password_mechanism_that_goes_on_is_ended),
          T(taken_says_nothing_more),
          T(password_octets_do_not_stay_in_the_line),
          T(user_is_off_without_the_mechanism),
          T(user_without_tls_is_told_to_use_it), T(kpop_pass_may_be_anything),
          T(kpop_wrong_name_closes),
          T(kpop_step_is_repeated_after_temp),
          T(kpop_open_alone_is_repeated_when_the_name_was_accepted),
          T(kpop_another_name_after_in_use_closes),
          T(kpop_another_name_after_temp_closes_and_ends_the_exchange),
          T(kpop_step_is_not_repeated_after_perm),
          T(kpop_user_of_the_host_is_opened_not_the_one_asked_for),
          T(kpop_quit_before_user_ends_the_exchange),
          T(longest_name_that_fits_a_line), T(n22_nul_never_shortens_a_name),
          T(n22_control_octets_are_refused),
          T(user_without_a_name_is_refused),
          T(pass_without_a_password_asks_nobody),
          T(n22_overlong_line_is_answered_once), T(line_without_end_closes),
          T(keywords_are_case_insensitive),
          T(commands_of_the_other_state_are_refused),
          T(verbs_of_other_protocols_are_unknown), T(capa_before_login),
          T(capa_on_kpop_lists_user_and_no_sasl), T(capa_after_login),
          T(capa_tells_the_policy_of_the_maildrop), T(capa_takes_no_argument),
          T(banner_stands_in_the_greeting),
          T(greeting_is_one_short_line_whatever_the_names))
