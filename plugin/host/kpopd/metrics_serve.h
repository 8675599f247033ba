/*
 * metrics_serve.h - the process that hands out the metrics.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_METRICS_SERVE_H
#define KPOPD_METRICS_SERVE_H

/* Its life, after its rights were dropped; the exit status.  The master sends
 * the listening socket, and ends it by closing its end of control_fd. */
int metrics_serve(int control_fd);

#endif
