/*
 * tlsocsp.c - OCSP stapling (RFC 6066 section 8): which certificate a response
 * in a file is about, whether clients would believe it, and giving it to who
 * asks.  Fetches nothing; whoever writes the file does.  A response that no
 * client would believe is left out: without one a client can still ask the
 * authority.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "plugin/tls_internal.h"
#include "plugin/tlsfile.h"

enum {
    SKEW = 300,      /* seconds that our clock may be behind the authority's */
    DER_MAX = 65536
};

static const char stale[] =
    "the OCSP response is out of date and not sent; renew it";

/* ---- whether it is good ---- */

static bool
is_name_of(X509_NAME *name, const ASN1_OCTET_STRING *hash,
           const ASN1_OBJECT *digest)
{
    const EVP_MD *md = EVP_get_digestbyobj(digest);
    unsigned char octets[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    return md != NULL && X509_NAME_digest(name, md, octets, &size) == 1
           && (int)size == ASN1_STRING_length(hash)
           && memcmp(octets, ASN1_STRING_get0_data(hash), size) == 0;
}

static bool
is_about(const OCSP_SINGLERESP *single, const X509 *certificate)
{
    /* OpenSSL's types want to be able to write. */
    OCSP_CERTID *id =
        (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single);
    ASN1_OCTET_STRING *issuer = NULL;
    ASN1_OBJECT *digest = NULL;
    ASN1_INTEGER *serial = NULL;

    return OCSP_id_get0_info(&issuer, &digest, NULL, &serial, id) == 1
           && ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(certificate))
                  == 0
           && is_name_of(X509_get_issuer_name(certificate), issuer, digest);
}

/* Who issued it, of its chain; NULL: it is not there. */
static X509 *
issuer_of(SSL_CTX *context)
{
    X509 *certificate = SSL_CTX_get0_certificate(context);
    STACK_OF(X509) *chain = NULL;

    (void)SSL_CTX_get0_chain_certs(context, &chain);
    for (int i = 0; chain != NULL && i < sk_X509_num(chain); i++)
        if (X509_check_issued(sk_X509_value(chain, i), certificate)
            == X509_V_OK)
            return sk_X509_value(chain, i);
    return NULL;
}

/* By the issuer, or by one whom it lets sign responses. */
static bool
is_signed(OCSP_BASICRESP *basic, X509 *issuer)
{
    X509_STORE *store = X509_STORE_new();
    STACK_OF(X509) *chain = sk_X509_new_null();
    bool good = store != NULL && chain != NULL
                && sk_X509_push(chain, issuer) > 0
                && X509_STORE_add_cert(store, issuer) == 1
                && X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1
                && OCSP_basic_verify(basic, chain, store, 0) == 1;

    sk_X509_free(chain);
    X509_STORE_free(store);
    return good;
}

/* NULL = clients will believe it; else why not. */
static const char *
judge(OCSP_BASICRESP *basic, OCSP_SINGLERESP *single, SSL_CTX *context,
      time_t *until_out)
{
    ASN1_GENERALIZEDTIME *from = NULL;
    ASN1_GENERALIZEDTIME *until = NULL;
    X509 *issuer = issuer_of(context);
    struct tm tm;
    int status = OCSP_single_get0_status(single, NULL, NULL, &from, &until);

    if (status != V_OCSP_CERTSTATUS_GOOD)
        return status == V_OCSP_CERTSTATUS_REVOKED
                   ? "the OCSP response says that the certificate is "
                     "revoked; clients will refuse it: get another one"
                   : "the OCSP response says that the certificate is "
                     "unknown, and is not sent";
    if (OCSP_check_validity(from, until, SKEW, -1) != 1)
        return stale;
    if (issuer != NULL && !is_signed(basic, issuer))
        return "the OCSP response is not signed by the issuer of the "
               "certificate, and is not sent";
    *until_out = 0;
    if (until != NULL) {
        if (ASN1_TIME_to_tm(until, &tm) != 1)
            return "the OCSP response has no good time, and is not sent";
        *until_out = timegm(&tm);
    }
    return NULL;
}

/* ---- reading ---- */

/* Without memory there is none, as without a file. */
static void
keep(struct tls_staple *staple, OCSP_RESPONSE *response, const char *path,
     time_t until)
{
    int size;

    tlsocsp_free(staple);
    memset(staple, 0, sizeof(*staple));
    staple->path = strdup(path);
    size = i2d_OCSP_RESPONSE(response, &staple->der);
    staple->size = staple->path != NULL && size > 0 ? (size_t)size : 0;
    staple->until = until;
}

/* Which of our certificates; count = none. */
static size_t
find(const struct tls_world *world, OCSP_BASICRESP *basic,
     OCSP_SINGLERESP **single_out)
{
    for (size_t i = 0; i < world->count; i++)
        for (int j = 0; j < OCSP_resp_count(basic); j++) {
            *single_out = OCSP_resp_get0(basic, j);
            if (is_about(*single_out,
                         SSL_CTX_get0_certificate(world->contexts[i])))
                return i;
        }
    return world->count;
}

static const char *
take_basic(struct tls_world *world, OCSP_RESPONSE *response,
           OCSP_BASICRESP *basic, const char *path)
{
    OCSP_SINGLERESP *single = NULL;
    size_t i = find(world, basic, &single);
    const char *problem;
    time_t until = 0;

    if (i == world->count)
        return "the OCSP response is about none of the certificates, and is "
               "not sent";
    problem = judge(basic, single, world->contexts[i], &until);
    if (problem == NULL)
        keep(&world->staples[i], response, path, until);
    return problem;
}

static const char *
take(struct tls_world *world, OCSP_RESPONSE *response, const char *path)
{
    OCSP_BASICRESP *basic;
    const char *problem;

    if (OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        return "the authority gave an error instead of an OCSP response";
    basic = OCSP_response_get1_basic(response);
    if (basic == NULL)
        return "the OCSP response is of an unknown kind, and is not sent";
    problem = take_basic(world, response, basic, path);
    OCSP_BASICRESP_free(basic);
    return problem;
}

static OCSP_RESPONSE *
read_response(const char *path)
{
    unsigned char *octets = malloc(DER_MAX);
    const unsigned char *at = octets;
    BIO *file = BIO_new_file(path, "rb");
    OCSP_RESPONSE *response = NULL;
    size_t size = 0;

    if (octets != NULL && file != NULL
        && BIO_read_ex(file, octets, DER_MAX, &size) == 1 && size < DER_MAX)
        response = d2i_OCSP_RESPONSE(NULL, &at, (long)size);
    BIO_free(file);
    free(octets);
    return response;
}

/* ---- handshakes ---- */

/* Says so once; whoever renews the file has forgotten it. */
static void
tell_stale(struct tls_staple *staple)
{
    if (!atomic_exchange(&staple->is_told, true))
        tlsfile_warn(staple->log, staple->log_arg, staple->path, stale);
}

static int
on_status(SSL *ssl, void *arg)
{
    struct tls_staple *staple = arg;
    unsigned char *copy;

    if (staple->size == 0)
        return SSL_TLSEXT_ERR_NOACK;
    if (staple->until != 0 && time(NULL) > staple->until) {
        tell_stale(staple);
        return SSL_TLSEXT_ERR_NOACK;
    }
    copy = OPENSSL_memdup(staple->der, staple->size);
    if (copy == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)staple->size) == 1)
        return SSL_TLSEXT_ERR_OK;
    OPENSSL_free(copy);
    return SSL_TLSEXT_ERR_NOACK;
}

/* ---- the files ---- */

static int
load(struct tlsfile *r, struct tls_world *world, const char *path)
{
    int status = tlsfile_check(r, "tls_ocsp", path, false);
    OCSP_RESPONSE *response;
    const char *problem;

    if (status != STATUS_OK)
        return status;
    response = read_response(path);
    if (response == NULL)
        return tlsfile_blame(r, "tls_ocsp", path,
                             "is not one OCSP response in DER, as openssl "
                             "ocsp -respout writes it");
    problem = take(world, response, path);
    if (problem != NULL)
        tlsfile_warn(r->settings->log, r->settings->log_arg, path, problem);
    OCSP_RESPONSE_free(response);
    return STATUS_OK;
}

int
tlsocsp_load(struct tlsfile *r, struct tls_world *world)
{
    const char *paths = r->settings->ocsp;
    char path[TLSFILE_PATH_MAX];
    int status = STATUS_OK;

    while (status == STATUS_OK && tlsfile_next(&paths, path) != NULL)
        status = load(r, world, path);
    ERR_clear_error();
    for (size_t i = 0; status == STATUS_OK && i < world->count; i++) {
        struct tls_staple *staple = &world->staples[i];

        staple->log = r->settings->log;
        staple->log_arg = r->settings->log_arg;
        (void)SSL_CTX_set_tlsext_status_cb(world->contexts[i], on_status);
        (void)SSL_CTX_set_tlsext_status_arg(world->contexts[i], staple);
    }
    return status;
}

void
tlsocsp_free(struct tls_staple *staple)
{
    OPENSSL_free(staple->der);
    free(staple->path);
}
