/*
 * peek.c - reads the clear part of an AP-REQ's ticket, because krb5_rd_req
 * tells nothing of a request that it refuses and replaces the service's name
 * by the keytab's in one that it accepts.  Trusts no length, allocates
 * nothing, decides nothing that opens a mailbox.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/peek.h"

#include <string.h>

struct der {
    const uint8_t *data;
    size_t len;
};

enum {
    TAG_INTEGER = 0x02,
    TAG_GENERAL_STRING = 0x1b,
    TAG_SEQUENCE = 0x30,
    TAG_TICKET = 0x61,
    TAG_AP_REQ = 0x6e,
    TAG_CONTEXT = 0xa0
};

/* Takes a definite length off *in. */
static bool
der_length(struct der *in, size_t *len_out)
{
    size_t octets;
    size_t len;

    if (in->len == 0)
        return false;
    len = *in->data++;
    in->len--;
    if (len >= 0x80) {
        octets = len & 0x7f;
        if (octets == 0 || octets > 4 || octets > in->len)
            return false;
        for (len = 0; octets > 0; octets--, in->len--)
            len = len << 8 | *in->data++;
    }
    *len_out = len;
    return len <= in->len;
}

/* The contents of the next element; false when it has another tag. */
static bool
der_take(struct der *in, uint8_t tag, struct der *out)
{
    struct der rest;
    size_t len;

    if (in->len == 0 || in->data[0] != tag)
        return false;
    rest.data = in->data + 1;
    rest.len = in->len - 1;
    if (!der_length(&rest, &len))
        return false;
    out->data = rest.data;
    out->len = len;
    in->data = rest.data + len;
    in->len = rest.len - len;
    return true;
}

/* The contents of [number] of a SEQUENCE. */
static bool
der_field(struct der *in, unsigned number, struct der *out)
{
    return der_take(in, (uint8_t)(TAG_CONTEXT + number), out);
}

static bool
der_integer(struct der *in, int64_t *value_out)
{
    struct der number;
    int64_t value;

    if (!der_take(in, TAG_INTEGER, &number) || number.len == 0 ||
        number.len > 5)
        return false;
    value = number.data[0] >= 0x80 ? -1 : 0;
    for (size_t i = 0; i < number.len; i++)
        value = value * 256 + number.data[i];
    *value_out = value;
    return true;
}

static void
add_octet(struct apreq_peek *peek, uint8_t c)
{
    size_t len = strlen(peek->service);

    if (len + 1 < sizeof(peek->service)) {
        peek->service[len] = c > 0x20 && c < 0x7f ? (char)c : '?';
        peek->service[len + 1] = '\0';
    }
}

static void
add_string(struct apreq_peek *peek, const struct der *string)
{
    for (size_t i = 0; i < string->len && i < PEEK_NAME_MAX; i++)
        add_octet(peek, string->data[i]);
}

/* PrincipalName: name-type [0], name-string [1]. */
static bool
peek_name(struct der in, struct apreq_peek *peek)
{
    struct der sequence;
    struct der field;
    struct der string;
    unsigned count = 0;

    if (!der_take(&in, TAG_SEQUENCE, &sequence) ||
        !der_field(&sequence, 0, &field) || !der_field(&sequence, 1, &field) ||
        !der_take(&field, TAG_SEQUENCE, &sequence))
        return false;
    while (der_take(&sequence, TAG_GENERAL_STRING, &string)) {
        if (count > 0)
            add_octet(peek, '/');
        add_string(peek, &string);
        if (count++ == 0)
            peek->first_len = strlen(peek->service);
    }
    return count > 0 && sequence.len == 0;
}

/* EncryptedData: etype [0], kvno [1] OPTIONAL, cipher [2]. */
static bool
peek_encrypted(struct der in, struct apreq_peek *peek)
{
    struct der sequence;
    struct der field;
    int64_t value;

    if (!der_take(&in, TAG_SEQUENCE, &sequence) ||
        !der_field(&sequence, 0, &field) || !der_integer(&field, &value))
        return false;
    peek->etype = (int32_t)value;
    if (der_field(&sequence, 1, &field)) {
        if (!der_integer(&field, &value))
            return false;
        peek->has_kvno = true;
        peek->kvno = (uint32_t)value;
    }
    return der_field(&sequence, 2, &field);
}

/* Ticket: tkt-vno [0], realm [1], sname [2], enc-part [3]. */
static bool
peek_ticket(struct der in, struct apreq_peek *peek)
{
    struct der ticket;
    struct der sequence;
    struct der field;
    struct der realm;

    if (!der_take(&in, TAG_TICKET, &ticket) ||
        !der_take(&ticket, TAG_SEQUENCE, &sequence) ||
        !der_field(&sequence, 0, &field) || !der_field(&sequence, 1, &field) ||
        !der_take(&field, TAG_GENERAL_STRING, &realm) ||
        !der_field(&sequence, 2, &field) || !peek_name(field, peek))
        return false;
    add_octet(peek, '@');
    add_string(peek, &realm);
    return der_field(&sequence, 3, &field) && peek_encrypted(field, peek);
}

bool
apreq_peek(const uint8_t *data, size_t len, struct apreq_peek *peek_out)
{
    struct der in = { data, len };
    struct der request;
    struct der sequence;
    struct der field;

    memset(peek_out, 0, sizeof(*peek_out));
    /* pvno [0], msg-type [1], ap-options [2], ticket [3], authenticator [4] */
    if (der_take(&in, TAG_AP_REQ, &request) &&
        der_take(&request, TAG_SEQUENCE, &sequence) &&
        der_field(&sequence, 0, &field) && der_field(&sequence, 1, &field) &&
        der_field(&sequence, 2, &field) && der_field(&sequence, 3, &field) &&
        peek_ticket(field, peek_out))
        return true;
    memset(peek_out, 0, sizeof(*peek_out));
    return false;
}
