/*
 * mech_world.c - the module inside the auth process.  As root it does no more
 * than load kpop.so and make the folder of the replay cache, which must
 * outlive a reboot and belong to the user of the auth process; keytab and
 * cache are opened with that user's rights.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/dovecot/compat.h"

#include <restrict-access.h>

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/host/dovecot/mech_world.h"
#include "plugin/host/dovecot/module.h"

#ifndef DOVECOT_STATEDIR
#define DOVECOT_STATEDIR "/var/lib/dovecot"
#endif

/* The module's defaults are kpopd's; these are Dovecot's. */
#define KEYTAB_OF_KPOPD "/etc/kpop/kpop.keytab"
#define CACHE_OF_KPOPD "/var/lib/kpop/replay"
#define KEYTAB "/etc/krb5.keytab"
#define CACHE_DIR DOVECOT_STATEDIR "/kpop"

static struct kpop_plugin *plugin;
static const struct kpop_api *api;

const struct kpop_api *
mech_world_api(void)
{
    return api;
}

struct kpop_plugin *
mech_world_plugin(void)
{
    return plugin;
}

/* Not our login's: of the configuration. */
static void
on_log(void *host, void *conn, uint32_t level, const char *event,
       const char *line)
{
    (void)host;
    if (conn != NULL)
        mech_log(conn, level, event, line);
    else if (level == KPOP_LOG_ERROR)
        i_error("kpop: %s %s", event, line);
    else if (level == KPOP_LOG_WARNING)
        i_warning("kpop: %s %s", event, line);
    else
        i_debug("kpop: %s %s", event, line);
}

/* The user that the auth process will be; a worker of it is root perhaps. */
static int
make_cache_dir(char *error, size_t error_size)
{
    struct restrict_access_settings set;
    struct stat st;

    restrict_access_get_env(&set);
    if (geteuid() != 0 || set.uid == (uid_t)-1)
        return 0;
    if (mkdir(CACHE_DIR, 0700) != 0 && errno != EEXIST) {
        i_snprintf(error, error_size, "can't make %s: %m", CACHE_DIR);
        return -1;
    }
    if (lstat(CACHE_DIR, &st) != 0 || !S_ISDIR(st.st_mode)) {
        i_snprintf(error, error_size, "%s is not a folder", CACHE_DIR);
        return -1;
    }
    if (st.st_uid == set.uid || st.st_uid != 0)
        return 0; /* his, or an admin's choice */
    if (lchown(CACHE_DIR, set.uid, (gid_t)-1) != 0) {
        i_snprintf(error, error_size, "can't give %s away: %m", CACHE_DIR);
        return -1;
    }
    return 0;
}

int
mech_world_init(char *error, size_t error_size)
{
    if (module_load(error, error_size) != 0)
        return -1;
    return make_cache_dir(error, error_size);
}

static int
set_if_default(const char *key, const char *default_value, const char *value,
               char *error, size_t error_size)
{
    const char *now = api->get(plugin, key);

    if (now == NULL || strcmp(now, default_value) != 0)
        return 0;
    return api->set(plugin, key, value, error, error_size) == KPOP_OK ? 0
                                                                      : -1;
}

static int
make_ready(const char *keytab, char *error, size_t error_size)
{
    if (strncmp(keytab, "FILE:", strlen("FILE:")) == 0)
        keytab += strlen("FILE:");
    if (keytab[0] != '\0'
        && api->set(plugin, "keytab", keytab, error, error_size) != KPOP_OK)
        return -1;
    if (set_if_default("keytab", KEYTAB_OF_KPOPD, KEYTAB, error, error_size)
            != 0
        || set_if_default("replay_cache", CACHE_OF_KPOPD, CACHE_DIR "/replay",
                          error, error_size)
               != 0)
        return -1;
    return api->ready(plugin, error, error_size) == KPOP_OK ? 0 : -1;
}

int
mech_world_open(const char *keytab, char *error, size_t error_size)
{
    static const struct module_setting none[] = { { NULL, NULL } };
    static const struct kpop_host host = {
        .size = sizeof(host),
        .version = KPOP_ABI_MINOR,
        .log = on_log,
        .authorize = mech_authorize,
    };

    if (plugin != NULL)
        return 0;
    if (module_plugin(&host, none, &plugin, &api, error, error_size) != 0) {
        plugin = NULL;
        return -1;
    }
    if (make_ready(keytab, error, error_size) != 0) {
        mech_world_deinit();
        return -1;
    }
    return 0;
}

void
mech_world_deinit(void)
{
    if (plugin != NULL)
        api->free(plugin);
    plugin = NULL;
}
