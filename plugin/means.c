/*
 * means.c - opens what a configuration needs to serve: the keytab with all of
 * Kerberos, the certificates with all of TLS.  What a host does in another
 * process is not touched.  Runs with the rights of the host's process.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "plugin/config.h"
#include "plugin/internal.h"
#include "plugin/log.h"
#include "plugin/text.h"
#include "plugin/tls.h"
#include "sasl/mech.h"

enum { ERROR_MAX = 1024 };

/* Which of our paths a sentence of sasl/ is about; the longest one named. */
static const char *
key_of_path(const struct config *config, const char *sentence)
{
    const struct {
        const char *name;
        const char *path;
    } paths[] = { { "keytab", config->keytab },
                  { "replay_cache", config->replay_cache },
                  { "principal_map", config->principal_map } };
    const char *name = NULL;
    size_t longest = 0;

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        size_t len = strlen(paths[i].path);

        if (len > longest && strstr(sentence, paths[i].path) != NULL) {
            longest = len;
            name = paths[i].name;
        }
    }
    return name;
}

static void
world_log(void *arg, unsigned level, const char *event, const char *text)
{
    struct log_line line;

    log_start(&line, NULL);
    log_raw(&line, text);
    log_write(arg, NULL, level, event, &line);
}

static bool
serves_pop3(const struct config *config)
{
    return config->listen_pop3[0] != '\0' || config->listen_pop3s[0] != '\0';
}

/* Who passes tickets on need not be able to read the keytab. */
static bool
needs_keytab(const struct kpop_plugin *plugin, const struct config *config)
{
    bool kpop = config->listen_kpop[0] != '\0' && !plugin_forwards(plugin);
    bool gssapi = serves_pop3(config)
                  && text_has_word(config->mechanisms, "GSSAPI")
                  && config_runs(plugin, config, "GSSAPI");

    return plugin->host.authorize != NULL && (kpop || gssapi);
}

static void
warn_no_gssapi(const struct kpop_plugin *plugin, const char *event,
               const char *why)
{
    struct log_line line;

    log_start(&line, NULL);
    log_text(&line, "problem", why);
    log_text(&line, "hint", "GSSAPI is not offered; to be rid of this line, "
             "mend it or leave GSSAPI out of mechanisms");
    log_write(plugin, NULL, KPOP_LOG_WARNING, event, &line);
}

/* Keys there are; has libsasl2 what it needs? */
static bool
gssapi_works(const struct kpop_plugin *plugin, const struct config *config)
{
    char why[ERROR_MAX] = "";

    if (!serves_pop3(config) || !text_has_word(config->mechanisms, "GSSAPI"))
        return false;
    if (sasl_gssapi_ready(config->world, why, sizeof(why)) == STATUS_OK)
        return true;
    warn_no_gssapi(plugin, "config.gssapi", why);
    return false;
}

static enum mech_name_kind
name_kind(const char *word)
{
    if (strcmp(word, "cn") == 0)
        return MECH_NAME_CN;
    return strcmp(word, "local") == 0 ? MECH_NAME_LOCAL : MECH_NAME_EMAIL;
}

/* The Kerberos side.  Without it KPOP can't be served, but POP3 can. */
static int
world_make(const struct kpop_plugin *plugin, struct config *config,
           char *error, size_t error_size)
{
    struct sasl_settings sasl = {
        .hostname = config->hostname,
        .keytab = config->keytab,
        .services = config->services,
        .replay_cache = config->replay_cache,
        .realms = config->realms,
        .principal_map = config->principal_map,
        .allow_weak_enctypes = config->weak_enctypes,
        .check_addresses = config->check_addresses,
        .client_name = name_kind(config->tls_client_name),
    };
    char why[ERROR_MAX] = "";
    const char *name;
    int status;

    status = sasl_world_new(&sasl, &config->world, why, sizeof(why));
    if (status == STATUS_OK && needs_keytab(plugin, config)) {
        status = sasl_world_ready(config->world, world_log,
                                  (void *)(uintptr_t)plugin, why,
                                  sizeof(why));
        config->has_keytab = status == STATUS_OK;
        config->has_gssapi = config->has_keytab
                             && gssapi_works(plugin, config);
    }
    if (status == STATUS_OK || status == STATUS_NO_MEMORY)
        return status;
    name = key_of_path(config, why);
    /* Any other mistake must not take single sign-on away unnoticed. */
    if (name != NULL && strcmp(name, "keytab") == 0
        && (config->listen_kpop[0] == '\0' || plugin_forwards(plugin))) {
        warn_no_gssapi(plugin, "config.keytab", why);
        return STATUS_OK;
    }
    if (name != NULL)
        return keyset_blame(&plugin->settings, name, why, error,
                              error_size);
    text_say(error, error_size, "%s", why);
    return STATUS_INVALID;
}

/* Certificates; without any there is no TLS but the host's. */
static int
tls_make(const struct kpop_plugin *plugin, struct config *config, char *error,
         size_t error_size)
{
    const struct tls_settings tls = {
        .certificates = config->tls_certificate,
        .keys = config->tls_key,
        .client_ca = config->tls_client_ca,
        .ocsp = config->tls_ocsp,
        .log = world_log,
        .log_arg = (void *)(uintptr_t)plugin,
    };
    char why[ERROR_MAX] = "";
    const char *key;
    int status;

    if (config->tls_certificate[0] == '\0') {
        if (config->tls_key[0] == '\0' && config->tls_client_ca[0] == '\0'
            && config->tls_ocsp[0] == '\0')
            return STATUS_OK;
        return keyset_blame(&plugin->settings, "tls_certificate",
                            "is needed with tls_key, tls_client_ca and "
                            "tls_ocsp", error, error_size);
    }
    status = tls_world_new(&tls, &config->tls_world, &key, why, sizeof(why));
    if (status == STATUS_INVALID)
        return keyset_blame(&plugin->settings, key, why, error, error_size);
    return status;
}

int
means_open(const struct kpop_plugin *plugin, struct config *config,
           char *error, size_t error_size)
{
    int status = world_make(plugin, config, error, error_size);

    if (status == STATUS_OK)
        status = tls_make(plugin, config, error, error_size);
    return status;
}
