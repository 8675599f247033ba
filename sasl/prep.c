/*
 * prep.c - SASLprep by libidn, the only file that uses it.  Keeps nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/prep.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <stringprep.h>

#include "kpop/buf.h"

static bool
is_ascii(const struct digest_secret *given)
{
    for (size_t i = 0; i < given->len; i++)
        if (given->data[i] < 0x20 || given->data[i] > 0x7e)
            return false;
    return true;
}

int
prep_password(const struct digest_secret *given, char **text_out,
              struct digest_secret *prepared_out)
{
    char *copy;
    char *text = NULL;
    int code;

    *text_out = NULL;
    *prepared_out = *given;
    /* Nothing would change; and libidn takes strings. */
    if (is_ascii(given) || memchr(given->data, 0, given->len) != NULL)
        return STATUS_OK;
    copy = malloc(given->len + 1);
    if (copy == NULL)
        return STATUS_NO_MEMORY;
    memcpy(copy, given->data, given->len);
    copy[given->len] = '\0';
    /* Flags are a set, and the empty one has no name in the enum. */
    /* NOLINTNEXTLINE(clang-analyzer-optin.core.EnumCastOutOfRange) */
    code = stringprep_profile(copy, &text, "SASLprep", 0);
    prep_free(copy);
    if (code == STRINGPREP_MALLOC_ERROR)
        return STATUS_NO_MEMORY;
    if (code != STRINGPREP_OK)
        return STATUS_OK;
    *text_out = text;
    prepared_out->data = (const uint8_t *)text;
    prepared_out->len = strlen(text);
    return STATUS_OK;
}

int
prep_name(const uint8_t *name, size_t len, char *out, size_t max)
{
    const struct digest_secret given = { .data = name, .len = len };
    struct digest_secret prepared;
    char *text;
    int status = prep_password(&given, &text, &prepared);

    if (status != STATUS_OK)
        return status;
    /* Given back as it was: in ASCII, or forbidden. */
    if (is_ascii(&prepared) != is_ascii(&given)
        || (text == NULL && !is_ascii(&given)) || prepared.len == 0
        || prepared.len > max)
        status = STATUS_AUTH;
    if (status == STATUS_OK) {
        memcpy(out, prepared.data, prepared.len);
        out[prepared.len] = '\0';
    }
    prep_free(text);
    return status;
}

void
prep_free(char *text)
{
    if (text == NULL)
        return;
    wipe(text, strlen(text));
    free(text);
}
