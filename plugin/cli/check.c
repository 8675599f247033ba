/*
 * check.c - `kpopctl check` looks at everything kpopd would look at before it
 * serves, with the rights of those who will use it, and starts nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>

#include "plugin/cli/cli.h"
#include "plugin/cli/json.h"

static void
say_good(const struct cli *cli)
{
    struct json json = { false };

    if (!cli->json)
        return;
    json_open(&json, NULL, '{');
    json_null(&json, "error");
    json_close(&json, '}');
    json_end(&json);
}

int
command_check(const struct cli *cli)
{
    char error[SETUP_ERROR_MAX];
    kpop_plugin_entry_fn entry = cli_module(cli);
    struct setup *setup;
    int rc = -1;

    if (entry == NULL)
        return CLI_BAD;
    setup = setup_load(entry, cli->config, NULL, error, sizeof(error));
    if (setup != NULL)
        rc = setup_check(setup, error, sizeof(error));
    if (rc != 0)
        cli_error(cli, error);
    else
        say_good(cli);
    setup_free(setup);
    return rc == 0 ? CLI_GOOD : CLI_BAD;
}
