/*
 * tls_fixture.c - see tls_fixture.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/unit/tls_fixture.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MUST(condition) must((condition), #condition, __LINE__)

/* The test itself is broken. */
static void
must(bool good, const char *what, int line)
{
    if (good)
        return;
    printf("Bail out! tls_fixture.c:%d: %s\n", line, what);
    exit(1);
}

/* ---- files ---- */

enum { RING = 64 };

static char folder[200];

const char *
fixture_path(const char *name)
{
    static char paths[RING][300];
    static unsigned next;
    char *path = paths[next++ % RING];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static FILE *
create(const char *name, const char *suffix)
{
    char file[100];
    FILE *out;

    (void)snprintf(file, sizeof(file), "%s%s", name, suffix);
    out = fopen(fixture_path(file), "w");
    MUST(out != NULL);
    MUST(chmod(fixture_path(file), 0600) == 0);
    return out;
}

void
fixture_write(const char *name, const char *text, unsigned mode)
{
    FILE *out = create(name, "");

    MUST(fputs(text, out) >= 0 && fclose(out) == 0);
    MUST(chmod(fixture_path(name), mode) == 0);
}

static void
add_extension(X509 *certificate, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    MUST(extension != NULL && X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static void
add_ballast(X509 *certificate, size_t len)
{
    char *text = malloc(len + 1);

    MUST(text != NULL);
    memset(text, 'x', len);
    text[len] = '\0';
    add_extension(certificate, NID_netscape_comment, text);
    free(text);
}

static EVP_PKEY *
read_key(const char *name)
{
    char file[100];
    EVP_PKEY *key;
    FILE *in;

    (void)snprintf(file, sizeof(file), "%s.key", name);
    in = fopen(fixture_path(file), "r");
    MUST(in != NULL);
    key = PEM_read_PrivateKey(in, NULL, NULL, NULL);
    MUST(key != NULL && fclose(in) == 0);
    return key;
}

static void
set_common_name(X509_NAME *name, const char *text)
{
    MUST(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                    (const unsigned char *)text, -1, -1, 0)
         == 1);
}

static void
fill(X509 *certificate, const struct wish *wish, EVP_PKEY *key)
{
    static long serial = 1;
    const char *issuer = wish->issuer != NULL ? wish->issuer : "ca";

    MUST(X509_set_version(certificate, 2) == 1);
    MUST(ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++) == 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), wish->from * 86400L);
    X509_gmtime_adj(X509_getm_notAfter(certificate),
                    (wish->until != 0 ? wish->until : 1) * 86400L);
    MUST(X509_set_pubkey(certificate, key) == 1);
    set_common_name(X509_get_subject_name(certificate), wish->name);
    set_common_name(X509_get_issuer_name(certificate), issuer);
    add_extension(certificate, NID_basic_constraints,
                  wish->is_authority ? "critical,CA:TRUE" : "CA:FALSE");
    if (wish->names != NULL)
        add_extension(certificate, NID_subject_alt_name, wish->names);
    if (wish->ballast > 0)
        add_ballast(certificate, wish->ballast);
}

void
fixture_certificate(const struct wish *wish)
{
    const char *issuer = wish->issuer != NULL ? wish->issuer : "ca";
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    FILE *out = create(wish->name, ".key");
    EVP_PKEY *signer;

    MUST(key != NULL && certificate != NULL);
    MUST(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1);
    MUST(fclose(out) == 0);
    fill(certificate, wish, key);
    signer = read_key(issuer);
    MUST(X509_sign(certificate, signer, EVP_sha256()) > 0);
    out = create(wish->name, ".pem");
    MUST(PEM_write_X509(out, certificate) == 1 && fclose(out) == 0);
    EVP_PKEY_free(signer);
    EVP_PKEY_free(key);
    X509_free(certificate);
}

void
fixture_begin(void)
{
    const char *tmp = getenv("TMPDIR");

    if (folder[0] != '\0')
        return;
    (void)snprintf(folder, sizeof(folder), "%s/kpop-tls-XXXXXX",
                   tmp != NULL ? tmp : "/tmp");
    MUST(mkdtemp(folder) != NULL);
    fixture_certificate(&(struct wish){ .name = "ca", .is_authority = true });
    fixture_certificate(&(struct wish){ .name = "server",
                                        .names = "DNS:server.example.org" });
}

void
fixture_end(void)
{
    char command[300];

    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    MUST(folder[0] == '\0' || system(command) == 0);
    folder[0] = '\0';
}

/* ---- both ends ---- */

static void
keep_line(void *arg, unsigned level, const char *event, const char *line)
{
    struct fixture *f = arg;
    size_t len = strlen(f->log);

    (void)level;
    (void)snprintf(f->log + len, sizeof(f->log) - len, "%s %s\n", event, line);
}

void
fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    fixture_begin();
    f->settings = (struct tls_settings){
        .certificates = fixture_path("server.pem"),
        .keys = fixture_path("server.key"),
        .client_ca = "",
        .ocsp = "",
        .log = keep_line,
        .log_arg = f,
    };
    buf_init(&f->inbox, 1 << 20);
    f->context = SSL_CTX_new(TLS_client_method());
    MUST(f->context != NULL);
    MUST(SSL_CTX_load_verify_file(f->context, fixture_path("ca.pem")) == 1);
    SSL_CTX_set_verify(f->context, SSL_VERIFY_PEER, NULL);
}

static void
inside(const struct fixture *f, bool is_inside)
{
    if (f->ours != NULL)
        f->ours(is_inside);
}

int
fixture_world(struct fixture *f)
{
    int status;

    f->log[0] = '\0';
    inside(f, true);
    status = tls_world_new(&f->settings, &f->world, &f->key, f->error,
                           sizeof(f->error));
    inside(f, false);
    return status;
}

static void
connect_with(struct fixture *f, SSL_SESSION *session, size_t plain)
{
    f->client = SSL_new(f->context);
    f->to_client = BIO_new(BIO_s_mem());
    f->from_client = BIO_new(BIO_s_mem());
    MUST(f->client != NULL && f->to_client != NULL && f->from_client != NULL);
    SSL_set_bio(f->client, f->to_client, f->from_client);
    SSL_set_connect_state(f->client);
    if (session != NULL)
        MUST(SSL_set_session(f->client, session) == 1);
    f->problem = "";
    inside(f, true);
    f->tls = tls_new(f->world, plain);
    inside(f, false);
    f->news = f->tls != NULL ? TLS_MORE : TLS_NO_MEMORY;
}

void
fixture_connect(struct fixture *f, int version, size_t plain)
{
    MUST(SSL_CTX_set_min_proto_version(f->context, version) == 1);
    MUST(SSL_CTX_set_max_proto_version(f->context, version) == 1);
    connect_with(f, NULL, plain);
}

void
fixture_resume(struct fixture *f)
{
    SSL_SESSION *session = SSL_get1_session(f->client);

    fixture_hang_up(f);
    connect_with(f, session, 0);
    SSL_SESSION_free(session);
}

/* Octets of the client, to us. */
static bool
carry_up(struct fixture *f)
{
    char octets[4096];
    int len = BIO_read(f->from_client, octets,
                       f->piece > 0 && f->piece < sizeof(octets)
                           ? (int)f->piece
                           : (int)sizeof(octets));

    if (len <= 0)
        return false;
    buf_append(&f->inbox, octets, (size_t)len);
    return true;
}

static bool
carry_down(struct fixture *f)
{
    struct buf *output = tls_output(f->tls);
    int len = BIO_write(f->to_client, buf_data(output), (int)buf_len(output));

    if (len <= 0)
        return false;
    buf_consume(output, (size_t)len);
    return true;
}

static void
take(struct fixture *f)
{
    inside(f, true);
    while (buf_len(&f->inbox) > 0
           && (f->news == TLS_MORE || f->news == TLS_STANDS
               || (f->news == TLS_OCTETS && buf_len(tls_input(f->tls)) == 0)))
        f->news = tls_take(f->tls, &f->inbox, &f->problem);
    inside(f, false);
}

bool
fixture_run(struct fixture *f)
{
    bool moved = f->tls != NULL;

    while (moved) {
        if (!SSL_is_init_finished(f->client))
            (void)SSL_do_handshake(f->client);
        moved = carry_up(f);
        take(f);
        moved = carry_down(f) || moved;
    }
    ERR_clear_error();
    return f->tls != NULL && tls_stands(f->tls)
           && SSL_is_init_finished(f->client);
}

int
fixture_answer(struct fixture *f, const void *data, size_t len)
{
    size_t used = 0;
    int status = STATUS_OK;

    inside(f, true);
    for (const uint8_t *at = data; status == STATUS_OK && len > 0;
         at += used, len -= used)
        status = tls_wrap(f->tls, at, len, &used);
    inside(f, false);
    return status;
}

void
fixture_say(struct fixture *f, const void *data, size_t len)
{
    if (SSL_write(f->client, data, (int)len) == (int)len)
        (void)fixture_run(f);
}

size_t
fixture_hear(struct fixture *f, void *data, size_t size)
{
    size_t got = 0;
    size_t all = 0;

    (void)fixture_run(f);
    while (all < size
           && SSL_read_ex(f->client, (char *)data + all, size - all, &got)
                  == 1)
        all += got;
    ERR_clear_error();
    return all;
}

void
fixture_hang_up(struct fixture *f)
{
    tls_free(f->tls);
    f->tls = NULL;
    /* Without it OpenSSL would not show the session again. */
    if (f->client != NULL)
        SSL_set_shutdown(f->client,
                         SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(f->client); /* and its BIOs */
    f->client = NULL;
    buf_reset(&f->inbox);
}

void
fixture_free(struct fixture *f)
{
    fixture_hang_up(f);
    tls_world_free(f->world);
    f->world = NULL;
    SSL_CTX_free(f->context);
}
