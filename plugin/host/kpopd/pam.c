/*
 * pam.c - one transaction with PAM a login: authenticate, account, end.  Runs
 * in the auth processes of the pool for outsiders, as auth_user, which is the
 * user that PAM's modules have.  Opens no session and keeps no credentials;
 * changes no password, also when a module wants it changed.
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
#include <unistd.h>

#include "plugin/kpop_plugin.h"

/* A stack whose modules all ask anew; more is no login by password. */
enum { PROMPTS_MAX = 4 };

struct talk {
    char password[PAM_MAX_RESP_SIZE]; /* PAM's own limit */
    char said[160];      /* what a module had to say last */
    unsigned prompts;
    bool wants_more;     /* something else than the password was asked for */
};

static void
free_answers(struct pam_response *answers, int count)
{
    int i;

    for (i = 0; i < count; i++) {
        if (answers[i].resp != NULL)
            explicit_bzero(answers[i].resp, strlen(answers[i].resp));
        free(answers[i].resp);
    }
    free(answers);
}

/*
 * The password is the answer to a lone question for a secret.  Two at once
 * are the question for a new password and its repetition, and an open one is
 * for something that the client did not send.
 */
static bool
is_password_wanted(const struct pam_message *const *messages, int count)
{
    int secrets = 0;
    int i;

    for (i = 0; i < count; i++) {
        secrets += messages[i]->msg_style == PAM_PROMPT_ECHO_OFF;
        if (messages[i]->msg_style == PAM_PROMPT_ECHO_ON)
            return false;
    }
    return secrets <= 1;
}

static int
answer_one(struct talk *talk, const struct pam_message *message,
           struct pam_response *answer)
{
    if (message->msg_style != PAM_PROMPT_ECHO_OFF) {
        snprintf(talk->said, sizeof(talk->said), "%s",
                 message->msg != NULL ? message->msg : "");
        return PAM_SUCCESS;
    }
    if (++talk->prompts > PROMPTS_MAX) {
        talk->wants_more = true;
        return PAM_CONV_ERR;
    }
    answer->resp = strdup(talk->password);
    return answer->resp != NULL ? PAM_SUCCESS : PAM_BUF_ERR;
}

/* The type is PAM's. */
static int
converse(int count, const struct pam_message **messages,
         struct pam_response **answers_out, void *arg)
{
    struct talk *talk = arg;
    struct pam_response *answers;
    int rc = PAM_SUCCESS;
    int i;

    if (count <= 0 || count > PAM_MAX_NUM_MSG)
        return PAM_CONV_ERR;
    if (!is_password_wanted(messages, count)) {
        talk->wants_more = true;
        return PAM_CONV_ERR;
    }
    answers = calloc((size_t)count, sizeof(answers[0]));
    if (answers == NULL)
        return PAM_BUF_ERR;
    for (i = 0; i < count && rc == PAM_SUCCESS; i++)
        rc = answer_one(talk, messages[i], &answers[i]);
    if (rc == PAM_SUCCESS)
        *answers_out = answers;
    else
        free_answers(answers, count);
    return rc;
}

/* PAM would sleep here, and hold up the next login; who guesses is slowed
 * down by login_failure_delay. */
static void
no_delay(int rc, unsigned microseconds, void *arg)
{
    (void)rc;
    (void)microseconds;
    (void)arg;
}

static int
set_function(pam_handle_t *pam, int item, void (*function)(int, unsigned,
                                                           void *))
{
    const void *value;

    /* POSIX lets a pointer to a function be a pointer. */
    memcpy(&value, &function, sizeof(value));
    return pam_set_item(pam, item, value);
}

static int
set_items(pam_handle_t *pam, const struct pam_login *login)
{
    int rc = set_function(pam, PAM_FAIL_DELAY, no_delay);

    /* Some modules refuse to work without a terminal's name. */
    if (rc == PAM_SUCCESS)
        rc = pam_set_item(pam, PAM_TTY, "kpopd");
    if (rc == PAM_SUCCESS && login->peer[0] != '\0')
        rc = pam_set_item(pam, PAM_RHOST, login->peer);
    return rc;
}

/* A module may have turned the name into another one's. */
static bool
is_same_user(pam_handle_t *pam, const char *user)
{
    const void *name = NULL;

    return pam_get_item(pam, PAM_USER, &name) == PAM_SUCCESS && name != NULL
           && strcmp(name, user) == 0;
}

/* Codes of failure that are an answer; all others are trouble. */
static int32_t
translate(int rc)
{
    switch (rc) {
    case PAM_AUTH_ERR:
    case PAM_USER_UNKNOWN:
    case PAM_PERM_DENIED:
    case PAM_MAXTRIES:
    case PAM_ACCT_EXPIRED:
    case PAM_CRED_EXPIRED:
    case PAM_AUTHTOK_EXPIRED:
    case PAM_NEW_AUTHTOK_REQD:
        return KPOP_AUTH;
    default:
        return KPOP_TEMP;
    }
}

static int32_t
explain(pam_handle_t *pam, int rc, const char *step, const struct talk *talk,
        char *reason, size_t reason_size)
{
    snprintf(reason, reason_size, "%s: %s%s%s", step, pam_strerror(pam, rc),
             talk->said[0] != '\0' ? "; " : "", talk->said);
    return translate(rc);
}

static int32_t
transact(pam_handle_t *pam, const struct pam_login *login,
         const struct talk *talk, char *reason, size_t reason_size)
{
    int rc = set_items(pam, login);

    if (rc != PAM_SUCCESS)
        return explain(pam, rc, "pam_set_item", talk, reason, reason_size);
    rc = pam_authenticate(pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
    if (talk->wants_more) {
        snprintf(reason, reason_size,
                 "pam_authenticate: a module asked for more than the "
                 "password, perhaps because that has expired");
        return KPOP_AUTH;
    }
    if (rc != PAM_SUCCESS)
        return explain(pam, rc, "pam_authenticate", talk, reason,
                       reason_size);
    rc = pam_acct_mgmt(pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
    if (rc != PAM_SUCCESS)
        return explain(pam, rc, "pam_acct_mgmt", talk, reason, reason_size);
    if (is_same_user(pam, login->user))
        return KPOP_OK;
    snprintf(reason, reason_size,
             "a module made another user of the one who logs in");
    return KPOP_AUTH;
}

int32_t
pam_verify(const struct pam_login *login, char *reason, size_t reason_size)
{
    struct talk talk = { .prompts = 0 };
    const struct pam_conv conv = { converse, &talk };
    pam_handle_t *pam = NULL;
    int32_t result;
    int rc;

    if (login->password_size == 0
        || login->password_size >= sizeof(talk.password)
        || memchr(login->password, '\0', login->password_size) != NULL) {
        snprintf(reason, reason_size, "no password that PAM can be asked "
                                      "about");
        return KPOP_AUTH;
    }
    memcpy(talk.password, login->password, login->password_size);
    rc = pam_start(login->service, login->user, &conv, &pam);
    if (rc == PAM_SUCCESS)
        result = transact(pam, login, &talk, reason, reason_size);
    else
        result = explain(pam, rc, "pam_start", &talk, reason, reason_size);
    if (pam != NULL)
        (void)pam_end(pam, rc);
    explicit_bzero(&talk, sizeof(talk));
    return result;
}

int
pam_check_service(const char *service, char *error, size_t error_size)
{
    /* Where libpam looks, its vendors' folders included. */
    static const char *const folders[] = { "/etc/pam.d", "/usr/lib/pam.d",
                                           "/usr/share/pam.d" };
    char path[128];
    size_t i;

    for (i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folders[i], service);
        if (access(path, R_OK) == 0)
            return 0;
    }
    snprintf(error, error_size,
             "there is no %s/%s that auth_user can read; PAM would go by its "
             "service other",
             folders[0], service);
    return -1;
}
