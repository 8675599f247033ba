/*
 * peek.h - what an AP-REQ says of its ticket in clear: service, enctype, key
 * version.  For texts and log lines, and to refuse; nothing in it is proved.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_PEEK_H
#define KPOP_SASL_PEEK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PEEK_NAME_MAX = 160 };

struct apreq_peek {
    char service[PEEK_NAME_MAX]; /* "pop/host@REALM" in printable ASCII, other
                                    octets as '?'; "" = unknown; cut */
    size_t first_len;            /* length of its first component */
    bool has_kvno;
    uint32_t kvno;
    int32_t etype;
};

/* False, and an empty *peek_out, when this is no AP-REQ (RFC 4120 5.5.1). */
bool apreq_peek(const uint8_t *data, size_t len, struct apreq_peek *peek_out);

#endif
