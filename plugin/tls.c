/*
 * tls.c - TLS of one connection by OpenSSL, on memory: what OpenSSL reads it
 * takes from the session's inbox, what it writes goes into a buffer.  No clock
 * and no descriptor; what is in the clear is wiped.  Runs where the sockets
 * are, and the key of the certificate is in the same process.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kpop/engine.h"
#include "plugin/tls_internal.h"

enum {
    FLIGHT_MAX = 128 * 1024, /* the longest chain of certificates we send */
    PROBLEM_MAX = 128,
    SUBJECT_MAX = 256,
    CERTIFICATE_MAX = 16 * 1024, /* of a client */
    HANDSHAKE = 0x16,        /* the first octet of a ClientHello's record */
    FINISHED_MIN = 12,
    EXPORTED = 32
};

struct tls {
    SSL *ssl;
    struct buf *wire;   /* the inbox, during a call */
    size_t plain;       /* octets of output before the first record */
    struct buf input;   /* clear octets that nobody has used */
    struct buf output;  /* records that are not sent */
    bool seen;          /* the first octet was looked at */
    bool stands;
    bool shut;
    char problem[PROBLEM_MAX];
    /* Lent by tls_get_facts(). */
    unsigned char *certificate;
    char subject[SUBJECT_MAX];
    unsigned char exported[EXPORTED];
    unsigned char finished[TLS_BINDING_MAX];
    unsigned char end_point[EVP_MAX_MD_SIZE];
};

/* ---- OpenSSL's way to our buffers ---- */

static int
bio_read(BIO *bio, char *data, size_t size, size_t *got_out)
{
    struct tls *tls = BIO_get_data(bio);
    size_t len = tls->wire != NULL ? buf_len(tls->wire) : 0;

    BIO_clear_retry_flags(bio);
    if (len == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    if (len > size)
        len = size;
    memcpy(data, buf_data(tls->wire), len);
    buf_consume(tls->wire, len);
    *got_out = len;
    return 1;
}

static int
bio_write(BIO *bio, const char *data, size_t size, size_t *put_out)
{
    struct tls *tls = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    buf_append(&tls->output, data, size);
    if (buf_failed(&tls->output))
        return 0;
    *put_out = size;
    return 1;
}

static long
bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *
tls_method_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "kpop buffers");

    if (method == NULL)
        return NULL;
    if (BIO_meth_set_read_ex(method, bio_read) == 1
        && BIO_meth_set_write_ex(method, bio_write) == 1
        && BIO_meth_set_ctrl(method, bio_control) == 1)
        return method;
    BIO_meth_free(method);
    return NULL;
}

/* ---- birth and death ---- */

struct tls *
tls_new(const struct tls_world *world, size_t plain)
{
    struct tls *tls = calloc(1, sizeof(*tls));
    BIO *bio = NULL;

    if (tls == NULL)
        return NULL;
    buf_init_secret(&tls->input, TLS_RECORD_MAX);
    buf_init(&tls->output, FLIGHT_MAX);
    tls->plain = plain;
    tls->ssl = SSL_new(world->contexts[0]);
    if (tls->ssl != NULL)
        bio = BIO_new(world->method);
    if (bio == NULL) {
        tls_free(tls);
        ERR_clear_error();
        return NULL;
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_accept_state(tls->ssl);
    return tls;
}

void
tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    SSL_free(tls->ssl);
    OPENSSL_free(tls->certificate);
    buf_reset(&tls->input);
    buf_reset(&tls->output);
    wipe(tls, sizeof(*tls));
    free(tls);
}

/* ---- octets ---- */

/* In one line, without numbers that nobody can read. */
static enum tls_news
fail(struct tls *tls, const char **problem_out)
{
    unsigned long code = ERR_peek_error();
    const char *text = ERR_reason_error_string(code);

    (void)snprintf(tls->problem, sizeof(tls->problem), "%s",
                   text != NULL ? text : "the connection broke");
    *problem_out = tls->problem;
    ERR_clear_error();
    return buf_failed(&tls->output) ? TLS_NO_MEMORY : TLS_FAILED;
}

/* Words where TLS was expected: OpenSSL would send nothing at all. */
static enum tls_news
refuse_words(struct tls *tls, const char **problem_out)
{
    /* TLS 1.0 record, alert, fatal, unexpected_message. */
    static const uint8_t alert[] = { 0x15, 3, 1, 0, 2, 2, 10 };

    buf_append(&tls->output, alert, sizeof(alert));
    *problem_out = "not TLS; the client must begin with TLS on this port";
    return TLS_FAILED;
}

static enum tls_news
news_of(struct tls *tls, int result, const char **problem_out)
{
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return TLS_MORE;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_CLOSED;
    default:
        return fail(tls, problem_out);
    }
}

static enum tls_news
shake(struct tls *tls, const char **problem_out)
{
    int result;

    if (!tls->seen && buf_data(tls->wire)[0] != HANDSHAKE)
        return refuse_words(tls, problem_out);
    tls->seen = true;
    result = SSL_do_handshake(tls->ssl);
    if (result != 1)
        return news_of(tls, result, problem_out);
    tls->stands = true;
    return TLS_STANDS;
}

static enum tls_news
read_record(struct tls *tls, const char **problem_out)
{
    uint8_t *room = buf_reserve(&tls->input, TLS_RECORD_MAX);
    size_t got = 0;
    int result;

    if (room == NULL)
        return TLS_NO_MEMORY;
    result = SSL_read_ex(tls->ssl, room, TLS_RECORD_MAX, &got);
    buf_claim(&tls->input, result == 1 ? got : 0);
    if (result == 1)
        return TLS_OCTETS;
    buf_reset(&tls->input);
    return news_of(tls, result, problem_out);
}

enum tls_news
tls_take(struct tls *tls, struct buf *inbox, const char **problem_out)
{
    enum tls_news news;

    ERR_clear_error();
    tls->wire = inbox;
    news = tls->stands ? read_record(tls, problem_out)
                       : shake(tls, problem_out);
    tls->wire = NULL;
    return buf_failed(&tls->output) ? TLS_NO_MEMORY : news;
}

bool
tls_stands(const struct tls *tls)
{
    return tls->stands;
}

struct buf *
tls_input(struct tls *tls)
{
    return &tls->input;
}

size_t
tls_plain(const struct tls *tls)
{
    return tls->plain;
}

void
tls_plain_wrote(struct tls *tls, size_t len)
{
    tls->plain -= len;
}

int
tls_wrap(struct tls *tls, const uint8_t *data, size_t len, size_t *used_out)
{
    if (len > TLS_RECORD_MAX)
        len = TLS_RECORD_MAX;
    *used_out = 0;
    ERR_clear_error();
    /* The buffer takes all, so only memory can fail. */
    if (SSL_write_ex(tls->ssl, data, len, used_out) != 1) {
        ERR_clear_error();
        return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

void
tls_shut(struct tls *tls)
{
    tls->shut = true;
    ERR_clear_error();
    (void)SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

bool
tls_is_shut(const struct tls *tls)
{
    return tls->shut;
}

struct buf *
tls_output(struct tls *tls)
{
    return &tls->output;
}

/* ---- what the handshake gave ---- */

/* Of a resumed session it is what was found at its first handshake, and in TLS
 * 1.3 each ticket gives another one, without end. */
static long
get_verdict(const struct tls *tls, const X509 *certificate)
{
    long verdict = SSL_get_verify_result(tls->ssl);
    time_t now = time(NULL);

    if (verdict == X509_V_OK
        && X509_cmp_time(X509_get0_notAfter(certificate), &now) <= 0)
        return X509_V_ERR_CERT_HAS_EXPIRED;
    return verdict;
}

static int
get_certificate(struct tls *tls, struct tls_facts *facts)
{
    X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
    long verdict;
    int size;

    if (certificate == NULL)
        return STATUS_OK;
    verdict = get_verdict(tls, certificate);
    if (X509_NAME_oneline(X509_get_subject_name(certificate), tls->subject,
                          SUBJECT_MAX) == NULL)
        tls->subject[0] = '\0';
    if (verdict != X509_V_OK) {
        facts->client_problem = X509_verify_cert_error_string(verdict);
        return STATUS_OK;
    }
    OPENSSL_free(tls->certificate);
    tls->certificate = NULL;
    size = i2d_X509(certificate, &tls->certificate);
    if (size < 0)
        return STATUS_NO_MEMORY;
    if (size > CERTIFICATE_MAX) {
        facts->client_problem = "larger than 16 KiB";
        return STATUS_OK;
    }
    facts->certificate = tls->certificate;
    facts->certificate_size = (size_t)size;
    return STATUS_OK;
}

/* RFC 5929 section 4.1: by the hash of the certificate's signature, SHA-256
 * where that is weaker; none where there is no single one (Ed25519). */
static void
get_end_point(struct tls *tls, struct tls_facts *facts)
{
    const X509 *certificate = SSL_get_certificate(tls->ssl);
    const EVP_MD *md = NULL;
    unsigned size = 0;
    int hash = NID_undef;

    if (certificate == NULL
        || OBJ_find_sigid_algs(X509_get_signature_nid(certificate), &hash,
                               NULL) != 1
        || hash == NID_undef)
        return;
    if (hash == NID_md5 || hash == NID_sha1)
        hash = NID_sha256;
    md = EVP_get_digestbynid(hash);
    if (md == NULL
        || X509_digest(certificate, md, tls->end_point, &size) != 1)
        return;
    facts->end_point = tls->end_point;
    facts->end_point_size = size;
}

/* The first of the handshake: the client's, or the server's when a session was
 * resumed; but in TLS 1.3 clients look where they looked before. */
static void
get_finished(struct tls *tls, struct tls_facts *facts)
{
    SSL *ssl = tls->ssl;
    size_t size = SSL_session_reused(ssl)
                      ? SSL_get_finished(ssl, tls->finished, TLS_BINDING_MAX)
                      : SSL_get_peer_finished(ssl, tls->finished,
                                              TLS_BINDING_MAX);

    if (size < FINISHED_MIN || size > TLS_BINDING_MAX)
        return;
    facts->finished = tls->finished;
    facts->finished_size = size;
}

/* TLS 1.3: RFC 9266.  TLS 1.2: the first Finished message (RFC 5929 section
 * 3), which binds only with an extended master secret (RFC 7627). */
static void
get_binding(struct tls *tls, struct tls_facts *facts)
{
    static const char label[] = "EXPORTER-Channel-Binding";
    SSL *ssl = tls->ssl;

    if (SSL_version(ssl) >= TLS1_3_VERSION) {
        if (SSL_export_keying_material(ssl, tls->exported, EXPORTED, label,
                                       sizeof(label) - 1, NULL, 0, 1) != 1)
            return;
        facts->binding_type = "tls-exporter";
        facts->binding = tls->exported;
        facts->binding_size = EXPORTED;
    } else if (SSL_get_extms_support(ssl) == 1) {
        facts->binding_type = "tls-unique";
        facts->binding = facts->finished;
        facts->binding_size = facts->finished_size;
    }
}

int
tls_get_facts(struct tls *tls, struct tls_facts *facts_out)
{
    struct tls_facts facts = { .subject = "", .client_problem = "",
                               .binding_type = "" };
    const char *name =
        SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
    int status;

    facts.version = SSL_get_version(tls->ssl);
    facts.cipher = SSL_get_cipher_name(tls->ssl);
    facts.server_name = name != NULL ? name : "";
    facts.bits = (unsigned)SSL_get_cipher_bits(tls->ssl, NULL);
    facts.resumed = SSL_session_reused(tls->ssl) == 1;
    status = get_certificate(tls, &facts);
    get_end_point(tls, &facts);
    get_finished(tls, &facts);
    get_binding(tls, &facts);
    facts.subject = tls->subject;
    ERR_clear_error();
    *facts_out = facts;
    return status;
}
