/*
 * token.c - reads the framing of GSSAPI tokens, so that libraries see only
 * what we mean to serve: MIT's would take SPNEGO, IAKERB, old object ids and
 * bare AP-REQs, too.  Trusts no length, allocates nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/token.h"

#include <string.h>

enum { WRAP_HEADER = 16, BY_ACCEPTOR = 1, SEALED = 2, KNOWN_FLAGS = 7 };

/* A definite length in its shortest form; 0 when it is none. */
static size_t
der_length(const uint8_t *data, size_t len, size_t *value_out)
{
    size_t octets;
    size_t value = 0;

    if (len == 0)
        return 0;
    *value_out = data[0];
    if (data[0] < 0x80)
        return 1;
    octets = data[0] & 0x7f;
    if (octets == 0 || octets > 4 || octets >= len || data[1] == 0)
        return 0;
    for (size_t i = 1; i <= octets; i++)
        value = value << 8 | data[i];
    *value_out = value;
    return value < 0x80 ? 0 : octets + 1;
}

/* What follows krb5's name and this TOK_ID (RFC 1964 section 1.1); NULL when
 * it is framed otherwise, or nothing does. */
static const uint8_t *
framed(const uint8_t *token, size_t len, const char id[2], size_t *len_out)
{
    /* 1.2.840.113554.1.2.2 */
    static const uint8_t krb5[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7,
                                    0x12, 0x01, 0x02, 0x02 };
    const size_t head = sizeof(krb5) + 2;
    size_t size;
    size_t inner = 0;

    if (token == NULL || len == 0 || token[0] != 0x60)
        return NULL;
    size = der_length(token + 1, len - 1, &inner);
    token += 1 + size;
    if (size == 0 || inner != len - 1 - size || inner <= head ||
        memcmp(token, krb5, sizeof(krb5)) != 0 ||
        memcmp(token + sizeof(krb5), id, 2) != 0)
        return NULL;
    *len_out = inner - head;
    return token + head;
}

bool
token_apreq(const uint8_t *token, size_t len, const uint8_t **apreq_out,
            size_t *apreq_len_out)
{
    *apreq_out = framed(token, len, "\x01\0", apreq_len_out);
    return *apreq_out != NULL;
}

const uint8_t *
token_old_clear(const uint8_t *token, size_t len, size_t *len_out)
{
    /* SGN_ALG RC4, SEAL_ALG none, the filler; then sequence number, checksum
     * and confounder of 8 octets each, and one of padding at the end. */
    static const uint8_t head[] = { 0x11, 0, 0xff, 0xff, 0xff, 0xff };
    const size_t before = sizeof(head) + 3 * 8;
    const uint8_t *inner = framed(token, len, "\x02\x01", &len);

    if (inner == NULL || len <= before ||
        memcmp(inner, head, sizeof(head)) != 0)
        return NULL;
    *len_out = len - before - 1;
    return inner + before;
}

static size_t
two_octets(const uint8_t *data)
{
    return (size_t)data[0] << 8 | data[1];
}

bool
token_wrap(const uint8_t *token, size_t len, struct token_wrap *wrap_out)
{
    size_t extra;

    if (token == NULL || len < WRAP_HEADER || token[0] != 0x05 ||
        token[1] != 0x04 || token[3] != 0xff ||
        (token[2] & ~KNOWN_FLAGS) != 0)
        return false;
    extra = two_octets(token + 4);
    wrap_out->by_acceptor = (token[2] & BY_ACCEPTOR) != 0;
    wrap_out->sealed = (token[2] & SEALED) != 0;
    wrap_out->sequence = 0;
    for (size_t i = 8; i < WRAP_HEADER; i++)
        wrap_out->sequence = wrap_out->sequence << 8 | token[i];
    wrap_out->clear_len = 0;
    if (wrap_out->sealed)
        return true;
    /* Not sealed, "extra" is the size of the checksum behind the octets. */
    if (extra > len - WRAP_HEADER)
        return false;
    wrap_out->clear_len = len - WRAP_HEADER - extra;
    return true;
}

uint8_t
token_clear(const uint8_t *token, size_t len, size_t index)
{
    size_t size = len - WRAP_HEADER;

    /* Everything behind the header may be rotated to the right. */
    return token[WRAP_HEADER + (index + two_octets(token + 6)) % size];
}
