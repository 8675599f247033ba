/*
 * metrics_listen.h - where the metrics are served: `metrics` of the
 * configuration, a path of a Unix socket or a loopback address.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_METRICS_LISTEN_H
#define KPOPD_METRICS_LISTEN_H

#include <stddef.h>

/* What is wrong with a value, or NULL. */
const char *metrics_listen_fault(const char *where);
/* A listening socket, which is logged; -1 with a sentence. */
int metrics_listen_open(const char *where, char *error, size_t error_size);
/* Takes the path of a Unix socket away. */
void metrics_listen_close(const char *where, int fd);

#endif
