/*
 * apreq.c - tests of mechanism KPOP against a real KDC: what is accepted, and
 * every refusal of kpop-wire.md by code, text and log line.  Skipped where no
 * KDC is installed.
 *
 * SPDX-License-Identifier: MIT
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sasl/mech.h"
#include "tests/lib/check.h"
#include "tests/unit/realm_fixture.h"

/* ---- one login ---- */

struct login {
    struct sasl_world *world;
    struct mech_peer peer;
    const struct mech *mech;
    void *state;
    struct buf out;
    struct mech_ask ask;
    char log[4096]; /* "LEVEL EVENT LINE\n"... */
};

static void
keep_log(void *arg, unsigned level, const char *event, const char *line)
{
    struct login *login = arg;
    size_t len = strlen(login->log);

    snprintf(login->log + len, sizeof(login->log) - len, "%u %s %s\n", level,
             event, line);
}

static struct sasl_settings
usual_settings(void)
{
    struct sasl_settings settings = {
        .hostname = "localhost",
        .keytab = realm_path("kpop.keytab"),
        .services = "pop pop3",
        .replay_cache = realm_path("replay/cache"),
        .realms = "",
        .principal_map = "",
    };

    return settings;
}

static struct sasl_world *
world_of(const struct sasl_settings *settings)
{
    struct sasl_world *world = NULL;
    char error[300] = "";

    CHECK_INT(sasl_world_new(settings, &world, error, sizeof(error)),
              STATUS_OK);
    return world;
}

static void
login_start(struct login *login, struct sasl_world *world)
{
    memset(login, 0, sizeof(*login));
    login->world = world;
    login->peer.address = "127.0.0.1";
    login->peer.session_id = "s1";
    login->peer.log = keep_log;
    login->peer.log_arg = login;
    login->mech = mech_find("kpop");
    buf_init(&login->out, 65536);
    CHECK_INT(login->mech->start(world, &login->peer, &login->state),
              STATUS_OK);
}

static int
login_step(struct login *login, const void *data, size_t len)
{
    return login->mech->step(login->state, data, len, &login->out,
                             &login->ask);
}

static void
login_end(struct login *login)
{
    login->mech->free(login->state);
    buf_reset(&login->out);
}

/* ---- whole scenarios ---- */

/* One AP-REQ against settings; what the client reads from the answer stays in
 * said, what was logged in logged. */
static char said[2048];
static char logged[4096];

static int
try_octets(const struct sasl_settings *settings, struct client *client,
           const uint8_t *data, size_t len)
{
    struct sasl_world *world = world_of(settings);
    struct login login;
    int status;

    login_start(&login, world);
    status = login_step(&login, data, len);
    snprintf(said, sizeof(said), "%s", "");
    if (client != NULL && buf_len(&login.out) > 0)
        snprintf(said, sizeof(said), "%s",
                 client_judges(client,
                               status == STATUS_CONTINUE ? "aprep"
                                                         : "krberror",
                               buf_data(&login.out), buf_len(&login.out)));
    snprintf(logged, sizeof(logged), "%s", login.log);
    login_end(&login);
    sasl_world_free(world);
    return status;
}

static int
try_client(const struct sasl_settings *settings, const char *options)
{
    struct client *client = client_new(options);
    int status = try_octets(settings, client, client->apreq, client->len);

    client_free(client);
    return status;
}

/* alice's ticket for a service, with further options. */
static const char *
alice(const char *service, const char *more)
{
    static char options[1024];

    realm_need();
    if (access(realm_path("alice.cc"), R_OK) != 0)
        realm_ccache("alice", "alice.cc");
    snprintf(options, sizeof(options), "--service %s --ccache %s %s", service,
             realm_path("alice.cc"), more);
    return options;
}

#define CHECK_HAS(text, part) CHECK(strstr((text), (part)) != NULL)
#define CHECK_LACKS(text, part) CHECK(strstr((text), (part)) == NULL)
#define CHECK_BEGINS(text, part)                                            \
    CHECK_INT(strncmp((text), (part), strlen(part)), 0)

/* A refusal has one log line and a KRB_ERROR of pop/localhost. */
static void
check_refused(const char *code, const char *text, const char *log)
{
    char begin[80];

    snprintf(begin, sizeof(begin), "code %s pop/localhost@LOCALHOST: ", code);
    if (strncmp(said, begin, strlen(begin)) != 0 ||
        strstr(said, text) == NULL || strstr(logged, log) == NULL)
        fprintf(stderr, "# said: %s\n# log: %s\n", said, logged);
    CHECK_BEGINS(said, begin);
    CHECK_HAS(said, text);
    CHECK_HAS(logged, " kpop.refused ");
    CHECK_HAS(logged, log);
}

/* ---- accepted ---- */

TEST(accepts_a_ticket_and_logs_who_it_was)
{
    const char *options = alice("pop@localhost", "");
    struct sasl_settings settings = usual_settings();

    CHECK_INT(try_client(&settings, options), STATUS_CONTINUE);
    CHECK_STR(said, "");
    CHECK_HAS(logged, "2 kpop.accepted principal=alice@");
    CHECK_HAS(logged, "principal=alice@EXAMPLE.ORG");
    CHECK_HAS(logged, "service=pop/localhost@EXAMPLE.ORG");
    CHECK_HAS(logged, "kvno=");
    CHECK_HAS(logged, "enctype=aes256-cts-hmac-sha1-96");
    CHECK_HAS(logged, "delta=");
    CHECK_HAS(logged, "mutual=no");
}

TEST(mutual_authentication_proves_the_server)
{
    const char *options = alice("pop@localhost", "--mutual");
    struct sasl_settings settings = usual_settings();

    CHECK_INT(try_client(&settings, options), STATUS_CONTINUE);
    CHECK_STR(said, "ok");
    options = alice("pop@localhost", "--mutual --subkey");
    CHECK_INT(try_client(&settings, options), STATUS_CONTINUE);
    CHECK_STR(said, "ok");
}

TEST(serves_several_names_from_one_keytab)
{
    static const char *const services[] = {
        "pop/localhost", "pop3/localhost", "pop/mail.example.org",
    };
    const char *options;

    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
        options = alice(services[i], "--mutual");
        struct sasl_settings settings = usual_settings();

        CHECK_INT(try_client(&settings, options), STATUS_CONTINUE);
        CHECK_STR(said, "ok");
        CHECK_HAS(logged, services[i]);
    }
}

TEST(scenario_12_an_ap_req_of_60_kb_is_accepted)
{
    struct client *client = client_new(alice("pop@localhost",
                                             "--pad 60000 --mutual"));
    struct sasl_settings settings = usual_settings();

    CHECK(client->len > 60000);
    CHECK_INT(try_octets(&settings, client, client->apreq, client->len),
              STATUS_CONTINUE);
    CHECK_STR(said, "ok");
    client_free(client);
}

TEST(n12_a_clock_off_by_200_seconds_passes)
{
    const char *options = alice("pop@localhost", "--skew 200");
    struct sasl_settings settings = usual_settings();

    CHECK_INT(try_client(&settings, options), STATUS_CONTINUE);
    options = alice("pop@localhost", "--skew -200");
    CHECK_INT(try_client(&settings, options), STATUS_CONTINUE);
    CHECK_HAS(logged, "delta=-2");
}

/* ---- refused: kpop-wire.md section 4 ---- */

TEST(n8_n9_junk_is_no_ap_req)
{
    static const char krb_error[] = "\x7e\x10\x30\x0e";
    static const char gss[] = "\x60\x82\x02\x00\x06\x09\x2a\x86";
    struct client *client = client_new(alice("pop@localhost", ""));
    struct sasl_settings settings = usual_settings();

    CHECK_INT(try_octets(&settings, client, NULL, 0), STATUS_AUTH);
    check_refused("40", "KPOP", "code=40");
    CHECK_INT(try_octets(&settings, client, (const uint8_t *)"", 0),
              STATUS_AUTH);
    check_refused("40", "KPOP", "code=40");
    CHECK_INT(try_octets(&settings, client, (const uint8_t *)krb_error, 4),
              STATUS_AUTH);
    check_refused("40", "use KPOP with Kerberos 5", "code=40");
    CHECK_INT(try_octets(&settings, client, (const uint8_t *)gss, 8),
              STATUS_AUTH);
    check_refused("40", "use KPOP with Kerberos 5", "code=40");
    client_free(client);
}

TEST(n9_an_ap_req_cut_anywhere_is_refused)
{
    struct client *client = client_new(alice("pop@localhost", ""));
    struct sasl_settings settings = usual_settings();
    struct sasl_world *world = world_of(&settings);
    struct login login;
    int wrong = 0;

    for (size_t len = 1; len < client->len; len++) {
        login_start(&login, world);
        wrong += login_step(&login, client->apreq, len) != STATUS_AUTH;
        wrong += buf_len(&login.out) == 0;
        login_end(&login);
    }
    CHECK_INT(wrong, 0);
    /* And none of them spent it. */
    login_start(&login, world);
    CHECK_INT(login_step(&login, client->apreq, client->len),
              STATUS_CONTINUE);
    login_end(&login);
    sasl_world_free(world);
    client_free(client);
}

/* Found by fuzz_apreq: we read up to the ticket, libkrb5 all, and its codes
 * for that are far from those of Kerberos. */
TEST(n9_what_libkrb5_can_not_read_is_refused)
{
    struct client *client = client_new(alice("pop@localhost", ""));
    struct sasl_settings settings = usual_settings();
    uint8_t *at = memmem(client->apreq, client->len, "\x03\x05\0", 3);
    size_t len;

    /* Behind ap-options the ticket, a3 82 and its length. */
    CHECK(at != NULL && at[7] == 0xa3 && at[8] == 0x82);
    len = (size_t)at[9] << 8 | at[10];
    CHECK_INT(at[11 + len], 0xa4);
    at[11 + len] = 0xa5;
    CHECK_INT(try_octets(&settings, client, client->apreq, client->len),
              STATUS_AUTH);
    check_refused("60", "", "krb5=\"ASN.1 ");
    client_free(client);
}

TEST(n10_a_flipped_bit_is_refused)
{
    const char *options = alice("pop@localhost", "--flip ticket");
    struct sasl_settings settings = usual_settings();

    CHECK_INT(try_client(&settings, options), STATUS_AUTH);
    check_refused("31", "kinit", "service=pop/localhost@EXAMPLE.ORG");
    options = alice("pop@localhost", "--flip authenticator");
    CHECK_INT(try_client(&settings, options), STATUS_AUTH);
    check_refused("31", "kinit", "krb5=");
}

TEST(n11_a_replay_is_refused)
{
    struct client *client = client_new(alice("pop@localhost", "--mutual"));
    struct sasl_settings settings = usual_settings();

    CHECK_INT(try_octets(&settings, client, client->apreq, client->len),
              STATUS_CONTINUE);
    CHECK_INT(try_octets(&settings, client, client->apreq, client->len),
              STATUS_AUTH);
    check_refused("34", "replay", "principal=alice@EXAMPLE.ORG");
    CHECK_HAS(logged, "delta=");
    client_free(client);
}

TEST(n11_a_replay_in_another_process_is_refused)
{
    struct client *client = client_new(alice("pop@localhost", ""));
    struct sasl_settings settings = usual_settings();
    int status = 0;
    pid_t pid;

    CHECK_INT(try_octets(&settings, client, client->apreq, client->len),
              STATUS_CONTINUE);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        status = try_octets(&settings, NULL, client->apreq, client->len);
        _exit(status == STATUS_AUTH && strstr(logged, "code=34") ? 7 : 8);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(WEXITSTATUS(status), 7);
    client_free(client);
}

TEST(an_ap_req_made_for_gssapi_is_refused)
{
    const char *options = alice("pop@localhost", "--gss --mutual");
    struct sasl_settings settings = usual_settings();

    CHECK_INT(try_client(&settings, options), STATUS_AUTH);
    check_refused("50", "another protocol", "principal=alice@EXAMPLE.ORG");
}

TEST(n12_a_wrong_clock_is_refused_with_the_difference)
{
    const char *options = alice("pop@localhost", "--skew 600");
    struct sasl_settings settings = usual_settings();

    CHECK_INT(try_client(&settings, options), STATUS_AUTH);
    check_refused("37", "seconds fast: set your clock",
                  "principal=alice@EXAMPLE.ORG");
    CHECK(strstr(logged, "delta=600") != NULL ||
          strstr(logged, "delta=599") != NULL);
    options = alice("pop@localhost", "--skew -600");
    CHECK_INT(try_client(&settings, options), STATUS_AUTH);
    check_refused("37", "seconds slow: set your clock", "delta=-60");
}

TEST(n13_an_expired_ticket_is_refused)
{
    struct sasl_settings settings;
    char args[1200];

    realm_need();
    snprintf(args, sizeof(args), "alice %s pop/localhost",
             realm_path("past.cc"));
    realm_do("expired", args);
    settings = usual_settings();
    snprintf(args, sizeof(args), "--service pop/localhost --ccache %s",
             realm_path("past.cc"));
    CHECK_INT(try_client(&settings, args), STATUS_AUTH);
    check_refused("32", "run kinit", "service=pop/localhost@EXAMPLE.ORG");
}

TEST(n14_a_service_without_a_key_is_refused)
{
    const char *options = alice("pop/nokey", "");
    struct sasl_settings settings = usual_settings();

    CHECK_INT(try_client(&settings, options), STATUS_DENIED);
    check_refused("35", "ask for pop/localhost",
                  "service=pop/nokey@EXAMPLE.ORG");
    CHECK_HAS(said, "pop/nokey@EXAMPLE.ORG");
}

TEST(n15_a_service_that_is_not_listed_is_refused)
{
    const char *options = alice("host/localhost", "--mutual");
    struct sasl_settings settings = usual_settings();

    CHECK_INT(try_client(&settings, options), STATUS_DENIED);
    check_refused("35", "ask for pop/localhost",
                  "service=host/localhost@EXAMPLE.ORG");
    CHECK_HAS(logged, "principal=alice@EXAMPLE.ORG");
    CHECK_LACKS(logged, "kpop.accepted");
    settings.services = "host";
    options = alice("host/localhost", "--mutual");
    CHECK_INT(try_client(&settings, options), STATUS_CONTINUE);
}

TEST(n16_a_key_newer_than_the_keytab_is_refused)
{
    const char *options = alice("pop/rekeyed", "");
    struct sasl_settings settings = usual_settings();

    CHECK_INT(try_client(&settings, options), STATUS_AUTH);
    check_refused("44", "kdestroy, then kinit", "kvno=2");
    CHECK_BEGINS(logged, "0 ");
    CHECK_HAS(logged, "keytab is likely out of date");
    CHECK_HAS(logged, "kpop.keytab");
}

TEST(n17_without_keytab_the_log_names_the_path)
{
    const char *options = alice("pop@localhost", "");
    struct sasl_settings settings = usual_settings();

    settings.keytab = realm_path("no-such.keytab");
    CHECK_INT(try_client(&settings, options), STATUS_PERM);
    check_refused("45", "tell the administrator", "no-such.keytab");
    CHECK_BEGINS(logged, "0 ");
    options = alice("pop@localhost", "");
    settings = usual_settings();
    settings.keytab = realm_path("empty.keytab");
    CHECK_INT(try_client(&settings, options), STATUS_PERM);
    check_refused("45", "[SYS/PERM]", "empty.keytab");
}

/* ---- the replay cache ---- */

static void
check_replay_refused(const char *path, const char *why)
{
    struct client *client = client_new(alice("pop@localhost", ""));
    struct sasl_settings settings = usual_settings();

    settings.replay_cache = path;
    CHECK_INT(try_octets(&settings, client, client->apreq, client->len),
              STATUS_TEMP);
    check_refused("60", "[SYS/TEMP] ", why);
    CHECK_BEGINS(logged, "0 ");
    client_free(client);
}

TEST(n18_an_unusable_replay_cache_lets_nobody_in)
{
    FILE *file;

    realm_need();
    mkdir(realm_path("replay/folder"), 0700);
    check_replay_refused(realm_path("replay/folder"), "not a regular file");
    check_replay_refused(realm_path("nowhere/cache"), "No such file");
    CHECK_INT(symlink(realm_path("replay/target"), realm_path("replay/link")),
              0);
    check_replay_refused(realm_path("replay/link"), "not a regular file");
    CHECK(access(realm_path("replay/target"), F_OK) != 0);
    file = fopen(realm_path("replay/open"), "w");
    CHECK(file != NULL && fclose(file) == 0);
    CHECK_INT(chmod(realm_path("replay/open"), 0644), 0);
    check_replay_refused(realm_path("replay/open"), "chmod 600");
    CHECK_INT(chmod(realm_path("replay/open"), 0600), 0);
    CHECK_INT(link(realm_path("replay/open"), realm_path("replay/twice")), 0);
    check_replay_refused(realm_path("replay/open"), "hard link");
    CHECK_INT(mkdir(realm_path("shared"), 0700), 0);
    CHECK_INT(chmod(realm_path("shared"), 0777), 0);
    check_replay_refused(realm_path("shared/cache"), "others may write");
}

TEST(n18_the_environment_cannot_switch_the_cache_off)
{
    const char *options = alice("pop@localhost", "");
    struct sasl_settings settings = usual_settings();

    CHECK_INT(setenv("KRB5RCACHETYPE", "none", 1), 0);
    CHECK_INT(try_client(&settings, options), STATUS_TEMP);
    unsetenv("KRB5RCACHETYPE");
    check_refused("60", "[SYS/TEMP] ", "KRB5RCACHETYPE");
    CHECK_INT(setenv("KRB5RCACHENAME", "none:", 1), 0);
    CHECK_INT(try_client(&settings, options), STATUS_TEMP);
    unsetenv("KRB5RCACHENAME");
    check_refused("60", "[SYS/TEMP] ", "unset them");
}

TEST(the_replay_cache_is_our_own_file)
{
    const char *options = alice("pop@localhost", "");
    struct sasl_settings settings = usual_settings();
    struct stat st;

    settings.replay_cache = realm_path("replay/fresh");
    CHECK_INT(try_client(&settings, options), STATUS_CONTINUE);
    CHECK_HAS(logged, "1 kpop.replay path=");
    CHECK_INT(stat(realm_path("replay/fresh"), &st), 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    CHECK(st.st_size > 0);
    options = alice("pop@localhost", "");
    settings = usual_settings();
    settings.replay_cache = realm_path("replay/fresh");
    CHECK_INT(try_client(&settings, options), STATUS_CONTINUE);
    CHECK_LACKS(logged, "kpop.replay");
}

TEST(a_replay_cache_named_by_krb5_conf_is_not_used)
{
    const char *options = alice("pop@localhost", "");
    struct sasl_settings settings = usual_settings();
    char command[1400];
    char config[600];

    snprintf(config, sizeof(config), "%s", realm_path("rcache.conf"));
    snprintf(command, sizeof(command),
             "sed 's|^.libdefaults.|&\\n default_rcache_name = none:|' %s "
             ">%s", realm_path("krb5.conf"), config);
    CHECK_INT(system(command), 0);
    setenv("KRB5_CONFIG", config, 1);
    settings.replay_cache = realm_path("replay/instead");
    CHECK_INT(try_client(&settings, options), STATUS_CONTINUE);
    setenv("KRB5_CONFIG", realm_path("krb5.conf"), 1);
    CHECK_INT(access(realm_path("replay/instead"), F_OK), 0);
}

/* ---- keys and addresses ---- */

TEST(rotation_needs_no_restart)
{
    struct sasl_settings settings;
    struct sasl_world *world;
    struct client *old;
    struct client *new;
    struct login login;
    char options[700];

    alice("pop3/localhost", "");
    settings = usual_settings();
    world = world_of(&settings);
    old = client_new(alice("pop3/localhost", ""));
    login_start(&login, world);
    CHECK_INT(login_step(&login, old->apreq, old->len), STATUS_CONTINUE);
    login_end(&login);
    realm_do("rotate", "pop3/localhost");
    realm_ccache("bob", "bob.cc");
    snprintf(options, sizeof(options), "--service pop3/localhost --ccache %s",
             realm_path("bob.cc"));
    new = client_new(options);
    login_start(&login, world);
    CHECK_INT(login_step(&login, new->apreq, new->len), STATUS_CONTINUE);
    CHECK_HAS(login.log, "kvno=2");
    login_end(&login);
    client_again(old);
    login_start(&login, world);
    CHECK_INT(login_step(&login, old->apreq, old->len), STATUS_CONTINUE);
    login_end(&login);
    realm_do("purge", "pop3/localhost");
    client_again(old);
    login_start(&login, world);
    CHECK_INT(login_step(&login, old->apreq, old->len), STATUS_AUTH);
    CHECK_HAS(login.log, "code=44");
    CHECK_HAS(login.log, "ticket is likely out of date");
    login_end(&login);
    client_free(old);
    client_free(new);
    sasl_world_free(world);
}

TEST(rc4_is_refused_unless_it_is_allowed)
{
    const char *options = alice("pop/weak", "--mutual");
    struct sasl_settings settings = usual_settings();

    settings.keytab = realm_path("weak.keytab");
    CHECK_INT(try_client(&settings, options), STATUS_DENIED);
    check_refused("14", "AES key", "principal=alice@EXAMPLE.ORG");
    options = alice("pop/weak", "--mutual");
    settings = usual_settings();
    settings.keytab = realm_path("weak.keytab");
    settings.allow_weak_enctypes = true;
    CHECK_INT(try_client(&settings, options), STATUS_CONTINUE);
    CHECK_STR(said, "ok");
    CHECK_HAS(logged, "arcfour");
}

/* Whose ticket is for 192.0.2.7 and 2001:db8::7 alone. */
static int
try_addressed(const char *peer, bool check)
{
    struct sasl_settings settings;
    struct sasl_world *world;
    struct client *client;
    struct login login;
    char options[900];
    int status;

    realm_need();
    settings = usual_settings();
    settings.check_addresses = check;
    snprintf(options, sizeof(options), "--service pop/localhost --keytab %s "
             "--user alice --addresses 192.0.2.7,2001:db8::7",
             realm_path("users.keytab"));
    client = client_new(options);
    world = world_of(&settings);
    login_start(&login, world);
    login.peer.address = peer;
    status = login_step(&login, client->apreq, client->len);
    snprintf(said, sizeof(said), "%s", "");
    if (status != STATUS_CONTINUE)
        snprintf(said, sizeof(said), "%s",
                 client_judges(client, "krberror", buf_data(&login.out),
                               buf_len(&login.out)));
    snprintf(logged, sizeof(logged), "%s", login.log);
    login_end(&login);
    sasl_world_free(world);
    client_free(client);
    return status;
}

TEST(n25_addresses_are_checked_only_when_asked)
{
    CHECK_INT(try_addressed("198.51.100.1", false), STATUS_CONTINUE);
    CHECK_INT(try_addressed("198.51.100.1", true), STATUS_AUTH);
    check_refused("38", "198.51.100.1", "principal=alice@EXAMPLE.ORG");
    CHECK_INT(try_addressed("", true), STATUS_AUTH);
    CHECK_INT(try_addressed("192.0.2.7", true), STATUS_CONTINUE);
    CHECK_INT(try_addressed("::ffff:192.0.2.7", true), STATUS_CONTINUE);
    CHECK_INT(try_addressed("2001:db8::7", true), STATUS_CONTINUE);
    CHECK_INT(try_addressed("2001:db8::8", true), STATUS_AUTH);
}

/* ---- the name ---- */

/* After an accepted AP-REQ of a user. */
static struct login *
login_as(const struct sasl_settings *settings, const char *user)
{
    static struct login login;
    struct client *client;
    char options[900];

    snprintf(options, sizeof(options),
             "--service pop/localhost@EXAMPLE.ORG --ccache %s",
             realm_ccache(user, "name.cc"));
    client = client_new(options);
    login_start(&login, world_of(settings));
    CHECK_INT(login_step(&login, client->apreq, client->len),
              STATUS_CONTINUE);
    client_free(client);
    return &login;
}

static void
login_over(struct login *login)
{
    login_end(login);
    sasl_world_free(login->world);
}

/* What the ladder gives to user who asks for requested. */
static void
check_mapped(const struct sasl_settings *settings, const char *user,
             const char *requested, const char *local)
{
    struct login *login = login_as(settings, user);

    CHECK_INT(login_step(login, requested, strlen(requested)),
              STATUS_PENDING);
    CHECK_INT(login->ask.need, MECH_AUTHORIZE);
    CHECK_STR(login->ask.requested, requested);
    CHECK_STR(login->ask.local, local);
    login_over(login);
}

TEST(n24_the_ladder_gives_only_what_is_theirs)
{
    struct sasl_settings settings;

    realm_need();
    settings = usual_settings();
    check_mapped(&settings, "alice", "alice", "alice");
    check_mapped(&settings, "bob", "alice", "");
    check_mapped(&settings, "carol/admin", "carol", "");
    check_mapped(&settings, "dave@OTHER.ORG", "dave", "");
    check_mapped(&settings, "alice@OTHER.ORG", "alice", "");
    settings = usual_settings();
    settings.realms = "EXAMPLE.ORG OTHER.ORG";
    check_mapped(&settings, "dave@OTHER.ORG", "dave", "dave");
    settings = usual_settings();
    settings.realms = "OTHER.ORG";
    check_mapped(&settings, "alice", "alice", "");
}

TEST(the_principal_is_told_to_the_host)
{
    struct sasl_settings settings;
    struct login *login;

    realm_need();
    settings = usual_settings();
    login = login_as(&settings, "carol/admin");
    CHECK_INT(login_step(login, "carol", 5), STATUS_PENDING);
    CHECK_STR(login->ask.authcid, "carol/admin@EXAMPLE.ORG");
    CHECK_INT(login->mech->resume(login->state, STATUS_DENIED, NULL, 0,
                                  &login->out, &login->ask), STATUS_DENIED);
    CHECK_INT(login_step(login, "carol", 5), STATUS_INVALID);
    login_over(login);
}

TEST(after_temp_the_same_name_may_be_asked_again)
{
    struct sasl_settings settings;
    struct login *login;

    realm_need();
    settings = usual_settings();
    login = login_as(&settings, "alice");
    for (int i = 0; i < 3; i++) {
        CHECK_INT(login_step(login, "alice", 5), STATUS_PENDING);
        CHECK_INT(login->mech->resume(login->state, STATUS_TEMP, NULL, 0,
                                      &login->out, &login->ask),
                  STATUS_TEMP);
    }
    CHECK_INT(login_step(login, "alice", 5), STATUS_PENDING);
    CHECK_INT(login->mech->resume(login->state, STATUS_OK, NULL, 0,
                                  &login->out, &login->ask), STATUS_OK);
    CHECK_INT(login_step(login, "alice", 5), STATUS_INVALID);
    login_over(login);
}

TEST(n22_a_nul_never_shortens_a_name)
{
    static const struct {
        const char *name;
        size_t len;
    } bad[] = {
        { "alice\0x", 7 }, { "\0", 1 },       { "", 0 },
        { "alice\n", 6 },  { "al\033ice", 7 }, { "al\xffice", 7 },
    };
    struct sasl_settings settings;

    realm_need();
    settings = usual_settings();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct login *login = login_as(&settings, "alice");

        CHECK_INT(login_step(login, bad[i].name, bad[i].len), STATUS_AUTH);
        CHECK_INT(login_step(login, "alice", 5), STATUS_INVALID);
        login_over(login);
    }
}

TEST(a_broken_principal_map_is_a_passing_trouble)
{
    struct sasl_settings settings;
    struct login *login;
    FILE *file;

    realm_need();
    settings = usual_settings();
    settings.principal_map = realm_path("map");
    file = fopen(realm_path("map"), "w");
    CHECK(file != NULL && fputs("bob@EXAMPLE.ORG alice bob\n", file) >= 0);
    fclose(file);
    login = login_as(&settings, "bob");
    CHECK_INT(login_step(login, "alice", 5), STATUS_TEMP);
    CHECK_HAS(login->log, "0 kpop.mapped ");
    CHECK_HAS(login->log, "map:1: one mailbox a line");
    file = fopen(realm_path("map"), "w");
    CHECK(file != NULL && fputs("bob@EXAMPLE.ORG alice\n", file) >= 0);
    fclose(file);
    CHECK_INT(login_step(login, "alice", 5), STATUS_PENDING);
    CHECK_STR(login->ask.local, "alice");
    login_over(login);
}

/* ---- threads ---- */

enum { THREADS = 4, REQUESTS = 60 };

static struct {
    struct sasl_world *world;
    uint8_t *apreq[REQUESTS];
    size_t len[REQUESTS];
    int accepted[THREADS];
    int refused[THREADS];
} crowd;

/* Every thread offers every request. */
static void *
crowd_member(void *arg)
{
    int *me = arg;
    size_t i = (size_t)(me - crowd.accepted);
    struct login login;

    for (size_t k = 0; k < REQUESTS; k++) {
        size_t n = (k + i * 7) % REQUESTS;
        int status;

        login_start(&login, crowd.world);
        status = login_step(&login, crowd.apreq[n], crowd.len[n]);
        crowd.accepted[i] += status == STATUS_CONTINUE;
        crowd.refused[i] += status == STATUS_AUTH &&
                            strstr(login.log, "code=34") != NULL;
        login_end(&login);
    }
    return NULL;
}

/*
 * valgrind runs one thread at a time and doesn't know (3.19) that
 * F_OFD_SETLKW, libkrb5's lock of the replay cache, may block: it would wait
 * for ever for a thread that it doesn't let run.
 */
static bool
under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");

    return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

static void
crowd_run(void)
{
    pthread_t threads[THREADS];
    bool one_by_one = under_valgrind();

    for (size_t i = 0; i < THREADS; i++) {
        CHECK_INT(pthread_create(&threads[i], NULL, crowd_member,
                                 &crowd.accepted[i]), 0);
        if (one_by_one)
            (void)pthread_join(threads[i], NULL);
    }
    for (size_t i = 0; i < THREADS && !one_by_one; i++)
        (void)pthread_join(threads[i], NULL);
}

TEST(threads_share_a_world_and_a_request_counts_once)
{
    struct client *client = client_new(alice("pop@localhost", ""));
    struct sasl_settings settings = usual_settings();
    int accepted = 0;
    int refused = 0;

    crowd.world = world_of(&settings);
    for (size_t i = 0; i < REQUESTS; i++) {
        client_again(client);
        crowd.apreq[i] = malloc(client->len);
        CHECK(crowd.apreq[i] != NULL);
        memcpy(crowd.apreq[i], client->apreq, client->len);
        crowd.len[i] = client->len;
    }
    client_free(client);
    crowd_run();
    for (size_t i = 0; i < THREADS; i++) {
        accepted += crowd.accepted[i];
        refused += crowd.refused[i];
    }
    for (size_t i = 0; i < REQUESTS; i++)
        free(crowd.apreq[i]);
    sasl_world_free(crowd.world);
    CHECK_INT(accepted, REQUESTS);
    CHECK_INT(refused, REQUESTS * (THREADS - 1));
}

/* ---- before the first login ---- */

static const char *
readiness(const struct sasl_settings *settings)
{
    static char error[600];
    struct login log = { .log = "" };
    struct sasl_world *world = world_of(settings);
    int status;

    error[0] = '\0';
    status = sasl_world_ready(world, keep_log, &log, error, sizeof(error));
    snprintf(logged, sizeof(logged), "%s", log.log);
    sasl_world_free(world);
    CHECK_INT(status, error[0] == '\0' ? STATUS_OK : STATUS_INVALID);
    return error;
}

TEST(ready_names_what_is_wrong)
{
    struct sasl_settings settings;

    realm_need();
    settings = usual_settings();
    CHECK_STR(readiness(&settings), "");
    CHECK_STR(logged, "");
    settings.keytab = realm_path("no-such.keytab");
    CHECK_HAS(readiness(&settings), "no-such.keytab");
    settings = usual_settings();
    settings.keytab = realm_path("empty.keytab");
    CHECK_HAS(readiness(&settings), "holds no keys");
    settings.keytab = realm_path("without-octets");
    (void)fclose(fopen(settings.keytab, "w"));
    CHECK_HAS(readiness(&settings), "without-octets: is empty");
    settings = usual_settings();
    settings.keytab = realm_path("host.keytab");
    CHECK_HAS(readiness(&settings), "holds no key of a service");
    settings = usual_settings();
    settings.keytab = realm_path("krb5.conf");
    CHECK_HAS(readiness(&settings), "krb5.conf: ");
    settings = usual_settings();
    settings.replay_cache = realm_path("nowhere/cache");
    CHECK_HAS(readiness(&settings), "nowhere/cache: ");
    settings = usual_settings();
    settings.replay_cache = realm_path("replay");
    CHECK_HAS(readiness(&settings), "not a regular file");
    settings = usual_settings();
    settings.principal_map = realm_path("no-map");
    CHECK_HAS(readiness(&settings), "no-map: No such file");
}

TEST(ready_makes_no_replay_cache)
{
    struct sasl_settings settings;

    realm_need();
    settings = usual_settings();
    settings.replay_cache = realm_path("replay/later");
    CHECK_STR(readiness(&settings), "");
    CHECK(access(realm_path("replay/later"), F_OK) != 0);
}

TEST(a_keytab_that_others_read_is_warned_of)
{
    struct sasl_settings settings;

    realm_need();
    settings = usual_settings();
    CHECK_INT(chmod(settings.keytab, 0644), 0);
    CHECK_STR(readiness(&settings), "");
    CHECK_INT(chmod(realm_path("kpop.keytab"), 0600), 0);
    CHECK_HAS(logged, "1 config.keytab path=");
}

TEST_MAIN("apreq",
          T(accepts_a_ticket_and_logs_who_it_was),
          T(mutual_authentication_proves_the_server),
          T(serves_several_names_from_one_keytab),
          T(scenario_12_an_ap_req_of_60_kb_is_accepted),
          T(n12_a_clock_off_by_200_seconds_passes),
          T(n8_n9_junk_is_no_ap_req),
          T(n9_an_ap_req_cut_anywhere_is_refused),
          T(n9_what_libkrb5_can_not_read_is_refused),
          T(n10_a_flipped_bit_is_refused),
          T(n11_a_replay_is_refused),
          T(n11_a_replay_in_another_process_is_refused),
          T(an_ap_req_made_for_gssapi_is_refused),
          T(n12_a_wrong_clock_is_refused_with_the_difference),
          T(n13_an_expired_ticket_is_refused),
          T(n14_a_service_without_a_key_is_refused),
          T(n15_a_service_that_is_not_listed_is_refused),
          T(n16_a_key_newer_than_the_keytab_is_refused),
          T(n17_without_keytab_the_log_names_the_path),
          T(n18_an_unusable_replay_cache_lets_nobody_in),
          T(n18_the_environment_cannot_switch_the_cache_off),
          T(the_replay_cache_is_our_own_file),
          T(a_replay_cache_named_by_krb5_conf_is_not_used),
          T(rotation_needs_no_restart),
          T(rc4_is_refused_unless_it_is_allowed),
          T(n25_addresses_are_checked_only_when_asked),
          T(n24_the_ladder_gives_only_what_is_theirs),
          T(the_principal_is_told_to_the_host),
          T(after_temp_the_same_name_may_be_asked_again),
          T(n22_a_nul_never_shortens_a_name),
          T(a_broken_principal_map_is_a_passing_trouble),
          T(threads_share_a_world_and_a_request_counts_once),
          T(ready_names_what_is_wrong),
          T(ready_makes_no_replay_cache),
          T(a_keytab_that_others_read_is_warned_of))
