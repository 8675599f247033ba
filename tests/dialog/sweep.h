/*
 * sweep.h - a dialogue broken off at every octet, at every question, at every
 * allocation: nothing may be left over, half an answer may never look whole,
 * nothing is deleted that was not confirmed.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_SWEEP_H
#define KPOP_TESTS_SWEEP_H

#include "tests/dialog/play.h"

/* Each gives the number of runs, or 0 with the failure in `reason`. */
unsigned sweep_octets(const struct script *script, bool exchange,
                      char *reason, size_t size);
unsigned sweep_questions(const struct script *script, bool exchange,
                         char *reason, size_t size);
unsigned sweep_allocations(const struct script *script, bool exchange,
                           char *reason, size_t size);

#endif
