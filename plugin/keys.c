/*
 * keys.c - the one table of the module's configuration keys, and the check of
 * a value against its kind.  plugin.conf.sample and the manual are compared
 * with this table by tests.  Pure: opens nothing, knows no file.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/keys.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

#include "plugin/config.h"
#include "plugin/text.h"

#define KEY(kind_, min_, max_, name_, default_, choices_, help_)           \
    {                                                                      \
        .key = { .size = sizeof(struct kpop_key), .kind = (kind_),         \
                 .min = (min_), .max = (max_), .name = #name_,             \
                 .default_value = (default_), .choices = (choices_),       \
                 .help = (help_) },                                        \
        .field = offsetof(struct config, name_)                            \
    }

const struct config_key config_keys[] = {
    KEY(KPOP_KEY_TEXT, 0, 0, hostname, "", "",
        "The name in greetings; empty is the full name of this machine."),
    KEY(KPOP_KEY_LISTEN, 0, 0, listen_kpop, "*:1109", "",
        "Where KPOP is served; * is IPv4 and IPv6, empty is nowhere."),
    KEY(KPOP_KEY_LISTEN, 0, 0, listen_pop3, "", "",
        "Where POP3 is served, such as *:110."),
    KEY(KPOP_KEY_LISTEN, 0, 0, listen_pop3s, "", "",
        "Where POP3 is served inside TLS, such as *:995."),
    KEY(KPOP_KEY_PATH, 0, 0, keytab, "/etc/kpop/kpop.keytab", "",
        "The Kerberos keys of this host's POP service."),
    KEY(KPOP_KEY_LIST, 0, 0, services, "pop pop3", "",
        "First parts of the service names that a ticket may be for."),
    KEY(KPOP_KEY_PATH, 0, 0, replay_cache, "/var/lib/kpop/replay", "",
        "Remembers used tickets, so keep it over restarts and reboots."),
    KEY(KPOP_KEY_LIST, 0, 0, realms, "", "",
        "Realms whose user@REALM reads mailbox user; empty is the default "
        "realm."),
    KEY(KPOP_KEY_PATH, 0, 0, principal_map, "", "",
        "A file with lines of a principal and its mailbox; asked first."),
    KEY(KPOP_KEY_LIST, 0, 0, kpop_versions, "KPOPV1.0", "",
        "Application versions that KPOP clients may name."),
    KEY(KPOP_KEY_LIST, 0, 0, mechanisms, "GSSAPI PLAIN USER",
        "GSSAPI PLAIN USER CRAM-MD5 APOP SCRAM-SHA-256 SCRAM-SHA-512 "
        "SCRAM-SHA-1 SCRAM-SHA-256-PLUS EXTERNAL",
        "Ways to log in on the POP3 listeners, as far as they can work."),
    KEY(KPOP_KEY_CHOICE, 0, 0, plaintext, "tls", "tls always never",
        "When passwords may be sent in the clear: inside TLS, always or "
        "never."),
    KEY(KPOP_KEY_CHOICE, 0, 0, tls, "optional", "optional required",
        "Whether clients must use TLS before they log in."),
    KEY(KPOP_KEY_YES_NO, 0, 0, kpop_stls, "yes", "",
        "STLS on the KPOP port; no exempts that port from tls, too."),
    KEY(KPOP_KEY_LIST, 0, 0, tls_certificate, "", "",
        "PEM files, each with a certificate and its chain; of several the "
        "client's server name chooses, and the first is the default."),
    KEY(KPOP_KEY_LIST, 0, 0, tls_key, "", "",
        "PEM files with the keys of the certificates, in the same order; "
        "empty is in the files of the certificates."),
    KEY(KPOP_KEY_PATH, 0, 0, tls_client_ca, "", "",
        "A PEM file of the authorities whose client certificates are taken."),
    KEY(KPOP_KEY_LIST, 0, 0, tls_ocsp, "", "",
        "Files with OCSP responses (DER) for the certificates, to be stapled; "
        "something else must renew them."),
    KEY(KPOP_KEY_CHOICE, 0, 0, tls_client_name, "email", "email local cn",
        "The user's name in a client certificate, for EXTERNAL: the e-mail "
        "address, what is before its @, or the common name."),
    KEY(KPOP_KEY_NUMBER, 0, 256, max_ssf, "0", "",
        "Strongest SASL security layer in bits; 0 leaves secrecy to TLS."),
    KEY(KPOP_KEY_SECONDS, 1, 3600, login_timeout, "60", "",
        "Seconds from connect to login."),
    KEY(KPOP_KEY_SECONDS, 1, 86400, idle_timeout, "600", "",
        "Seconds without a command; RFC 1939 wants 600 or more."),
    KEY(KPOP_KEY_YES_NO, 0, 0, sdps, "no", "",
        "SDPS: logins for one recipient (user@hostname, user+hostname) in the "
        "maildrop hostname, and *ENV."),
    KEY(KPOP_KEY_CHOICE, 0, 0, utf8, "off", "off refuse downgrade",
        "The command UTF8, and messages whose header is in UTF-8 for clients "
        "that don't say it."),
    KEY(KPOP_KEY_CHOICE, 0, 0, language, "en", "en de es fr it",
        "The language that LANG * chooses."),
    KEY(KPOP_KEY_LIST, 0, 0, old_commands, "", "LAST XDELE",
        "Commands of old clients that are answered."),
    KEY(KPOP_KEY_LIST, 0, 0, client_workarounds, "",
        "outlook-no-nuls oe-ns-eoh",
        "What is changed in messages for old clients that stumble over it."),
    KEY(KPOP_KEY_YES_NO, 0, 0, weak_enctypes, "no", "",
        "Accept tickets under RC4 or DES keys."),
    KEY(KPOP_KEY_YES_NO, 0, 0, check_addresses, "no", "",
        "Refuse tickets that were issued for another network address."),
};

const size_t config_key_count = sizeof(config_keys) / sizeof(config_keys[0]);

bool
key_number(const char *text, size_t len, uint64_t max, uint64_t *number_out)
{
    uint64_t number = 0;

    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        uint64_t digit;

        if (text[i] < '0' || text[i] > '9')
            return false;
        digit = (uint64_t)(text[i] - '0');
        if (digit > max || number > (max - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *number_out = number;
    return true;
}

bool
key_listen(const char *word, size_t len, char *address, uint32_t *port_out)
{
    unsigned char binary[16];
    size_t colon = len;
    uint64_t port;
    bool brackets;

    while (colon > 0 && word[colon - 1] != ':')
        colon--;
    if (colon == 0
        || !key_number(word + colon, len - colon, 65535, &port))
        return false;
    *port_out = (uint32_t)port;
    len = colon - 1;
    brackets = len >= 2 && word[0] == '[' && word[len - 1] == ']';
    if (brackets) {
        word++;
        len -= 2;
    }
    if (len == 0 || len >= KEY_ADDRESS_MAX)
        return false;
    memcpy(address, word, len);
    address[len] = '\0';
    if (brackets)
        return inet_pton(AF_INET6, address, binary) == 1;
    return strcmp(address, "*") == 0
           || inet_pton(AF_INET, address, binary) == 1;
}

static int
check_number(const struct kpop_key *key, const char *value, char *error,
             size_t error_size)
{
    uint64_t number;

    if (key_number(value, strlen(value), key->max, &number)
        && number >= key->min)
        return STATUS_OK;
    text_say(error, error_size, "a number from %llu to %llu%s is needed, "
             "not `%.40s'", (unsigned long long)key->min,
             (unsigned long long)key->max,
             key->kind == KPOP_KEY_SECONDS ? " (seconds)" : "", value);
    return STATUS_INVALID;
}

static int
check_choice(const struct kpop_key *key, const char *value, size_t len,
             char *error, size_t error_size)
{
    if (len > 0 && text_has_word_len(key->choices, value, len))
        return STATUS_OK;
    text_say(error, error_size, "`%.*s' is none of: %s",
             (int)(len < 40 ? len : 40), value, key->choices);
    return STATUS_INVALID;
}

static int
check_list(const struct kpop_key *key, const char *value, char *error,
           size_t error_size)
{
    size_t len;

    while ((value = text_word(value, &len)) != NULL) {
        if (value[len - 1] == ',') {
            text_say(error, error_size, "words are separated by blanks alone, "
                     "not by `,'");
            return STATUS_INVALID;
        }
        if (key->choices[0] != '\0'
            && check_choice(key, value, len, error, error_size) != STATUS_OK)
            return STATUS_INVALID;
        value += len;
    }
    return STATUS_OK;
}

static int
check_listen(const char *value, char *error, size_t error_size)
{
    char address[KEY_ADDRESS_MAX];
    uint32_t port;
    size_t len;

    while ((value = text_word(value, &len)) != NULL) {
        if (!key_listen(value, len, address, &port)) {
            text_say(error, error_size, "`%.*s' is not ADDRESS:PORT, such as "
                     "*:1109, 192.0.2.1:1109 or [2001:db8::1]:1109",
                     (int)(len < 80 ? len : 80), value);
            return STATUS_INVALID;
        }
        value += len;
    }
    return STATUS_OK;
}

int
key_check(const struct kpop_key *key, const char *value, char *error,
          size_t error_size)
{
    for (const char *p = value; *p != '\0'; p++) {
        if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f) {
            text_say(error, error_size, "control characters are not allowed");
            return STATUS_INVALID;
        }
    }
    /* Empty means "none", so only where none is a meaning. */
    if (value[0] == '\0') {
        if (key->default_value[0] == '\0' || key->kind == KPOP_KEY_LISTEN)
            return STATUS_OK;
        text_say(error, error_size, "a value is needed");
        return STATUS_INVALID;
    }
    switch (key->kind) {
    case KPOP_KEY_PATH:
        if (value[0] == '/')
            return STATUS_OK;
        text_say(error, error_size, "an absolute path is needed, not "
                 "`%.200s'", value);
        return STATUS_INVALID;
    case KPOP_KEY_NUMBER:
    case KPOP_KEY_SECONDS:
        return check_number(key, value, error, error_size);
    case KPOP_KEY_YES_NO:
        if (strcmp(value, "yes") == 0 || strcmp(value, "no") == 0)
            return STATUS_OK;
        text_say(error, error_size, "yes or no is needed, not `%.40s'",
                 value);
        return STATUS_INVALID;
    case KPOP_KEY_LIST:
        return check_list(key, value, error, error_size);
    case KPOP_KEY_CHOICE:
        return check_choice(key, value, strlen(value), error, error_size);
    case KPOP_KEY_LISTEN:
        return check_listen(value, error, error_size);
    default:
        return STATUS_OK; /* TEXT */
    }
}

bool
key_is_sane(const struct kpop_key *key)
{
    size_t len;

    if (key == NULL || key->size < sizeof(*key) || key->name == NULL
        || key->default_value == NULL || key->choices == NULL
        || key->help == NULL || key->kind > KPOP_KEY_LISTEN)
        return false;
    len = strspn(key->name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return len > 0 && len <= KEY_NAME_MAX && key->name[len] == '\0'
           && (key->default_value[0] == '\0'
               || key_check(key, key->default_value, NULL, 0) == STATUS_OK);
}
