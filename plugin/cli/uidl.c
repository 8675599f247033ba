/*
 * uidl.c - `kpopctl uidl show|import USER`: the unique-ids of a maildrop, and
 * those that its messages had on another server.  Locks the maildrop as a
 * session does.  What must be made in state_dir is made with the caller's
 * rights; everything else, and whatever the owner of the mail could have
 * changed, is done with those of run_as.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/cli/uidl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin/cli/json.h"
#include "plugin/host/kpopd/process.h"
#include "plugin/host/kpopd/statefiles.h"

/* ---- what a message may be called by ---- */

bool
uidl_index_add(struct uidl_index *index, const char *name,
               struct uidl_msg *msg)
{
    struct uidl_key *keys;

    if (index->count == index->room) {
        size_t room = index->room > 0 ? index->room * 2 : 64;

        keys = reallocarray(index->keys, room, sizeof(keys[0]));
        if (keys == NULL)
            return false;
        index->keys = keys;
        index->room = room;
    }
    index->keys[index->count].msg = msg;
    index->keys[index->count].name = strdup(name);
    return index->keys[index->count++].name != NULL;
}

static int
compare_keys(const void *a, const void *b)
{
    return strcmp(((const struct uidl_key *)a)->name,
                  ((const struct uidl_key *)b)->name);
}

void
uidl_index_sort(struct uidl_index *index)
{
    if (index->count > 0)
        qsort(index->keys, index->count, sizeof(index->keys[0]),
              compare_keys);
}

int
uidl_index_find(const struct uidl_index *index, const char *name,
                struct uidl_msg **msg_out)
{
    size_t low = 0;
    size_t high = index->count;
    int found = 0;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(index->keys[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < index->count && strcmp(index->keys[low].name, name) == 0;
         low++) {
        if (found == 0 || index->keys[low].msg != *msg_out)
            found++;
        *msg_out = index->keys[low].msg;
    }
    return found > 2 ? 2 : found;
}

void
uidl_index_free(struct uidl_index *index)
{
    while (index->count > 0)
        free(index->keys[--index->count].name);
    free(index->keys);
    index->keys = NULL;
}

/* ---- the maildrop ---- */

static int
read_messages(const struct cli *cli, struct uidl_box *box)
{
    const char *base;
    bool alone;
    size_t len;
    uint32_t i;

    box->count = maildir_count(box->maildir);
    box->msgs = calloc(box->count + 1, sizeof(box->msgs[0]));
    for (i = 0; i < box->count && box->msgs != NULL; i++) {
        struct uidl_msg *msg = &box->msgs[i];

        msg->number = i;
        base = maildir_base(box->maildir, i, &len, &alone);
        maildir_uidl(box->maildir, i, msg->own);
        memcpy(msg->base, base, len);
        if (!uidl_index_add(&box->bases, msg->base, msg))
            break;
    }
    if (i < box->count || box->msgs == NULL) {
        cli_error(cli, "out of memory");
        return CLI_BAD;
    }
    uidl_index_sort(&box->bases);
    return CLI_GOOD;
}

static int
lock_maildir(const struct cli *cli, struct uidl_box *box)
{
    char sentence[PATH_MAX + 64];
    int32_t rc = maildir_open(box->path, NULL, NULL, &box->maildir);

    if (rc == KPOP_OK)
        return CLI_GOOD;
    if (rc == KPOP_IN_USE) {
        cli_error(cli, "a session has the maildrop; kpopctl kick ends it");
        return CLI_BUSY;
    }
    snprintf(sentence, sizeof(sentence), "%s: %s", box->path,
             rc == KPOP_NO_MEMORY ? "out of memory"
                                  : "the maildir can't be opened");
    cli_error(cli, sentence);
    return CLI_BAD;
}

int
uidl_open(const struct cli *cli, const struct settings *settings,
          const char *user, struct uidl_box *box_out)
{
    int status;

    memset(box_out, 0, sizeof(*box_out));
    box_out->settings = settings;
    box_out->user = user;
    if (settings->store == NULL
        || maildir_path(settings->store, user, box_out->path,
                        sizeof(box_out->path))
               != KPOP_OK) {
        cli_error(cli, "this name has no place in the store's path");
        return CLI_USAGE;
    }
    status = lock_maildir(cli, box_out);
    if (status == CLI_GOOD)
        status = read_messages(cli, box_out);
    if (status != CLI_GOOD || cli->replace
        || uidlmap_load(settings, user, &box_out->map) == KPOP_OK)
        return status;
    cli_error(cli, "the unique-ids of earlier imports can't be read");
    return CLI_BAD;
}

void
uidl_close(struct uidl_box *box)
{
    uidl_index_free(&box->bases);
    uidlmap_free(box->map);
    maildir_close(box->maildir);
    free(box->msgs);
}

/* ---- show ---- */

/* As UIDL would answer; *imported_out: not by its name. */
static void
choose(const struct uidl_box *box, const struct uidl_msg *msg,
       char uidl_out[KPOP_UIDL_MAX + 1], bool *imported_out)
{
    const char *found = NULL;
    struct uidl_msg *same;

    if (uidl_index_find(&box->bases, msg->base, &same) == 1)
        found = uidlmap_find(box->map, msg->base, strlen(msg->base));
    snprintf(uidl_out, KPOP_UIDL_MAX + 1, "%s",
             found != NULL ? found : msg->own);
    *imported_out = found != NULL;
    if (found == NULL)
        uidlmap_avoid(box->map, uidl_out);
}

/* A field of CSV (RFC 4180); nothing that a terminal would obey. */
static void
print_field(const char *text)
{
    const char *quote = strpbrk(text, "\",") != NULL ? "\"" : "";

    fputs(quote, stdout);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            putchar('"');
        putchar((unsigned char)*text < 0x20 || *text == 0x7F ? '?' : *text);
    }
    fputs(quote, stdout);
}

int
uidl_show(const struct cli *cli, const struct uidl_box *box)
{
    struct json json = { false };
    char uidl[KPOP_UIDL_MAX + 1];
    bool imported;
    size_t i;

    if (cli->json) {
        json_open(&json, NULL, '{');
        json_text(&json, "user", box->user);
        json_open(&json, "messages", '[');
    }
    for (i = 0; i < box->count; i++) {
        choose(box, &box->msgs[i], uidl, &imported);
        if (!cli->json) {
            print_field(box->msgs[i].base);
            putchar(',');
            print_field(uidl);
            putchar('\n');
            continue;
        }
        json_open(&json, NULL, '{');
        json_text(&json, "file", box->msgs[i].base);
        json_text(&json, "uidl", uidl);
        json_bool(&json, "imported", imported);
        json_close(&json, '}');
    }
    if (cli->json) {
        json_close(&json, ']');
        json_close(&json, '}');
        json_end(&json);
    }
    return CLI_GOOD;
}

/* ---- the command ---- */

/* The folder of imported unique-ids, as the master would make it. */
static int
make_folder(const struct settings *settings)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/uidl", settings->state_dir)
        >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (statefiles_directory(settings->state_dir) != 0)
        return -1;
    return statefiles_folder(path, &settings->run_as);
}

static int
run(const struct cli *cli, const struct settings *settings)
{
    bool imports = strcmp(cli->word, "import") == 0;
    const struct account *account = &settings->run_as;
    char error[SETUP_ERROR_MAX];
    struct uidl_box box;
    int status;

    if (geteuid() != 0 && account->uid != 0 && account->uid != geteuid()) {
        cli_error(cli, "only root and the user run_as may do this");
        return CLI_DENIED;
    }
    if (imports && !cli->dry_run && make_folder(settings) != 0) {
        snprintf(error, sizeof(error), "%s/uidl: %s", settings->state_dir,
                 strerror(errno));
        cli_error(cli, error);
        return CLI_BAD;
    }
    process_harden(false);
    if (process_become(account, error, sizeof(error)) != 0) {
        cli_error(cli, error);
        return CLI_BAD;
    }
    status = uidl_open(cli, settings, cli->whom, &box);
    if (status == CLI_GOOD)
        status = imports ? uidl_import(cli, &box) : uidl_show(cli, &box);
    uidl_close(&box);
    return status;
}

int
command_uidl(const struct cli *cli)
{
    char error[SETUP_ERROR_MAX];
    const char *wrong = uidl_wrong_option(cli);
    kpop_plugin_entry_fn entry;
    struct setup *setup;
    int status;

    if (wrong != NULL) {
        cli_error(cli, wrong);
        return CLI_USAGE;
    }
    entry = cli_module(cli);
    if (entry == NULL)
        return CLI_BAD;
    setup = setup_load(entry, cli->config, NULL, error, sizeof(error));
    if (setup == NULL) {
        cli_error(cli, error);
        return CLI_BAD;
    }
    status = run(cli, &setup->settings);
    setup_free(setup);
    return status;
}
