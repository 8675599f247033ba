/* LDFLAGS: -lsasl2 -lgssapi_krb5 */
/*
 * sasl_host.c - libsasl2 has one state for the whole process: a host that
 * uses it, too, before or after it loads the real kpop.so, keeps what it has
 * told the library, and its own logins are answered by itself.  And the
 * module can be loaded and given up again and again.
 *
 * Each test runs in a child, because nobody can undo sasl_server_init().
 *
 * SPDX-License-Identifier: MIT
 */
#include <dlfcn.h>
#include <gssapi/gssapi_krb5.h>
#include <sasl/sasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugin/kpop_plugin.h"
#include "tests/lib/check.h"
#include "tests/unit/realm_fixture.h"

enum { CYCLES = 200, CYCLES_WARM = 20, GROWTH_MAX = 1 << 20 };

/* ---- the host's own use of libsasl2 ---- */

static int asked_options;
static int asked_passwords;
static char logged[400];

static int
host_option(void *context, const char *plugin, const char *option,
            const char **value_out, unsigned *len_out)
{
    (void)context;
    (void)plugin;
    asked_options++;
    if (strcmp(option, "mech_list") != 0)
        return SASL_FAIL;
    *value_out = "PLAIN";
    if (len_out != NULL)
        *len_out = 5;
    return SASL_OK;
}

static int
host_password(sasl_conn_t *conn, void *context, const char *user,
              const char *password, unsigned len, struct propctx *properties)
{
    (void)conn;
    (void)context;
    (void)properties;
    asked_passwords++;
    return strcmp(user, "hostuser") == 0 && len == 8
                   && memcmp(password, "hostpass", 8) == 0
               ? SASL_OK
               : SASL_BADAUTH;
}

#define CALLBACK(function) ((int (*)(void))(void (*)(void))(function))

static const sasl_callback_t host_callbacks[] = {
    { SASL_CB_GETOPT, CALLBACK(host_option), NULL },
    { SASL_CB_SERVER_USERDB_CHECKPASS, CALLBACK(host_password), NULL },
    { SASL_CB_LIST_END, NULL, NULL },
};

static const char *
host_mechanisms(sasl_conn_t *conn)
{
    static char copy[400];
    const char *list = NULL;

    if (sasl_listmech(conn, NULL, "", " ", "", &list, NULL, NULL) != SASL_OK)
        return "none";
    (void)snprintf(copy, sizeof(copy), "%s", list);
    return copy;
}

/* The host's users, and nobody else, log in by the host's own callback. */
static int
host_is_well(void)
{
    sasl_conn_t *conn = NULL;
    int before = asked_passwords;
    int good, bad, well;

    if (sasl_server_new("host", NULL, NULL, NULL, NULL, NULL, 0, &conn)
        != SASL_OK)
        return 0;
    good = sasl_checkpass(conn, "hostuser", 8, "hostpass", 8);
    bad = sasl_checkpass(conn, "hostuser", 8, "hostpast", 8);
    well = good == SASL_OK && bad != SASL_OK
           && asked_passwords == before + 2
           && strcmp(host_mechanisms(conn), "PLAIN") == 0;
    sasl_dispose(&conn);
    return well;
}

static int
host_begin(void)
{
    return sasl_server_init(host_callbacks, "kpop-test-host") == SASL_OK;
}

/* ---- the module in it ---- */

struct module {
    void *handle;
    struct kpop_plugin *plugin;
    const struct kpop_api *api;
};

static void
on_log(void *host, void *conn, uint32_t level, const char *event,
       const char *line)
{
    (void)host;
    (void)conn;
    (void)level;
    (void)snprintf(logged, sizeof(logged), "%s %s", event, line);
}

static int32_t
authorize(void *conn, struct kpop_op *op,
          const struct kpop_identity *identity)
{
    (void)conn;
    (void)op;
    (void)identity;
    return KPOP_DENIED;
}

static int32_t
open_box(void *conn, struct kpop_op *op, const struct kpop_open *what)
{
    (void)conn;
    (void)op;
    (void)what;
    return KPOP_PERM;
}

static int32_t
list(void *conn, struct kpop_op *op, void *box, uint32_t first,
     uint32_t count)
{
    (void)conn;
    (void)op;
    (void)box;
    (void)first;
    (void)count;
    return KPOP_PERM;
}

static int32_t
fetch(void *conn, struct kpop_op *op, void *box, uint32_t msg,
      uint64_t offset, void *buffer, uint32_t size, uint32_t flags)
{
    (void)conn;
    (void)op;
    (void)box;
    (void)msg;
    (void)offset;
    (void)buffer;
    (void)size;
    (void)flags;
    return KPOP_PERM;
}

static int32_t
commit(void *conn, struct kpop_op *op, void *box, const uint8_t *marks,
       uint32_t count)
{
    (void)conn;
    (void)op;
    (void)box;
    (void)marks;
    (void)count;
    return KPOP_PERM;
}

static void
close_box(void *conn, void *box)
{
    (void)conn;
    (void)box;
}

static const struct kpop_host table = {
    .size = sizeof(table),
    .version = KPOP_ABI_MINOR,
    .log = on_log,
    .authorize = authorize,
    .open = open_box,
    .list = list,
    .fetch = fetch,
    .commit = commit,
    .close = close_box,
};

static kpop_plugin_entry_fn
entry_of(void *handle)
{
    kpop_plugin_entry_fn entry = NULL;
    void *symbol = dlsym(handle, "kpop_plugin_entry");

    memcpy(&entry, &symbol, sizeof(entry));
    return entry;
}

static int
configure(const struct module *module)
{
    const char *const keys[][2] = {
        { "hostname", "localhost" },
        { "listen_kpop", "" },
        { "listen_pop3", "127.0.0.1:0" },
        { "mechanisms", "GSSAPI" },
        { "keytab", realm_path("kpop.keytab") },
        { "replay_cache", realm_path("replay/cache") },
    };
    char error[300] = "";

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (module->api->set(module->plugin, keys[i][0], keys[i][1], error,
                             sizeof(error)) != KPOP_OK)
            return 0;
    return module->api->ready(module->plugin, error, sizeof(error))
           == KPOP_OK;
}

static int
module_load(struct module *module)
{
    const char *build = getenv("BUILD");
    char path[4096], error[300];

    memset(module, 0, sizeof(*module));
    (void)snprintf(path, sizeof(path), "%s/kpop.so",
                   build != NULL ? build : "build");
    module->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (module->handle == NULL)
        return 0;
    return entry_of(module->handle)(KPOP_ABI_MAJOR, &table, NULL,
                                    &module->plugin, &module->api, error,
                                    sizeof(error)) == KPOP_OK
           && configure(module);
}

static int
module_unload(struct module *module)
{
    module->api->free(module->plugin);
    return dlclose(module->handle) == 0;
}

/* ---- a ticket for it ---- */

static gss_name_t
service_name(void)
{
    static char text[] = "pop@localhost";
    gss_buffer_desc name = { sizeof(text) - 1, text };
    gss_name_t target = GSS_C_NO_NAME;
    OM_uint32 minor;

    (void)gss_import_name(&minor, &name, GSS_C_NT_HOSTBASED_SERVICE,
                          &target);
    return target;
}

static void
never(void *arg, int32_t result)
{
    (void)arg;
    (void)result;
}

/* The first message of a login, which libsasl2 must answer; then it is given
 * up. */
static int
module_takes_a_ticket(const struct module *module)
{
    const struct kpop_facts facts = { .size = sizeof(facts),
                                      .service = "pop3" };
    struct kpop_outcome outcome = { .size = sizeof(outcome) };
    gss_buffer_desc token = GSS_C_EMPTY_BUFFER;
    gss_ctx_id_t context = GSS_C_NO_CONTEXT;
    struct kpop_exchange *exchange = NULL;
    gss_name_t target = service_name();
    OM_uint32 minor, major;
    int32_t result = KPOP_INVALID;

    major = gss_init_sec_context(&minor, GSS_C_NO_CREDENTIAL, &context,
                                 target, gss_mech_krb5,
                                 GSS_C_MUTUAL_FLAG | GSS_C_INTEG_FLAG, 0,
                                 NULL, GSS_C_NO_BUFFER, NULL, &token, NULL,
                                 NULL);
    if (major == GSS_S_CONTINUE_NEEDED
        && module->api->exchange_new(module->plugin, &facts, NULL, "GSSAPI",
                                     &exchange) == KPOP_OK)
        result = module->api->exchange_step(exchange, token.value,
                                            token.length, never, NULL);
    if (result == KPOP_CONTINUE)
        module->api->exchange_outcome(exchange, &outcome);
    else
        fprintf(stderr, "# %lx %d %s\n", (unsigned long)major, (int)result,
                logged);
    module->api->exchange_free(exchange);
    (void)gss_release_buffer(&minor, &token);
    (void)gss_release_name(&minor, &target);
    (void)gss_delete_sec_context(&minor, &context, GSS_C_NO_BUFFER);
    return result == KPOP_CONTINUE;
}

/* ---- the tests ---- */

/* Nothing in the child may fail the test by itself: it has CUnit's state. */
static void
in_child(int (*run)(void))
{
    int status = 0;
    pid_t pid;

    realm_need();
    setenv("KRB5CCNAME", realm_ccache("alice", "sasl-host.cc"), 1);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(run() ? 0 : 1);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
}

#define MUST(condition)                                                    \
    do {                                                                   \
        if (!(condition)) {                                                \
            fprintf(stderr, "# %s:%d: %s\n", __FILE__, __LINE__,           \
                    #condition);                                           \
            return 0;                                                      \
        }                                                                  \
    } while (0)

static int
host_first(void)
{
    struct module module;
    int options;

    MUST(host_begin());
    MUST(host_is_well());
    MUST(module_load(&module));
    options = asked_options;
    MUST(module_takes_a_ticket(&module));
    /* The module asks the host's callbacks nothing. */
    MUST(asked_options == options);
    MUST(host_is_well());
    MUST(module_unload(&module));
    MUST(host_is_well());
    return 1;
}

TEST(host_that_used_the_library_before_keeps_its_callbacks)
{
    in_child(host_first);
}

static int
module_first(void)
{
    struct module module;

    MUST(module_load(&module));
    MUST(module_takes_a_ticket(&module));
    MUST(host_begin());
    MUST(host_is_well());
    MUST(module_takes_a_ticket(&module));
    MUST(host_is_well());
    MUST(module_unload(&module));
    MUST(host_is_well());
    return 1;
}

TEST(host_that_uses_the_library_after_us_has_its_callbacks)
{
    in_child(module_first);
}

static long
resident(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0;

    if (file != NULL && fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file != NULL)
        (void)fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static int
cycles(void)
{
    struct module module;
    long before = 0;

    for (int i = 0; i < CYCLES + CYCLES_WARM; i++) {
        if (i == CYCLES_WARM)
            before = resident();
        MUST(module_load(&module));
        MUST(module_takes_a_ticket(&module));
        MUST(module_unload(&module));
    }
    MUST(before > 0);
    /* A sanitizer keeps what was freed. */
    if (getenv("KPOP_CHECKER") == NULL || *getenv("KPOP_CHECKER") == '\0')
        MUST(resident() - before < GROWTH_MAX);
    MUST(host_begin());
    MUST(host_is_well());
    return 1;
}

TEST(two_hundred_times_loaded_and_given_up)
{
    in_child(cycles);
}

TEST_MAIN("sasl_host",
          T(host_that_used_the_library_before_keeps_its_callbacks),
          T(host_that_uses_the_library_after_us_has_its_callbacks),
          T(two_hundred_times_loaded_and_given_up))
