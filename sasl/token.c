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

bool
token_apreq(const uint8_t *token, size_t len, const uint8_t **apreq_out,
            size_t *apreq_len_out)
{
    /* 1.2.840.113554.1.2.2, and that an AP-REQ follows */
    static const uint8_t krb5[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7,
                                    0x12, 0x01, 0x02, 0x02, 0x01, 0x00 };
    size_t size;
    size_t inner = 0;

    if (token == NULL || len < 2 || token[0] != 0x60)
        return false;
    size = der_length(token + 1, len - 1, &inner);
    if (size == 0 || inner != len - 1 - size || inner <= sizeof(krb5) ||
        memcmp(token + 1 + size, krb5, sizeof(krb5)) != 0)
        return false;
    *apreq_out = token + 1 + size + sizeof(krb5);
    *apreq_len_out = inner - sizeof(krb5);
    return true;
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
