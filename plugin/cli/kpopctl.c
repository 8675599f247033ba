/*
 * kpopctl.c - the admin's tool: its options and the table of its commands.
 * Runs with the rights of who calls it; each command says what it changes,
 * most change nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin/cli/cli.h"

#ifndef KPOP_SYSCONFDIR
#define KPOP_SYSCONFDIR "/etc"
#endif
#define KPOP_CONFIG_FILE KPOP_SYSCONFDIR "/kpop/plugin.conf"

static const struct command commands[] = {
    { "check", NULL,
      NULL,
      "looks at the configuration and all it names: nothing, or FILE:LINE:\n"
      "and a sentence.  Makes state_dir and the replay cache's file when\n"
      "they are missing; starts nothing.\n",
      command_check },
    { "doctor", NULL,
      NULL,
      "looks at all the server needs of its machine, its realm and its\n"
      "network; prints a line for each fault, with the command that mends\n"
      "it, and changes nothing\n",
      command_doctor },
    { "login", "HOST",
      "a host",
      "logs in to HOST as a client, by KPOP, GSSAPI and, with a password,\n"
      "PLAIN; tells each step, and of one that fails what to do\n",
      command_login },
    { "show-config", NULL,
      NULL,
      "every key with the value in force, and where that comes from\n",
      command_show_config },
    { "client-setup", "HOST",
      "a host",
      "what fetchmail needs to fetch mail from this server, which its\n"
      "users call HOST: a line of /etc/services and a .fetchmailrc\n",
      command_client_setup },
    { "who", NULL,
      NULL,
      "the sessions of the running kpopd, the oldest first\n",
      command_who },
    { "kick", "WHOM",
      "a session or a user",
      "ends the session of this id, or all of this user: a command that is\n"
      "running is finished, nothing else is deleted, the maildrop is free.\n"
      "Returns when they are gone.\n",
      command_kick },
    { "stats", NULL,
      NULL,
      "numbers and processes of the running kpopd\n",
      command_stats },
    { "uidl", "show|import USER",
      "show or import, and a user",
      "the unique-ids of a user's messages; import takes over those they\n"
      "had on another server, so that clients fetch nothing twice\n",
      command_uidl },
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void
print_help(const char *help)
{
    while (*help != '\0') {
        size_t len = strcspn(help, "\n");

        printf("      %.*s\n", (int)len, help);
        help += len + (help[len] == '\n' ? 1 : 0);
    }
}

static void
usage(FILE *out)
{
    fputs("usage: kpopctl [options] command\n", out);
    if (out != stdout) {
        fputs("kpopctl --help tells more.\n", out);
        return;
    }
    puts("\n"
         "  -c, --config FILE    configuration (" KPOP_CONFIG_FILE ")\n"
         "  -m, --module MODULE  kpop.so, when it is not where it was "
         "installed\n"
         "  -j, --json           JSON instead of text\n"
         "  -u, --user USER      whose mail; else who asks, or whose ticket\n"
         "  -e, --mech MECH      login: by KPOP, GSSAPI, PLAIN ... alone\n"
         "  -p, --port PORT      login: instead of 1109, 110 or 995\n"
         "  -s, --pop3s          login: TLS from the first octet (port 995)\n"
         "  -P, --password-file FILE\n"
         "                       login: its first line is the password\n"
         "  -f, --from FORM      uidl import: dovecot, courier, x-uidl, map\n"
         "  -i, --input FILE     uidl import: instead of the one in the "
         "maildir; -\n"
         "  -F, --format FORMAT  uidl import: pop3_uidl_format of Dovecot\n"
         "  -n, --dry-run        uidl import: changes nothing\n"
         "  -r, --replace        uidl import: forgets earlier imports\n"
         "  -V, --version\n"
         "  -h, --help\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        printf("  %s%s%s\n", commands[i].name,
               commands[i].argument != NULL ? " " : "",
               commands[i].argument != NULL ? commands[i].argument : "");
        print_help(commands[i].help);
    }
    puts("\nEnds with 0 when all is well, 1 when something is wrong, 2 when "
         "it was\ncalled in a way it does not know, 3 when no kpopd runs, 4 "
         "when you may not\nask it, 5 when the doctor only warns, 6 when a "
         "session has the maildrop.");
}

static int wrong_call(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* Says what is wrong with the call, with words of the caller's. */
static int
wrong_call(const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    cli_clean(text);
    fprintf(stderr, "kpopctl: %s\n", text);
    usage(stderr);
    return CLI_USAGE;
}

/* A terminal, unless who sits there does not want it (no-color.org). */
static bool
wants_colours(void)
{
    const char *term = getenv("TERM");
    const char *none = getenv("NO_COLOR");

    return isatty(STDOUT_FILENO) && (none == NULL || none[0] == '\0')
           && term != NULL && strcmp(term, "dumb") != 0;
}

/* What was printed must have arrived: a full disk is no success. */
static int
finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    perror("kpopctl: cannot write");
    return CLI_BAD;
}

static const struct command *
find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static int
words_of(const struct command *command)
{
    if (command->argument == NULL)
        return 0;
    return strchr(command->argument, ' ') != NULL ? 2 : 1;
}

/* The words behind the options: a command and what it takes. */
static int
run(struct cli *cli, int count, char **words)
{
    const struct command *command;
    int wanted;

    if (count == 0)
        return wrong_call("a command is needed");
    if (strcmp(words[0], "help") == 0) {
        usage(stdout);
        return finish(CLI_GOOD);
    }
    command = find_command(words[0]);
    if (command == NULL)
        return wrong_call("there is no command \"%s\"", words[0]);
    wanted = 1 + words_of(command);
    if (count < wanted)
        return wrong_call("%s needs %s", command->name, command->needs);
    if (count > wanted)
        return wrong_call("\"%s\" is one word too many for %s",
                          words[wanted], command->name);
    if (count > 1)
        cli->word = words[1];
    if (count > 2)
        cli->whom = words[2];
    cli->colours = !cli->json && wants_colours();
    return finish(command->run(cli));
}

static bool
read_port(const char *text, unsigned *port_out)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || port == 0
        || port > 65535)
        return false;
    *port_out = (unsigned)port;
    return true;
}

/* Where an option keeps its text, if it has one. */
static const char **
text_of(struct cli *cli, int option)
{
    switch (option) {
    case 'c':
        return &cli->config;
    case 'm':
        return &cli->module;
    case 'u':
        return &cli->user;
    case 'e':
        return &cli->mech;
    case 'P':
        return &cli->password_file;
    case 'f':
        return &cli->from;
    case 'i':
        return &cli->input;
    case 'F':
        return &cli->format;
    default:
        return NULL;
    }
}

static bool *
flag_of(struct cli *cli, int option)
{
    switch (option) {
    case 'j':
        return &cli->json;
    case 's':
        return &cli->pop3s;
    case 'n':
        return &cli->dry_run;
    case 'r':
        return &cli->replace;
    default:
        return NULL;
    }
}

static const struct option options[] = {
    { "config", required_argument, NULL, 'c' },
    { "module", required_argument, NULL, 'm' },
    { "json", no_argument, NULL, 'j' },
    { "user", required_argument, NULL, 'u' },
    { "mech", required_argument, NULL, 'e' },
    { "port", required_argument, NULL, 'p' },
    { "pop3s", no_argument, NULL, 's' },
    { "password-file", required_argument, NULL, 'P' },
    { "from", required_argument, NULL, 'f' },
    { "input", required_argument, NULL, 'i' },
    { "format", required_argument, NULL, 'F' },
    { "dry-run", no_argument, NULL, 'n' },
    { "replace", no_argument, NULL, 'r' },
    { "version", no_argument, NULL, 'V' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

/* ":": it tells, and is silent itself. */
static const char letters[] = ":c:m:ju:e:p:sP:f:i:F:nrVh";

/* The option that getopt_long() did not take; word: where it stopped. */
static int
wrong_option(int option, const char *word)
{
    if (option == ':')
        return wrong_call("%s needs a word behind it", word);
    if (optopt == 0)
        return wrong_call("there is no option %s, or several begin so", word);
    if (strchr(letters, optopt) != NULL)
        return wrong_call("the option %s takes no word", word);
    return wrong_call("there is no option -%c", optopt);
}

int
main(int argc, char **argv)
{
    struct cli cli = { .config = KPOP_CONFIG_FILE };
    int option;

    while ((option = getopt_long(argc, argv, letters, options, NULL)) != -1) {
        const char **text = text_of(&cli, option);
        bool *flag = flag_of(&cli, option);

        if (text != NULL) {
            *text = optarg;
        } else if (flag != NULL) {
            *flag = true;
        } else if (option == 'V') {
            puts("kpopctl " KPOP_VERSION);
            return finish(CLI_GOOD);
        } else if (option == 'h') {
            usage(stdout);
            return finish(CLI_GOOD);
        } else if (option != 'p') {
            return wrong_option(option, argv[optind - 1]);
        } else if (!read_port(optarg, &cli.port)) {
            return wrong_call("--port is a number from 1 to 65535");
        }
    }
    return run(&cli, argc - optind, argv + optind);
}
