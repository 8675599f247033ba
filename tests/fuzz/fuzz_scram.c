/* LDFLAGS: -Wl,--wrap=PKCS5_PBKDF2_HMAC,--wrap=getrandom */
/*
 * fuzz_scram.c - SCRAM, and SCRAM bound to a channel, with a client that
 * counts its proof honestly and whose messages are bent: field by field,
 * before the proof or behind it, or as a whole.  Dies when somebody gets in
 * whose proof, nonce, header or channel is not exactly right, when a client
 * that nobody bent does not, or when what is over goes on.
 *
 * The script begins with seven octets: mechanism, circumstances, user, the
 * host's verdict, how the last message is bent, header, how the first is.
 *
 * SPDX-License-Identifier: MIT
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "kpop/base64.h"
#include "sasl/clean.h"
#include "sasl/mech.h"
#include "tests/fuzz/bend.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the same each time, and fast ---- */

int __real_PKCS5_PBKDF2_HMAC(const char *pass, int passlen,
                             const unsigned char *salt, int saltlen, int iter,
                             const EVP_MD *digest, int keylen,
                             unsigned char *out);
int __wrap_PKCS5_PBKDF2_HMAC(const char *pass, int passlen,
                             const unsigned char *salt, int saltlen, int iter,
                             const EVP_MD *digest, int keylen,
                             unsigned char *out);
ssize_t __wrap_getrandom(void *data, size_t size, unsigned flags);

enum { KEPT = 64, KEPT_OCTETS = 64 };

/* Hashing a password 4096 times is most of a login: the library's result is
 * kept for the next one who asks the very same. */
int
__wrap_PKCS5_PBKDF2_HMAC(const char *pass, int passlen,
                         const unsigned char *salt, int saltlen, int iter,
                         const EVP_MD *digest, int keylen, unsigned char *out)
{
    static struct {
        const EVP_MD *digest;
        int passlen, saltlen, iter, keylen;
        uint8_t pass[KEPT_OCTETS], salt[KEPT_OCTETS], key[KEPT_OCTETS];
    } kept[KEPT];
    static unsigned next;
    unsigned i;

    expect(passlen >= 0 && passlen <= KEPT_OCTETS && saltlen <= KEPT_OCTETS
               && keylen <= KEPT_OCTETS,
           "passwords and salts of this size");
    for (i = 0; i < KEPT; i++)
        if (kept[i].digest == digest && kept[i].passlen == passlen
            && kept[i].saltlen == saltlen && kept[i].iter == iter
            && kept[i].keylen == keylen
            && memcmp(kept[i].pass, pass, (size_t)passlen) == 0
            && memcmp(kept[i].salt, salt, (size_t)saltlen) == 0)
            break;
    if (i == KEPT) {
        i = next++ % KEPT;
        if (__real_PKCS5_PBKDF2_HMAC(pass, passlen, salt, saltlen, iter,
                                     digest, keylen, kept[i].key) != 1)
            return 0;
        kept[i].digest = digest;
        kept[i].passlen = passlen;
        kept[i].saltlen = saltlen;
        kept[i].iter = iter;
        kept[i].keylen = keylen;
        memcpy(kept[i].pass, pass, (size_t)passlen);
        memcpy(kept[i].salt, salt, (size_t)saltlen);
    }
    memcpy(out, kept[i].key, (size_t)keylen);
    return 1;
}

/* A finding is found again. */
static uint8_t random_next;

ssize_t
__wrap_getrandom(void *data, size_t size, unsigned flags)
{
    (void)flags;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)data)[i] = (uint8_t)(random_next + 17 * i);
    random_next++;
    return (ssize_t)size;
}

/* ---- one login ---- */

/* Passwords in the form that SASLprep gives. */
static const struct user {
    const char *name;
    const char *written; /* as a saslname */
    const char *password;
    int found; /* the host's result for its secret */
} users[] = {
    { "alice", "alice", "secret", STATUS_OK },
    { "a,b=", "a=2Cb=3D", "pencil", STATUS_OK },
    { "j\xc3\xbcrgen", "j\xc3\xbcrgen", "\xc3\xa9", STATUS_OK },
    { "mute", "mute", "", STATUS_OK },
    { "nobody", "nobody", "nobody's secret", STATUS_AUTH },
    { "down", "down", "secret", STATUS_TEMP },
};
enum { USERS = sizeof(users) / sizeof(users[0]) };

static const struct variant {
    const char *name;
    const EVP_MD *(*hash)(void);
    bool plus;
} variants[] = {
    { "SCRAM-SHA-256", EVP_sha256, false },
    { "SCRAM-SHA-1", EVP_sha1, false },
    { "SCRAM-SHA-512", EVP_sha512, false },
    { "SCRAM-SHA-256-PLUS", EVP_sha256, true },
};

static const char *const headers[] = {
    "n,", "y,", "n,a=alice", "p=tls-exporter,", "p=tls-server-end-point,",
    "p=tls-unique,", "p=tls-exporter,a=alice", "n,a=a=2Cb=3D",
};

enum { PARTS = 8 };
enum { OFFERED_PLUS = 1, HAS_CHANNEL = 2, ASKED = 4, BENT_AFTER = 8,
       WRONG_PASSWORD = 16 };

struct talk {
    const struct variant *variant;
    const struct user *user; /* whom the client means to be */
    struct mech_peer peer;
    unsigned how;
    bool bent;               /* the script has done something */
    const struct mech *mech;
    void *state;
    struct mech_ask ask;
    struct buf out;
    struct octets first;     /* as it was sent */
    struct octets challenge;
    struct octets last;
    size_t header_len;       /* in first, with its commas */
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

static void
begin(struct talk *talk, struct script *script)
{
    static const uint8_t exporter[] = "0123456789abcdef0123456789abcdef";

    talk->variant = &variants[script_octet(script) % 4];
    talk->how = script_octet(script);
    talk->user = &users[script_octet(script) % USERS];
    talk->peer.address = "192.0.2.1";
    talk->peer.session_id = "s1";
    talk->peer.log = no_log;
    talk->peer.plus = (talk->how & OFFERED_PLUS) != 0;
    if ((talk->how & HAS_CHANNEL) != 0) {
        talk->peer.bindings[0].type = "tls-exporter";
        talk->peer.bindings[0].data = exporter;
        talk->peer.bindings[0].size = 32;
        talk->peer.bindings[1].type = "tls-server-end-point";
        talk->peer.bindings[1].data = (const uint8_t *)"\1\2\0\4";
        talk->peer.bindings[1].size = 4;
    }
    talk->mech = mech_find(talk->variant->name);
    expect(talk->mech != NULL, "a mechanism");
    expect(talk->mech->start(world, &talk->peer, &talk->state) == STATUS_OK,
           "a start");
    buf_init(&talk->out, 65536);
}

static int
say(struct talk *talk, const struct octets *message)
{
    static const uint8_t empty[1];

    buf_reset(&talk->out);
    return talk->mech->step(talk->state, message->len > 0 ? message->data
                                                          : empty,
                            message->len, &talk->out, &talk->ask);
}

static int
answer(struct talk *talk, int result, const char *secret)
{
    buf_reset(&talk->out);
    return talk->mech->resume(talk->state, result, (const uint8_t *)secret,
                              secret != NULL ? strlen(secret) : 0, &talk->out,
                              &talk->ask);
}

/* ---- bending fields ---- */

struct parts {
    size_t count;
    struct octets part[PARTS];
};

static void
add_part(struct parts *parts, const void *data, size_t len)
{
    if (parts->count < PARTS)
        octets_set(&parts->part[parts->count++], data, len);
}

static void
bend_part(struct parts *parts, struct script *script)
{
    static struct octets kept;
    uint8_t how = script_octet(script);
    size_t at = script_octet(script) % (parts->count > 0 ? parts->count : 1);
    const uint8_t *chunk;
    size_t len;

    switch (how % 5) {
    case 0:
        bend(script, &parts->part[at]);
        break;
    case 1: /* it goes */
        if (parts->count > 1)
            memmove(&parts->part[at], &parts->part[at + 1],
                    (--parts->count - at) * sizeof(parts->part[0]));
        break;
    case 2: /* it comes again, at the end */
        kept = parts->part[at];
        add_part(parts, kept.data, kept.len);
        break;
    case 3: /* it changes places with the last */
        kept = parts->part[at];
        parts->part[at] = parts->part[parts->count - 1];
        parts->part[parts->count - 1] = kept;
        break;
    default:
        len = script_chunk(script, &chunk);
        add_part(parts, chunk, len);
        break;
    }
}

/* False when the script had nothing to say. */
static bool
bend_parts(struct parts *parts, struct script *script, unsigned times)
{
    bool bent = times > 0 && script->size > 0;

    for (; times > 0 && script->size > 0; times--)
        bend_part(parts, script);
    return bent;
}

static bool
bend_whole(struct octets *message, struct script *script, unsigned times)
{
    bool bent = times > 0 && script->size > 0;

    for (; times > 0 && script->size > 0; times--)
        bend(script, message);
    return bent;
}

static void
join(const struct parts *parts, struct octets *message)
{
    message->len = 0;
    for (size_t i = 0; i < parts->count; i++) {
        octets_add(message, ",", i > 0);
        octets_add(message, parts->part[i].data, parts->part[i].len);
    }
}

/* ---- the client ---- */

static size_t
encode(const void *data, size_t len, char *text, size_t size)
{
    struct buf out;

    buf_init(&out, size);
    base64_encode(&out, data, len);
    expect(!buf_failed(&out), "room for base64");
    len = buf_len(&out);
    if (len > 0)
        memcpy(text, buf_data(&out), len);
    buf_reset(&out);
    return len;
}

static void
hash_keyed(const EVP_MD *md, const uint8_t *key, const void *data, size_t len,
           uint8_t *out)
{
    expect(HMAC(md, key, EVP_MD_get_size(md), data, len, out, NULL) != NULL,
           "HMAC");
}

/* RFC 5802 section 3: "p=" and "v=" of this password for what was said. */
static void
count(const struct talk *talk, const char *password,
      const struct octets *without_proof, struct octets *proof,
      struct octets *signature)
{
    const EVP_MD *md = talk->variant->hash();
    size_t size = (size_t)EVP_MD_get_size(md);
    uint8_t salted[64], key[64], stored[64], signed_by[64], salt[64];
    static struct octets text;
    char base64[100];
    struct buf out;
    size_t salt_len;

    /* Behind ",s=" of the challenge. */
    buf_init(&out, sizeof(salt));
    expect(base64_decode(&out, talk->challenge.data + talk->challenge.len
                                   - strlen(",i=4096") - 24, 24)
               == STATUS_OK, "a salt");
    salt_len = buf_len(&out);
    memcpy(salt, buf_data(&out), salt_len);
    buf_reset(&out);
    expect(PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt,
                             (int)salt_len, 4096, md, (int)size, salted) == 1,
           "PBKDF2");
    octets_set(&text, talk->first.data + talk->header_len,
               talk->first.len - talk->header_len);
    octets_add_text(&text, ",");
    octets_add(&text, talk->challenge.data, talk->challenge.len);
    octets_add_text(&text, ",");
    octets_add(&text, without_proof->data, without_proof->len);
    hash_keyed(md, salted, "Client Key", 10, key);
    expect(EVP_Digest(key, size, stored, NULL, md, NULL) == 1, "a digest");
    hash_keyed(md, stored, text.data, text.len, signed_by);
    for (size_t i = 0; i < size; i++)
        signed_by[i] ^= key[i];
    octets_set(proof, "p=", 2);
    octets_add(proof, base64, encode(signed_by, size, base64, 100));
    hash_keyed(md, salted, "Server Key", 10, key);
    hash_keyed(md, key, text.data, text.len, signed_by);
    octets_set(signature, "v=", 2);
    octets_add(signature, base64, encode(signed_by, size, base64, 100));
}

/* Where so many commas have been passed; 0 = there are fewer. */
static size_t
behind_commas(const struct octets *message, unsigned commas)
{
    for (size_t i = 0; i < message->len; i++)
        if (message->data[i] == ',' && --commas == 0)
            return i + 1;
    return 0;
}

static void
make_first(struct talk *talk, struct script *script)
{
    static struct parts parts;
    const char *header = headers[script_octet(script) % 8];
    size_t split = strcspn(header, ",");
    unsigned times = script_octet(script);
    char name[64];

    parts.count = 0;
    add_part(&parts, header, split);
    add_part(&parts, header + split + 1, strlen(header + split + 1));
    (void)snprintf(name, sizeof(name), "n=%s", talk->user->written);
    add_part(&parts, name, strlen(name));
    add_part(&parts, "r=rOprNGfwEbeRWgbNEkqO", 22);
    talk->bent = bend_parts(&parts, script, times & 7) || talk->bent;
    join(&parts, &talk->first);
    talk->bent = bend_whole(&talk->first, script, times >> 3 & 3)
                 || talk->bent;
    talk->header_len = behind_commas(&talk->first, 2);
}

/* The channel that the first message names; NULL = none. */
static const struct mech_binding *
channel_of(const struct talk *talk)
{
    size_t len = talk->header_len > 0 ? behind_commas(&talk->first, 1) - 1
                                      : 0;

    for (size_t i = 0; talk->variant->plus && i < MECH_BINDINGS; i++) {
        const struct mech_binding *binding = &talk->peer.bindings[i];

        if (binding->size > 0 && len == strlen(binding->type) + 2
            && memcmp(talk->first.data, "p=", 2) == 0
            && memcmp(talk->first.data + 2, binding->type, len - 2) == 0)
            return binding;
    }
    return NULL;
}

/* "c=" of the header that was sent and the channel that it names. */
static void
make_binding(const struct talk *talk, struct octets *out)
{
    const struct mech_binding *channel = channel_of(talk);
    static struct octets octets;
    static char text[2 * OCTETS_MAX];

    octets_set(&octets, talk->first.data, talk->header_len);
    if (channel != NULL)
        octets_add(&octets, channel->data, channel->size);
    octets_set(out, "c=", 2);
    octets_add(out, text,
               encode(octets.data, octets.len, text, sizeof(text)));
}

/* "r=" of the challenge. */
static void
make_nonce(const struct talk *talk, struct octets *out)
{
    octets_set(out, talk->challenge.data,
               behind_commas(&talk->challenge, 1) - 1);
}

static void
make_last(struct talk *talk, struct script *script, unsigned times)
{
    const char *password = (talk->how & WRONG_PASSWORD) != 0
                               ? "wrong" : talk->user->password;
    static struct octets part, signature;
    static struct parts parts;

    parts.count = 0;
    make_binding(talk, &part);
    add_part(&parts, part.data, part.len);
    make_nonce(talk, &part);
    add_part(&parts, part.data, part.len);
    if ((talk->how & BENT_AFTER) == 0)
        talk->bent = bend_parts(&parts, script, times & 7) || talk->bent;
    join(&parts, &talk->last);
    count(talk, password, &talk->last, &part, &signature);
    add_part(&parts, part.data, part.len);
    if ((talk->how & BENT_AFTER) != 0)
        talk->bent = bend_parts(&parts, script, times & 7) || talk->bent;
    join(&parts, &talk->last);
    talk->bent = bend_whole(&talk->last, script, times >> 3 & 3)
                 || talk->bent;
}

/* ---- what must hold ---- */

static bool
has_at(const struct octets *message, size_t at, const struct octets *part)
{
    return message->len - at >= part->len
           && memcmp(message->data + at, part->data, part->len) == 0
           && (message->len - at == part->len
               || message->data[at + part->len] == ',');
}

/* May this header begin a login by this mechanism? */
static bool
header_may_be(const struct talk *talk)
{
    size_t len = behind_commas(&talk->first, 1);

    if (talk->variant->plus)
        return channel_of(talk) != NULL;
    return len == 2
           && (talk->first.data[0] == 'n'
               || (talk->first.data[0] == 'y' && !talk->peer.plus));
}

/* The user whom the first message names, if it is one of ours. */
static const struct user *
user_of(const struct talk *talk)
{
    static struct octets name;
    char text[64];

    for (size_t i = 0; i < USERS; i++) {
        (void)snprintf(text, sizeof(text), "n=%s", users[i].written);
        octets_set(&name, text, strlen(text));
        if (talk->header_len > 0
            && has_at(&talk->first, talk->header_len, &name))
            return &users[i];
    }
    return NULL;
}

/* Was all of the last message as a client must say it who has the password
 * of the user in ask?  Counted anew from what was sent. */
static bool
is_right(const struct talk *talk, struct octets *signature)
{
    const struct user *user = user_of(talk);
    static struct octets part, proof, without;
    size_t at = behind_commas(&talk->last, 1);
    size_t proof_at = talk->last.len;

    while (proof_at > 0 && talk->last.data[proof_at - 1] != ',')
        proof_at--;
    if (user == NULL || at == 0 || !header_may_be(talk))
        return false;
    make_binding(talk, &part);
    if (!has_at(&talk->last, 0, &part))
        return false;
    make_nonce(talk, &part);
    if (!has_at(&talk->last, at, &part))
        return false;
    octets_set(&without, talk->last.data, proof_at - 1);
    count(talk, user->password, &without, &proof, signature);
    return user->found == STATUS_OK && user->password[0] != '\0'
           && talk->last.len - proof_at == proof.len
           && memcmp(talk->last.data + proof_at, proof.data, proof.len) == 0;
}

/* Should the client get in if nobody bends what it says? */
static bool
is_honest(const struct talk *talk)
{
    return header_may_be(talk) && talk->user->found == STATUS_OK
           && talk->user->password[0] != '\0'
           && (talk->how & WRONG_PASSWORD) == 0;
}

/* Of a challenge: the client's nonce and ours, salt and count. */
static void
check_challenge(struct talk *talk)
{
    size_t bare = talk->header_len;
    size_t nonce = bare;
    size_t len;

    octets_set(&talk->challenge, buf_data(&talk->out), buf_len(&talk->out));
    expect(header_may_be(talk), "no challenge for another header");
    while (nonce < talk->first.len && talk->first.data[nonce] != ',')
        nonce++;
    nonce++;
    for (len = 0; nonce + len < talk->first.len
                  && talk->first.data[nonce + len] != ','; len++)
        continue;
    expect(talk->challenge.len > len
               && memcmp(talk->challenge.data, talk->first.data + nonce, len)
                      == 0,
           "the client's nonce comes back");
    expect(talk->challenge.len == len + 32 + strlen(",s=,i=4096") + 24,
           "a nonce of ours, a salt, a count");
    expect(memcmp(talk->challenge.data + talk->challenge.len - 7, ",i=4096",
                  7) == 0, "enough rounds");
}

static void
check_over(struct talk *talk)
{
    static struct octets none;

    expect(say(talk, &talk->last) == STATUS_INVALID
               && say(talk, &none) == STATUS_INVALID
               && answer(talk, STATUS_OK, "secret") == STATUS_INVALID
               && buf_len(&talk->out) == 0,
           "what is over stays over");
}

/* ---- the host ---- */

static const struct user *
find_user(const char *name)
{
    for (size_t i = 0; i < USERS; i++)
        if (strcmp(users[i].name, name) == 0)
            return &users[i];
    return NULL;
}

static int
give_secret(struct talk *talk)
{
    const struct user *user;

    expect(talk->ask.need == MECH_SECRET, "the secret is asked for first");
    expect(clean_request((const uint8_t *)talk->ask.user,
                         strlen(talk->ask.user)), "a clean name");
    user = find_user(talk->ask.user);
    if (user == NULL)
        return answer(talk, STATUS_AUTH, NULL);
    return answer(talk, user->found,
                  user->found == STATUS_OK ? user->password : NULL);
}

/* Whoever gets here has proved it. */
static void
authorize(struct talk *talk, uint8_t verdict)
{
    static struct octets signature;
    const struct user *user = find_user(talk->ask.authcid);
    bool own = talk->ask.requested[0] == '\0'
               || strcmp(talk->ask.requested, talk->ask.authcid) == 0;
    int status = STATUS_OK;

    expect(talk->ask.need == MECH_AUTHORIZE, "then the host decides");
    expect(is_right(talk, &signature), "only the right proof");
    expect(user != NULL && user == user_of(talk), "as nobody else");
    expect(strcmp(talk->ask.local, own && clean_mailbox(user->name)
                                       ? user->name : "") == 0,
           "one's own mailbox");
    expect(buf_len(&talk->out) == 0, "no signature before the host's yes");
    if (verdict % 4 == 3)
        status = -2 - verdict / 4 % 9;
    expect(answer(talk, status, NULL) == status, "the host decides");
    if (status != STATUS_OK)
        signature.len = 0;
    expect(octets_are(&signature, buf_data(&talk->out), buf_len(&talk->out)),
           "the server's proof for who gets in, and for nobody else");
}

static void
converse(struct talk *talk, struct script *script)
{
    uint8_t verdict = script_octet(script);
    unsigned times = script_octet(script);
    int status;

    if ((talk->how & ASKED) != 0)
        expect(talk->mech->step(talk->state, NULL, 0, &talk->out, &talk->ask)
                       == STATUS_CONTINUE && buf_len(&talk->out) == 0,
               "the first message is asked for");
    make_first(talk, script);
    status = say(talk, &talk->first);
    if (status != STATUS_CONTINUE) {
        expect(status == STATUS_AUTH && buf_len(&talk->out) == 0,
               "a first message is taken or refused");
        expect(talk->bent || !header_may_be(talk), "honest ones are taken");
        return;
    }
    check_challenge(talk);
    make_last(talk, script, times);
    status = say(talk, &talk->last);
    expect(buf_len(&talk->out) == 0, "nothing before the proof is judged");
    if (status == STATUS_PENDING)
        status = give_secret(talk);
    if (status == STATUS_PENDING) {
        authorize(talk, verdict);
        return;
    }
    expect(status == STATUS_AUTH || status == STATUS_TEMP,
           "a last message is taken or refused");
    expect(talk->bent || !is_honest(talk), "an honest client gets in");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script script = { data, size };
    static struct talk talk;

    if (world == NULL)
        set_up();
    random_next = 0;
    memset(&talk, 0, sizeof(talk));
    begin(&talk, &script);
    converse(&talk, &script);
    check_over(&talk);
    talk.mech->free(talk.state);
    buf_reset(&talk.out);
    return 0;
}
