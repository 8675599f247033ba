/*
 * lang.c - LANG (RFC 6856 section 3): in which language replies are.  Only
 * what is for people is translated, never a status or a response code.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "kpop/internal.h"

enum { TAG_MAX = 35 }; /* RFC 5646 section 4.4.1 */

static int
compare(const void *key, const void *entry)
{
    return strcmp(key, ((const struct lang_entry *)entry)->english);
}

static const char *
find_text(const struct lang *lang, const char *text)
{
    const struct lang_entry *entry;

    if (lang == NULL)
        return text;
    entry = bsearch(text, lang->entries, lang->count, sizeof(*entry),
                    compare);
    return entry != NULL ? entry->text : text;
}

const char *
lang_text(const struct engine *engine, const char *text)
{
    return find_text(engine->lang, text);
}

/* False when it is none of ours; *lang_out NULL is English. */
static bool
find_lang(const char *tag, size_t len, const struct lang **lang_out)
{
    size_t i;

    *lang_out = NULL;
    for (i = 0; i < lang_count; i++)
        if (strlen(lang_table[i].tag) == len
            && memcmp(lang_table[i].tag, tag, len) == 0)
            *lang_out = &lang_table[i];
    return *lang_out != NULL || (len == 2 && memcmp(tag, "en", 2) == 0)
           || (len == 9 && memcmp(tag, "i-default", 9) == 0);
}

/* de-CH-1996 is spoken as de (RFC 4647 section 3.4). */
static bool
look_up(const struct cmd_args *args, const struct lang **lang_out)
{
    char tag[TAG_MAX + 1];
    size_t len = args->len;
    size_t i;

    if (len > TAG_MAX)
        return false;
    for (i = 0; i < len; i++) {
        char c = (char)args->text[i];

        tag[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    while (len > 0 && !find_lang(tag, len, lang_out)) {
        while (len > 0 && tag[len - 1] != '-')
            len--;
        len = len > 0 ? len - 1 : 0;
    }
    return len > 0;
}

static const char *
tag_of(const struct lang *lang)
{
    return lang != NULL ? lang->tag : "en";
}

/* Each language by its own name. */
static void
list_languages(struct engine *engine)
{
    struct buf *out = &engine->out;
    size_t i;

    engine_reply(engine, "+OK languages follow");
    buf_append_str(out, "en English\r\n");
    for (i = 0; i < lang_count; i++)
        buf_printf(out, "%s %s\r\n", lang_table[i].tag,
                   find_text(&lang_table[i], TEXT("English")));
    buf_append_str(out, ".\r\n");
}

void
lang_run(struct engine *engine, const struct cmd_args *args)
{
    const char *site = engine->settings.language;
    const struct lang *lang;

    if (args->len == 0) {
        list_languages(engine);
        return;
    }
    if (args->len == 1 && args->text[0] == '*') {
        lang = NULL;
        if (site != NULL)
            (void)find_lang(site, strlen(site), &lang);
    } else if (!look_up(args, &lang)) {
        engine_reply(engine, "-ERR that language is not spoken here, see "
                             "LANG");
        return;
    }
    engine->lang = lang;
    engine_reply(engine, "+OK %s is the language now", tag_of(lang));
}
