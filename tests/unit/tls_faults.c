/*
 * tls_faults.c - TLS in which one call of libssl or libcrypto fails, each
 * there is, in turn: while certificates, authorities and an OCSP response are
 * read, and in a handshake with a client's certificate that is then resumed.
 * What fails ends with a sentence, sends no octet in the clear, proves nobody,
 * and the next one works.  Memory alone is tls_nomem.c's.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/lib/check.h"
#include "tests/unit/faults.h"
#include "tests/unit/ocsp_fixture.h"
#include "tests/unit/tls_fixture.h"

FAULT(int, fstat, -1, (int fd, struct stat *st), (fd, st))
FAULT(char *, strdup, NULL, (const char *text), (text))
FAULT(void *, CRYPTO_memdup, NULL,
      (const void *at, size_t n, const char *file, int line),
      (at, n, file, line))

FAULT(BIO_METHOD *, BIO_meth_new, NULL, (int type, const char *name),
      (type, name))
FAULT(int, BIO_meth_set_read_ex, 0,
      (BIO_METHOD * method, int (*read)(BIO *, char *, size_t, size_t *)),
      (method, read))
FAULT(int, BIO_meth_set_write_ex, 0,
      (BIO_METHOD * method,
       int (*write)(BIO *, const char *, size_t, size_t *)),
      (method, write))
FAULT(int, BIO_meth_set_ctrl, 0,
      (BIO_METHOD * method, long (*control)(BIO *, int, long, void *)),
      (method, control))
FAULT(BIO *, BIO_new, NULL, (const BIO_METHOD *method), (method))
FAULT(BIO *, BIO_new_file, NULL, (const char *path, const char *how),
      (path, how))
FAULT(int, BIO_read_ex, 0, (BIO * bio, void *at, size_t n, size_t *out),
      (bio, at, n, out))

FAULT(SSL_CTX *, SSL_CTX_new, NULL, (const SSL_METHOD *method), (method))
FAULT(int, SSL_CTX_use_certificate_chain_file, 0,
      (SSL_CTX * context, const char *path), (context, path))
FAULT(int, SSL_CTX_use_PrivateKey_file, 0,
      (SSL_CTX * context, const char *path, int type),
      (context, path, type))
FAULT(int, SSL_CTX_check_private_key, 0, (const SSL_CTX *context), (context))
FAULT(STACK_OF(X509_NAME) *, SSL_load_client_CA_file, NULL,
      (const char *path), (path))
FAULT(int, SSL_CTX_load_verify_file, 0,
      (SSL_CTX * context, const char *path), (context, path))
FAULT(int, SSL_CTX_set_cipher_list, 0, (SSL_CTX * context, const char *list),
      (context, list))
FAULT(int, SSL_CTX_set_session_id_context, 0,
      (SSL_CTX * context, const unsigned char *at, unsigned n),
      (context, at, n))
FAULT(SSL *, SSL_new, NULL, (SSL_CTX * context), (context))
FAULT(int, SSL_write_ex, 0, (SSL * ssl, const void *at, size_t n,
                             size_t *out),
      (ssl, at, n, out))
FAULT(long, SSL_ctrl, 0, (SSL * ssl, int command, long number, void *at),
      (ssl, command, number, at))
FAULT(int, SSL_export_keying_material, 0,
      (SSL * ssl, unsigned char *out, size_t size, const char *label,
       size_t label_len, const unsigned char *at, size_t n, int use),
      (ssl, out, size, label, label_len, at, n, use))
FAULT(size_t, SSL_get_finished, 0, (const SSL *ssl, void *at, size_t n),
      (ssl, at, n))
FAULT(size_t, SSL_get_peer_finished, 0, (const SSL *ssl, void *at, size_t n),
      (ssl, at, n))

FAULT(int, X509_verify_cert, 0, (X509_STORE_CTX * store), (store))
FAULT(char *, X509_NAME_oneline, NULL,
      (const X509_NAME *name, char *at, int n), (name, at, n))
FAULT(int, X509_digest, 0,
      (const X509 *certificate, const EVP_MD *md, unsigned char *out,
       unsigned *len_out),
      (certificate, md, out, len_out))
FAULT(int, X509_NAME_digest, 0,
      (const X509_NAME *name, const EVP_MD *md, unsigned char *out,
       unsigned *len_out),
      (name, md, out, len_out))
FAULT(int, i2d_X509, -1, (const X509 *certificate, unsigned char **out),
      (certificate, out))
FAULT(int, OBJ_find_sigid_algs, 0, (int signature, int *hash, int *key),
      (signature, hash, key))
FAULT(X509_STORE *, X509_STORE_new, NULL, (void), ())
FAULT(int, X509_STORE_add_cert, 0, (X509_STORE * store, X509 *certificate),
      (store, certificate))
FAULT(int, X509_STORE_set_flags, 0,
      (X509_STORE * store, unsigned long flags), (store, flags))
FAULT(OPENSSL_STACK *, OPENSSL_sk_new_null, NULL, (void), ())
FAULT(int, OPENSSL_sk_push, 0, (OPENSSL_STACK * stack, const void *item),
      (stack, item))

FAULT(OCSP_RESPONSE *, d2i_OCSP_RESPONSE, NULL,
      (OCSP_RESPONSE * *out, const unsigned char **at, long n),
      (out, at, n))
FAULT(int, i2d_OCSP_RESPONSE, -1,
      (const OCSP_RESPONSE *response, unsigned char **out), (response, out))
FAULT(OCSP_BASICRESP *, OCSP_response_get1_basic, NULL,
      (OCSP_RESPONSE * response), (response))
FAULT(int, OCSP_id_get0_info, 0,
      (ASN1_OCTET_STRING * *name, ASN1_OBJECT **md, ASN1_OCTET_STRING **key,
       ASN1_INTEGER **serial, OCSP_CERTID *id),
      (name, md, key, serial, id))
FAULT(int, OCSP_basic_verify, 0,
      (OCSP_BASICRESP * basic, STACK_OF(X509) * chain, X509_STORE *store,
       unsigned long flags),
      (basic, chain, store, flags))
FAULT(int, ASN1_TIME_to_tm, 0, (const ASN1_TIME *at, struct tm *out),
      (at, out))

FAULT(int, RAND_bytes, 0, (unsigned char *at, int n), (at, n))
FAULT(int, RAND_priv_bytes, 0, (unsigned char *at, int n), (at, n))
FAULT(EVP_MD_CTX *, EVP_MD_CTX_new, NULL, (void), ())
FAULT(int, EVP_DigestInit_ex, 0,
      (EVP_MD_CTX * context, const EVP_MD *md, ENGINE *engine),
      (context, md, engine))
FAULT(int, EVP_DigestUpdate, 0,
      (EVP_MD_CTX * context, const void *at, size_t n), (context, at, n))
FAULT(int, EVP_DigestFinal_ex, 0,
      (EVP_MD_CTX * context, unsigned char *out, unsigned *len_out),
      (context, out, len_out))
FAULT(int, EVP_CipherInit_ex, 0,
      (EVP_CIPHER_CTX * context, const EVP_CIPHER *cipher, ENGINE *engine,
       const unsigned char *key, const unsigned char *iv, int seal),
      (context, cipher, engine, key, iv, seal))
FAULT(int, EVP_MAC_CTX_set_params, 0,
      (EVP_MAC_CTX * context, const OSSL_PARAM params[]), (context, params))

long __real_SSL_CTX_ctrl(SSL_CTX *context, int command, long number,
                         void *at);
long __wrap_SSL_CTX_ctrl(SSL_CTX *context, int command, long number,
                         void *at);

/* Those that only write a value down can't fail. */
long
__wrap_SSL_CTX_ctrl(SSL_CTX *context, int command, long number, void *at)
{
    if ((command == SSL_CTRL_SET_MIN_PROTO_VERSION
         || command == SSL_CTRL_SET_GROUPS_LIST)
        && faults_now("SSL_CTX_ctrl"))
        return 0;
    return __real_SSL_CTX_ctrl(context, command, number, at);
}

static struct fixture f;

static void
begin(void)
{
    fixture_init(&f);
    f.ours = faults_inside;
    f.settings.client_ca = fixture_path("ca.pem");
    f.settings.ocsp = ocsp_fixture("response", &(struct ocsp_wish){ 0 });
    f.settings.certificates = fixture_path("bundle.pem");
    CHECK_INT(SSL_CTX_use_certificate_file(
                  f.context, fixture_path("server.pem"), SSL_FILETYPE_PEM),
              1);
    CHECK_INT(SSL_CTX_use_PrivateKey_file(
                  f.context, fixture_path("server.key"), SSL_FILETYPE_PEM),
              1);
}

static void
make_bundle(void)
{
    char command[800];

    fixture_begin();
    (void)snprintf(command, sizeof(command), "cat %s %s >%s",
                   fixture_path("server.pem"), fixture_path("ca.pem"),
                   fixture_path("bundle.pem"));
    CHECK_INT(system(command), 0);
}

/* Octets come through whole or not at all. */
static void
talk(void)
{
    char heard[5];

    fixture_say(&f, "hello", 5);
    if (f.news == TLS_OCTETS) {
        CHECK_MEM(buf_data(tls_input(f.tls)), buf_len(tls_input(f.tls)),
                  "hello", 5);
        buf_consume(tls_input(f.tls), 5);
    }
    if (fixture_answer(&f, "world", 5) == STATUS_OK)
        CHECK_MEM(heard, fixture_hear(&f, heard, 5), "world", 5);
}

/* What was not found out is nothing, and never something else. */
static void
look(bool is_whole)
{
    struct tls_facts facts;
    int status;

    faults_inside(true);
    status = tls_get_facts(f.tls, &facts);
    faults_inside(false);
    if (is_whole)
        CHECK(status == STATUS_OK && facts.certificate_size > 0
              && facts.binding_size > 0 && facts.finished_size > 0
              && facts.end_point_size > 0 && facts.subject[0] == '/');
    else if (status == STATUS_OK && facts.certificate_size == 0)
        CHECK(facts.certificate == NULL);
}

static void
go_on(bool is_whole)
{
    if (fixture_run(&f)) {
        look(is_whole);
        talk();
    } else {
        CHECK(!is_whole);
        CHECK(f.tls == NULL || !tls_stands(f.tls)
              || !SSL_is_init_finished(f.client));
    }
}

/* A handshake, and another one that shows its ticket. */
static void
play(int version, bool is_whole)
{
    fixture_connect(&f, version, 0);
    SSL_set_tlsext_host_name(f.client, "server.example.org");
    CHECK_INT(SSL_set_tlsext_status_type(f.client, TLSEXT_STATUSTYPE_ocsp),
              1);
    go_on(is_whole);
    fixture_resume(&f);
    go_on(is_whole);
    fixture_hang_up(&f);
}

static void
sweep_sessions(int version)
{
    size_t n = 0;

    make_bundle();
    begin();
    CHECK_INT(fixture_world(&f), STATUS_OK);
    do {
        play(version, true);
        faults_arm(n++, FAULT_OTHER);
        play(version, false);
    } while (faults_disarm() != NULL && n < 10000);
    CHECK(n > 20 && n < 10000);
    fixture_free(&f);
}

TEST(tls_1_3_with_each_call_failing)
{
    sweep_sessions(TLS1_3_VERSION);
}

TEST(tls_1_2_with_each_call_failing)
{
    sweep_sessions(TLS1_2_VERSION);
}

/* An OCSP response that can't be judged is left out, and that is said. */
TEST(certificates_with_each_call_failing)
{
    const char *failed;
    size_t n = 0;

    make_bundle();
    do {
        begin();
        faults_arm(n++, FAULT_OTHER);
        if (fixture_world(&f) == STATUS_OK) {
            failed = faults_disarm();
            play(TLS1_3_VERSION, true);
        } else {
            CHECK(f.error[0] != '\0' && f.key[0] != '\0');
            failed = faults_disarm();
        }
        fixture_free(&f);
    } while (failed != NULL && n < 10000);
    CHECK(n > 40 && n < 10000);
}

TEST(files_are_cleaned_up)
{
    fixture_end();
}

/* The keys of tickets are made with the first certificates. */
TEST_MAIN("tls_faults",
          T(certificates_with_each_call_failing),
          T(tls_1_3_with_each_call_failing),
          T(tls_1_2_with_each_call_failing),
          T(files_are_cleaned_up))
