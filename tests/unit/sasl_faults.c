/*
 * sasl_faults.c - logins in which one call fails: of memory, files, libkrb5,
 * GSSAPI, libsasl2, libidn and libcrypto, each there is, in turn.  Nobody gets
 * in who should not, our fault is never blamed on the client, and the next
 * login works.  Those with tickets are skipped where no KDC is installed.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <gssapi/gssapi_krb5.h>
#include <krb5.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <profile.h>
#include <pwd.h>
#include <sasl/sasl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stringprep.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kpop/base64.h"
#include "tests/lib/check.h"
#include "tests/unit/cert_fixture.h"
#include "tests/unit/faults.h"
#include "tests/unit/gss_fixture.h"

/* ---- what fails ---- */

static int
krb5_fault(void)
{
    return faults.kind == FAULT_MEMORY ? ENOMEM : EIO;
}

static int
sasl_fault(void)
{
    return faults.kind == FAULT_MEMORY ? SASL_NOMEM : SASL_UNAVAIL;
}

FAULT(void *, malloc, NULL, (size_t size), (size))
FAULT(void *, calloc, NULL, (size_t count, size_t size), (count, size))
FAULT(void *, realloc, NULL, (void *old, size_t size), (old, size))
FAULT(char *, strdup, NULL, (const char *text), (text))

FAULT(int, stat, -1, (const char *path, struct stat *st), (path, st))
FAULT(int, lstat, -1, (const char *path, struct stat *st), (path, st))
FAULT(int, fstat, -1, (int fd, struct stat *st), (fd, st))
FAULT(int, access, -1, (const char *path, int how), (path, how))
FAULT(ssize_t, read, -1, (int fd, void *at, size_t n), (fd, at, n))
FAULT(ssize_t, getrandom, -1, (void *at, size_t n, unsigned flags),
      (at, n, flags))
FAULT(int, getpwnam_r, errno,
      (const char *name, struct passwd *entry, char *at, size_t n,
       struct passwd **out),
      (name, entry, at, n, out))

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);

int
__wrap_open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list args;

    va_start(args, flags);
    if (flags & O_CREAT)
        mode = va_arg(args, mode_t);
    va_end(args);
    return faults_now("open") ? -1 : __real_open(path, flags, mode);
}

/* The replay cache that libkrb5 says it uses, if not ours. */
static struct {
    bool is_it;
    const char *name; /* NULL = none */
} other_cache;

long __real_profile_get_string(profile_t profile, const char *name,
                               const char *subname, const char *subsubname,
                               const char *usual, char **out);
long __wrap_profile_get_string(profile_t profile, const char *name,
                               const char *subname, const char *subsubname,
                               const char *usual, char **out);

long
__wrap_profile_get_string(profile_t profile, const char *name,
                          const char *subname, const char *subsubname,
                          const char *usual, char **out)
{
    if (faults_now("profile_get_string"))
        return krb5_fault();
    if (!other_cache.is_it)
        return __real_profile_get_string(profile, name, subname, subsubname,
                                         usual, out);
    *out = other_cache.name != NULL ? strdup(other_cache.name) : NULL;
    return 0;
}

FAULT(krb5_error_code, krb5_init_context, krb5_fault(), (krb5_context *out),
      (out))
FAULT(krb5_error_code, krb5_init_context_profile, krb5_fault(),
      (profile_t profile, krb5_flags flags, krb5_context *out),
      (profile, flags, out))
FAULT(krb5_error_code, krb5_get_profile, krb5_fault(),
      (krb5_context context, profile_t *out), (context, out))
FAULT(krb5_error_code, krb5_kt_resolve, krb5_fault(),
      (krb5_context context, const char *name, krb5_keytab *out),
      (context, name, out))
FAULT(krb5_error_code, krb5_kt_start_seq_get, krb5_fault(),
      (krb5_context context, krb5_keytab keytab, krb5_kt_cursor *out),
      (context, keytab, out))
FAULT(krb5_error_code, krb5_kt_next_entry, krb5_fault(),
      (krb5_context context, krb5_keytab keytab, krb5_keytab_entry *out,
       krb5_kt_cursor *cursor),
      (context, keytab, out, cursor))
FAULT(krb5_error_code, krb5_auth_con_init, krb5_fault(),
      (krb5_context context, krb5_auth_context *out), (context, out))
FAULT(krb5_error_code, krb5_auth_con_setflags, krb5_fault(),
      (krb5_context context, krb5_auth_context auth, krb5_int32 flags),
      (context, auth, flags))
FAULT(krb5_error_code, krb5_auth_con_getauthenticator, krb5_fault(),
      (krb5_context context, krb5_auth_context auth,
       krb5_authenticator **out),
      (context, auth, out))
FAULT(krb5_error_code, krb5_rd_req, krb5_fault(),
      (krb5_context context, krb5_auth_context *auth, const krb5_data *in,
       krb5_const_principal server, krb5_keytab keytab, krb5_flags *options,
       krb5_ticket **out),
      (context, auth, in, server, keytab, options, out))
FAULT(krb5_error_code, krb5_mk_rep, krb5_fault(),
      (krb5_context context, krb5_auth_context auth, krb5_data *out),
      (context, auth, out))
FAULT(krb5_error_code, krb5_mk_error, krb5_fault(),
      (krb5_context context, const krb5_error *error, krb5_data *out),
      (context, error, out))
FAULT(krb5_error_code, krb5_timeofday, krb5_fault(),
      (krb5_context context, krb5_timestamp *out), (context, out))
FAULT(krb5_error_code, krb5_us_timeofday, krb5_fault(),
      (krb5_context context, krb5_timestamp *out, krb5_int32 *us_out),
      (context, out, us_out))
FAULT(krb5_error_code, krb5_parse_name, krb5_fault(),
      (krb5_context context, const char *name, krb5_principal *out),
      (context, name, out))
FAULT(krb5_error_code, krb5_unparse_name, krb5_fault(),
      (krb5_context context, krb5_const_principal principal, char **out),
      (context, principal, out))
FAULT(krb5_error_code, krb5_unparse_name_flags, krb5_fault(),
      (krb5_context context, krb5_const_principal principal, int flags,
       char **out),
      (context, principal, flags, out))
FAULT(krb5_error_code, krb5_get_default_realm, krb5_fault(),
      (krb5_context context, char **out), (context, out))
FAULT(krb5_error_code, krb5_aname_to_localname, krb5_fault(),
      (krb5_context context, krb5_const_principal principal, int size,
       char *out),
      (context, principal, size, out))
FAULT(long, profile_init, krb5_fault(),
      (const_profile_filespec_t *files, profile_t *out), (files, out))
FAULT(long, profile_init_vtable, krb5_fault(),
      (struct profile_vtable *table, void *arg, profile_t *out),
      (table, arg, out))
FAULT(long, profile_get_values, krb5_fault(),
      (profile_t profile, const char *const *names, char ***out),
      (profile, names, out))
FAULT(OM_uint32, gss_acquire_cred_from,
      (*minor = (OM_uint32)krb5_fault(), GSS_S_FAILURE),
      (OM_uint32 * minor, gss_name_t name, OM_uint32 time, gss_OID_set mechs,
       gss_cred_usage_t usage, gss_const_key_value_set_t store,
       gss_cred_id_t *out, gss_OID_set *mechs_out, OM_uint32 *time_out),
      (minor, name, time, mechs, usage, store, out, mechs_out, time_out))

FAULT(int, sasl_server_init, sasl_fault(),
      (const sasl_callback_t *callbacks, const char *name),
      (callbacks, name))
FAULT(int, sasl_server_new, sasl_fault(),
      (const char *service, const char *host, const char *realm,
       const char *local, const char *remote, const sasl_callback_t *callbacks,
       unsigned flags, sasl_conn_t **out),
      (service, host, realm, local, remote, callbacks, flags, out))
FAULT(int, sasl_setprop, sasl_fault(),
      (sasl_conn_t *conn, int number, const void *value),
      (conn, number, value))
FAULT(int, sasl_listmech, sasl_fault(),
      (sasl_conn_t *conn, const char *user, const char *prefix,
       const char *between, const char *suffix, const char **out,
       unsigned *len_out, int *count_out),
      (conn, user, prefix, between, suffix, out, len_out, count_out))
FAULT(int, sasl_server_start, sasl_fault(),
      (sasl_conn_t *conn, const char *mechanism, const char *in, unsigned len,
       const char **out, unsigned *len_out),
      (conn, mechanism, in, len, out, len_out))
FAULT(int, sasl_server_step, sasl_fault(),
      (sasl_conn_t *conn, const char *in, unsigned len, const char **out,
       unsigned *len_out),
      (conn, in, len, out, len_out))
FAULT(int, sasl_getprop, sasl_fault(),
      (sasl_conn_t *conn, int number, const void **out), (conn, number, out))
FAULT(int, sasl_encode, sasl_fault(),
      (sasl_conn_t *conn, const char *in, unsigned len, const char **out,
       unsigned *len_out),
      (conn, in, len, out, len_out))
FAULT(int, sasl_decode, sasl_fault(),
      (sasl_conn_t *conn, const char *in, unsigned len, const char **out,
       unsigned *len_out),
      (conn, in, len, out, len_out))

FAULT(int, stringprep_profile, STRINGPREP_MALLOC_ERROR,
      (const char *in, char **out, const char *profile,
       Stringprep_profile_flags flags),
      (in, out, profile, flags))
FAULT(EVP_MD_CTX *, EVP_MD_CTX_new, NULL, (void), ())
FAULT(int, EVP_DigestInit_ex, 0,
      (EVP_MD_CTX *context, const EVP_MD *md, ENGINE *engine),
      (context, md, engine))
FAULT(int, EVP_DigestUpdate, 0,
      (EVP_MD_CTX *context, const void *at, size_t n), (context, at, n))
FAULT(int, EVP_DigestFinal_ex, 0,
      (EVP_MD_CTX *context, unsigned char *out, unsigned *len_out),
      (context, out, len_out))
FAULT(int, EVP_Digest, 0,
      (const void *at, size_t n, unsigned char *out, unsigned *len_out,
       const EVP_MD *md, ENGINE *engine),
      (at, n, out, len_out, md, engine))
FAULT(unsigned char *, HMAC, NULL,
      (const EVP_MD *md, const void *key, int key_len,
       const unsigned char *at, size_t n, unsigned char *out,
       unsigned *len_out),
      (md, key, key_len, at, n, out, len_out))
FAULT(int, PKCS5_PBKDF2_HMAC, 0,
      (const char *password, int len, const unsigned char *salt, int salt_len,
       int count, const EVP_MD *md, int size, unsigned char *out),
      (password, len, salt, salt_len, count, md, size, out))

/* ---- one login ---- */

static struct gss_login login; /* its own fields are GSSAPI's alone */
static struct sasl_settings settings;
static const char *secret;     /* what the host knows of alice */

static void
no_log(void *arg, unsigned level, const char *event, const char *line)
{
    (void)arg;
    (void)level;
    CHECK(event[0] != '\0' && strpbrk(line, "\r\n") == NULL);
}

static int
open_world(void)
{
    char error[300] = "";
    int status;

    faults_inside(true);
    status = sasl_world_new(&settings, &login.world, error, sizeof(error));
    faults_inside(false);
    return status;
}

static int
start(const char *mechanism)
{
    int status;

    login.mech = mech_find(mechanism);
    CHECK(login.mech != NULL);
    buf_init(&login.out, 65536);
    faults_inside(true);
    status = login.mech->start(login.world, &login.peer, &login.state);
    faults_inside(false);
    return status;
}

/* As plugin/exchange.c does: an answer that found no memory is none. */
static int
answered(int status)
{
    faults_inside(false);
    return status >= 0 && buf_failed(&login.out) ? STATUS_NO_MEMORY : status;
}

static int
step(const void *data, size_t len)
{
    buf_reset(&login.out);
    faults_inside(true);
    return answered(login.mech->step(login.state, data, len, &login.out,
                                     &login.ask));
}

static int
resume(int result, const char *known)
{
    buf_reset(&login.out);
    faults_inside(true);
    return answered(login.mech->resume(
        login.state, result, (const uint8_t *)known,
        known != NULL ? strlen(known) : 0, &login.out, &login.ask));
}

/* The host: what it is asked, until the mechanism has no question left. */
static int
as_the_host(int status)
{
    while (status == STATUS_PENDING) {
        if (login.ask.need == MECH_SECRET) {
            CHECK_STR(login.ask.user, "alice");
            status = resume(STATUS_OK, secret);
        } else if (login.ask.need == MECH_PASSWORD) {
            CHECK_STR(login.ask.user, "alice");
            CHECK_MEM(login.ask.password, login.ask.password_len, secret,
                      strlen(secret));
            status = resume(STATUS_OK, NULL);
        } else if (strcmp(login.ask.local, "alice") == 0) {
            status = resume(STATUS_OK, NULL);
        } else {
            /* An account that could not be found out opens nothing. */
            CHECK_STR(login.ask.local, "");
            CHECK_INT(resume(STATUS_DENIED, NULL), STATUS_DENIED);
            status = STATUS_TEMP;
        }
    }
    return status;
}

static void
hang_up(void)
{
    OM_uint32 minor;

    if (login.mech != NULL)
        login.mech->free(login.state);
    login.state = NULL;
    login.mech = NULL;
    buf_reset(&login.out);
    (void)gss_delete_sec_context(&minor, &login.context, GSS_C_NO_BUFFER);
}

/* ---- each call in turn ---- */

/*
 * The fault is ours, and passes.  But what of krb5.conf can't be read, libkrb5
 * takes for not being there, and blames the ticket.
 */
static void
check_blame(int status)
{
    bool fair = status == STATUS_OK || status == STATUS_TEMP
                || status == STATUS_NO_MEMORY
                || (status == STATUS_AUTH
                    && strcmp(faults.failed, "profile_get_values") == 0);

    if (!fair)
        fprintf(stderr, "# failed: %s, kind %d: %d\n", faults.failed,
                (int)faults.kind, status);
    CHECK(fair);
}

static void
new_peer(void)
{
    memset(&login, 0, sizeof(login));
    login.peer.address = "127.0.0.1";
    login.peer.session_id = "s1";
    login.peer.log = no_log;
}

/* A login with the n-th call failing, and one behind it. */
static bool
once(int (*attempt)(void), size_t n, enum fault_kind kind)
{
    const char *failed;
    int status;

    new_peer();
    faults_arm(n, kind);
    status = open_world();
    if (status == STATUS_OK)
        status = attempt();
    failed = faults_disarm();
    check_blame(status);
    if (failed == NULL)
        CHECK_INT(status, STATUS_OK);
    hang_up();
    if (login.world != NULL) {
        CHECK_INT(attempt(), STATUS_OK);
        hang_up();
    }
    sasl_world_free(login.world);
    return failed != NULL;
}

/* At least so many calls there are. */
static void
sweep(int (*attempt)(void), size_t least)
{
    static const enum fault_kind kinds[] = { FAULT_OTHER, FAULT_MEMORY };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t n = 0;

        while (once(attempt, n, kinds[i]) && n < 10000)
            n++;
        CHECK(n >= least);
        CHECK(n < 10000);
    }
}

/* ---- passwords and secrets ---- */

static void
without_tickets(const char *known)
{
    settings = (struct sasl_settings){
        .hostname = "mail.test", .keytab = "/nonexistent", .services = "pop",
        .replay_cache = "/nonexistent", .realms = "", .principal_map = "",
        .client_name = MECH_NAME_CN,
    };
    secret = known;
}

static int
by_plain(void)
{
    int status = start("plain");
    char message[100];
    int n = snprintf(message, sizeof(message), "%calice%c%s", '\0', '\0',
                     secret);

    CHECK(n > 0);
    if (status == STATUS_OK)
        status = as_the_host(step(message, (size_t)n));
    return status;
}

TEST(plain_with_each_call_failing)
{
    without_tickets("secret");
    sweep(by_plain, 7);
}

TEST(plain_that_needs_saslprep_with_each_call_failing)
{
    without_tickets("Pa\xc3\x9fwort\xc3\xa4");
    sweep(by_plain, 9);
}

/* Up to the host's first question: his mailbox has another name. */
static int
by_name_beyond_ascii(void)
{
    static const char message[] = "\0\xc3\xa5lice\0secret";
    int status = start("plain");

    if (status == STATUS_OK)
        status = step(message, sizeof(message) - 1);
    if (status != STATUS_PENDING)
        return status;
    CHECK_STR(login.ask.user, "\xc3\xa5lice");
    return STATUS_OK;
}

TEST(name_that_needs_saslprep_with_each_call_failing)
{
    without_tickets("");
    sweep(by_name_beyond_ascii, 7);
}

static void
to_hex(const uint8_t octets[16], char hex[33])
{
    for (size_t i = 0; i < 16; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", octets[i]);
}

static int
by_cram(void)
{
    int status = start("cram-md5");
    uint8_t octets[16];
    char answer[50] = "alice ";

    if (status == STATUS_OK)
        status = step(NULL, 0);
    if (status != STATUS_CONTINUE)
        return status;
    HMAC(EVP_md5(), secret, (int)strlen(secret), buf_data(&login.out),
         buf_len(&login.out), octets, NULL);
    to_hex(octets, answer + 6);
    return as_the_host(step(answer, strlen(answer)));
}

TEST(cram_md5_with_each_call_failing)
{
    without_tickets("secret");
    sweep(by_cram, 10);
}

static int
by_apop(void)
{
    static const char stamp[] = "<1896.697170952@mail.test>";
    char joined[100], message[100];
    int status = start("apop");
    uint8_t octets[16];
    char hex[33];
    int n = snprintf(joined, sizeof(joined), "%s%s", stamp, secret);

    CHECK_INT(EVP_Digest(joined, (size_t)n, octets, NULL, EVP_md5(), NULL),
              1);
    to_hex(octets, hex);
    n = snprintf(message, sizeof(message), "%s alice %s", stamp, hex);
    return status == STATUS_OK ? as_the_host(step(message, (size_t)n))
                               : status;
}

TEST(apop_with_each_call_failing)
{
    without_tickets("secret");
    sweep(by_apop, 13);
}

/* Octets as base64 behind a text. */
static void
add_base64(char *text, size_t size, const void *octets, size_t len)
{
    size_t used = strlen(text);
    struct buf out;

    buf_init(&out, size);
    base64_encode(&out, octets, len);
    CHECK(buf_len(&out) < size - used);
    memcpy(text + used, buf_data(&out), buf_len(&out));
    text[used + buf_len(&out)] = '\0';
    buf_reset(&out);
}

/* The client of RFC 5802 section 3, for SHA-256. */
static void
scram_proof(const char *server_first, const char *without_proof,
            uint8_t proof[32])
{
    const char *salt = strstr(server_first, ",s=") + 3;
    const char *count = strstr(salt, ",i=");
    uint8_t salted[32], stored[32], signature[32];
    struct buf octets;
    char text[1000];

    buf_init(&octets, 100);
    CHECK_INT(base64_decode(&octets, (const uint8_t *)salt,
                            (size_t)(count - salt)), STATUS_OK);
    CHECK_INT(PKCS5_PBKDF2_HMAC(secret, -1, buf_data(&octets),
                                (int)buf_len(&octets), atoi(count + 3),
                                EVP_sha256(), 32, salted), 1);
    buf_reset(&octets);
    (void)snprintf(text, sizeof(text), "n=alice,r=abc,%s,%s", server_first,
                   without_proof);
    HMAC(EVP_sha256(), salted, 32, (const uint8_t *)"Client Key", 10, proof,
         NULL);
    CHECK_INT(EVP_Digest(proof, 32, stored, NULL, EVP_sha256(), NULL), 1);
    HMAC(EVP_sha256(), stored, 32, (const uint8_t *)text, strlen(text),
         signature, NULL);
    for (size_t i = 0; i < 32; i++)
        proof[i] ^= signature[i];
}

static int
by_scram(void)
{
    char server_first[300] = "", mine[300], message[600];
    int status = start("scram-sha-256");
    uint8_t proof[32];

    if (status == STATUS_OK)
        status = step("n,,n=alice,r=abc", 16);
    if (status != STATUS_CONTINUE)
        return status;
    CHECK(buf_len(&login.out) < sizeof(server_first));
    memcpy(server_first, buf_data(&login.out), buf_len(&login.out));
    (void)snprintf(mine, sizeof(mine), "c=biws,%.*s",
                   (int)strcspn(server_first, ","), server_first);
    scram_proof(server_first, mine, proof);
    (void)snprintf(message, sizeof(message), "%s,p=", mine);
    add_base64(message, sizeof(message), proof, sizeof(proof));
    status = as_the_host(step(message, strlen(message)));
    if (status == STATUS_OK)
        CHECK(buf_len(&login.out) == 46);
    return status;
}

TEST(scram_with_each_call_failing)
{
    without_tickets("secret");
    sweep(by_scram, 20);
}

static uint8_t certificate[CERT_OCTETS_MAX];
static size_t certificate_size;

static int
by_external(void)
{
    int status;

    login.peer.certificate = certificate;
    login.peer.certificate_size = certificate_size;
    status = start("external");
    return status == STATUS_OK ? as_the_host(step("", 0)) : status;
}

TEST(external_with_each_call_failing)
{
    X509 *made = cert_new();

    cert_add_cn(made, V_ASN1_UTF8STRING, "alice", 5);
    certificate_size = cert_finish(made, certificate);
    without_tickets("");
    sweep(by_external, 8);
}

/* ---- tickets ---- */

static struct client *client;

static void
with_tickets(void)
{
    static bool kept;

    settings = gss_settings();
    /* As kpopd does: its module libgs2 loses memory at each loading. */
    if (!kept)
        CHECK_INT(sasl_server_init(NULL, NULL), SASL_OK);
    kept = true;
    if (access(realm_path("alice.cc"), R_OK) != 0)
        realm_ccache("alice", "alice.cc");
    setenv("KRB5CCNAME", realm_path("alice.cc"), 1);
}

static int
by_kpop(void)
{
    int status = start("kpop");

    if (status != STATUS_OK)
        return status;
    client_again(client);
    status = step(client->apreq, client->len);
    if (status != STATUS_CONTINUE)
        return status;
    CHECK_STR(client_judges(client, "aprep", buf_data(&login.out),
                            buf_len(&login.out)),
              "ok");
    return as_the_host(step("alice", 5));
}

static void
new_client(void)
{
    char options[700];

    (void)snprintf(options, sizeof(options),
                   "--service pop@localhost --ccache %s --mutual",
                   realm_path("alice.cc"));
    client = client_new(options);
}

static void
sweep_kpop(size_t least)
{
    new_client();
    sweep(by_kpop, least);
    client_free(client);
}

TEST(kpop_with_each_call_failing)
{
    with_tickets();
    sweep_kpop(30);
}

/* Where another one is used, a ticket could be used again. */
TEST(a_library_that_has_another_replay_cache_lets_nobody_in)
{
    static const char *const names[] = { NULL, "none:", "dfl:" };

    with_tickets();
    new_client();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        new_peer();
        CHECK_INT(open_world(), STATUS_OK);
        other_cache.is_it = true;
        other_cache.name = names[i];
        CHECK_INT(by_kpop(), STATUS_TEMP);
        hang_up();
        other_cache.is_it = false;
        CHECK_INT(by_kpop(), STATUS_OK);
        hang_up();
        sasl_world_free(login.world);
    }
    client_free(client);
}

/* What a client hears who has sent no ticket at all. */
static int
by_refusal(void)
{
    int status;

    buf_init(&login.out, 65536);
    faults_inside(true);
    status = apreq_refusal(login.world, 60, "no ticket", &login.out);
    faults_inside(false);
    if (status == STATUS_OK)
        CHECK_INT(buf_data(&login.out)[0], 0x7e);
    else
        CHECK_INT(buf_len(&login.out), 0);
    return status;
}

TEST(refusals_with_each_call_failing)
{
    without_tickets("");
    sweep(by_refusal, 6);
}

static const char *
write_map(const char *text)
{
    const char *path = realm_path("map");
    FILE *file = fopen(path, "w");

    CHECK(file != NULL);
    CHECK(fputs(text, file) >= 0 && fclose(file) == 0);
    CHECK_INT(chmod(path, 0600), 0);
    return path;
}

TEST(kpop_by_the_map_with_each_call_failing)
{
    with_tickets();
    settings.principal_map = write_map("alice@EXAMPLE.ORG alice\n");
    sweep_kpop(35);
}

/* Up to the client's choice of a layer, then the host's word. */
static int
by_gssapi(unsigned layers)
{
    const struct octets *token;
    char choice[9] = { (char)layers, 1, 0, 0 };
    int status;

    login.service = "pop@localhost";
    login.flags = GSS_C_MUTUAL_FLAG | GSS_C_SEQUENCE_FLAG |
                  GSS_C_INTEG_FLAG | GSS_C_CONF_FLAG;
    login.peer.max_ssf = 256;
    status = start("gssapi");
    if (status != STATUS_OK)
        return status;
    token = gss_token(&login);
    status = step(token->data, token->len);
    if (status != STATUS_CONTINUE)
        return status;
    CHECK_INT(gss_token(&login)->len, 0);
    status = step("", 0);
    if (status != STATUS_CONTINUE)
        return status;
    memcpy(choice + 4, "alice", 5);
    token = gss_wrapped(&login, choice, sizeof(choice), false);
    return as_the_host(step(token->data, token->len));
}

static int
by_gssapi_without_layer(void)
{
    return by_gssapi(1);
}

TEST(gssapi_with_each_call_failing)
{
    with_tickets();
    sweep(by_gssapi_without_layer, 40);
}

/* One packet each way. */
static int
exchange_packets(const struct mech_layer *layer)
{
    const struct octets *packet = gss_wrapped(&login, "QUIT\r\n", 6, true);
    const char *error = "";
    int status;

    buf_reset(&login.out);
    faults_inside(true);
    status = layer->decode(layer->state, packet->data, packet->len,
                           &login.out, &error);
    faults_inside(false);
    if (status != STATUS_OK)
        return status == STATUS_INVALID ? STATUS_TEMP : status;
    CHECK_MEM(buf_data(&login.out), buf_len(&login.out), "QUIT\r\n", 6);
    buf_reset(&login.out);
    faults_inside(true);
    status = layer->encode(layer->state, (const uint8_t *)"+OK\r\n", 5,
                           &login.out);
    faults_inside(false);
    if (status == STATUS_OK)
        CHECK(buf_len(&login.out) > 4 + 16 + 5);
    return status;
}

static int
by_gssapi_with_layer(void)
{
    struct mech_layer layer;
    int status = by_gssapi(4);

    if (status != STATUS_OK)
        return status;
    CHECK_INT(login.mech->layer(login.state, &layer), STATUS_OK);
    CHECK_INT(layer.ssf, 256);
    CHECK(layer.clear_max > 0);
    status = exchange_packets(&layer);
    layer.free(layer.state);
    return status;
}

TEST(gssapi_with_a_layer_and_each_call_failing)
{
    with_tickets();
    sweep(by_gssapi_with_layer, 45);
}

/* ---- before the first login ---- */

/* What is no fault of the configuration's may be called one. */
static int
look_ahead(void)
{
    char error[300] = "";
    int status;

    faults_inside(true);
    status = sasl_world_ready(login.world, no_log, NULL, error,
                              sizeof(error));
    if (status == STATUS_OK)
        status = sasl_gssapi_ready(login.world, error, sizeof(error));
    faults_inside(false);
    if (status != STATUS_OK && status != STATUS_NO_MEMORY)
        CHECK(error[0] != '\0');
    return status == STATUS_INVALID ? STATUS_TEMP : status;
}

TEST(the_look_before_the_first_login_with_each_call_failing)
{
    with_tickets();
    settings.principal_map = write_map("alice@EXAMPLE.ORG alice\n");
    sweep(look_ahead, 20);
}

TEST_MAIN("sasl_faults",
          T(plain_with_each_call_failing),
          T(plain_that_needs_saslprep_with_each_call_failing),
          T(name_that_needs_saslprep_with_each_call_failing),
          T(cram_md5_with_each_call_failing),
          T(apop_with_each_call_failing),
          T(scram_with_each_call_failing),
          T(external_with_each_call_failing),
          T(kpop_with_each_call_failing),
          T(a_library_that_has_another_replay_cache_lets_nobody_in),
          T(refusals_with_each_call_failing),
          T(kpop_by_the_map_with_each_call_failing),
          T(gssapi_with_each_call_failing),
          T(gssapi_with_a_layer_and_each_call_failing),
          T(the_look_before_the_first_login_with_each_call_failing))
