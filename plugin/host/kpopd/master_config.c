/*
 * master_config.c - makes a configuration the current one, at the start and
 * at each SIGHUP.  What is wrong in any way changes nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/resource.h>

#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/master_internal.h"

/* False without memory. */
static bool
configure_limits(struct master *master, const struct settings *s)
{
    struct limits_config config;

    config.max_sessions = s->max_sessions;
    config.max_sessions_per_ip = s->max_sessions_per_ip;
    config.max_unauthenticated = s->max_unauthenticated;
    config.trusted = s->trusted;
    config.trusted_count = s->trusted_count;
    if (master->limits == NULL)
        master->limits = limits_new(&config);
    else
        limits_configure(master->limits, &config);
    return master->limits != NULL;
}

/* A checked configuration becomes the current one; the former drains. */
static void
take_generation(struct master *master, struct generation *generation,
                struct listener *listeners)
{
    const struct settings *s = &generation->setup->settings;

    listen_close(master->listeners);
    master->listeners = listeners;
    master_own_listeners(master);
    generation->owner = master;
    generation->epoll = master->epoll;
    generation->throttle = master->throttle;
    generation->next = master->current;
    if (master->current != NULL)
        master->current->draining = true;
    master->current = generation;
    certwatch_begin(&master->certificates, generation->setup->tls_print);
    log_set(s->log, s->log_level);
    listen_log(listeners);
    master_open_tool(master, s->state_dir);
    master_open_metrics(master, s->metrics);
}

/* An idle session keeps its socket and its locked maildrop open. */
static void
warn_of_files(const struct settings *s)
{
    const uint64_t needed = 2 * (uint64_t)s->max_sessions / s->workers + 100;
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_max >= needed)
        return;
    log_event(KPOP_LOG_WARNING, "process.files",
              "limit=%llu needed=%llu text=\"too few for max_sessions: raise "
              "the limit of open files (LimitNOFILE, ulimit -Hn) or lower "
              "max_sessions\"",
              (unsigned long long)files.rlim_max, (unsigned long long)needed);
}

int
master_configure(struct master *master, char *error, size_t error_size)
{
    struct setup *setup =
        setup_load(master->entry, master->path, master->overrides, error,
                   error_size);
    struct listener *listeners = NULL;
    struct generation *generation;

    if (setup == NULL)
        return -1;
    if (setup_check(setup, error, error_size) != 0) {
        setup_free(setup);
        return -1;
    }
    generation = generation_new(setup);
    if (generation == NULL || !configure_limits(master, &setup->settings)) {
        snprintf(error, error_size, "out of memory");
        if (generation != NULL)
            generation_free(generation);
        else
            setup_free(setup);
        return -1;
    }
    /* epoll must forget the listeners while their sockets change hands; the
     * next turn of the loop watches what there is then. */
    master_stop_accepting(master);
    if (listen_open(setup, &master->listeners, &listeners, error, error_size)
        != 0) {
        if (master->current != NULL)
            (void)configure_limits(master,
                                   &master->current->setup->settings);
        generation_free(generation);
        return -1;
    }
    take_generation(master, generation, listeners);
    warn_of_files(&setup->settings);
    return 0;
}

void
master_reload(struct master *master)
{
    char error[SETUP_ERROR_MAX];
    char quoted[SETUP_ERROR_MAX + 64];

    if (master->stopping)
        return;
    manager_reloading();
    if (master_configure(master, error, sizeof(error)) == 0) {
        metrics_add(COUNT_RELOADS, 1);
        log_event(KPOP_LOG_INFO, "config.reloaded", "text=\"new sessions "
                  "follow the new configuration\"");
        return;
    }
    log_event(KPOP_LOG_ERROR, "config.refused",
              "error=%s text=\"the old configuration stays\"",
              log_quote(error, quoted, sizeof(quoted)));
    manager_refused(master, error);
}

void
master_watch_certificates(struct master *master, uint64_t now)
{
    const struct setup *setup = master->current->setup;

    if (master->stopping || !certwatch_is_due(&master->certificates, now)
        || !certwatch_look(&master->certificates,
                           certwatch_print(setup->tls_files), now))
        return;
    log_event(KPOP_LOG_INFO, "config.certificates",
              "text=\"files of TLS have changed, the configuration is read "
              "again\"");
    master_reload(master);
}
