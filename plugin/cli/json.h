/*
 * json.h - writes one JSON text (RFC 8259) to stdout, a member at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPCTL_JSON_H
#define KPOPCTL_JSON_H

#include <stdbool.h>
#include <stdint.h>

/* Zero at birth. */
struct json {
    bool has_member; /* the next one follows a comma */
};

/* name is NULL in an array and at the top; kind is { or [. */
void json_open(struct json *json, const char *name, char kind);
/* kind is } or ]. */
void json_close(struct json *json, char kind);
/* After the outermost close. */
void json_end(struct json *json);
/* What is not UTF-8 becomes U+FFFD. */
void json_text(struct json *json, const char *name, const char *value);
void json_number(struct json *json, const char *name, int64_t value);
void json_null(struct json *json, const char *name);
void json_bool(struct json *json, const char *name, bool value);

#endif
