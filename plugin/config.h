/*
 * config.h - the configuration: texts as they were set, and the immutable
 * snapshot made of them that sessions run with.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_PLUGIN_CONFIG_H
#define KPOP_PLUGIN_CONFIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kpop/status.h"
#include "plugin/keys.h"
#include "plugin/kpop_plugin.h"

struct kpop_plugin;
struct sasl_world;
struct tls_world;

/* ---- texts ---- */

/* A key and what was said about it. */
struct setting {
    struct kpop_key key;
    bool is_declared;    /* by the host; then we own the key's texts */
    char *fixed;         /* by set(); NULL = not */
    char *filed;         /* by the file; NULL = not there */
    unsigned line;       /* in the file */
};

struct keyset {
    struct setting *items;
    size_t count;
    char *path;          /* of the loaded file; NULL = none */
};

/* What one reading of a file gave; one for each setting. */
struct filed {
    char *text;
    unsigned line;
};

enum { SETTINGS_LINE_MAX = 4096, SETTINGS_LINES_MAX = 10000 };

/* The module's keys.  STATUS_OK, STATUS_NO_MEMORY. */
int keyset_init(struct keyset *settings) MUST_USE;
void keyset_free(struct keyset *settings);
int keyset_declare(struct keyset *settings, const struct kpop_key *key)
    MUST_USE;
int keyset_set(struct keyset *settings, const char *name,
                 const char *value, char *error, size_t error_size) MUST_USE;
/* Reads a file without taking it over; *filed_out is freed by
 * keyset_drop().  Errors are "FILE:LINE: sentence". */
int keyset_read(const struct keyset *settings, const char *path,
                  struct filed **filed_out, char *error, size_t error_size)
    MUST_USE;
/* Exchanges the file's values with *filed. */
void keyset_swap(struct keyset *settings, struct filed *filed);
void keyset_drop(const struct keyset *settings, struct filed *filed);
/* NULL for an unknown name. */
struct setting *keyset_find(const struct keyset *settings,
                              const char *name);
/* The text in force. */
const char *setting_text(const struct setting *setting);
/* "FILE:LINE: key: sentence"; always STATUS_INVALID. */
int keyset_blame(const struct keyset *settings, const char *name,
                   const char *sentence, char *error, size_t error_size);

/* ---- snapshot ---- */

struct listener {
    const char *service;
    uint32_t port;
    char address[KEY_ADDRESS_MAX];
};

/* Shared by sessions on several threads: nothing in it ever changes. */
struct config {
    atomic_uint refs;
    /* Fields of the table in keys.c. */
    char *hostname;        /* never "" */
    char *listen_kpop;
    char *listen_pop3;
    char *listen_pop3s;
    char *keytab;
    char *services;
    char *replay_cache;
    char *realms;
    char *principal_map;
    char *kpop_versions;
    char *mechanisms;
    char *plaintext;
    char *tls;
    bool kpop_stls;
    char *tls_certificate;
    char *tls_key;
    char *tls_client_ca;
    char *tls_ocsp;
    char *tls_client_name;
    uint64_t max_ssf;       /* bits */
    uint64_t login_timeout; /* seconds */
    uint64_t idle_timeout;
    bool sdps;
    char *utf8;
    char *language;
    char *old_commands;
    char *client_workarounds;
    bool weak_enctypes;
    bool check_addresses;
    /* Made of them. */
    struct listener *listeners;
    size_t listener_count;
    struct sasl_world *world;
    struct tls_world *tls_world; /* NULL: no certificate is set */
    bool has_keytab;       /* tickets can be verified in this process */
    bool has_gssapi;       /* and AUTH GSSAPI can speak of them */
};

/*
 * A snapshot of the settings, checked as ready() promises; the caller holds
 * one reference.  STATUS_OK, STATUS_INVALID, STATUS_NO_MEMORY.
 */
int config_new(const struct kpop_plugin *plugin, struct config **config_out,
               char *error, size_t error_size) MUST_USE;
/* Its part in means.c: fills world and tls_world. */
int means_open(const struct kpop_plugin *plugin, struct config *config,
               char *error, size_t error_size) MUST_USE;
void config_hold(struct config *config);
void config_drop(struct config *config); /* NULL is allowed */

/*
 * "USER" and the names of AUTH mechanisms: may the configuration's mechanisms
 * and plaintext policy offer this one on a connection with these facts?
 */
bool config_allows(const struct config *config, const char *mechanism,
                   const struct kpop_facts *facts);

/*
 * The module runs this mechanism itself.  It does so for a host without
 * exchange_*; with them only GSSAPI with security layers, because the keys of
 * a layer must be where the octets are.
 */
bool config_runs(const struct kpop_plugin *plugin,
                 const struct config *config, const char *mechanism);

/* ---- the ABI's functions ---- */

int32_t kpop_declare(struct kpop_plugin *plugin, const struct kpop_key *key);
int32_t kpop_set(struct kpop_plugin *plugin, const char *key,
                 const char *value, char *error, size_t error_size);
int32_t kpop_load(struct kpop_plugin *plugin, const char *path, char *error,
                  size_t error_size);
const char *kpop_get(struct kpop_plugin *plugin, const char *key);
int32_t kpop_blame(struct kpop_plugin *plugin, const char *key,
                   const char *sentence, char *error, size_t error_size);
int32_t kpop_ready(struct kpop_plugin *plugin, char *error,
                   size_t error_size);
int32_t kpop_service(struct kpop_plugin *plugin, uint32_t i,
                     struct kpop_service *service_out);
int32_t kpop_setting(struct kpop_plugin *plugin, uint32_t i,
                     struct kpop_setting *setting_out);
int32_t kpop_reload(struct kpop_plugin *plugin, char *error,
                    size_t error_size);

#endif
