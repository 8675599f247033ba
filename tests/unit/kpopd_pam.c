/* LDFLAGS: -Wl,--wrap=calloc,--wrap=strdup */
/*
 * kpopd_pam.c - what kpopd makes of each answer and each question of PAM.  The
 * libpam is ours here; the real one and its modules are in
 * system/passwords.py.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/pam.h"

#include <security/pam_appl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/kpop_plugin.h"
#include "tests/lib/check.h"

/* ---- libpam ---- */

enum { HANDLES = 4096 /* no pointer of it is ever looked into */ };

static char handles[HANDLES];

static struct {
    int start;
    int refused_item;    /* this one of the items is; 0: none */
    int authenticate;
    int account;
    const char *user;    /* PAM_USER at the end; NULL: cannot be had */
    const struct pam_message *asked[8];
    int asked_count;
    int asked_times;
    /* what was seen */
    const struct pam_conv *conv;
    int items;
    bool has_peer;
    bool ended;
    int conversed;
    char heard[PAM_MAX_RESP_SIZE];
} pam;

static void
begin(void)
{
    memset(&pam, 0, sizeof(pam));
    pam.user = "alice";
    pam.asked_times = 1;
}

int
pam_start(const char *service, const char *user, const struct pam_conv *conv,
          pam_handle_t **out)
{
    CHECK_STR(service, "pop3");
    CHECK_STR(user, "alice");
    pam.conv = conv;
    if (pam.start != PAM_SUCCESS)
        return pam.start;
    *out = (pam_handle_t *)(void *)handles;
    return PAM_SUCCESS;
}

int
pam_set_item(pam_handle_t *handle, int item, const void *value)
{
    CHECK(handle == (pam_handle_t *)(void *)handles);
    CHECK(value != NULL);
    pam.has_peer = pam.has_peer || item == PAM_RHOST;
    return ++pam.items == pam.refused_item ? PAM_BUF_ERR : PAM_SUCCESS;
}

int
pam_get_item(const pam_handle_t *handle, int item, const void **out)
{
    (void)handle;
    CHECK_INT(item, PAM_USER);
    *out = pam.user;
    return PAM_SUCCESS;
}

const char *
pam_strerror(pam_handle_t *handle, int error)
{
    (void)handle;
    return error == PAM_PERM_DENIED ? "denied" : "some trouble";
}

/* As a module that asks. */
int
pam_authenticate(pam_handle_t *handle, int flags)
{
    struct pam_response *answers = NULL;
    int i;

    (void)handle;
    CHECK((flags & (int)PAM_DISALLOW_NULL_AUTHTOK) != 0);
    for (; pam.asked_times > 0 && pam.asked_count != 0; pam.asked_times--) {
        pam.conversed = pam.conv->conv(pam.asked_count, pam.asked, &answers,
                                       pam.conv->appdata_ptr);
        if (pam.conversed != PAM_SUCCESS)
            return PAM_CONV_ERR;
        for (i = 0; i < pam.asked_count; i++) {
            if (answers[i].resp != NULL)
                (void)snprintf(pam.heard, sizeof(pam.heard), "%s",
                               answers[i].resp);
            free(answers[i].resp);
        }
        free(answers);
    }
    return pam.authenticate;
}

int
pam_acct_mgmt(pam_handle_t *handle, int flags)
{
    (void)handle;
    CHECK((flags & (int)PAM_DISALLOW_NULL_AUTHTOK) != 0);
    return pam.account;
}

int
pam_end(pam_handle_t *handle, int status)
{
    (void)handle;
    (void)status;
    CHECK(!pam.ended);
    pam.ended = true;
    return PAM_SUCCESS;
}

/* ---- memory ---- */

static int allocations_left = -1; /* -1: all there is */

static bool
is_out_of_memory(void)
{
    return allocations_left >= 0 && allocations_left-- == 0;
}

void *__real_calloc(size_t count, size_t size);
char *__real_strdup(const char *text);
void *__wrap_calloc(size_t count, size_t size);
char *__wrap_strdup(const char *text);

void *
__wrap_calloc(size_t count, size_t size)
{
    return is_out_of_memory() ? NULL : __real_calloc(count, size);
}

char *
__wrap_strdup(const char *text)
{
    return is_out_of_memory() ? NULL : __real_strdup(text);
}

/* ---- the tests ---- */

static const struct pam_message secret = { PAM_PROMPT_ECHO_OFF, "Password:" };
static const struct pam_message open_one = { PAM_PROMPT_ECHO_ON, "Token:" };
static const struct pam_message notice = { PAM_TEXT_INFO, "Good morning." };
static const struct pam_message silent = { PAM_ERROR_MSG, NULL };

static char reason[200];

static void
ask(const struct pam_message *message)
{
    pam.asked[pam.asked_count++] = message;
}

static int32_t
verify(const char *password)
{
    const struct pam_login login = { "pop3", "alice", "192.0.2.1", password,
                                     strlen(password) };

    reason[0] = '\0';
    return pam_verify(&login, reason, sizeof(reason));
}

static void
says(const char *part)
{
    if (strstr(reason, part) == NULL)
        CHECK_STR(reason, part);
}

TEST(a_right_password_is_right)
{
    begin();
    ask(&secret);
    CHECK_INT(verify("wonderland"), KPOP_OK);
    CHECK_STR(pam.heard, "wonderland");
    CHECK(pam.has_peer);
    CHECK(pam.ended);
}

TEST(an_unknown_peer_is_not_told)
{
    const struct pam_login login = { "pop3", "alice", "", "secret", 6 };

    begin();
    CHECK_INT(pam_verify(&login, reason, sizeof(reason)), KPOP_OK);
    CHECK(!pam.has_peer);
}

TEST(answers_are_no_and_trouble_is_temporary)
{
    static const struct {
        int code;
        int32_t result;
    } rows[] = {
        { PAM_AUTH_ERR, KPOP_AUTH },
        { PAM_USER_UNKNOWN, KPOP_AUTH },
        { PAM_PERM_DENIED, KPOP_AUTH },
        { PAM_MAXTRIES, KPOP_AUTH },
        { PAM_ACCT_EXPIRED, KPOP_AUTH },
        { PAM_CRED_EXPIRED, KPOP_AUTH },
        { PAM_AUTHTOK_EXPIRED, KPOP_AUTH },
        { PAM_NEW_AUTHTOK_REQD, KPOP_AUTH },
        { PAM_AUTHINFO_UNAVAIL, KPOP_TEMP },
        { PAM_SYSTEM_ERR, KPOP_TEMP },
        { PAM_BUF_ERR, KPOP_TEMP },
        { PAM_OPEN_ERR, KPOP_TEMP },
        { PAM_ABORT, KPOP_TEMP },
        { PAM_IGNORE, KPOP_TEMP },
    };
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin();
        pam.authenticate = rows[i].code;
        CHECK_INT(verify("x"), rows[i].result);
        says("pam_authenticate: ");
        CHECK(pam.ended);
        begin();
        pam.account = rows[i].code;
        CHECK_INT(verify("x"), rows[i].result);
        says("pam_acct_mgmt: ");
        CHECK(pam.ended);
    }
}

TEST(a_start_that_fails_lets_nobody_in)
{
    begin();
    pam.start = PAM_SYSTEM_ERR;
    CHECK_INT(verify("x"), KPOP_TEMP);
    says("pam_start: some trouble");
    CHECK(!pam.ended);
}

TEST(an_item_that_is_refused_lets_nobody_in)
{
    int i;

    for (i = 1; i <= 3; i++) {
        begin();
        pam.refused_item = i;
        CHECK_INT(verify("x"), KPOP_TEMP);
        says("pam_set_item: ");
        CHECK_INT(pam.items, i);
        CHECK(pam.ended);
    }
}

TEST(a_module_that_makes_another_user_of_him_lets_nobody_in)
{
    begin();
    pam.user = "root";
    CHECK_INT(verify("x"), KPOP_AUTH);
    says("another user");
    begin();
    pam.user = NULL;
    CHECK_INT(verify("x"), KPOP_AUTH);
    says("another user");
}

TEST(what_a_module_says_is_told_to_the_admin)
{
    begin();
    ask(&notice);
    ask(&secret);
    pam.authenticate = PAM_PERM_DENIED;
    CHECK_INT(verify("x"), KPOP_AUTH);
    CHECK_STR(reason, "pam_authenticate: denied; Good morning.");
    begin();
    ask(&silent);
    pam.authenticate = PAM_PERM_DENIED;
    CHECK_INT(verify("x"), KPOP_AUTH);
    CHECK_STR(reason, "pam_authenticate: denied");
}

TEST(the_password_is_no_answer_to_another_question)
{
    begin();
    ask(&open_one);
    CHECK_INT(verify("x"), KPOP_AUTH);
    says("more than the password");
    CHECK_STR(pam.heard, "");
    begin();
    ask(&secret);
    ask(&secret); /* a new one, and again */
    CHECK_INT(verify("x"), KPOP_AUTH);
    says("more than the password");
    CHECK_STR(pam.heard, "");
}

TEST(a_stack_may_ask_four_times)
{
    begin();
    ask(&secret);
    pam.asked_times = 4;
    CHECK_INT(verify("x"), KPOP_OK);
    begin();
    ask(&secret);
    pam.asked_times = 5;
    CHECK_INT(verify("x"), KPOP_AUTH);
    says("more than the password");
}

TEST(a_number_of_questions_that_cannot_be_is_refused)
{
    begin();
    pam.asked_count = -1;
    CHECK_INT(verify("x"), KPOP_TEMP);
    CHECK_INT(pam.conversed, PAM_CONV_ERR);
    begin();
    pam.asked_count = PAM_MAX_NUM_MSG + 1;
    CHECK_INT(verify("x"), KPOP_TEMP);
    CHECK_INT(pam.conversed, PAM_CONV_ERR);
}

TEST(without_memory_nobody_gets_in)
{
    int i;

    for (i = 0; i < 3; i++) {
        begin();
        ask(&secret);
        ask(&notice);
        allocations_left = i;
        CHECK_INT(verify("x"), i < 2 ? KPOP_TEMP : KPOP_OK);
        allocations_left = -1;
        CHECK_INT(pam.conversed, i < 2 ? PAM_BUF_ERR : PAM_SUCCESS);
    }
}

TEST(what_pam_cannot_be_told_is_no_password)
{
    static char longest[PAM_MAX_RESP_SIZE + 1];
    struct pam_login login = { "pop3", "alice", "", "a\0b", 3 };

    begin();
    CHECK_INT(pam_verify(&login, reason, sizeof(reason)), KPOP_AUTH);
    CHECK_INT(verify(""), KPOP_AUTH);
    memset(longest, 'x', PAM_MAX_RESP_SIZE);
    CHECK_INT(verify(longest), KPOP_AUTH);
    CHECK(pam.conv == NULL);
    longest[PAM_MAX_RESP_SIZE - 1] = '\0';
    CHECK_INT(verify(longest), KPOP_OK);
}

TEST(a_service_without_a_file_is_named)
{
    char error[200];

    CHECK_INT(pam_check_service("no-such-service", error, sizeof(error)), -1);
    CHECK(strstr(error, "/etc/pam.d/no-such-service") != NULL);
}

TEST_MAIN("kpopd_pam", T(a_right_password_is_right),
          T(an_unknown_peer_is_not_told),
          T(answers_are_no_and_trouble_is_temporary),
          T(a_start_that_fails_lets_nobody_in),
          T(an_item_that_is_refused_lets_nobody_in),
          T(a_module_that_makes_another_user_of_him_lets_nobody_in),
          T(what_a_module_says_is_told_to_the_admin),
          T(the_password_is_no_answer_to_another_question),
          T(a_stack_may_ask_four_times),
          T(a_number_of_questions_that_cannot_be_is_refused),
          T(without_memory_nobody_gets_in),
          T(what_pam_cannot_be_told_is_no_password),
          T(a_service_without_a_file_is_named))
