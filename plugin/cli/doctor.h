/*
 * doctor.h - what the groups of checks of `kpopctl doctor` share.  A group is
 * one file, with one row in the table of doctor.c and one item in the manual;
 * it looks, changes nothing, and says what it finds with the command that
 * mends it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPCTL_DOCTOR_H
#define KPOPCTL_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "plugin/cli/cli.h"
#include "plugin/cli/json.h"

enum {
    DOCTOR_NAME_MAX = 256,
    DOCTOR_TEXT_MAX = 2048, /* a sentence, a path in quotes */
    DOCTOR_MEND_MAX = 32768 /* a command of some such words, never cut */
};

/* A key of the keytab. */
struct doctor_key {
    char *principal;
    uint32_t kvno;
    int32_t enctype;
};

struct doctor {
    const struct cli *cli;
    kpop_plugin_entry_fn entry; /* the module's */
    struct setup *setup;      /* texts alone, see setup_read() */
    char host[DOCTOR_NAME_MAX]; /* `hostname`, or this machine's own name */
    struct account run_as;    /* name NULL: us, or there is no such user */
    struct account auth_user;
    bool has_users;           /* both are known, so rights can be judged */
    bool tickets;             /* something here needs the keytab */
    bool keytab_read;
    bool clock_is_wrong;      /* told; dates can't be judged */
    struct doctor_key *keys;
    size_t key_count;
    unsigned errors;
    unsigned warnings;
    const char *check;        /* the row that runs */
    char mend[DOCTOR_MEND_MAX];
    struct json json;
};

typedef void doctor_check_fn(struct doctor *doctor);

/* The groups, each in the file of its name. */
doctor_check_fn doctor_users;
doctor_check_fn doctor_files;
doctor_check_fn doctor_keytab;
doctor_check_fn doctor_kdc;
doctor_check_fn doctor_names;
doctor_check_fn doctor_services;
doctor_check_fn doctor_ports;
doctor_check_fn doctor_tls;
doctor_check_fn doctor_logins;
doctor_check_fn doctor_rest;

/* The text of a key of the configuration. */
const char *doctor_value(const struct doctor *doctor, const char *key);
bool doctor_lists(const struct doctor *doctor, const char *key,
                  const char *word);

/* The command for the finding that is told next; it stays in the doctor. */
void doctor_mend(struct doctor *doctor, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The command is an editor at the line of this key, if it has one. */
void doctor_edit(struct doctor *doctor, const char *key);
/* The line that sets a key; 0: it has its default. */
unsigned long doctor_line(const struct doctor *doctor, const char *key);
/* The command for "FILE:LINE: ..." of a file that can't be read. */
void doctor_mend_line(struct doctor *doctor, const char *error);
/* Findings: an error keeps mail from being served, or keys and passwords from
 * being safe; a warning will, or may. */
void doctor_error(struct doctor *doctor, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void doctor_warn(struct doctor *doctor, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A word for a shell; out has DOCTOR_TEXT_MAX octets and is returned. */
const char *doctor_quote(const char *word, char *out);
/* The folder of a path; out has DOCTOR_TEXT_MAX octets and is returned. */
const char *doctor_folder(const char *path, char *out);
/* 0, or errno: may the user do that (R_OK, W_OK, X_OK) to the path?  Only
 * root can try it for another user; for all others it is 0. */
int doctor_try(const struct account *user, const char *path, int mode);
/*
 * The first folder above the path that the user may not enter: true, with it
 * in folder_out (DOCTOR_TEXT_MAX octets).
 */
bool doctor_closed_folder(const struct account *user, const char *path,
                          char *folder_out);
/*
 * Is the path closed to us, but perhaps not to the server's users?  Warns that
 * root should look.
 */
bool doctor_is_hidden(struct doctor *doctor, const char *what,
                      const char *path);
/*
 * A file that auth_user must read and others must not: tells when it is
 * missing (with the mend that was set before), open to others (forbidden:
 * bits of its mode) or unreadable.  False when it can't be read.
 */
bool doctor_private_file(struct doctor *doctor, const char *what,
                         const char *path, mode_t forbidden);

/* ---- Kerberos: doctor_keytab.c ---- */

struct _krb5_context;
/* The principal that clients ask for when the server is called so: the first
 * of `services`, with its realm, in out (DOCTOR_TEXT_MAX octets). */
void doctor_principal(struct _krb5_context *context,
                      const struct doctor *doctor, const char *name,
                      char *out);
/* Is it for one of `services`? */
bool doctor_is_service(const struct doctor *doctor, const char *principal);
/* Do the workers check tickets, too?  GSSAPI alone has layers. */
bool doctor_has_layers(const struct doctor *doctor);
bool doctor_has_key(const struct doctor *doctor, const char *principal);
/* The mend is to put its key into the keytab; is_new: the KDC doesn't know it;
 * options of ktadd, or "" to keep the key where that can be. */
void doctor_mend_key(struct doctor *doctor, const char *principal,
                     bool is_new, const char *options);
/* "kadmin.local -r REALM -q" on a KDC, else "kadmin -r REALM -q", in out. */
const char *doctor_kadmin(const char *principal, char *out);

#endif
