/*
 * certwatch.h - notices that files of TLS were replaced.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_CERTWATCH_H
#define KPOPD_CERTWATCH_H

#include <stdbool.h>
#include <stdint.h>

/* Certificate and key come one after the other: a change counts when nothing
 * has moved for so long, in milliseconds. */
enum { CERTWATCH_CALM = 2000, CERTWATCH_EVERY = 500 };

struct certwatch {
    uint64_t known;   /* the print of what was read last */
    uint64_t seen;    /* of what is there now */
    uint64_t since;   /* and when that was seen first */
    uint64_t due;     /* when to look again */
};

/* What the files of a list by blanks look like from outside: another number
 * when one of them was changed, replaced or is gone. */
uint64_t certwatch_print(const char *files);
/* The files were read when they looked so. */
void certwatch_begin(struct certwatch *watch, uint64_t print);
/* Whether it is time to look: every CERTWATCH_EVERY milliseconds, however
 * often connections come. */
bool certwatch_is_due(struct certwatch *watch, uint64_t now);
/* True once for each change: the files are to be read again. */
bool certwatch_look(struct certwatch *watch, uint64_t print, uint64_t now);

#endif
