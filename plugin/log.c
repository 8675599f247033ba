/*
 * log.c - makes log lines that can be neither broken nor forged by what a
 * client sends.  Writes nowhere itself: the host's log() does.  Runs in every
 * process and must not be given secrets.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/log.h"

#include <stdio.h>
#include <string.h>

#include "plugin/internal.h"
#include "plugin/kpop_plugin.h"

/* Appends text wholly or not at all. */
static bool
add(struct log_line *line, const char *text, size_t len)
{
    if (line->full || len >= sizeof(line->text) - line->len) {
        line->full = true;
        return false;
    }
    memcpy(line->text + line->len, text, len);
    line->len += len;
    line->text[line->len] = '\0';
    return true;
}

void
log_start(struct log_line *line, const struct kpop_facts *facts)
{
    line->len = 0;
    line->full = false;
    line->text[0] = '\0';
    if (facts != NULL) {
        log_text(line, "session", facts->session_id);
        log_text(line, "peer", facts->peer_address);
    }
}

static bool
is_plain(unsigned char c)
{
    return c > 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '=';
}

/* One octet of a quoted value; how many octets it makes. */
static size_t
escape(unsigned char c, char out[5])
{
    if (c == '"' || c == '\\') {
        out[0] = '\\';
        out[1] = (char)c;
        return 2;
    }
    if (c >= 0x20 && c < 0x7f) {
        out[0] = (char)c;
        return 1;
    }
    (void)snprintf(out, 5, "\\x%02X", c);
    return 4;
}

/* The value as it is written; returns its length. */
static size_t
quote(const char *value, char *out)
{
    const unsigned char *p = (const unsigned char *)value;
    bool plain = *p != '\0';
    size_t len = 0;

    for (; *p != '\0'; p++)
        plain = plain && is_plain(*p);
    p = (const unsigned char *)value;
    if (!plain)
        out[len++] = '"';
    while (*p != '\0' && len < LOG_VALUE_MAX - 8)
        len += escape(*p++, out + len);
    if (*p != '\0') {
        memcpy(out + len, "...", 3);
        len += 3;
    }
    if (!plain)
        out[len++] = '"';
    return len;
}

void
log_text(struct log_line *line, const char *key, const char *value)
{
    char pair[LOG_VALUE_MAX + 64];
    size_t len = strnlen(key, 60);

    memcpy(pair + 1, key, len);
    pair[0] = ' ';
    pair[++len] = '=';
    len++;
    len += quote(value, pair + len);
    /* No blank before the first pair. */
    if (line->len == 0)
        (void)add(line, pair + 1, len - 1);
    else
        (void)add(line, pair, len);
}

void
log_text_if(struct log_line *line, const char *key, const char *value)
{
    if (value[0] != '\0')
        log_text(line, key, value);
}

void
log_number(struct log_line *line, const char *key, uint64_t value)
{
    char digits[24];

    (void)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
    log_text(line, key, digits);
}

void
log_raw(struct log_line *line, const char *text)
{
    char out[5];

    if (line->len > 0)
        (void)add(line, " ", 1);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (c >= 0x20 && c < 0x7f)
            (void)add(line, text, 1);
        else
            (void)add(line, out, escape(c, out));
    }
}

void
log_write(const struct kpop_plugin *plugin, void *conn, uint32_t level,
          const char *event, const struct log_line *line)
{
    plugin->host.log(plugin->context, conn, level, event, line->text);
}
