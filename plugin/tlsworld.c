/*
 * tlsworld.c - certificates and keys, and all that is the same for every
 * connection: versions, ciphers, tickets, names.  Reads the files it is given
 * with the rights of the process, once, and never asks for a passphrase.
 *
 * SPDX-License-Identifier: MIT
 */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/text.h"
#include "plugin/tls.h"
#include "plugin/tls_internal.h"
#include "plugin/tlsfile.h"

enum {
    PAIRS_MAX = 64,
    CHAIN_MAX = 32 * 1024 /* octets of the certificates that a client shows */
};

/* ECDHE with an AEAD and nothing else. */
static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

/* For TLS 1.3, too: its finite fields cost us 100 ms of work and a stranger
 * none (CVE-2002-20001).  The first list that this OpenSSL knows all of; not
 * const, because its macro casts that away and clang sees it. */
static char groups[][48] = {
    "X25519MLKEM768:X25519:P-256:X448:P-521:P-384",
    "X25519:P-256:X448:P-521:P-384",
    "P-256:P-521:P-384", /* FIPS */
};

static const char no_certificate[] =
    "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)";
static const char no_key[] =
    "holds no private key in PEM (-----BEGIN PRIVATE KEY-----)";
static const char no_key_within[] =
    "holds no private key in PEM; if that is in a file of its own, name it by "
    "tls_key";

static int
no_passphrase(char *text, int size, int writing, void *arg)
{
    (void)text, (void)size, (void)writing, (void)arg;
    return -1;
}

static void
warn_of_time(const struct tls_settings *settings, const char *path,
             SSL_CTX *context)
{
    const X509 *certificate = SSL_CTX_get0_certificate(context);
    const char *problem = NULL;

    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        problem = "the certificate has expired; clients will refuse it";
    else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
        problem = "the certificate is not valid yet; is the clock right?";
    if (problem != NULL)
        tlsfile_warn(settings->log, settings->log_arg, path, problem);
}

static int
load_pair(struct tlsfile *r, SSL_CTX *context, const char *certificate,
          const char *key)
{
    const bool own_key = r->settings->keys[0] != '\0';
    const char *key_name = own_key ? "tls_key" : "tls_certificate";
    int status = tlsfile_check(r, "tls_certificate", certificate, false);

    if (status == STATUS_OK)
        status = tlsfile_check(r, key_name, key, true);
    if (status != STATUS_OK)
        return status;
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
        return tlsfile_blame(r, "tls_certificate", certificate,
                             tlsfile_reason(no_certificate));
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        return tlsfile_blame(r, key_name, key,
                             ERR_GET_REASON(ERR_peek_error())
                                     == X509_R_KEY_VALUES_MISMATCH
                                 ? "is not the key of the certificate"
                                 : tlsfile_reason(own_key
                                                      ? no_key
                                                      : no_key_within));
    if (SSL_CTX_check_private_key(context) != 1)
        return tlsfile_blame(r, key_name, key,
                             "is not the key of the certificate");
    warn_of_time(r->settings, certificate, context);
    return STATUS_OK;
}

/* ---- clients ---- */

/* Whoever shows a certificate we don't know is served all the same, without
 * it: many clients show one to everybody.  The first thing that is wrong ends
 * the look, or strangers could have us check signatures of any size. */
static int
look_at(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    if (X509_verify_cert(store) != 1
        && X509_STORE_CTX_get_error(store) == X509_V_OK)
        X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
    return 1;
}

static int
load_clients(struct tlsfile *r, SSL_CTX *context)
{
    const char *path = r->settings->client_ca;
    STACK_OF(X509_NAME) *names;
    int status;

    if (path[0] == '\0')
        return STATUS_OK;
    status = tlsfile_check(r, "tls_client_ca", path, false);
    if (status != STATUS_OK)
        return status;
    ERR_clear_error();
    names = SSL_load_client_CA_file(path);
    if (names == NULL || SSL_CTX_load_verify_file(context, path) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return tlsfile_blame(r, "tls_client_ca", path,
                             tlsfile_reason(no_certificate));
    }
    SSL_CTX_set_client_CA_list(context, names);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(context, look_at, NULL);
    SSL_CTX_set_max_cert_list(context, CHAIN_MAX);
    return STATUS_OK;
}

static bool
hash_file(EVP_MD_CTX *md, const char *path)
{
    unsigned char octets[4096];
    BIO *file = BIO_new_file(path, "rb");
    bool done = file != NULL;
    size_t got = 0;

    while (done && BIO_read_ex(file, octets, sizeof(octets), &got) == 1)
        done = EVP_DigestUpdate(md, octets, got) == 1;
    BIO_free(file);
    return done;
}

/* A ticket carries the client's certificate and what was found about it, so it
 * is good only where the same authorities are asked. */
static bool
set_id(const struct tls_settings *settings, SSL_CTX *context)
{
    unsigned char id[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool done = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1
                && (settings->client_ca[0] == '\0'
                    || hash_file(md, settings->client_ca))
                && EVP_DigestFinal_ex(md, id, NULL) == 1;

    EVP_MD_CTX_free(md);
    return done && SSL_CTX_set_session_id_context(context, id, 32) == 1;
}

/* ---- names ---- */

static int
on_name(SSL *ssl, int *alert, void *arg)
{
    const struct tls_world *world = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    (void)alert;
    for (size_t i = 0; name != NULL && i < world->count; i++) {
        X509 *certificate = SSL_CTX_get0_certificate(world->contexts[i]);

        if (X509_check_host(certificate, name, 0, 0, NULL) == 1) {
            (void)SSL_set_SSL_CTX(ssl, world->contexts[i]);
            break;
        }
    }
    return SSL_TLSEXT_ERR_OK; /* the default one for unknown names */
}

/* Takes "pop3" (RFC 7301's registry).  Others are passed over, not refused:
 * some clients offer HTTP whatever they do. */
static int
on_protocols(SSL *ssl, const unsigned char **out, unsigned char *out_len,
             const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\4pop3";
    unsigned char *chosen;

    (void)ssl, (void)arg;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, in,
                              in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* ---- a context for each certificate ---- */

static bool
set_groups(SSL_CTX *context)
{
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
        if (SSL_CTX_set1_groups_list(context, groups[i]) == 1)
            return true;
    return false;
}

static bool
set_up(const struct tls_settings *settings, SSL_CTX *context,
       struct tls_world *world)
{
    (void)SSL_CTX_set_options(context,
                              SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION
                                  | SSL_OP_CIPHER_SERVER_PREFERENCE
                                  | SSL_OP_PRIORITIZE_CHACHA);
    /* An idle session keeps no buffers. */
    (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(context, 1);
    SSL_CTX_set_alpn_select_cb(context, on_protocols, NULL);
    (void)SSL_CTX_set_tlsext_servername_callback(context, on_name);
    (void)SSL_CTX_set_tlsext_servername_arg(context, world);
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1
           && SSL_CTX_set_cipher_list(context, ciphers) == 1
           && set_groups(context)
           && set_id(settings, context) && tls_ticket_use(context);
}

static int
add_pair(struct tlsfile *r, struct tls_world *world, const char *certificate,
         const char *key)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    int status;

    if (context == NULL)
        return STATUS_NO_MEMORY;
    world->contexts[world->count++] = context;
    status = load_pair(r, context, certificate, key);
    if (status == STATUS_OK)
        status = load_clients(r, context);
    if (status == STATUS_OK && !set_up(r->settings, context, world))
        status = STATUS_NO_MEMORY;
    return status;
}

static int
add_pairs(struct tlsfile *r, struct tls_world *world)
{
    const char *certificates = r->settings->certificates;
    const char *keys = r->settings->keys;
    bool own_keys = keys[0] != '\0';
    char certificate[TLSFILE_PATH_MAX];
    char key[TLSFILE_PATH_MAX];
    int status = STATUS_OK;

    while (status == STATUS_OK && world->count < PAIRS_MAX
           && tlsfile_next(&certificates, certificate) != NULL) {
        if (own_keys && tlsfile_next(&keys, key) == NULL)
            return tlsfile_blame(r, "tls_key", certificate,
                                 "has no key; there must be as many as there "
                                 "are certificates");
        status = add_pair(r, world, certificate,
                          own_keys ? key : certificate);
    }
    if (status != STATUS_OK)
        return status;
    if (world->count == 0)
        return tlsfile_blame(r, "tls_certificate", "the list",
                             "has no path in it");
    if (tlsfile_next(&certificates, certificate) != NULL)
        return tlsfile_blame(r, "tls_certificate", certificate,
                             "is one more than the 64 that there may be");
    if (own_keys && tlsfile_next(&keys, key) != NULL)
        return tlsfile_blame(r, "tls_key", key, "has no certificate");
    return STATUS_OK;
}

int
tls_world_new(const struct tls_settings *settings,
              struct tls_world **world_out, const char **key_out,
              char *error, size_t error_size)
{
    struct tlsfile r = { .settings = settings, .key = "tls_certificate",
                         .error = error, .error_size = error_size };
    struct tls_world *world = calloc(1, sizeof(*world));
    int status = STATUS_NO_MEMORY;

    text_say(error, error_size, "no memory or no random octets for TLS");
    if (world != NULL) {
        world->contexts = calloc(PAIRS_MAX, sizeof(SSL_CTX *));
        world->staples = calloc(PAIRS_MAX, sizeof(struct tls_staple));
        world->method = tls_method_new();
    }
    if (world != NULL && world->contexts != NULL && world->staples != NULL
        && world->method != NULL)
        status = add_pairs(&r, world);
    if (status == STATUS_OK)
        status = tlsocsp_load(&r, world);
    ERR_clear_error();
    *key_out = r.key;
    if (status != STATUS_OK) {
        tls_world_free(world);
        return status;
    }
    *world_out = world;
    return STATUS_OK;
}

void
tls_world_free(struct tls_world *world)
{
    if (world == NULL)
        return;
    for (size_t i = 0; i < world->count; i++) {
        SSL_CTX_free(world->contexts[i]);
        if (world->staples != NULL)
            tlsocsp_free(&world->staples[i]);
    }
    free(world->contexts);
    free(world->staples);
    BIO_meth_free(world->method);
    free(world);
}
