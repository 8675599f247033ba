/*
 * maildir_path.c - from a user's name to a path.  The last place where a name
 * from outside could become a path of its own choosing, so it takes a short
 * list of characters and refuses the rest.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <string.h>

#include "plugin/host/kpopd/maildir.h"

/* A component: letters, digits and . _ + = - , not first a dot or dash. */
static bool
is_component(const char *text, size_t len)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789_.+=-";

    return len > 0 && len <= KPOP_USER_MAX && text[0] != '.'
           && text[0] != '-' && strspn(text, allowed) >= len;
}

int32_t
maildir_path(const char *pattern, const char *user, char *out, size_t size)
{
    const char *at = strchr(user, '@');
    size_t user_len = at != NULL ? (size_t)(at - user) : strlen(user);
    const char *domain = at != NULL ? at + 1 : "";
    size_t len = 0;
    const char *part;
    size_t part_len;

    if (!is_component(user, user_len)
        || (at != NULL && !is_component(domain, strlen(domain))))
        return KPOP_PERM;
    /* alice@a and alice@b must not share a maildrop. */
    if ((at != NULL) != (strstr(pattern, "%d") != NULL))
        return KPOP_PERM;
    for (; *pattern != '\0'; pattern++) {
        part = pattern;
        part_len = 1;
        if (pattern[0] == '%') {
            pattern++;
            part = *pattern == 'u' ? user : domain;
            part_len = *pattern == 'u' ? user_len : strlen(domain);
        }
        if (part_len >= size - len)
            return KPOP_PERM;
        memcpy(out + len, part, part_len);
        len += part_len;
    }
    out[len] = '\0';
    return KPOP_OK;
}
