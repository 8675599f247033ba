/*
 * uidl_forms.c - other forms of unique-ids: the list of Courier, the header
 * X-UIDL that qpopper and others wrote into messages, and a map that an admin
 * made.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "plugin/cli/uidl.h"

/* ---- Courier ---- */

/* Before it numbered messages: what is not plain in a name is +XX. */
static void
courier_name(const char *name, char *out, size_t size)
{
    size_t len = 0;

    for (; *name != '\0' && *name != ':' && len + 4 < size; name++) {
        if (*name < 0x21 || *name > 0x7E || strchr("'\"+", *name) != NULL)
            snprintf(out + len, size - len, "+%02X", (unsigned char)*name);
        else
            snprintf(out + len, size - len, "%c", *name);
        len += strlen(out + len);
    }
    out[len] = '\0';
}

/* "NAME SIZE UID[:UIDVALIDITY[:UTF8]]", where NAME may have blanks. */
static bool
courier_line(struct uidl_import *import, char *line)
{
    char *numbers = strrchr(line, ' ');
    unsigned long validity = 0;
    char out[UIDL_LINE_MAX];
    unsigned long uid;
    char *size;

    if (numbers == NULL || numbers[1] < '0' || numbers[1] > '9'
        || strspn(numbers + 1, "0123456789:") != strlen(numbers + 1))
        return false;
    *numbers = '\0';
    uid = strtoul(numbers + 1, &numbers, 10);
    if (*numbers == ':')
        validity = strtoul(numbers + 1, NULL, 10);
    size = strrchr(line, ' ');
    if (size == NULL || size == line || size[1] == '\0'
        || strspn(size + 1, "0123456789") != strlen(size + 1))
        return false;
    *size = '\0';
    if (uid == 0)
        courier_name(line, out, sizeof(out));
    else if (validity == 0)
        snprintf(out, sizeof(out), "UID%lu", uid);
    else
        snprintf(out, sizeof(out), "UID%lu-%lu", uid, validity);
    uidl_row(import, line, out);
    return true;
}

void
uidl_read_courier(struct uidl_import *import)
{
    char line[UIDL_LINE_MAX];

    while (uidl_next_line(import, line)) {
        if (import->line == 1 ? line[0] == '/' && line[1] >= '1'
                                    && line[1] <= '3' && line[2] == ' '
                              : courier_line(import, line))
            continue;
        uidl_fault(import, import->line == 1
                               ? "this is no courierpop3dsizelist of "
                                 "version 1 to 3"
                               : "a line of a courierpop3dsizelist has a "
                                 "file name, a size, and a uid");
        return;
    }
    if (import->line == 0 && import->fault_count == 0)
        uidl_fault(import, "it is empty");
}

/* ---- X-UIDL ---- */

void
uidl_read_header(struct uidl_import *import)
{
    const struct uidl_box *box = import->box;
    const char *input = import->input;
    char value[UIDL_LINE_MAX];
    size_t i;

    for (i = 0; i < box->count; i++) {
        import->input = box->msgs[i].base;
        if (!uidl_header(box, &box->msgs[i], "X-UIDL", value, sizeof(value)))
            uidl_fault(import, "the message can't be read");
        else if (value[0] != '\0')
            uidl_row(import, box->msgs[i].base, value);
    }
    import->input = input;
}

/* ---- map ---- */

/* The field at *at of CSV (RFC 4180), in place; *at moves behind its comma,
 * or is NULL behind the last one.  NULL: a quote is not closed. */
static char *
csv_field(char **at)
{
    char *field = *at;
    char *from = field;
    char *to = field;

    if (*from != '"') {
        from += strcspn(from, ",");
        to = from;
    } else {
        for (from++; *from != '\0' && (*from != '"' || from[1] == '"');
             from++) {
            from += *from == '"';
            *to++ = *from;
        }
        if (*from != '"' || (from[1] != ',' && from[1] != '\0'))
            return NULL;
        from++;
    }
    *at = *from == ',' ? from + 1 : NULL;
    *to = '\0';
    return field;
}

static const char unreadable[] = "the messages can't be read";
static const char no_memory[] = "out of memory";

/* What the messages themselves say is read when a line asks for it.  NULL, or
 * why it can't be. */
static const char *
index_ids(struct uidl_import *import)
{
    const struct uidl_box *box = import->box;
    char value[UIDL_LINE_MAX];
    size_t i;

    for (i = 0; i < box->count && !import->has_ids; i++) {
        if (!uidl_header(box, &box->msgs[i], "Message-ID", value,
                         sizeof(value)))
            return unreadable;
        value[strcspn(value, ">") + (strchr(value, '>') != NULL)] = '\0';
        if (!uidl_index_add(&import->ids, value, &box->msgs[i]))
            return no_memory;
    }
    if (!import->has_ids)
        uidl_index_sort(&import->ids);
    import->has_ids = true;
    return NULL;
}

static const char *
index_digests(struct uidl_import *import)
{
    const struct uidl_box *box = import->box;
    char stored[UIDL_DIGEST_MAX];
    char sent[UIDL_DIGEST_MAX];
    size_t i;

    for (i = 0; i < box->count && !import->has_digests; i++) {
        if (!uidl_digests(box, &box->msgs[i], stored, sent))
            return unreadable;
        if (!uidl_index_add(&import->digests, stored, &box->msgs[i])
            || !uidl_index_add(&import->digests, sent, &box->msgs[i]))
            return no_memory;
    }
    if (!import->has_digests)
        uidl_index_sort(&import->digests);
    import->has_digests = true;
    return NULL;
}

static void
map_row(struct uidl_import *import, char *name, const char *uidl)
{
    static const char digest[] = "sha256:";
    size_t len = strlen(name);
    const char *wrong = NULL;

    if (strncasecmp(name, digest, strlen(digest)) == 0) {
        wrong = index_digests(import);
        for (name += strlen(digest), len = 0; name[len] != '\0'; len++)
            if (name[len] >= 'A' && name[len] <= 'F')
                name[len] = (char)(name[len] - 'A' + 'a');
        if (len != UIDL_DIGEST_MAX - 1
            || strspn(name, "0123456789abcdef") != len)
            uidl_fault(import, "sha256: has 64 hexadecimal digits");
        else if (wrong == NULL)
            uidl_row_by(import, &import->digests, name, uidl);
    } else if (len > 2 && name[0] == '<' && name[len - 1] == '>') {
        wrong = index_ids(import);
        if (wrong == NULL)
            uidl_row_by(import, &import->ids, name, uidl);
    } else {
        uidl_row(import, name, uidl);
    }
    if (wrong != NULL)
        uidl_fault(import, "%s", wrong);
}

void
uidl_read_map(struct uidl_import *import)
{
    char line[UIDL_LINE_MAX];

    while (uidl_next_line(import, line)) {
        bool blank = line[0] == '\0';
        char *at = line;
        char *name = csv_field(&at);
        const char *uidl = name != NULL && at != NULL ? csv_field(&at) : NULL;

        if (blank)
            continue;
        if (uidl == NULL || at != NULL || name[0] == '\0')
            uidl_fault(import, "a line has two fields: a file name, "
                               "Message-ID or digest, and a unique-id; "
                               "commas in one want quotes");
        else
            map_row(import, name, uidl);
    }
}
