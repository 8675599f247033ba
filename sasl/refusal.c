/*
 * refusal.c - the table of refusals.  fetchmail and movemail show the text,
 * push only the meaning of the code, so both must be right; the text says
 * what to do.  Tells nothing that a stranger may not know.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/refusal.h"

#include <stdio.h>
#include <string.h>

#include "kpop/status.h"

enum { LOUD_ERROR, LOUD_WARNING, LOUD_INFO };

struct row {
    int code;
    int status;
    unsigned level;
    /* %W wanted service, %T the ticket's, %K its key version, %C the clock,
     * %A the client's address */
    const char *text;
};

static const struct row rows[] = {
    { REFUSE_ETYPE, STATUS_DENIED, LOUD_WARNING,
      "the key of %T is RC4 or DES, which is not accepted here: the "
      "administrator must give it an AES key, then run kdestroy and kinit" },
    { 31, STATUS_AUTH, LOUD_INFO,
      "ticket or request are damaged or made with a wrong key: run kdestroy, "
      "then kinit" },
    { 32, STATUS_AUTH, LOUD_INFO, "your ticket has expired: run kinit" },
    { 33, STATUS_AUTH, LOUD_INFO,
      "your ticket is not valid yet: set your clock, then run kinit" },
    { 34, STATUS_AUTH, LOUD_WARNING,
      "this very request was used before (replay): try again" },
    { REFUSE_NOT_US, STATUS_DENIED, LOUD_WARNING,
      "this server is %W, your ticket is for %T: ask for %W" },
    { 36, STATUS_AUTH, LOUD_WARNING,
      "ticket and request name different users: run kdestroy, then kinit" },
    { 37, STATUS_AUTH, LOUD_INFO, "your clock is %C: set your clock" },
    { REFUSE_ADDRESS, STATUS_AUTH, LOUD_INFO,
      "your ticket is not for your address %A: run kinit -A" },
    { 39, STATUS_AUTH, LOUD_INFO,
      "another Kerberos version: use Kerberos 5" },
    { REFUSE_NO_APREQ, STATUS_AUTH, LOUD_INFO,
      "this is no Kerberos 5 AP-REQ: use KPOP with Kerberos 5" },
    { 43, STATUS_DENIED, LOUD_WARNING,
      "a realm between yours and %W is not trusted: ask the administrator" },
    { 44, STATUS_AUTH, LOUD_ERROR,
      "the server has no key %K of %T: run kdestroy, then kinit; if that "
      "doesn't help, tell the administrator" },
    { 45, STATUS_PERM, LOUD_ERROR,
      "[SYS/PERM] the server can't read its Kerberos keys: tell the "
      "administrator" },
    { REFUSE_CHECKSUM, STATUS_AUTH, LOUD_WARNING,
      "this request was made for another protocol: try again" },
};

static const struct row trouble = {
    REFUSE_GENERIC, STATUS_TEMP, LOUD_ERROR,
    "[SYS/TEMP] the server can't check tickets now: try again later"
};
/* The ticket is for the very name we have: the keytab lacks it. */
static const struct row no_key = {
    REFUSE_NOT_US, STATUS_DENIED, LOUD_ERROR,
    "the server's keytab has no key of %W: tell the administrator"
};
static const struct row malformed = {
    REFUSE_GENERIC, STATUS_AUTH, LOUD_INFO,
    "the Kerberos request can't be read: use KPOP with Kerberos 5"
};
static const struct row other = {
    0, STATUS_AUTH, LOUD_INFO,
    "Kerberos refused the ticket: run kdestroy, then kinit"
};

static bool
names_us(const struct refusal_facts *facts)
{
    size_t len = strlen(facts->wanted);

    return strncmp(facts->peek->service, facts->wanted, len) == 0 &&
           facts->peek->service[len] == '@';
}

static const struct row *
find_row(const struct refusal_facts *facts)
{
    if (facts->code == REFUSE_NOT_US && names_us(facts))
        return &no_key;
    if (facts->code == REFUSE_GENERIC)
        return facts->trouble ? &trouble : &malformed;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].code == facts->code)
            return &rows[i];
    }
    return &other;
}

/* What a %LETTER stands for. */
static void
expand(char letter, const struct refusal_facts *facts, char *out, size_t size)
{
    const char *service = facts->peek->service;

    switch (letter) {
    case 'W':
        (void)snprintf(out, size, "%.120s", facts->wanted);
        break;
    case 'T':
        (void)snprintf(out, size, "%.120s",
                       *service != '\0' ? service : "another service");
        break;
    case 'K':
        (void)snprintf(out, size, "%lu", (unsigned long)facts->peek->kvno);
        break;
    case 'C':
        if (facts->delta == 0)
            (void)snprintf(out, size, "wrong");
        else
            (void)snprintf(out, size, "%ld seconds %s",
                           facts->delta < 0 ? -facts->delta : facts->delta,
                           facts->delta < 0 ? "slow" : "fast");
        break;
    case 'A':
        (void)snprintf(out, size, "%.60s", facts->address);
        break;
    default:
        (void)snprintf(out, size, "?");
        break;
    }
}

void
refusal_make(const struct refusal_facts *facts, struct refusal *out)
{
    const struct row *row = find_row(facts);
    size_t len = 0;

    out->code = facts->code;
    out->status = row->status;
    out->level = row->level;
    for (const char *p = row->text; *p != '\0'; p++) {
        char piece[128] = { *p, '\0' };
        size_t size;

        if (*p == '%')
            expand(*++p, facts, piece, sizeof(piece));
        size = strlen(piece);
        if (size >= sizeof(out->text) - len)
            break;
        memcpy(out->text + len, piece, size);
        len += size;
    }
    out->text[len] = '\0';
}
