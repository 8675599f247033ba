/*
 * stats.c - `kpopctl stats` tells the numbers and processes of a running
 * kpopd.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/cli/json.h"
#include "plugin/cli/tool.h"

enum { ROW_NAME = 1, ROW_VALUE };
enum { ROW_KIND = 1, ROW_PID, ROW_SESSIONS, ROW_GENERATION };

static bool
is_number(const struct tool_row *row)
{
    return strcmp(row->field[0], "number") == 0;
}

static bool
is_process(const struct tool_row *row)
{
    return strcmp(row->field[0], "process") == 0;
}

static void
print_lines(const struct cli *cli, const struct tool_answer *answer)
{
    size_t i;

    for (i = 0; i < answer->count; i++)
        if (is_number(&answer->rows[i]))
            printf("%-24s %s\n", answer->rows[i].field[ROW_NAME],
                   answer->rows[i].field[ROW_VALUE]);
    printf("\n%s%-14s %8s %9s  %s%s\n", cli_colour(cli, BOLD), "PROCESS",
           "PID", "SESSIONS", "CONFIGURATION", cli_colour(cli, PLAIN));
    for (i = 0; i < answer->count; i++) {
        const struct tool_row *row = &answer->rows[i];

        if (is_process(row))
            printf("%-14s %8s %9s  %s\n", row->field[ROW_KIND],
                   row->field[ROW_PID], row->field[ROW_SESSIONS],
                   row->field[ROW_GENERATION]);
    }
}

static void
print_json(const struct tool_answer *answer)
{
    struct json json = { false };
    size_t i;

    json_open(&json, NULL, '{');
    for (i = 0; i < answer->count; i++)
        if (is_number(&answer->rows[i]))
            json_number(&json, answer->rows[i].field[ROW_NAME],
                        tool_number(answer->rows[i].field[ROW_VALUE]));
    json_open(&json, "processes", '[');
    for (i = 0; i < answer->count; i++) {
        const struct tool_row *row = &answer->rows[i];

        if (!is_process(row))
            continue;
        json_open(&json, NULL, '{');
        json_text(&json, "process", row->field[ROW_KIND]);
        json_number(&json, "pid", tool_number(row->field[ROW_PID]));
        json_number(&json, "sessions", tool_number(row->field[ROW_SESSIONS]));
        json_text(&json, "configuration", row->field[ROW_GENERATION]);
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_close(&json, '}');
    json_end(&json);
}

int
command_stats(const struct cli *cli)
{
    struct tool_answer answer;
    int status = tool_ask(cli, "stats\n", &answer);

    if (status != CLI_GOOD)
        return status;
    if (cli->json)
        print_json(&answer);
    else
        print_lines(cli, &answer);
    tool_free(&answer);
    return CLI_GOOD;
}
