/*
 * keytab_fixture.c - writes keytabs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/unit/keytab_fixture.h"

#include <stdio.h>
#include <string.h>

#include "tests/lib/check.h"

void
keytab_fixture(const char *path, const char *principal, krb5_enctype enctype)
{
    krb5_keytab_entry entry = { .vno = 1 };
    krb5_octet octets[32];
    krb5_context context;
    krb5_keytab keytab;
    char name[400];

    memset(octets, 'k', sizeof(octets));
    entry.key.enctype = enctype;
    entry.key.contents = octets;
    entry.key.length = enctype == ENCTYPE_ARCFOUR_HMAC ? 16 : 32;
    (void)snprintf(name, sizeof(name), "FILE:%s", path);
    CHECK_INT(krb5_init_context(&context), 0);
    CHECK_INT(krb5_kt_resolve(context, name, &keytab), 0);
    CHECK_INT(krb5_parse_name(context, principal, &entry.principal), 0);
    CHECK_INT(krb5_kt_add_entry(context, keytab, &entry), 0);
    krb5_free_principal(context, entry.principal);
    CHECK_INT(krb5_kt_close(context, keytab), 0);
    krb5_free_context(context);
}
