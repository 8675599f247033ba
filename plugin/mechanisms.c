/*
 * mechanisms.c - which mechanisms work on a connection: those that are built
 * in, that the host has the callbacks for, and that the configuration lets
 * through.  Pure; whether a login succeeds is decided elsewhere.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/exchange.h"
#include "plugin/facts.h"
#include "plugin/internal.h"
#include "plugin/text.h"
#include "sasl/mech.h"

/* What the host must be able to do for it. */
enum ability { ABLE_TICKETS, ABLE_PASSWORDS, ABLE_SECRETS, ABLE_ALWAYS };

/* For the client, in the order in which it should prefer them: fetchmail
 * takes the first that it knows. */
static const struct row {
    const char *name;    /* for the client and in the configuration */
    const char *carrier; /* the mechanism that an exchange is started with */
    enum ability ability;
} rows[] = {
    { "USER", "PLAIN", ABLE_PASSWORDS },
    { "APOP", "APOP", ABLE_SECRETS },
    { "GSSAPI", "GSSAPI", ABLE_TICKETS },
    { "EXTERNAL", "EXTERNAL", ABLE_ALWAYS },
    { "PLAIN", "PLAIN", ABLE_PASSWORDS },
    { "CRAM-MD5", "CRAM-MD5", ABLE_SECRETS },
    { "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256-PLUS", ABLE_SECRETS },
    { "SCRAM-SHA-512", "SCRAM-SHA-512", ABLE_SECRETS },
    { "SCRAM-SHA-256", "SCRAM-SHA-256", ABLE_SECRETS },
    { "SCRAM-SHA-1", "SCRAM-SHA-1", ABLE_SECRETS },
};

enum { NAMES_MAX = 256 };
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static bool
host_is_able(const struct kpop_plugin *plugin, const struct config *config,
             enum ability ability)
{
    switch (ability) {
    case ABLE_PASSWORDS:
        return plugin->host.verify_password != NULL;
    case ABLE_SECRETS:
        return plugin->host.lookup_secret != NULL;
    case ABLE_ALWAYS:
        return true;
    case ABLE_TICKETS:
        break;
    }
    return config->has_gssapi;
}

static bool
row_works(const struct kpop_plugin *plugin, const struct config *config,
          const struct kpop_facts *facts, const struct row *row)
{
    return config_allows(config, row->name, facts)
           && host_is_able(plugin, config, row->ability)
           && mech_find(row->carrier) != NULL;
}

const struct mech *
mechanism_find(const struct kpop_plugin *plugin, const struct config *config,
               const struct kpop_facts *facts, const char *name)
{
    if (facts_are_kpop(facts))
        return strcmp(name, "KPOP") == 0 ? mech_find(name) : NULL;
    for (size_t i = 0; i < ROWS; i++) {
        if (strcmp(name, rows[i].carrier) == 0
            && row_works(plugin, config, facts, &rows[i]))
            return mech_find(name);
    }
    return NULL;
}

bool
mechanism_has_plus(const struct kpop_plugin *plugin,
                   const struct config *config,
                   const struct kpop_facts *facts, const char *name)
{
    char plus[64];

    (void)snprintf(plus, sizeof(plus), "%s-PLUS", name);
    return mechanism_find(plugin, config, facts, plus) != NULL;
}

static void
add_name(const char *name, char *text, size_t size)
{
    size_t len = strlen(text);

    if (len + strlen(name) + 2 <= size)
        (void)snprintf(text + len, size - len, "%s%s", len > 0 ? " " : "",
                       name);
}

void
exchange_names(const struct kpop_plugin *plugin, const struct config *config,
               const struct kpop_facts *facts, char *text, size_t size)
{
    text[0] = '\0';
    for (size_t i = 0; i < ROWS; i++) {
        if (row_works(plugin, config, facts, &rows[i]))
            add_name(rows[i].name, text, size);
    }
}

int32_t
kpop_exchange_names(struct kpop_plugin *plugin,
                    const struct kpop_facts *facts, char *text,
                    size_t text_size)
{
    struct config *config = plugin_config(plugin);
    struct kpop_facts *copy = NULL;
    int32_t result = KPOP_INVALID;

    if (config != NULL && text_size >= NAMES_MAX)
        result = facts_copy(facts, "-", &copy);
    if (result == KPOP_OK && facts_are_kpop(copy))
        (void)snprintf(text, text_size, "%s",
                       config->has_keytab ? "KPOP" : "");
    else if (result == KPOP_OK)
        exchange_names(plugin, config, copy, text, text_size);
    free(copy);
    config_drop(config);
    return result;
}

void
mechanisms_choose(const struct kpop_plugin *plugin,
                  const struct config *config, const struct kpop_facts *facts,
                  const char *names, char *text, size_t size)
{
    text[0] = '\0';
    for (size_t i = 0; i < ROWS; i++) {
        if (config_runs(plugin, config, rows[i].name)
                ? row_works(plugin, config, facts, &rows[i])
                : text_has_word(names, rows[i].name)
                      && config_allows(config, rows[i].name, facts))
            add_name(rows[i].name, text, size);
    }
}
