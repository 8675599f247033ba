/* LDFLAGS: -Wl,--wrap=getrandom */
/*
 * fuzz_shared.c - PLAIN, CRAM-MD5 and APOP, with a client that knows how to
 * and whose message is bent.  Dies when somebody gets in for whom not every
 * octet of the message is right, when a client that nobody bent does not, or
 * when what is over goes on.
 *
 * The script begins with five octets: mechanism, user, circumstances, the
 * host's verdict, how often the message is bent.
 *
 * SPDX-License-Identifier: MIT
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "sasl/clean.h"
#include "sasl/mech.h"
#include "tests/fuzz/bend.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A finding is found again. */
ssize_t __wrap_getrandom(void *data, size_t size, unsigned flags);

ssize_t
__wrap_getrandom(void *data, size_t size, unsigned flags)
{
    (void)flags;
    memset(data, 0x5a, size);
    return (ssize_t)size;
}

enum { PLAIN, CRAM, APOP, MECHANISMS };
enum { WRONG_PASSWORD = 1, WITH_AUTHZID = 2, ASKED = 4 };

static const char *const names[MECHANISMS] = { "PLAIN", "CRAM-MD5", "APOP" };

/* Names and passwords that SASLprep does not change. */
static const struct user {
    const char *name;
    const char *password;
    int found; /* the host's result for its secret */
} users[] = {
    { "alice", "secret", STATUS_OK },
    { "a b", "\xc3\xa9" "t\xc3\xa9", STATUS_OK },
    { "mute", "", STATUS_OK },
    { "nobody", "nobody's secret", STATUS_AUTH },
    { "down", "secret", STATUS_TEMP },
};
enum { USERS = sizeof(users) / sizeof(users[0]) };

struct talk {
    unsigned kind;
    unsigned how;
    const struct user *user; /* whom the client means to be */
    bool bent;
    const struct mech *mech;
    void *state;
    struct mech_ask ask;
    struct buf out;
    char challenge[400];     /* "" = there is none */
    struct octets message;   /* as it was sent */
};

static struct sasl_world *world;

static void
no_log(void *arg, unsigned level, const char *event, const char *line)
{
    (void)arg;
    (void)level;
    (void)event;
    (void)line;
}

static const struct mech_peer peer = {
    .address = "192.0.2.1", .session_id = "s1", .log = no_log
};

static void
set_up(void)
{
    static const struct sasl_settings settings = {
        .hostname = "mail.test", .keytab = "/nonexistent",
        .services = "pop", .replay_cache = "/nonexistent", .realms = "",
        .principal_map = "",
    };
    char error[200];

    expect(sasl_world_new(&settings, &world, error, sizeof(error))
               == STATUS_OK, "a world");
}

static int
say(struct talk *talk, const struct octets *message)
{
    static const uint8_t empty[1];

    return talk->mech->step(talk->state, message->len > 0 ? message->data
                                                          : empty,
                            message->len, &talk->out, &talk->ask);
}

static int
answer(struct talk *talk, int result, const char *secret)
{
    return talk->mech->resume(talk->state, result, (const uint8_t *)secret,
                              secret != NULL ? strlen(secret) : 0, &talk->out,
                              &talk->ask);
}

/* ---- the client ---- */

/* The digest of RFC 2195 or RFC 1939 for this challenge, in hex. */
static void
count(unsigned kind, const char *password, const void *challenge, size_t len,
      char hex[33])
{
    uint8_t octets[EVP_MAX_MD_SIZE];
    static struct octets text;

    octets_set(&text, challenge, len);
    octets_add_text(&text, password);
    if (kind == CRAM)
        expect(HMAC(EVP_md5(), password, (int)strlen(password), challenge,
                    len, octets, NULL) != NULL, "HMAC");
    else
        expect(EVP_Digest(text.data, text.len, octets, NULL, EVP_md5(), NULL)
                   == 1, "MD5");
    for (size_t i = 0; i < 16; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", octets[i]);
}

static void
make_message(struct talk *talk)
{
    const char *password = (talk->how & WRONG_PASSWORD) != 0
                               ? "wrong" : talk->user->password;
    struct octets *message = &talk->message;
    char hex[33];

    message->len = 0;
    if (talk->kind == PLAIN) {
        if ((talk->how & WITH_AUTHZID) != 0)
            octets_add_text(message, talk->user->name);
        octets_add(message, "", 1);
        octets_add_text(message, talk->user->name);
        octets_add(message, "", 1);
        octets_add_text(message, password);
        return;
    }
    if (talk->kind == APOP) {
        octets_add_text(message, talk->challenge);
        octets_add_text(message, " ");
    }
    count(talk->kind, password, talk->challenge, strlen(talk->challenge),
          hex);
    octets_add_text(message, talk->user->name);
    octets_add_text(message, " ");
    octets_add_text(message, hex);
}

static bool
is_honest(const struct talk *talk)
{
    return talk->user->found == STATUS_OK && talk->user->password[0] != '\0'
           && (talk->how & WRONG_PASSWORD) == 0;
}

/* ---- what must hold ---- */

/* Is this the message of one who is user and has its password?  APOP's
 * challenge comes with it, and the session compares that. */
static bool
is_right(const struct talk *talk, const struct user *user)
{
    const struct octets *message = &talk->message;
    const uint8_t *challenge = (const uint8_t *)talk->challenge;
    size_t len = strlen(talk->challenge);
    static struct octets wanted;
    const uint8_t *space;
    char hex[33];

    wanted.len = 0;
    if (talk->kind == APOP) {
        space = memchr(message->data, ' ', message->len);
        if (space == NULL)
            return false;
        challenge = message->data;
        len = (size_t)(space - message->data);
        octets_add(&wanted, challenge, len + 1);
    }
    count(talk->kind, user->password, challenge, len, hex);
    octets_add_text(&wanted, user->name);
    octets_add_text(&wanted, " ");
    octets_add_text(&wanted, hex);
    return octets_are(message, wanted.data, wanted.len);
}

/* PLAIN: behind the first NUL the user, a NUL, and what the host has judged.
 * SASLprep makes no other name that of a user in ASCII. */
static bool
is_plainly_right(const struct talk *talk, const struct user *user)
{
    const uint8_t *data = talk->message.data;
    size_t len = strlen(user->name);
    const uint8_t *nul = talk->message.len > 0
                             ? memchr(data, 0, talk->message.len) : NULL;
    size_t at = nul != NULL ? (size_t)(nul - data) + 1 : SIZE_MAX;

    if (nul == NULL)
        return false;
    return talk->message.len - at > len
           && memcmp(data + at, user->name, len + 1) == 0;
}

static const struct user *
find_user(const char *name)
{
    for (size_t i = 0; i < USERS; i++)
        if (strcmp(users[i].name, name) == 0)
            return &users[i];
    return NULL;
}

static void
check_over(struct talk *talk)
{
    static struct octets none;

    expect(say(talk, &talk->message) == STATUS_INVALID
               && say(talk, &none) == STATUS_INVALID
               && answer(talk, STATUS_OK, "secret") == STATUS_INVALID
               && buf_len(&talk->out) == 0,
           "what is over stays over");
}

/* ---- the host ---- */

static int
judge_password(struct talk *talk, const struct user *user)
{
    bool right = user != NULL && user->found == STATUS_OK
                 && user->password[0] != '\0'
                 && talk->ask.password_len == strlen(user->password)
                 && memcmp(talk->ask.password, user->password,
                           talk->ask.password_len) == 0;

    expect(talk->ask.need == MECH_PASSWORD, "the password is shown first");
    expect(talk->ask.password_len > 0 && talk->ask.password_len <= 255
               && clean_utf8(talk->ask.password, talk->ask.password_len),
           "a password of this size, in UTF-8");
    if (user != NULL && user->found == STATUS_TEMP)
        return answer(talk, STATUS_TEMP, NULL);
    return answer(talk, right ? STATUS_OK : STATUS_AUTH, NULL);
}

static int
give_secret(struct talk *talk, const struct user *user)
{
    expect(talk->ask.need == MECH_SECRET, "the secret is asked for first");
    if (user == NULL)
        return answer(talk, STATUS_AUTH, NULL);
    return answer(talk, user->found,
                  user->found == STATUS_OK ? user->password : NULL);
}

/* Until nothing more is asked before who it is has been proved. */
static int
ask_host(struct talk *talk)
{
    int status = STATUS_PENDING;
    unsigned rounds;

    for (rounds = 0; status == STATUS_PENDING
                     && talk->ask.need != MECH_AUTHORIZE; rounds++) {
        const struct user *user = find_user(talk->ask.user);

        expect(rounds < 2, "a password has two forms at most");
        expect(clean_request((const uint8_t *)talk->ask.user,
                             strlen(talk->ask.user)), "a clean name");
        status = talk->kind == PLAIN ? judge_password(talk, user)
                                     : give_secret(talk, user);
    }
    return status;
}

static void
authorize(struct talk *talk, uint8_t verdict)
{
    const struct user *user = find_user(talk->ask.authcid);
    bool own = talk->ask.requested[0] == '\0'
               || strcmp(talk->ask.requested, talk->ask.authcid) == 0;
    int status = verdict % 4 == 3 ? -2 - verdict / 4 % 9 : STATUS_OK;

    expect(user != NULL && user->found == STATUS_OK
               && user->password[0] != '\0',
           "nobody gets in without a password");
    expect(talk->kind == PLAIN ? is_plainly_right(talk, user)
                               : is_right(talk, user),
           "only the right message");
    expect(strcmp(talk->ask.local, own && clean_mailbox(user->name)
                                       ? user->name : "") == 0,
           "one's own mailbox");
    expect(answer(talk, status, NULL) == status, "the host decides");
}

static void
converse(struct talk *talk, uint8_t verdict)
{
    int status = say(talk, &talk->message);

    if (status == STATUS_PENDING)
        status = ask_host(talk);
    expect(buf_len(&talk->out) == 0, "no more is said");
    if (status == STATUS_PENDING) {
        authorize(talk, verdict);
        return;
    }
    expect(status == STATUS_AUTH || status == STATUS_TEMP,
           "a message is taken or refused");
    expect(talk->bent || !is_honest(talk), "an honest client gets in");
}

/* Up to where the client's message is due. */
static void
begin(struct talk *talk)
{
    size_t len;

    buf_init(&talk->out, 65536);
    talk->mech = mech_find(names[talk->kind]);
    expect(talk->mech != NULL, "a mechanism");
    expect(talk->mech->start(world, &peer, &talk->state) == STATUS_OK,
           "a start");
    if (talk->kind == APOP)
        (void)snprintf(talk->challenge, sizeof(talk->challenge),
                       "<1896.697170952@mail.test>");
    if (talk->kind == CRAM
        || (talk->kind == PLAIN && (talk->how & ASKED) != 0))
        expect(talk->mech->step(talk->state, NULL, 0, &talk->out, &talk->ask)
                   == STATUS_CONTINUE, "the server speaks");
    len = buf_len(&talk->out);
    expect(len < sizeof(talk->challenge) && (len > 0) == (talk->kind == CRAM),
           "a challenge for CRAM-MD5 alone");
    if (len > 0)
        memcpy(talk->challenge, buf_data(&talk->out), len);
    buf_reset(&talk->out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script script = { data, size };
    static struct talk talk;
    uint8_t verdict;
    unsigned times;

    if (world == NULL)
        set_up();
    memset(&talk, 0, sizeof(talk));
    talk.kind = script_octet(&script) % MECHANISMS;
    talk.user = &users[script_octet(&script) % USERS];
    talk.how = script_octet(&script);
    verdict = script_octet(&script);
    begin(&talk);
    make_message(&talk);
    for (times = script_octet(&script) % 8; times > 0 && script.size > 0;
         times--) {
        bend(&script, &talk.message);
        talk.bent = true;
    }
    converse(&talk, verdict);
    check_over(&talk);
    talk.mech->free(talk.state);
    buf_reset(&talk.out);
    return 0;
}
