/*
 * scram.c - SCRAM (RFC 5802, RFC 7677): proof of a shared secret, and proof to
 * the client that the server knows it; with -PLUS also that both have the same
 * TLS channel, with nobody between them.  What the client gets before its
 * proof does not depend on whether the user exists.
 * Secrets are not kept.  Runs where secrets are readable.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kpop/base64.h"
#include "sasl/clean.h"
#include "sasl/digest.h"
#include "sasl/prep.h"
#include "sasl/world.h"

enum {
    ITERATIONS = 4096, /* RFC 7677 section 4: at least */
    MESSAGE_MAX = 2048,
    NONCE_MAX = 256,
    BINDING_MAX = 128, /* a hash, or a Finished message */
    TYPE_MAX = 32,
    SALT_OCTETS = 16
};

enum stage {
    WAIT_FIRST,
    WAIT_FINAL,
    WAIT_SECRET,    /* the host looks it up */
    WAIT_AUTHORIZE, /* the host decides */
    ENDED
};

struct scram {
    enum digest_hash hash;
    bool plus;                     /* this is the -PLUS variant */
    const struct mech_peer *peer;
    const struct mech_binding *binding; /* -PLUS: what the client named */
    enum stage stage;
    const char *hostname;
    char user[NAME_OCTETS_MAX + 1];
    char authzid[NAME_OCTETS_MAX + 1];
    char header[NAME_OCTETS_MAX * 3 + TYPE_MAX + 16]; /* gs2, as it came */
    char nonce[NONCE_MAX + DIGEST_HEX + 1]; /* the client's and ours */
    uint8_t salt[SALT_OCTETS];
    struct buf signed_text; /* AuthMessage, grown as it is spoken */
    uint8_t proof[DIGEST_HASH_MAX];
    uint8_t signature[DIGEST_HASH_MAX]; /* the server's */
    bool no_memory; /* to read what may well be right */
};

/* What is left of a message. */
struct reader {
    const char *at;
    const char *end;
};

static int
scram_start(enum digest_hash hash, bool plus, struct sasl_world *world,
            const struct mech_peer *peer, void **state_out)
{
    struct scram *scram = calloc(1, sizeof(*scram));

    *state_out = scram;
    if (scram == NULL)
        return STATUS_NO_MEMORY;
    scram->hash = hash;
    scram->plus = plus;
    scram->peer = peer;
    scram->hostname = world->settings.hostname;
    buf_init(&scram->signed_text, 3 * MESSAGE_MAX);
    return STATUS_OK;
}

/* ---- reading ---- */

/* The octets up to the next comma, or the end; the comma is passed. */
static size_t
next_part(struct reader *reader, const char **part_out)
{
    size_t left = (size_t)(reader->end - reader->at);
    const char *comma = left > 0 ? memchr(reader->at, ',', left) : NULL;
    size_t len = comma != NULL ? (size_t)(comma - reader->at) : left;

    *part_out = reader->at;
    reader->at += len + (comma != NULL);
    return len;
}

/* The value of "x=value"; NULL when the next part isn't that. */
static const char *
next_value(struct reader *reader, char name, size_t *len_out)
{
    const char *part;
    size_t len = next_part(reader, &part);

    if (len < 2 || part[0] != name || part[1] != '=')
        return NULL;
    *len_out = len - 2;
    return part + 2;
}

/* A saslname: "=2C" is a comma, "=3D" an equals sign, nothing else has '='. */
static bool
read_name(const char *text, size_t len, char name[NAME_OCTETS_MAX + 1])
{
    size_t size = 0;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (c == '=') {
            if (len - i < 3 || (memcmp(text + i, "=2C", 3) != 0
                                && memcmp(text + i, "=3D", 3) != 0))
                return false;
            c = text[i + 1] == '2' ? ',' : '=';
            i += 2;
        }
        if (size == NAME_OCTETS_MAX)
            return false;
        name[size++] = c;
    }
    name[size] = '\0';
    return clean_request((const uint8_t *)name, size);
}

/* "p=TYPE" of a channel that we know by that name, too. */
static bool
read_binding(struct scram *scram, const char *part, size_t len)
{
    if (len < 3 || memcmp(part, "p=", 2) != 0)
        return false;
    for (size_t i = 0; i < MECH_BINDINGS; i++) {
        const struct mech_binding *binding = &scram->peer->bindings[i];

        if (binding->size > 0 && binding->size <= BINDING_MAX
            && strlen(binding->type) == len - 2
            && memcmp(binding->type, part + 2, len - 2) == 0)
            scram->binding = binding;
    }
    return scram->binding != NULL;
}

/* "y" says: I could bind, but was not offered it.  If it was, then somebody
 * between us took the offer away (RFC 5802 section 6). */
static bool
read_flag(struct scram *scram, const char *part, size_t len)
{
    if (scram->plus)
        return read_binding(scram, part, len);
    return len == 1 && (*part == 'n' || (*part == 'y' && !scram->peer->plus));
}

/* "n,,", "y,a=name," or "p=tls-exporter,,". */
static bool
read_header(struct scram *scram, struct reader *reader)
{
    const char *start = reader->at;
    const char *part;
    size_t len = next_part(reader, &part);

    if (!read_flag(scram, part, len))
        return false;
    len = next_part(reader, &part);
    if (len > 0
        && (len < 3 || memcmp(part, "a=", 2) != 0
            || !read_name(part + 2, len - 2, scram->authzid)))
        return false;
    len = (size_t)(reader->at - start);
    if (len >= sizeof(scram->header) || reader->at[-1] != ',')
        return false;
    memcpy(scram->header, start, len);
    return true;
}

static bool
nonce_is_clean(const char *nonce, size_t len)
{
    if (len == 0 || len > NONCE_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (nonce[i] < 0x21 || nonce[i] > 0x7e)
            return false;
    return true;
}

/* n=user,r=nonce; a mandatory extension ("m=" first) is unknown to us. */
static bool
read_first(struct scram *scram, const char *text, size_t len)
{
    struct reader reader = { text, text + len };
    const char *bare;
    const char *value;

    if (!read_header(scram, &reader))
        return false;
    bare = reader.at;
    value = next_value(&reader, 'n', &len);
    if (value == NULL || !read_name(value, len, scram->user))
        return false;
    value = next_value(&reader, 'r', &len);
    if (value == NULL || !nonce_is_clean(value, len))
        return false;
    memcpy(scram->nonce, value, len);
    buf_append(&scram->signed_text, bare, (size_t)(reader.end - bare));
    return true;
}

/* Base64 of exactly want octets. */
static bool
read_octets(struct scram *scram, const char *text, size_t len,
            uint8_t *octets, size_t want)
{
    struct buf out;
    bool good;
    int status;

    buf_init_secret(&out, MESSAGE_MAX);
    status = base64_decode(&out, (const uint8_t *)text, len);
    scram->no_memory = status == STATUS_NO_MEMORY;
    good = status == STATUS_OK && buf_len(&out) == want;
    if (good)
        memcpy(octets, buf_data(&out), want);
    buf_reset(&out);
    return good;
}

/* "c=" repeats the header, so that nobody took "y" for "p" on the way, and
 * with -PLUS names the channel. */
static bool
header_is_same(struct scram *scram, const char *text, size_t len)
{
    const struct mech_binding *binding = scram->binding;
    uint8_t octets[sizeof(scram->header) + BINDING_MAX];
    size_t head = strlen(scram->header);
    size_t tail = binding != NULL ? binding->size : 0;

    return read_octets(scram, text, len, octets, head + tail)
           && memcmp(octets, scram->header, head) == 0
           && (tail == 0 || memcmp(octets + head, binding->data, tail) == 0);
}

/* c=header,r=nonce[,extensions],p=proof */
static bool
read_final(struct scram *scram, const char *text, size_t len)
{
    struct reader reader = { text, text + len };
    const char *value = next_value(&reader, 'c', &len);
    const char *proof = NULL;

    if (value == NULL || !header_is_same(scram, value, len))
        return false;
    value = next_value(&reader, 'r', &len);
    if (value == NULL || len != strlen(scram->nonce)
        || memcmp(value, scram->nonce, len) != 0)
        return false;
    while (reader.at < reader.end) {
        proof = reader.at;
        value = next_value(&reader, 'p', &len);
    }
    /* Nothing stands behind it, not even a comma: nobody has signed that. */
    if (proof == NULL || value == NULL || value + len != reader.end
        || !read_octets(scram, value, len, scram->proof,
                        digest_size(scram->hash)))
        return false;
    buf_append_str(&scram->signed_text, ",");
    buf_append(&scram->signed_text, text, (size_t)(proof - text) - 1);
    scram->no_memory = buf_failed(&scram->signed_text);
    return !scram->no_memory;
}

/* ---- the messages ---- */

static int
say_first(struct scram *scram, struct buf *out)
{
    size_t len = strlen(scram->nonce);
    char random[DIGEST_HEX + 1];
    size_t before;

    if (digest_random(random) != STATUS_OK
        || digest_salt(scram->hostname, scram->user, scram->salt,
                       sizeof(scram->salt)) != STATUS_OK)
        return STATUS_TEMP;
    memcpy(scram->nonce + len, random, sizeof(random));
    buf_append_str(&scram->signed_text, ",");
    before = buf_len(&scram->signed_text);
    buf_printf(&scram->signed_text, "r=%s,s=", scram->nonce);
    base64_encode(&scram->signed_text, scram->salt, sizeof(scram->salt));
    buf_printf(&scram->signed_text, ",i=%d", ITERATIONS);
    if (buf_failed(&scram->signed_text))
        return STATUS_NO_MEMORY;
    buf_append(out, buf_data(&scram->signed_text) + before,
               buf_len(&scram->signed_text) - before);
    scram->stage = WAIT_FINAL;
    return STATUS_CONTINUE;
}

static int
scram_step(void *state, const uint8_t *in, size_t in_len, struct buf *out,
           struct mech_ask *ask)
{
    struct scram *scram = state;
    enum stage stage = scram->stage;

    if (stage == WAIT_FIRST && in == NULL)
        return STATUS_CONTINUE;
    scram->stage = ENDED;
    if (stage != WAIT_FIRST && stage != WAIT_FINAL)
        return STATUS_INVALID;
    if (in == NULL || in_len > MESSAGE_MAX
        || !clean_utf8(in, in_len))
        return STATUS_AUTH;
    if (stage == WAIT_FIRST)
        return read_first(scram, (const char *)in, in_len)
                   ? say_first(scram, out)
                   : STATUS_AUTH;
    if (!read_final(scram, (const char *)in, in_len))
        return scram->no_memory ? STATUS_NO_MEMORY : STATUS_AUTH;
    scram->stage = WAIT_SECRET;
    memset(ask, 0, sizeof(*ask));
    ask->need = MECH_SECRET;
    ask->user = scram->user;
    return STATUS_PENDING;
}

/* ---- the proof ---- */

/* Does the proof fit the secret?  Computed also when there is none. */
static int
check(struct scram *scram, const struct digest_secret *known)
{
    static const uint8_t nobody[] = "nobody's secret";
    const struct digest_secret dummy = { nobody, sizeof(nobody) - 1 };
    bool is_known = known->data != NULL && known->len > 0;
    struct digest_scram keys = {
        .hash = scram->hash,
        .salt = scram->salt,
        .salt_len = sizeof(scram->salt),
        .iterations = ITERATIONS,
        .text = buf_data(&scram->signed_text),
        .text_len = buf_len(&scram->signed_text),
    };
    struct digest_secret prepared = { NULL, 0 };
    char *text = NULL;
    bool same = false;
    int status = prep_password(is_known ? known : &dummy, &text, &prepared);

    if (status == STATUS_OK)
        status = digest_scram_check(&keys, &prepared, scram->proof, &same,
                                    scram->signature);
    prep_free(text);
    if (status != STATUS_OK)
        return status;
    return same && is_known ? STATUS_OK : STATUS_AUTH;
}

static int
resume_secret(struct scram *scram, int result,
              const struct digest_secret *secret, struct mech_ask *ask)
{
    static const struct digest_secret none = { NULL, 0 };
    int status;

    if (result != STATUS_OK && result != STATUS_AUTH)
        return result > STATUS_OK || result == STATUS_PENDING
                   ? STATUS_INVALID
                   : result;
    status = check(scram, result == STATUS_OK ? secret : &none);
    if (status != STATUS_OK)
        return status;
    scram->stage = WAIT_AUTHORIZE;
    return mech_ask_own(scram->user, scram->authzid, ask);
}

static int
scram_resume(void *state, int result, const uint8_t *secret,
             size_t secret_len, struct buf *out, struct mech_ask *ask)
{
    const struct digest_secret given = { secret, secret_len };
    struct scram *scram = state;
    enum stage stage = scram->stage;

    scram->stage = ENDED;
    if (stage == WAIT_SECRET)
        return resume_secret(scram, result, &given, ask);
    if (stage != WAIT_AUTHORIZE || result > STATUS_OK
        || result == STATUS_PENDING)
        return STATUS_INVALID;
    if (result == STATUS_OK) {
        buf_append_str(out, "v=");
        base64_encode(out, scram->signature, digest_size(scram->hash));
    }
    return result;
}

static void
scram_free(void *state)
{
    struct scram *scram = state;

    if (scram == NULL)
        return;
    buf_reset(&scram->signed_text);
    wipe(scram, sizeof(*scram));
    free(scram);
}

/* ---- one mechanism a hash ---- */

#define SCRAM(name_, symbol, hash_, plus_)                                 \
    static int symbol##_start(struct sasl_world *world,                    \
                              const struct mech_peer *peer,                \
                              void **state_out)                            \
    {                                                                      \
        return scram_start(hash_, plus_, world, peer, state_out);          \
    }                                                                      \
    const struct mech mech_##symbol = {                                    \
        .name = (name_),                                                   \
        .start = symbol##_start,                                           \
        .step = scram_step,                                                \
        .resume = scram_resume,                                            \
        .free = scram_free,                                                \
    };

SCRAM("SCRAM-SHA-256-PLUS", scram_sha_256_plus, DIGEST_SHA256, true)
SCRAM("SCRAM-SHA-512", scram_sha_512, DIGEST_SHA512, false)
SCRAM("SCRAM-SHA-256", scram_sha_256, DIGEST_SHA256, false)
SCRAM("SCRAM-SHA-1", scram_sha_1, DIGEST_SHA1, false)
