/*
 * doctor_rest.c - what `kpopctl check` would still say, and how a mistake in
 * the configuration is mended.  A line is taken away by a command only when it
 * means nothing; whoever meant something by it gets an editor.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin/cli/doctor.h"
#include "plugin/host/kpopd/log.h"

static const char word_octets[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789_-";

/* ---- lines ---- */

/* One key of the configuration; false behind the last one. */
static bool
setting_at(const struct doctor *doctor, uint32_t i,
           struct kpop_setting *setting_out)
{
    const struct kpop_api *api = doctor->setup->api;

    memset(setting_out, 0, sizeof(*setting_out));
    setting_out->size = sizeof(*setting_out);
    /* An older module can't tell. */
    return api->size >= offsetof(struct kpop_api, setting)
                            + sizeof(api->setting)
           && api->setting(doctor->setup->sessions, i, setting_out) == 1;
}

unsigned long
doctor_line(const struct doctor *doctor, const char *key)
{
    struct kpop_setting setting;

    for (uint32_t i = 0; setting_at(doctor, i, &setting); i++) {
        if (strcmp(setting.key->name, key) == 0)
            return setting.line;
    }
    return 0;
}

static bool
has_word(const char *text, const char *word)
{
    size_t len = strlen(word);

    for (const char *p = text; (p = strstr(p, word)) != NULL; p += len) {
        if ((p == text || strchr(word_octets, p[-1]) == NULL)
            && (p[len] == '\0' || strchr(word_octets, p[len]) == NULL))
            return true;
    }
    return false;
}

/* The line that the sentence "key: ..." is about: of the key, or else of one
 * that it names because that demands it. */
static unsigned long
line_of(const struct doctor *doctor, const char *sentence)
{
    struct kpop_setting setting;
    char key[DOCTOR_NAME_MAX];
    unsigned long line;

    snprintf(key, sizeof(key), "%.*s", (int)strcspn(sentence, ":"), sentence);
    line = doctor_line(doctor, key);
    for (uint32_t i = 0; line == 0 && setting_at(doctor, i, &setting); i++) {
        if (setting.line != 0 && has_word(sentence, setting.key->name))
            line = setting.line;
    }
    return line;
}

/* ---- how to mend ---- */

static void
edit_line(struct doctor *doctor, unsigned long line)
{
    const char *file = doctor->cli->config;
    char quoted[DOCTOR_TEXT_MAX];

    doctor_quote(file, quoted);
    if (line != 0)
        doctor_mend(doctor, "${EDITOR:-vi} +%lu %s", line, quoted);
    else
        doctor_mend(doctor, "${EDITOR:-vi} %s", quoted);
}

void
doctor_edit(struct doctor *doctor, const char *key)
{
    edit_line(doctor, doctor_line(doctor, key));
}

/* What stands behind "FILE:LINE: ", else the whole; and the line, or 0. */
static const char *
split(const struct doctor *doctor, const char *error, unsigned long *line_out)
{
    const char *file = doctor->cli->config;
    size_t len = strlen(file);
    char *end;

    *line_out = 0;
    if (strncmp(error, file, len) != 0 || error[len] != ':')
        return error;
    *line_out = strtoul(error + len + 1, &end, 10);
    return strncmp(end, ": ", 2) == 0 ? end + 2 : error;
}

/* "unknown key `idle_timout'; did you mean idle_timeout?": it is renamed.
 * Without the question nobody knows what it was for. */
static bool
mend_unknown(struct doctor *doctor, unsigned long line, const char *name)
{
    static const char question[] = "'; did you mean ";
    size_t len = strspn(name, word_octets);
    const char *other = name + len + sizeof(question) - 1;
    char quoted[DOCTOR_TEXT_MAX];

    if (strncmp(name + len, question, sizeof(question) - 1) != 0)
        return strstr(name, question) == NULL;
    doctor_mend(doctor, "sed -i '%lus/%.*s/%.*s/' %s", line, (int)len, name,
                (int)strspn(other, word_octets), other,
                doctor_quote(doctor->cli->config, quoted));
    return false;
}

/* Can it be taken away?  If not, the mend is there. */
static bool
means_nothing(struct doctor *doctor, unsigned long line, const char *sentence)
{
    static const char unknown[] = "unknown key `";
    static const char again[] = ": was set already on line ";

    edit_line(doctor, line);
    if (strncmp(sentence, unknown, sizeof(unknown) - 1) == 0)
        return mend_unknown(doctor, line, sentence + sizeof(unknown) - 1);
    return strncmp(sentence, "`key = value' is needed", 23) == 0
           || strncmp(sentence + strspn(sentence, word_octets), again,
                      sizeof(again) - 1) == 0;
}

void
doctor_mend_line(struct doctor *doctor, const char *error)
{
    char quoted[DOCTOR_TEXT_MAX];
    unsigned long line;
    const char *sentence = split(doctor, error, &line);

    if (means_nothing(doctor, line, sentence) && line != 0)
        doctor_mend(doctor, "sed -i '%lus/^/#/' %s", line,
                    doctor_quote(doctor->cli->config, quoted));
}

/* ---- the look ---- */

void
doctor_rest(struct doctor *doctor)
{
    char error[SETUP_ERROR_MAX];
    struct setup *setup;
    unsigned long line;

    /* Somebody else can't look as the server does; and what kpopd makes is
     * left to it. */
    if (doctor->errors != 0
        || (geteuid() != 0 && doctor_value(doctor, "auth_user")[0] != '\0'
            && doctor->auth_user.uid != geteuid())
        || access(doctor_value(doctor, "state_dir"), F_OK) != 0
        || access(doctor_value(doctor, "replay_cache"), F_OK) != 0)
        return;
    log_set(LOG_TO_STDERR, KPOP_LOG_ERROR);
    fflush(stdout);
    setup = setup_load(doctor->entry, doctor->cli->config, NULL, error,
                       sizeof(error));
    if (setup == NULL || setup_check(setup, error, sizeof(error)) != 0) {
        edit_line(doctor, line_of(doctor, split(doctor, error, &line)));
        doctor_error(doctor, "%s", error);
    }
    setup_free(setup);
}
