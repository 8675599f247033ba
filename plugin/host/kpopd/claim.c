/*
 * claim.c - finds the name in the first message of a mechanism.  Pure; what
 * it finds is worth nothing but for counting failures.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/claim.h"

#include <string.h>

enum claim_form
claim_form(const char *mechanism)
{
    static const struct {
        const char *mechanism;
        enum claim_form form;
    } rows[] = {
        { "PLAIN", CLAIM_PLAIN },         { "CRAM-MD5", CLAIM_CRAM },
        { "APOP", CLAIM_APOP },           { "SCRAM-SHA-1", CLAIM_SCRAM },
        { "SCRAM-SHA-256", CLAIM_SCRAM }, { "SCRAM-SHA-512", CLAIM_SCRAM },
        { "SCRAM-SHA-256-PLUS", CLAIM_SCRAM },
    };
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].mechanism, mechanism) == 0)
            return rows[i].form;
    return CLAIM_NONE;
}

/* Behind the next `octet`, or NULL. */
static const char *
behind(const char *at, const char *end, char octet)
{
    const char *found =
        at != NULL && at < end ? memchr(at, octet, (size_t)(end - at)) : NULL;

    return found != NULL ? found + 1 : NULL;
}

/* From `at` to the first or last octet that separates. */
static bool
cut(const char *at, const char *end, char octet, bool last,
    struct claim *claim_out)
{
    const char *stop = NULL;

    if (at != NULL && at < end)
        stop = last ? memrchr(at, octet, (size_t)(end - at))
                    : memchr(at, octet, (size_t)(end - at));
    if (stop == NULL)
        return false;
    claim_out->name = at;
    claim_out->len = (size_t)(stop - at);
    return claim_out->len > 0;
}

bool
claim_find(enum claim_form form, const void *data, size_t size,
           struct claim *claim_out)
{
    const char *at = data;
    const char *end = at + size;

    switch (form) {
    case CLAIM_NONE:
        break;
    case CLAIM_PLAIN:
        return cut(behind(at, end, '\0'), end, '\0', false, claim_out);
    case CLAIM_CRAM:
        return cut(at, end, ' ', true, claim_out);
    case CLAIM_APOP:
        return cut(behind(at, end, ' '), end, ' ', true, claim_out);
    case CLAIM_SCRAM:
        at = behind(behind(at, end, ','), end, ',');
        if (at == NULL || end - at < 2 || memcmp(at, "n=", 2) != 0)
            return false;
        return cut(at + 2, end, ',', false, claim_out);
    }
    return false;
}
