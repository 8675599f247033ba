/*
 * inherit.h - listening sockets that the service manager has opened for us:
 * LISTEN_FDS of sd_listen_fds(3), without its library for the reason that
 * notify.h gives.
 *
 * A socket's name (FileDescriptorName=) says what it is: kpop, pop3 or pop3s.
 * A service that gets sockets listens on those and on no others, whatever the
 * configuration says of it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_INHERIT_H
#define KPOPD_INHERIT_H

#include <stddef.h>

#include "plugin/host/kpopd/listen.h"
#include "plugin/host/kpopd/override.h"

/*
 * Takes what LISTEN_FDS lists, and it out of the environment.  The caller
 * closes the list.  0, or -1 with a sentence.
 */
int inherit_listeners(struct listener **listeners_out, char *error,
                      size_t error_size);
/*
 * The values of listen_kpop, listen_pop3 and listen_pop3s that stand for the
 * list, an empty key behind them.  NULL without memory; the caller frees.
 */
struct override *inherit_overrides(const struct listener *listeners);

#endif
