/*
 * mkapreq.c - a raw AP-REQ client for tests: makes AP-REQs as fetchmail and
 * its kin do, or bent in one chosen way, and judges the server's answers.
 * It opens no connection but to the KDC; the test moves the octets.
 *
 *   mkapreq [options]           (KRB5_CONFIG from tests/lib/realm.sh)
 *     --service NAME            pop@HOST, or a principal such as
 *                               pop/HOST or host/HOST@REALM; needed
 *     --ccache FILE             tickets from there (default: KRB5CCNAME); a
 *                               service ticket in it is used even past its
 *                               end, else one is got from the KDC
 *     --keytab FILE --user NAME instead of a ccache: a service ticket straight
 *                               from the KDC with the user's key
 *     --addresses A,B           with --keytab: the ticket is for these
 *                               addresses only
 *     --mutual                  asks for mutual authentication
 *     --subkey                  puts a subkey into the authenticator
 *     --skew SECONDS            the authenticator's clock is off by that
 *     --pad OCTETS              about that much authorization data, which
 *                               servers ignore, inside the authenticator: a
 *                               valid AP-REQ of a bit more than that size
 *     --gss                     made for GSSAPI: the checksum of RFC 4121; the
 *                               framing of a token is the test's
 *     --flip ticket|authenticator  one bit of its encrypted part is wrong
 *
 * It prints `apreq HEX` and then answers each line of its input by one line:
 *     aprep HEX       "ok", or "bad TEXT": does the AP-REP prove the server?
 *     krberror HEX    "code N SERVER: TEXT" of a KRB_ERROR (server as a
 *                     principal), or "bad TEXT"
 *     again           "apreq HEX": a fresh one with the same ticket; aprep
 *                     then belongs to this one
 *     info            "info CLIENT SERVER ETYPE KVNO" of the ticket in use
 *     quit            ends, as end of file does
 * Exit status 0; 1 with a sentence on stderr when no AP-REQ could be made; 2
 * for a wrong call.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <krb5.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINE_MAX_HEX = 1 << 19, ADDRESSES_MAX = 8 };

struct options {
    const char *service;
    const char *ccache;
    const char *keytab;
    const char *user;
    const char *addresses;
    const char *flip;
    long skew;
    size_t pad;
    bool mutual;
    bool subkey;
    bool gss;
};

struct client {
    krb5_context krb;
    struct options options;
    krb5_creds *creds;
    krb5_auth_context auth; /* of the latest AP-REQ */
};

static void
die(struct client *client, const char *what, krb5_error_code code)
{
    const char *text = krb5_get_error_message(client->krb, code);

    fprintf(stderr, "mkapreq: %s: %s\n", what, text);
    krb5_free_error_message(client->krb, text);
    exit(1);
}

static void
must(struct client *client, const char *what, krb5_error_code code)
{
    if (code != 0)
        die(client, what, code);
}

static krb5_principal
parse_service(struct client *client)
{
    const char *service = client->options.service;
    const char *at = strchr(service, '@');
    krb5_principal principal = NULL;
    char name[64];

    /* pop@HOST has no slash before its @. */
    if (at != NULL && memchr(service, '/', (size_t)(at - service)) == NULL) {
        snprintf(name, sizeof(name), "%.*s", (int)(at - service), service);
        must(client, "service",
             krb5_sname_to_principal(client->krb, at + 1, name,
                                     KRB5_NT_SRV_HST, &principal));
    } else {
        must(client, "service",
             krb5_parse_name(client->krb, service, &principal));
    }
    return principal;
}

/* A ticket of the ccache, expired ones too. */
static bool
find_cached(struct client *client, krb5_ccache cache,
            krb5_const_principal server)
{
    krb5_cc_cursor cursor;
    krb5_creds creds;
    bool found = false;

    must(client, "ccache",
         krb5_cc_start_seq_get(client->krb, cache, &cursor));
    while (!found &&
           krb5_cc_next_cred(client->krb, cache, &cursor, &creds) == 0) {
        if (krb5_principal_compare(client->krb, creds.server, server)) {
            must(client, "credentials",
                 krb5_copy_creds(client->krb, &creds, &client->creds));
            found = true;
        }
        krb5_free_cred_contents(client->krb, &creds);
    }
    krb5_cc_end_seq_get(client->krb, cache, &cursor);
    return found;
}

static void
creds_from_ccache(struct client *client, krb5_principal server)
{
    krb5_creds wanted;
    krb5_ccache cache;

    if (client->options.ccache != NULL)
        must(client, client->options.ccache,
             krb5_cc_resolve(client->krb, client->options.ccache, &cache));
    else
        must(client, "ccache", krb5_cc_default(client->krb, &cache));
    if (!find_cached(client, cache, server)) {
        memset(&wanted, 0, sizeof(wanted));
        wanted.server = server;
        must(client, "ccache",
             krb5_cc_get_principal(client->krb, cache, &wanted.client));
        must(client, client->options.service,
             krb5_get_credentials(client->krb, 0, cache, &wanted,
                                  &client->creds));
        krb5_free_principal(client->krb, wanted.client);
    }
    krb5_cc_close(client->krb, cache);
}

/* Fills a NULL-terminated list with storage in octets. */
static void
parse_addresses(const char *text, krb5_address store[ADDRESSES_MAX],
                krb5_octet octets[ADDRESSES_MAX][16],
                krb5_address *list[ADDRESSES_MAX + 1])
{
    char copy[512];
    char *save = NULL;
    size_t n = 0;

    snprintf(copy, sizeof(copy), "%s", text);
    for (char *word = strtok_r(copy, ",", &save);
         word != NULL && n < ADDRESSES_MAX;
         word = strtok_r(NULL, ",", &save)) {
        bool v6 = strchr(word, ':') != NULL;

        if (inet_pton(v6 ? AF_INET6 : AF_INET, word, octets[n]) != 1) {
            fprintf(stderr, "mkapreq: %s is no address\n", word);
            exit(2);
        }
        store[n].magic = 0;
        store[n].addrtype = v6 ? ADDRTYPE_INET6 : ADDRTYPE_INET;
        store[n].length = v6 ? 16 : 4;
        store[n].contents = octets[n];
        list[n] = &store[n];
        n++;
    }
    list[n] = NULL;
}

static void
creds_from_keytab(struct client *client)
{
    krb5_get_init_creds_opt *opt = NULL;
    krb5_address store[ADDRESSES_MAX];
    krb5_octet octets[ADDRESSES_MAX][16];
    krb5_address *list[ADDRESSES_MAX + 1];
    krb5_principal user = NULL;
    krb5_principal server = parse_service(client);
    krb5_keytab keytab;
    krb5_creds creds;
    char *service = NULL;

    must(client, "user",
         krb5_parse_name(client->krb, client->options.user, &user));
    must(client, "service",
         krb5_unparse_name(client->krb, server, &service));
    must(client, client->options.keytab,
         krb5_kt_resolve(client->krb, client->options.keytab, &keytab));
    must(client, "options",
         krb5_get_init_creds_opt_alloc(client->krb, &opt));
    if (client->options.addresses != NULL) {
        parse_addresses(client->options.addresses, store, octets, list);
        krb5_get_init_creds_opt_set_address_list(opt, list);
    }
    memset(&creds, 0, sizeof(creds));
    must(client, client->options.user,
         krb5_get_init_creds_keytab(client->krb, &creds, user, keytab, 0,
                                    service, opt));
    must(client, "credentials",
         krb5_copy_creds(client->krb, &creds, &client->creds));
    krb5_free_cred_contents(client->krb, &creds);
    krb5_get_init_creds_opt_free(client->krb, opt);
    krb5_kt_close(client->krb, keytab);
    krb5_free_unparsed_name(client->krb, service);
    krb5_free_principal(client->krb, server);
    krb5_free_principal(client->krb, user);
}

/* Authorization data that servers may ignore, in pieces of at most 60 000. */
static krb5_authdata **
make_padding(struct client *client)
{
    krb5_authdata item;
    krb5_authdata *list[2] = { &item, NULL };
    krb5_authdata **out = NULL;

    item.magic = 0;
    item.ad_type = 4711; /* nobody's */
    item.length = (unsigned int)client->options.pad;
    item.contents = calloc(1, client->options.pad);
    if (item.contents == NULL)
        exit(1);
    must(client, "padding",
         krb5_encode_authdata_container(client->krb, KRB5_AUTHDATA_IF_RELEVANT,
                                        list, &out));
    free(item.contents);
    return out;
}

static void
flip(struct client *client, const krb5_data *apreq)
{
    const char *which = client->options.flip;
    char *last = apreq->data + apreq->length - 1;

    /* Both encrypted parts are the last thing in what holds them. */
    if (strcmp(which, "ticket") == 0) {
        char *ticket = memmem(apreq->data, apreq->length,
                              client->creds->ticket.data,
                              client->creds->ticket.length);
        if (ticket == NULL) {
            fprintf(stderr, "mkapreq: the ticket is not in the AP-REQ\n");
            exit(1);
        }
        last = ticket + client->creds->ticket.length - 1;
    }
    *last = (char)(*last ^ 1);
}

/* The library refuses to use an expired ticket and takes the time for both
 * checks and the authenticator from its context. */
static void
bend_time(struct client *client)
{
    time_t now = time(NULL);

    client->creds->times.starttime = 0;
    client->creds->times.authtime = 0;
    client->creds->times.endtime = (krb5_timestamp)(now + 86400);
    if (client->options.skew != 0)
        must(client, "skew",
             krb5_set_real_time(client->krb,
                                (krb5_timestamp)(now + client->options.skew),
                                0));
}

static void
print_hex(const char *word, const krb5_data *data)
{
    printf("%s ", word);
    for (unsigned int i = 0; i < data->length; i++)
        printf("%02x", (unsigned char)data->data[i]);
    printf("\n");
    fflush(stdout);
}

/* No channel bindings; flags: mutual, integrity. */
static void
ask_gss_checksum(struct client *client, krb5_data *checksum, char octets[24])
{
    memset(octets, 0, 24);
    octets[0] = 16;
    octets[20] = client->options.mutual ? 0x22 : 0x20;
    checksum->magic = 0;
    checksum->data = octets;
    checksum->length = 24;
    must(client, "auth context",
         krb5_auth_con_init(client->krb, &client->auth));
    must(client, "checksum",
         krb5_auth_con_set_req_cksumtype(client->krb, client->auth, 0x8003));
}

static void
make_apreq(struct client *client)
{
    krb5_flags flags = 0;
    krb5_data apreq;
    krb5_data checksum;
    char octets[24];

    if (client->options.mutual)
        flags |= AP_OPTS_MUTUAL_REQUIRED;
    if (client->options.subkey)
        flags |= AP_OPTS_USE_SUBKEY;
    krb5_auth_con_free(client->krb, client->auth);
    client->auth = NULL;
    bend_time(client);
    if (client->options.gss)
        ask_gss_checksum(client, &checksum, octets);
    must(client, "AP-REQ",
         krb5_mk_req_extended(client->krb, &client->auth, flags,
                              client->options.gss ? &checksum : NULL,
                              client->creds, &apreq));
    if (client->options.flip != NULL)
        flip(client, &apreq);
    print_hex("apreq", &apreq);
    krb5_free_data_contents(client->krb, &apreq);
}

static int
hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c == '\0' ? NULL : strchr(digits, c | 0x20);

    return at == NULL ? -1 : (int)(at - digits);
}

/* In place; false when it is no hex. */
static bool
parse_hex(char *text, krb5_data *out)
{
    size_t len = strlen(text);

    out->magic = 0;
    out->data = text;
    out->length = (unsigned int)(len / 2);
    for (size_t i = 0; i + 1 < len; i += 2) {
        int high = hex_digit(text[i]);
        int low = hex_digit(text[i + 1]);

        if (high < 0 || low < 0)
            return false;
        text[i / 2] = (char)(high << 4 | low);
    }
    return len % 2 == 0;
}

static void
bad(struct client *client, krb5_error_code code)
{
    const char *text = krb5_get_error_message(client->krb, code);

    printf("bad %s\n", text);
    krb5_free_error_message(client->krb, text);
}

static void
judge_aprep(struct client *client, char *hex)
{
    krb5_ap_rep_enc_part *part = NULL;
    krb5_error_code code;
    krb5_data data;

    if (!parse_hex(hex, &data)) {
        printf("bad not hex\n");
        return;
    }
    code = krb5_rd_rep(client->krb, client->auth, &data, &part);
    if (code != 0)
        bad(client, code);
    else
        printf("ok\n");
    krb5_free_ap_rep_enc_part(client->krb, part);
}

static void
show_error(struct client *client, char *hex)
{
    krb5_error_code code;
    krb5_error *error = NULL;
    char *server = NULL;
    krb5_data data;

    if (!parse_hex(hex, &data)) {
        printf("bad not hex\n");
        return;
    }
    code = krb5_rd_error(client->krb, &data, &error);
    if (code != 0) {
        bad(client, code);
        return;
    }
    if (error->server != NULL)
        must(client, "server",
             krb5_unparse_name(client->krb, error->server, &server));
    printf("code %u %s: %.*s\n", (unsigned int)error->error,
           server == NULL ? "" : server, (int)error->text.length,
           error->text.data == NULL ? "" : error->text.data);
    krb5_free_unparsed_name(client->krb, server);
    krb5_free_error(client->krb, error);
}

static void
show_info(struct client *client)
{
    krb5_ticket *ticket = NULL;
    char *user = NULL;
    char *server = NULL;

    must(client, "ticket",
         krb5_decode_ticket(&client->creds->ticket, &ticket));
    must(client, "client",
         krb5_unparse_name(client->krb, client->creds->client, &user));
    must(client, "server",
         krb5_unparse_name(client->krb, ticket->server, &server));
    printf("info %s %s %d %u\n", user, server, (int)ticket->enc_part.enctype,
           (unsigned int)ticket->enc_part.kvno);
    krb5_free_unparsed_name(client->krb, user);
    krb5_free_unparsed_name(client->krb, server);
    krb5_free_ticket(client->krb, ticket);
}

static bool
obey(struct client *client, char *line)
{
    line[strcspn(line, "\r\n")] = '\0';
    if (strncmp(line, "aprep ", 6) == 0)
        judge_aprep(client, line + 6);
    else if (strncmp(line, "krberror ", 9) == 0)
        show_error(client, line + 9);
    else if (strcmp(line, "again") == 0)
        make_apreq(client);
    else if (strcmp(line, "info") == 0)
        show_info(client);
    else if (strcmp(line, "quit") == 0)
        return false;
    else
        printf("bad unknown command\n");
    fflush(stdout);
    return true;
}

static int
usage(void)
{
    fprintf(stderr, "mkapreq: wrong call; see the top of mkapreq.c\n");
    return 2;
}

static bool
parse_options(int argc, char **argv, struct options *out)
{
    static const struct option longs[] = {
        { "service", required_argument, NULL, 's' },
        { "ccache", required_argument, NULL, 'c' },
        { "keytab", required_argument, NULL, 'k' },
        { "user", required_argument, NULL, 'u' },
        { "addresses", required_argument, NULL, 'a' },
        { "mutual", no_argument, NULL, 'm' },
        { "subkey", no_argument, NULL, 'b' },
        { "gss", no_argument, NULL, 'g' },
        { "skew", required_argument, NULL, 't' },
        { "pad", required_argument, NULL, 'p' },
        { "flip", required_argument, NULL, 'f' },
        { NULL, 0, NULL, 0 },
    };
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 's': out->service = optarg; break;
        case 'c': out->ccache = optarg; break;
        case 'k': out->keytab = optarg; break;
        case 'u': out->user = optarg; break;
        case 'a': out->addresses = optarg; break;
        case 'm': out->mutual = true; break;
        case 'b': out->subkey = true; break;
        case 'g': out->gss = true; break;
        case 't': out->skew = strtol(optarg, NULL, 10); break;
        case 'p': out->pad = strtoul(optarg, NULL, 10); break;
        case 'f': out->flip = optarg; break;
        default: return false;
        }
    }
    if (out->flip != NULL && strcmp(out->flip, "ticket") != 0 &&
        strcmp(out->flip, "authenticator") != 0)
        return false;
    return out->service != NULL && optind == argc &&
           (out->keytab == NULL) == (out->user == NULL);
}

int
main(int argc, char **argv)
{
    struct client client;
    krb5_principal server;
    krb5_error_code code;
    char *line;

    memset(&client, 0, sizeof(client));
    if (!parse_options(argc, argv, &client.options))
        return usage();
    code = krb5_init_context(&client.krb);
    if (code != 0)
        die(&client, "Kerberos", code);
    if (client.options.keytab != NULL) {
        creds_from_keytab(&client);
    } else {
        server = parse_service(&client);
        creds_from_ccache(&client, server);
        krb5_free_principal(client.krb, server);
    }
    if (client.options.pad > 0) {
        krb5_free_authdata(client.krb, client.creds->authdata);
        client.creds->authdata = make_padding(&client);
    }
    make_apreq(&client);
    line = malloc(LINE_MAX_HEX);
    if (line == NULL)
        return 1;
    while (fgets(line, LINE_MAX_HEX, stdin) != NULL && obey(&client, line))
        continue;
    free(line);
    krb5_auth_con_free(client.krb, client.auth);
    krb5_free_creds(client.krb, client.creds);
    krb5_free_context(client.krb);
    return 0;
}
