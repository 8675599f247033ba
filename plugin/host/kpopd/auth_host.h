/*
 * auth_host.h - what the auth process's callbacks work with; the `conn` of
 * its exchanges.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_AUTH_HOST_H
#define KPOPD_AUTH_HOST_H

#include "plugin/host/kpopd/setup.h"
#include "plugin/host/kpopd/sources.h"
#include "plugin/kpop_plugin.h"

/* Whose step is running. */
struct auth_host_peer {
    char address[ADDRESS_TEXT_MAX];
    char session[64];
};

struct auth_host_context {
    const struct kpop_api *api;
    struct sources sources;
    const struct auth_host_peer *peer;
};

/* May this identity read this mailbox?  KPOP_OK with *mailbox_out, which is a
 * name of the identity's; or an error. */
int32_t auth_host_decide(struct auth_host_context *context,
                         const struct kpop_identity *identity,
                         const char **mailbox_out);
/* Brings the module, libsasl2 and the sources up for a pool's first request;
 * 0, or -1, logged.  sources_close() in either case. */
int auth_host_ready(struct auth_host_context *context,
                    const struct setup *setup, enum auth_pool pool);

#endif
