/*
 * throttle.h - how long who guesses passwords has to wait.
 *
 * Failures are counted for the client's address (IPv6: its /64) and for the
 * name of the user, known or not; one is forgotten each minute.  After two
 * the next login waits: 1 s from the last failure, then 2, 4 and so on.  A
 * success forgives nothing, so that one who has an account can't use it to
 * guess others; but an address from which a user has logged in becomes his
 * own: there he waits for his own failures only, whatever others do.
 *
 * The table is shared by all workers, of fixed size, and without a lock: a
 * worker may die at any moment.  What is lost in a race is one failure.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_THROTTLE_H
#define KPOPD_THROTTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/host/kpopd/address.h"
#include "plugin/host/kpopd/claim.h"

enum {
    THROTTLE_FREE = 2,            /* failures without a delay */
    THROTTLE_FIRST = 1000,        /* milliseconds, doubled each time */
    THROTTLE_FORGET = 60000,      /* milliseconds a failure counts */
    THROTTLE_TRUST = 8,           /* failures until an address is no more
                                     one's own */
    THROTTLE_KNOWN = 86400 * 1000 /* milliseconds an address is one's own */
};

struct throttle;

/* Who tries: names of the counters, which tell nothing of him. */
struct throttle_guess {
    uint64_t address;
    uint64_t user;
    uint64_t both;
    uint64_t charged; /* of these, the one that throttle_charge() counted */
};

/* In memory that children share; NULL with errno. */
struct throttle *throttle_new(void);
void throttle_free(struct throttle *throttle);

void throttle_guess(const struct throttle *throttle,
                    const struct address *peer, const struct claim *claim,
                    struct throttle_guess *guess_out);
/* Milliseconds, at most `most`. */
uint64_t throttle_wait(const struct throttle *throttle,
                       const struct throttle_guess *guess, uint64_t most,
                       uint64_t now);
/*
 * A guess is to be judged: 0, and it counts as failed for the user from now
 * on, so that others that wait at the same time don't pass with it, in this
 * process or another.  Then one of the next three, or none when it was given
 * up.  Or the milliseconds that it must wait, at most `most`.
 */
uint64_t throttle_charge(struct throttle *throttle,
                         struct throttle_guess *guess, uint64_t most,
                         uint64_t now);
/* Nobody judged it: there was trouble. */
void throttle_refund(struct throttle *throttle,
                     struct throttle_guess *guess, uint64_t now);
void throttle_failed(struct throttle *throttle,
                     struct throttle_guess *guess, uint64_t now);
void throttle_succeeded(struct throttle *throttle,
                        struct throttle_guess *guess, uint64_t now);

#endif
