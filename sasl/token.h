/*
 * token.h - what GSSAPI tokens of Kerberos 5 say in clear: which mechanism,
 * and in a Wrap token its flags and sequence number.  For refusing; a library
 * proves the rest.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_TOKEN_H
#define KPOP_SASL_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The AP-REQ in an initial token (RFC 2743 section 3.1, RFC 4121 section 4.1)
 * of mechanism krb5 alone, of exactly this length; lent.  False for SPNEGO,
 * IAKERB and everything else.
 */
bool token_apreq(const uint8_t *token, size_t len, const uint8_t **apreq_out,
                 size_t *apreq_len_out);

/* A Wrap token of RFC 4121 section 4.2.6.2. */
struct token_wrap {
    bool by_acceptor;
    bool sealed;
    uint64_t sequence;
    size_t clear_len; /* when not sealed: of what is in clear */
};

/* False when it is none. */
bool token_wrap(const uint8_t *token, size_t len,
                struct token_wrap *wrap_out);

/*
 * What stands in the clear in a Wrap token of RC4 that isn't sealed (RFC 4757
 * section 7.3); NULL when it is none; lent.
 */
const uint8_t *token_old_clear(const uint8_t *token, size_t len,
                               size_t *len_out);

/* The octet at an index below clear_len of a token that isn't sealed. */
uint8_t token_clear(const uint8_t *token, size_t len, size_t index);

#endif
