/*
 * authmsg.h - the questions of a worker to an auth process and the answers.
 *
 * Both sides encode and decode here only.  Everything a decoder gives out is
 * lent from the frame, and bounded.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_AUTHMSG_H
#define KPOPD_AUTHMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/kpop_plugin.h"

enum auth_request_type {
    AUTH_START = 100, /* answered */
    AUTH_STEP,        /* answered */
    AUTH_END,         /* not answered */
    AUTH_DECIDE       /* answered; leaves no exchange behind */
};
enum { AUTH_ANSWER = 110 };

enum {
    AUTH_DATA_MAX = 128 * 1024 + 1024, /* an AP-REQ is the longest */
    AUTH_TEXT_MAX = 1024,
    AUTH_CERTIFICATE_MAX = 16 * 1024,
    AUTH_BINDING_MAX = 1024
};

/*
 * Who the worker says was proved: members of struct kpop_identity.  Asked only
 * where workers verify tickets themselves, for security layers; a worker
 * reads the mail, so it could do without asking.
 */
struct auth_claim {
    const char *authcid;
    const char *requested;
    const char *local;
};

struct auth_request {
    enum auth_request_type type;
    uint64_t exchange; /* the worker's number for it */
    const char *mechanism;     /* START, DECIDE */
    struct kpop_facts facts;   /* START, DECIDE */
    struct auth_claim claim;   /* DECIDE */
    const void *data;          /* NULL: none came */
    size_t size;
};

struct auth_answer {
    uint64_t exchange;
    int32_t result;
    struct kpop_outcome outcome;
};

/* Lengths of frames; 0 when it does not fit. */
size_t auth_request_encode(const struct auth_request *request, void *frame,
                           size_t size);
bool auth_request_decode(const void *frame, size_t len,
                         struct auth_request *request_out);
size_t auth_answer_encode(const struct auth_answer *answer, void *frame,
                          size_t size);
bool auth_answer_decode(const void *frame, size_t len,
                        struct auth_answer *answer_out);

#endif
