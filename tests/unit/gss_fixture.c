/*
 * gss_fixture.c - the client's half of RFC 4752 and the wires between.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/unit/gss_fixture.h"

#include <gssapi/gssapi_krb5.h>
#include <sasl/sasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/check.h"

static void
keep_log(void *arg, unsigned level, const char *event, const char *line)
{
    struct gss_login *login = arg;
    size_t len = strlen(login->log);

    snprintf(login->log + len, sizeof(login->log) - len, "%u %s %s\n", level,
             event, line);
}

struct sasl_settings
gss_settings(void)
{
    struct sasl_settings settings = { .hostname = "localhost" };

    realm_need();
    settings.keytab = realm_path("kpop.keytab");
    settings.services = "pop pop3";
    settings.replay_cache = realm_path("replay/cache");
    settings.realms = "";
    settings.principal_map = "";
    return settings;
}

/*
 * As kpopd does: keeps libsasl2 and its modules, of which libgs2 loses memory
 * each time it is loaded.
 */
static void
keep_library(void)
{
    static bool kept;

    if (!kept)
        CHECK_INT(sasl_server_init(NULL, NULL), SASL_OK);
    kept = true;
}

static void
need_ticket(void)
{
    keep_library();
    if (access(realm_path("alice.cc"), R_OK) != 0)
        realm_ccache("alice", "alice.cc");
    setenv("KRB5CCNAME", realm_path("alice.cc"), 1);
}

static void
start(struct gss_login *login)
{
    buf_init(&login->out, 65536);
    CHECK_INT(login->mech->start(login->world, &login->peer, &login->state),
              STATUS_OK);
}

void
gss_attach(struct gss_login *login, struct sasl_world *world)
{
    memset(login, 0, sizeof(*login));
    login->world = world;
    login->peer.address = "127.0.0.1";
    login->peer.session_id = "s1";
    login->peer.log = keep_log;
    login->peer.log_arg = login;
    login->mech = mech_find("gssapi");
    login->service = "pop@localhost";
    login->flags = GSS_C_MUTUAL_FLAG | GSS_C_SEQUENCE_FLAG |
                   GSS_C_INTEG_FLAG | GSS_C_CONF_FLAG;
    start(login);
}

void
gss_begin_with(struct gss_login *login, const struct sasl_settings *settings)
{
    struct sasl_world *world = NULL;
    char error[300] = "";

    need_ticket();
    CHECK_INT(sasl_world_new(settings, &world, error, sizeof(error)),
              STATUS_OK);
    gss_attach(login, world);
}

void
gss_begin(struct gss_login *login)
{
    struct sasl_settings settings = gss_settings();

    gss_begin_with(login, &settings);
}

void
gss_detach(struct gss_login *login)
{
    OM_uint32 minor;

    login->mech->free(login->state);
    login->state = NULL;
    buf_reset(&login->out);
    (void)gss_delete_sec_context(&minor, &login->context, GSS_C_NO_BUFFER);
}

void
gss_again(struct gss_login *login)
{
    gss_detach(login);
    login->log[0] = '\0';
    start(login);
}

void
gss_end(struct gss_login *login)
{
    gss_detach(login);
    sasl_world_free(login->world);
}

static const struct octets *
keep(gss_buffer_t buffer)
{
    static struct octets kept[8];
    static unsigned next;
    struct octets *octets = &kept[next++ % 8];
    OM_uint32 minor;

    CHECK(buffer->length <= sizeof(octets->data));
    octets->len = buffer->length;
    if (buffer->length > 0)
        memcpy(octets->data, buffer->value, buffer->length);
    (void)gss_release_buffer(&minor, buffer);
    return octets;
}

static void
check_gss(OM_uint32 major, OM_uint32 minor)
{
    gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
    OM_uint32 ignored;
    OM_uint32 more = 0;

    if (!GSS_ERROR(major))
        return;
    (void)gss_display_status(&ignored, minor, GSS_C_MECH_CODE, gss_mech_krb5,
                             &more, &text);
    fprintf(stderr, "# GSSAPI: %.*s\n", (int)text.length,
            (const char *)text.value);
    (void)gss_release_buffer(&ignored, &text);
    CHECK(!GSS_ERROR(major));
}

/* A service with a slash is a principal. */
static gss_name_t
target_name(const struct gss_login *login)
{
    gss_name_t name = GSS_C_NO_NAME;
    gss_buffer_desc text;
    OM_uint32 minor;
    OM_uint32 major;
    char copy[300];

    snprintf(copy, sizeof(copy), "%s", login->service);
    text.value = copy;
    text.length = strlen(copy);
    major = gss_import_name(&minor, &text,
                            strchr(copy, '/') != NULL
                                ? GSS_KRB5_NT_PRINCIPAL_NAME
                                : GSS_C_NT_HOSTBASED_SERVICE,
                            &name);
    check_gss(major, minor);
    return name;
}

const struct octets *
gss_token(struct gss_login *login)
{
    gss_name_t target = target_name(login);
    gss_buffer_desc in = GSS_C_EMPTY_BUFFER;
    gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor = 0;
    OM_uint32 major;

    in.length = buf_len(&login->out);
    if (in.length > 0)
        in.value = login->out.data + login->out.start;
    major = gss_init_sec_context(
        &minor, GSS_C_NO_CREDENTIAL, &login->context, target, gss_mech_krb5,
        login->flags, 0, GSS_C_NO_CHANNEL_BINDINGS, &in, NULL, &out, NULL,
        NULL);
    check_gss(major, minor);
    (void)gss_release_name(&minor, &target);
    return keep(&out);
}

int
gss_send(struct gss_login *login, const void *data, size_t len)
{
    buf_reset(&login->out);
    return login->mech->step(login->state, data, len, &login->out,
                             &login->ask);
}

static void
read_offer(struct gss_login *login)
{
    uint8_t copy[256]; /* unwrapping bends it */
    gss_buffer_desc in = { buf_len(&login->out), copy };
    gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor = 0;
    int sealed = 1;
    const struct octets *offer;

    CHECK(in.length <= sizeof(copy));
    memcpy(copy, buf_data(&login->out), in.length);
    check_gss(gss_unwrap(&minor, login->context, &in, &out, &sealed, NULL),
              minor);
    CHECK_INT(sealed, 0);
    offer = keep(&out);
    CHECK_INT(offer->len, 4);
    login->offered = offer->data[0];
    login->offered_size = (unsigned)offer->data[1] << 16 |
                          (unsigned)offer->data[2] << 8 | offer->data[3];
}

int
gss_until_offer(struct gss_login *login)
{
    const struct octets *token = gss_token(login);
    int status = gss_send(login, token->data, token->len);

    if (status == STATUS_CONTINUE && (login->flags & GSS_C_MUTUAL_FLAG)) {
        token = gss_token(login);
        CHECK_INT(token->len, 0);
        status = gss_send(login, "", 0);
    }
    if (status == STATUS_CONTINUE)
        read_offer(login);
    return status;
}

const struct octets *
gss_wrapped(struct gss_login *login, const void *data, size_t len,
            bool sealed)
{
    char copy[70000];
    gss_buffer_desc in = { len, copy };
    gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor = 0;

    CHECK(len <= sizeof(copy));
    if (len > 0)
        memcpy(copy, data, len);
    check_gss(gss_wrap(&minor, login->context, sealed, GSS_C_QOP_DEFAULT,
                       &in, NULL, &out),
              minor);
    return keep(&out);
}

int
gss_choose(struct gss_login *login, unsigned layers, unsigned size,
           const char *authzid, size_t len)
{
    char choice[1024] = { (char)layers, (char)(size >> 16),
                          (char)(size >> 8), (char)size };
    const struct octets *token;

    CHECK(len <= sizeof(choice) - 4);
    if (len > 0)
        memcpy(choice + 4, authzid, len);
    token = gss_wrapped(login, choice, len + 4, false);
    return gss_send(login, token->data, token->len);
}

int
gss_log_in(struct gss_login *login, const char *authzid)
{
    int status = gss_until_offer(login);

    if (status != STATUS_CONTINUE)
        return status;
    return gss_choose(login, 1, 0, authzid, strlen(authzid));
}
