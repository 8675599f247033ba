/*
 * settings.h - kpopd's own keys of the configuration and their values.
 *
 * The module reads the file; the host tells it these keys first, asks for
 * their texts and makes of them what the processes work with.  A value that
 * is wrong is answered as "FILE:LINE: key: sentence".
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_SETTINGS_H
#define KPOPD_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "plugin/host/kpopd/address.h"
#include "plugin/host/kpopd/control.h"
#include "plugin/host/kpopd/log.h"
#include "plugin/kpop_plugin.h"

extern const struct kpop_key kpopd_keys[];
extern const size_t kpopd_key_count;

/* For who has mboxes: what to do about it. */
extern const char kpopd_maildirs_only[];

/* A user to become. */
struct account {
    char *name; /* NULL: stay who we are */
    uid_t uid;
    gid_t gid;
};

/* NONE: USER/PASS and PLAIN are off. */
enum password_source {
    PASSWORDS_NONE,
    PASSWORDS_FILE,
    PASSWORDS_PAM,
    PASSWORDS_SASLAUTHD
};

/* NONE: APOP, CRAM-MD5 and SCRAM are off. */
enum secret_source { SECRETS_NONE, SECRETS_FILE, SECRETS_SASLDB };

struct settings {
    char *store;         /* template of the maildir's path; NULL = none */
    char *store_folder;  /* what stands before its first %, up to the / */
    enum password_source password_source;
    char *password_where; /* a file, a service of PAM, a socket */
    enum secret_source secret_source;
    char *secret_where;   /* a file */
    char *hostname;       /* the module's key; the realm of a sasldb */
    char *proxy_users;    /* words; who may open any maildrop */
    char *state_dir;
    char *index_dir;     /* in it: of the workers, indexes of maildirs */
    char *replay_cache;  /* the module's key; its file is made by us */
    char *worker_replay_cache; /* with layers: of workers; else NULL */
    unsigned workers;
    unsigned auth_processes; /* of each pool */
    struct account run_as;
    struct account auth_user;
    struct network *trusted;
    size_t trusted_count;
    struct network *proxies; /* none: nobody sends the PROXY protocol */
    size_t proxy_count;
    char *proxy_services;    /* by blanks; the listeners that expect it */
    uint32_t max_sessions;
    uint32_t max_sessions_per_ip;
    uint32_t max_unauthenticated;
    uint64_t failure_delay; /* milliseconds */
    uint64_t auth_timeout;  /* milliseconds */
    uint64_t worker_timeout; /* milliseconds; 0 is never */
    uint64_t login_timeout; /* milliseconds; the module's key */
    char *metrics;       /* where they are served; NULL: nowhere */
    uint32_t login_delay;   /* seconds */
    uint32_t expire;        /* days, or KPOP_EXPIRE_NEVER */
    bool retr_sets_seen;
    bool sandbox;           /* processes are confined */
    char *sandbox_paths;    /* folders, by blanks */
    bool sdps;              /* the module's key */
    char *sdps_headers;     /* names by blanks */
    enum log_target log;
    uint32_t log_level;
    bool external;       /* EXTERNAL can work */
    bool tickets_wanted; /* KPOP, or GSSAPI and there is a keytab */
    bool layers;         /* max_ssf above 0: workers run GSSAPI */
};

/* KPOP_OK, or KPOP_INVALID with a sentence. */
int32_t kpopd_settings_declare(const struct kpop_api *api,
                               struct kpop_plugin *plugin, char *error,
                               size_t error_size);
/* After ready.  On KPOP_OK the caller frees *settings_out. */
int32_t kpopd_settings_read(const struct kpop_api *api,
                            struct kpop_plugin *plugin,
                            struct settings *settings_out, char *error,
                            size_t error_size);
/* Do workers verify tickets, because max_ssf asks for layers and there can be
 * tickets?  Also before ready. */
bool kpopd_settings_want_layers(const struct kpop_api *api,
                                struct kpop_plugin *plugin);
/* Is there anything for this pool of auth processes to do? */
bool kpopd_settings_want_pool(const struct settings *settings,
                              enum auth_pool pool);
/* Does a connection to this service begin with a proxy's header? */
bool kpopd_settings_proxied(const struct settings *settings,
                            const char *service);
void kpopd_settings_free(struct settings *settings);

#endif
