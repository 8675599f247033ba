/*
 * entry.c - the one symbol of kpop.so: checks the host's table and hands out
 * ours.  A host of another major version, or one that lacks what it must
 * have, is refused with a sentence before anything else happens.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kpop/stuff.h"
#include "plugin/exchange.h"
#include "plugin/internal.h"
#include "plugin/op.h"
#include "plugin/session.h"
#include "plugin/text.h"

/* ---- the host's table ---- */

/* A callback is there or not; its type does not matter for that. */
struct callback {
    const char *name;
    size_t offset;
};

#define CALLBACK(name) { #name, offsetof(struct kpop_host, name) }

static const struct callback exchange_four[] = {
    CALLBACK(exchange_mechanisms), CALLBACK(exchange_start),
    CALLBACK(exchange_step), CALLBACK(exchange_end)
};
static const struct callback store_five[] = {
    CALLBACK(open), CALLBACK(list), CALLBACK(fetch), CALLBACK(commit),
    CALLBACK(close)
};

static bool
is_there(const struct kpop_host *host, const struct callback *callback)
{
    static const unsigned char none[sizeof(void (*)(void))];

    return memcmp((const char *)host + callback->offset, none, sizeof(none))
           != 0;
}

/* Of a group that goes together: how many are there, and which is not. */
static size_t
group_count(const struct kpop_host *host, const struct callback *group,
            size_t size, const char **missing_out)
{
    size_t n = 0;

    *missing_out = "";
    for (size_t i = 0; i < size; i++) {
        if (is_there(host, &group[i]))
            n++;
        else if ((*missing_out)[0] == '\0')
            *missing_out = group[i].name;
    }
    return n;
}

static int32_t
host_check(const struct kpop_host *host, char *error, size_t error_size)
{
    const char *missing;
    size_t exchange;
    size_t store;

    if (host->log == NULL) {
        text_say(error, error_size, "the host's table has no log, which is "
                 "mandatory");
        return KPOP_INVALID;
    }
    exchange = group_count(host, exchange_four, 4, &missing);
    if (exchange > 0 && exchange < 4) {
        text_say(error, error_size, "the host's table has no %s; the four "
                 "exchange_ callbacks go together", missing);
        return KPOP_INVALID;
    }
    if (exchange == 0 && host->authorize == NULL) {
        text_say(error, error_size, "the host's table has no authorize, "
                 "which is mandatory unless exchange_start and its three "
                 "companions are there");
        return KPOP_INVALID;
    }
    store = group_count(host, store_five, 5, &missing);
    if (store == 5 || store == 0)
        return KPOP_OK;
    text_say(error, error_size, "the host's table has no %s; open, list, "
             "fetch, commit and close go together", missing);
    return KPOP_INVALID;
}

/* Ours may be longer or shorter: what is missing is NULL. */
static int32_t
host_copy(struct kpop_host *copy, const struct kpop_host *table, char *error,
          size_t error_size)
{
    const size_t head = offsetof(struct kpop_host, log);
    size_t size;

    if (table == NULL || table->size < head + sizeof(void (*)(void))) {
        text_say(error, error_size, "the host's table is too short: %u "
                 "octets; is its size set?",
                 table != NULL ? (unsigned)table->size : 0u);
        return KPOP_INVALID;
    }
    size = table->size < sizeof(*copy) ? table->size : sizeof(*copy);
    /* No half pointer at the end. */
    size -= (size - head) % sizeof(void (*)(void));
    memset(copy, 0, sizeof(*copy));
    memcpy(copy, table, size);
    return host_check(copy, error, error_size);
}

/* ---- the plugin ---- */

bool
plugin_forwards(const struct kpop_plugin *plugin)
{
    return plugin->host.exchange_start != NULL;
}

bool
plugin_has_maildrops(const struct kpop_plugin *plugin)
{
    return plugin->host.open != NULL || plugin_forwards(plugin);
}

static void
plugin_free(struct kpop_plugin *plugin)
{
    if (plugin == NULL)
        return;
    config_drop(plugin->config);
    keyset_free(&plugin->settings);
    (void)pthread_mutex_destroy(&plugin->lock);
    free(plugin);
}

static void
plugin_stats(struct kpop_plugin *plugin, struct kpop_stats *stats_out)
{
    struct counters *counters = &plugin->counters;
    struct kpop_stats full = { 0 };
    uint32_t size = stats_out->size < sizeof(full) ? stats_out->size
                                                   : (uint32_t)sizeof(full);

    full.size = size;
    full.sessions_open = (uint32_t)atomic_load(&counters->open);
    full.sessions = atomic_load(&counters->sessions);
    full.logins = atomic_load(&counters->logins);
    full.login_failures = atomic_load(&counters->login_failures);
    full.kpop_refusals = atomic_load(&counters->kpop_refusals);
    full.commands = atomic_load(&counters->commands);
    full.octets_in = atomic_load(&counters->octets_in);
    full.octets_out = atomic_load(&counters->octets_out);
    full.messages_retrieved = atomic_load(&counters->retrieved);
    full.messages_deleted = atomic_load(&counters->deleted);
    full.commits_failed = atomic_load(&counters->commits_failed);
    memcpy(stats_out, &full, size);
}

static const struct kpop_api api = {
    .size = sizeof(struct kpop_api),
    .version = KPOP_ABI_MINOR,
    .name = "kpop " KPOP_VERSION,
    .declare = kpop_declare,
    .set = kpop_set,
    .load = kpop_load,
    .get = kpop_get,
    .blame = kpop_blame,
    .ready = kpop_ready,
    .service = kpop_service,
    .reload = kpop_reload,
    .stats = plugin_stats,
    .free = plugin_free,
    .session_new = kpop_session_new,
    .input = kpop_input,
    .input_end = kpop_input_end,
    .output = kpop_output,
    .wrote = kpop_wrote,
    .wants = kpop_wants,
    .deadline = kpop_deadline,
    .tick = kpop_tick,
    .tls_started = kpop_tls_started,
    .remainder = kpop_remainder,
    .session_stop = kpop_session_stop,
    .session_close = kpop_session_close,
    .done = kpop_done,
    .put_user = kpop_put_user,
    .put_secret = kpop_put_secret,
    .put_mechanisms = kpop_put_mechanisms,
    .put_challenge = kpop_put_challenge,
    .put_credential = kpop_put_credential,
    .put_box = kpop_put_box,
    .put_policy = kpop_put_policy,
    .put_msg = kpop_put_msg,
    .put_envelope = kpop_put_envelope,
    .exchange_new = kpop_exchange_new,
    .exchange_step = kpop_exchange_step,
    .exchange_outcome = kpop_exchange_outcome,
    .exchange_free = kpop_exchange_free,
    .exchange_names = kpop_exchange_names,
    .wire_octets = stuff_wire_octets,
    .serve = kpop_serve,
    .setting = kpop_setting,
};

/* Different in each process and at each start; not a secret. */
static uint32_t
plugin_tag(void)
{
    struct timespec now = { 0 };
    uint64_t mix;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    mix = (uint64_t)now.tv_sec * 1000000007u + (uint64_t)now.tv_nsec;
    mix ^= (uint64_t)getpid() << 20;
    return (uint32_t)(mix ^ (mix >> 32));
}

__attribute__((visibility("default"))) int32_t
kpop_plugin_entry(uint32_t abi_major, const struct kpop_host *table,
                  void *host, struct kpop_plugin **plugin_out,
                  const struct kpop_api **api_out, char *error,
                  size_t error_size)
{
    struct kpop_plugin *plugin;
    struct kpop_host copy;

    text_say(error, error_size, "%s", "");
    if (abi_major != KPOP_ABI_MAJOR) {
        text_say(error, error_size, "the host was built for major version %u "
                 "of the kpop ABI, this module has %u; rebuild the host or "
                 "install the module it was built for",
                 (unsigned)abi_major, KPOP_ABI_MAJOR);
        return KPOP_INVALID;
    }
    if (host_copy(&copy, table, error, error_size) != KPOP_OK)
        return KPOP_INVALID;
    plugin = calloc(1, sizeof(*plugin));
    if (plugin == NULL || keyset_init(&plugin->settings) != STATUS_OK) {
        free(plugin);
        text_say(error, error_size, "out of memory");
        return KPOP_NO_MEMORY;
    }
    (void)pthread_mutex_init(&plugin->lock, NULL);
    plugin->host = copy;
    plugin->context = host;
    plugin->tag = plugin_tag();
    *plugin_out = plugin;
    *api_out = &api;
    return KPOP_OK;
}
