/*
 * uidl_dovecot.c - the unique-ids of a Dovecot: its dovecot-uidlist, and its
 * setting pop3_uidl_format as 2.3 and 2.4 write it.
 *
 * A list begins "3 V<uidvalidity> N<next uid> ...", and has lines
 * "<uid> [<key><value> ...] :<file name>"; before Dovecot 1.1 it was
 * "1 <uidvalidity> <next uid>" and "<uid> <file name>".  Key P has a unique-id
 * that Dovecot was told, G a GUID.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/cli/uidl.h"

static const char default_format[] = "%08Xu%08Xv";

/* A line of the list. */
struct record {
    uint32_t validity; /* of all lines */
    uint32_t uid;
    char *name; /* of the file */
    char *uidl; /* P, or NULL */
    char *guid; /* G, or NULL */
};

/* What stands behind a %, and what it became. */
struct variable {
    char key;      /* u, v, f, g; else what is wrong */
    bool hex;
    bool md5;
    bool padded;   /* with zeros up to width, else cut to it */
    bool last;     /* cut to the last ones even if padded */
    size_t width;  /* 0: as it is */
    char text[UIDL_LINE_MAX];
};

/* ---- pop3_uidl_format ---- */

/* 2.3: %[0][WIDTH][X][M]KEY.  Returns what follows. */
static const char *
read_short(const char *at, struct variable *variable)
{
    char *end;

    variable->padded = *at == '0';
    variable->width = strtoul(at, &end, 10);
    for (at = end; *at == 'X' || *at == 'M'; at++) {
        variable->hex = variable->hex || *at == 'X';
        variable->md5 = variable->md5 || *at == 'M';
    }
    variable->key = *at;
    return *at != '\0' ? at + 1 : at;
}

static const char *
skip(const char *at, const char *octets)
{
    return at + strspn(at, octets);
}

/* 2.4: %{NAME}, %{NAME | hex}, %{NAME | hex(WIDTH)}; 2.3 knows the names.
 * Returns what follows; a key that is none tells of all else. */
static const char *
read_long(const char *at, struct variable *variable)
{
    static const char *const names[] = { "uid", "uidvalidity", "filename",
                                         "guid", "md5" };
    static const char keys[] = "uvfgm";
    const char *name = skip(at, " ");
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz5");
    char *end;
    size_t i;

    at = skip(name + len, " ");
    if (*at == '|' && strncmp(skip(at + 1, " "), "hex", 3) == 0) {
        variable->hex = variable->padded = variable->last = true;
        at = skip(skip(at + 1, " ") + 3, " ");
        if (*at == '(') {
            variable->width = strtoul(at + 1, &end, 10);
            at = skip(end, " ");
            at = *at == ')' ? skip(at + 1, " ") : at;
        }
    }
    for (i = 0; i < sizeof(names) / sizeof(names[0]) && *at == '}'; i++)
        if (strlen(names[i]) == len && strncmp(names[i], name, len) == 0)
            variable->key = keys[i];
    return *at == '}' ? at + 1 : at;
}

static bool
hash_text(char *text)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    unsigned i;

    if (EVP_Digest(text, strlen(text), digest, &len, EVP_md5(), NULL) != 1)
        return false;
    for (i = 0; i < len; i++)
        snprintf(text + (size_t)2 * i, 3, "%02x", digest[i]);
    return true;
}

/* What no longer fits is too long for a unique-id anyway. */
static void
append(char out[UIDL_LINE_MAX], const char *text)
{
    size_t len = strlen(out);

    snprintf(out + len, UIDL_LINE_MAX - len, "%s", text);
}

/* Appends to out what the variable is of this record; what is wrong, or
 * NULL. */
static const char *
expand_one(struct variable *variable, const struct record *record,
           char out[UIDL_LINE_MAX])
{
    bool numeric = variable->key == 'u' || variable->key == 'v';
    size_t width = variable->width;
    char *text = variable->text;
    size_t len;

    if (numeric)
        snprintf(text, sizeof(variable->text),
                 variable->hex ? "%" PRIx32 : "%" PRIu32,
                 variable->key == 'u' ? record->uid : record->validity);
    else if (variable->key == 'f' || record->guid == NULL)
        snprintf(text, sizeof(variable->text), "%.*s",
                 (int)strcspn(record->name, ":"), record->name);
    else
        snprintf(text, sizeof(variable->text), "%s", record->guid);
    if (variable->hex && !numeric)
        return "--format: only uid and uidvalidity can be hexadecimal";
    if (variable->md5 && !hash_text(text))
        return "--format: the library has no MD5";
    len = strlen(text);
    if (width > 0 && len > width && variable->last)
        text += len - width;
    else if (width > 0 && len > width && !variable->padded)
        text[width] = '\0';
    for (; variable->padded && len < width; len++)
        append(out, "0");
    append(out, text);
    return NULL;
}

/* What is wrong, or NULL. */
static const char *
expand(const char *format, const struct record *record,
       char out[UIDL_LINE_MAX])
{
    const char *wrong = NULL;
    struct variable variable;

    for (out[0] = '\0'; *format != '\0' && wrong == NULL;) {
        if (format[0] != '%' || format[1] == '%') {
            const char octet[] = { *format, '\0' };

            append(out, octet);
            format += format[0] == '%' ? 2 : 1;
            continue;
        }
        memset(&variable, 0, sizeof(variable));
        format = format[1] == '{' ? read_long(format + 2, &variable)
                                  : read_short(format + 1, &variable);
        if (variable.width > KPOP_UIDL_MAX)
            return "--format: a width is above 70";
        if (variable.key == 'm')
            return "--format: md5 is of mboxes; Dovecot has none in a "
                   "maildir";
        if (variable.key == '\0' || strchr("uvfg", variable.key) == NULL)
            return "--format: it has other variables than %u %v %f %g";
        wrong = expand_one(&variable, record, out);
    }
    return wrong;
}

const char *
uidl_format_fault(const char *format)
{
    char names[] = "a\0b";
    const struct record one = { 1, 1, names, NULL, NULL };
    const struct record other = { 1, 2, names + 2, NULL, NULL };
    char out[UIDL_LINE_MAX];
    char other_out[UIDL_LINE_MAX];
    const char *wrong = expand(format, &one, out);

    if (wrong == NULL)
        wrong = expand(format, &other, other_out);
    if (wrong == NULL && strcmp(out, other_out) == 0)
        return "--format: it is the same for all messages";
    return wrong;
}

/* ---- dovecot-uidlist ---- */

/* Digits at *at, which moves behind them; 0 is none. */
static uint32_t
read_number(char **at)
{
    uint64_t number = 0;

    for (; **at >= '0' && **at <= '9' && number <= UINT32_MAX; ++*at)
        number = number * 10 + (uint64_t)(**at - '0');
    return number <= UINT32_MAX ? (uint32_t)number : 0;
}

/* The version, or 0. */
static unsigned
read_head(char *line, uint32_t *validity_out)
{
    unsigned version = line[0] == '1' || line[0] == '3'
                           ? (unsigned)(line[0] - '0')
                           : 0;
    char *at = line + 2;

    *validity_out = 0;
    if (version == 0 || line[1] != ' ')
        return 0;
    if (version == 3) {
        while (*at != '\0' && *at != 'V') {
            at += strcspn(at, " ");
            at += strspn(at, " ");
        }
        at += *at == 'V';
    }
    *validity_out = read_number(&at);
    return *validity_out != 0 && (*at == ' ' || *at == '\0') ? version : 0;
}

/* The fields of version 3, up to the colon.  False when there is no name. */
static bool
read_fields(char *at, struct record *record)
{
    while (*at != '\0' && *at != ':') {
        char *end = at + strcspn(at, " ");

        if (*at == 'P')
            record->uidl = at + 1;
        else if (*at == 'G')
            record->guid = at + 1;
        at = end + strspn(end, " ");
        *end = '\0';
    }
    record->name = *at == ':' ? at + 1 : at;
    return *record->name != '\0';
}

/* False when the line is not as Dovecot writes it. */
static bool
read_record(char *line, unsigned version, struct record *record)
{
    uint32_t before = record->uid;

    record->uid = read_number(&line);
    record->uidl = record->guid = NULL;
    if (record->uid <= before || *line != ' ')
        return false;
    record->name = line += strspn(line, " ");
    if (version == 3 && !read_fields(line, record))
        return false;
    return *record->name != '\0' && strchr(record->name, '/') == NULL;
}

static void
take(struct uidl_import *import, const char *format,
     const struct record *record)
{
    static const char base_format[] = "%f";
    char out[UIDL_LINE_MAX];
    const char *wrong = NULL;

    /* Dovecot leaves the name of the file away. */
    if (record->uidl != NULL && *record->uidl == '\0')
        wrong = expand(base_format, record, out);
    else if (record->uidl != NULL)
        snprintf(out, sizeof(out), "%s", record->uidl);
    else
        wrong = expand(format, record, out);
    if (wrong != NULL)
        uidl_fault(import, "%s", wrong);
    else
        uidl_row(import, record->name, out);
}

void
uidl_read_dovecot(struct uidl_import *import)
{
    const char *format = import->cli->format;
    struct record record = { 0 };
    char line[UIDL_LINE_MAX];
    unsigned version = 0;

    while (uidl_next_line(import, line)) {
        if (version == 0) {
            version = read_head(line, &record.validity);
            if (version == 0) {
                uidl_fault(import, "this is no dovecot-uidlist of version 1 "
                                   "or 3");
                return;
            }
        } else if (read_record(line, version, &record)) {
            take(import, format != NULL ? format : default_format, &record);
        } else {
            uidl_fault(import, "a line of a dovecot-uidlist has a uid above "
                               "the last one's, fields, and a file name");
            return;
        }
    }
    if (version == 0 && import->fault_count == 0)
        uidl_fault(import, "it is empty");
}
