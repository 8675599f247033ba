/*
 * mechanisms.c - which mechanisms work on a connection: those that are built
 * in, that the host has the callbacks for, and that the configuration lets
 * through.  Pure; whether a login succeeds is decided elsewhere.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "plugin/exchange.h"
#include "plugin/facts.h"
#include "plugin/internal.h"
#include "sasl/mech.h"

/*
 * PLAIN carries AUTH PLAIN and also USER with PASS, so either name in the
 * configuration will do; which of the two a client may use is said by
 * exchange_names().
 */
static bool
mechanism_is_allowed(const struct kpop_plugin *plugin,
                     const struct config *config,
                     const struct kpop_facts *facts, const char *name)
{
    if (strcmp(name, "PLAIN") != 0)
        return config_allows(config, name, facts);
    return plugin->host.verify_password != NULL
           && (config_allows(config, "PLAIN", facts)
               || config_allows(config, "USER", facts));
}

const struct mech *
mechanism_find(const struct kpop_plugin *plugin, const struct config *config,
               const struct kpop_facts *facts, const char *name)
{
    bool kpop = strcmp(name, "KPOP") == 0;

    if (name[0] == '\0' || kpop != facts_are_kpop(facts)
        || (!kpop && !mechanism_is_allowed(plugin, config, facts, name)))
        return NULL;
    return mech_find(name);
}

void
exchange_names(const struct kpop_plugin *plugin, const struct config *config,
               const struct kpop_facts *facts, char *text, size_t size)
{
    /* A name for the client, and the mechanism behind it. */
    static const char *const names[][2] = { { "KPOP", "KPOP" },
                                            { "USER", "PLAIN" } };
    size_t len = 0;

    text[0] = '\0';
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *name = names[i][0];
        size_t n = strlen(name);

        if (mechanism_find(plugin, config, facts, names[i][1]) == NULL
            || len + n + 2 > size)
            continue;
        if (len > 0)
            text[len++] = ' ';
        memcpy(text + len, name, n + 1);
        len += n;
    }
}
