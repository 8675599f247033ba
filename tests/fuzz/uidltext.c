/*
 * uidltext.c - see uidltext.h.
 *
 * SPDX-License-Identifier: MIT
 */
/* For its parser and its sums; the rest of kpopd is linked. */
#include "plugin/host/kpopd/uidlmap.c"

#include "tests/fuzz/uidltext.h"

struct uidlmap *
uidltext_parse(const char *text, size_t len)
{
    struct uidlmap *map = calloc(1, sizeof(*map) + len + 1);

    if (map == NULL)
        abort();
    if (len > 0)
        memcpy(map->text, text, len);
    if (parse(map, len) == 0)
        return map;
    uidlmap_free(map);
    return NULL;
}

char *
uidltext_make(struct uidlmap_entry *entries, size_t count, size_t *len_out)
{
    char *text = NULL;
    FILE *file = open_memstream(&text, len_out);

    if (file == NULL)
        abort();
    sort(entries, count, compare_bases);
    /* Memory can't be synced, and that comes last. */
    (void)write_text(file, entries, count);
    if (fclose(file) != 0)
        abort();
    return text;
}

char *
uidltext_with_head(const char *lines, size_t len, size_t count,
                   size_t *len_out)
{
    char head[HEAD_MAX];
    char *text = malloc(HEAD_MAX + len);

    if (text == NULL)
        abort();
    make_head(head, count, sum(sum_basis, lines, len));
    *len_out = strlen(head) + len;
    memcpy(text, head, strlen(head));
    memcpy(text + strlen(head), lines, len);
    return text;
}
