/*
 * fuzz_peek.c - the parser that looks into an AP-REQ before libkrb5 does:
 * octets of anybody.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "sasl/peek.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct apreq_peek peek;

    if (size > 0 && apreq_peek(data, size, &peek)
        && strnlen(peek.service, sizeof(peek.service))
               >= sizeof(peek.service))
        abort();
    return 0;
}
