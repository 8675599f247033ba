/*
 * text.h - small helpers on text: copies, sentences for errors, word lists.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_PLUGIN_TEXT_H
#define KPOP_PLUGIN_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "kpop/status.h"

/* A copy to be freed by the caller; NULL when there is no memory. */
char *text_copy(const char *text) MUST_USE;

/*
 * Writes a sentence to (error, error_size) as the ABI promises: always
 * terminated, size 0 allowed; control characters become '?', because parts
 * of it come out of files.
 */
void text_say(char *error, size_t error_size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * The next word of a list separated by blanks: its start, its length in
 * *len_out; NULL at the end.  Continue at start + length.
 */
const char *text_word(const char *list, size_t *len_out);
/* word is one of the words of the list, exactly. */
bool text_has_word(const char *list, const char *word);
bool text_has_word_len(const char *list, const char *word, size_t len);

/* How many single edits make b from a; at most 64 octets are looked at. */
unsigned text_distance(const char *a, const char *b);

#endif
