/*
 * doctor.c - `kpopctl doctor` looks at all that a kpop server needs of its
 * machine, its realm and its network, and tells for each fault how to mend it.
 * It changes nothing.  Run as root it looks with the rights of the server's
 * users.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/cli/doctor.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugin/host/kpopd/module.h"
#include "plugin/host/kpopd/process.h"
#include "plugin/host/kpopd/words.h"

/* In this order: later ones leave to earlier ones what those have told. */
static const struct {
    const char *name;
    doctor_check_fn *run;
} checks[] = {
    { "users", doctor_users },
    { "files", doctor_files },
    { "keytab", doctor_keytab },
    { "kdc", doctor_kdc },
    { "names", doctor_names },
    { "services", doctor_services },
    { "ports", doctor_ports },
    { "tls", doctor_tls },
    { "logins", doctor_logins },
    { "rest", doctor_rest },
};

/* ---- telling ---- */

static void
print_json(struct doctor *doctor, bool is_error, const char *text)
{
    struct json *json = &doctor->json;

    json_open(json, NULL, '{');
    json_text(json, "severity", is_error ? "error" : "warning");
    json_text(json, "check", doctor->check);
    json_text(json, "text", text);
    json_text(json, "mend", doctor->mend);
    json_close(json, '}');
}

static bool
is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

static void tell(struct doctor *doctor, bool is_error, const char *format,
                 va_list args) __attribute__((format(printf, 3, 0)));

static void
tell(struct doctor *doctor, bool is_error, const char *format, va_list args)
{
    const struct cli *cli = doctor->cli;
    const char *plain = cli_colour(cli, PLAIN);
    char text[DOCTOR_MEND_MAX];

    vsnprintf(text, sizeof(text), format, args);
    /* What a library or a file said must not break the line. */
    for (char *p = text; *p != '\0'; p++) {
        if (is_control(*p))
            *p = ' ';
    }
    doctor->errors += is_error ? 1 : 0;
    doctor->warnings += is_error ? 0 : 1;
    if (cli->json)
        print_json(doctor, is_error, text);
    else
        printf("%s%s%s: %s: %s; mend: %s%s%s\n",
               cli_colour(cli, is_error ? RED : YELLOW),
               is_error ? "error" : "warning", plain, doctor->check, text,
               cli_colour(cli, BOLD), doctor->mend, plain);
    doctor->mend[0] = '\0';
}

void
doctor_error(struct doctor *doctor, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tell(doctor, true, format, args);
    va_end(args);
}

void
doctor_warn(struct doctor *doctor, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tell(doctor, false, format, args);
    va_end(args);
}

void
doctor_mend(struct doctor *doctor, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(doctor->mend, sizeof(doctor->mend), format, args);
    va_end(args);
}

const char *
doctor_quote(const char *word, char *out)
{
    size_t len = 0;

    if (word[0] != '\0' && word[0] != '-'
        && word[strspn(word, "abcdefghijklmnopqrstuvwxyz"
                             "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "0123456789.:_@%+,/-")]
               == '\0'
        && strlen(word) < DOCTOR_TEXT_MAX) {
        memcpy(out, word, strlen(word) + 1);
        return out;
    }
    out[len++] = '\'';
    /* What doesn't fit, or would speak to the terminal, becomes a word that
     * names nothing. */
    for (; *word != '\0' && !is_control(*word) && len < DOCTOR_TEXT_MAX - 6;
         word++) {
        if (*word == '\'') {
            memcpy(out + len, "'\\''", 4);
            len += 4;
        } else {
            out[len++] = *word;
        }
    }
    if (*word != '\0')
        len = 1;
    out[len++] = '\'';
    out[len] = '\0';
    return out;
}

/* ---- what the groups ask ---- */

const char *
doctor_folder(const char *path, char *out)
{
    const char *slash = strrchr(path, '/');

    snprintf(out, DOCTOR_TEXT_MAX, "%.*s",
             slash == NULL || slash == path ? 1 : (int)(slash - path), path);
    return out;
}

const char *
doctor_value(const struct doctor *doctor, const char *key)
{
    return doctor->setup->api->get(doctor->setup->sessions, key);
}

bool
doctor_lists(const struct doctor *doctor, const char *key, const char *word)
{
    return words_have(doctor_value(doctor, key), word);
}

int
doctor_try(const struct account *user, const char *path, int mode)
{
    char error[SETUP_ERROR_MAX];
    int status = 0;
    pid_t pid;

    if (user->name == NULL || geteuid() != 0)
        return user->uid != geteuid() || access(path, mode) == 0 ? 0 : errno;
    fflush(stdout);
    pid = fork();
    if (pid < 0)
        return 0;
    if (pid == 0) {
        if (process_become(user, error, sizeof(error)) != 0)
            _exit(0);
        _exit(access(path, mode) == 0 ? 0 : errno & 0xff);
    }
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return 0;
    return WEXITSTATUS(status);
}

bool
doctor_closed_folder(const struct account *user, const char *path,
                     char *folder_out)
{
    const char *slash = path;

    while ((slash = strchr(slash + 1, '/')) != NULL) {
        snprintf(folder_out, DOCTOR_TEXT_MAX, "%.*s", (int)(slash - path),
                 path);
        if (doctor_try(user, folder_out, X_OK) == EACCES)
            return true;
    }
    return false;
}

static void
tell_unreadable(struct doctor *doctor, const char *what, const char *path,
                int code)
{
    const struct account *user = &doctor->auth_user;
    const char *name = user->name != NULL ? user->name : "this user";
    char folder[DOCTOR_TEXT_MAX];
    char quoted[DOCTOR_TEXT_MAX];

    if (doctor_closed_folder(user, path, folder)) {
        doctor_mend(doctor, "chmod o+x %s", doctor_quote(folder, quoted));
        doctor_error(doctor, "%s %s: %s may not enter %s", what, path, name,
                     folder);
        return;
    }
    doctor_quote(path, quoted);
    if (user->name != NULL)
        doctor_mend(doctor, "chown %s %s && chmod 600 %s", name, quoted,
                    quoted);
    else
        doctor_mend(doctor, "sudo chown %lu %s && sudo chmod 600 %s",
                    (unsigned long)geteuid(), quoted, quoted);
    doctor_error(doctor, "%s %s: %s can't read it: %s", what, path, name,
                 strerror(code));
}

bool
doctor_is_hidden(struct doctor *doctor, const char *what, const char *path)
{
    char quoted[DOCTOR_TEXT_MAX];

    if (geteuid() == 0 || access(path, R_OK) == 0 || errno != EACCES
        || doctor_value(doctor, "auth_user")[0] == '\0'
        || doctor->auth_user.uid == geteuid())
        return false;
    doctor_mend(doctor, "sudo kpopctl -c %s doctor",
                doctor_quote(doctor->cli->config, quoted));
    doctor_warn(doctor, "%s %s: only root can look at it", what, path);
    return true;
}

bool
doctor_private_file(struct doctor *doctor, const char *what,
                    const char *path, mode_t forbidden)
{
    char quoted[DOCTOR_TEXT_MAX];
    struct stat st;
    int code;

    if (doctor_is_hidden(doctor, what, path))
        return false;
    if (stat(path, &st) != 0) {
        if (errno == ENOENT) {
            doctor_error(doctor, "%s %s: is missing", what, path);
            return false;
        }
        tell_unreadable(doctor, what, path, errno);
        return false;
    }
    code = doctor->has_users ? doctor_try(&doctor->auth_user, path, R_OK) : 0;
    if (code != 0) {
        tell_unreadable(doctor, what, path, code);
        return false;
    }
    if ((st.st_mode & forbidden) != 0) {
        /* Where nobody else is known, its group may be meant to have it. */
        doctor_mend(doctor, "chmod %s %s",
                    (forbidden & S_IRGRP) != 0 || doctor->run_as.name != NULL
                        ? "u=rw,go="
                        : "g-w,o=",
                    doctor_quote(path, quoted));
        doctor_error(doctor, "%s %s: others than its owner may read or "
                     "change it (mode %04o); whoever did has what it holds, "
                     "so renew that, too", what, path,
                     (unsigned)(st.st_mode & 07777));
    } else if (doctor->has_users && doctor->run_as.name != NULL
               && doctor_try(&doctor->run_as, path, R_OK) == 0) {
        doctor_mend(doctor, "chown %s %s && chmod 600 %s",
                    doctor->auth_user.name, doctor_quote(path, quoted),
                    quoted);
        doctor_error(doctor, "%s %s: %s, who faces the network, can read it",
                     what, path, doctor->run_as.name);
    }
    return true;
}

/* ---- the command ---- */

/* As the module finds it. */
static void
find_host(struct doctor *doctor)
{
    struct addrinfo hints = { .ai_flags = AI_CANONNAME,
                              .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;
    const char *set = doctor_value(doctor, "hostname");

    snprintf(doctor->host, sizeof(doctor->host), "%s", set);
    if (set[0] != '\0' || gethostname(doctor->host, sizeof(doctor->host)))
        return;
    doctor->host[sizeof(doctor->host) - 1] = '\0';
    if (getaddrinfo(doctor->host, NULL, &hints, &list) != 0)
        return;
    if (list->ai_canonname != NULL
        && strchr(list->ai_canonname, '.') != NULL)
        snprintf(doctor->host, sizeof(doctor->host), "%s",
                 list->ai_canonname);
    freeaddrinfo(list);
}

static bool
begin(struct doctor *doctor)
{
    char error[SETUP_ERROR_MAX];

    doctor->entry = module_load(doctor->cli->module, error, sizeof(error));
    if (doctor->entry == NULL) {
        doctor->check = "module";
        doctor_mend(doctor, access("/usr/bin/apt-get", X_OK) == 0
                                ? "apt-get install --reinstall kpop-plugin"
                                : "dnf reinstall kpop-plugin");
        doctor_error(doctor, "%s", error);
        return false;
    }
    doctor->check = "configuration";
    doctor->setup = setup_read(doctor->entry, doctor->cli->config, error,
                               sizeof(error));
    if (doctor->setup == NULL) {
        doctor_mend_line(doctor, error);
        doctor_error(doctor, "%s", error);
        return false;
    }
    find_host(doctor);
    return true;
}

static void
end(struct doctor *doctor)
{
    for (size_t i = 0; i < doctor->key_count; i++)
        free(doctor->keys[i].principal);
    free(doctor->keys);
    free(doctor->run_as.name);
    free(doctor->auth_user.name);
    setup_free(doctor->setup);
}

int
command_doctor(const struct cli *cli)
{
    struct doctor doctor = { .cli = cli };

    if (cli->json) {
        json_open(&doctor.json, NULL, '{');
        json_open(&doctor.json, "findings", '[');
    }
    if (begin(&doctor)) {
        for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
            doctor.check = checks[i].name;
            checks[i].run(&doctor);
        }
    }
    if (cli->json) {
        json_close(&doctor.json, ']');
        json_number(&doctor.json, "errors", doctor.errors);
        json_number(&doctor.json, "warnings", doctor.warnings);
        json_close(&doctor.json, '}');
        json_end(&doctor.json);
    }
    end(&doctor);
    if (doctor.errors != 0)
        return CLI_BAD;
    return doctor.warnings != 0 ? CLI_WARNED : CLI_GOOD;
}
