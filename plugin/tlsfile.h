/*
 * tlsfile.h - the files that TLS is made of: finding them, and saying what is
 * wrong with one.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_PLUGIN_TLSFILE_H
#define KPOP_PLUGIN_TLSFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "plugin/tls.h"

enum { TLSFILE_PATH_MAX = 4097 };

/* Reading one configuration of TLS. */
struct tlsfile {
    const struct tls_settings *settings;
    const char *key; /* of the configuration, to be blamed */
    char *error;     /* the sentence */
    size_t error_size;
};

/* Keeps key and sentence; always STATUS_INVALID. */
int tlsfile_blame(struct tlsfile *r, const char *key, const char *path,
                  const char *why);
/* Why OpenSSL failed just now; `none` when it found nothing that it looks for.
 * Lent. */
const char *tlsfile_reason(const char *none);
/* What works, but not as it should. */
void tlsfile_warn(mech_log_fn *log, void *log_arg, const char *path,
                  const char *problem);

/* The path is absolute and of a file that can be read; warns of a secret one
 * that others reach.  STATUS_OK, STATUS_INVALID. */
int tlsfile_check(struct tlsfile *r, const char *key, const char *path,
                  bool is_secret) MUST_USE;
/* The next word of a list of paths; NULL: none. */
const char *tlsfile_next(const char **list, char path[TLSFILE_PATH_MAX]);

#endif
