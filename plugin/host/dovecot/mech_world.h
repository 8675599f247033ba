/*
 * mech_world.h - the module inside the auth process: its keytab, its replay
 * cache, its table.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef DOVECOT_MECH_WORLD_H
#define DOVECOT_MECH_WORLD_H

#include "plugin/kpop_plugin.h"

/* Before privileges are dropped: loads the module and, as root, makes the
 * folder of the replay cache.  0, or -1 with a sentence. */
int mech_world_init(char *error, size_t error_size);

/* With the rights of the auth process, at each login: ready to verify?
 * keytab is auth_krb5_keytab, "" = Kerberos' own.  What an admin mends is
 * seen by the next login.  0, or -1 with a sentence. */
int mech_world_open(const char *keytab, char *error, size_t error_size);

void mech_world_deinit(void);

/* After mech_world_open() succeeded. */
const struct kpop_api *mech_world_api(void);
struct kpop_plugin *mech_world_plugin(void);

/* mech.c's callbacks; conn is a login. */
int32_t mech_authorize(void *conn, struct kpop_op *op,
                       const struct kpop_identity *identity);
void mech_log(void *conn, uint32_t level, const char *event,
              const char *line);

#endif
