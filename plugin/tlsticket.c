/*
 * tlsticket.c - the keys that session tickets are sealed with.  They are of
 * the whole process and of those forked from it later, so that every worker of
 * every generation opens what another one sealed.  Each hour the next key is
 * made of the last one by a hash, everywhere the same and without a way back;
 * a ticket opens for one hour at least and two at most.
 *
 * SPDX-License-Identifier: MIT
 */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "plugin/tls_internal.h"

enum { PERIOD = 3600, SECRET = 32, NAME = 16, STEPS_MAX = 100000 };

/* What one period's tickets are sealed with. */
struct ticket_key {
    unsigned char name[SECRET]; /* NAME of it are used */
    unsigned char cipher[SECRET];
    unsigned char mac[SECRET];
};

/* Process-wide: a host may have several plugins, one after the other. */
static struct {
    pthread_mutex_t lock;
    bool made;
    time_t period;
    unsigned char secret[SECRET]; /* of this period */
    struct ticket_key now;
    struct ticket_key before;
    bool has_before;
} ratchet = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* False when there is no memory. */
static bool
derive(const unsigned char *secret, const char *label,
       unsigned char out[SECRET])
{
    return HMAC(EVP_sha256(), secret, SECRET, (const unsigned char *)label,
                strlen(label), out, NULL) != NULL;
}

static bool
make_key(const unsigned char *secret, struct ticket_key *key)
{
    return derive(secret, "name", key->name)
           && derive(secret, "cipher", key->cipher)
           && derive(secret, "mac", key->mac);
}

/* All or nothing, or processes would no longer agree. */
static bool
step(void)
{
    unsigned char next[SECRET];
    struct ticket_key key;
    bool done = derive(ratchet.secret, "next", next) && make_key(next, &key);

    if (done) {
        ratchet.before = ratchet.now;
        ratchet.has_before = true;
        memcpy(ratchet.secret, next, SECRET);
        ratchet.now = key;
        ratchet.period++;
    }
    OPENSSL_cleanse(next, sizeof(next));
    OPENSSL_cleanse(&key, sizeof(key));
    return done;
}

static bool
begin(time_t period)
{
    if (RAND_priv_bytes(ratchet.secret, SECRET) != 1)
        return false;
    ratchet.made = make_key(ratchet.secret, &ratchet.now);
    ratchet.period = period;
    ratchet.has_before = false;
    return ratchet.made;
}

/* With the lock held.  A clock that goes back changes nothing. */
static bool
turn(void)
{
    time_t period = time(NULL) / PERIOD;

    if (!ratchet.made || period - ratchet.period > STEPS_MAX)
        return begin(period);
    while (ratchet.period < period) {
        if (!step())
            return false;
    }
    return true;
}

static int
set_key(const struct ticket_key *key, unsigned char *iv,
        EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
    unsigned char mac_key[SECRET];
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, mac_key,
                                          sizeof(mac_key)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end()
    };
    int done;

    memcpy(mac_key, key->mac, sizeof(mac_key));
    done = EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher,
                             iv, seal) == 1
           && EVP_MAC_CTX_set_params(mac, params) == 1;
    OPENSSL_cleanse(mac_key, sizeof(mac_key));
    return done ? 1 : -1;
}

/* 1: done; 2: done, and the client gets a new one; 0: not ours; -1: error. */
static int
use_key(unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
        EVP_MAC_CTX *mac, int seal)
{
    int done;

    if (!turn())
        return -1;
    if (seal) {
        memcpy(name, ratchet.now.name, NAME);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
            return -1;
        return set_key(&ratchet.now, iv, cipher, mac, 1);
    }
    if (memcmp(name, ratchet.now.name, NAME) == 0)
        return set_key(&ratchet.now, iv, cipher, mac, 0);
    if (!ratchet.has_before || memcmp(name, ratchet.before.name, NAME) != 0)
        return 0;
    done = set_key(&ratchet.before, iv, cipher, mac, 0);
    return done == 1 ? 2 : done;
}

static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv,
          EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
    int result;

    (void)pthread_mutex_lock(&ratchet.lock);
    result = use_key(name, iv, cipher, mac, seal);
    (void)pthread_mutex_unlock(&ratchet.lock);
    /* Clients of TLS 1.3 use a ticket once (RFC 8446 appendix C.4), and would
     * resume every other time only. */
    if (result == 1 && !seal && SSL_version(ssl) == TLS1_3_VERSION)
        result = 2;
    return result;
}

bool
tls_ticket_use(SSL_CTX *context)
{
    bool made;

    (void)pthread_mutex_lock(&ratchet.lock);
    made = turn();
    (void)pthread_mutex_unlock(&ratchet.lock);
    (void)SSL_CTX_set_timeout(context, PERIOD);
    return made
           && SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket) == 1;
}
