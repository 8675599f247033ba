/*
 * words.c - the names of mechanisms that the driver gave: lists of words with
 * single blanks.  Pure; decides nothing about them.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "kpop/internal.h"

static int
set_text(char **text, const char *value)
{
    size_t size = strlen(value) + 1;
    char *copy;

    if (size > ENGINE_WORDS_MAX)
        return STATUS_INVALID;
    copy = malloc(size);
    if (copy == NULL)
        return STATUS_NO_MEMORY;
    memcpy(copy, value, size);
    free(*text);
    *text = copy;
    return STATUS_OK;
}

int
engine_set_mechanisms(struct engine *engine, const char *names)
{
    return set_text(&engine->mechanisms, names);
}

int
engine_set_banner(struct engine *engine, const char *banner)
{
    return set_text(&engine->banner, banner);
}

bool
engine_has_word(const char *words, const char *word, size_t len)
{
    while (len > 0 && *words != '\0') {
        size_t here = strcspn(words, " ");

        if (here == len && memcmp(words, word, len) == 0)
            return true;
        words += here;
        words += strspn(words, " ");
    }
    return false;
}

bool
engine_has_mechanism(const struct engine *engine, const char *name)
{
    return engine->mechanisms != NULL
           && engine_has_word(engine->mechanisms, name, strlen(name));
}

const char *
engine_sasl_name(const char *names, size_t *len_out)
{
    while (names != NULL && *names != '\0') {
        size_t len = strcspn(names, " ");

        *len_out = len;
        if (len > 0 && len <= ENGINE_MECHANISM_MAX
            && !engine_has_word("KPOP USER APOP", names, len))
            return names;
        names += len;
        names += strspn(names, " ");
    }
    return NULL;
}
