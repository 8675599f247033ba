/*
 * kpopctl.c - the admin's tool.  `check` looks at everything kpopd would look
 * at before it serves, with the rights of those who will use it, and starts
 * nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/module.h"
#include "plugin/host/kpopd/setup.h"

#ifndef KPOP_SYSCONFDIR
#define KPOP_SYSCONFDIR "/etc"
#endif
#define KPOP_CONFIG_FILE KPOP_SYSCONFDIR "/kpop/plugin.conf"

static const char usage[] =
    "usage: kpopctl [-c FILE] [-m MODULE] check\n"
    "\n"
    "  check                looks at the configuration and all it names;\n"
    "                       ends with 0, or 1 and FILE:LINE: a sentence.\n"
    "                       Makes state_dir and the replay cache's file when\n"
    "                       they are missing; starts nothing.\n"
    "\n"
    "  -c, --config FILE    configuration (" KPOP_CONFIG_FILE ")\n"
    "  -m, --module MODULE  kpop.so, when it is not where it was installed\n"
    "  -V, --version\n"
    "  -h, --help\n"
    "\n"
    "This version knows no other command.\n";

static int
check(const char *module, const char *config)
{
    char error[SETUP_ERROR_MAX];
    kpop_plugin_entry_fn entry = module_load(module, error, sizeof(error));
    struct setup *setup;
    int rc = -1;

    if (entry == NULL) {
        fprintf(stderr, "kpopctl: %s\n", error);
        return 1;
    }
    setup = setup_load(entry, config, error, sizeof(error));
    if (setup != NULL)
        rc = setup_check(setup, error, sizeof(error));
    if (rc != 0)
        printf("%s\n", error);
    setup_free(setup);
    return rc == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' },
        { "module", required_argument, NULL, 'm' },
        { "version", no_argument, NULL, 'V' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    const char *config = KPOP_CONFIG_FILE;
    const char *module = NULL;
    int option;

    while ((option = getopt_long(argc, argv, "c:m:Vh", options, NULL))
           != -1) {
        switch (option) {
        case 'c':
            config = optarg;
            break;
        case 'm':
            module = optarg;
            break;
        case 'V':
            puts("kpopctl " KPOP_VERSION);
            return 0;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    if (optind + 1 != argc || strcmp(argv[optind], "check") != 0) {
        fputs(usage, stderr);
        return 2;
    }
    return check(module, config);
}
