/*
 * status.h - the one result type of the program.
 *
 * 0 or positive is done, negative is not.  The values are those of the ABI
 * (plugin/kpop_plugin.h); plugin/session.c asserts that they agree, so that a
 * result crosses every seam unchanged.  Codes of libraries never do: they are
 * translated, and logged with the library's own text, where they appear.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_STATUS_H
#define KPOP_STATUS_H

enum status {
    STATUS_OK = 0,
    STATUS_CONTINUE = 1,
    STATUS_TAKEN = 2,
    STATUS_PENDING = -1,
    STATUS_AUTH = -2,      /* bad credentials */
    STATUS_DENIED = -3,    /* good credentials, but not for this */
    STATUS_TEMP = -4,
    STATUS_PERM = -5,
    STATUS_IN_USE = -6,
    STATUS_DELAY = -7,
    STATUS_GONE = -8,
    STATUS_INVALID = -9,
    STATUS_NO_MEMORY = -10
};

#define MUST_USE __attribute__((warn_unused_result))

/* A word for logs: "auth", "in-use", ...; never NULL. */
const char *status_name(int status);

/*
 * The response code (RFC 2449 section 8, RFC 3206) with its blank, such as
 * "[SYS/TEMP] ", or "" where the RFCs know none.
 */
const char *status_response_code(int status);

#endif
