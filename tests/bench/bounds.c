/*
 * bounds.c - what the libraries alone cost, in loops: the bounds of a login.
 *
 *   bounds rd-req COUNT KEYTAB SERVICE USER PASSWORD [REPLAY]
 *     krb5_rd_req and krb5_mk_rep, with the keys in memory; with a replay
 *     cache in the folder REPLAY, or without any
 *   bounds gss COUNT KEYTAB SERVICE USER PASSWORD [REPLAY]
 *     the same for gss_accept_sec_context
 *   bounds tls COUNT CERTIFICATE KEY
 *     handshakes of a server of TLS 1.3, P-256, not resumed
 *   bounds writev COUNT OCTETS
 *     so many octets from memory over loopback; the reader throws them away
 *
 * It prints milliseconds of processor time for each, the client's part left
 * out.  KRB5_CONFIG names the realm; USER is a name without its number, 0.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <gssapi/gssapi.h>
#include <gssapi/gssapi_krb5.h>
#include <krb5.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/fail.h"
#include "tests/bench/tickets.h"

static void
must(const char *what, int failed)
{
    if (failed)
        fail("%s failed: %d", what, failed);
}

/* ---- Kerberos ---- */

/* The library opens a keytab of a file for each request. */
static krb5_keytab
keys_in_memory(krb5_context krb, const char *path)
{
    krb5_keytab file;
    krb5_keytab memory;
    krb5_kt_cursor cursor;
    krb5_keytab_entry entry;

    must("keytab", krb5_kt_resolve(krb, path, &file));
    must("keytab", krb5_kt_resolve(krb, "MEMORY:bench", &memory));
    must(path, krb5_kt_start_seq_get(krb, file, &cursor));
    while (krb5_kt_next_entry(krb, file, &entry, &cursor) == 0) {
        must("key", krb5_kt_add_entry(krb, memory, &entry));
        (void)krb5_free_keytab_entry_contents(krb, &entry);
    }
    must(path, krb5_kt_end_seq_get(krb, file, &cursor));
    must(path, krb5_kt_close(krb, file));
    return memory;
}

static void
use_replay(const char *folder)
{
    char name[4096];

    (void)snprintf(name, sizeof(name), "file2:%s/bench",
                   folder != NULL ? folder : "");
    must("setenv", setenv("KRB5RCACHENAME", folder != NULL ? name : "none:",
                          1));
}

/* The rest of argv: KEYTAB SERVICE USER PASSWORD [REPLAY]. */
static struct tickets *
get_tickets(char **words)
{
    use_replay(words[4]);
    return tickets_get(words[1], words[2], 0, 1, words[3]);
}

static double
rd_req(unsigned long count, char **words)
{
    struct tickets *tickets = get_tickets(words);
    struct token *requests = calloc(count, sizeof(*requests));
    krb5_principal server;
    krb5_context krb;
    krb5_keytab keytab;
    double began;

    must("krb5", krb5_init_context(&krb));
    must("service", krb5_parse_name(krb, words[1], &server));
    keytab = keys_in_memory(krb, words[0]);
    for (unsigned long i = 0; requests != NULL && i < count; i++)
        requests[i] = tickets_ap_req(tickets, 0);
    began = processor_ms();
    for (unsigned long i = 0; requests != NULL && i < count; i++) {
        krb5_data in = { 0, (unsigned)requests[i].len, requests[i].octets };
        krb5_auth_context auth = NULL;
        krb5_data out = { 0, 0, NULL };

        must("krb5_rd_req", krb5_rd_req(krb, &auth, &in, server, keytab, NULL,
                                        NULL));
        must("krb5_mk_rep", krb5_mk_rep(krb, auth, &out));
        krb5_free_data_contents(krb, &out);
        must("auth", krb5_auth_con_free(krb, auth));
    }
    return processor_ms() - began;
}

static double
gss(unsigned long count, char **words)
{
    struct tickets *tickets = get_tickets(words);
    struct gss_login **logins = calloc(count, sizeof(struct gss_login *));
    gss_cred_id_t cred = GSS_C_NO_CREDENTIAL;
    krb5_context krb;
    OM_uint32 minor;
    double began;

    must("krb5", krb5_init_context(&krb));
    (void)keys_in_memory(krb, words[0]);
    must("keytab", setenv("KRB5_KTNAME", "MEMORY:bench", 1));
    must("gss_acquire_cred",
         (int)gss_acquire_cred(&minor, GSS_C_NO_NAME, 0, GSS_C_NO_OID_SET,
                               GSS_C_ACCEPT, &cred, NULL, NULL));
    for (unsigned long i = 0; logins != NULL && i < count; i++)
        logins[i] = tickets_gss(tickets, 0);
    began = processor_ms();
    for (unsigned long i = 0; logins != NULL && i < count; i++) {
        const struct token *first = gss_first(logins[i]);
        gss_buffer_desc in = { first->len, first->octets };
        gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
        gss_ctx_id_t context = GSS_C_NO_CONTEXT;

        must("gss_accept_sec_context",
             (int)gss_accept_sec_context(&minor, &context, cred, &in,
                                         GSS_C_NO_CHANNEL_BINDINGS, NULL,
                                         NULL, &out, NULL, NULL, NULL));
        (void)gss_release_buffer(&minor, &out);
        (void)gss_delete_sec_context(&minor, &context, GSS_C_NO_BUFFER);
    }
    return processor_ms() - began;
}

/* ---- TLS ---- */

static double
shake_hands(SSL_CTX *server_context, SSL_CTX *client_context)
{
    SSL *server = SSL_new(server_context);
    SSL *client = SSL_new(client_context);
    BIO *one;
    BIO *other;
    double spent = 0;
    double began;

    if (server == NULL || client == NULL
        || !BIO_new_bio_pair(&one, 0, &other, 0))
        fail("TLS");
    SSL_set_bio(server, one, one);
    SSL_set_bio(client, other, other);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    while (!SSL_is_init_finished(server) || !SSL_is_init_finished(client)) {
        (void)SSL_do_handshake(client);
        began = processor_ms();
        (void)SSL_do_handshake(server);
        spent += processor_ms() - began;
    }
    SSL_free(client);
    SSL_free(server);
    return spent;
}

static double
tls(unsigned long count, char **words)
{
    SSL_CTX *server = SSL_CTX_new(TLS_server_method());
    SSL_CTX *client = SSL_CTX_new(TLS_client_method());
    double spent = 0;

    if (server == NULL || client == NULL
        || !SSL_CTX_set1_groups_list(client, "P-256")
        || SSL_CTX_use_certificate_chain_file(server, words[0]) != 1
        || SSL_CTX_use_PrivateKey_file(server, words[1], SSL_FILETYPE_PEM)
               != 1)
        fail("%s, %s: no certificate and key", words[0], words[1]);
    for (unsigned long i = 0; i < count; i++)
        spent += shake_hands(server, client);
    return spent;
}

/* ---- octets ---- */

static void
throw_away(int listener)
{
    static char octets[1 << 18];
    int fd = accept(listener, NULL, NULL);

    while (recv(fd, octets, sizeof(octets), 0) > 0)
        continue;
    _exit(0);
}

static double
send_octets(unsigned long count, char **words)
{
    size_t octets = strtoul(words[0], NULL, 10);
    char *text = calloc(1, octets);
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    double began;
    pid_t reader;

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (text == NULL || bind(listener, (struct sockaddr *)&at, len) != 0
        || listen(listener, 1) != 0
        || getsockname(listener, (struct sockaddr *)&at, &len) != 0)
        fail("loopback: %s", strerror(errno));
    reader = fork();
    if (reader == 0) {
        (void)close(fd); /* or the writer's close is not the end */
        throw_away(listener);
    }
    if (connect(fd, (struct sockaddr *)&at, len) != 0)
        fail("loopback: %s", strerror(errno));
    began = processor_ms();
    for (unsigned long i = 0; i < count; i++) {
        for (size_t done = 0; done < octets;) {
            struct iovec part = { text + done, octets - done };
            ssize_t sent = writev(fd, &part, 1);

            if (sent < 0)
                fail("writev: %s", strerror(errno));
            done += (size_t)sent;
        }
    }
    began = processor_ms() - began;
    (void)close(fd);
    (void)waitpid(reader, NULL, 0);
    return began;
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int words; /* at least */
        double (*loop)(unsigned long count, char **words);
    } bounds[] = {
        { "rd-req", 7, rd_req },
        { "gss", 7, gss },
        { "tls", 5, tls },
        { "writev", 4, send_octets },
    };
    unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;

    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        if (argc >= bounds[i].words && count > 0
            && strcmp(argv[1], bounds[i].name) == 0) {
            printf("%.6f\n", bounds[i].loop(count, argv + 3) / (double)count);
            return 0;
        }
    }
    return 2;
}
