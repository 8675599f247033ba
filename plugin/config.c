/*
 * config.c - makes the immutable snapshot that sessions run with, and offers
 * the configuration part of the ABI.  A snapshot that is wrong in any way is
 * never put in force; running sessions keep the one they began with.  Runs
 * with the rights of the host's process; the keytab and the replay cache are
 * only touched by a host that authenticates itself.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/config.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugin/facts.h"
#include "plugin/internal.h"
#include "plugin/log.h"
#include "plugin/text.h"
#include "plugin/tls.h"
#include "sasl/mech.h"

enum { ERROR_MAX = 1024, HOSTNAME_MAX = 255 };

/* ---- snapshot ---- */

void
config_hold(struct config *config)
{
    (void)atomic_fetch_add(&config->refs, 1);
}

static void
fields_free(struct config *config)
{
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        char **field = (char **)(void *)((char *)config + key->field);

        switch (key->key.kind) {
        case KPOP_KEY_NUMBER:
        case KPOP_KEY_SECONDS:
        case KPOP_KEY_YES_NO:
            break;
        default:
            free(*field);
            break;
        }
    }
}

void
config_drop(struct config *config)
{
    if (config == NULL || atomic_fetch_sub(&config->refs, 1) != 1)
        return;
    sasl_world_free(config->world);
    tls_world_free(config->tls_world);
    free(config->listeners);
    fields_free(config);
    free(config);
}

/* One checked text into its field. */
static int
field_fill(struct config *config, const struct config_key *key,
           const char *text)
{
    char *field = (char *)config + key->field;
    char *copy;

    switch (key->key.kind) {
    case KPOP_KEY_NUMBER:
    case KPOP_KEY_SECONDS:
        return key_number(text, strlen(text), key->key.max,
                          (uint64_t *)(void *)field)
                   ? STATUS_OK
                   : STATUS_INVALID;
    case KPOP_KEY_YES_NO:
        *(bool *)(void *)field = strcmp(text, "yes") == 0;
        return STATUS_OK;
    default:
        copy = text_copy(text);
        *(char **)(void *)field = copy;
        return copy != NULL ? STATUS_OK : STATUS_NO_MEMORY;
    }
}

static int
fields_fill(struct config *config, const struct keyset *settings)
{
    for (size_t i = 0; i < config_key_count; i++) {
        int status = field_fill(config, &config_keys[i],
                                setting_text(&settings->items[i]));

        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* The full name of this machine, by the resolver, or what it calls itself. */
static char *
hostname_find(void)
{
    struct addrinfo hints = { .ai_flags = AI_CANONNAME,
                              .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;
    char name[HOSTNAME_MAX + 1] = "";
    char *copy;

    if (gethostname(name, sizeof(name)) != 0 || name[0] == '\0')
        return text_copy("localhost");
    name[sizeof(name) - 1] = '\0';
    if (getaddrinfo(name, NULL, &hints, &list) == 0 && list != NULL
        && list->ai_canonname != NULL
        && strchr(list->ai_canonname, '.') != NULL)
        copy = text_copy(list->ai_canonname);
    else
        copy = text_copy(name);
    if (list != NULL)
        freeaddrinfo(list);
    return copy;
}

static int
hostname_check(const struct keyset *settings, struct config *config,
               char *error, size_t error_size)
{
    const char *p;

    if (config->hostname[0] == '\0') {
        free(config->hostname);
        config->hostname = hostname_find();
        if (config->hostname == NULL)
            return STATUS_NO_MEMORY;
    }
    p = config->hostname + strspn(config->hostname,
                                  "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789.-_:");
    if (*p == '\0' && strlen(config->hostname) <= HOSTNAME_MAX)
        return STATUS_OK;
    return keyset_blame(settings, "hostname",
                          "a host name is needed, of letters, digits, dots "
                          "and hyphens", error, error_size);
}

/* The words of one listen_ key, behind those that are there. */
static int
listeners_add(struct config *config, const char *service, const char *words)
{
    size_t len;

    while ((words = text_word(words, &len)) != NULL) {
        size_t n = config->listener_count;
        struct listener *list = realloc(config->listeners,
                                        (n + 1) * sizeof(*list));

        if (list == NULL)
            return STATUS_NO_MEMORY;
        config->listeners = list;
        list[n].service = service;
        if (!key_listen(words, len, list[n].address, &list[n].port))
            return STATUS_INVALID;
        config->listener_count = n + 1;
        words += len;
    }
    return STATUS_OK;
}

/* Port 0 is another one each time. */
static int
listeners_check(const struct keyset *settings, const struct config *config,
                char *error, size_t error_size)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct listener *one = &config->listeners[i];
        char key[sizeof("listen_pop3s")];
        char sentence[ERROR_MAX];

        for (size_t j = 0; j < i; j++) {
            const struct listener *other = &config->listeners[j];

            if (one->port == 0 || one->port != other->port
                || strcmp(one->address, other->address) != 0)
                continue;
            text_say(key, sizeof(key), "listen_%s", one->service);
            text_say(sentence, sizeof(sentence),
                     "port %u of %s is already one of listen_%s",
                     (unsigned)one->port, one->address, other->service);
            return keyset_blame(settings, key, sentence, error, error_size);
        }
    }
    return STATUS_OK;
}

bool
config_runs(const struct kpop_plugin *plugin, const struct config *config,
            const char *mechanism)
{
    return !plugin_forwards(plugin)
           || (config->max_ssf > 0 && plugin->host.authorize != NULL
               && strcmp(mechanism, "GSSAPI") == 0);
}

/* Also when the host has taken it away from us, because another one of its
 * processes does TLS. */
static bool
has_certificate(const struct kpop_plugin *plugin)
{
    const struct setting *setting =
        keyset_find(&plugin->settings, "tls_certificate");

    return setting_text(setting)[0] != '\0'
           || (setting->filed != NULL && setting->filed[0] != '\0');
}

/* Things that work but surprise. */
static void
config_warn(const struct kpop_plugin *plugin, const struct config *config)
{
    struct log_line line;
    char text[ERROR_MAX];

    if (config->idle_timeout < 600) {
        (void)keyset_blame(&plugin->settings, "idle_timeout",
                             "RFC 1939 demands 600 seconds or more; clients "
                             "may lose deletions", text, sizeof(text));
        log_start(&line, NULL);
        log_text(&line, "problem", text);
        log_write(plugin, NULL, KPOP_LOG_WARNING, "config.idle_timeout",
                  &line);
    }
    if (config->listen_pop3[0] != '\0' && !has_certificate(plugin)
        && strcmp(config->plaintext, "always") != 0
        && (text_has_word(config->mechanisms, "USER")
            || text_has_word(config->mechanisms, "PLAIN"))) {
        (void)keyset_blame(&plugin->settings, "listen_pop3",
                             "nobody can log in by password there unless "
                             "tls_certificate is set or the host does TLS "
                             "itself, because plaintext is not `always'",
                             text, sizeof(text));
        log_start(&line, NULL);
        log_text(&line, "problem", text);
        log_write(plugin, NULL, KPOP_LOG_WARNING, "config.plaintext", &line);
    }
}

int
config_new(const struct kpop_plugin *plugin, struct config **config_out,
           char *error, size_t error_size)
{
    struct config *config = calloc(1, sizeof(*config));
    int status;

    text_say(error, error_size, "out of memory");
    if (config == NULL)
        return STATUS_NO_MEMORY;
    atomic_init(&config->refs, 1);
    status = fields_fill(config, &plugin->settings);
    if (status == STATUS_OK)
        status = hostname_check(&plugin->settings, config, error,
                                error_size);
    if (status == STATUS_OK)
        status = listeners_add(config, "kpop", config->listen_kpop);
    if (status == STATUS_OK)
        status = listeners_add(config, "pop3", config->listen_pop3);
    if (status == STATUS_OK)
        status = listeners_add(config, "pop3s", config->listen_pop3s);
    if (status == STATUS_OK)
        status = listeners_check(&plugin->settings, config, error,
                                 error_size);
    if (status == STATUS_OK)
        status = means_open(plugin, config, error, error_size);
    if (status != STATUS_OK) {
        config_drop(config);
        return status;
    }
    config_warn(plugin, config);
    text_say(error, error_size, "%s", "");
    *config_out = config;
    return STATUS_OK;
}

/* What only TLS can give: a name of the channel, or of the client. */
static bool
channel_has(const struct kpop_facts *facts, const char *mechanism)
{
    size_t len = strlen(mechanism);

    if (strcmp(mechanism, "EXTERNAL") == 0)
        return facts->client_certificate_size > 0;
    if (len > 5 && strcmp(mechanism + len - 5, "-PLUS") == 0)
        return facts->binding_size > 0 || facts->end_point_size > 0;
    return true;
}

bool
config_allows(const struct config *config, const char *mechanism,
              const struct kpop_facts *facts)
{
    /* USER travels as PLAIN; both show the password to the network. */
    bool clear = strcmp(mechanism, "USER") == 0
                 || strcmp(mechanism, "PLAIN") == 0;

    if (!text_has_word(config->mechanisms, mechanism)
        || !channel_has(facts, mechanism))
        return false;
    if (!clear || strcmp(config->plaintext, "always") == 0)
        return true;
    return strcmp(config->plaintext, "tls") == 0 && facts_are_secret(facts);
}

/* ---- the ABI's functions ---- */

int32_t
kpop_declare(struct kpop_plugin *plugin, const struct kpop_key *key)
{
    return keyset_declare(&plugin->settings, key);
}

int32_t
kpop_set(struct kpop_plugin *plugin, const char *key, const char *value,
         char *error, size_t error_size)
{
    return keyset_set(&plugin->settings, key, value, error, error_size);
}

int32_t
kpop_load(struct kpop_plugin *plugin, const char *path, char *error,
          size_t error_size)
{
    struct filed *filed = NULL;
    char *copy;
    int status;

    status = keyset_read(&plugin->settings, path, &filed, error,
                           error_size);
    if (status != STATUS_OK)
        return status;
    copy = text_copy(path);
    if (copy == NULL) {
        text_say(error, error_size, "out of memory");
        status = STATUS_NO_MEMORY;
    } else {
        keyset_swap(&plugin->settings, filed);
        free(plugin->settings.path);
        plugin->settings.path = copy;
    }
    keyset_drop(&plugin->settings, filed);
    return status;
}

const char *
kpop_get(struct kpop_plugin *plugin, const char *key)
{
    const struct setting *setting = keyset_find(&plugin->settings, key);

    return setting != NULL ? setting_text(setting) : NULL;
}

int32_t
kpop_blame(struct kpop_plugin *plugin, const char *key, const char *sentence,
           char *error, size_t error_size)
{
    return keyset_blame(&plugin->settings, key, sentence, error,
                          error_size);
}

struct config *
plugin_config(struct kpop_plugin *plugin)
{
    struct config *config;

    (void)pthread_mutex_lock(&plugin->lock);
    config = plugin->config;
    if (config != NULL)
        config_hold(config);
    (void)pthread_mutex_unlock(&plugin->lock);
    return config;
}

int32_t
kpop_ready(struct kpop_plugin *plugin, char *error, size_t error_size)
{
    struct config *config = NULL;
    struct config *old;
    int status = config_new(plugin, &config, error, error_size);

    if (status != STATUS_OK)
        return status;
    (void)pthread_mutex_lock(&plugin->lock);
    old = plugin->config;
    plugin->config = config;
    (void)pthread_mutex_unlock(&plugin->lock);
    config_drop(old);
    return KPOP_OK;
}

int32_t
kpop_service(struct kpop_plugin *plugin, uint32_t i,
             struct kpop_service *service_out)
{
    struct kpop_service full = { 0 };
    uint32_t size;

    if (plugin->config == NULL || i >= plugin->config->listener_count)
        return 0;
    size = service_out->size < sizeof(full) ? service_out->size
                                            : (uint32_t)sizeof(full);
    full.size = size;
    full.port = plugin->config->listeners[i].port;
    full.name = plugin->config->listeners[i].service;
    full.address = plugin->config->listeners[i].address;
    full.implicit_tls = strcmp(full.name, "pop3s") == 0;
    memcpy(service_out, &full, size);
    return 1;
}

int32_t
kpop_setting(struct kpop_plugin *plugin, uint32_t i,
             struct kpop_setting *setting_out)
{
    struct kpop_setting full = { 0 };
    const struct setting *item;
    uint32_t size;

    if (i >= plugin->settings.count)
        return 0;
    item = &plugin->settings.items[i];
    size = setting_out->size < sizeof(full) ? setting_out->size
                                            : (uint32_t)sizeof(full);
    full.size = size;
    full.key = &item->key;
    full.value = setting_text(item);
    full.line = item->filed != NULL ? item->line : 0;
    full.origin = item->fixed != NULL   ? KPOP_FROM_HOST
                  : item->filed != NULL ? KPOP_FROM_FILE
                                        : KPOP_FROM_DEFAULT;
    memcpy(setting_out, &full, size);
    return 1;
}

int32_t
kpop_reload(struct kpop_plugin *plugin, char *error, size_t error_size)
{
    struct filed *filed = NULL;
    int32_t status;

    if (plugin->settings.path == NULL)
        return kpop_ready(plugin, error, error_size);
    status = keyset_read(&plugin->settings, plugin->settings.path, &filed,
                           error, error_size);
    if (status != STATUS_OK)
        return status;
    keyset_swap(&plugin->settings, filed);
    status = kpop_ready(plugin, error, error_size);
    if (status != KPOP_OK)
        keyset_swap(&plugin->settings, filed); /* as it was */
    keyset_drop(&plugin->settings, filed);
    return status;
}
