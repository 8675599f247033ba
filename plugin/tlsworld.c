/*
 * tlsworld.c - certificates and keys, and all that is the same for every
 * connection: versions, ciphers, tickets, names.  Reads the files it is given
 * with the rights of the process, once, and never asks for a passphrase.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "plugin/log.h"
#include "plugin/text.h"
#include "plugin/tls.h"
#include "plugin/tls_internal.h"

enum { PAIRS_MAX = 64, PATH_OCTETS_MAX = 1024, LEVEL_WARNING = 1 };

/* ECDHE with an AEAD and nothing else; TLS 1.3 has only such ones. */
static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

struct reading {
    const struct tls_settings *settings;
    const char *key; /* of the configuration, to be blamed */
    char *error;
    size_t error_size;
};

static int
blame(struct reading *r, const char *key, const char *path, const char *why)
{
    r->key = key;
    text_say(r->error, r->error_size, "%.400s: %.400s", path, why);
    return STATUS_INVALID;
}

/* Why OpenSSL failed; the oldest of its errors is the nearest. */
static const char *
reason(void)
{
    unsigned long code = ERR_peek_error();
    const char *text = ERR_SYSTEM_ERROR(code)
                           ? strerror(ERR_GET_REASON(code))
                           : ERR_reason_error_string(code);

    return text != NULL ? text : "not understood by OpenSSL";
}

static void
warn(const struct tls_settings *settings, const char *path,
     const char *problem)
{
    struct log_line line;

    log_start(&line, NULL);
    log_text(&line, "path", path);
    log_text(&line, "problem", problem);
    settings->log(settings->log_arg, LEVEL_WARNING, "config.tls", line.text);
}

/* ---- files ---- */

/* Says more clearly than OpenSSL why a file can't be read. */
static int
look_at(struct reading *r, const char *key, const char *path, bool is_secret)
{
    struct stat st;
    FILE *file;
    int error;

    if (path[0] != '/')
        return blame(r, key, path, "an absolute path is needed");
    file = fopen(path, "re");
    error = errno;
    if (file == NULL || fstat(fileno(file), &st) != 0) {
        if (file != NULL)
            (void)fclose(file);
        return blame(r, key, path, strerror(error));
    }
    (void)fclose(file);
    if (!S_ISREG(st.st_mode))
        return blame(r, key, path, "is not a file");
    if (is_secret && (st.st_mode & (S_IRWXO | S_IWGRP)) != 0)
        warn(r->settings, path, "others may read or change the key of TLS; "
             "who has it can be this server; chmod o-rwx,g-w it");
    return STATUS_OK;
}

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

    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        warn(settings, path, "the certificate has expired; clients will "
             "refuse it");
    else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
        warn(settings, path, "the certificate is not valid yet; is the "
             "clock right?");
}

static int
load_pair(struct reading *r, SSL_CTX *context, const char *certificate,
          const char *key)
{
    const char *key_name = r->settings->keys[0] != '\0' ? "tls_key"
                                                        : "tls_certificate";
    int status = look_at(r, "tls_certificate", certificate, false);

    if (status == STATUS_OK)
        status = look_at(r, key_name, key, true);
    if (status != STATUS_OK)
        return status;
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
        return blame(r, "tls_certificate", certificate, reason());
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        return blame(r, key_name, key,
                     ERR_GET_REASON(ERR_peek_error())
                             == X509_R_KEY_VALUES_MISMATCH
                         ? "is not the key of the certificate"
                         : reason());
    if (SSL_CTX_check_private_key(context) != 1)
        return blame(r, key_name, key, "is not the key of the certificate");
    warn_of_time(r->settings, certificate, context);
    return STATUS_OK;
}

/* ---- clients ---- */

/* Whoever shows a certificate we don't know is served all the same, without
 * it: many clients show one to everybody. */
static int
take_any(int good, X509_STORE_CTX *store)
{
    (void)good, (void)store;
    return 1;
}

static int
load_clients(struct reading *r, SSL_CTX *context)
{
    const char *path = r->settings->client_ca;
    STACK_OF(X509_NAME) *names;
    int status;

    if (path[0] == '\0')
        return STATUS_OK;
    status = look_at(r, "tls_client_ca", path, false);
    if (status != STATUS_OK)
        return status;
    ERR_clear_error();
    names = SSL_load_client_CA_file(path);
    if (names == NULL || SSL_CTX_load_verify_file(context, path) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return blame(r, "tls_client_ca", path, reason());
    }
    SSL_CTX_set_client_CA_list(context, names);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, take_any);
    return STATUS_OK;
}

/* A ticket carries the client's certificate, so it is good only where the same
 * authorities are asked. */
static bool
set_id(SSL_CTX *context)
{
    const STACK_OF(X509_NAME) *names = SSL_CTX_get_client_CA_list(context);
    unsigned char id[EVP_MAX_MD_SIZE] = "kpop";
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool done = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
    int count = names != NULL ? sk_X509_NAME_num(names) : 0;

    for (int i = 0; done && i < count; i++) {
        const unsigned char *der;
        size_t size;

        done = X509_NAME_get0_der(sk_X509_NAME_value(names, i), &der, &size)
                   == 1
               && EVP_DigestUpdate(md, der, size) == 1;
    }
    done = done && EVP_DigestFinal_ex(md, id, NULL) == 1;
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
set_up(SSL_CTX *context, struct tls_world *world)
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
           && set_id(context) && tls_ticket_use(context);
}

static int
add_pair(struct reading *r, struct tls_world *world, const char *certificate,
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
    if (status == STATUS_OK && !set_up(context, world))
        status = STATUS_NO_MEMORY;
    return status;
}

/* The next word of a list, at most PATH_OCTETS_MAX octets; NULL: none. */
static const char *
next_path(const char **list, char path[PATH_OCTETS_MAX])
{
    size_t len;
    const char *word = text_word(*list, &len);

    if (word == NULL || len >= PATH_OCTETS_MAX)
        return NULL;
    memcpy(path, word, len);
    path[len] = '\0';
    *list = word + len;
    return path;
}

static int
add_pairs(struct reading *r, struct tls_world *world)
{
    const char *certificates = r->settings->certificates;
    const char *keys = r->settings->keys;
    bool own_keys = keys[0] != '\0';
    char certificate[PATH_OCTETS_MAX];
    char key[PATH_OCTETS_MAX];
    int status = STATUS_OK;

    while (status == STATUS_OK && world->count < PAIRS_MAX
           && next_path(&certificates, certificate) != NULL) {
        if (own_keys && next_path(&keys, key) == NULL)
            return blame(r, "tls_key", certificate,
                         "has no key; there must be as many as there are "
                         "certificates");
        status = add_pair(r, world, certificate,
                          own_keys ? key : certificate);
    }
    if (status != STATUS_OK)
        return status;
    if (own_keys && next_path(&keys, key) != NULL)
        return blame(r, "tls_key", key, "has no certificate");
    if (next_path(&certificates, certificate) != NULL)
        return blame(r, "tls_certificate", certificate, "too many");
    return STATUS_OK;
}

int
tls_world_new(const struct tls_settings *settings,
              struct tls_world **world_out, const char **key_out,
              char *error, size_t error_size)
{
    struct reading r = { .settings = settings, .key = "tls_certificate",
                         .error = error, .error_size = error_size };
    struct tls_world *world = calloc(1, sizeof(*world));
    int status = STATUS_NO_MEMORY;

    text_say(error, error_size, "no memory or no random octets for TLS");
    if (world != NULL) {
        world->contexts = calloc(PAIRS_MAX, sizeof(SSL_CTX *));
        world->method = tls_method_new();
    }
    if (world != NULL && world->contexts != NULL && world->method != NULL)
        status = add_pairs(&r, world);
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
    for (size_t i = 0; i < world->count; i++)
        SSL_CTX_free(world->contexts[i]);
    free(world->contexts);
    BIO_meth_free(world->method);
    free(world);
}
