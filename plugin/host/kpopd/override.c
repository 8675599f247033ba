/*
 * override.c - puts values over those that were read.  Runs in the master.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/override.h"

int32_t
override_apply(const struct setup *setup, const struct override *override,
               char *error, size_t error_size)
{
    int32_t rc = KPOP_OK;

    for (; override != NULL && override->key[0] != '\0' && rc == KPOP_OK;
         override++) {
        rc = setup->api->set(setup->sessions, override->key, override->value,
                             error, error_size);
        if (rc == KPOP_OK)
            rc = setup->api->set(setup->logins, override->key,
                                 override->value, error, error_size);
    }
    return rc;
}
