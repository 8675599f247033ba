/*
 * tool.h - kpopctl asks a running kpopd.  plugin/host/kpopd/tool.h has the
 * words.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPCTL_TOOL_H
#define KPOPCTL_TOOL_H

#include <stddef.h>
#include <stdint.h>

#include "plugin/cli/cli.h"

enum { TOOL_FIELDS = 10 };

/* A line: its first word and what follows; "" where there is nothing. */
struct tool_row {
    const char *field[TOOL_FIELDS];
};

struct tool_answer {
    char *text; /* what the rows point to */
    struct tool_row *rows;
    size_t count;
};

/* Asks the kpopd of this configuration.  On CLI_GOOD the caller frees the
 * answer; else what is wrong has been said. */
int tool_ask(const struct cli *cli, const char *request,
             struct tool_answer *answer_out);
/* A field that is a number. */
int64_t tool_number(const char *field);
void tool_free(struct tool_answer *answer);

#endif
