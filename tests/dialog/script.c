/*
 * script.c - the reader of dialogue files.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/dialog/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char hello[] = "\0\0\0\x13KRB5_SENDAUTH_V1.0\0"
                            "\0\0\0\x09KPOPV1.0";

static struct step *
add_step(struct script *script, enum step_kind kind, int line)
{
    struct step *step;

    script->steps = xrealloc(script->steps, (script->step_count + 1) *
                                                sizeof(*script->steps));
    step = &script->steps[script->step_count++];
    memset(step, 0, sizeof(*step));
    step->kind = kind;
    step->line = line;
    return step;
}

static bool
add_octets(struct script *script, enum step_kind kind, int line,
           const char *text)
{
    return script_octets(text, &add_step(script, kind, line)->octets);
}

static bool
add_text(struct script *script, enum step_kind kind, int line,
         const char *text)
{
    add_step(script, kind, line)->text = xstrdup(text);
    return true;
}

/* "+61s", "+500ms", "+10m" */
static bool
milliseconds(const char *text, uint64_t *out)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);

    if (end == text)
        return false;
    if (strncmp(end, "ms", 2) == 0)
        *out = value;
    else if (*end == 's')
        *out = value * 1000;
    else if (*end == 'm')
        *out = value * 60000;
    else
        return false;
    return true;
}

/* What stands in <> on a C: or S: line. */
static bool
add_event(struct script *script, bool client, int line, const char *text)
{
    static const struct {
        const char *text;
        bool client;
        enum step_kind kind;
    } events[] = {
        { "<eof>", true, STEP_EOF },
        { "<hangup>", true, STEP_HANGUP },
        { "<stalls>", true, STEP_STALL },
        { "<reads>", true, STEP_READ },
        { "<reads ", true, STEP_READ },
        { "<close>", false, STEP_EXPECT_CLOSE },
        { "<taken>", false, STEP_EXPECT_TAKEN },
        { "<not reading>", false, STEP_EXPECT_DEAF },
    };
    size_t i;

    for (i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        size_t len = strlen(events[i].text);

        if (events[i].client == client &&
            strncmp(text, events[i].text, len) == 0) {
            add_step(script, events[i].kind, line)->number =
                strtoull(text + len, NULL, 10);
            return true;
        }
    }
    return false;
}

static bool
add_ap_req(struct script *script, int line, const char *text)
{
    struct step *step = add_step(script, STEP_SEND, line);
    struct blob body = { 0 };
    uint8_t length[4];
    bool ok = script_octets(text, &body);
    int i;

    for (i = 0; i < 4; i++)
        length[i] = (uint8_t)(body.len >> (24 - 8 * i));
    blob_add(&step->octets, length, 4);
    blob_add(&step->octets, body.data, body.len);
    blob_free(&body);
    return ok;
}

static bool
add_hello(struct script *script, int line)
{
    blob_add(&add_step(script, STEP_SEND, line)->octets, hello,
             sizeof(hello));
    return true;
}

static bool
add_slowly(struct script *script, int line, const char *text)
{
    struct step *step = add_step(script, STEP_SEND_SLOWLY, line);
    const char *colon = strchr(text, ':');

    return colon != NULL && colon[1] == ' ' &&
           milliseconds(text, &step->number) &&
           script_line(colon + 2, 1, &step->octets);
}

static bool
client_line(struct script *script, int line, const char *text)
{
    struct step *step;
    unsigned long times = 1;
    char *end;

    if (strncmp(text, "-bytes: ", 8) == 0 || strncmp(text, "-hex: ", 6) == 0)
        return add_octets(script, STEP_SEND, line, strchr(text, ' '));
    if (strcmp(text, "-hello:") == 0)
        return add_hello(script, line);
    if (strncmp(text, "-last: ", 7) == 0) {
        step = add_step(script, STEP_SEND, line);
        step->number = 1;
        return script_line(text + 7, 1, &step->octets);
    }
    if (strncmp(text, "-ap-req: ", 9) == 0)
        return add_ap_req(script, line, text + 9);
    if (strncmp(text, "-slow ", 6) == 0)
        return add_slowly(script, line, text + 6);
    if (*text == '*') {
        times = strtoul(text + 1, &end, 10);
        text = end;
    }
    if (strncmp(text, ": ", 2) != 0)
        return false;
    if (text[2] == '<')
        return add_event(script, true, line, text + 2);
    return script_line(text + 2, times,
                       &add_step(script, STEP_SEND, line)->octets);
}

static bool
expect_krb(struct script *script, int line, const char *text)
{
    struct step *step = add_step(script, STEP_EXPECT_KRB, line);
    char *end;

    step->number = strtoull(text, &end, 10);
    step->text = xstrdup(*end == ' ' ? end + 1 : "");
    return true;
}

static bool
expect_line(struct script *script, int line, const char *text,
            unsigned long times)
{
    struct step *step = add_step(script, STEP_EXPECT, line);
    size_t len = strlen(text);
    char *copy = xstrdup(text);
    bool ok;

    step->prefix = len >= 3 && strcmp(text + len - 3, "...") == 0;
    if (step->prefix)
        copy[len - 3] = '\0';
    ok = script_line(copy, times, &step->octets);
    if (step->prefix)
        step->octets.len -= 2;
    free(copy);
    return ok;
}

/* S-list: COUNT OCTETS and S-uidl: COUNT, of `messages COUNT`, with the dot */
static bool
expect_listing(struct script *script, int line, const char *text)
{
    struct blob *octets = &add_step(script, STEP_EXPECT, line)->octets;
    bool uidl = text[1] == 'u';
    char *size, row[80];
    unsigned long count = strtoul(text + 7, &size, 10), i;

    for (i = 1; i <= count; i++) {
        (void)snprintf(row, sizeof(row), "%lu%.20s\r\n", i, size);
        if (uidl)
            (void)snprintf(row, sizeof(row), "%lu u%lu\r\n", i, i);
        blob_add(octets, row, strlen(row));
    }
    blob_add(octets, ".\r\n", 3);
    return true;
}

static bool
expect_retr(struct script *script, int line, const char *text)
{
    struct step *step = add_step(script, STEP_EXPECT_RETR, line);
    char *end;

    step->text = xstrdup(text);
    (void)strtoul(text, &end, 10);
    step->number = strtoull(end, NULL, 10);
    return true;
}

static bool
server_line(struct script *script, int line, const char *text)
{
    unsigned long times = 1;
    char *end;

    if (strncmp(text, "-bytes: ", 8) == 0 || strncmp(text, "-hex: ", 6) == 0)
        return add_octets(script, STEP_EXPECT, line, strchr(text, ' '));
    if (strncmp(text, "-list: ", 7) == 0 || strncmp(text, "-uidl: ", 7) == 0)
        return expect_listing(script, line, text);
    if (strncmp(text, "-retr: ", 7) == 0)
        return expect_retr(script, line, text + 7);
    if (strcmp(text, "-cut:") == 0) {
        (void)add_step(script, STEP_EXPECT_CUT, line);
        return true;
    }
    if (strcmp(text, ":") == 0)
        return expect_line(script, line, "", 1);
    if (strncmp(text, "-krb-error: ", 12) == 0)
        return expect_krb(script, line, text + 12);
    if (strncmp(text, "-wire: ", 7) == 0) {
        add_step(script, STEP_EXPECT_WIRE, line)->number =
            strtoull(text + 7, NULL, 10);
        return true;
    }
    if (*text == '*') {
        times = strtoul(text + 1, &end, 10);
        text = end;
    }
    if (strncmp(text, ": ", 2) != 0)
        return false;
    if (text[2] == '<')
        return add_event(script, false, line, text + 2);
    return expect_line(script, line, text + 2, times);
}

static bool
add_setting(struct script *script, char *text)
{
    char *blank = strchr(text, ' ');

    if (blank == NULL || script->setting_count == 16)
        return false;
    *blank = '\0';
    script->settings[script->setting_count][0] = xstrdup(text);
    script->settings[script->setting_count++][1] = xstrdup(blank + 1);
    return true;
}

/* What concerns the file as a whole. */
static bool
header_line(struct script *script, char *text, bool *known)
{
    *known = true;
    if (strncmp(text, "test: ", 6) == 0) {
        free(script->title);
        script->title = xstrdup(text + 6);
    } else if (strcmp(text, "listener kpop") == 0) {
        script->kpop = true;
        script->passwords = false;
    } else if (strncmp(text, "set ", 4) == 0) {
        return add_setting(script, text + 4);
    } else if (strcmp(text, "lockstep") == 0) {
        script->lockstep = true;
    } else if (strcmp(text, "answers later") == 0) {
        script->later = true;
    } else if (strcmp(text, "sweep") == 0) {
        script->sweep = true;
    } else if (strcmp(text, "auth exchange") == 0) {
        script->passwords = false;
    } else if (strcmp(text, "auth passwords") == 0) {
        script->exchange = false;
    } else {
        *known = false;
    }
    return true;
}

static bool
one_line(struct script *script, int line, char *text)
{
    bool known;
    bool ok = header_line(script, text, &known);

    if (known)
        return ok;
    if (text[0] == 'C' && strchr(":-*", text[1]) != NULL)
        return client_line(script, line, text + 1);
    if (text[0] == 'S' && strchr(":-*", text[1]) != NULL)
        return server_line(script, line, text + 1);
    if (strncmp(text, "time +", 6) == 0)
        return milliseconds(text + 6,
                            &add_step(script, STEP_TIME, line)->number);
    if (strcmp(text, "stop") == 0) {
        (void)add_step(script, STEP_STOP, line);
        return true;
    }
    if (strncmp(text, "connection ", 11) == 0) {
        add_step(script, STEP_CONNECTION, line)->number =
            strtoull(text + 11, NULL, 10);
        return true;
    }
    if (strncmp(text, "host: ", 6) == 0)
        return add_text(script, STEP_CHECK_HOST, line, text + 6);
    if (strncmp(text, "log: ", 5) == 0)
        return add_text(script, STEP_CHECK_LOG, line, text + 5);
    if (strncmp(text, "passwords log: ", 15) == 0) {
        (void)add_text(script, STEP_CHECK_LOG, line, text + 15);
        script->steps[script->step_count - 1].number = 1;
        return true;
    }
    if (strncmp(text, "no log: ", 8) == 0)
        return add_text(script, STEP_CHECK_NO_LOG, line, text + 8);
    return add_text(script, STEP_HOST, line, text);
}

static bool
all_lines(struct script *script, FILE *file)
{
    char text[4096];
    int line = 0;

    while (fgets(text, sizeof(text), file) != NULL) {
        line++;
        if (strchr(text, '\n') == NULL) {
            fprintf(stderr, "%s:%d: line too long\n", script->path, line);
            return false;
        }
        text[strcspn(text, "\n")] = '\0';
        if (text[0] == '#' || text[0] == '\0')
            continue;
        if (!one_line(script, line, text)) {
            fprintf(stderr, "%s:%d: what is \"%s\"?\n", script->path, line,
                    text);
            return false;
        }
    }
    return true;
}

struct script *
script_read(const char *path)
{
    struct script *script = xmalloc(sizeof(*script));
    FILE *file = fopen(path, "r");
    bool ok;

    script->path = xstrdup(path);
    script->exchange = script->passwords = true;
    ok = file != NULL && all_lines(script, file);
    if (file != NULL)
        (void)fclose(file);
    if (ok && script->title == NULL) {
        fprintf(stderr, "%s: no `test:` line\n", path);
        ok = false;
    }
    if (!ok) {
        script_free(script);
        return NULL;
    }
    return script;
}

void
script_free(struct script *script)
{
    size_t i;

    if (script == NULL)
        return;
    for (i = 0; i < script->step_count; i++) {
        blob_free(&script->steps[i].octets);
        free(script->steps[i].text);
    }
    for (i = 0; i < script->setting_count; i++) {
        free(script->settings[i][0]);
        free(script->settings[i][1]);
    }
    free(script->steps);
    free(script->title);
    free(script->path);
    free(script);
}
