/*
 * preload_libraries.c - one call of kpopctl to a library fails, of Kerberos,
 * GSSAPI, OpenSSL or names; loaded beside preload_faults.so, and told by the
 * file $KPOP_TEST_FAULTS alone.
 *
 * Loaded by LD_PRELOAD by tests only; never installed.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <gssapi/gssapi.h>
#include <ifaddrs.h>
#include <krb5.h>
#include <netdb.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <profile.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "tests/lib/preload_fault.h"

/* ---- libc ---- */

FAULT(int, getifaddrs, -1, ENOMEM, (struct ifaddrs **out), (out))
FAULT(int, getnameinfo, EAI_FAIL, EIO,
      (const struct sockaddr *at, socklen_t n, char *host, socklen_t host_n,
       char *service, socklen_t service_n, int flags),
      (at, n, host, host_n, service, service_n, flags))
FAULT(int, gethostname, -1, ENAMETOOLONG, (char *out, size_t n), (out, n))
FAULT(struct passwd *, getpwuid, NULL, EIO, (uid_t uid), (uid))
FAULT(pid_t, waitpid, -1, ECHILD, (pid_t pid, int *status, int options),
      (pid, status, options))
FAULT(int, tcgetattr, -1, ENOTTY, (int fd, struct termios *out), (fd, out))
FAULT(int, vasprintf, -1, ENOMEM,
      (char **out, const char *format, va_list list), (out, format, list))

int __vasprintf_chk(char **out, int flag, const char *format, va_list list)
    __attribute__((format(printf, 3, 0)));

EXPORT int
__vasprintf_chk(char **out, int flag, const char *format, va_list list)
{
    (void)flag;
    return fails(__builtin_return_address(0), "vasprintf", ENOMEM)
               ? -1 : vasprintf(out, format, list);
}

/* ---- Kerberos ---- */

FAULT(krb5_error_code, krb5_get_profile, ENOMEM, ENOMEM,
      (krb5_context context, struct _profile_t **out), (context, out))
FAULT(krb5_error_code, krb5_get_host_realm, ENOMEM, ENOMEM,
      (krb5_context context, const char *host, char ***out),
      (context, host, out))
FAULT(krb5_error_code, krb5_get_default_realm, KRB5_CONFIG_NODEFREALM, EIO,
      (krb5_context context, char **out), (context, out))
FAULT(krb5_error_code, krb5_timeofday, EIO, EIO,
      (krb5_context context, krb5_timestamp *out), (context, out))
FAULT(krb5_error_code, krb5_sname_to_principal, ENOMEM, ENOMEM,
      (krb5_context context, const char *host, const char *service,
       krb5_int32 type, krb5_principal *out),
      (context, host, service, type, out))
FAULT(krb5_error_code, krb5_copy_principal, ENOMEM, ENOMEM,
      (krb5_context context, krb5_const_principal in, krb5_principal *out),
      (context, in, out))
FAULT(krb5_error_code, krb5_cc_new_unique, ENOMEM, ENOMEM,
      (krb5_context context, const char *type, const char *hint,
       krb5_ccache *out),
      (context, type, hint, out))
FAULT(krb5_error_code, krb5_cc_initialize, ENOMEM, ENOMEM,
      (krb5_context context, krb5_ccache cache, krb5_principal client),
      (context, cache, client))
FAULT(krb5_error_code, krb5_cc_store_cred, ENOMEM, ENOMEM,
      (krb5_context context, krb5_ccache cache, krb5_creds *creds),
      (context, cache, creds))
FAULT(krb5_error_code, krb5_kt_next_entry, EIO, EIO,
      (krb5_context context, krb5_keytab keytab, krb5_keytab_entry *out,
       krb5_kt_cursor *cursor),
      (context, keytab, out, cursor))
FAULT(krb5_error_code, krb5_init_creds_init, ENOMEM, ENOMEM,
      (krb5_context context, krb5_principal client, krb5_prompter_fct ask,
       void *data, krb5_deltat start, krb5_get_init_creds_opt *options,
       krb5_init_creds_context *out),
      (context, client, ask, data, start, options, out))
FAULT(krb5_error_code, krb5_init_creds_set_service, ENOMEM, ENOMEM,
      (krb5_context context, krb5_init_creds_context request,
       const char *service),
      (context, request, service))
FAULT(krb5_error_code, krb5_rd_error, ENOMEM, ENOMEM,
      (krb5_context context, const krb5_data *in, krb5_error **out),
      (context, in, out))
FAULT(krb5_error_code, krb5_decode_ticket, ENOMEM, ENOMEM,
      (const krb5_data *in, krb5_ticket **out), (in, out))
FAULT(krb5_error_code, krb5_enctype_to_name, EINVAL, EINVAL,
      (krb5_enctype type, krb5_boolean is_short, char *out, size_t size),
      (type, is_short, out, size))
FAULT(krb5_error_code, krb5_mk_req_extended, ENOMEM, ENOMEM,
      (krb5_context context, krb5_auth_context *auth, krb5_flags options,
       krb5_data *data, krb5_creds *creds, krb5_data *out),
      (context, auth, options, data, creds, out))

/* ---- GSSAPI ---- */

FAULT(OM_uint32, gss_import_name, (*minor = 0, GSS_S_FAILURE), ENOMEM,
      (OM_uint32 *minor, gss_buffer_t text, gss_OID type, gss_name_t *out),
      (minor, text, type, out))
FAULT(OM_uint32, gss_unwrap, (*minor = 0, GSS_S_FAILURE), ENOMEM,
      (OM_uint32 *minor, gss_ctx_id_t context, gss_buffer_t in,
       gss_buffer_t out, int *sealed, gss_qop_t *quality),
      (minor, context, in, out, sealed, quality))
FAULT(OM_uint32, gss_wrap, (*minor = 0, GSS_S_FAILURE), ENOMEM,
      (OM_uint32 *minor, gss_ctx_id_t context, int seal, gss_qop_t quality,
       gss_buffer_t in, int *sealed, gss_buffer_t out),
      (minor, context, seal, quality, in, sealed, out))

/* ---- OpenSSL ---- */

FAULT(int, EVP_DigestInit_ex, 0, ENOMEM,
      (EVP_MD_CTX *context, const EVP_MD *type, ENGINE *engine),
      (context, type, engine))
FAULT(int, EVP_DigestUpdate, 0, ENOMEM,
      (EVP_MD_CTX *context, const void *data, size_t n), (context, data, n))
FAULT(int, EVP_DigestFinal_ex, 0, ENOMEM,
      (EVP_MD_CTX *context, unsigned char *out, unsigned *n),
      (context, out, n))
FAULT(int, EVP_Digest, 0, ENOMEM,
      (const void *data, size_t n, unsigned char *out, unsigned *size,
       const EVP_MD *type, ENGINE *engine),
      (data, n, out, size, type, engine))
FAULT(unsigned char *, HMAC, NULL, ENOMEM,
      (const EVP_MD *type, const void *key, int key_n,
       const unsigned char *data, size_t n, unsigned char *out,
       unsigned *size),
      (type, key, key_n, data, n, out, size))
FAULT(int, PKCS5_PBKDF2_HMAC, 0, ENOMEM,
      (const char *pass, int pass_n, const unsigned char *salt, int salt_n,
       int rounds, const EVP_MD *type, int n, unsigned char *out),
      (pass, pass_n, salt, salt_n, rounds, type, n, out))
FAULT(int, SSL_CTX_set_default_verify_paths, 0, ENOMEM, (SSL_CTX *context),
      (context))
FAULT(long, SSL_CTX_ctrl, 0, ENOMEM,
      (SSL_CTX *context, int command, long number, void *data),
      (context, command, number, data))
FAULT(long, SSL_ctrl, 0, ENOMEM,
      (SSL *tls, int command, long number, void *data),
      (tls, command, number, data))
FAULT(int, SSL_set_fd, 0, ENOMEM, (SSL *tls, int fd), (tls, fd))
FAULT(int, SSL_set1_host, 0, ENOMEM, (SSL *tls, const char *name),
      (tls, name))
FAULT(X509 *, X509_dup, NULL, ENOMEM, (const X509 *in), (in))
FAULT(int, ASN1_TIME_diff, 0, ENOMEM,
      (int *days, int *seconds, const ASN1_TIME *from, const ASN1_TIME *to),
      (days, seconds, from, to))
