/* LDFLAGS: -lgssapi_krb5 */
/*
 * gssclient.c - the client's side of a GSSAPI context for tests.  It opens no
 * connection but to the KDC; the test moves the octets and may record, bend
 * and repeat them.
 *
 *   gssclient [--spnego] SERVICE   (KRB5_CONFIG, KRB5CCNAME from the test)
 *     SERVICE  pop@HOST, or a principal such as imap/HOST@REALM
 *     --spnego the tokens are SPNEGO's, with Kerberos 5 inside
 *
 * It answers each line of its input by one line:
 *     init [HEX]    "continue HEX" or "complete HEX": the next token for the
 *                   server, which may be empty
 *     wrap 0|1 HEX  "data HEX": wrapped, 1 with secrecy
 *     unwrap HEX    "data HEX"
 *     bind HEX      "data ": later contexts are bound to this channel (RFC
 *                   5056: "type:name"); empty is to none
 *     reset         "data ": the next init begins a new context
 * or "bad TEXT".  It ends with its input.
 *
 * SPDX-License-Identifier: MIT
 */
#include <gssapi/gssapi.h>
#include <gssapi/gssapi_krb5.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gss_OID_desc spnego = { 6, (void *)(uintptr_t)"\x2b\x06\x01\x05\x05"
                                                     "\x02" };

struct client {
    gss_ctx_id_t context;
    gss_name_t target;
    gss_OID mech;
    struct gss_channel_bindings_struct channel; /* application_data only */
};

static void
say_bad(OM_uint32 major, OM_uint32 minor)
{
    gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
    OM_uint32 more = 0;
    OM_uint32 ignored;

    (void)gss_display_status(&ignored, minor != 0 ? minor : major,
                             minor != 0 ? GSS_C_MECH_CODE : GSS_C_GSS_CODE,
                             GSS_C_NO_OID, &more, &text);
    printf("bad %.*s\n", (int)text.length, (const char *)text.value);
    (void)gss_release_buffer(&ignored, &text);
}

static void
say_hex(const char *word, gss_buffer_t buffer)
{
    const unsigned char *octets = buffer->value;
    OM_uint32 ignored;

    printf("%s ", word);
    for (size_t i = 0; i < buffer->length; i++)
        printf("%02x", octets[i]);
    printf("\n");
    (void)gss_release_buffer(&ignored, buffer);
}

/* Decodes in place. */
static gss_buffer_desc
from_hex(char *text)
{
    gss_buffer_desc buffer = { 0, text };
    unsigned octet;

    for (; sscanf(text + 2 * buffer.length, "%2x", &octet) == 1;
         buffer.length++)
        ((unsigned char *)buffer.value)[buffer.length] = (unsigned char)octet;
    return buffer;
}

static void
bind_to(struct client *client, char *hex)
{
    gss_buffer_t data = &client->channel.application_data;

    free(data->value);
    data->value = strdup(hex);
    *data = data->value != NULL ? from_hex(data->value)
                                : (gss_buffer_desc)GSS_C_EMPTY_BUFFER;
    printf("data \n");
}

static void
init(struct client *client, char *hex)
{
    gss_buffer_desc in = from_hex(hex);
    gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor;
    OM_uint32 major = gss_init_sec_context(
        &minor, GSS_C_NO_CREDENTIAL, &client->context, client->target,
        client->mech,
        GSS_C_MUTUAL_FLAG | GSS_C_REPLAY_FLAG | GSS_C_SEQUENCE_FLAG
            | GSS_C_INTEG_FLAG | GSS_C_CONF_FLAG,
        0,
        client->channel.application_data.length > 0
            ? &client->channel
            : GSS_C_NO_CHANNEL_BINDINGS,
        &in, NULL, &out, NULL, NULL);

    if (GSS_ERROR(major))
        say_bad(major, minor);
    else
        say_hex(major == GSS_S_COMPLETE ? "complete" : "continue", &out);
}

static void
wrap(struct client *client, bool secret, char *hex)
{
    gss_buffer_desc in = from_hex(hex);
    gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor;
    OM_uint32 major = gss_wrap(&minor, client->context, secret,
                               GSS_C_QOP_DEFAULT, &in, NULL, &out);

    if (GSS_ERROR(major))
        say_bad(major, minor);
    else
        say_hex("data", &out);
}

static void
unwrap(struct client *client, char *hex)
{
    gss_buffer_desc in = from_hex(hex);
    gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor;
    OM_uint32 major = gss_unwrap(&minor, client->context, &in, &out, NULL,
                                 NULL);

    /* Also what came twice, late or too early. */
    if (major != GSS_S_COMPLETE)
        say_bad(major, minor);
    else
        say_hex("data", &out);
}

static void
reset(struct client *client)
{
    OM_uint32 minor;

    (void)gss_delete_sec_context(&minor, &client->context, GSS_C_NO_BUFFER);
    printf("data \n");
}

static bool
import_target(struct client *client, char *service)
{
    gss_buffer_desc name = { strlen(service), service };
    gss_OID type = strchr(service, '/') != NULL ? GSS_KRB5_NT_PRINCIPAL_NAME
                                                : GSS_C_NT_HOSTBASED_SERVICE;
    OM_uint32 minor;

    return !GSS_ERROR(gss_import_name(&minor, &name, type, &client->target));
}

int
main(int argc, char **argv)
{
    struct client client = { .context = GSS_C_NO_CONTEXT,
                             .target = GSS_C_NO_NAME,
                             .mech = gss_mech_krb5 };
    char *line = NULL;
    size_t size = 0;
    OM_uint32 minor;

    if (argc == 3 && strcmp(argv[1], "--spnego") == 0)
        client.mech = &spnego;
    else if (argc != 2)
        return 2;
    if (!import_target(&client, argv[argc - 1]))
        return 1;
    while (getline(&line, &size, stdin) > 0) {
        if (strncmp(line, "init", 4) == 0)
            init(&client, line + 4 + (line[4] == ' '));
        else if (strncmp(line, "wrap ", 5) == 0)
            wrap(&client, line[5] == '1', line + 7);
        else if (strncmp(line, "unwrap ", 7) == 0)
            unwrap(&client, line + 7);
        else if (strncmp(line, "bind ", 5) == 0)
            bind_to(&client, line + 5);
        else if (strncmp(line, "reset", 5) == 0)
            reset(&client);
        else
            printf("bad call\n");
        (void)fflush(stdout);
    }
    free(line);
    free(client.channel.application_data.value);
    (void)gss_delete_sec_context(&minor, &client.context, GSS_C_NO_BUFFER);
    (void)gss_release_name(&minor, &client.target);
    return 0;
}
