/*
 * client_setup.c - `kpopctl client-setup HOST` prints what fetchmail needs to
 * fetch mail by ticket from this server: the line of the services database
 * and a .fetchmailrc.  It reads the configuration alone and asks nobody.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/cli/cli.h"
#include "plugin/cli/json.h"
#include "plugin/host/kpopd/words.h"

enum { KPOP_PORT = 1109, RC_MAX = 2048 };

/* fetchmail takes a word without quotes; so does every shell. */
static bool
is_word(const char *text)
{
    return text[0] != '\0' && text[0] != '-' && strlen(text) <= 255
           && text[strspn(text, "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789.:_@+/-")]
                  == '\0';
}

static const char *
value_of(const struct setup *setup, const char *key)
{
    return setup->api->get(setup->sessions, key);
}

/* Is there a word ADDRESS:1109?  The values were checked when read. */
static bool
has_kpop_port(const char *listen)
{
    size_t len;

    for (; (listen = words_next(listen, &len)) != NULL; listen += len) {
        size_t port = len;

        while (port > 0 && listen[port - 1] != ':')
            port--;
        if (strtoul(listen + port, NULL, 10) == KPOP_PORT)
            return true;
    }
    return false;
}

/* 0, or -1 with a sentence. */
static int
find_tls(const struct setup *setup, bool *tls_out, char *error, size_t size)
{
    *tls_out = value_of(setup, "tls_certificate")[0] != '\0'
               && strcmp(value_of(setup, "kpop_stls"), "yes") == 0;
    if (has_kpop_port(value_of(setup, "listen_kpop")))
        return 0;
    (void)setup->api->blame(setup->sessions, "listen_kpop",
                            "has no port 1109, the only one where fetchmail "
                            "speaks KPOP", error, size);
    return -1;
}

/*
 * With sslproto "" nothing is encrypted, so it is for servers that can't.
 * sslcertck is no wish but a demand for TLS: whoever takes the offer of STLS
 * out of the connection gets an error and no mail.
 */
static void
write_rc(const struct cli *cli, bool tls, char *rc)
{
    char user[300] = "";

    if (cli->user != NULL)
        snprintf(user, sizeof(user), "    user \"%s\"\n", cli->user);
    snprintf(rc, RC_MAX, "poll %s protocol kpop auth kerberos_v5\n%s    %s\n",
             cli->word, user,
             tls ? "sslproto \"TLS1.2+\" sslcertck" : "sslproto \"\"");
}

static void
print_text(bool tls, const char *rc)
{
    puts("# /etc/services on the client's machine needs this line:\n"
         "kpop            1109/tcp\n\n"
         "# ~/.fetchmailrc, readable by its owner alone (chmod 600):");
    if (!tls)
        puts("# The server offers no TLS on this port: the ticket logs in "
             "safely, but the\n# mail crosses the network unencrypted.");
    fputs(rc, stdout);
    puts("# Then: kinit, fetchmail --check");
}

static void
print_json(bool tls, const char *rc)
{
    struct json json = { false };

    json_open(&json, NULL, '{');
    json_text(&json, "services", "kpop 1109/tcp");
    json_text(&json, "fetchmailrc", rc);
    json_bool(&json, "tls", tls);
    json_close(&json, '}');
    json_end(&json);
}

int
command_client_setup(const struct cli *cli)
{
    char error[SETUP_ERROR_MAX];
    char rc[RC_MAX];
    struct setup *setup;
    bool tls = false;
    int found;

    if (!is_word(cli->word) || (cli->user != NULL && !is_word(cli->user))) {
        cli_error(cli, "HOST and USER may have up to 255 letters, digits and "
                       ".:_@+/-");
        return CLI_USAGE;
    }
    setup = cli_read(cli);
    if (setup == NULL)
        return CLI_BAD;
    found = find_tls(setup, &tls, error, sizeof(error));
    setup_free(setup);
    if (found != 0) {
        cli_error(cli, error);
        return CLI_BAD;
    }
    write_rc(cli, tls, rc);
    if (cli->json)
        print_json(tls, rc);
    else
        print_text(tls, rc);
    return CLI_GOOD;
}
