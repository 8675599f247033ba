/*
 * overlay.h - the system's krb5.conf with one answer replaced.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_OVERLAY_H
#define KPOP_SASL_OVERLAY_H

#include <stdint.h>

#include "kpop/status.h"

struct _profile_t; /* profile_t of libkrb5 points to it */

/*
 * A profile that answers as krb5.conf does, except that
 * [libdefaults] default_rcache_name is replay_name ("file2:PATH"), which is
 * copied.  0, or a code of libkrb5.  For krb5_init_context_profile(), any
 * number of times; outlives all contexts made of it.
 */
struct overlay;
int32_t overlay_new(const char *replay_name, struct overlay **overlay_out)
    MUST_USE;
struct _profile_t *overlay_profile(const struct overlay *overlay);
void overlay_free(struct overlay *overlay); /* NULL is allowed */

#endif
