/*
 * world.h - the inside of struct sasl_world: what all login attempts of a
 * plugin share.  Only sasl/ sees it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_WORLD_H
#define KPOP_SASL_WORLD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "kpop/status.h"
#include "sasl/mech.h"

struct _krb5_context; /* krb5_context points to it */
struct overlay;       /* sasl/overlay.h */
struct gss; /* sasl/gss.h */
struct krb; /* sasl/krb.h */
struct map; /* sasl/map.h */

enum { REPLAY_NAME_MAX = 4128 };

struct sasl_world {
    struct sasl_settings settings; /* strings are ours */
    char wanted[300];              /* "pop/HOST", for texts */
    char replay_name[REPLAY_NAME_MAX]; /* "file2:PATH" */

    pthread_mutex_t krb_lock;
    struct krb *idle;            /* contexts nobody uses now */
    unsigned idle_count;
    struct gss *gss_idle;        /* credentials nobody uses now */
    unsigned gss_idle_count;
    struct overlay *overlay;     /* krb5.conf with our replay cache */
    struct _krb5_context *plain; /* reads no file; makes KRB_ERRORs */

    pthread_mutex_t map_lock;
    struct map *map;             /* NULL = not read yet or not readable */
};

/* word is one of the words of a list separated by blanks. */
bool world_lists(const char *list, const char *word, size_t len);

extern const struct mech mech_kpop;  /* kpop.c */
extern const struct mech mech_plain; /* plain.c */
extern const struct mech mech_external; /* external.c */
extern const struct mech mech_gssapi; /* gssapi.c */
extern const struct mech mech_cram;  /* cram.c */
extern const struct mech mech_apop;  /* apop.c */
extern const struct mech mech_scram_sha_256_plus; /* scram.c */
extern const struct mech mech_scram_sha_512;
extern const struct mech mech_scram_sha_256;
extern const struct mech mech_scram_sha_1;

#endif
