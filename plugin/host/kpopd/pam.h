/*
 * pam.h - passwords of `passwords = pam:SERVICE`.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_PAM_H
#define KPOPD_PAM_H

#include <stddef.h>
#include <stdint.h>

/* What PAM is told of one login; all lent. */
struct pam_login {
    const char *service;
    const char *user;
    const char *peer; /* numeric address; "" = unknown */
    const void *password;
    size_t password_size;
};

/* 0, or -1 with a sentence when there is no such service. */
int pam_check_service(const char *service, char *error, size_t error_size);
/*
 * Asks whether the password is right and whether the account may be used.
 * KPOP_OK; KPOP_AUTH or KPOP_TEMP with what PAM said in reason.  May take as
 * long as the service's modules like; whoever waits has a watchdog.
 */
int32_t pam_verify(const struct pam_login *login, char *reason,
                   size_t reason_size);

#endif
