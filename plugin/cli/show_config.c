/*
 * show_config.c - `kpopctl show-config` tells every key with the value in
 * force and where it comes from.  What it prints is a configuration itself,
 * with the same meaning.  It judges nothing: that is what `check` does.
 *
 * SPDX-License-Identifier: MIT
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "plugin/cli/cli.h"
#include "plugin/cli/json.h"

/* The i-th key; false when there are no more. */
static bool
setting_at(const struct setup *setup, uint32_t i,
           struct kpop_setting *setting_out)
{
    setting_out->size = sizeof(*setting_out);
    return setup->api->setting(setup->sessions, i, setting_out) == 1;
}

static void
print_lines(const struct cli *cli, const struct setup *setup)
{
    const char *plain = cli_colour(cli, PLAIN);
    struct kpop_setting setting;
    uint32_t i;

    for (i = 0; setting_at(setup, i, &setting); i++) {
        bool is_filed = setting.origin == KPOP_FROM_FILE;
        int width = printf("%s%s =%s%s",
                           cli_colour(cli, is_filed ? BOLD : PLAIN),
                           setting.key->name,
                           setting.value[0] != '\0' ? " " : "",
                           setting.value);

        printf("%s%*s  %s# ", plain, width < 40 ? 40 - width : 0, "",
               cli_colour(cli, DIM));
        if (is_filed)
            printf("%s:%" PRIu32 "%s\n", cli->config, setting.line, plain);
        else
            printf("default%s\n", plain);
    }
}

static void
print_json(const struct cli *cli, const struct setup *setup)
{
    struct json json = { false };
    struct kpop_setting setting;
    uint32_t i;

    json_open(&json, NULL, '{');
    json_text(&json, "file", cli->config);
    json_open(&json, "keys", '[');
    for (i = 0; setting_at(setup, i, &setting); i++) {
        bool is_filed = setting.origin == KPOP_FROM_FILE;

        json_open(&json, NULL, '{');
        json_text(&json, "key", setting.key->name);
        json_text(&json, "value", setting.value);
        json_text(&json, "default", setting.key->default_value);
        json_text(&json, "origin", is_filed ? "file" : "default");
        if (is_filed)
            json_number(&json, "line", setting.line);
        else
            json_null(&json, "line");
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_close(&json, '}');
    json_end(&json);
}

int
command_show_config(const struct cli *cli)
{
    struct setup *setup = cli_read(cli);

    if (setup == NULL)
        return CLI_BAD;
    if (setup->api->size < offsetof(struct kpop_api, setting)
                               + sizeof(setup->api->setting)) {
        cli_error(cli, "the module is older than kpopctl and can't tell its "
                       "keys; install both from one version");
        setup_free(setup);
        return CLI_BAD;
    }
    if (cli->json)
        print_json(cli, setup);
    else
        print_lines(cli, setup);
    setup_free(setup);
    return CLI_GOOD;
}
