/*
 * refuse.h - turns a connection away that has no session yet.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_REFUSE_H
#define KPOPD_REFUSE_H

#include "plugin/host/kpopd/address.h"

/* A limit is reached: logs, tells the client where it can be read, and ends
 * the writing side.  via is the proxy it came by, or NULL.  The descriptor
 * stays the caller's to close. */
void refuse_busy(int fd, const char *service, const struct address *peer,
                 const struct address *via);

#endif
