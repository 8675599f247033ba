/*
 * words.c - see words.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/kpopd/words.h"

#include <string.h>

const char *
words_next(const char *list, size_t *len_out)
{
    list += strspn(list, " \t");
    *len_out = strcspn(list, " \t");
    return *len_out == 0 ? NULL : list;
}

bool
words_have(const char *list, const char *word)
{
    const size_t wanted = strlen(word);
    size_t len;

    for (; (list = words_next(list, &len)) != NULL; list += len) {
        if (len == wanted && memcmp(list, word, len) == 0)
            return true;
    }
    return false;
}

bool
words_copy(const char *word, size_t len, char *out, size_t size)
{
    const size_t kept = len < size ? len : size - 1;

    memcpy(out, word, kept);
    out[kept] = '\0';
    return kept == len;
}
