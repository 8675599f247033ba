/*
 * digest.c - MD5 and HMAC-MD5 by OpenSSL, for CRAM-MD5 and APOP only.  It
 * keeps no secret and logs nothing.  Runs where secrets are readable.
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

bool
digest_is_hex(const uint8_t *data, size_t len)
{
    if (len != DIGEST_HEX)
        return false;
    for (size_t i = 0; i < len; i++) {
        bool digit = data[i] >= '0' && data[i] <= '9';

        if (!digit && (data[i] < 'a' || data[i] > 'f'))
            return false;
    }
    return true;
}

bool
digest_same(const char *a, const char *b)
{
    return CRYPTO_memcmp(a, b, DIGEST_HEX) == 0;
}

int
digest_stamp(const char *hostname, char stamp_out[DIGEST_STAMP_MAX])
{
    uint8_t octets[MD5_OCTETS];
    char hex[DIGEST_HEX + 1];

    /* So few octets come at once, or not at all. */
    if (getrandom(octets, sizeof(octets), 0) != (ssize_t)sizeof(octets))
        return STATUS_TEMP;
    to_hex(octets, hex);
    (void)snprintf(stamp_out, DIGEST_STAMP_MAX, "<%s.%lld@%.255s>", hex,
                   (long long)time(NULL), hostname);
    /* mpop takes only [A-Za-z0-9._+/@-]; an IPv6 address has more. */
    for (char *p = stamp_out; *p != '\0'; p++)
        if (*p == ':')
            *p = '.';
    return STATUS_OK;
}
