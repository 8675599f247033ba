/*
 * lang.h - what the catalogues in packaging/lang become.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_LANG_H
#define KPOP_LANG_H

#include <stddef.h>

struct lang_entry {
    const char *english;
    const char *text;
};

struct lang {
    const char *tag;  /* RFC 5646, in lower case */
    const struct lang_entry *entries; /* sorted by English, strcmp() */
    size_t count;
};

/* Sorted by tag; made by packaging/lang/table.awk. */
extern const struct lang lang_table[];
extern const size_t lang_count;

#endif
