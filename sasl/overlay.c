/*
 * overlay.c - tells libkrb5 where our replay cache is without a file of its
 * own that could vanish, without setenv() in a host's process, and without
 * touching what else krb5.conf says.  libkrb5 1.20 forgets changes made to a
 * profile when it copies one, so this is a profile of our own that passes all
 * other questions on.  It only reads.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/overlay.h"

#include <errno.h>
#include <krb5.h>
#include <profile.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct overlay {
    profile_t system;  /* krb5.conf: KRB5_CONFIG, includes, modules */
    profile_t profile; /* ours, before it */
    char *replay_name;
};

static bool
is_ours(const char *const *names)
{
    return names[0] != NULL && strcmp(names[0], "libdefaults") == 0 &&
           names[1] != NULL && strcmp(names[1], "default_rcache_name") == 0 &&
           names[2] == NULL;
}

/* Both kinds of list are freed by free_values(). */
static long
get_values(void *arg, const char *const *names, char ***values_out)
{
    struct overlay *overlay = arg;
    char **values;

    if (!is_ours(names))
        return profile_get_values(overlay->system, names, values_out);
    values = calloc(2, sizeof(*values));
    if (values != NULL)
        values[0] = strdup(overlay->replay_name);
    if (values == NULL || values[0] == NULL) {
        free(values);
        return ENOMEM;
    }
    *values_out = values;
    return 0;
}

/* As profile_free_list() does; libkrb5 allocates with malloc(). */
static void
free_values(void *arg, char **values)
{
    (void)arg;
    for (char **value = values; value != NULL && *value != NULL; value++)
        free(*value);
    free(values);
}

struct iteration {
    void *inner; /* NULL at its end */
};

static long
iterator_create(void *arg, const char *const *names, int flags,
                void **iteration_out)
{
    struct overlay *overlay = arg;
    struct iteration *iteration = calloc(1, sizeof(*iteration));
    long code;

    if (iteration == NULL)
        return ENOMEM;
    code = profile_iterator_create(overlay->system, names, flags,
                                   &iteration->inner);
    if (code != 0)
        free(iteration);
    else
        *iteration_out = iteration;
    return code;
}

static long
iterator_next(void *arg, void *handle, char **name_out, char **value_out)
{
    struct iteration *iteration = handle;

    (void)arg;
    *name_out = NULL;
    *value_out = NULL;
    if (iteration->inner == NULL)
        return 0;
    return profile_iterator(&iteration->inner, name_out, value_out);
}

static void
iterator_free(void *arg, void *handle)
{
    struct iteration *iteration = handle;

    (void)arg;
    if (iteration->inner != NULL)
        profile_iterator_free(&iteration->inner);
    free(iteration);
}

static void
free_string(void *arg, char *string)
{
    (void)arg;
    profile_release_string(string);
}

/* Neither copy nor cleanup: copies share the overlay, which outlives them. */
static struct profile_vtable answers = {
    .minor_ver = 1,
    .get_values = get_values,
    .free_values = free_values,
    .iterator_create = iterator_create,
    .iterator = iterator_next,
    .iterator_free = iterator_free,
    .free_string = free_string,
};

int32_t
overlay_new(const char *replay_name, struct overlay **overlay_out)
{
    struct overlay *overlay = calloc(1, sizeof(*overlay));
    krb5_context context = NULL;
    krb5_error_code code = 0;

    if (overlay == NULL)
        return ENOMEM;
    overlay->replay_name = strdup(replay_name);
    if (overlay->replay_name == NULL)
        code = ENOMEM;
    /* A context knows where krb5.conf is; its copy outlives it. */
    if (code == 0)
        code = krb5_init_context(&context);
    if (code == 0)
        code = krb5_get_profile(context, &overlay->system);
    if (code == 0)
        code = (krb5_error_code)profile_init_vtable(&answers, overlay,
                                                    &overlay->profile);
    krb5_free_context(context);
    if (code != 0) {
        overlay_free(overlay);
        return code;
    }
    *overlay_out = overlay;
    return 0;
}

struct _profile_t *
overlay_profile(const struct overlay *overlay)
{
    return overlay->profile;
}

void
overlay_free(struct overlay *overlay)
{
    if (overlay == NULL)
        return;
    profile_release(overlay->profile);
    profile_release(overlay->system);
    free(overlay->replay_name);
    free(overlay);
}
