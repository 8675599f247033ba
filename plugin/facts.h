/*
 * facts.h - our own copy of what the host says about a connection.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_PLUGIN_FACTS_H
#define KPOP_PLUGIN_FACTS_H

#include <stdbool.h>

#include "kpop/status.h"
#include "plugin/kpop_plugin.h"

enum {
    FACTS_TEXT_MAX = 1024,         /* of one text */
    FACTS_BYTES_MAX = 64 * 1024    /* of a certificate or a binding */
};

/*
 * A whole struct kpop_facts in one piece of memory, whatever the size of the
 * host's: texts that are missing are "", and session_id is made from number
 * when the host gave none.  KPOP_INVALID (no such service, a text that is too
 * long), KPOP_NO_MEMORY.  Freed with free().
 */
int32_t facts_copy(const struct kpop_facts *facts, const char *default_id,
                   struct kpop_facts **facts_out) MUST_USE;
/* The connection is encrypted. */
bool facts_are_secret(const struct kpop_facts *facts);
/* The Kerberos handshake comes first. */
bool facts_are_kpop(const struct kpop_facts *facts);

#endif
