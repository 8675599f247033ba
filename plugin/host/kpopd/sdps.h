/*
 * sdps.h - the envelope of a stored message, from the fields that the final
 * delivery put on top of it: Return-Path, and Delivered-To or another one that
 * names the recipient.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_SDPS_H
#define KPOPD_SDPS_H

#include <stdbool.h>
#include <stddef.h>

enum {
    SDPS_ADDRESS_MAX = 320,    /* RFC 5321: 64 + 1 + 255 */
    SDPS_HEADER_MAX = 16 * 1024 /* so much of a message is looked at */
};

struct envelope {
    char sender[SDPS_ADDRESS_MAX + 1];    /* "" is nobody, or not known */
    char recipient[SDPS_ADDRESS_MAX + 1]; /* "" is not known */
    bool has_return_path;                 /* as the first field */
};

/*
 * From the first octets of a message.  `fields` are the names, by blanks, that
 * a recipient may stand under; the uppermost one counts.  What stands at or
 * below the first Received field was there before the final delivery: whoever
 * sent the message may have written it.
 */
void sdps_read(const char *header, size_t size, const char *fields,
               struct envelope *envelope_out);

/* The local part that a login `requested` asks for; 0 is everybody's mail. */
size_t sdps_local_part(const char *requested);
/* The envelope's recipient has this local part; letters of any case. */
bool sdps_is_for(const struct envelope *envelope, const char *local,
                 size_t len);

#endif
