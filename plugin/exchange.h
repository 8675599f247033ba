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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/kpop_plugin.h"

struct config;
struct mech;
struct mech_layer;

typedef void exchange_complete_fn(void *arg, int32_t result);

/* By the name an exchange is started with; NULL = there is none, or it may
 * not be used here. */
const struct mech *mechanism_find(const struct kpop_plugin *plugin,
                                  const struct config *config,
                                  const struct kpop_facts *facts,
                                  const char *name);

/* NAME-PLUS works here, too. */
bool mechanism_has_plus(const struct kpop_plugin *plugin,
                        const struct config *config,
                        const struct kpop_facts *facts, const char *name);

/* The mechanisms that the host's callbacks, the configuration and the facts
 * let work here, by blanks, into text. */
void exchange_names(const struct kpop_plugin *plugin,
                    const struct config *config,
                    const struct kpop_facts *facts, char *text, size_t size);
/* The same for a host with exchange_*, which gave these names. */
void mechanisms_choose(const struct kpop_plugin *plugin,
                       const struct config *config,
                       const struct kpop_facts *facts, const char *names,
                       char *text, size_t size);

/* The ABI's exchange_names. */
int32_t kpop_exchange_names(struct kpop_plugin *plugin,
                            const struct kpop_facts *facts, char *text,
                            size_t text_size);

/*
 * As the ABI's exchange_new, for a session: with its configuration and its
 * op, which outlives the exchange.  A step that is pending when the exchange
 * is freed still completes, so that the session learns that its op is free.
 */
int32_t exchange_new(struct kpop_plugin *plugin, struct config *config,
                     const struct kpop_facts *facts, struct kpop_op *op,
                     const char *mechanism,
                     struct kpop_exchange **exchange_out);

/* After KPOP_OK of an exchange with a session's op: the security layer, which
 * is the caller's then; false when there is none. */
bool exchange_take_layer(struct kpop_exchange *exchange,
                         struct mech_layer *layer_out);

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

#endif
