/*
 * setup.c - the scripted host's life: what a dialogue file says of it, and
 * what must hold in the end.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/dialog/host.h"
#include "tests/dialog/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *word;
    int32_t result;
} results[] = {
    { "ok", KPOP_OK },           { "auth", KPOP_AUTH },
    { "denied", KPOP_DENIED },   { "temp", KPOP_TEMP },
    { "perm", KPOP_PERM },       { "in-use", KPOP_IN_USE },
    { "delay", KPOP_DELAY },     { "gone", KPOP_GONE },
    { "invalid", KPOP_INVALID }, { "no-memory", KPOP_NO_MEMORY },
    { "taken", KPOP_TAKEN },     { "continue", KPOP_CONTINUE },
    { "short", LIE_SHORT },      { "long", LIE_LONG },
};

static const char *const faulty[ASK_KINDS] = {
    "mechanisms", "start", "step", "authorize", "verify", "open", "list",
    "fetch", "commit", "envelope",
};

void
host_init(struct host *host, enum answering answering, uint64_t seed)
{
    memset(host, 0, sizeof(*host));
    host->answering = answering;
    host->seed = seed;
    host->expire = KPOP_EXPIRE_NEVER;
    (void)snprintf(host->mechanisms, sizeof(host->mechanisms), "KPOP USER");
}

void
host_free(struct host *host)
{
    struct box *box, *next;
    size_t i;

    for (box = host->boxes; box != NULL; box = next) {
        next = box->next;
        free(box->messages);
        free(box);
    }
    for (i = 0; i < host->message_count; i++) {
        blob_free(&host->messages[i].octets);
        free(host->messages[i].uidl);
    }
    for (i = 0; i < host->user_count; i++) {
        free(host->users[i].name);
        free(host->users[i].password);
    }
    exchange_free(host);
    free(host->messages);
    free(host->users);
    blob_free(&host->log);
}

bool
host_find_result(const char *word, int32_t *out)
{
    size_t i;

    for (i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        if (strcmp(word, results[i].word) == 0) {
            *out = results[i].result;
            return true;
        }
    }
    return false;
}

static char *
copy_word(const char *text)
{
    size_t len = strcspn(text, " ");
    char *copy = xmalloc(len + 1);

    memcpy(copy, text, len);
    return copy;
}

/* The text of a line: CRLF for every line end, then dots. */
void
host_wire(const struct host *host, uint32_t msgno, bool stuffed,
          struct blob *out)
{
    const struct blob *in = &host->messages[msgno - 1].octets;
    bool at_start = true;
    size_t i;

    for (i = 0; i < in->len; i++) {
        uint8_t c = in->data[i];
        bool ends = c == '\n' ||
                    (c == '\r' && i + 1 < in->len && in->data[i + 1] == '\n');

        if (at_start && c == '.' && stuffed)
            blob_add(out, ".", 1);
        at_start = ends;
        if (!ends) {
            blob_add(out, &c, 1);
            continue;
        }
        blob_add(out, "\r\n", 2);
        if (c == '\r')
            i++;
    }
    if (at_start)
        return;
    /* A CR that ends it all needs only its LF. */
    blob_add(out, "\r\n", in->data[in->len - 1] != '\r' ? 2 : 0);
    if (in->data[in->len - 1] == '\r')
        blob_add(out, "\n", 1);
}

/* message [uidl=TEXT] [size=N] OCTETS */
static bool
add_message(struct host *host, const char *text, uint32_t copies)
{
    struct message *message;
    struct blob wire = { 0 };
    bool sized = false;

    host->messages = xrealloc(host->messages, (host->message_count + 1) *
                                                  sizeof(*host->messages));
    message = &host->messages[host->message_count++];
    memset(message, 0, sizeof(*message));
    message->copies = copies;
    if (strncmp(text, "uidl=", 5) == 0) {
        message->uidl = copy_word(text + 5);
        text += strcspn(text, " ");
        text += *text == ' ';
    }
    if (strncmp(text, "size=", 5) == 0) {
        message->size = strtoull(text + 5, NULL, 10);
        sized = true;
        text += strcspn(text, " ");
    }
    if (!script_octets(text, &message->octets))
        return false;
    host_wire(host, (uint32_t)host->message_count, false, &wire);
    if (!sized)
        message->size = wire.len;
    blob_free(&wire);
    return true;
}

/* user NAME OCTETS [RESULT] */
static bool
add_user(struct host *host, const char *text)
{
    struct blob password = { 0 };
    const char *quote = strchr(text, '"');
    const char *last = strrchr(text, '"');
    struct user *user;
    char *part;
    bool ok;

    if (quote == NULL || last == quote)
        return false;
    host->users = xrealloc(host->users,
                           (host->user_count + 1) * sizeof(*host->users));
    user = &host->users[host->user_count++];
    memset(user, 0, sizeof(*user));
    user->name = copy_word(text);
    part = xstrdup(quote);
    part[last - quote + 1] = '\0';
    ok = script_octets(part, &password);
    free(part);
    blob_add(&password, "", 0);
    user->password = xstrdup((const char *)password.data);
    blob_free(&password);
    if (last[1] == ' ')
        ok = ok && host_find_result(last + 2, &user->result);
    return ok;
}

static bool
fault_detail(struct fault *fault, const char *word, const char *value)
{
    if (strcmp(word, "once") == 0)
        fault->once = true;
    else if (strcmp(word, "after-first") == 0)
        fault->after_first = true;
    else if (strcmp(word, "at") == 0 && value != NULL)
        fault->at = strtoull(value, NULL, 10);
    else if (strcmp(word, "msg") == 0 && value != NULL)
        fault->msg = (uint32_t)strtoul(value, NULL, 10);
    else
        return false;
    return true;
}

/* fault QUESTION RESULT [once] [after-first] [at N] [msg N] */
static bool
add_fault(struct host *host, const char *text)
{
    struct fault fault = { 0 };
    char *copy = xstrdup(text);
    char *rest = copy;
    char *kind = strtok_r(copy, " ", &rest);
    char *result = strtok_r(NULL, " ", &rest);
    bool ok = kind != NULL && result != NULL &&
              host_find_result(result, &fault.result);
    char *word;
    size_t i;

    while (ok && (word = strtok_r(NULL, " ", &rest)) != NULL) {
        bool valued = strcmp(word, "at") == 0 || strcmp(word, "msg") == 0;

        ok = fault_detail(&fault, word,
                          valued ? strtok_r(NULL, " ", &rest) : NULL);
    }
    for (i = 0; ok && i < ASK_KINDS; i++) {
        if (strcmp(kind, faulty[i]) == 0)
            break;
    }
    if (ok && strcmp(kind, "login") == 0)
        host->faults[ASK_START] = host->faults[ASK_VERIFY] = fault;
    else if (ok && i < ASK_KINDS)
        host->faults[i] = fault;
    else
        ok = false;
    free(copy);
    return ok;
}

bool
host_directive(struct host *host, const char *line)
{
    char *end;

    if (strncmp(line, "message ", 8) == 0)
        return add_message(host, line + 8, 1);
    if (strncmp(line, "messages ", 9) == 0) {
        uint32_t copies = (uint32_t)strtoul(line + 9, &end, 10);

        return *end == ' ' && add_message(host, end + 1, copies);
    }
    if (strncmp(line, "user ", 5) == 0)
        return add_user(host, line + 5);
    if (strncmp(line, "fault ", 6) == 0)
        return add_fault(host, line + 6);
    if (strncmp(line, "exchange ", 9) == 0)
        return exchange_add(host, line + 9);
    if (strncmp(line, "mechanisms ", 11) == 0)
        return snprintf(host->mechanisms, sizeof(host->mechanisms), "%s",
                        line + 11) > 0;
    if (strcmp(line, "hold") == 0)
        return host->held = true;
    if (strcmp(line, "release") == 0)
        return !(host->held = false);
    if (strncmp(line, "envelope ", 9) == 0)
        return sscanf(line + 9, "%119s %119s", host->sender,
                      host->recipient) > 0;
    if (strcmp(line, "announces") == 0)
        return host->announces = true;
    if (strncmp(line, "policy ", 7) == 0) {
        host->expire = (uint32_t)strtoul(line + 7, &end, 10);
        host->login_delay = (uint32_t)strtoul(end, NULL, 10);
        return true;
    }
    if (strcmp(line, "total unknown") == 0)
        return host->total_unknown = true;
    if (strncmp(line, "total ", 6) == 0) {
        host->total = strtoull(line + 6, NULL, 10);
        return host->total_is_set = true;
    }
    return false;
}

bool
host_is_deleted(const struct host *host, uint32_t msgno)
{
    return msgno >= 1 && msgno <= host->message_count &&
           host->messages[msgno - 1].deleted;
}

void
host_check_balance(struct host *host)
{
    const struct box *box;

    for (box = host->boxes; box != NULL; box = box->next) {
        if (!box->closed)
            host_fail(host, "a box was left open");
    }
    if (host->opens != host->closes)
        host_fail(host, "%u boxes opened, %u closed", host->opens,
                  host->closes);
    if (host->starts != host->ends)
        host_fail(host, "%u exchanges started, %u ended", host->starts,
                  host->ends);
    if (host->locked_by != NULL)
        host_fail(host, "the maildrop is still locked");
}

/* "1,3" or "none" */
static void
check_marks(struct host *host, bool deleted, const char *list)
{
    char got[4000] = "";
    size_t used = 0, i;

    for (i = 0; i < host->message_count; i++) {
        if ((deleted ? host->messages[i].deleted
                     : host->messages[i].retrieved) &&
            used < sizeof(got) - 12)
            used += (size_t)snprintf(got + used, sizeof(got) - used, "%s%zu",
                                     used > 0 ? "," : "", i + 1);
    }
    if (strcmp(used > 0 ? got : "none", list) != 0)
        host_fail(host, "%s %s instead of %s",
                  deleted ? "deleted" : "retrieved", used > 0 ? got : "none",
                  list);
}

static bool
counter(const struct host *host, const char *word, uint64_t *out)
{
    if (strcmp(word, "opens") == 0)
        *out = host->opens;
    else if (strcmp(word, "closes") == 0)
        *out = host->closes;
    else if (strcmp(word, "commits") == 0)
        *out = host->asked[ASK_COMMIT];
    else if (strcmp(word, "lists") == 0)
        *out = host->asked[ASK_LIST];
    else if (strcmp(word, "cancels") == 0)
        *out = host->cancels;
    else if (strcmp(word, "starts") == 0)
        *out = host->starts;
    else if (strcmp(word, "logins") == 0)
        *out = host->asked[ASK_START] + host->asked[ASK_VERIFY];
    else
        return false;
    return true;
}

void
host_check(struct host *host, const char *text, bool exchange)
{
    char *copy = xstrdup(text);
    char *rest = copy;
    char *word, *value;

    for (word = strtok_r(copy, " ", &rest); word != NULL;
         word = strtok_r(NULL, " ", &rest)) {
        uint64_t got = 0;
        bool marks = strcmp(word, "deleted") == 0 ||
                     strcmp(word, "retrieved") == 0;

        value = strtok_r(NULL, " ", &rest);
        if (value != NULL && strcmp(word, "requested") == 0) {
            if (strcmp(value, host->requested) != 0)
                host_fail(host, "requested %s instead of %s",
                          host->requested, value);
            continue;
        }
        if (value == NULL || (!marks && !counter(host, word, &got))) {
            host_fail(host, "host: what is \"%s\"?", word);
        } else if (marks) {
            check_marks(host, strcmp(word, "deleted") == 0, value);
        } else if (strcmp(word, "starts") == 0 && !exchange) {
            continue;
        } else if (got != strtoull(value, NULL, 10)) {
            host_fail(host, "%s: %llu instead of %s", word,
                      (unsigned long long)got, value);
        }
    }
    free(copy);
}
