/*
 * settings.c - the table of kpopd's keys, and the reading of their values.
 * It opens nothing but the user database; what the values point to is checked
 * by config.c, with the rights of those who will use it.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/settings_internal.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin/host/kpopd/metrics_listen.h"
#include "plugin/host/kpopd/users.h"
#include "plugin/host/kpopd/words.h"

#define KEY(kind, min, max, name, standard, choices, help)                    \
    { sizeof(struct kpop_key), (kind), (min), (max), (name), (standard),     \
      (choices), (help) }

const struct kpop_key kpopd_keys[] = {
    KEY(KPOP_KEY_TEXT, 0, 0, "store", "", "",
        "Where the mail is: maildir:PATH, where %u stands for the user and "
        "%d for the domain behind an @ in the user's name."),
    KEY(KPOP_KEY_TEXT, 0, 0, "passwords", "", "",
        "Who checks passwords: file:PATH, a file of user:hash lines (hashes "
        "of crypt(3)) that only auth_user can read; pam:SERVICE; or "
        "saslauthd:, or saslauthd:PATH of its socket."),
    KEY(KPOP_KEY_TEXT, 0, 0, "secrets", "", "",
        "Secrets for APOP, CRAM-MD5 and SCRAM: file:PATH, a file of "
        "user:secret lines in plain text, auth_user's own and mode 0600; or "
        "sasldb:, or sasldb:PATH."),
    KEY(KPOP_KEY_LIST, 0, 0, "proxy_users", "", "",
        "Principals and users who may open the maildrops of all others."),
    KEY(KPOP_KEY_SECONDS, 0, 30, "login_failure_delay", "16", "",
        "How long a login by password or secret waits at most, after others "
        "from its address or for its user have failed; 0 is never."),
    KEY(KPOP_KEY_NUMBER, 1, 256, "workers", "", "",
        "How many processes serve connections; one a processor by default."),
    KEY(KPOP_KEY_NUMBER, 1, 64, "auth_processes", "", "",
        "How many processes check tickets, as many again passwords and "
        "secrets, and as many again ask PAM or saslauthd; one a processor by "
        "default."),
    KEY(KPOP_KEY_SECONDS, 1, 300, "auth_timeout", "5", "",
        "How long one step of a login may take before the client is told to "
        "try again and the process that hangs is replaced."),
    KEY(KPOP_KEY_SECONDS, 0, 300, "worker_timeout", "30", "",
        "How long a worker may give no sign of life before it is replaced, "
        "and its sessions end; 0 is never."),
    KEY(KPOP_KEY_YES_NO, 0, 0, "sandbox", "yes", "",
        "Processes can ask the kernel for what they need and for nothing "
        "else (seccomp, Landlock)."),
    KEY(KPOP_KEY_LIST, 0, 0, "sandbox_paths", "", "",
        "Folders besides that of the store where mail is, as behind a "
        "symbolic link."),
    KEY(KPOP_KEY_PATH, 0, 0, "state_dir", "/var/lib/kpop", "",
        "A directory of kpopd's own that survives a restart."),
    KEY(KPOP_KEY_SECONDS, 0, 604800, "login_delay", "0", "",
        "How long a user must wait between two logins; 0 is not at all."),
    KEY(KPOP_KEY_TEXT, 0, 0, "expire", "never", "",
        "Days until a message is removed that was retrieved; 0 is at once, "
        "with QUIT, and never is never."),
    KEY(KPOP_KEY_LIST, 0, 0, "sdps_headers",
        "Delivered-To X-Original-To Envelope-To", "",
        "Header fields in which the delivery notes the envelope's recipient; "
        "the uppermost one counts."),
    KEY(KPOP_KEY_YES_NO, 0, 0, "retr_sets_seen", "no", "",
        "A message that was retrieved is marked as seen, with QUIT."),
    KEY(KPOP_KEY_TEXT, 0, 0, "run_as", "", "",
        "The user of the workers, who owns the mail; needed when kpopd is "
        "started as root."),
    KEY(KPOP_KEY_TEXT, 0, 0, "auth_user", "", "",
        "The user who can read the keytab and the password file, and nobody "
        "else; needed when kpopd is started as root."),
    KEY(KPOP_KEY_LIST, 0, 0, "trusted_networks", "", "",
        "Networks (10.0.0.0/8, 2001:db8::/32) from which neither "
        "max_sessions_per_ip nor login_failure_delay counts."),
    KEY(KPOP_KEY_LIST, 0, 0, "haproxy_trusted_networks", "", "",
        "Networks of proxies that tell the client's address by the PROXY "
        "protocol; others are refused where it is expected."),
    KEY(KPOP_KEY_LIST, 0, 0, "haproxy_services", "kpop pop3 pop3s",
        "kpop pop3 pop3s",
        "The listeners that expect it, if there are such networks."),
    KEY(KPOP_KEY_NUMBER, 1, 1000000, "max_sessions", "10000", "",
        "How many connections there may be at all."),
    KEY(KPOP_KEY_NUMBER, 1, 1000000, "max_sessions_per_ip", "50", "",
        "How many connections one IPv4 address or IPv6 /64 may have."),
    KEY(KPOP_KEY_NUMBER, 1, 1000000, "max_unauthenticated", "500", "",
        "How many connections may be before their login; when one more "
        "comes, the oldest of them goes."),
    KEY(KPOP_KEY_TEXT, 0, 0, "metrics", "", "",
        "Where metrics are served: unix:PATH, or a loopback address and port "
        "such as 127.0.0.1:9109."),
    KEY(KPOP_KEY_CHOICE, 0, 0, "log", "stderr", "stderr syslog journal",
        "Where the log lines go."),
    KEY(KPOP_KEY_CHOICE, 0, 0, "log_level", "info",
        "error warning info debug", "Which log lines are written."),
};

const size_t kpopd_key_count = sizeof(kpopd_keys) / sizeof(kpopd_keys[0]);

int32_t
reading_blame(const struct reading *r, const char *key, const char *sentence)
{
    return r->api->blame(r->plugin, key, sentence, r->error, r->error_size);
}

int32_t
reading_no_memory(const struct reading *r)
{
    snprintf(r->error, r->error_size, "out of memory");
    return KPOP_NO_MEMORY;
}

const char *
reading_text(const struct reading *r, const char *key)
{
    const char *text = r->api->get(r->plugin, key);

    return text != NULL ? text : "";
}

/* The module has checked digits and range already. */
static uint64_t
number_of(const struct reading *r, const char *key, uint64_t otherwise)
{
    const char *text = reading_text(r, key);

    return text[0] != '\0' ? strtoull(text, NULL, 10) : otherwise;
}

int32_t
kpopd_settings_declare(const struct kpop_api *api, struct kpop_plugin *plugin,
                 char *error, size_t error_size)
{
    size_t i;
    int32_t rc;

    for (i = 0; i < kpopd_key_count; i++) {
        rc = api->declare(plugin, &kpopd_keys[i]);
        if (rc != KPOP_OK) {
            snprintf(error, error_size,
                     rc == KPOP_NO_MEMORY ? "out of memory (key %s)"
                                          : "the module refuses the key %s",
                     kpopd_keys[i].name);
            return rc;
        }
    }
    return KPOP_OK;
}

const char kpopd_maildirs_only[] =
    "kpopd serves maildirs only: convert the mailbox (mb2md, or doveadm "
    "backup with mail_location mbox to maildir), or serve it by Dovecot with "
    "the package dovecot-kpop";

/* Every % must be %u or %d, and mail of different users must not meet. */
static const char *
template_fault(const char *path)
{
    bool user = false;
    size_t i;

    if (path[0] != '/')
        return "the path after maildir: must begin with /";
    if (strlen(path) >= PATH_MAX - 2 * KPOP_USER_MAX)
        return "the path after maildir: is too long";
    for (i = 0; path[i] != '\0'; i++) {
        if (path[i] != '%')
            continue;
        i++;
        if (path[i] == 'u')
            user = true;
        else if (path[i] != 'd')
            return "after % only u (user) and d (domain) are known";
    }
    return user ? NULL
                : "the path needs %u, else all users would share a maildrop";
}

/* Octets up to the / before the first %, with it. */
static size_t
folder_len(const char *path)
{
    size_t len = strcspn(path, "%");

    while (len > 1 && path[len - 1] != '/')
        len--;
    return len;
}

static int32_t
read_store(const struct reading *r)
{
    static const char prefix[] = "maildir:";
    const char *value = reading_text(r, "store");
    const char *path = value + sizeof(prefix) - 1;
    const char *fault;

    if (value[0] == '\0')
        return reading_blame(r, "store", "is needed; write maildir:PATH/%u");
    if (strncmp(value, "mbox", 4) == 0)
        return reading_blame(r, "store", kpopd_maildirs_only);
    if (strncmp(value, prefix, sizeof(prefix) - 1) != 0)
        return reading_blame(r, "store",
                     "is neither maildir:PATH nor anything kpopd can serve; "
                     "other formats are served by Dovecot with the package "
                     "dovecot-kpop");
    fault = template_fault(path);
    if (fault != NULL)
        return reading_blame(r, "store", fault);
    r->settings->store = strdup(path);
    r->settings->store_folder = strndup(path, folder_len(path));
    return r->settings->store != NULL && r->settings->store_folder != NULL
               ? KPOP_OK
               : reading_no_memory(r);
}

/* Days of EXPIRE (RFC 2449 section 6.7). */
static int32_t
read_expire(const struct reading *r)
{
    const char *value = reading_text(r, "expire");
    size_t len = strlen(value);

    r->settings->expire = KPOP_EXPIRE_NEVER;
    if (strcmp(value, "never") == 0)
        return KPOP_OK;
    if (len > 5 || strspn(value, "0123456789") != len)
        return reading_blame(r, "expire",
                             "a number of days (0 to 99999) is needed, or "
                             "never");
    r->settings->expire = (uint32_t)strtoul(value, NULL, 10);
    return KPOP_OK;
}

static int32_t
read_account(const struct reading *r, const char *key, struct account *out)
{
    const char *name = reading_text(r, key);
    const struct passwd *entry;
    char sentence[160];

    if (name[0] == '\0') {
        if (geteuid() == 0)
            return reading_blame(r, key,
                         "is needed, because kpopd was started as root: name "
                         "a user without rights in run_as and another one in "
                         "auth_user");
        return KPOP_OK;
    }
    entry = users_find(name, sentence, sizeof(sentence));
    if (entry == NULL)
        return reading_blame(r, key, sentence);
    if (entry->pw_uid == 0)
        return reading_blame(r, key, "must not be root");
    out->uid = entry->pw_uid;
    out->gid = entry->pw_gid;
    if (geteuid() != 0)
        return KPOP_OK; /* started as a plain user it runs as that one */
    out->name = strdup(name);
    return out->name != NULL ? KPOP_OK : reading_no_memory(r);
}

static int32_t
read_accounts(const struct reading *r)
{
    struct settings *s = r->settings;
    int32_t rc = read_account(r, "run_as", &s->run_as);

    if (rc == KPOP_OK)
        rc = read_account(r, "auth_user", &s->auth_user);
    if (rc == KPOP_OK && s->auth_user.name != NULL
        && s->auth_user.uid == s->run_as.uid)
        return reading_blame(r, "auth_user",
                     "must be another user than run_as, else the workers "
                     "could read the keytab");
    return rc;
}

static int32_t
read_networks(const struct reading *r, const char *key,
              struct network **networks_out, size_t *count_out)
{
    const char *at = reading_text(r, key);
    char word[ADDRESS_TEXT_MAX];
    char sentence[160];
    size_t len;

    /* No more networks than octets in the text. */
    *networks_out = calloc(strlen(at) + 1, sizeof((*networks_out)[0]));
    if (*networks_out == NULL)
        return reading_no_memory(r);
    for (; (at = words_next(at, &len)) != NULL; at += len) {
        if (!words_copy(at, len, word, sizeof(word))
            || !network_parse(word, &(*networks_out)[*count_out])) {
            snprintf(sentence, sizeof(sentence),
                     "%s is no network such as 10.0.0.0/8 or 2001:db8::/32",
                     word);
            return reading_blame(r, key, sentence);
        }
        (*count_out)++;
    }
    return KPOP_OK;
}

static int32_t
read_proxies(const struct reading *r)
{
    struct settings *s = r->settings;
    int32_t rc = read_networks(r, "haproxy_trusted_networks", &s->proxies,
                               &s->proxy_count);

    if (rc != KPOP_OK)
        return rc;
    s->proxy_services = strdup(reading_text(r, "haproxy_services"));
    return s->proxy_services != NULL ? KPOP_OK : reading_no_memory(r);
}

bool
kpopd_settings_proxied(const struct settings *settings, const char *service)
{
    return settings->proxy_count > 0
           && words_have(settings->proxy_services, service);
}

static int32_t
read_metrics(const struct reading *r)
{
    const char *where = reading_text(r, "metrics");
    const char *fault;

    if (where[0] == '\0')
        return KPOP_OK;
    fault = metrics_listen_fault(where);
    if (fault != NULL)
        return reading_blame(r, "metrics", fault);
    r->settings->metrics = strdup(where);
    return r->settings->metrics != NULL ? KPOP_OK : reading_no_memory(r);
}

static unsigned
processors(void)
{
    cpu_set_t set;
    int count = 1;

    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        count = CPU_COUNT(&set);
    return count > 0 ? (unsigned)count : 1;
}

static void
read_numbers(const struct reading *r)
{
    static const char *const words[] = { "error", "warning", "info",
                                         "debug" };
    struct settings *s = r->settings;
    const char *level = reading_text(r, "log_level");
    const char *log = reading_text(r, "log");
    unsigned cores = processors();
    uint32_t i;

    s->workers = (unsigned)number_of(r, "workers", cores);
    s->auth_processes = (unsigned)number_of(r, "auth_processes", cores);
    s->max_sessions = (uint32_t)number_of(r, "max_sessions", 10000);
    s->max_sessions_per_ip =
        (uint32_t)number_of(r, "max_sessions_per_ip", 50);
    s->max_unauthenticated =
        (uint32_t)number_of(r, "max_unauthenticated", 500);
    s->failure_delay = number_of(r, "login_failure_delay", 16) * 1000;
    s->auth_timeout = number_of(r, "auth_timeout", 5) * 1000;
    s->worker_timeout = number_of(r, "worker_timeout", 30) * 1000;
    s->login_timeout = number_of(r, "login_timeout", 60) * 1000;
    s->login_delay = (uint32_t)number_of(r, "login_delay", 0);
    s->retr_sets_seen = strcmp(reading_text(r, "retr_sets_seen"), "yes") == 0;
    s->log = strcmp(log, "syslog") == 0    ? LOG_TO_SYSLOG
             : strcmp(log, "journal") == 0 ? LOG_TO_JOURNAL
                                           : LOG_TO_STDERR;
    s->log_level = KPOP_LOG_INFO;
    for (i = 0; i < 4; i++)
        if (strcmp(level, words[i]) == 0)
            s->log_level = i;
}

/* A site that has only passwords need not have a keytab. */
static bool
wants_gssapi(const struct reading *r)
{
    return words_have(reading_text(r, "mechanisms"), "GSSAPI")
           && access(reading_text(r, "keytab"), F_OK) == 0;
}

bool
kpopd_settings_want_layers(const struct kpop_api *api,
                           struct kpop_plugin *plugin)
{
    const struct reading r = { .api = api, .plugin = plugin };

    return wants_gssapi(&r) && number_of(&r, "max_ssf", 0) > 0;
}

/* What kpopd must know of the module's own keys. */
static int32_t
read_module_keys(const struct reading *r)
{
    struct settings *s = r->settings;
    bool gssapi = wants_gssapi(r);
    struct kpop_service service;
    uint32_t i;

    for (i = 0;; i++) {
        memset(&service, 0, sizeof(service));
        service.size = sizeof(service);
        if (r->api->service(r->plugin, i, &service) != 1)
            break;
        if (strcmp(service.name, "kpop") == 0 || gssapi)
            s->tickets_wanted = true;
    }
    s->external =
        words_have(reading_text(r, "mechanisms"), "EXTERNAL")
        && reading_text(r, "tls_client_ca")[0] != '\0';
    s->layers = kpopd_settings_want_layers(r->api, r->plugin);
    s->state_dir = strdup(reading_text(r, "state_dir"));
    if (asprintf(&s->index_dir, "%s/maildirs", reading_text(r, "state_dir"))
        < 0)
        s->index_dir = NULL;
    s->replay_cache = strdup(reading_text(r, "replay_cache"));
    s->hostname = strdup(reading_text(r, "hostname"));
    s->sdps = strcmp(reading_text(r, "sdps"), "yes") == 0;
    s->sdps_headers = strdup(reading_text(r, "sdps_headers"));
    s->sandbox = strcmp(reading_text(r, "sandbox"), "yes") == 0;
    s->sandbox_paths = strdup(reading_text(r, "sandbox_paths"));
    if (s->state_dir == NULL || s->index_dir == NULL
        || s->replay_cache == NULL || s->sdps_headers == NULL
        || s->sandbox_paths == NULL || s->hostname == NULL)
        return reading_no_memory(r);
    return KPOP_OK;
}

int32_t
kpopd_settings_read(const struct kpop_api *api,
                    struct kpop_plugin *plugin,
                    struct settings *settings_out, char *error,
                    size_t error_size)
{
    struct reading r = { api, plugin, settings_out, error, error_size };
    int32_t rc;

    memset(settings_out, 0, sizeof(*settings_out));
    read_numbers(&r);
    rc = read_store(&r);
    if (rc == KPOP_OK)
        rc = settings_read_logins(&r);
    if (rc == KPOP_OK)
        rc = read_accounts(&r);
    if (rc == KPOP_OK)
        rc = read_networks(&r, "trusted_networks", &settings_out->trusted,
                           &settings_out->trusted_count);
    if (rc == KPOP_OK)
        rc = read_proxies(&r);
    if (rc == KPOP_OK)
        rc = read_metrics(&r);
    if (rc == KPOP_OK)
        rc = read_expire(&r);
    if (rc == KPOP_OK)
        rc = read_module_keys(&r);
    if (rc != KPOP_OK)
        kpopd_settings_free(settings_out);
    return rc;
}

void
kpopd_settings_free(struct settings *settings)
{
    free(settings->store);
    free(settings->store_folder);
    free(settings->password_where);
    free(settings->secret_where);
    free(settings->hostname);
    free(settings->proxy_users);
    free(settings->state_dir);
    free(settings->index_dir);
    free(settings->replay_cache);
    free(settings->worker_replay_cache);
    free(settings->metrics);
    free(settings->sdps_headers);
    free(settings->sandbox_paths);
    free(settings->run_as.name);
    free(settings->auth_user.name);
    free(settings->trusted);
    free(settings->proxies);
    free(settings->proxy_services);
    memset(settings, 0, sizeof(*settings));
}
