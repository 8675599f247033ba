/*
 * uidltext.h - the file of imported unique-ids, as text in memory.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_FUZZ_UIDLTEXT_H
#define KPOP_TESTS_FUZZ_UIDLTEXT_H

#include <stddef.h>

#include "plugin/host/kpopd/uidlmap.h"

/* What uidlmap_load() makes of a file of these octets; NULL: damaged. */
struct uidlmap *uidltext_parse(const char *text, size_t len);
/* What uidlmap_save() writes, the caller's. */
char *uidltext_make(struct uidlmap_entry *entries, size_t count,
                    size_t *len_out);
/* A file of these lines with a head that fits them, the caller's. */
char *uidltext_with_head(const char *lines, size_t len, size_t count,
                         size_t *len_out);

#endif
