/*
 * control_tool.c - see control.h; kpopctl without its configuration.
 *
 * SPDX-License-Identifier: MIT
 */
/* For its parser. */
#include "plugin/cli/tool.c"

#include "tests/fuzz/control.h"

/* Nothing is asked by a configuration here. */
struct setup *
cli_read(const struct cli *cli)
{
    (void)cli;
    return NULL;
}

void
cli_error(const struct cli *cli, const char *sentence)
{
    (void)cli;
    script_expect(sentence[0] != '\0', "a sentence for who is refused");
}

int
control_tool(const char *text, size_t len, const char *word, size_t *count_out)
{
    static const struct cli cli = { .config = "fuzz" };
    struct tool_answer answer = { .text = malloc(len + 1) };
    int status;

    *count_out = 0;
    script_expect(answer.text != NULL, "memory");
    memcpy(answer.text, text, len);
    answer.text[len] = '\0';
    script_expect(parse(&answer), "memory");
    status = judge(&cli, &answer);
    for (size_t i = 0; status == CLI_GOOD && i < answer.count; i++) {
        for (size_t k = 0; k < TOOL_FIELDS; k++)
            script_expect(strpbrk(answer.rows[i].field[k], "\t\n") == NULL,
                          "fields without TABs");
        (void)tool_number(answer.rows[i].field[1]);
        *count_out += strcmp(answer.rows[i].field[0], word) == 0;
    }
    tool_free(&answer);
    return status;
}
