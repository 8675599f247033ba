/*
 * master_metrics.c - the socket of the metrics: made by the master, which may,
 * and served by a process that may nothing else.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/master_internal.h"
#include "plugin/host/kpopd/metrics_listen.h"

void
master_open_metrics(struct master *master, const char *where)
{
    char error[SETUP_ERROR_MAX];
    char quoted[SETUP_ERROR_MAX + 64];
    char place[SETUP_ERROR_MAX + 64];

    if (where != NULL && master->metrics_at != NULL
        && strcmp(where, master->metrics_at) == 0)
        return; /* a reload */
    master_close_metrics(master);
    if (where == NULL)
        return;
    master->metrics_fd = metrics_listen_open(where, error, sizeof(error));
    if (master->metrics_fd >= 0)
        master->metrics_at = strdup(where);
    else
        log_event(KPOP_LOG_WARNING, "control.metrics",
                  "metrics=%s error=%s text=\"the metrics can't be read\"",
                  log_quote(where, place, sizeof(place)),
                  log_quote(error, quoted, sizeof(quoted)));
}

void
master_pass_metrics(const struct master *master, const struct child *child)
{
    struct control control;

    memset(&control, 0, sizeof(control));
    control.type = CONTROL_LISTENER;
    if (control_send(child->control, &control, master->metrics_fd) != 0)
        log_event(KPOP_LOG_WARNING, "control.metrics",
                  "error=\"%s\" text=\"the metrics can't be read\"",
                  strerror(errno));
}

void
master_close_metrics(struct master *master)
{
    if (master->metrics_at != NULL)
        metrics_listen_close(master->metrics_at, master->metrics_fd);
    free(master->metrics_at);
    master->metrics_at = NULL;
    master->metrics_fd = -1;
}
