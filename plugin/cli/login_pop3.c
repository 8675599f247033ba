/*
 * login_pop3.c - the POP3 of `kpopctl login`: greeting, CAPA, STLS, the logins
 * by password, and STAT as the proof.  Fetches and deletes nothing.  A
 * password is sent inside TLS alone.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "plugin/cli/login.h"

/* What servers say in brackets (RFC 2449, RFC 3206). */
const char *
login_advice(const char *reply)
{
    if (strstr(reply, "[AUTH]") != NULL)
        return "this user or ticket may not open the maildrop: see "
               "principal_map and realms, the password, and the server's log";
    if (strstr(reply, "[IN-USE]") != NULL)
        return "another client has the maildrop open: end it, then try again";
    if (strstr(reply, "[LOGIN-DELAY]") != NULL)
        return "wait, then try again";
    if (strstr(reply, "[SYS/") != NULL)
        return "the server has a fault of its own: run kpopctl doctor there, "
               "and look into its log";
    return "look into the server's log";
}

static bool
lose(struct login *login, const char *step, const char *error)
{
    login_bad(login, step, "look into the server's log", "%s", error);
    return false;
}

bool
login_refuse(struct login *login, const char *step, const char *reply)
{
    login_bad(login, step, login_advice(reply), "the server says %.900s",
              reply);
    return false;
}

static bool
is_ok(const char *reply)
{
    return strncasecmp(reply, "+OK", 3) == 0;
}

bool
login_hear(struct login *login, const char *step, char *reply, size_t size)
{
    char error[LOGIN_TEXT_MAX];

    return line_get(login->line, reply, size, error, sizeof(error)) == 0
           || lose(login, step, error);
}

bool
login_ask(struct login *login, const char *step, const char *command,
          char *reply, size_t size)
{
    size_t len = strlen(command);
    char *line = malloc(len + 3);
    char error[LOGIN_TEXT_MAX];
    int rc;

    if (line == NULL)
        return lose(login, step, "out of memory");
    /* In one piece: Nagle would keep the end back (RFC 896). */
    memcpy(line, command, len);
    memcpy(line + len, "\r\n", 3);
    rc = line_write(login->line, line, len + 2, error, sizeof(error));
    OPENSSL_cleanse(line, len);
    free(line);
    return rc == 0 ? login_hear(login, step, reply, size)
                   : lose(login, step, error);
}

bool
login_challenge(struct login *login, const char *step, char *reply,
                size_t *size_out)
{
    char *text = reply[0] == '+' ? reply + 1 : reply;
    size_t len;
    size_t padding = 0;
    int size;

    text += strspn(text, " ");
    len = strlen(text);
    *size_out = 0;
    if (len == 0)
        return true;
    while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
        padding++;
    size = len % 4 == 0 ? EVP_DecodeBlock((unsigned char *)reply,
                                          (const unsigned char *)text,
                                          (int)len)
                        : -1;
    if (size < 0)
        return lose(login, step, "the server's answer is no base64");
    *size_out = (size_t)size - padding;
    return true;
}

/* ---- what the server can ---- */

static bool
read_capa(struct login *login)
{
    char reply[LOGIN_TEXT_MAX];
    size_t len = 0;

    login->capa[0] = '\0';
    if (!login_ask(login, "capa", "CAPA", reply, sizeof(reply)))
        return false;
    if (!is_ok(reply))
        return true; /* an old server: nothing is known */
    for (;;) {
        if (!login_hear(login, "capa", reply, sizeof(reply)))
            return false;
        if (strcmp(reply, ".") == 0)
            return true;
        if (len + strlen(reply) + 2 < sizeof(login->capa))
            len += (size_t)snprintf(login->capa + len,
                                    sizeof(login->capa) - len, "%s\n", reply);
    }
}

bool
login_offers(const struct login *login, const char *capability,
             const char *word)
{
    size_t len = strlen(capability);
    const char *line = login->capa;

    for (; *line != '\0'; line += strcspn(line, "\n") + 1) {
        const char *end = line + strcspn(line, "\n");

        if (strncasecmp(line, capability, len) != 0
            || (line[len] != ' ' && line[len] != '\n'))
            continue;
        if (word == NULL)
            return true;
        for (const char *p = line + len; p < end; p += strcspn(p, " \n")) {
            p += strspn(p, " ");
            if (strncasecmp(p, word, strlen(word)) == 0
                && (p[strlen(word)] == ' ' || p[strlen(word)] == '\n'))
                return true;
        }
    }
    return false;
}

bool
login_greeting(struct login *login)
{
    char reply[LOGIN_TEXT_MAX];

    if (!login_hear(login, "greeting", reply, sizeof(reply)))
        return false;
    if (!is_ok(reply))
        return login_refuse(login, "greeting", reply);
    login_good(login, "greeting", "the server says %.900s", reply);
    snprintf(login->banner, sizeof(login->banner), "%s", reply);
    return read_capa(login);
}

/* ---- TLS ---- */

static const char *
tls_advice(long code)
{
    switch (code) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return "use the name that is in the server's certificate, or give "
               "the server one for this name: kpopctl doctor there";
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "renew the server's certificate: kpopctl doctor there; or set "
               "this machine's clock";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return "install the certificate of the server's authority on this "
               "machine, or name its file in SSL_CERT_FILE";
    default:
        return "look whether this port speaks TLS, and into the server's log";
    }
}

bool
login_tls(struct login *login, const char *step)
{
    char error[LOGIN_TEXT_MAX];
    char text[LOGIN_TEXT_MAX];
    long code;

    if (line_start_tls(login->line, login->cli->word, &code, error,
                       sizeof(error)) != 0) {
        login_bad(login, step, tls_advice(code), "%s", error);
        return false;
    }
    line_describe_tls(login->line, text, sizeof(text));
    login_good(login, step, "%s; the certificate is trusted and for %s", text,
               login->cli->word);
    return true;
}

bool
login_stls(struct login *login)
{
    char reply[LOGIN_TEXT_MAX];

    if (line_has_tls(login->line))
        return true;
    if (!login_offers(login, "STLS", NULL)) {
        login_good(login, "stls", "the server offers no TLS here: the mail "
                   "crosses the network unencrypted");
        return true;
    }
    if (!login_ask(login, "stls", "STLS", reply, sizeof(reply)))
        return false;
    if (!is_ok(reply))
        return login_refuse(login, "stls", reply);
    /* What was said before TLS counts no more. */
    return login_tls(login, "stls") && read_capa(login);
}

/* ---- passwords ---- */

static bool
may_send(struct login *login, const char *step)
{
    if (line_has_tls(login->line))
        return true;
    login_bad(login, step, "give the server a certificate (tls_certificate), "
              "or use --pop3s",
              "there is no TLS, so the password was not sent");
    return false;
}

bool
login_is_clean(struct login *login, const char *step)
{
    if (login->user[strcspn(login->user, "\r\n")] == '\0'
        && (login->password == NULL
            || login->password[strcspn(login->password, "\r\n")] == '\0'))
        return true;
    login_bad(login, step, "give them in one line each",
              "the user's name or the password has more than one line");
    return false;
}

bool
login_plain(struct login *login)
{
    enum { MOST = 256 + LOGIN_PASSWORD_MAX + 2 };
    unsigned char message[MOST];
    char line[16 + MOST * 4 / 3 + 8] = "";
    char reply[LOGIN_TEXT_MAX];
    size_t user = strlen(login->user);
    size_t password = strlen(login->password);
    bool good;

    if (!may_send(login, "plain"))
        return false;
    if (login->capa[0] != '\0' && !login_offers(login, "SASL", "PLAIN")) {
        login_bad(login, "plain", "see mechanisms, passwords and plaintext "
                  "of the server", "the server does not offer PLAIN");
        return false;
    }
    /* RFC 4616: nobody to act for, who, password. */
    message[0] = '\0';
    memcpy(message + 1, login->user, user + 1);
    memcpy(message + user + 2, login->password, password);
    good = login_ask(login, "plain", "AUTH PLAIN", reply, sizeof(reply));
    if (good && reply[0] != '+')
        good = login_refuse(login, "plain", reply);
    if (good) {
        (void)EVP_EncodeBlock((unsigned char *)line, message,
                              (int)(user + password + 2));
        good = login_ask(login, "plain", line, reply, sizeof(reply));
    }
    OPENSSL_cleanse(message, sizeof(message));
    OPENSSL_cleanse(line, sizeof(line));
    if (!good)
        return false;
    if (!is_ok(reply))
        return login_refuse(login, "plain", reply);
    login_good(login, "plain", "the server took the password: %.900s", reply);
    return true;
}

/* On KPOP the ticket has proved who it is, and the password is a word. */
bool
login_user(struct login *login)
{
    bool is_kpop = strcmp(login->mechanism, "KPOP") == 0;
    char reply[LOGIN_TEXT_MAX];
    char line[300 + LOGIN_PASSWORD_MAX];
    bool good;

    if ((!is_kpop && !may_send(login, "user"))
        || !login_is_clean(login, "user"))
        return false;
    snprintf(line, sizeof(line), "USER %s", login->user);
    if (!login_ask(login, "user", line, reply, sizeof(reply)))
        return false;
    if (!is_ok(reply))
        return login_refuse(login, "user", reply);
    snprintf(line, sizeof(line), "PASS %s",
             is_kpop ? "krb_ticket" : login->password);
    good = login_ask(login, "user", line, reply, sizeof(reply));
    OPENSSL_cleanse(line, sizeof(line));
    if (!good)
        return false;
    if (!is_ok(reply))
        return login_refuse(login, "user", reply);
    login_good(login, "user", "%s may open the maildrop: %.900s", login->user,
               reply);
    return true;
}

/* ---- the proof ---- */

bool
login_stat(struct login *login)
{
    char reply[LOGIN_TEXT_MAX];
    char error[LOGIN_TEXT_MAX];
    unsigned long count;
    char *end;

    if (!login_ask(login, "stat", "STAT", reply, sizeof(reply)))
        return false;
    if (!is_ok(reply))
        return login_refuse(login, "stat", reply);
    count = strtoul(reply + 3, &end, 10);
    login_good(login, "stat", "the maildrop has %lu messages of %lu octets",
               count, strtoul(end, NULL, 10));
    /* Nothing was deleted, so nobody waits for its answer. */
    (void)line_write(login->line, "QUIT\r\n", 6, error, sizeof(error));
    return true;
}
