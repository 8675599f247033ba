/*
 * login_line.h - a connection of `kpopctl login`, with or without TLS.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPCTL_LOGIN_LINE_H
#define KPOPCTL_LOGIN_LINE_H

#include <stdbool.h>
#include <stddef.h>

struct line;

/* Connects, by any address of the host, or NULL with a sentence; found: it
 * has an address. */
struct line *line_open(const char *host, unsigned port, bool *found_out,
                       char *error, size_t error_size);
/* NULL is allowed. */
void line_close(struct line *line);
/* The peer's address as text. */
const char *line_peer(const struct line *line);
/* All of it: 0, or -1 with a sentence. */
int line_write(struct line *line, const void *data, size_t size, char *error,
               size_t error_size);
/* Exactly so many octets. */
int line_read(struct line *line, void *data, size_t size, char *error,
              size_t error_size);
/* Up to LF; without its CRLF, NULs as blanks. */
int line_get(struct line *line, char *text, size_t size, char *error,
             size_t error_size);
/*
 * TLS from here on, with a certificate for the host by an authority that this
 * machine trusts.  0; -1 with a sentence and *code_out of X509_V_ERR_* or 0.
 */
int line_start_tls(struct line *line, const char *host, long *code_out,
                   char *error, size_t error_size);
bool line_has_tls(const struct line *line);
/* "TLSv1.3, TLS_AES_..." */
void line_describe_tls(const struct line *line, char *text, size_t size);

#endif
