/*
 * main.c - the arguments of kpopd.  Stays in the foreground; who wants a
 * daemon has a service manager.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "plugin/host/kpopd/log.h"
#include "plugin/host/kpopd/master.h"
#include "plugin/host/kpopd/module.h"

#ifndef KPOP_SYSCONFDIR
#define KPOP_SYSCONFDIR "/etc"
#endif
#define KPOP_CONFIG_FILE KPOP_SYSCONFDIR "/kpop/plugin.conf"

static const char usage[] =
    "usage: kpopd [-c FILE] [-m MODULE]\n"
    "Serves KPOP and POP3 on maildirs, in the foreground.\n"
    "\n"
    "  -c, --config FILE    configuration (" KPOP_CONFIG_FILE ")\n"
    "  -m, --module MODULE  kpop.so, when it is not where it was installed\n"
    "  -V, --version\n"
    "  -h, --help\n"
    "\n"
    "SIGTERM lets running answers and QUITs finish, 30 seconds at most, and\n"
    "ends with status 0; SIGHUP takes the changed configuration for new\n"
    "sessions.  kpopctl -c FILE check says what is wrong with FILE.\n";

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
    kpop_plugin_entry_fn entry;
    char error[1024];
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
            puts("kpopd " KPOP_VERSION);
            return 0;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            fputs(usage, stderr);
            return 1;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "kpopd: unexpected argument %s\n%s", argv[optind],
                usage);
        return 1;
    }
    entry = module_load(module, error, sizeof(error));
    if (entry == NULL) {
        fprintf(stderr, "kpopd: %s\n", error);
        return 1;
    }
    log_begin();
    return master_main(entry, config);
}
