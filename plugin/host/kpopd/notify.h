/*
 * notify.h - tells the service manager how we are: the datagram protocol of
 * sd_notify(3), whose manual guarantees it as stable.
 *
 * Not by libsystemd: it would bring that library and those it needs into a
 * process with root's rights, on systems without systemd, too, for one
 * sendto().
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_NOTIFY_H
#define KPOPD_NOTIFY_H

#include <stdint.h>

/* Takes NOTIFY_SOCKET and WATCHDOG_* out of the environment, so that no
 * helper of a child speaks for us.  Without them all of this does nothing. */
void notify_begin(void);
void notify_end(void);
/* "NAME=value", by line ends; cut where it is too long.  What nobody takes is
 * lost: the manager's silence must not stop us. */
void notify_tell(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
/* How often WATCHDOG=1 is due, in milliseconds; 0 is never. */
uint64_t notify_watchdog(void);

#endif
