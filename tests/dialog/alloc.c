/*
 * alloc.c - see alloc.h.  The linker sends every malloc of the module here.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/dialog/alloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static struct {
    uint64_t left;  /* allocations until the one that fails; 0 = none */
    bool for_good;
    bool failed;
    int depth;      /* of alloc_enter() */
} alloc;

void
alloc_fail_at(uint64_t n, bool for_good)
{
    alloc.left = n;
    alloc.for_good = for_good;
    alloc.failed = false;
}

void
alloc_stop_failing(void)
{
    alloc.left = 0;
}

bool
alloc_did_fail(void)
{
    return alloc.failed;
}

void
alloc_enter(void)
{
    alloc.depth++;
}

void
alloc_leave(void)
{
    alloc.depth--;
}

static bool
fails_now(void)
{
    if (alloc.depth == 0 || alloc.left == 0)
        return false;
    if (alloc.left > 1) {
        alloc.left--;
        return false;
    }
    if (!alloc.for_good)
        alloc.left = 0;
    alloc.failed = true;
    errno = ENOMEM;
    return true;
}

void *
__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
    return fails_now() ? NULL : __real_realloc(old, size);
}

void *
xrealloc(void *old, size_t size)
{
    void *new = __real_realloc(old, size > 0 ? size : 1);

    if (new == NULL) {
        fputs("dialog runner: no memory\n", stderr);
        abort();
    }
    return new;
}

void *
xmalloc(size_t size)
{
    void *new = xrealloc(NULL, size);

    memset(new, 0, size > 0 ? size : 1);
    return new;
}

char *
xstrdup(const char *text)
{
    size_t size = strlen(text) + 1;

    return memcpy(xmalloc(size), text, size);
}

void
blob_add(struct blob *blob, const void *data, size_t len)
{
    if (blob->data == NULL || blob->len + len > blob->room) {
        blob->room = 2 * (blob->len + len) + 64;
        blob->data = xrealloc(blob->data, blob->room + 1);
    }
    if (len > 0)
        memcpy(blob->data + blob->len, data, len);
    blob->len += len;
    blob->data[blob->len] = '\0';
}

void
blob_free(struct blob *blob)
{
    free(blob->data);
    blob->data = NULL;
    blob->len = blob->room = 0;
}

const char *
blob_show(const void *data, size_t len, size_t from)
{
    static char ring[4][700];
    static unsigned turn;
    char *text = ring[turn++ % 4];
    const uint8_t *octets = data;
    size_t used = 0, i;

    for (i = from; i < len && used < 600; i++) {
        int c = octets[i];

        if (c == '\r' || c == '\n') {
            text[used++] = '\\';
            text[used++] = c == '\r' ? 'r' : 'n';
        } else if (c < 0x20 || c > 0x7e) {
            used += (size_t)snprintf(text + used, 5, "\\x%02x", c);
        } else {
            text[used++] = (char)c;
        }
    }
    (void)snprintf(text + used, 20, "%s", i < len ? " ..." : "");
    return text;
}
