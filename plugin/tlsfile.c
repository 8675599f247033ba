/*
 * tlsfile.c - looks at the files of TLS before OpenSSL does, which says less
 * clearly why one can't be read.  Takes nothing out of them.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/tlsfile.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/log.h"
#include "plugin/text.h"

enum { LEVEL_WARNING = 1 };

int
tlsfile_blame(struct tlsfile *r, const char *key, const char *path,
              const char *why)
{
    r->key = key;
    text_say(r->error, r->error_size, "%.400s: %.400s", path, why);
    return STATUS_INVALID;
}

/* The oldest of its errors is the nearest. */
const char *
tlsfile_reason(const char *none)
{
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    const char *text;

    if (ERR_SYSTEM_ERROR(code))
        return strerror(reason);
    if (reason == ERR_R_UNSUPPORTED
        || (ERR_GET_LIB(code) == ERR_LIB_PEM
            && reason == PEM_R_NO_START_LINE))
        return none;
    if (reason == ERR_R_INTERRUPTED_OR_CANCELLED)
        return "is protected by a passphrase, for which nobody can be asked; "
               "take it off with openssl pkey";
    text = ERR_reason_error_string(code);
    return text != NULL ? text : "not understood by OpenSSL";
}

void
tlsfile_warn(mech_log_fn *log, void *log_arg, const char *path,
             const char *problem)
{
    struct log_line line;

    log_start(&line, NULL);
    log_text(&line, "path", path);
    log_text(&line, "problem", problem);
    log(log_arg, LEVEL_WARNING, "config.tls", line.text);
}

/* 0, or errno. */
static int
look_at(const char *path, struct stat *st_out)
{
    /* A FIFO must not hold us up. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int error = fd < 0 || fstat(fd, st_out) != 0 ? errno : 0;

    if (fd >= 0)
        (void)close(fd);
    return error;
}

int
tlsfile_check(struct tlsfile *r, const char *key, const char *path,
              bool is_secret)
{
    struct stat st = { 0 };
    int error;

    if (path[0] != '/')
        return tlsfile_blame(r, key, path, "an absolute path is needed");
    error = look_at(path, &st);
    if (error != 0)
        return tlsfile_blame(r, key, path, strerror(error));
    if (!S_ISREG(st.st_mode))
        return tlsfile_blame(r, key, path, "is not a file");
    if (is_secret && (st.st_mode & (S_IRWXO | S_IWGRP)) != 0)
        tlsfile_warn(r->settings->log, r->settings->log_arg, path,
                     "others may read or change the key of TLS; who has it "
                     "can be this server; chmod o-rwx,g-w it");
    return STATUS_OK;
}

const char *
tlsfile_next(const char **list, char path[TLSFILE_PATH_MAX])
{
    size_t len;
    const char *word = text_word(*list, &len);

    if (word == NULL)
        return NULL;
    *list = word + len;
    /* Cut, it is too long for the system, too, which will say so. */
    if (len >= TLSFILE_PATH_MAX)
        len = TLSFILE_PATH_MAX - 1;
    memcpy(path, word, len);
    path[len] = '\0';
    return path;
}
