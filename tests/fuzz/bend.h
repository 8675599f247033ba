/*
 * bend.h - what a fuzzer's input does to the octets of a client that is
 * honest but for that.  The input is a script: it is read from the front, and
 * where it has ended it says 0, which bends nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_FUZZ_BEND_H
#define KPOP_TESTS_FUZZ_BEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct script {
    const uint8_t *data;
    size_t size;
};

uint8_t script_octet(struct script *script);
unsigned script_pair(struct script *script); /* two of them */
/* A length, and so many octets, or what is left; lent. */
size_t script_chunk(struct script *script, const uint8_t **data_out);

enum { OCTETS_MAX = 8192 };

/* A message; what has no room in it is left out. */
struct octets {
    size_t len;
    uint8_t data[OCTETS_MAX];
};

void octets_add(struct octets *octets, const void *data, size_t len);
void octets_add_text(struct octets *octets, const char *text);
void octets_set(struct octets *octets, const void *data, size_t len);
bool octets_are(const struct octets *octets, const void *data, size_t len);
/* Is it somewhere in there? */
bool octets_have(const struct octets *octets, const void *data, size_t len);
/* The contents of the DER element that one gets to by these tags, each in the
 * one before it; NULL when there is none.  Lent. */
const uint8_t *octets_find(const struct octets *octets, const uint8_t *tags,
                           size_t count, size_t *len_out);
/* Everything from start becomes the contents of a DER element. */
void octets_wrap(struct octets *octets, size_t start, uint8_t tag);

/*
 * Does to the octets what the script says next: an octet changes, some go or
 * come, all are replaced; or, as if they were DER, an element goes, comes
 * twice, has another tag, length or contents, and the lengths around it are
 * right again.  0 = nothing.
 */
void bend(struct script *script, struct octets *octets);

/* Says which promise is broken, and dies, when it is false. */
void expect(bool holds, const char *promise);

#endif
