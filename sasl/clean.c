/*
 * clean.c - refuses names before they reach a path, a log or a host.  Pure
 * functions of octets; a measured reason for each: the principal "..\/..\/etc"
 * maps to "../../etc", "x\ny" to a real newline, " fred" to "fred".
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/clean.h"

#include <string.h>

static bool
is_mailbox_octet(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c >= '0' && c <= '9') || (c != '\0' && strchr("._+@-", c) != NULL);
}

bool
clean_mailbox(const char *name)
{
    size_t len = strnlen(name, NAME_OCTETS_MAX + 1);

    if (len == 0 || len > NAME_OCTETS_MAX || name[0] == '.' || name[0] == '-')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!is_mailbox_octet(name[i]))
            return false;
    }
    return strstr(name, "..") == NULL;
}

/*
 * The code point at data, and how many octets it takes; 0 when it is not well
 * formed.  Overlong forms and surrogates are not (RFC 3629 section 4).
 */
static size_t
code_point(const uint8_t *data, size_t len, uint32_t *point_out)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    uint8_t first = data[0];
    size_t size = first < 0x80 ? 1
                  : first >= 0xf0 ? 4
                  : first >= 0xe0 ? 3
                                  : 2;
    uint32_t point;

    if (size == 1) {
        *point_out = first;
        return 1;
    }
    if (first < 0xc2 || first > 0xf4 || len < size)
        return 0;
    point = first & (0xffu >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        if ((data[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (data[i] & 0x3fu);
    }
    if (point < least[size] || point > 0x10ffff ||
        (point >= 0xd800 && point <= 0xdfff))
        return 0;
    *point_out = point;
    return size;
}

bool
clean_utf8(const uint8_t *data, size_t len)
{
    uint32_t point = 0;

    while (len > 0) {
        size_t size = code_point(data, len, &point);

        if (size == 0 || point == 0)
            return false;
        data += size;
        len -= size;
    }
    return true;
}

bool
clean_text(const uint8_t *data, size_t len)
{
    uint32_t point = 0;

    while (len > 0) {
        size_t size = code_point(data, len, &point);

        if (size == 0 || point < 0x20 || (point >= 0x7f && point <= 0x9f))
            return false;
        data += size;
        len -= size;
    }
    return true;
}

bool
clean_request(const uint8_t *data, size_t len)
{
    return len > 0 && len <= NAME_OCTETS_MAX && clean_text(data, len);
}
