/*
 * cli.h - what kpopctl's commands share: how they were called, where they
 * write, what their exit status says.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPCTL_CLI_H
#define KPOPCTL_CLI_H

#include <stdbool.h>

#include "plugin/host/kpopd/setup.h"
#include "plugin/kpop_plugin.h"

/* Exit statuses; in the manual. */
enum {
    CLI_GOOD = 0,
    CLI_BAD = 1,    /* something is wrong with what was looked at */
    CLI_USAGE = 2,  /* kpopctl was called in a way it does not know */
    CLI_ABSENT = 3, /* no kpopd runs, or it does not answer */
    CLI_DENIED = 4, /* the caller may not ask it */
    CLI_WARNED = 5, /* nothing is wrong, but something may be */
    CLI_BUSY = 6    /* a session has the maildrop */
};

/* One call of kpopctl. */
struct cli {
    const char *config; /* path */
    const char *module; /* path, or NULL: where it is installed */
    const char *user;   /* --user, or NULL */
    const char *word;   /* what stands behind the command, or NULL */
    const char *whom;   /* what stands behind that, or NULL */
    const char *mech;   /* --mech, or NULL */
    const char *password_file; /* --password-file, or NULL */
    unsigned port;      /* --port, or 0 */
    bool pop3s;         /* --pop3s */
    const char *from;   /* --from, or NULL */
    const char *input;  /* --input, or NULL */
    const char *format; /* --format, or NULL */
    bool dry_run;       /* --dry-run */
    bool replace;       /* --replace */
    bool json;
    bool colours;       /* stdout is a terminal that wants them */
};

/* A row of the table in kpopctl.c.  Each command is a file of its name. */
struct command {
    const char *name;
    const char *argument; /* "HOST", "WHAT WHOM", or NULL for none */
    const char *needs;    /* the same in words, or NULL */
    const char *help;     /* lines for the usage, indented */
    int (*run)(const struct cli *cli); /* an exit status */
};

int command_check(const struct cli *cli);
int command_client_setup(const struct cli *cli);
int command_doctor(const struct cli *cli);
int command_kick(const struct cli *cli);
int command_login(const struct cli *cli);
int command_show_config(const struct cli *cli);
int command_stats(const struct cli *cli);
int command_uidl(const struct cli *cli);
int command_who(const struct cli *cli);

/* The module's entry, or NULL after saying why. */
kpop_plugin_entry_fn cli_module(const struct cli *cli);
/* The texts of the configuration, or NULL after saying what is wrong; the
 * caller frees them by setup_free(). */
struct setup *cli_read(const struct cli *cli);
/* A sentence about the configuration: a line, or an object with "error". */
void cli_error(const struct cli *cli, const char *sentence);

/* Ends kpopctl with CLI_BAD after this sentence on standard error.  For
 * commands that only look: they must not conclude from what they couldn't
 * see, and leave nothing half done. */
_Noreturn void cli_give_up(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
/* What others said must not write on the terminal: controls, and whatever is
 * not ASCII, become question marks. */
void cli_clean(char *text);
/* A copy for the caller to free; gives up when there is no memory. */
char *cli_copy(const char *text);
/* libkrb5, for krb5_free_context(); gives up when it can't begin. */
struct _krb5_context *cli_kerberos(void);

/* ECMA-48: begins and ends a piece of text; "" where there are no colours. */
enum cli_colour { PLAIN, BOLD, DIM, RED, GREEN, YELLOW };
const char *cli_colour(const struct cli *cli, enum cli_colour colour);

#endif
