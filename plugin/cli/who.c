/*
 * who.c - `kpopctl who` lists the sessions of a running kpopd, the oldest
 * first.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/cli/json.h"
#include "plugin/cli/tool.h"

enum { ROW_ID = 1, ROW_USER, ROW_ADDRESS, ROW_PORT, ROW_MECHANISM, ROW_TLS,
       ROW_LISTENER, ROW_AGE, ROW_STATE };

enum { COLUMNS = 8, CELL_MAX = 320 };

static const char *const titles[COLUMNS] = {
    "SESSION", "USER", "ADDRESS", "MECHANISM", "TLS", "LISTENER", "AGE",
    "STATE",
};

/* "45s", "3m05s", "2h14m", "9d03h". */
static void
print_age(const char *seconds, char *out, size_t size)
{
    unsigned long long age = strtoull(seconds, NULL, 10);

    if (age < 60)
        snprintf(out, size, "%llus", age);
    else if (age < 3600)
        snprintf(out, size, "%llum%02llus", age / 60, age % 60);
    else if (age < 86400)
        snprintf(out, size, "%lluh%02llum", age / 3600, age / 60 % 60);
    else
        snprintf(out, size, "%llud%02lluh", age / 86400, age / 3600 % 24);
}

static void
make_cell(const struct tool_row *row, size_t column, char *out, size_t size)
{
    static const int fields[COLUMNS] = {
        ROW_ID, ROW_USER, ROW_ADDRESS, ROW_MECHANISM, ROW_TLS, ROW_LISTENER,
        ROW_AGE, ROW_STATE,
    };
    const char *text = row->field[fields[column]];

    if (fields[column] == ROW_AGE)
        print_age(text, out, size);
    else if (fields[column] == ROW_ADDRESS)
        snprintf(out, size, strchr(text, ':') != NULL ? "[%s]:%s" : "%s:%s",
                 text, row->field[ROW_PORT]);
    else
        snprintf(out, size, "%s", text[0] != '\0' ? text : "-");
}

static void
print_lines(const struct cli *cli, const struct tool_answer *answer)
{
    size_t width[COLUMNS];
    char cell[CELL_MAX];
    size_t i;
    size_t c;

    for (c = 0; c < COLUMNS; c++)
        width[c] = strlen(titles[c]);
    for (i = 0; i < answer->count; i++) {
        for (c = 0; c < COLUMNS; c++) {
            make_cell(&answer->rows[i], c, cell, sizeof(cell));
            if (strlen(cell) > width[c])
                width[c] = strlen(cell);
        }
    }
    width[COLUMNS - 1] = 0;
    for (c = 0; c < COLUMNS; c++)
        printf("%s%s%-*s%s", c > 0 ? "  " : "", cli_colour(cli, BOLD),
               (int)width[c], titles[c], cli_colour(cli, PLAIN));
    putchar('\n');
    for (i = 0; i < answer->count; i++) {
        for (c = 0; c < COLUMNS; c++) {
            make_cell(&answer->rows[i], c, cell, sizeof(cell));
            printf("%s%-*s", c > 0 ? "  " : "", (int)width[c], cell);
        }
        putchar('\n');
    }
}

static void
text_or_null(struct json *json, const char *name, const char *value)
{
    if (value[0] != '\0')
        json_text(json, name, value);
    else
        json_null(json, name);
}

static void
print_json(const struct tool_answer *answer)
{
    struct json json = { false };
    size_t i;

    json_open(&json, NULL, '{');
    json_open(&json, "sessions", '[');
    for (i = 0; i < answer->count; i++) {
        const struct tool_row *row = &answer->rows[i];

        json_open(&json, NULL, '{');
        json_text(&json, "session", row->field[ROW_ID]);
        text_or_null(&json, "user", row->field[ROW_USER]);
        json_text(&json, "address", row->field[ROW_ADDRESS]);
        json_number(&json, "port", tool_number(row->field[ROW_PORT]));
        text_or_null(&json, "mechanism", row->field[ROW_MECHANISM]);
        text_or_null(&json, "tls", row->field[ROW_TLS]);
        json_text(&json, "listener", row->field[ROW_LISTENER]);
        json_number(&json, "age", tool_number(row->field[ROW_AGE]));
        json_text(&json, "state", row->field[ROW_STATE]);
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_close(&json, '}');
    json_end(&json);
}

int
command_who(const struct cli *cli)
{
    struct tool_answer answer;
    int status = tool_ask(cli, "who\n", &answer);

    if (status != CLI_GOOD)
        return status;
    if (cli->json)
        print_json(&answer);
    else
        print_lines(cli, &answer);
    tool_free(&answer);
    return CLI_GOOD;
}
