/*
 * store.h - the mailbox callbacks of a worker: maildirs, on store threads
 * where the disk may make them wait.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_STORE_H
#define KPOPD_STORE_H

#include "plugin/kpop_plugin.h"

int32_t store_open(void *conn, struct kpop_op *op,
                   const struct kpop_open *what);
int32_t store_list(void *conn, struct kpop_op *op, void *box, uint32_t first,
                   uint32_t count);
int32_t store_fetch(void *conn, struct kpop_op *op, void *box, uint32_t msg,
                    uint64_t offset, void *buffer, uint32_t size,
                    uint32_t flags);
int32_t store_envelope(void *conn, struct kpop_op *op, void *box,
                       uint32_t msg);
int32_t store_commit(void *conn, struct kpop_op *op, void *box,
                     const uint8_t *marks, uint32_t count);
void store_close(void *conn, void *box);

#endif
