/*
 * exchange.h - one run of one mechanism, with the host's answers.
 *
 * The ABI's exchange_new, _step, _outcome, _free; a session whose host has no
 * exchange_* of its own uses the same functions.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_PLUGIN_EXCHANGE_H
#define KPOP_PLUGIN_EXCHANGE_H

#include <stddef.h>
#include <stdint.h>

#include "plugin/kpop_plugin.h"

struct config;

typedef void exchange_complete_fn(void *arg, int32_t result);

/* The mechanisms that the host's callbacks, the configuration and the facts
 * let work here, by blanks, into text. */
void exchange_names(const struct kpop_plugin *plugin,
                    const struct config *config,
                    const struct kpop_facts *facts, char *text, size_t size);

/* As the ABI's exchange_new, with a given configuration. */
int32_t exchange_new(struct kpop_plugin *plugin, struct config *config,
                     const struct kpop_facts *facts, void *conn,
                     const char *mechanism,
                     struct kpop_exchange **exchange_out);

int32_t kpop_exchange_new(struct kpop_plugin *plugin,
                          const struct kpop_facts *facts, void *conn,
                          const char *mechanism,
                          struct kpop_exchange **exchange_out);
int32_t kpop_exchange_step(struct kpop_exchange *exchange, const void *data,
                           size_t size, exchange_complete_fn *complete,
                           void *arg);
void kpop_exchange_outcome(struct kpop_exchange *exchange,
                           struct kpop_outcome *outcome_out);
void kpop_exchange_free(struct kpop_exchange *exchange);
/* The client has gone while a question is open: the hint to the host. */
void exchange_cancel(struct kpop_exchange *exchange);

#endif
