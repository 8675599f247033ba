/*
 * compat.h - all that differs between the Dovecots we build against: 2.3.19
 * (Debian 12) and 2.4.0 to 2.4.1 (Debian 13).  The headers come from
 * dovecot-dev; a header is installed for one exact build of Dovecot and must
 * be taken from there.
 *
 * 2.4.2 rewrote the API of mechanisms (struct sasl_server_mech_def in
 * sasl-server.h, which 2.4.2 to 2.4.4 install in a form that can't be
 * included).  The seam for it is mech.c: the four functions of mech_kpop and
 * what is called below KPOP_MECH_; nothing else knows the mechanism's API.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef DOVECOT_COMPAT_H
#define DOVECOT_COMPAT_H

#include <config.h>
#include <lib.h>

#define KPOP_DOVECOT(major, minor, micro)                                  \
    (DOVECOT_VERSION_MAJOR > (major)                                       \
     || (DOVECOT_VERSION_MAJOR == (major)                                  \
         && (DOVECOT_VERSION_MINOR > (minor)                               \
             || (DOVECOT_VERSION_MINOR == (minor)                          \
                 && DOVECOT_VERSION_MICRO >= (micro)))))

#if !KPOP_DOVECOT(2, 3, 19)
#error "Dovecot 2.3.19 or newer is needed"
#elif KPOP_DOVECOT(2, 4, 2)
#error "Dovecot 2.4.2 has another API of mechanisms: see compat.h"
#endif

#if KPOP_DOVECOT(2, 4, 0)
/* struct client */
#define KPOP_HAS_TLS(client) ((client)->connection_tls_secured)
#define KPOP_TLS_IS_PROXIED(client) ((client)->haproxy_terminated_tls)
#define KPOP_IS_SECURED(client) ((client)->connection_secured)
/* Where `ssl = required` is said. */
#define KPOP_SSL_SETTINGS struct ssl_server_settings
#define kpop_ssl_settings ssl_server_set
#define KPOP_SSL_HEADER <ssl-settings.h>
/* struct client_vfuncs */
#define KPOP_CREATE_TYPE int
#define KPOP_CREATE_PARAMETERS struct client *client
#define KPOP_CREATE_IGNORES
#define KPOP_CREATE_OK 0
#define KPOP_PARSE_TYPE bool
#define KPOP_PARSE_OK FALSE
/* login-proxy.h */
#define KPOP_PROXY_STARTTLS AUTH_PROXY_SSL_FLAG_STARTTLS
#define kpop_proxy_ostream login_proxy_get_server_ostream
/* struct auth_request */
#define KPOP_AUTH_PROTOCOL(request) ((request)->fields.protocol)
#else
#define KPOP_HAS_TLS(client) ((client)->tls)
#define KPOP_TLS_IS_PROXIED(client) ((client)->proxied_ssl)
#define KPOP_IS_SECURED(client) ((client)->secured)
#define KPOP_SSL_SETTINGS struct master_service_ssl_settings
#define kpop_ssl_settings ssl_set
#define KPOP_SSL_HEADER <master-service-ssl-settings.h>
#define KPOP_CREATE_TYPE void
#define KPOP_CREATE_PARAMETERS struct client *client, void **other_sets
#define KPOP_CREATE_IGNORES (void)other_sets
#define KPOP_CREATE_OK
#define KPOP_PARSE_TYPE void
#define KPOP_PARSE_OK
#define KPOP_PROXY_STARTTLS PROXY_SSL_FLAG_STARTTLS
#define kpop_proxy_ostream login_proxy_get_ostream
#define KPOP_AUTH_PROTOCOL(request) ((request)->fields.service)
#endif

/*
 * Debian's security update of 2.3.19 brought parts of 2.4 under the same
 * version; the Makefile looks into the header (DOVECOT_HAS_LIMITS).
 * KPOP_PROXY_REPLIED: another server has said why, and the client was told.
 */
#if KPOP_DOVECOT(2, 4, 0) || defined(DOVECOT_HAS_LIMITS)
#define KPOP_PROXY_REPLIED LOGIN_PROXY_FAILURE_TYPE_AUTH_REPLIED
#define KPOP_IS_LIMIT(result) ((result) == CLIENT_AUTH_RESULT_LIMIT_REACHED)
#else
#define KPOP_PROXY_REPLIED LOGIN_PROXY_FAILURE_TYPE_AUTH
#define KPOP_IS_LIMIT(result) FALSE
#endif

#endif
