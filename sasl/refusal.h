/*
 * refusal.h - what a refused AP-REQ means to the user: code of the KRB_ERROR,
 * text, and how loud the log is.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_SASL_REFUSAL_H
#define KPOP_SASL_REFUSAL_H

#include <stdbool.h>
#include <stddef.h>

#include "sasl/peek.h"

/* Codes of RFC 4120 section 7.5.9 that the mechanism chooses by itself. */
enum {
    REFUSE_ETYPE = 14,    /* KDC_ERR_ETYPE_NOSUPP */
    REFUSE_NOT_US = 35,   /* KRB_AP_ERR_NOT_US */
    REFUSE_ADDRESS = 38,  /* KRB_AP_ERR_BADADDR */
    REFUSE_NO_APREQ = 40, /* KRB_AP_ERR_MSG_TYPE */
    REFUSE_CHECKSUM = 50, /* KRB_AP_ERR_INAPP_CKSUM */
    REFUSE_GENERIC = 60   /* KRB_ERR_GENERIC */
};

struct refusal_facts {
    int code;      /* 0..127 */
    bool trouble;  /* 60 only: ours, not the client's */
    const struct apreq_peek *peek;
    const char *wanted;  /* "pop/HOST" */
    const char *address; /* of the peer */
    long delta;    /* seconds the client's clock is ahead; 0 = unknown */
};

struct refusal {
    int code;
    int status;     /* STATUS_AUTH, STATUS_DENIED, STATUS_TEMP, STATUS_PERM */
    unsigned level; /* of the log, as in the ABI */
    char text[400]; /* printable ASCII */
};

void refusal_make(const struct refusal_facts *facts, struct refusal *out);

#endif
