/*
 * keytab_fixture.h - a keytab made without a KDC, for what is looked at before
 * the first ticket.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_UNIT_KEYTAB_FIXTURE_H
#define KPOP_TESTS_UNIT_KEYTAB_FIXTURE_H

#include <krb5.h>

/* Adds a key of this enctype for a principal such as "pop/localhost@A.ORG";
 * the key's octets are all the same. */
void keytab_fixture(const char *path, const char *principal,
                    krb5_enctype enctype);

#endif
