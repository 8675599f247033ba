/*
 * login_line.c - a blocking connection with a limit of time, in the clear or
 * in TLS.  Trusts what OpenSSL trusts on this machine (SSL_CERT_FILE), and no
 * certificate for another name.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/cli/login_line.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { SECONDS = 30, BUFFER = 4096 };

struct line {
    int fd;
    SSL_CTX *world;
    SSL *tls; /* NULL: in the clear */
    char peer[64];
    size_t start, end; /* of what was read and not used */
    unsigned char buffer[BUFFER];
};

static int
say_errno(char *error, size_t error_size, const char *what)
{
    int code = errno;

    if (code == EAGAIN || code == EINPROGRESS)
        snprintf(error, error_size, "%s: nothing for %d seconds", what,
                 SECONDS);
    else
        snprintf(error, error_size, "%s: %s", what, strerror(code));
    return -1;
}

/* ---- connecting ---- */

static int
try_address(const struct addrinfo *entry)
{
    const struct timeval limit = { .tv_sec = SECONDS };
    int fd = socket(entry->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int code;

    if (fd < 0)
        return -1;
    /* The limit of sending is that of connect(), too. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(fd, entry->ai_addr, entry->ai_addrlen) == 0)
        return fd;
    code = errno;
    (void)close(fd);
    errno = code;
    return -1;
}

static int
try_addresses(const struct addrinfo *list, struct line *line, char *error,
              size_t error_size)
{
    for (; list != NULL; list = list->ai_next) {
        int code = getnameinfo(list->ai_addr, list->ai_addrlen, line->peer,
                               sizeof(line->peer), NULL, 0, NI_NUMERICHOST);

        if (code != 0) {
            snprintf(error, error_size, "an address is none: %s",
                     gai_strerror(code));
            continue;
        }
        line->fd = try_address(list);
        if (line->fd >= 0)
            return 0;
        (void)say_errno(error, error_size, line->peer);
    }
    return -1;
}

struct line *
line_open(const char *host, unsigned port, bool *found_out, char *error,
          size_t error_size)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICSERV };
    struct line *line = calloc(1, sizeof(*line));
    struct addrinfo *list = NULL;
    char service[16];
    int code;

    *found_out = true;
    if (line == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    line->fd = -1;
    snprintf(service, sizeof(service), "%u", port);
    code = getaddrinfo(host, service, &hints, &list);
    if (code != 0) {
        *found_out = false;
        snprintf(error, error_size, "%s has no address: %s", host,
                 gai_strerror(code));
    } else {
        code = try_addresses(list, line, error, error_size);
        freeaddrinfo(list);
    }
    if (code == 0)
        return line;
    line_close(line);
    return NULL;
}

void
line_close(struct line *line)
{
    if (line == NULL)
        return;
    SSL_free(line->tls);
    SSL_CTX_free(line->world);
    if (line->fd >= 0)
        (void)close(line->fd);
    free(line);
}

const char *
line_peer(const struct line *line)
{
    return line->peer;
}

/* ---- octets ---- */

int
line_write(struct line *line, const void *data, size_t size, char *error,
           size_t error_size)
{
    const unsigned char *octets = data;

    while (size > 0) {
        ssize_t n;

        errno = 0;
        if (line->tls != NULL)
            n = SSL_write(line->tls, octets,
                          size > BUFFER ? BUFFER : (int)size);
        else
            n = send(line->fd, octets, size, MSG_NOSIGNAL);
        if (n <= 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return say_errno(error, error_size, "cannot send");
        octets += n;
        size -= (size_t)n;
    }
    return 0;
}

static int
fill(struct line *line, char *error, size_t error_size)
{
    ssize_t n;

    do {
        errno = 0;
        if (line->tls != NULL)
            n = SSL_read(line->tls, line->buffer, BUFFER);
        else
            n = recv(line->fd, line->buffer, BUFFER, 0);
    } while (n < 0 && errno == EINTR);
    line->start = 0;
    line->end = n > 0 ? (size_t)n : 0;
    if (n > 0)
        return 0;
    if (n == 0 || errno == 0) {
        snprintf(error, error_size, "the server closed the connection");
        return -1;
    }
    return say_errno(error, error_size, "no answer");
}

int
line_read(struct line *line, void *data, size_t size, char *error,
          size_t error_size)
{
    unsigned char *out = data;

    while (size > 0) {
        size_t n = line->end - line->start;

        if (n == 0) {
            if (fill(line, error, error_size) != 0)
                return -1;
            continue;
        }
        n = n < size ? n : size;
        memcpy(out, line->buffer + line->start, n);
        line->start += n;
        out += n;
        size -= n;
    }
    return 0;
}

int
line_get(struct line *line, char *text, size_t size, char *error,
         size_t error_size)
{
    size_t len = 0;

    for (;;) {
        char octet;

        if (line_read(line, &octet, 1, error, error_size) != 0)
            return -1;
        if (octet == '\n')
            break;
        if (len + 1 >= size) {
            snprintf(error, error_size, "a line of more than %zu octets came",
                     size - 1);
            return -1;
        }
        text[len++] = octet == '\0' ? ' ' : octet;
    }
    if (len > 0 && text[len - 1] == '\r')
        len--;
    text[len] = '\0';
    return 0;
}

/* ---- TLS ---- */

static int
prepare_tls(struct line *line, const char *host)
{
    char name[256]; /* OpenSSL's macro wants one that it could change */
    X509_VERIFY_PARAM *wanted;
    bool is_address;

    line->world = SSL_CTX_new(TLS_client_method());
    if (line->world == NULL
        || SSL_CTX_set_min_proto_version(line->world, TLS1_2_VERSION) != 1
        || SSL_CTX_set_default_verify_paths(line->world) != 1)
        return -1;
    SSL_CTX_set_verify(line->world, SSL_VERIFY_PEER, NULL);
    line->tls = SSL_new(line->world);
    if (line->tls == NULL || SSL_set_fd(line->tls, line->fd) != 1)
        return -1;
    wanted = SSL_get0_param(line->tls);
    is_address = X509_VERIFY_PARAM_set1_ip_asc(wanted, host) == 1;
    ERR_clear_error();
    if (is_address)
        return 0;
    snprintf(name, sizeof(name), "%s", host);
    return SSL_set1_host(line->tls, host) == 1
                   && SSL_set_tlsext_host_name(line->tls, name) == 1
               ? 0
               : -1;
}

int
line_start_tls(struct line *line, const char *host, long *code_out,
               char *error, size_t error_size)
{
    unsigned long why;
    int rc = -1;

    *code_out = 0;
    /* Somebody in between could have put it there (CVE-2011-0411). */
    if (line->start != line->end) {
        snprintf(error, error_size, "the server sent more before TLS began");
        return -1;
    }
    errno = 0;
    if (prepare_tls(line, host) == 0) {
        do {
            errno = 0;
            rc = SSL_connect(line->tls);
        } while (rc < 0 && errno == EINTR);
    }
    if (rc == 1)
        return 0;
    why = ERR_peek_error();
    if (line->tls != NULL)
        *code_out = SSL_get_verify_result(line->tls);
    if (*code_out != X509_V_OK)
        snprintf(error, error_size, "%s",
                 X509_verify_cert_error_string(*code_out));
    else if (why != 0 && ERR_reason_error_string(why) != NULL)
        snprintf(error, error_size, "%s", ERR_reason_error_string(why));
    else if (errno != 0)
        (void)say_errno(error, error_size, "TLS");
    else
        snprintf(error, error_size, "the server closed the connection");
    ERR_clear_error();
    return -1;
}

bool
line_has_tls(const struct line *line)
{
    return line->tls != NULL;
}

void
line_describe_tls(const struct line *line, char *text, size_t size)
{
    snprintf(text, size, "%s, %s", SSL_get_version(line->tls),
             SSL_get_cipher_name(line->tls));
}
