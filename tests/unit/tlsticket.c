/* LDFLAGS: -Wl,--wrap=time */
/*
 * tlsticket.c - tests of plugin/tlsticket.c: whose tickets are opened, by
 * which process, and for how long.  The clock of the keys is the test's.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/check.h"
#include "tests/unit/tls_fixture.h"

enum { HOUR = 3600, TICKET_MAX = 8192 };

time_t __wrap_time(time_t *out);

static time_t now = (time_t)500000 * HOUR;

time_t
__wrap_time(time_t *out)
{
    if (out != NULL)
        *out = now;
    return now;
}

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
static struct fixture f;

/* The first seconds of an hour that no test has seen. */
static void
begin(void)
{
    now += 10 * HOUR - now % HOUR;
    fixture_init(&f);
    CHECK_INT(fixture_world(&f), STATUS_OK);
}

/* A connection; with a ticket it says whether that was taken.  The ticket of
 * this connection goes to *next_out. */
static bool
connects(int version, SSL_SESSION *session, SSL_SESSION **next_out)
{
    bool resumed;
    char octet;

    fixture_connect(&f, version, 0);
    if (session != NULL)
        CHECK_INT(SSL_set_session(f.client, session), 1);
    CHECK(fixture_run(&f));
    (void)fixture_hear(&f, &octet, 1); /* the ticket of TLS 1.3 */
    resumed = SSL_session_reused(f.client) == 1;
    if (next_out != NULL)
        *next_out = SSL_get1_session(f.client);
    fixture_hang_up(&f);
    return resumed;
}

static SSL_SESSION *
ticket(int version)
{
    SSL_SESSION *session = NULL;

    CHECK(!connects(version, NULL, &session));
    CHECK(SSL_SESSION_has_ticket(session));
    return session;
}

/* In each version: a ticket at that second of an hour, then the clock moves,
 * then it is shown. */
static void
check_after(long second, long seconds, bool opens)
{
    for (size_t i = 0; i < 2; i++) {
        SSL_SESSION *session;

        now += second;
        session = ticket(versions[i]);
        now += seconds;
        CHECK_INT(connects(versions[i], session, NULL), opens);
        SSL_SESSION_free(session);
        now += 3 * HOUR - now % HOUR;
    }
}

TEST(ticket_opens_within_its_hour)
{
    begin();
    check_after(0, 0, true);
    check_after(0, HOUR - 1, true);
    fixture_free(&f);
}

TEST(ticket_opens_in_the_hour_after_its_own)
{
    begin();
    check_after(0, HOUR, true);
    check_after(0, 2 * HOUR - 1, true);
    fixture_free(&f);
}

TEST(ticket_ends_with_the_hour_after_its_own)
{
    begin();
    check_after(0, 2 * HOUR, false);
    check_after(0, 50 * HOUR, false);
    fixture_free(&f);
}

TEST(ticket_of_a_late_second_still_has_a_whole_hour)
{
    begin();
    check_after(HOUR - 1, HOUR, true);
    check_after(HOUR - 1, HOUR + 1, false);
    fixture_free(&f);
}

TEST(old_ticket_is_exchanged_for_a_new_one)
{
    SSL_SESSION *old, *renewed;

    begin();
    old = ticket(TLS1_2_VERSION);
    now += HOUR;
    CHECK(connects(TLS1_2_VERSION, old, &renewed));
    now += HOUR;
    CHECK(!connects(TLS1_2_VERSION, old, NULL));
    CHECK(connects(TLS1_2_VERSION, renewed, NULL));
    SSL_SESSION_free(old);
    SSL_SESSION_free(renewed);
    fixture_free(&f);
}

TEST(clock_that_goes_back_changes_nothing)
{
    SSL_SESSION *session;

    begin();
    session = ticket(TLS1_3_VERSION);
    now -= 5 * HOUR;
    CHECK(connects(TLS1_3_VERSION, session, NULL));
    CHECK(!connects(TLS1_3_VERSION, NULL, NULL));
    now += 5 * HOUR;
    CHECK(connects(TLS1_3_VERSION, session, NULL));
    SSL_SESSION_free(session);
    fixture_free(&f);
}

TEST(clock_that_goes_ahead_for_years_begins_anew)
{
    SSL_SESSION *session;

    begin();
    session = ticket(TLS1_3_VERSION);
    now += (time_t)100001 * HOUR;
    CHECK(!connects(TLS1_3_VERSION, session, NULL));
    SSL_SESSION_free(session);
    session = ticket(TLS1_3_VERSION);
    CHECK(connects(TLS1_3_VERSION, session, NULL));
    SSL_SESSION_free(session);
    fixture_free(&f);
}

TEST(bent_ticket_is_a_full_handshake)
{
    SSL_SESSION *session, *bent;
    unsigned char octets[TICKET_MAX];
    unsigned char *at = octets;
    const unsigned char *from = octets;
    const unsigned char *sealed;
    unsigned char *place;
    size_t len;
    int size;

    begin();
    session = ticket(TLS1_2_VERSION);
    size = i2d_SSL_SESSION(session, &at);
    SSL_SESSION_get0_ticket(session, &sealed, &len);
    place = memmem(octets, (size_t)size, sealed, len);
    CHECK(place != NULL);
    place[len / 2] ^= 1;
    bent = d2i_SSL_SESSION(NULL, &from, size);
    CHECK(bent != NULL);
    CHECK(!connects(TLS1_2_VERSION, bent, NULL));
    SSL_SESSION_free(bent);
    SSL_SESSION_free(session);
    fixture_free(&f);
}

/* The configuration is read again. */
static void
again(const char *client_ca)
{
    tls_world_free(f.world);
    f.settings.client_ca = client_ca;
    CHECK_INT(fixture_world(&f), STATUS_OK);
}

TEST(world_that_is_made_anew_opens_the_tickets_of_the_last_one)
{
    begin();
    for (size_t i = 0; i < 2; i++) {
        SSL_SESSION *session = ticket(versions[i]);

        again("");
        CHECK(connects(versions[i], session, NULL));
        SSL_SESSION_free(session);
    }
    fixture_free(&f);
}

/* Otherwise a ticket would carry a client past the authorities of today. */
TEST(ticket_is_not_good_where_other_authorities_are_asked)
{
    SSL_SESSION *session;

    begin();
    session = ticket(TLS1_3_VERSION);
    again(fixture_path("ca.pem"));
    CHECK(!connects(TLS1_3_VERSION, session, NULL));
    SSL_SESSION_free(session);
    fixture_free(&f);
}

/* ---- processes ---- */

static void
put(int fd, SSL_SESSION *session)
{
    unsigned char octets[TICKET_MAX];
    unsigned char *at = octets;
    int size = i2d_SSL_SESSION(session, &at);

    if (size <= 0 || write(fd, octets, (size_t)size) != size)
        _exit(2);
}

static SSL_SESSION *
get(int fd)
{
    unsigned char octets[TICKET_MAX];
    const unsigned char *at = octets;
    ssize_t size = read(fd, octets, sizeof(octets));
    SSL_SESSION *session = size > 0 ? d2i_SSL_SESSION(NULL, &at, size) : NULL;

    return session;
}

/* The child of another worker: opens ours, and we open its. */
static void
child(int version, long seconds, SSL_SESSION *session, int fd)
{
    SSL_SESSION *own;

    now += seconds;
    if (!connects(version, session, NULL))
        _exit(1);
    own = ticket(version);
    put(fd, own);
    _exit(0);
}

/* Both have come to that hour each by itself. */
static void
check_processes(int version, long before, long after)
{
    SSL_SESSION *session;
    int status, ends[2];
    pid_t pid;

    begin();
    CHECK_INT(pipe(ends), 0);
    session = ticket(version);
    now += before;
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        child(version, after, session, ends[1]);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    SSL_SESSION_free(session);
    session = get(ends[0]);
    CHECK(session != NULL);
    now += after;
    CHECK(connects(version, session, NULL));
    SSL_SESSION_free(session);
    (void)close(ends[0]);
    (void)close(ends[1]);
    fixture_free(&f);
}

TEST(processes_open_the_tickets_of_each_other)
{
    for (size_t i = 0; i < 2; i++)
        check_processes(versions[i], 0, 0);
}

TEST(processes_change_keys_alike_without_a_word)
{
    for (size_t i = 0; i < 2; i++) {
        check_processes(versions[i], 0, HOUR);
        check_processes(versions[i], HOUR, 0);
    }
}

TEST(files_are_cleaned_up)
{
    fixture_end();
}

TEST_MAIN("tlsticket",
          T(ticket_opens_within_its_hour),
          T(ticket_opens_in_the_hour_after_its_own),
          T(ticket_ends_with_the_hour_after_its_own),
          T(ticket_of_a_late_second_still_has_a_whole_hour),
          T(old_ticket_is_exchanged_for_a_new_one),
          T(clock_that_goes_back_changes_nothing),
          T(clock_that_goes_ahead_for_years_begins_anew),
          T(bent_ticket_is_a_full_handshake),
          T(world_that_is_made_anew_opens_the_tickets_of_the_last_one),
          T(ticket_is_not_good_where_other_authorities_are_asked),
          T(processes_open_the_tickets_of_each_other),
          T(processes_change_keys_alike_without_a_word),
          T(files_are_cleaned_up))
