/*
 * exchange.c - mechanisms of the scripted host: a row says what it answers to
 * which octets, so that a dialogue shows what AUTH does with them.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/dialog/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/dialog/script.h"

/* A copy of the next word or quoted part of a line; NULL at its end. */
static char *
next_part(const char **line)
{
    const char *start = *line + strspn(*line, " ");
    size_t len = strcspn(start, " ");
    char *part;

    if (*start == '"') {
        const char *quote = strchr(start + 1, '"');

        if (quote == NULL)
            return NULL;
        len = (size_t)(quote - start) + 1;
        len += strcspn(start + len, " "); /* "x"*100 */
    }
    if (len == 0)
        return NULL;
    part = xmalloc(len + 1);
    memcpy(part, start, len);
    part[len] = '\0';
    *line = start + len;
    return part;
}

static bool
take_in(struct exchange_row *row, const char *part)
{
    row->none = part != NULL && strcmp(part, "none") == 0;
    return part != NULL && (row->none || script_octets(part, &row->in));
}

static bool
take_result(struct exchange_row *row, const char *part)
{
    return part != NULL && host_find_result(part, &row->result);
}

/* MECHANISM none|"OCTETS" RESULT [USER] ["OCTETS"] */
bool
exchange_add(struct host *host, const char *text)
{
    struct exchange_row *row;
    char *part;
    bool ok;

    host->rows = xrealloc(host->rows,
                          (host->row_count + 1) * sizeof(*host->rows));
    row = &host->rows[host->row_count++];
    memset(row, 0, sizeof(*row));
    row->mechanism = next_part(&text);
    part = next_part(&text);
    ok = row->mechanism != NULL && take_in(row, part);
    free(part);
    part = next_part(&text);
    ok = take_result(row, part) && ok;
    free(part);
    if (ok && row->result == KPOP_OK)
        row->user = next_part(&text);
    part = next_part(&text);
    if (part != NULL)
        ok = script_octets(part, &row->out) && ok;
    free(part);
    return ok;
}

void
exchange_free(struct host *host)
{
    for (size_t i = 0; i < host->row_count; i++) {
        free(host->rows[i].mechanism);
        free(host->rows[i].user);
        blob_free(&host->rows[i].in);
        blob_free(&host->rows[i].out);
    }
    free(host->rows);
}

bool
exchange_knows(const struct host *host, const char *mechanism)
{
    for (size_t i = 0; i < host->row_count; i++) {
        if (strcmp(host->rows[i].mechanism, mechanism) == 0)
            return true;
    }
    return false;
}

static bool
is_row_of(const struct exchange_row *row, const struct question *q)
{
    if (strcmp(row->mechanism, q->conn->mechanism) != 0
        || row->none != (q->data == NULL))
        return false;
    return row->none
           || (row->in.len == q->size
               && (q->size == 0
                   || memcmp(row->in.data, q->data, q->size) == 0));
}

int32_t
exchange_answer(struct question *q)
{
    const struct host *host = q->conn->host;

    for (size_t i = 0; i < host->row_count; i++) {
        const struct exchange_row *row = &host->rows[i];
        int32_t result = KPOP_OK;

        if (!is_row_of(row, q))
            continue;
        if (row->out.len > 0)
            result = host->api->put_challenge(q->op, row->out.data,
                                              row->out.len);
        if (result == KPOP_OK && row->user != NULL)
            result = host->api->put_user(q->op, row->user);
        return result == KPOP_OK ? row->result : result;
    }
    return KPOP_AUTH;
}
