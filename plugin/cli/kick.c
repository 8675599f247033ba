/*
 * kick.c - `kpopctl kick WHOM` ends sessions of a running kpopd as its own end
 * would: what is running is finished, nothing is deleted that no QUIT asked
 * for.  Returns when they are gone.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "plugin/cli/json.h"
#include "plugin/cli/tool.h"

enum { ROW_ID = 1, ROW_USER, ROW_STATE, REQUEST_MAX = 512 };

static bool
is_gone(const struct tool_row *row)
{
    return strcmp(row->field[ROW_STATE], "gone") == 0;
}

static void
print_lines(const struct tool_answer *answer)
{
    size_t i;

    for (i = 0; i < answer->count; i++) {
        const struct tool_row *row = &answer->rows[i];
        const char *user = row->field[ROW_USER];

        printf("session %s%s%s %s\n", row->field[ROW_ID],
               user[0] != '\0' ? " of " : "", user,
               is_gone(row) ? "has ended"
                            : "was told to end and is still there");
    }
}

static void
print_json(const struct tool_answer *answer)
{
    struct json json = { false };
    size_t i;

    json_open(&json, NULL, '{');
    json_open(&json, "kicked", '[');
    for (i = 0; i < answer->count; i++) {
        const struct tool_row *row = &answer->rows[i];

        json_open(&json, NULL, '{');
        json_text(&json, "session", row->field[ROW_ID]);
        if (row->field[ROW_USER][0] != '\0')
            json_text(&json, "user", row->field[ROW_USER]);
        else
            json_null(&json, "user");
        json_bool(&json, "gone", is_gone(row));
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_close(&json, '}');
    json_end(&json);
}

/* A word that fits into one line of a request. */
static bool
is_word(const char *word)
{
    const unsigned char *p = (const unsigned char *)word;

    while (*p >= 0x20 && *p != 0x7f)
        p++;
    return *p == '\0' && p != (const unsigned char *)word;
}

int
command_kick(const struct cli *cli)
{
    char request[REQUEST_MAX];
    struct tool_answer answer;
    int status;
    size_t i;
    int len = snprintf(request, sizeof(request), "kick\t%s\n", cli->word);

    if (len < 0 || (size_t)len >= sizeof(request) || !is_word(cli->word)) {
        cli_error(cli, "that is neither a session nor a user");
        return CLI_USAGE;
    }
    status = tool_ask(cli, request, &answer);
    if (status != CLI_GOOD)
        return status;
    if (cli->json)
        print_json(&answer);
    else
        print_lines(&answer);
    for (i = 0; i < answer.count; i++)
        if (!is_gone(&answer.rows[i]))
            status = CLI_BAD;
    tool_free(&answer);
    return status;
}
