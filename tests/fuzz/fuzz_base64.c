/*
 * fuzz_base64.c - base64: what is taken is the one way to write its octets,
 * and octets come back.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "kpop/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must_be(const struct buf *buf, const uint8_t *data, size_t size)
{
    if (buf_failed(buf) || buf_len(buf) != size
        || (size > 0 && memcmp(buf_data(buf), data, size) != 0))
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf octets;
    struct buf text;

    buf_init(&octets, 65536);
    buf_init(&text, 65536);
    if (base64_decode(&octets, data, size) == STATUS_OK) {
        base64_encode(&text, buf_data(&octets), buf_len(&octets));
        must_be(&text, data, size);
    } else {
        must_be(&octets, data, 0);
    }
    buf_reset(&octets);
    buf_reset(&text);
    base64_encode(&text, data, size);
    if (base64_decode(&octets, buf_data(&text), buf_len(&text)) != STATUS_OK)
        abort();
    must_be(&octets, data, size);
    buf_reset(&octets);
    buf_reset(&text);
    return 0;
}
