/*
 * cli.c - what every command of kpopctl does alike: finds the module, reads
 * the configuration, tells what is wrong, knows colours.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/cli/cli.h"

#include <krb5.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/cli/json.h"
#include "plugin/host/kpopd/module.h"

void
cli_error(const struct cli *cli, const char *sentence)
{
    struct json json = { false };

    if (!cli->json) {
        printf("%s\n", sentence);
        return;
    }
    json_open(&json, NULL, '{');
    json_text(&json, "error", sentence);
    json_close(&json, '}');
    json_end(&json);
}

kpop_plugin_entry_fn
cli_module(const struct cli *cli)
{
    char error[SETUP_ERROR_MAX];
    kpop_plugin_entry_fn entry = module_load(cli->module, error,
                                             sizeof(error));

    if (entry == NULL)
        fprintf(stderr, "kpopctl: %s\n", error);
    return entry;
}

struct setup *
cli_read(const struct cli *cli)
{
    char error[SETUP_ERROR_MAX];
    kpop_plugin_entry_fn entry = cli_module(cli);
    struct setup *setup;

    if (entry == NULL)
        return NULL;
    setup = setup_read(entry, cli->config, error, sizeof(error));
    if (setup == NULL)
        cli_error(cli, error);
    return setup;
}

void
cli_give_up(const char *format, ...)
{
    va_list args;

    fputs("kpopctl: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(CLI_BAD);
}

void
cli_clean(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f)
            *text = '?';
    }
}

char *
cli_copy(const char *text)
{
    char *copy = strdup(text);

    if (copy == NULL)
        cli_give_up("out of memory");
    return copy;
}

struct _krb5_context *
cli_kerberos(void)
{
    krb5_context context = NULL;
    krb5_error_code code = krb5_init_context(&context);

    if (code != 0)
        cli_give_up("libkrb5 can't begin: %s", strerror(code));
    return context;
}

const char *
cli_colour(const struct cli *cli, enum cli_colour colour)
{
    static const char *const codes[] = {
        [PLAIN] = "\033[0m", [BOLD] = "\033[1m",   [DIM] = "\033[2m",
        [RED] = "\033[31m",  [GREEN] = "\033[32m", [YELLOW] = "\033[33m",
    };

    return cli->colours ? codes[colour] : "";
}
