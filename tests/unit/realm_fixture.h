/*
 * realm_fixture.h - a real KDC and a raw client for the tests of one program;
 * tests/lib/realm.sh and mkapreq.c say what they can do.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_UNIT_REALM_FIXTURE_H
#define KPOP_TESTS_UNIT_REALM_FIXTURE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum { APREQ_OCTETS_MAX = 1 << 17 };

/* Starts the realm for the first test that asks; ended at exit.  Skips the
 * test when no KDC is installed. */
void realm_need(void);
/* A path in the realm's folder, in one of a few static buffers. */
const char *realm_path(const char *name);
/* realm.sh COMMAND DIR ARGS with blanks; fails the test, skips it at 77. */
void realm_do(const char *command, const char *args);
/* The same, with a ticket-granting ticket of USER in the file NAME. */
const char *realm_ccache(const char *user, const char *name);

struct client {
    pid_t pid;
    FILE *to;
    FILE *from;
    size_t len;
    uint8_t apreq[APREQ_OCTETS_MAX];
};

/* mkapreq with options separated by blanks. */
struct client *client_new(const char *options);
void client_again(struct client *client); /* a fresh AP-REQ */
/* "ok", "bad TEXT" or "code N SERVER: TEXT"; static. */
const char *client_judges(struct client *client, const char *what,
                          const uint8_t *data, size_t len);
void client_free(struct client *client);

#endif
