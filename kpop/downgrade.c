/*
 * downgrade.c - the simplified down-conversion of RFC 6858: what can be shown
 * is shown, an address that can't is replaced by one that belongs to nobody,
 * the rest is left out.  Pure; the header is well-formed UTF-8.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "kpop/base64.h"
#include "kpop/header.h"

/* RFC 2047 section 2: 75 octets a word; 12 are its frame, and base64 makes 60
 * of 45. */
enum { WORD_OCTETS = 45 };

#define NOBODY "<invalid@internationalized-address.invalid>"

struct text {
    const char *at;
    size_t len;
};

static char
lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static bool
is_name(struct text name, const char *wanted)
{
    size_t i;

    if (name.len != strlen(wanted))
        return false;
    for (i = 0; i < name.len; i++)
        if (lower(name.at[i]) != lower(wanted[i]))
            return false;
    return true;
}

static bool
is_one_of(struct text name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (is_name(name, *names))
            return true;
    return false;
}

static bool
is_ascii(struct text text)
{
    size_t i;

    for (i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] >= 0x80)
            return false;
    return true;
}

static bool
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct text
trim(struct text text)
{
    while (text.len > 0 && is_space(text.at[0])) {
        text.at++;
        text.len--;
    }
    while (text.len > 0 && is_space(text.at[text.len - 1]))
        text.len--;
    return text;
}

static void
add(struct buf *out, struct text text)
{
    buf_append(out, text.at, text.len);
}

/* ---- encoded words ---- */

/* One that is not more than fits, and ends behind a character. */
static size_t
word_len(struct text text)
{
    size_t len = text.len < WORD_OCTETS ? text.len : WORD_OCTETS;

    while (len < text.len && len > 0
           && ((unsigned char)text.at[len] & 0xc0) == 0x80)
        len--;
    return len;
}

static void
add_word(struct buf *out, const char *octets, size_t len)
{
    buf_append_str(out, "=?UTF-8?B?");
    base64_encode(out, (const uint8_t *)octets, len);
    buf_append_str(out, "?=");
}

/* Unfolded, each word on a line of its own. */
static void
add_encoded(struct buf *out, struct text text)
{
    char word[WORD_OCTETS];
    const char *between = "";

    while (text.len > 0) {
        size_t len = word_len(text);
        size_t kept = 0;
        size_t i;

        for (i = 0; i < len; i++)
            if (text.at[i] != '\r' && text.at[i] != '\n')
                word[kept++] = text.at[i];
        buf_append_str(out, between);
        add_word(out, word, kept);
        between = "\r\n ";
        text.at += len;
        text.len -= len;
    }
}

/* ---- lists ---- */

/* Where the next `stop` is that is in no quotes, comment or <>; else len. */
static size_t
find(struct text text, char stop)
{
    unsigned comments = 0;
    bool quoted = false;
    bool angle = false;
    size_t i;

    for (i = 0; i < text.len; i++) {
        char c = text.at[i];

        if (!quoted && comments == 0 && !angle && c == stop)
            return i;
        if (c == '\\' && (quoted || comments > 0))
            i++;
        else if (quoted)
            quoted = c != '"';
        else if (c == '(')
            comments++;
        else if (c == ')' && comments > 0)
            comments--;
        else if (comments == 0 && c == '"')
            quoted = true;
        else if (comments == 0 && (c == '<' || c == '>'))
            angle = c == '<';
    }
    return text.len;
}

/* Takes what stands before the next `stop` off the text. */
static struct text
take(struct text *text, char stop)
{
    struct text part = { text->at, find(*text, stop) };
    size_t used = part.len < text->len ? part.len + 1 : part.len;

    text->at += used;
    text->len -= used;
    return trim(part);
}

/* ---- addresses ---- */

/* A display name, perhaps quoted, without its quotes; the escapes stay. */
static struct text
unquote(struct text name)
{
    name = trim(name);
    if (name.len >= 2 && name.at[0] == '"' && name.at[name.len - 1] == '"')
        name = (struct text){ name.at + 1, name.len - 2 };
    return name;
}

static void
add_mailbox(struct buf *out, struct text mailbox)
{
    size_t angle = find(mailbox, '<');
    struct text name = { mailbox.at, angle };
    struct text address = { mailbox.at + angle, mailbox.len - angle };

    if (is_ascii(mailbox)) {
        add(out, mailbox);
        return;
    }
    if (address.len == 0) { /* it is all address, or odd */
        address = name;
        name.len = 0;
    }
    name = unquote(name);
    if (is_ascii(name) && name.len > 0)
        add(out, trim((struct text){ mailbox.at, angle }));
    else
        add_encoded(out, name);
    if (name.len > 0)
        buf_append_str(out, "\r\n ");
    /* What a comment says is no part of the address. */
    address.len = find(address, '(');
    if (is_ascii(address) && address.len > 0)
        add(out, trim(address));
    else
        buf_append_str(out, NOBODY);
}

/* A group has a name of its own, which nobody needs. */
static void
add_addresses(struct buf *out, struct text list)
{
    static const char group[] = "internationalized-address:;";
    const char *between = " ";

    if (find(list, ':') < list.len || find(list, ';') < list.len) {
        buf_append_str(out, " ");
        buf_append_str(out, group);
        return;
    }
    while (list.len > 0) {
        struct text mailbox = take(&list, ',');

        if (mailbox.len == 0)
            continue;
        buf_append_str(out, between);
        add_mailbox(out, mailbox);
        between = ",\r\n ";
    }
}

/* ---- fields ---- */

/* The value without the parameters that need UTF-8; nothing is left when the
 * value itself does. */
static bool
add_parameters(struct buf *out, struct text name, struct text value)
{
    struct text part = take(&value, ';');

    if (!is_ascii(part))
        return false;
    add(out, name);
    buf_append_str(out, ": ");
    add(out, part);
    while (value.len > 0) {
        part = take(&value, ';');
        if (!is_ascii(part) || part.len == 0)
            continue;
        buf_append_str(out, ";\r\n ");
        add(out, part);
    }
    return true;
}

/* A field that needs UTF-8. */
static void
add_field(struct buf *out, struct text name, struct text value)
{
    static const char *const addresses[] = {
        "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Resent-From",
        "Resent-Sender", "Resent-To", "Resent-Cc", "Resent-Bcc", NULL
    };
    static const char *const parameters[] = { "Content-Type",
                                              "Content-Disposition", NULL };

    if (is_one_of(name, addresses)) {
        add(out, name);
        buf_append_str(out, ":");
        add_addresses(out, value);
    } else if (is_name(name, "Subject")) {
        add(out, name);
        buf_append_str(out, ": ");
        add_encoded(out, value);
    } else if (!is_one_of(name, parameters)
               || !add_parameters(out, name, value)) {
        return;
    }
    buf_append_str(out, "\r\n");
}

/* A field with its folded lines. */
static size_t
field_len(const char *at, size_t len)
{
    size_t used = 0;

    do {
        const char *lf = memchr(at + used, '\n', len - used);

        used = lf != NULL ? (size_t)(lf - at) + 1 : len;
    } while (used < len && (at[used] == ' ' || at[used] == '\t'));
    return used;
}

void
header_downgrade(const uint8_t *header, size_t len, struct buf *out)
{
    const char *at = (const char *)header;

    while (len > 0) {
        struct text field = { at, field_len(at, len) };
        const char *colon = memchr(at, ':', field.len);
        struct text name = { at, colon != NULL ? (size_t)(colon - at) : 0 };

        if (is_ascii(field)) {
            add(out, field);
        } else if (colon != NULL && is_ascii(name)) {
            struct text value = { colon + 1, field.len - name.len - 1 };

            add_field(out, trim(name), trim(value));
        }
        at += field.len;
        len -= field.len;
    }
}
