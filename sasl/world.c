/*
 * world.c - makes, checks and frees what all login attempts share.  Making it
 * opens nothing: a process that only passes exchanges on has no keytab.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/world.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sasl/gss.h"
#include "sasl/krb.h"
#include "sasl/map.h"
#include "sasl/replay.h"

bool
world_lists(const char *list, const char *word, size_t len)
{
    while (*list != '\0') {
        size_t size = strcspn(list, " \t,");

        if (size == len && memcmp(list, word, len) == 0)
            return true;
        list += size;
        list += strspn(list, " \t,");
    }
    return false;
}

static int
copy(const char *text, const char **copy_out)
{
    *copy_out = strdup(text != NULL ? text : "");
    return *copy_out == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

static int
copy_settings(const struct sasl_settings *from, struct sasl_settings *to)
{
    const struct {
        const char *from;
        const char **to;
    } texts[] = {
        { from->hostname, &to->hostname },
        { from->keytab, &to->keytab },
        { from->services, &to->services },
        { from->replay_cache, &to->replay_cache },
        { from->realms, &to->realms },
        { from->principal_map, &to->principal_map },
    };
    int status = STATUS_OK;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (status == STATUS_OK)
            status = copy(texts[i].from, texts[i].to);
    }
    to->allow_weak_enctypes = from->allow_weak_enctypes;
    to->check_addresses = from->check_addresses;
    to->client_name = from->client_name;
    return status;
}

static int
check_settings(const struct sasl_settings *settings, char *error,
               size_t error_size)
{
    const char *why = NULL;

    if (settings->services[strspn(settings->services, " \t,")] == '\0')
        why = "services: at least one, such as pop";
    else if (settings->replay_cache[0] != '/' ||
             strlen(settings->replay_cache) >= PATH_MAX)
        why = "replay_cache: must be an absolute path";
    /* libkrb5 would put something else there. */
    else if (strstr(settings->replay_cache, "%{") != NULL)
        why = "replay_cache: may not contain %{";
    else if (settings->keytab[0] != '/')
        why = "keytab: must be an absolute path";
    if (why == NULL)
        return STATUS_OK;
    if (error_size > 0)
        (void)snprintf(error, error_size, "%s", why);
    return STATUS_INVALID;
}

/* pop/HOST: the service a client should ask for. */
static void
name_wanted(struct sasl_world *world)
{
    const char *services = world->settings.services;
    const char *first = services + strspn(services, " \t,");

    (void)snprintf(world->wanted, sizeof(world->wanted), "%.*s/%.200s",
                   (int)strcspn(first, " \t,"), first,
                   world->settings.hostname);
}

int
sasl_world_new(const struct sasl_settings *settings,
               struct sasl_world **world_out, char *error, size_t error_size)
{
    struct sasl_world *world = calloc(1, sizeof(*world));
    int status;

    if (world == NULL)
        return STATUS_NO_MEMORY;
    /* Plain locks need nothing that could be missing. */
    (void)pthread_mutex_init(&world->krb_lock, NULL);
    (void)pthread_mutex_init(&world->map_lock, NULL);
    status = copy_settings(settings, &world->settings);
    if (status == STATUS_OK)
        status = check_settings(&world->settings, error, error_size);
    if (status != STATUS_OK) {
        if (status == STATUS_NO_MEMORY && error_size > 0)
            (void)snprintf(error, error_size, "out of memory");
        sasl_world_free(world);
        return status;
    }
    name_wanted(world);
    (void)snprintf(world->replay_name, sizeof(world->replay_name), "file2:%s",
                   world->settings.replay_cache);
    *world_out = world;
    return STATUS_OK;
}

int
sasl_world_ready(struct sasl_world *world, mech_log_fn *log, void *log_arg,
                 char *error, size_t error_size)
{
    const char *path = world->settings.principal_map;
    struct map *map = NULL;
    int status;

    status = krb_ready(world, log, log_arg, error, error_size);
    if (status != STATUS_OK)
        return status;
    if (replay_inspect(world->settings.replay_cache, error, error_size) !=
        STATUS_OK)
        return STATUS_INVALID;
    if (*path == '\0')
        return STATUS_OK;
    status = map_load(path, &map, error, error_size);
    map_free(map);
    return status;
}

static void
free_text(const char *text)
{
    /* The settings' type is for readers; these are our strdup()s. */
    union {
        const char *shared;
        char *ours;
    } u = { text };

    free(u.ours);
}

void
sasl_world_free(struct sasl_world *world)
{
    if (world == NULL)
        return;
    gss_world_free(world);
    krb_world_free(world);
    map_free(world->map);
    (void)pthread_mutex_destroy(&world->krb_lock);
    (void)pthread_mutex_destroy(&world->map_lock);
    free_text(world->settings.hostname);
    free_text(world->settings.keytab);
    free_text(world->settings.services);
    free_text(world->settings.replay_cache);
    free_text(world->settings.realms);
    free_text(world->settings.principal_map);
    free(world);
}
