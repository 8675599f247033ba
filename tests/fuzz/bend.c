/*
 * bend.c - scripts, and what they do to octets.  It knows no protocol.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/fuzz/bend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
expect(bool holds, const char *promise)
{
    if (!holds) {
        fprintf(stderr, "broken promise: %s\n", promise);
        abort();
    }
}

/* ---- the script ---- */

uint8_t
script_octet(struct script *script)
{
    if (script->size == 0)
        return 0;
    script->size--;
    return *script->data++;
}

unsigned
script_pair(struct script *script)
{
    unsigned high = script_octet(script);

    return high << 8 | script_octet(script);
}

size_t
script_chunk(struct script *script, const uint8_t **data_out)
{
    size_t len = script_octet(script);

    if (len > script->size)
        len = script->size;
    *data_out = script->data;
    script->data += len;
    script->size -= len;
    return len;
}

/* ---- octets ---- */

void
octets_add(struct octets *octets, const void *data, size_t len)
{
    if (len == 0 || len > sizeof(octets->data) - octets->len)
        return;
    memcpy(octets->data + octets->len, data, len);
    octets->len += len;
}

void
octets_add_text(struct octets *octets, const char *text)
{
    octets_add(octets, text, strlen(text));
}

void
octets_set(struct octets *octets, const void *data, size_t len)
{
    octets->len = 0;
    octets_add(octets, data, len);
}

bool
octets_are(const struct octets *octets, const void *data, size_t len)
{
    return octets->len == len
           && (len == 0 || memcmp(octets->data, data, len) == 0);
}

bool
octets_have(const struct octets *octets, const void *data, size_t len)
{
    return len > 0 && memmem(octets->data, octets->len, data, len) != NULL;
}

static void
insert(struct octets *octets, size_t at, const void *data, size_t len)
{
    if (len == 0 || len > sizeof(octets->data) - octets->len)
        return;
    memmove(octets->data + at + len, octets->data + at, octets->len - at);
    memcpy(octets->data + at, data, len);
    octets->len += len;
}

static void
cut(struct octets *octets, size_t at, size_t len)
{
    if (len > octets->len - at)
        len = octets->len - at;
    memmove(octets->data + at, octets->data + at + len,
            octets->len - at - len);
    octets->len -= len;
}

/* ---- DER ---- */

/* The first octets of an element with so much in it; how many. */
static size_t
make_head(uint8_t tag, size_t len, uint8_t head[6])
{
    size_t size = 2;

    head[0] = tag;
    if (len < 0x80) {
        head[1] = (uint8_t)len;
    } else if (len < 0x100) {
        head[1] = 0x81;
        head[size++] = (uint8_t)len;
    } else {
        head[1] = 0x82;
        head[size++] = (uint8_t)(len >> 8);
        head[size++] = (uint8_t)len;
    }
    return size;
}

void
octets_wrap(struct octets *octets, size_t start, uint8_t tag)
{
    uint8_t head[6];

    insert(octets, start, head, make_head(tag, octets->len - start, head));
}

struct element {
    uint8_t tag;
    const uint8_t *data; /* its contents */
    size_t len;
    size_t size; /* with tag and length */
};

static bool
read_element(const uint8_t *in, size_t len, struct element *element)
{
    size_t head = 2;
    size_t octets;

    if (len < 2)
        return false;
    element->tag = in[0];
    element->len = in[1];
    if (in[1] >= 0x80) {
        octets = in[1] & 0x7f;
        if (octets == 0 || octets > 2 || octets > len - 2)
            return false;
        element->len = 0;
        for (; octets > 0; octets--)
            element->len = element->len << 8 | in[head++];
    }
    element->data = in + head;
    element->size = head + element->len;
    return element->size <= len;
}

const uint8_t *
octets_find(const struct octets *octets, const uint8_t *tags, size_t count,
            size_t *len_out)
{
    const uint8_t *in = octets->data;
    size_t len = octets->len;
    struct element element;

    while (count > 0) {
        if (!read_element(in, len, &element))
            return NULL;
        if (element.tag == *tags) {
            in = element.data;
            len = element.len;
            tags++;
            count--;
        } else {
            in += element.size;
            len -= element.size;
        }
    }
    *len_out = len;
    return in;
}

/* How one element changes. */
struct edit {
    size_t target; /* which, counted from the front, an outer one first */
    size_t seen;
    uint8_t how;
    uint8_t value;
    const uint8_t *chunk;
    size_t chunk_len;
};

static void walk(struct edit *edit, const uint8_t *in, size_t len,
                 unsigned depth, struct octets *out);

/* Lengths as DER does not write them, or that lie. */
static void
add_odd_head(const struct edit *edit, uint8_t tag, size_t start,
             struct octets *octets)
{
    size_t len = octets->len - start;
    uint8_t head[6] = { tag };
    size_t size;

    switch (edit->value % 4) {
    case 0: /* without end */
        head[1] = 0x80;
        insert(octets, start, head, 2);
        octets_add(octets, "\0\0", 2);
        return;
    case 1: /* longer than needed */
        head[1] = 0x84;
        head[4] = (uint8_t)(len >> 8);
        head[5] = (uint8_t)len;
        size = 6;
        break;
    case 2: /* longer or shorter than it is */
        size = make_head(tag, len ^ edit->value >> 2, head);
        break;
    default: /* larger than any memory */
        memset(head + 1, 0xff, sizeof(head) - 1);
        head[1] = 0x84;
        size = 6;
        break;
    }
    insert(octets, start, head, size);
}

static void
edit_element(struct edit *edit, const struct element *element, unsigned depth,
             struct octets *out)
{
    const uint8_t *whole = element->data + element->len - element->size;
    size_t start = out->len;

    switch (edit->how % 7) {
    case 0: /* it goes */
        return;
    case 1: /* it comes twice */
        octets_add(out, whole, element->size);
        octets_add(out, whole, element->size);
        return;
    case 2: /* something else in it */
        octets_add(out, edit->chunk, edit->chunk_len);
        octets_wrap(out, start, element->tag);
        return;
    case 3: /* another tag */
        octets_add(out, element->data, element->len);
        octets_wrap(out, start, element->tag ^ edit->value);
        return;
    case 4:
        octets_add(out, element->data, element->len);
        add_odd_head(edit, element->tag, start, out);
        return;
    case 5: /* something behind it */
        octets_add(out, whole, element->size);
        octets_add(out, edit->chunk, edit->chunk_len);
        return;
    default: /* more in it */
        walk(edit, element->data, element->len, depth, out);
        octets_add(out, edit->chunk, edit->chunk_len);
        octets_wrap(out, start, element->tag);
        return;
    }
}

/* Copies elements, and what is none as it is. */
static void
walk(struct edit *edit, const uint8_t *in, size_t len, unsigned depth,
     struct octets *out)
{
    struct element element;

    for (; len > 0; in += element.size, len -= element.size) {
        size_t start = out->len;

        if (!read_element(in, len, &element)) {
            octets_add(out, in, len);
            return;
        }
        if (edit->seen++ == edit->target) {
            edit_element(edit, &element, depth, out);
        } else if ((element.tag & 0x20) != 0 && depth > 0) {
            walk(edit, element.data, element.len, depth - 1, out);
            octets_wrap(out, start, element.tag);
        } else {
            octets_add(out, in, element.size);
        }
    }
}

static void
bend_der(struct script *script, uint8_t how, struct octets *octets)
{
    enum { DEPTH = 16 };
    static struct octets before;
    struct edit count = { .target = SIZE_MAX };
    struct edit edit = { .how = how };
    size_t target = script_octet(script);

    edit.value = script_octet(script);
    if (how % 7 == 2 || how % 7 > 4)
        edit.chunk_len = script_chunk(script, &edit.chunk);
    octets_set(&before, octets->data, octets->len);
    octets->len = 0;
    walk(&count, before.data, before.len, DEPTH, octets);
    octets->len = 0;
    edit.target = count.seen > 0 ? target % count.seen : 0;
    walk(&edit, before.data, before.len, DEPTH, octets);
}

/* ---- bending ---- */

static void
bend_plainly(struct script *script, uint8_t how, struct octets *octets)
{
    size_t at = script_pair(script) % (octets->len + 1);
    const uint8_t *chunk;
    size_t len;

    switch (how % 6) {
    case 0:
        if (at < octets->len)
            octets->data[at] ^= script_octet(script);
        break;
    case 1:
        cut(octets, at, script_octet(script));
        break;
    case 2:
        len = script_chunk(script, &chunk);
        insert(octets, at, chunk, len);
        break;
    case 3:
        octets->len = at;
        break;
    case 4:
        len = script_chunk(script, &chunk);
        octets_set(octets, chunk, len);
        break;
    default: /* written over, the length stays */
        len = script_chunk(script, &chunk);
        if (len > octets->len - at)
            len = octets->len - at;
        if (len > 0)
            memcpy(octets->data + at, chunk, len);
        break;
    }
}

void
bend(struct script *script, struct octets *octets)
{
    uint8_t how = script_octet(script);

    if (how >= 0x80)
        bend_der(script, how & 0x7f, octets);
    else if (how > 0)
        bend_plainly(script, how - 1, octets);
}
