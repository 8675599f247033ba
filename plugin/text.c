/*
 * text.c - small helpers on text for the module's configuration and logs.
 * Pure functions; no I/O, no state.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *
text_copy(const char *text)
{
    /* Not strdup(): the tests make malloc() fail, and only ours. */
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);

    if (copy != NULL)
        memcpy(copy, text, size);
    return copy;
}

void
text_say(char *error, size_t error_size, const char *format, ...)
{
    va_list args;

    if (error == NULL || error_size == 0)
        return;
    va_start(args, format);
    if (vsnprintf(error, error_size, format, args) < 0)
        error[0] = '\0';
    va_end(args);
    for (char *p = error; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    }
}

const char *
text_word(const char *list, size_t *len_out)
{
    list += strspn(list, " \t");
    *len_out = strcspn(list, " \t");
    return *len_out == 0 ? NULL : list;
}

bool
text_has_word_len(const char *list, const char *word, size_t len)
{
    size_t n;

    while ((list = text_word(list, &n)) != NULL) {
        if (n == len && memcmp(list, word, len) == 0)
            return true;
        list += n;
    }
    return false;
}

bool
text_has_word(const char *list, const char *word)
{
    return text_has_word_len(list, word, strlen(word));
}

static unsigned
least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance, one row at a time. */
unsigned
text_distance(const char *a, const char *b)
{
    enum { MAX = 64 };
    unsigned row[MAX + 1];
    size_t b_len = strnlen(b, MAX);

    for (size_t j = 0; j <= b_len; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= strnlen(a, MAX); i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned above = row[j];
            unsigned change = diagonal + (a[i - 1] != b[j - 1] ? 1 : 0);

            row[j] = least(change, least(above, row[j - 1]) + 1);
            diagonal = above;
        }
    }
    return row[b_len];
}
