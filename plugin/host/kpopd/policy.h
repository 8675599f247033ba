/*
 * policy.h - what a site promises about logins and retrieved mail (RFC 2449
 * sections 6.5 and 6.7), and keeps: login_delay and expire.
 *
 * Both remember in state_dir, one file a user, in folders of run_as's own:
 * logins/USER, whose time of change is that of the last login, and
 * expire/USER, lines of a time and a unique-id.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_POLICY_H
#define KPOPD_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "plugin/host/kpopd/maildir.h"
#include "plugin/host/kpopd/settings.h"
#include "plugin/kpop_plugin.h"

/* The callback: the same for everybody. */
int32_t policy_tell(void *conn, struct kpop_op *op,
                    const struct kpop_facts *facts);

/* Makes the folders that the settings need, for run_as.  0 or -1, errno. */
int policy_prepare(const struct settings *settings);

/*
 * These wait for the disk; the maildrop is locked by the caller, so that
 * there is one of them a user at a time.
 *
 * A login now: KPOP_OK, and remembered; KPOP_DELAY; or KPOP_TEMP, logged: a
 * delay that can't be remembered is none, so nobody gets in by a full disk.
 */
int32_t policy_login(const struct settings *settings, const char *user,
                     const struct timespec *now);
/* expire is a number of days above 0. */
bool policy_expires(const struct settings *settings);
/* Removes what was retrieved so long ago; true when there was any: list again.
 * What can't be removed is logged, and stays. */
bool policy_expire(const struct settings *settings, const char *user,
                   struct maildir *maildir, const struct timespec *now);
/* Remembers what was retrieved.  What can't be remembered is logged and stays
 * in the maildrop the longer. */
void policy_note(const struct settings *settings, const char *user,
                 const struct maildir *maildir, const uint8_t *marks,
                 const struct timespec *now);

#endif
