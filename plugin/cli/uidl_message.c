/*
 * uidl_message.c - looks into messages for what an import knows them by: a
 * field of the header, a digest.  Reads only, as a session would: no symlink
 * is followed.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#include "plugin/cli/uidl.h"

enum { HEADER_MAX = 64 * 1024, CHUNK = 16 * 1024 };

/* ---- header ---- */

/* Up to size - 1 octets of the beginning, and a NUL; -1 for an error. */
static int
read_beginning(const struct uidl_box *box, const struct uidl_msg *msg,
               char *text, size_t size)
{
    int32_t got = 1;
    size_t len = 0;
    char *nul;

    while (got > 0 && len + CHUNK < size) {
        got = maildir_read(box->maildir, msg->number, len, text + len, CHUNK);
        len += got > 0 ? (size_t)got : 0;
    }
    text[len] = '\0';
    while ((nul = memchr(text, '\0', len)) != NULL)
        *nul = '?';
    return got < 0 ? -1 : 0;
}

/* A field's value with its folds, up to the end of its last line. */
static void
copy_value(const char *at, char *out, size_t size)
{
    size_t len = 0;

    at += strspn(at, " \t\r\n");
    for (; *at != '\0' && len + 1 < size; at++) {
        if (*at == '\n' && at[1] != ' ' && at[1] != '\t')
            break;
        if (*at != '\r' && *at != '\n')
            out[len++] = *at;
    }
    while (len > 0 && (out[len - 1] == ' ' || out[len - 1] == '\t'))
        len--;
    out[len] = '\0';
}

bool
uidl_header(const struct uidl_box *box, const struct uidl_msg *msg,
            const char *name, char *out, size_t size)
{
    static char text[HEADER_MAX + 1];
    size_t len = strlen(name);
    const char *at = text;

    out[0] = '\0';
    if (read_beginning(box, msg, text, sizeof(text)) != 0)
        return false;
    while (*at != '\0' && *at != '\n' && strncmp(at, "\r\n", 2) != 0) {
        if (strncasecmp(at, name, len) == 0 && at[len] == ':') {
            copy_value(at + len + 1, out, size);
            break;
        }
        at += strcspn(at, "\n");
        at += *at == '\n';
    }
    return true;
}

/* ---- digests ---- */

/* The ends of lines as they are sent: CRLF.  *cr: the last octet was CR. */
static bool
add_sent(EVP_MD_CTX *context, const char *data, size_t len, bool *cr)
{
    bool good = true;
    size_t from = 0;
    size_t i;

    for (i = 0; i < len; i++) {
        if (data[i] == '\n' && !*cr) {
            good = good
                   && EVP_DigestUpdate(context, data + from, i - from) == 1
                   && EVP_DigestUpdate(context, "\r", 1) == 1;
            from = i;
        }
        *cr = data[i] == '\r';
    }
    return good && EVP_DigestUpdate(context, data + from, len - from) == 1;
}

static bool
finish(EVP_MD_CTX *context, char out[UIDL_DIGEST_MAX])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    unsigned i;

    if (EVP_DigestFinal_ex(context, digest, &len) != 1)
        return false;
    for (i = 0; i < len && 2 * i + 2 < UIDL_DIGEST_MAX; i++)
        snprintf(out + (size_t)2 * i, 3, "%02x", digest[i]);
    return true;
}

static bool
add_message(const struct uidl_box *box, const struct uidl_msg *msg,
            EVP_MD_CTX *stored, EVP_MD_CTX *sent)
{
    char data[CHUNK];
    uint64_t offset = 0;
    bool good = true;
    bool cr = false;
    char last = '\n';
    int32_t got = 1;

    while (got > 0 && good) {
        got = maildir_read(box->maildir, msg->number, offset, data, CHUNK);
        if (got <= 0)
            break;
        good = EVP_DigestUpdate(stored, data, (size_t)got) == 1
               && add_sent(sent, data, (size_t)got, &cr);
        last = data[got - 1];
        offset += (uint64_t)got;
    }
    if (last != '\n')
        good = good && add_sent(sent, "\n", 1, &cr);
    return good && got == 0;
}

bool
uidl_digests(const struct uidl_box *box, const struct uidl_msg *msg,
             char stored_out[UIDL_DIGEST_MAX],
             char sent_out[UIDL_DIGEST_MAX])
{
    EVP_MD_CTX *stored = EVP_MD_CTX_new();
    EVP_MD_CTX *sent = EVP_MD_CTX_new();
    bool good = stored != NULL && sent != NULL
                && EVP_DigestInit_ex(stored, EVP_sha256(), NULL) == 1
                && EVP_DigestInit_ex(sent, EVP_sha256(), NULL) == 1
                && add_message(box, msg, stored, sent)
                && finish(stored, stored_out) && finish(sent, sent_out);

    EVP_MD_CTX_free(stored);
    EVP_MD_CTX_free(sent);
    return good;
}
