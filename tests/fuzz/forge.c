/*
 * forge.c - tickets and AP-REQs in DER, written out by hand so that each field
 * is there to be bent; libkrb5 only seals them and writes the keytab.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/fuzz/forge.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As in Active Directory, two services have the same key. */
const struct forge_key forge_keys[FORGE_KEYS] = {
    [FORGE_POP] = { "pop", "localhost", ENCTYPE_AES256_CTS_HMAC_SHA1_96, 1,
                    true },
    [FORGE_POP3] = { "pop3", "localhost", ENCTYPE_AES128_CTS_HMAC_SHA1_96, 2,
                     true },
    [FORGE_HOST] = { "host", "localhost", ENCTYPE_AES256_CTS_HMAC_SHA1_96, 3,
                     true },
    [FORGE_SHARED] = { "imap", "localhost", ENCTYPE_AES256_CTS_HMAC_SHA1_96,
                       1, true },
    [FORGE_WEAK] = { "pop", "weak", ENCTYPE_ARCFOUR_HMAC, 4, true },
    [FORGE_NOBODY] = { "pop", "localhost", ENCTYPE_AES256_CTS_HMAC_SHA1_96, 5,
                       false },
};

enum { USAGE_TICKET = 2, USAGE_AUTHENTICATOR = 11, USAGE_REPLY = 12,
       SESSION_SEED = 9, SUBKEY_SEED = 10 };

static krb5_context context;

krb5_context
forge_context(void)
{
    return context;
}

/* A login allocates much, and new memory costs more than all else.  What was
 * freed is remembered for hundreds of logins with this, too. */
const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
    return "quarantine_size_mb=16";
}

/* ---- files ---- */

static const char conf[] =
    "[libdefaults]\n"
    "    default_realm = EXAMPLE.ORG\n"
    "    dns_lookup_realm = false\n"
    "    dns_lookup_kdc = false\n"
    "    dns_canonicalize_hostname = false\n"
    "    rdns = false\n"
    "    qualify_shortname = \"\"\n"
    "    allow_rc4 = true\n"
    "    permitted_enctypes = aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96"
    " arcfour-hmac\n"
    "    kdc_timesync = 0\n"
    "[domain_realm]\n"
    "    localhost = EXAMPLE.ORG\n";

static char folder[PATH_MAX / 2];
static const char *const files[] = { "krb5.conf", "keytab", "cache" };
enum { FILES = sizeof(files) / sizeof(files[0]) };

const char *
forge_path(const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void
remove_files(void)
{
    for (size_t i = 0; i < FILES; i++)
        (void)unlink(forge_path(files[i]));
    (void)rmdir(folder);
    krb5_free_context(context);
}

static void
write_file(const char *name, const char *text)
{
    int fd = open(forge_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    expect(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text),
           "a file for the realm");
    close(fd);
}

static void
fill_key(krb5_keyblock *key, krb5_enctype enctype, uint8_t seed,
         uint8_t octets[32])
{
    size_t bytes = 0;
    size_t len = 0;

    expect(krb5_c_keylengths(context, enctype, &bytes, &len) == 0
               && len <= 32, "a key");
    memset(octets, seed, 32);
    memset(key, 0, sizeof(*key));
    key->enctype = enctype;
    key->length = (unsigned)len;
    key->contents = octets;
}

static void
write_keytab(void)
{
    char name[PATH_MAX + 8];
    krb5_keytab keytab;

    (void)snprintf(name, sizeof(name), "WRFILE:%s", forge_path("keytab"));
    expect(krb5_kt_resolve(context, name, &keytab) == 0, "a keytab");
    for (size_t i = 0; i < FORGE_KEYS; i++) {
        const struct forge_key *key = &forge_keys[i];
        krb5_keytab_entry entry = { .vno = 1 };
        uint8_t octets[32];

        if (!key->in_keytab)
            continue;
        fill_key(&entry.key, key->enctype, key->seed, octets);
        expect(krb5_build_principal(context, &entry.principal, 11,
                                    "EXAMPLE.ORG", key->service, key->host,
                                    NULL) == 0
                   && krb5_kt_add_entry(context, keytab, &entry) == 0,
               "an entry of the keytab");
        krb5_free_principal(context, entry.principal);
    }
    krb5_kt_close(context, keytab);
}

void
forge_begin(void)
{
    const char *parent = getenv("TMPDIR");

    (void)snprintf(folder, sizeof(folder), "%s/kpop-fuzz-XXXXXX",
                   parent != NULL ? parent : "/dev/shm");
    expect(mkdtemp(folder) != NULL && atexit(remove_files) == 0,
           "a folder for the realm");
    write_file("krb5.conf", conf);
    write_file("cache", "");
    expect(setenv("KRB5_CONFIG", forge_path("krb5.conf"), 1) == 0
               && unsetenv("KRB5RCACHENAME") == 0
               && unsetenv("KRB5RCACHETYPE") == 0
               && krb5_init_context(&context) == 0, "libkrb5");
    write_keytab();
}

void
forge_forget(void)
{
    expect(truncate(forge_path("cache"), 0) == 0, "an empty replay cache");
}

/* ---- DER ---- */

enum {
    TAG_INTEGER = 0x02, TAG_BITS = 0x03, TAG_OCTETS = 0x04, TAG_TIME = 0x18,
    TAG_STRING = 0x1b, TAG_SEQUENCE = 0x30, TAG_APPLICATION = 0x60,
    TAG_FIELD = 0xa0
};

/* Everything from start becomes a field of a SEQUENCE. */
static void
end_field(struct octets *out, size_t start, unsigned field)
{
    octets_wrap(out, start, (uint8_t)(TAG_FIELD + field));
}

static void
add_field(struct octets *out, unsigned field, uint8_t tag, const void *data,
          size_t len)
{
    size_t start = out->len;

    octets_add(out, data, len);
    octets_wrap(out, start, tag);
    end_field(out, start, field);
}

static void
add_number(struct octets *out, unsigned field, int32_t value)
{
    uint8_t octets[4];
    size_t skip = 0;

    for (size_t i = 0; i < 4; i++)
        octets[i] = (uint8_t)((uint32_t)value >> (24 - 8 * i));
    while (skip < 3 && octets[skip] == (value < 0 ? 0xff : 0)
           && (octets[skip + 1] & 0x80) == (value < 0 ? 0x80 : 0))
        skip++;
    add_field(out, field, TAG_INTEGER, octets + skip, 4 - skip);
}

static void
add_flags(struct octets *out, unsigned field, uint32_t flags)
{
    const uint8_t octets[5] = { 0, (uint8_t)(flags >> 24),
                                (uint8_t)(flags >> 16), (uint8_t)(flags >> 8),
                                (uint8_t)flags };

    add_field(out, field, TAG_BITS, octets, sizeof(octets));
}

static void
add_string(struct octets *out, unsigned field, const char *text)
{
    add_field(out, field, TAG_STRING, text, strlen(text));
}

static void
add_time(struct octets *out, unsigned field, time_t when)
{
    struct tm tm;
    char text[32];

    expect(gmtime_r(&when, &tm) != NULL, "a time");
    add_field(out, field, TAG_TIME, text,
              strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &tm));
}

/* Of one or two components. */
static void
add_name(struct octets *out, unsigned field, int32_t type, const char *first,
         const char *second)
{
    size_t start = out->len;
    size_t names;
    size_t name;

    add_number(out, 0, type);
    names = out->len;
    octets_add_text(out, first);
    octets_wrap(out, names, TAG_STRING);
    name = out->len;
    if (second[0] != '\0') {
        octets_add_text(out, second);
        octets_wrap(out, name, TAG_STRING);
    }
    octets_wrap(out, names, TAG_SEQUENCE);
    end_field(out, names, 1);
    octets_wrap(out, start, TAG_SEQUENCE);
    end_field(out, start, field);
}

/* What is a number and octets: keys, addresses, checksums. */
static void
add_typed(struct octets *out, unsigned field, int32_t type, const void *data,
          size_t len)
{
    size_t start = out->len;

    add_number(out, 0, type);
    add_field(out, 1, TAG_OCTETS, data, len);
    octets_wrap(out, start, TAG_SEQUENCE);
    end_field(out, start, field);
}

static void
end_message(struct octets *out, size_t start, unsigned number)
{
    octets_wrap(out, start, TAG_SEQUENCE);
    octets_wrap(out, start, (uint8_t)(TAG_APPLICATION + number));
}

/* ---- what is sealed ---- */

void
forge_session_key(const struct forge_facts *facts, krb5_keyblock *key,
                  uint8_t octets[32])
{
    fill_key(key, facts->session, SESSION_SEED, octets);
}

static const char *
second_name(const struct forge_facts *facts)
{
    return facts->user + strlen(facts->user) + 1;
}

void
forge_ticket_part(const struct forge_facts *facts, struct octets *out)
{
    krb5_keyblock key;
    uint8_t octets[32];
    size_t addresses;

    out->len = 0;
    forge_session_key(facts, &key, octets);
    add_flags(out, 0, 0x00090000); /* by a KDC that has looked at its way */
    add_typed(out, 1, facts->session, octets, key.length);
    add_string(out, 2, facts->realm);
    add_name(out, 3, KRB5_NT_PRINCIPAL, facts->user, second_name(facts));
    add_typed(out, 4, 1, "", 0);
    add_time(out, 5, facts->start);
    add_time(out, 6, facts->start);
    add_time(out, 7, facts->end);
    if (facts->address != NULL) {
        addresses = out->len;
        add_number(out, 0, ADDRTYPE_INET);
        add_field(out, 1, TAG_OCTETS, facts->address, 4);
        octets_wrap(out, addresses, TAG_SEQUENCE);
        octets_wrap(out, addresses, TAG_SEQUENCE);
        end_field(out, addresses, 9);
    }
    end_message(out, 0, 3);
}

void
forge_authenticator(const struct forge_facts *facts, struct octets *out)
{
    static const uint8_t checksum[24] = { 16, [20] = 0x22 };
    krb5_keyblock key;
    uint8_t octets[32];

    out->len = 0;
    add_number(out, 0, 5);
    add_string(out, 1, facts->realm);
    add_name(out, 2, KRB5_NT_PRINCIPAL, facts->user, second_name(facts));
    if (facts->gss)
        add_typed(out, 3, 0x8003, checksum, sizeof(checksum));
    add_number(out, 4, facts->usec);
    add_time(out, 5, facts->now);
    if (facts->subkey) {
        fill_key(&key, facts->session, SUBKEY_SEED, octets);
        add_typed(out, 6, facts->session, octets, key.length);
    }
    add_number(out, 7, 0x1234);
    end_message(out, 0, 2);
}

/* ---- sealing ---- */

static void
seal(const krb5_keyblock *key, krb5_keyusage usage, const struct octets *part,
     struct octets *sealed_out)
{
    static struct octets copy; /* libkrb5 wants to be able to write */
    krb5_data plain = { .length = (unsigned)part->len,
                        .data = (char *)copy.data };
    krb5_enc_data sealed = { .enctype = key->enctype };
    size_t len = 0;

    copy = *part;
    expect(krb5_c_encrypt_length(context, key->enctype, part->len, &len) == 0,
           "a length");
    sealed.ciphertext.length = (unsigned)len;
    sealed.ciphertext.data = malloc(len);
    expect(sealed.ciphertext.data != NULL
               && krb5_c_encrypt(context, key, usage, NULL, &plain, &sealed)
                      == 0, "sealing");
    octets_set(sealed_out, sealed.ciphertext.data, sealed.ciphertext.length);
    free(sealed.ciphertext.data);
}

/* EncryptedData; kvno 0 = it has none. */
static void
add_sealed(struct octets *out, unsigned field, krb5_enctype enctype,
           int32_t kvno, const struct octets *sealed)
{
    size_t start = out->len;

    add_number(out, 0, enctype);
    if (kvno > 0)
        add_number(out, 1, kvno);
    add_field(out, 2, TAG_OCTETS, sealed->data, sealed->len);
    octets_wrap(out, start, TAG_SEQUENCE);
    end_field(out, start, field);
}

void
forge_ticket(const struct forge_facts *facts, const struct octets *part,
             struct octets *out, struct octets *sealed_out)
{
    krb5_keyblock key;
    uint8_t octets[32];

    fill_key(&key, facts->key->enctype, facts->key->seed, octets);
    seal(&key, USAGE_TICKET, part, sealed_out);
    out->len = 0;
    add_number(out, 0, 5);
    add_string(out, 1, "EXAMPLE.ORG");
    add_name(out, 2, KRB5_NT_SRV_HST, facts->key->service, facts->key->host);
    add_sealed(out, 3, key.enctype, 1, sealed_out);
    end_message(out, 0, 1);
}

void
forge_apreq(const struct forge_facts *facts, const struct octets *ticket,
            const struct octets *authenticator, struct octets *out,
            struct octets *sealed_out)
{
    krb5_keyblock key;
    uint8_t octets[32];
    size_t start;

    forge_session_key(facts, &key, octets);
    seal(&key, USAGE_AUTHENTICATOR, authenticator, sealed_out);
    out->len = 0;
    add_number(out, 0, 5);
    add_number(out, 1, 14);
    add_flags(out, 2, facts->mutual ? AP_OPTS_MUTUAL_REQUIRED : 0);
    start = out->len;
    octets_add(out, ticket->data, ticket->len);
    end_field(out, start, 3);
    add_sealed(out, 4, key.enctype, 0, sealed_out);
    end_message(out, 0, 14);
}

bool
forge_is_reply(const struct forge_facts *facts, const void *data, size_t len)
{
    static const uint8_t way[] = { TAG_APPLICATION + 15, TAG_SEQUENCE,
                                   TAG_FIELD + 2, TAG_SEQUENCE, TAG_FIELD + 2,
                                   TAG_OCTETS };
    static struct octets reply;
    static struct octets sealed;
    static char plain[OCTETS_MAX];
    krb5_enc_data cipher = { .enctype = facts->session };
    krb5_data opened = { .data = plain };
    krb5_keyblock key;
    uint8_t octets[32];
    const uint8_t *found;

    octets_set(&reply, data, len);
    found = octets_find(&reply, way, sizeof(way), &len);
    if (found == NULL)
        return false;
    octets_set(&sealed, found, len);
    cipher.ciphertext.length = opened.length = (unsigned)len;
    cipher.ciphertext.data = (char *)sealed.data;
    forge_session_key(facts, &key, octets);
    return krb5_c_decrypt(context, &key, USAGE_REPLY, NULL, &cipher, &opened)
           == 0;
}
