/*
 * gss.c - makes credentials that name keytab and replay cache themselves, so
 * that neither the environment nor krb5.conf can put others in their place,
 * and lends each to one exchange at a time, because GSSAPI locks a credential
 * while it accepts.  Runs where keytab and replay cache are readable.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/gss.h"

#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "sasl/world.h"

enum { IDLE_MAX = 8 }; /* kept; a host uses one a thread */

static void
gss_free(struct gss *gss)
{
    gss_cred_id_t credential;
    OM_uint32 minor;

    if (gss == NULL)
        return;
    credential = gss->credential;
    (void)gss_release_cred(&minor, &credential);
    free(gss);
}

/* What krb5 says of minor, which tells more than the major status. */
static void
say(OM_uint32 minor, char *error, size_t error_size)
{
    gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
    OM_uint32 ignored;
    OM_uint32 more = 0;

    if (error_size == 0)
        return;
    (void)gss_display_status(&ignored, minor, GSS_C_MECH_CODE, gss_mech_krb5,
                             &more, &text);
    (void)snprintf(error, error_size, "%.*s", (int)text.length,
                   text.value == NULL ? "" : (const char *)text.value);
    (void)gss_release_buffer(&ignored, &text);
}

static int
gss_new(struct sasl_world *world, struct gss **gss_out, char *error,
        size_t error_size)
{
    char keytab[PATH_MAX + 8];
    gss_key_value_element_desc elements[] = {
        { "keytab", keytab },
        { "rcache", world->replay_name },
    };
    gss_key_value_set_desc store = { 2, elements };
    /* GSSAPI's types want to be able to write. */
    gss_OID_set_desc only_krb5 = { 1, gss_mech_krb5 };
    gss_cred_id_t credential = GSS_C_NO_CREDENTIAL;
    struct gss *gss = calloc(1, sizeof(*gss));
    OM_uint32 minor = 0;
    OM_uint32 major;

    if (gss == NULL)
        return STATUS_NO_MEMORY;
    (void)snprintf(keytab, sizeof(keytab), "FILE:%s", world->settings.keytab);
    major = gss_acquire_cred_from(&minor, GSS_C_NO_NAME, GSS_C_INDEFINITE,
                                  &only_krb5, GSS_C_ACCEPT, &store,
                                  &credential, NULL, NULL);
    if (GSS_ERROR(major)) {
        say(minor, error, error_size);
        free(gss);
        return STATUS_TEMP;
    }
    gss->credential = credential;
    *gss_out = gss;
    return STATUS_OK;
}

int
gss_take(struct sasl_world *world, struct gss **gss_out, char *error,
         size_t error_size)
{
    struct gss *gss;

    (void)pthread_mutex_lock(&world->krb_lock);
    gss = world->gss_idle;
    if (gss != NULL) {
        world->gss_idle = gss->next;
        world->gss_idle_count--;
    }
    (void)pthread_mutex_unlock(&world->krb_lock);
    if (gss == NULL)
        return gss_new(world, gss_out, error, error_size);
    *gss_out = gss;
    return STATUS_OK;
}

void
gss_give(struct sasl_world *world, struct gss *gss)
{
    if (gss == NULL)
        return;
    (void)pthread_mutex_lock(&world->krb_lock);
    if (world->gss_idle_count < IDLE_MAX) {
        gss->next = world->gss_idle;
        world->gss_idle = gss;
        world->gss_idle_count++;
        gss = NULL;
    }
    (void)pthread_mutex_unlock(&world->krb_lock);
    gss_free(gss);
}

void
gss_world_free(struct sasl_world *world)
{
    while (world->gss_idle != NULL) {
        struct gss *gss = world->gss_idle;

        world->gss_idle = gss->next;
        gss_free(gss);
    }
}
