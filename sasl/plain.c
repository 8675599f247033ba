/*
 * plain.c - PLAIN (RFC 4616), which also carries USER and PASS.  It checks
 * the message and asks the host twice: is the password right, and may this
 * user read the mailbox.  Keeps the password only until it is judged and never
 * logs it.
 *
 * Names and passwords are prepared (RFC 6856 section 2.2).  A password that
 * changes by it is asked about as it was typed, too, when that was wrong: a
 * KDC or PAM, which have it as it was once typed, know nothing of SASLprep.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "sasl/clean.h"
#include "sasl/prep.h"
#include "sasl/world.h"

enum plain_stage {
    WAIT_MESSAGE,
    WAIT_PASSWORD,  /* the host checks it */
    WAIT_AUTHORIZE, /* the host decides */
    ENDED
};

struct plain {
    enum plain_stage stage;
    size_t password_len;
    size_t typed_len; /* 0: there is no other form to try */
    uint8_t typed[NAME_OCTETS_MAX];
    char authzid[NAME_OCTETS_MAX + 1];
    char authcid[NAME_OCTETS_MAX + 1];
    uint8_t password[NAME_OCTETS_MAX + 1];
};

static int
plain_start(struct sasl_world *world, const struct mech_peer *peer,
            void **state_out)
{
    struct plain *plain = calloc(1, sizeof(*plain));

    (void)world;
    (void)peer;
    *state_out = plain;
    return plain == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

/* Takes the octets before the next NUL, or all, off *in. */
static void
next_field(const uint8_t **in, size_t *len, const uint8_t **field_out,
           size_t *field_len_out)
{
    const uint8_t *nul = *len > 0 ? memchr(*in, 0, *len) : NULL;
    size_t size = nul == NULL ? *len : (size_t)(nul - *in);

    *field_out = *in;
    *field_len_out = size;
    if (nul != NULL)
        size++;
    *in += size;
    *len -= size;
}

static bool
has_two_nuls(const uint8_t *in, size_t len)
{
    size_t count = 0;

    for (size_t i = 0; i < len; i++)
        count += in[i] == 0;
    return count == 2;
}

static int
keep_password(struct plain *plain, const uint8_t *password, size_t len)
{
    const struct digest_secret given = { .data = password, .len = len };
    struct digest_secret prepared;
    char *text;
    int status = prep_password(&given, &text, &prepared);

    if (status != STATUS_OK)
        return status;
    if (prepared.len == 0 || prepared.len > sizeof(plain->password))
        prepared = given;
    memcpy(plain->password, prepared.data, prepared.len);
    plain->password_len = prepared.len;
    if (prepared.len != len || memcmp(prepared.data, password, len) != 0) {
        memcpy(plain->typed, password, len);
        plain->typed_len = len;
    }
    prep_free(text);
    return STATUS_OK;
}

/* [authzid] NUL authcid NUL passwd, exactly. */
static int
parse(struct plain *plain, const uint8_t *in, size_t len)
{
    int status = STATUS_OK;

    const uint8_t *authzid;
    const uint8_t *authcid;
    const uint8_t *password;
    size_t authzid_len;
    size_t authcid_len;
    size_t password_len;

    if (!has_two_nuls(in, len))
        return STATUS_AUTH;
    next_field(&in, &len, &authzid, &authzid_len);
    next_field(&in, &len, &authcid, &authcid_len);
    next_field(&in, &len, &password, &password_len);
    if ((authzid_len > 0 && !clean_request(authzid, authzid_len)) ||
        !clean_request(authcid, authcid_len) || password_len == 0 ||
        password_len > NAME_OCTETS_MAX || !clean_utf8(password, password_len))
        return STATUS_AUTH;
    if (authzid_len > 0)
        status = prep_name(authzid, authzid_len, plain->authzid,
                           NAME_OCTETS_MAX);
    if (status == STATUS_OK)
        status = prep_name(authcid, authcid_len, plain->authcid,
                           NAME_OCTETS_MAX);
    return status == STATUS_OK
               ? keep_password(plain, password, password_len)
               : status;
}

static int
ask_password(struct plain *plain, struct mech_ask *ask)
{
    plain->stage = WAIT_PASSWORD;
    memset(ask, 0, sizeof(*ask));
    ask->need = MECH_PASSWORD;
    ask->user = plain->authcid;
    ask->password = plain->password;
    ask->password_len = plain->password_len;
    return STATUS_PENDING;
}

static int
plain_step(void *state, const uint8_t *in, size_t in_len, struct buf *out,
           struct mech_ask *ask)
{
    struct plain *plain = state;
    int status;

    (void)out;
    if (plain->stage != WAIT_MESSAGE)
        return STATUS_INVALID;
    if (in == NULL)
        return STATUS_CONTINUE;
    plain->stage = ENDED;
    status = parse(plain, in, in_len);
    return status == STATUS_OK ? ask_password(plain, ask) : status;
}

static int
plain_resume(void *state, int result, const uint8_t *secret,
             size_t secret_len, struct buf *out, struct mech_ask *ask)
{
    struct plain *plain = state;

    (void)secret;
    (void)secret_len;
    (void)out;
    wipe(plain->password, sizeof(plain->password));
    plain->password_len = 0;
    if (plain->stage == WAIT_PASSWORD && result == STATUS_AUTH
        && plain->typed_len > 0) {
        memcpy(plain->password, plain->typed, plain->typed_len);
        plain->password_len = plain->typed_len;
        plain->typed_len = 0;
        return ask_password(plain, ask);
    }
    wipe(plain->typed, sizeof(plain->typed));
    if (plain->stage == WAIT_PASSWORD && result == STATUS_OK) {
        plain->stage = WAIT_AUTHORIZE;
        return mech_ask_own(plain->authcid, plain->authzid, ask);
    }
    if (plain->stage != WAIT_PASSWORD && plain->stage != WAIT_AUTHORIZE)
        return STATUS_INVALID;
    plain->stage = ENDED;
    /* The host has no say in how an exchange goes on. */
    return result > STATUS_OK || result == STATUS_PENDING ? STATUS_INVALID
                                                          : result;
}

static void
plain_free(void *state)
{
    if (state == NULL)
        return;
    wipe(state, sizeof(struct plain));
    free(state);
}

const struct mech mech_plain = {
    .name = "PLAIN",
    .start = plain_start,
    .step = plain_step,
    .resume = plain_resume,
    .free = plain_free,
};
