/*
 * sdps.c - see sdps.h.  Pure: it gets octets that a stranger may have written
 * and believes only what stands above them.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/sdps.h"

#include <string.h>
#include <strings.h>

#include "plugin/host/kpopd/words.h"

/* A field: its name, and its value without the blanks around it. */
struct field {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The end of a field that begins here: behind its last line. */
static const char *
field_end(const char *at, const char *end)
{
    const char *lf;

    do {
        lf = memchr(at, '\n', (size_t)(end - at));
        if (lf == NULL)
            return NULL; /* cut off: not to be believed */
        at = lf + 1;
    } while (at < end && (*at == ' ' || *at == '\t'));
    return at;
}

/* The next field; false at the end of the header, or of what is known. */
static bool
next_field(const char **at, const char *end, struct field *field)
{
    const char *begin = *at;
    const char *after = begin < end ? field_end(begin, end) : NULL;
    const char *colon;

    if (after == NULL)
        return false;
    colon = memchr(begin, ':', (size_t)(after - begin));
    if (colon == NULL || colon == begin)
        return false; /* the blank line, or no field at all */
    field->name = begin;
    field->name_len = (size_t)(colon - begin);
    while (field->name_len > 0 && is_blank(begin[field->name_len - 1]))
        field->name_len--;
    field->value = colon + 1;
    *at = after;
    while (field->value < after && is_blank(*field->value))
        field->value++;
    while (after > field->value && is_blank(after[-1]))
        after--;
    field->value_len = (size_t)(after - field->value);
    return true;
}

static bool
is_named(const struct field *field, const char *name, size_t len)
{
    return field->name_len == len
           && strncasecmp(field->name, name, len) == 0;
}

static bool
is_one_of(const struct field *field, const char *names)
{
    size_t len;

    for (; (names = words_next(names, &len)) != NULL; names += len) {
        if (is_named(field, names, len))
            return true;
    }
    return false;
}

/* With or without <>; an address that a client could misread is none. */
static void
take_address(const struct field *field, char out[SDPS_ADDRESS_MAX + 1])
{
    const char *text = field->value;
    size_t len = field->value_len;
    size_t i;

    if (len >= 2 && text[0] == '<' && text[len - 1] == '>') {
        text++;
        len -= 2;
    }
    if (len > SDPS_ADDRESS_MAX)
        return;
    for (i = 0; i < len; i++)
        if ((unsigned char)text[i] <= 0x20 || text[i] == 0x7f
            || text[i] == '<' || text[i] == '>')
            return;
    memcpy(out, text, len);
    out[len] = '\0';
}

void
sdps_read(const char *header, size_t size, const char *fields,
          struct envelope *envelope_out)
{
    static const char return_path[] = "Return-Path";
    const size_t return_path_len = sizeof(return_path) - 1;
    const char *at = header;
    bool has_sender = false;
    bool has_recipient = false;
    struct field field;

    memset(envelope_out, 0, sizeof(*envelope_out));
    while (next_field(&at, header + size, &field)) {
        if (is_named(&field, "Received", 8))
            return;
        if (!has_sender && is_named(&field, return_path, return_path_len)) {
            has_sender = true;
            envelope_out->has_return_path = field.name == header;
            take_address(&field, envelope_out->sender);
        } else if (!has_recipient && is_one_of(&field, fields)) {
            has_recipient = true;
            take_address(&field, envelope_out->recipient);
        }
    }
}

/* As the module parts it: at the last @, else at the last +. */
size_t
sdps_local_part(const char *requested)
{
    const char *mark = strrchr(requested, '@');

    if (mark == NULL)
        mark = strrchr(requested, '+');
    return mark != NULL && mark[1] != '\0' ? (size_t)(mark - requested) : 0;
}

bool
sdps_is_for(const struct envelope *envelope, const char *local, size_t len)
{
    const char *at = strrchr(envelope->recipient, '@');
    size_t here = at != NULL ? (size_t)(at - envelope->recipient)
                             : strlen(envelope->recipient);

    return here == len && strncasecmp(envelope->recipient, local, len) == 0;
}
