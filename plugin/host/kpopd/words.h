/*
 * words.h - values of keys that are lists of words, separated by blanks.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_WORDS_H
#define KPOPD_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The next word of a list: its start, its octets in *len_out; NULL at the
 * end.  Continue at start + length.
 */
const char *words_next(const char *list, size_t *len_out);
/* Is word one of the words of the list, exactly? */
bool words_have(const char *list, const char *word);
/*
 * Copies a word with a terminating null.  False when it is longer than
 * size - 1 octets; out is then its beginning.
 */
bool words_copy(const char *word, size_t len, char *out, size_t size);

#endif
