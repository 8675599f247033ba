/*
 * auth_host.h - what the auth process's callbacks work with; the `conn` of
 * its exchanges.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_AUTH_HOST_H
#define KPOPD_AUTH_HOST_H

#include "plugin/host/kpopd/passdb.h"
#include "plugin/kpop_plugin.h"

struct auth_host_context {
    const struct kpop_api *api;
    struct passdb *passdb;   /* NULL in the pool for tickets */
    const char *secret_file; /* the same */
};

#endif
