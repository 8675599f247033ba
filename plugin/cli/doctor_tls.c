/*
 * doctor_tls.c - the certificates: in date, with their keys, for this host,
 * and keys that others can't read.  Shows no key and asks for no passphrase.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/cli/doctor.h"

enum { WARN_DAYS = 14, DAY = 24 * 60 * 60 };

struct pair {
    struct doctor *doctor;
    const char *certificate; /* path */
    const char *key;         /* path, perhaps the same */
    bool has_name;           /* it is for this host */
};

/* ---- how to mend ---- */

/* What a command writes anew is kept beside it. */
static const char *
keep(const char *path, char *out, size_t size)
{
    char quoted[DOCTOR_TEXT_MAX];

    doctor_quote(path, quoted);
    if (access(path, F_OK) == 0)
        snprintf(out, size, "cp -p %s %s.old && ", quoted, quoted);
    else
        out[0] = '\0';
    return out;
}

/* With a new key. */
static void
mend_both(const struct pair *pair, const char *kept, const char *make)
{
    struct doctor *doctor = pair->doctor;
    char file[DOCTOR_TEXT_MAX];
    char key[DOCTOR_TEXT_MAX];
    char kept_key[2 * DOCTOR_TEXT_MAX + 32];

    doctor_quote(pair->certificate, file);
    doctor_quote(pair->key, key);
    if (strcmp(pair->certificate, pair->key) == 0)
        doctor_mend(doctor, "%s(umask 077; openssl req -x509 -newkey ec "
                    "-pkeyopt ec_paramgen_curve:P-256 -noenc -keyout %s.key "
                    "%s -out %s.new && cat %s.key >>%s.new && rm %s.key && mv "
                    "%s.new %s)", kept, file, make, file, file, file, file,
                    file, file);
    else
        doctor_mend(doctor, "%s%sopenssl req -x509 -newkey ec -pkeyopt "
                    "ec_paramgen_curve:P-256 -noenc -keyout %s %s -out %s",
                    kept, keep(pair->key, kept_key, sizeof(kept_key)), key,
                    make, file);
}

/* Who has an authority asks that one; what works at once, for who has none,
 * is a certificate that signs itself.  The key stays when there is a good one.
 */
static void
mend_certificate(const struct pair *pair, bool key_is_good)
{
    struct doctor *doctor = pair->doctor;
    const char *live = strstr(pair->certificate, "/letsencrypt/live/");
    const char *host = doctor->host;
    bool is_address = host[strspn(host, "0123456789.")] == '\0'
                      || strchr(host, ':') != NULL;
    char file[DOCTOR_TEXT_MAX];
    char key[DOCTOR_TEXT_MAX];
    char kept[2 * DOCTOR_TEXT_MAX + 32];
    char make[2 * DOCTOR_TEXT_MAX + 64];
    char name[DOCTOR_TEXT_MAX];

    if (live != NULL) {
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(live + 18, "/"),
                 live + 18);
        doctor_mend(doctor, "certbot renew --force-renewal --cert-name %s",
                    doctor_quote(name, file));
        return;
    }
    doctor_quote(pair->certificate, file);
    doctor_quote(pair->key, key);
    keep(pair->certificate, kept, sizeof(kept));
    doctor_quote(host, name);
    snprintf(make, sizeof(make), "-days 90 -subj /CN=%s -addext "
             "subjectAltName=%s:%s", name, is_address ? "IP" : "DNS", name);
    if (!key_is_good)
        mend_both(pair, kept, make);
    else if (strcmp(pair->certificate, pair->key) != 0)
        doctor_mend(doctor, "%sopenssl req -x509 -key %s %s -out %s", kept,
                    key, make, file);
    else
        doctor_mend(doctor, "%s(umask 077; { openssl pkey -in %s; openssl "
                    "req -x509 -key %s %s; } >%s.new && mv %s.new %s)", kept,
                    file, file, make, file, file, file);
}

static const char hint[] = "renew it with your authority; until then the "
                           "command makes one that signs itself";

/* ---- the look ---- */

/* Nobody is asked: kpopd can't ask either. */
static int
no_passphrase(char *buffer, int size, int writing, void *arg)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static X509 *
read_certificate(const char *path)
{
    FILE *file = fopen(path, "re");
    X509 *certificate = NULL;

    if (file == NULL)
        return NULL;
    certificate = PEM_read_X509(file, NULL, no_passphrase, NULL);
    (void)fclose(file);
    return certificate;
}

static EVP_PKEY *
read_key(const char *path)
{
    FILE *file = fopen(path, "re");
    EVP_PKEY *key = NULL;

    if (file == NULL)
        return NULL;
    key = PEM_read_PrivateKey(file, NULL, no_passphrase, NULL);
    (void)fclose(file);
    return key;
}

static void
check_rights(const struct pair *pair)
{
    char quoted[DOCTOR_TEXT_MAX];
    struct stat st;

    if (stat(pair->key, &st) != 0 || (st.st_mode & S_IRWXO) == 0)
        return;
    doctor_mend(pair->doctor, "chmod o-rwx %s",
                doctor_quote(pair->key, quoted));
    doctor_error(pair->doctor, "tls_key %s: everybody may read it (mode "
                 "%04o); who did can pose as this server, so renew it, too",
                 pair->key, (unsigned)(st.st_mode & 07777));
}

/* False when something was said: one finding for each certificate. */
static bool
check_dates(const struct pair *pair, const X509 *certificate)
{
    const ASN1_TIME *end = X509_get0_notAfter(certificate);
    int days = 0;
    int seconds = 0;

    if (pair->doctor->clock_is_wrong)
        return true;
    if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
        mend_certificate(pair, true);
        doctor_error(pair->doctor, "tls_certificate %s: is not valid yet; "
                     "%s", pair->certificate, hint);
        return false;
    }
    if (ASN1_TIME_diff(&days, &seconds, NULL, end) != 1)
        return true;
    if (days < 0 || seconds < 0) {
        mend_certificate(pair, true);
        doctor_error(pair->doctor, "tls_certificate %s: ended %d days ago; "
                     "%s", pair->certificate, -days, hint);
        return false;
    }
    if (days >= WARN_DAYS)
        return true;
    mend_certificate(pair, true);
    doctor_warn(pair->doctor, "tls_certificate %s: ends in %d days; %s",
                pair->certificate, days, hint);
    return false;
}

static bool
is_for_host(const X509 *certificate, const char *host)
{
    X509 *copy = X509_dup(certificate);
    bool good = copy != NULL
                && (X509_check_host(copy, host, 0, 0, NULL) == 1
                    || X509_check_ip_asc(copy, host, 0) == 1);

    X509_free(copy);
    return good;
}

/* A key with a passphrase; true when it was told. */
static bool
check_passphrase(const struct pair *pair)
{
    FILE *file = fopen(pair->key, "re");
    char quoted[DOCTOR_TEXT_MAX];
    char line[DOCTOR_NAME_MAX];
    bool is_locked = false;

    while (file != NULL && !is_locked
           && fgets(line, sizeof(line), file) != NULL)
        is_locked = strstr(line, "ENCRYPTED") != NULL;
    if (file != NULL)
        (void)fclose(file);
    if (!is_locked)
        return false;
    doctor_quote(pair->key, quoted);
    doctor_mend(pair->doctor, "(umask 077; { openssl pkey -in %s; sed -n "
                "'/BEGIN CERT/,/END CERT/p' %s; } >%s.new) && chown "
                "--reference=%s %s.new && mv %s.new %s", quoted, quoted,
                quoted, quoted, quoted, quoted, quoted);
    doctor_error(pair->doctor, "tls_key %s: has a passphrase, for which kpopd "
                 "can't ask anybody", pair->key);
    return true;
}

/* False when something was said. */
static bool
check_pair(struct pair *pair)
{
    X509 *certificate = read_certificate(pair->certificate);
    EVP_PKEY *key = read_key(pair->key);
    bool good = false;

    if (key != NULL)
        check_rights(pair);
    if (certificate != NULL && key == NULL
        && (doctor_is_hidden(pair->doctor, "tls_key", pair->key)
            || check_passphrase(pair))) {
        /* told */
    } else if (certificate == NULL || key == NULL) {
        mend_certificate(pair, key != NULL);
        doctor_error(pair->doctor, "%s %s: has no %s that can be read; %s",
                     certificate == NULL ? "tls_certificate" : "tls_key",
                     certificate == NULL ? pair->certificate : pair->key,
                     certificate == NULL ? "certificate" : "key",
                     hint);
    } else if (X509_check_private_key(certificate, key) != 1) {
        mend_certificate(pair, true);
        doctor_error(pair->doctor, "tls_certificate %s: the key in %s is not "
                     "its key; %s", pair->certificate, pair->key, hint);
    } else {
        good = check_dates(pair, certificate);
        pair->has_name = is_for_host(certificate, pair->doctor->host);
    }
    ERR_clear_error();
    X509_free(certificate);
    EVP_PKEY_free(key);
    return good;
}

void
doctor_tls(struct doctor *doctor)
{
    char *certificates = cli_copy(doctor_value(doctor, "tls_certificate"));
    char *keys = cli_copy(doctor_value(doctor, "tls_key"));
    char *more = certificates;
    char *more_keys = keys;
    struct pair first = { doctor, NULL, NULL, false };
    bool has_name = false;
    bool good = true;
    char *word;

    while ((word = strtok_r(more, " \t", &more)) != NULL) {
        const char *key = strtok_r(more_keys, " \t", &more_keys);
        struct pair pair = { doctor, word, key != NULL ? key : word, false };

        if (first.certificate == NULL)
            first = pair;
        good = check_pair(&pair) && good;
        has_name = has_name || pair.has_name;
    }
    if (first.certificate != NULL && good && !has_name) {
        mend_certificate(&first, true);
        doctor_warn(doctor, "tls_certificate %s: is not for %s, so that "
                    "clients refuse it; %s", first.certificate, doctor->host,
                    hint);
    }
    free(certificates);
    free(keys);
}
