/*
 * login_secret.c - the logins of `kpopctl login` that prove a secret without
 * sending it: APOP (RFC 1939), CRAM-MD5 (RFC 2195) and SCRAM-SHA-256 (RFC
 * 5802, RFC 7677), where the server proves that it knows it, too.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "plugin/cli/login.h"

enum {
    MD5_OCTETS = 16,
    SHA_OCTETS = 32,
    MESSAGE_MAX = 4 * LOGIN_TEXT_MAX, /* names, nonces, a challenge */
    NONCE_MAX = 40,
    ROUNDS_MAX = 10000000
};

static bool
fail(struct login *login, const char *step, const char *sentence)
{
    login_bad(login, step, "look into the server's log", "%s", sentence);
    return false;
}

static bool
succeed(struct login *login, const char *step, const char *reply)
{
    if (strncasecmp(reply, "+OK", 3) != 0)
        return login_refuse(login, step, reply);
    login_good(login, step, "the server took the proof: %.900s", reply);
    return true;
}

static void
write_hex(const unsigned char *octets, size_t count, char *out)
{
    for (size_t i = 0; i < count; i++)
        snprintf(out + 2 * i, 3, "%02x", octets[i]);
}

/* A message, of up to MESSAGE_MAX octets, in base64, and the next challenge
 * in its place. */
static bool
answer(struct login *login, const char *step, const char *message,
       char *reply, size_t size)
{
    unsigned char line[MESSAGE_MAX * 2];

    (void)EVP_EncodeBlock(line, (const unsigned char *)message,
                          (int)strlen(message));
    return login_ask(login, step, (const char *)line, reply, size);
}

/* "+ ..." decoded, as a text. */
static bool
is_challenge(struct login *login, const char *step, char *reply)
{
    size_t size = 0;

    if (reply[0] != '+' || strncasecmp(reply, "+OK", 3) == 0)
        return login_refuse(login, step, reply);
    if (!login_challenge(login, step, reply, &size))
        return false;
    reply[size] = '\0';
    return true;
}

/* ---- CRAM-MD5 ---- */

bool
login_cram(struct login *login)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hex[2 * MD5_OCTETS + 1];
    char message[sizeof(login->user) + sizeof(hex) + 1];
    char reply[MESSAGE_MAX];

    if (!login_is_clean(login, "cram")
        || !login_ask(login, "cram", "AUTH CRAM-MD5", reply, sizeof(reply))
        || !is_challenge(login, "cram", reply))
        return false;
    if (HMAC(EVP_md5(), login->password, (int)strlen(login->password),
             (unsigned char *)reply, strlen(reply), digest, NULL) == NULL)
        return fail(login, "cram", "OpenSSL on this machine has no MD5");
    write_hex(digest, MD5_OCTETS, hex);
    snprintf(message, sizeof(message), "%s %s", login->user, hex);
    return answer(login, "cram", message, reply, sizeof(reply))
           && succeed(login, "cram", reply);
}

/* ---- APOP ---- */

bool
login_apop(struct login *login)
{
    const char *stamp = strchr(login->banner, '<');
    const char *end = stamp != NULL ? strchr(stamp, '>') : NULL;
    unsigned char digest[EVP_MAX_MD_SIZE];
    char text[LOGIN_TEXT_MAX + LOGIN_PASSWORD_MAX];
    char line[sizeof(login->user) + 2 * MD5_OCTETS + 16];
    char hex[2 * MD5_OCTETS + 1];
    char reply[LOGIN_TEXT_MAX];
    bool good;

    if (!login_is_clean(login, "apop"))
        return false;
    if (end == NULL) {
        login_bad(login, "apop", "see mechanisms and secrets of the server",
                  "the greeting has no <...>, so the server has no APOP");
        return false;
    }
    snprintf(text, sizeof(text), "%.*s%s", (int)(end - stamp + 1), stamp,
             login->password);
    good = EVP_Digest(text, strlen(text), digest, NULL, EVP_md5(), NULL) == 1;
    OPENSSL_cleanse(text, sizeof(text));
    if (!good)
        return fail(login, "apop", "OpenSSL on this machine has no MD5");
    write_hex(digest, MD5_OCTETS, hex);
    snprintf(line, sizeof(line), "APOP %s %s", login->user, hex);
    return login_ask(login, "apop", line, reply, sizeof(reply))
           && succeed(login, "apop", reply);
}

/* ---- SCRAM-SHA-256 ---- */

struct scram {
    struct login *login;
    char first[2 * LOGIN_TEXT_MAX];  /* ours, without "n,," */
    char nonce[NONCE_MAX];
    char server[MESSAGE_MAX];        /* the server's first */
    char final[2 * LOGIN_TEXT_MAX];  /* ours, without the proof */
    unsigned char salted[SHA_OCTETS];
    unsigned char signature[SHA_OCTETS]; /* what the server has to prove */
};

static bool
hmac(const unsigned char *key, const char *text, unsigned char *out)
{
    unsigned int size = 0;

    return HMAC(EVP_sha256(), key, SHA_OCTETS, (const unsigned char *)text,
                strlen(text), out, &size) != NULL;
}

/* The user's name, where "=" and "," are signs of SCRAM's own. */
static bool
begin(struct scram *scram)
{
    unsigned char random[24];
    char name[3 * sizeof(scram->login->user)] = "";
    size_t len = 0;

    if (RAND_bytes(random, sizeof(random)) != 1)
        return false;
    (void)EVP_EncodeBlock((unsigned char *)scram->nonce, random,
                          sizeof(random));
    for (const char *p = scram->login->user; *p != '\0'; p++) {
        if (*p == '=' || *p == ',')
            len += (size_t)snprintf(name + len, sizeof(name) - len, "=%02X",
                                    (unsigned)*p);
        else
            name[len++] = *p;
    }
    name[len] = '\0';
    snprintf(scram->first, sizeof(scram->first), "n=%s,r=%s", name,
             scram->nonce);
    return true;
}

/* r=NONCE,s=SALT,i=ROUNDS: the nonce must begin with ours. */
static bool
read_first(struct scram *scram)
{
    char copy[MESSAGE_MAX];
    char *rest = copy;
    const char *nonce;
    char *salt;
    const char *rounds;
    unsigned char octets[MESSAGE_MAX];
    size_t size = 0;
    long count;

    snprintf(copy, sizeof(copy), "%s", scram->server);
    nonce = strsep(&rest, ",");
    salt = strsep(&rest, ",");
    rounds = strsep(&rest, ",");
    if (rounds == NULL || strncmp(nonce, "r=", 2) != 0
        || strncmp(salt, "s=", 2) != 0 || strncmp(rounds, "i=", 2) != 0
        || strncmp(nonce + 2, scram->nonce, strlen(scram->nonce)) != 0
        || strlen(nonce) > LOGIN_TEXT_MAX)
        return fail(scram->login, "scram", "the server's challenge is none");
    count = strtol(rounds + 2, NULL, 10);
    if (count < 1 || count > ROUNDS_MAX)
        return fail(scram->login, "scram", "the server's number of rounds is "
                    "odd");
    snprintf(scram->final, sizeof(scram->final), "c=biws,%s", nonce);
    if (!login_challenge(scram->login, "scram", salt + 2, &size))
        return false;
    memcpy(octets, salt + 2, size);
    return PKCS5_PBKDF2_HMAC(scram->login->password,
                             (int)strlen(scram->login->password), octets,
                             (int)size, (int)count, EVP_sha256(), SHA_OCTETS,
                             scram->salted) == 1
           || fail(scram->login, "scram", "OpenSSL has no PBKDF2 here");
}

/* RFC 5802, section 3; out has room for the proof in base64. */
static bool
prove(struct scram *scram, char *out)
{
    unsigned char client[SHA_OCTETS];
    unsigned char server[SHA_OCTETS];
    unsigned char stored[SHA_OCTETS];
    unsigned char proof[SHA_OCTETS];
    char both[2 * MESSAGE_MAX + LOGIN_TEXT_MAX];
    bool good;

    snprintf(both, sizeof(both), "%s,%s,%s", scram->first, scram->server,
             scram->final);
    good = hmac(scram->salted, "Client Key", client)
           && hmac(scram->salted, "Server Key", server)
           && EVP_Digest(client, SHA_OCTETS, stored, NULL, EVP_sha256(), NULL)
                  == 1
           && hmac(stored, both, proof)
           && hmac(server, both, scram->signature);
    for (size_t i = 0; good && i < SHA_OCTETS; i++)
        proof[i] ^= client[i];
    if (good)
        (void)EVP_EncodeBlock((unsigned char *)out, proof, SHA_OCTETS);
    OPENSSL_cleanse(client, sizeof(client));
    OPENSSL_cleanse(server, sizeof(server));
    OPENSSL_cleanse(stored, sizeof(stored));
    OPENSSL_cleanse(proof, sizeof(proof));
    return good || fail(scram->login, "scram", "OpenSSL has no SHA-256 here");
}

/* v=SIGNATURE: the server knows the secret as well. */
static bool
check_server(struct scram *scram, const char *final)
{
    char wanted[SHA_OCTETS * 2];

    (void)EVP_EncodeBlock((unsigned char *)wanted, scram->signature,
                          SHA_OCTETS);
    if (strncmp(final, "v=", 2) == 0 && strcmp(final + 2, wanted) == 0)
        return true;
    return fail(scram->login, "scram",
                "the server does not know the secret itself: it may be a "
                "false one");
}

static bool
run_scram(struct scram *scram)
{
    struct login *login = scram->login;
    char message[MESSAGE_MAX];
    char proof[2 * SHA_OCTETS];

    if (!begin(scram))
        return fail(login, "scram", "OpenSSL has no random octets");
    snprintf(message, sizeof(message), "n,,%s", scram->first);
    if (!login_ask(login, "scram", "AUTH SCRAM-SHA-256", scram->server,
                   sizeof(scram->server))
        || !is_challenge(login, "scram", scram->server)
        || !answer(login, "scram", message, scram->server,
                   sizeof(scram->server))
        || !is_challenge(login, "scram", scram->server)
        || !read_first(scram) || !prove(scram, proof))
        return false;
    snprintf(message, sizeof(message), "%s,p=%s", scram->final, proof);
    return answer(login, "scram", message, scram->server,
                  sizeof(scram->server))
           && is_challenge(login, "scram", scram->server)
           && check_server(scram, scram->server)
           && login_ask(login, "scram", "", scram->server,
                        sizeof(scram->server))
           && succeed(login, "scram", scram->server);
}

bool
login_scram(struct login *login)
{
    struct scram *scram = calloc(1, sizeof(*scram));
    bool good;

    if (scram == NULL)
        return fail(login, "scram", "out of memory");
    scram->login = login;
    good = login_is_clean(login, "scram") && run_scram(scram);
    OPENSSL_cleanse(scram, sizeof(*scram));
    free(scram);
    return good;
}
