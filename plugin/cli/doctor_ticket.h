/*
 * doctor_ticket.h - tickets for the doctor's questions to a KDC, in a
 * credential cache in memory.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPCTL_DOCTOR_TICKET_H
#define KPOPCTL_DOCTOR_TICKET_H

#include <krb5.h>
#include <stdbool.h>
#include <time.h>

#include "plugin/cli/doctor.h"

struct asking {
    struct doctor *doctor;
    krb5_context context;
    krb5_keytab keytab;
    krb5_ccache cache;     /* in memory; a TGT in it */
    krb5_principal client; /* of the TGT */
    krb5_timestamp stamp;  /* of a KRB_ERROR of the KDC's; 0 = none */
    time_t heard;          /* our clock then */
    const char *unknown;   /* told already that the KDC doesn't know it */
};

/* A TGT into the cache: the caller's, else one by a key of the keytab. */
bool ticket_find(struct asking *asking);
/* The same by the key of this principal. */
krb5_error_code ticket_of_key(struct asking *asking, const char *principal);
/* A ticket for a service, new from the KDC; krb5_free_ticket(). */
krb5_error_code ticket_get(struct asking *asking, const char *principal,
                           krb5_ticket **ticket_out);

#endif
