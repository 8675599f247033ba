/*
 * keys.h - which keys the module's configuration has, and what a value of
 * each kind looks like.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_PLUGIN_KEYS_H
#define KPOP_PLUGIN_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kpop/status.h"
#include "plugin/kpop_plugin.h"

/*
 * One key of the module's.  field is the offset in struct config: of a
 * `char *` (TEXT PATH LIST CHOICE LISTEN), a `uint64_t` (NUMBER SECONDS) or a
 * `bool` (YES_NO).
 */
struct config_key {
    struct kpop_key key;
    size_t field;
};

extern const struct config_key config_keys[];
extern const size_t config_key_count;

enum { KEY_NAME_MAX = 40, KEY_ADDRESS_MAX = 64 };

/* A name, kind and default that declare() takes. */
bool key_is_sane(const struct kpop_key *key);

/* STATUS_OK, or STATUS_INVALID with a sentence without the key's name. */
int key_check(const struct kpop_key *key, const char *value, char *error,
              size_t error_size) MUST_USE;

/* Decimal digits only, at most max; false otherwise. */
bool key_number(const char *text, size_t len, uint64_t max,
                uint64_t *number_out);

/* "ADDRESS:PORT"; address gets KEY_ADDRESS_MAX octets, without brackets. */
bool key_listen(const char *word, size_t len, char *address,
                uint32_t *port_out);

#endif
