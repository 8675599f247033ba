/*
 * layout.c - where every member of kpop_plugin.h lies, held against what was
 * frozen: tests/abi/1.0/layout.txt (LP64).  That file never changes; structs
 * may only grow at their ends.
 *
 * `layout --print` writes the present one, for the next version to freeze.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/kpop_plugin.h"
#include "tests/lib/check.h"

struct member {
    const char *name; /* "struct.member"; "struct" alone is its size */
    size_t at;
    size_t size;
};

#define SIZE(s) { #s, sizeof(struct s), 0 }
#define AT(s, m) { #s "." #m, offsetof(struct s, m),                         \
                   sizeof(((struct s *)0)->m) }

static const struct member members[] = {
    SIZE(kpop_facts), AT(kpop_facts, size), AT(kpop_facts, flags),
    AT(kpop_facts, service), AT(kpop_facts, session_id),
    AT(kpop_facts, peer_address), AT(kpop_facts, local_address),
    AT(kpop_facts, peer_port), AT(kpop_facts, local_port),
    AT(kpop_facts, ssf), AT(kpop_facts, reserved),
    AT(kpop_facts, tls_version), AT(kpop_facts, tls_cipher),
    AT(kpop_facts, tls_server_name), AT(kpop_facts, client_certificate),
    AT(kpop_facts, client_certificate_size), AT(kpop_facts, binding_type),
    AT(kpop_facts, binding), AT(kpop_facts, binding_size),
    AT(kpop_facts, end_point), AT(kpop_facts, end_point_size),
    AT(kpop_facts, finished), AT(kpop_facts, finished_size),

    SIZE(kpop_identity), AT(kpop_identity, size),
    AT(kpop_identity, reserved), AT(kpop_identity, mechanism),
    AT(kpop_identity, authcid), AT(kpop_identity, requested),
    AT(kpop_identity, local), AT(kpop_identity, facts),

    SIZE(kpop_open), AT(kpop_open, size), AT(kpop_open, reserved),
    AT(kpop_open, user), AT(kpop_open, requested),
    AT(kpop_open, mechanism), AT(kpop_open, facts),
    AT(kpop_open, credential), AT(kpop_open, credential_size),

    SIZE(kpop_host), AT(kpop_host, size), AT(kpop_host, version),
    AT(kpop_host, log), AT(kpop_host, authorize),
    AT(kpop_host, verify_password), AT(kpop_host, lookup_secret),
    AT(kpop_host, exchange_mechanisms), AT(kpop_host, exchange_start),
    AT(kpop_host, exchange_step), AT(kpop_host, exchange_end),
    AT(kpop_host, open), AT(kpop_host, list), AT(kpop_host, fetch),
    AT(kpop_host, envelope), AT(kpop_host, commit), AT(kpop_host, close),
    AT(kpop_host, cancel), AT(kpop_host, policy),

    SIZE(kpop_service), AT(kpop_service, size), AT(kpop_service, port),
    AT(kpop_service, implicit_tls), AT(kpop_service, reserved),
    AT(kpop_service, name), AT(kpop_service, address),

    SIZE(kpop_key), AT(kpop_key, size), AT(kpop_key, kind),
    AT(kpop_key, min), AT(kpop_key, max), AT(kpop_key, name),
    AT(kpop_key, default_value), AT(kpop_key, choices), AT(kpop_key, help),

    SIZE(kpop_setting), AT(kpop_setting, size), AT(kpop_setting, origin),
    AT(kpop_setting, line), AT(kpop_setting, reserved),
    AT(kpop_setting, key), AT(kpop_setting, value),

    SIZE(kpop_stats), AT(kpop_stats, size), AT(kpop_stats, sessions_open),
    AT(kpop_stats, sessions), AT(kpop_stats, logins),
    AT(kpop_stats, login_failures), AT(kpop_stats, kpop_refusals),
    AT(kpop_stats, commands), AT(kpop_stats, octets_in),
    AT(kpop_stats, octets_out), AT(kpop_stats, messages_retrieved),
    AT(kpop_stats, messages_deleted), AT(kpop_stats, commits_failed),

    SIZE(kpop_outcome), AT(kpop_outcome, size), AT(kpop_outcome, reserved),
    AT(kpop_outcome, challenge), AT(kpop_outcome, challenge_size),
    AT(kpop_outcome, user), AT(kpop_outcome, authcid),
    AT(kpop_outcome, credential), AT(kpop_outcome, credential_size),

    SIZE(kpop_api), AT(kpop_api, size), AT(kpop_api, version),
    AT(kpop_api, name), AT(kpop_api, declare), AT(kpop_api, set),
    AT(kpop_api, load), AT(kpop_api, get), AT(kpop_api, blame),
    AT(kpop_api, ready), AT(kpop_api, service), AT(kpop_api, reload),
    AT(kpop_api, stats), AT(kpop_api, free), AT(kpop_api, session_new),
    AT(kpop_api, input), AT(kpop_api, input_end), AT(kpop_api, output),
    AT(kpop_api, wrote), AT(kpop_api, wants), AT(kpop_api, deadline),
    AT(kpop_api, tick), AT(kpop_api, tls_started), AT(kpop_api, remainder),
    AT(kpop_api, session_stop), AT(kpop_api, session_close),
    AT(kpop_api, done), AT(kpop_api, put_user), AT(kpop_api, put_secret),
    AT(kpop_api, put_mechanisms), AT(kpop_api, put_challenge),
    AT(kpop_api, put_credential), AT(kpop_api, put_box),
    AT(kpop_api, put_policy), AT(kpop_api, put_msg),
    AT(kpop_api, put_envelope), AT(kpop_api, exchange_new),
    AT(kpop_api, exchange_step), AT(kpop_api, exchange_outcome),
    AT(kpop_api, exchange_free), AT(kpop_api, exchange_names),
    AT(kpop_api, wire_octets),
    AT(kpop_api, serve), AT(kpop_api, setting),
};

enum { COUNT = sizeof(members) / sizeof(members[0]) };

static void
print(FILE *file)
{
    for (size_t i = 0; i < COUNT; i++)
        fprintf(file, "%s %zu %zu\n", members[i].name, members[i].at,
                members[i].size);
}

static const struct member *
find(const char *name)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (strcmp(members[i].name, name) == 0)
            return &members[i];
    }
    return NULL;
}

/* A line of layout.txt.  Together with every_member_is_listed: what is new
 * can only lie behind what was frozen. */
static void
check_frozen(const char *name, size_t at, size_t size)
{
    const struct member *now = find(name);

    CHECK(now != NULL);
    if (strchr(name, '.') == NULL) {
        CHECK(now->at >= at);
    } else {
        CHECK_INT(now->at, at);
        CHECK_INT(now->size, size);
    }
}

TEST(frozen_layout_only_grows_at_the_ends)
{
    char name[80];
    size_t at;
    size_t size;
    size_t lines = 0;
    FILE *file;

    if (sizeof(void *) != 8)
        SKIP("written down for 64-bit machines");
    CHECK_INT(KPOP_ABI_MAJOR, 1);
    file = fopen("tests/abi/1.0/layout.txt", "r");
    CHECK(file != NULL);
    while (fscanf(file, "%79s %zu %zu", name, &at, &size) == 3) {
        check_frozen(name, at, size);
        lines++;
    }
    fclose(file);
    CHECK(lines > 100);
}

/* A member that nobody added to the list above leaves a hole. */
TEST(every_member_is_listed)
{
    size_t end = 0;
    size_t whole = 0;

    for (size_t i = 0; i < COUNT; i++) {
        if (strchr(members[i].name, '.') == NULL) {
            CHECK_INT(end, whole);
            whole = members[i].at;
            end = 0;
        } else {
            CHECK_INT(members[i].at, end);
            end = members[i].at + members[i].size;
        }
    }
    CHECK_INT(end, whole);
}

int
main(int argc, char **argv)
{
    static const struct check_test tests[] = {
        T(frozen_layout_only_grows_at_the_ends),
        T(every_member_is_listed),
    };

    if (argc == 2 && strcmp(argv[1], "--print") == 0) {
        print(stdout);
        return 0;
    }
    return check_main(argc, argv, "layout", tests, 2);
}
