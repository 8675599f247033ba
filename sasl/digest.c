/*
 * digest.c - hashes by OpenSSL, for CRAM-MD5, APOP, SCRAM and the channel
 * bindings of GSSAPI only.  It keeps no secret and logs nothing.  Runs where
 * secrets are readable.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { MD5_OCTETS = 16 };

static void
to_hex(const uint8_t octets[MD5_OCTETS], char hex_out[DIGEST_HEX + 1])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < MD5_OCTETS; i++) {
        hex_out[2 * i] = digits[octets[i] >> 4];
        hex_out[2 * i + 1] = digits[octets[i] & 15];
    }
    hex_out[DIGEST_HEX] = '\0';
}

static bool
hash_joined(const struct digest_secret *secret, const char *challenge,
            uint8_t *octets_out)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = context != NULL &&
                EVP_DigestInit_ex(context, EVP_md5(), NULL) == 1 &&
                EVP_DigestUpdate(context, challenge, strlen(challenge)) == 1 &&
                EVP_DigestUpdate(context, secret->data, secret->len) == 1 &&
                EVP_DigestFinal_ex(context, octets_out, NULL) == 1;

    EVP_MD_CTX_free(context); /* wipes */
    return done;
}

static bool
hash_keyed(const struct digest_secret *secret, const char *challenge,
           uint8_t *octets_out)
{
    return secret->len <= INT16_MAX &&
           HMAC(EVP_md5(), secret->data, (int)secret->len,
                (const unsigned char *)challenge, strlen(challenge),
                octets_out, NULL) != NULL;
}

int
digest_make(enum digest_kind kind, const struct digest_secret *secret,
            const char *challenge, char hex_out[DIGEST_HEX + 1])
{
    uint8_t octets[EVP_MAX_MD_SIZE] = { 0 };
    bool done = kind == DIGEST_CRAM ? hash_keyed(secret, challenge, octets)
                                    : hash_joined(secret, challenge, octets);

    to_hex(octets, hex_out);
    OPENSSL_cleanse(octets, sizeof(octets));
    return done ? STATUS_OK : STATUS_TEMP;
}

static bool
hash_channel(EVP_MD_CTX *context, const char *type, const uint8_t *name,
             size_t len, uint8_t *octets_out)
{
    /* No addresses, then the length, least octet first. */
    const size_t prefix = strlen(type);
    const size_t all = (prefix > 0 ? prefix + 1 : 0) + len;
    uint8_t head[20] = { 0 };

    for (size_t i = 0; i < 4; i++)
        head[16 + i] = (uint8_t)(all >> 8 * i);
    return EVP_DigestInit_ex(context, EVP_md5(), NULL) == 1 &&
           EVP_DigestUpdate(context, head, sizeof(head)) == 1 &&
           EVP_DigestUpdate(context, type, prefix) == 1 &&
           EVP_DigestUpdate(context, ":", prefix > 0) == 1 &&
           EVP_DigestUpdate(context, name, len) == 1 &&
           EVP_DigestFinal_ex(context, octets_out, NULL) == 1;
}

int
digest_channel(const char *type, const uint8_t *name, size_t len,
               uint8_t out[DIGEST_CHANNEL])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = context != NULL && hash_channel(context, type, name, len, out);

    EVP_MD_CTX_free(context);
    return done ? STATUS_OK : STATUS_TEMP;
}

bool
digest_is_hex(const uint8_t octets[DIGEST_HEX])
{
    for (size_t i = 0; i < DIGEST_HEX; i++) {
        bool digit = octets[i] >= '0' && octets[i] <= '9';

        if (!digit && (octets[i] < 'a' || octets[i] > 'f'))
            return false;
    }
    return true;
}

bool
digest_same(const char *a, const char *b)
{
    return CRYPTO_memcmp(a, b, DIGEST_HEX) == 0;
}

/* ---- SCRAM ---- */

static const EVP_MD *
hash_of(enum digest_hash hash)
{
    switch (hash) {
    case DIGEST_SHA1:
        return EVP_sha1();
    case DIGEST_SHA256:
        return EVP_sha256();
    case DIGEST_SHA512:
        break;
    }
    return EVP_sha512();
}

size_t
digest_size(enum digest_hash hash)
{
    return (size_t)EVP_MD_get_size(hash_of(hash));
}

int
digest_salt(const char *hostname, const char *user, uint8_t *salt_out,
            size_t size)
{
    uint8_t octets[EVP_MAX_MD_SIZE];

    if (size > 32
        || HMAC(EVP_sha256(), hostname, (int)strlen(hostname),
                (const unsigned char *)user, strlen(user), octets, NULL)
               == NULL)
        return STATUS_TEMP;
    memcpy(salt_out, octets, size);
    return STATUS_OK;
}

/* Keys and signatures of RFC 5802 section 3, by its names. */
struct scram_values {
    uint8_t salted_password[EVP_MAX_MD_SIZE];
    uint8_t client_key[EVP_MAX_MD_SIZE];
    uint8_t stored_key[EVP_MAX_MD_SIZE];
    uint8_t client_signature[EVP_MAX_MD_SIZE];
    uint8_t server_key[EVP_MAX_MD_SIZE];
};

static bool
hmac(const struct digest_scram *scram, const uint8_t *key, const void *data,
     size_t len, uint8_t *out)
{
    return HMAC(hash_of(scram->hash), key, (int)digest_size(scram->hash),
                data, len, out, NULL) != NULL;
}

static bool
scram_count(const struct digest_scram *scram,
            const struct digest_secret *secret, struct scram_values *v,
            uint8_t *signature)
{
    const EVP_MD *md = hash_of(scram->hash);
    size_t size = digest_size(scram->hash);

    return secret->len <= INT16_MAX
           && PKCS5_PBKDF2_HMAC((const char *)secret->data,
                                (int)secret->len, scram->salt,
                                (int)scram->salt_len, scram->iterations, md,
                                (int)size, v->salted_password) == 1
           && hmac(scram, v->salted_password, "Client Key", 10,
                   v->client_key)
           && EVP_Digest(v->client_key, size, v->stored_key, NULL, md,
                         NULL) == 1
           && hmac(scram, v->stored_key, scram->text, scram->text_len,
                   v->client_signature)
           && hmac(scram, v->salted_password, "Server Key", 10,
                   v->server_key)
           && hmac(scram, v->server_key, scram->text, scram->text_len,
                   signature);
}

int
digest_scram_check(const struct digest_scram *scram,
                   const struct digest_secret *secret, const uint8_t *proof,
                   bool *same_out, uint8_t signature_out[DIGEST_HASH_MAX])
{
    struct scram_values v;
    size_t size = digest_size(scram->hash);
    bool done = scram_count(scram, secret, &v, signature_out);

    /* ClientProof is ClientKey XOR ClientSignature. */
    for (size_t i = 0; done && i < size; i++)
        v.client_signature[i] ^= proof[i];
    *same_out =
        done && CRYPTO_memcmp(v.client_signature, v.client_key, size) == 0;
    OPENSSL_cleanse(&v, sizeof(v));
    return done ? STATUS_OK : STATUS_TEMP;
}

/* ---- random octets ---- */

int
digest_random(char hex_out[DIGEST_HEX + 1])
{
    uint8_t octets[MD5_OCTETS];

    /* So few octets come at once, or not at all. */
    if (getrandom(octets, sizeof(octets), 0) != (ssize_t)sizeof(octets))
        return STATUS_TEMP;
    to_hex(octets, hex_out);
    return STATUS_OK;
}

int
digest_stamp(const char *hostname, char stamp_out[DIGEST_STAMP_MAX])
{
    char hex[DIGEST_HEX + 1];

    if (digest_random(hex) != STATUS_OK)
        return STATUS_TEMP;
    (void)snprintf(stamp_out, DIGEST_STAMP_MAX, "<%s.%lld@%.255s>", hex,
                   (long long)time(NULL), hostname);
    /* mpop takes only [A-Za-z0-9._+/@-]; an IPv6 address has more. */
    for (char *p = stamp_out; *p != '\0'; p++)
        if (*p == ':')
            *p = '.';
    return STATUS_OK;
}
