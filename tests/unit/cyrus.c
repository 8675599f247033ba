/* LDFLAGS: -Wl,--wrap=sasl_server_new,--wrap=sasl_server_start */
/*
 * cyrus.c - a connection of libsasl2 driven directly, by mechanisms and by a
 * library that do what they never do in a login: what fails is never taken
 * for the client's success, and always has a text for the log.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sasl/cyrus.h"

#include <limits.h>
#include <sasl/sasl.h>
#include <string.h>

#include "tests/lib/check.h"

typedef int take_name_fn(sasl_conn_t *conn, void *arg, const char *name,
                         unsigned len, unsigned flags, const char *realm,
                         char *out, unsigned size, unsigned *len_out);

int __real_sasl_server_new(const char *service, const char *host,
                           const char *realm, const char *local,
                           const char *remote,
                           const sasl_callback_t *callbacks, unsigned flags,
                           sasl_conn_t **out);
int __wrap_sasl_server_new(const char *service, const char *host,
                           const char *realm, const char *local,
                           const char *remote,
                           const sasl_callback_t *callbacks, unsigned flags,
                           sasl_conn_t **out);

static const sasl_callback_t *taker; /* what the library would call */

int
__wrap_sasl_server_new(const char *service, const char *host,
                       const char *realm, const char *local,
                       const char *remote, const sasl_callback_t *callbacks,
                       unsigned flags, sasl_conn_t **out)
{
    taker = callbacks;
    while (taker->id != SASL_CB_CANON_USER)
        taker++;
    return __real_sasl_server_new(service, host, realm, local, remote,
                                  callbacks, flags, out);
}

int __real_sasl_server_start(sasl_conn_t *conn, const char *mechanism,
                             const char *in, unsigned len, const char **out,
                             unsigned *len_out);
int __wrap_sasl_server_start(sasl_conn_t *conn, const char *mechanism,
                             const char *in, unsigned len, const char **out,
                             unsigned *len_out);

static int said; /* by a mechanism without a word; SASL_OK = ask the real */

int
__wrap_sasl_server_start(sasl_conn_t *conn, const char *mechanism,
                         const char *in, unsigned len, const char **out,
                         unsigned *len_out)
{
    return said != SASL_OK ? said
                           : __real_sasl_server_start(conn, mechanism, in,
                                                      len, out, len_out);
}

static struct cyrus *cyrus;
static struct buf answer;

static void
begin(const char *mechanism)
{
    const struct cyrus_settings settings = { .mechanism = mechanism,
                                             .hostname = "mail.test" };
    static bool kept;
    char error[300] = "";

    /* As kpopd does: its module libgs2 loses memory at each loading. */
    if (!kept)
        CHECK_INT(sasl_server_init(NULL, NULL), SASL_OK);
    kept = true;
    buf_init(&answer, 1000);
    CHECK_INT(cyrus_new(&settings, &cyrus, error, sizeof(error)), STATUS_OK);
}

static int
step(const char *data, size_t len)
{
    return cyrus_step(cyrus, (const uint8_t *)data, len, &answer);
}

static void
end(void)
{
    CHECK_INT(buf_len(&answer), 0);
    CHECK_STR(cyrus_authzid(cyrus), "");
    cyrus_free(cyrus);
    buf_reset(&answer);
}

TEST(a_mechanism_that_is_not_installed_is_our_trouble)
{
    begin("NONE-SUCH");
    CHECK_INT(step("x", 1), STATUS_TEMP);
    CHECK(strstr(cyrus_text(cyrus),
                 "libsasl2 has no mechanism NONE-SUCH: install") != NULL);
    end();
}

TEST(a_refusal_without_a_word_has_a_text)
{
    begin("EXTERNAL");
    said = SASL_BADPROT;
    CHECK_INT(step("x", 1), STATUS_AUTH);
    said = SASL_OK;
    CHECK(strncmp(cyrus_text(cyrus), "SASL(", 5) == 0);
    end();
}

TEST(more_octets_than_the_library_counts_are_not_looked_at)
{
    begin("EXTERNAL");
    CHECK_INT(step(NULL, (size_t)INT_MAX + 1), STATUS_AUTH);
    end();
}

/* ---- names, as the library gives them ---- */

static int
take(const char *name, unsigned len, unsigned flags, char *to, unsigned size)
{
    /* libsasl2 has one type for all callbacks. */
    take_name_fn *function = (take_name_fn *)(void (*)(void))taker->proc;
    unsigned len_out = 0;

    return function(NULL, taker->context, name, len, flags, NULL, to, size,
                    &len_out);
}

TEST(a_name_without_its_length_ends_at_its_nul)
{
    char to[100] = "";

    begin("EXTERNAL");
    CHECK_INT(take("alice", 0, SASL_CU_AUTHID, to, sizeof(to)), SASL_OK);
    CHECK_STR(cyrus_authcid(cyrus), "alice");
    CHECK_STR(to, "kpop"); /* opens nothing */
    end();
}

TEST(a_name_that_the_library_has_no_room_for_is_not_written)
{
    char to[4] = "...";

    begin("EXTERNAL");
    CHECK_INT(take("alice", 5, SASL_CU_AUTHID, to, 4), SASL_BUFOVER);
    CHECK_STR(to, "...");
    end();
}

TEST_MAIN("cyrus", T(a_mechanism_that_is_not_installed_is_our_trouble),
          T(a_refusal_without_a_word_has_a_text),
          T(more_octets_than_the_library_counts_are_not_looked_at),
          T(a_name_without_its_length_ends_at_its_nul),
          T(a_name_that_the_library_has_no_room_for_is_not_written))
