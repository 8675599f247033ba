/* LDFLAGS: -Wl,--wrap=time,--wrap=HMAC,--wrap=RAND_priv_bytes */
/*
 * tlsticket.c - tests of the keys of session tickets, by real handshakes: who
 * opens whose ticket, in one process and in several, and what the hours do.
 * The clock is ours for the keys alone; OpenSSL's own stays real, so that no
 * session is refused for its age.
 *
 * SPDX-License-Identifier: MIT
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "plugin/tls_internal.h"
#include "tests/lib/check.h"
#include "tests/unit/cert_fixture.h"

enum {
    HOUR = 3600,
    YEARS = 100001 * HOUR, /* more than is walked hour by hour */
    KEY_NAME = 16,
    TICKET_MAX = 8192
};

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

/* ---- what tlsticket.c calls ---- */

time_t __wrap_time(time_t *out);
unsigned char *__wrap_HMAC(const EVP_MD *md, const void *key, int key_len,
                           const unsigned char *data, size_t len,
                           unsigned char *out, unsigned int *out_len);
unsigned char *__real_HMAC(const EVP_MD *md, const void *key, int key_len,
                           const unsigned char *data, size_t len,
                           unsigned char *out, unsigned int *out_len);
int __wrap_RAND_priv_bytes(unsigned char *out, int len);
int __real_RAND_priv_bytes(unsigned char *out, int len);

static time_t now = (time_t)450000 * HOUR;
static int hmacs_until = -1; /* so many still succeed; -1 = all */
static bool no_random;

time_t
__wrap_time(time_t *out)
{
    if (out != NULL)
        *out = now;
    return now;
}

unsigned char *
__wrap_HMAC(const EVP_MD *md, const void *key, int key_len,
            const unsigned char *data, size_t len, unsigned char *out,
            unsigned int *out_len)
{
    if (hmacs_until == 0)
        return NULL;
    if (hmacs_until > 0)
        hmacs_until--;
    return __real_HMAC(md, key, key_len, data, len, out, out_len);
}

int
__wrap_RAND_priv_bytes(unsigned char *out, int len)
{
    return no_random ? 0 : __real_RAND_priv_bytes(out, len);
}

/* ---- a server, a client, a handshake ---- */

/* A session with its ticket, as a client keeps it. */
struct ticket {
    size_t size; /* 0 = the handshake failed or gave none */
    uint8_t der[TICKET_MAX];
    uint8_t key[KEY_NAME]; /* the name of what it is sealed with */
    long timeout;          /* seconds it was said to be good for */
    bool resumed;          /* the handshake that gave it was a short one */
};

static SSL_CTX *
server_new(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    X509 *certificate = cert_new();
    EVP_PKEY *key = cert_sign(certificate);

    CHECK(context != NULL);
    CHECK(SSL_CTX_use_certificate(context, certificate) == 1);
    CHECK(SSL_CTX_use_PrivateKey(context, key) == 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(context, 1);
    CHECK(tls_ticket_use(context));
    return context;
}

static void
keep(SSL *client, struct ticket *ticket)
{
    SSL_SESSION *session = SSL_get1_session(client);
    unsigned char *at = ticket->der;
    const unsigned char *octets = NULL;
    size_t len = 0;
    int size;

    CHECK(session != NULL);
    SSL_SESSION_get0_ticket(session, &octets, &len);
    if (len >= KEY_NAME) {
        memcpy(ticket->key, octets, KEY_NAME);
        size = i2d_SSL_SESSION(session, NULL);
        CHECK(size > 0 && size <= TICKET_MAX);
        ticket->size = (size_t)i2d_SSL_SESSION(session, &at);
        ticket->timeout =
            (long)SSL_SESSION_get_ticket_lifetime_hint(session);
    }
    ticket->resumed = SSL_session_reused(client) == 1;
    SSL_SESSION_free(session);
}

static void
offer(SSL *client, const struct ticket *old)
{
    const unsigned char *at = old->der;
    SSL_SESSION *session = d2i_SSL_SESSION(NULL, &at, (long)old->size);

    CHECK(session != NULL);
    CHECK(SSL_set_session(client, session) == 1);
    SSL_SESSION_free(session);
}

/* Both ends by turns; the client reads on, for tickets of TLS 1.3 come after
 * the handshake.  False when either end gave up. */
static bool
shake_hands(SSL *server, SSL *client)
{
    char octet;

    for (int turn = 0; turn < 20; turn++) {
        int to = SSL_do_handshake(client);
        int from = SSL_do_handshake(server);

        if (to != 1 && SSL_get_error(client, to) != SSL_ERROR_WANT_READ)
            return false;
        if (from != 1 && SSL_get_error(server, from) != SSL_ERROR_WANT_READ)
            return false;
        if (to == 1 && from == 1) {
            CHECK_INT(SSL_read(client, &octet, 1), -1);
            return true;
        }
    }
    return false;
}

/* A client comes, with an old ticket or NULL, and keeps what it is given. */
static struct ticket
visit(SSL_CTX *context, int version, const struct ticket *old)
{
    SSL_CTX *client_context = SSL_CTX_new(TLS_client_method());
    struct ticket ticket = { .size = 0 };
    SSL *server = SSL_new(context);
    SSL *client;
    BIO *near, *far;

    CHECK(client_context != NULL && server != NULL);
    CHECK(SSL_CTX_set_min_proto_version(client_context, version) == 1);
    CHECK(SSL_CTX_set_max_proto_version(client_context, version) == 1);
    client = SSL_new(client_context);
    CHECK(client != NULL);
    CHECK(BIO_new_bio_pair(&near, 65536, &far, 65536) == 1);
    SSL_set_bio(server, near, near);
    SSL_set_bio(client, far, far);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    if (old != NULL)
        offer(client, old);
    if (shake_hands(server, client)) {
        keep(client, &ticket);
        CHECK_INT(SSL_session_reused(server), ticket.resumed);
    }
    SSL_free(server);
    SSL_free(client);
    SSL_CTX_free(client_context);
    return ticket;
}

/* A full handshake; there is a ticket after it. */
static struct ticket
first_visit(SSL_CTX *context, int version)
{
    struct ticket ticket = visit(context, version, NULL);

    CHECK(ticket.size > 0);
    CHECK(!ticket.resumed);
    return ticket;
}

static bool
opens(SSL_CTX *context, int version, const struct ticket *ticket)
{
    struct ticket next = visit(context, version, ticket);

    CHECK(next.size > 0); /* a ticket that does not open harms nobody */
    return next.resumed;
}

static bool
same_key(const struct ticket *one, const struct ticket *other)
{
    return memcmp(one->key, other->key, KEY_NAME) == 0;
}

/* The first second of an hour, under a secret that no test before had. */
static void
new_secret(void)
{
    now = (now / HOUR) * HOUR + YEARS;
    hmacs_until = -1;
    no_random = false;
}

#define EACH_VERSION(version)                                               \
    for (const int *version = versions; version < versions + 2; version++)

/* ---- one process ---- */

TEST(contexts_open_each_others_tickets)
{
    new_secret();
    EACH_VERSION(version) {
        SSL_CTX *one = server_new();
        SSL_CTX *other = server_new();
        struct ticket ticket = first_visit(one, *version);

        CHECK(opens(one, *version, &ticket));
        CHECK(opens(other, *version, &ticket));
        ticket = first_visit(other, *version);
        CHECK(opens(one, *version, &ticket));
        SSL_CTX_free(one);
        SSL_CTX_free(other);
    }
}

TEST(context_made_later_opens_tickets_of_one_that_is_gone)
{
    new_secret();
    EACH_VERSION(version) {
        SSL_CTX *context = server_new();
        struct ticket ticket = first_visit(context, *version);

        SSL_CTX_free(context);
        context = server_new();
        CHECK(opens(context, *version, &ticket));
        SSL_CTX_free(context);
    }
}

/* OpenSSL has keys of its own for each context; they are not used. */
TEST(context_without_our_keys_opens_nothing)
{
    new_secret();
    EACH_VERSION(version) {
        SSL_CTX *ours = server_new();
        SSL_CTX *bare = server_new();
        struct ticket ticket = first_visit(ours, *version);

        CHECK(SSL_CTX_set_tlsext_ticket_key_evp_cb(bare, NULL) == 1);
        CHECK(!opens(bare, *version, &ticket));
        ticket = first_visit(bare, *version);
        CHECK(!opens(ours, *version, &ticket));
        SSL_CTX_free(ours);
        SSL_CTX_free(bare);
    }
}

TEST(tickets_are_said_to_be_good_for_an_hour)
{
    new_secret();
    EACH_VERSION(version) {
        SSL_CTX *context = server_new();

        CHECK_INT(SSL_CTX_get_timeout(context), HOUR);
        CHECK_INT(first_visit(context, *version).timeout, HOUR);
        SSL_CTX_free(context);
    }
}

/* Where a ticket is changed in the DER of its session. */
static uint8_t *
inside(struct ticket *ticket, size_t at)
{
    uint8_t *start =
        memmem(ticket->der, ticket->size, ticket->key, KEY_NAME);

    CHECK(start != NULL);
    return start + at;
}

TEST(changed_ticket_does_not_open)
{
    /* The key's name, the IV, the first and a later block. */
    static const size_t places[] = { 0, 15, 16, 31, 32, 64 };

    new_secret();
    EACH_VERSION(version) {
        SSL_CTX *context = server_new();
        struct ticket ticket = first_visit(context, *version);

        for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
            struct ticket changed = ticket;

            *inside(&changed, places[i]) ^= 1;
            CHECK(!opens(context, *version, &changed));
        }
        CHECK(opens(context, *version, &ticket));
        SSL_CTX_free(context);
    }
}

/* ---- the hours ---- */

TEST(within_the_hour_the_key_stays)
{
    new_secret();
    EACH_VERSION(version) {
        SSL_CTX *context = server_new();
        struct ticket first = first_visit(context, *version);
        struct ticket last;

        now += HOUR - 1;
        last = visit(context, *version, &first);
        CHECK(last.resumed);
        CHECK(same_key(&first, &last));
        now -= HOUR - 1;
        SSL_CTX_free(context);
    }
}

TEST(next_hour_opens_the_ticket_and_renews_it)
{
    EACH_VERSION(version) {
        SSL_CTX *context;
        struct ticket old, renewed;

        new_secret();
        context = server_new();
        old = first_visit(context, *version);
        now += 2 * HOUR - 1; /* the last second that it opens */
        renewed = visit(context, *version, &old);
        CHECK(renewed.resumed);
        CHECK(renewed.size > 0);
        CHECK(!same_key(&old, &renewed));
        now += 1;
        CHECK(!opens(context, *version, &old));
        CHECK(opens(context, *version, &renewed));
        SSL_CTX_free(context);
    }
}

TEST(two_hours_later_the_ticket_does_not_open)
{
    static const int hours[] = { 2, 3, 24, 1000 };

    EACH_VERSION(version) {
        for (size_t i = 0; i < sizeof(hours) / sizeof(hours[0]); i++) {
            SSL_CTX *context;
            struct ticket old, next;

            new_secret();
            context = server_new();
            now += HOUR; /* no longer the first key, but one made of it */
            old = first_visit(context, *version);
            now += (time_t)hours[i] * HOUR;
            next = visit(context, *version, &old);
            CHECK(!next.resumed);
            CHECK(!same_key(&old, &next));
            CHECK(opens(context, *version, &next));
            SSL_CTX_free(context);
        }
    }
}

TEST(clock_that_goes_back_changes_nothing)
{
    static const time_t back[] = { 1, HOUR, 5 * HOUR, YEARS };

    EACH_VERSION(version) {
        for (size_t i = 0; i < sizeof(back) / sizeof(back[0]); i++) {
            SSL_CTX *context;
            struct ticket before, old, next;

            new_secret();
            context = server_new();
            before = first_visit(context, *version);
            now += HOUR;
            old = first_visit(context, *version);
            now -= back[i];
            next = visit(context, *version, &old);
            CHECK(next.resumed);
            CHECK(same_key(&old, &next));
            CHECK(opens(context, *version, &before));
            /* Nor does its coming back. */
            now += back[i];
            CHECK(opens(context, *version, &next));
            CHECK(opens(context, *version, &before));
            SSL_CTX_free(context);
        }
    }
}

TEST(jump_of_years_opens_nothing_old)
{
    EACH_VERSION(version) {
        SSL_CTX *context;
        struct ticket old, next;

        new_secret();
        context = server_new();
        old = first_visit(context, *version);
        now += HOUR;
        CHECK(opens(context, *version, &old));
        now += YEARS;
        next = visit(context, *version, &old);
        CHECK(next.size > 0);
        CHECK(!next.resumed);
        CHECK(opens(context, *version, &next));
        SSL_CTX_free(context);
    }
}

/* ---- several processes ---- */

static void
put(int fd, const struct ticket *ticket)
{
    CHECK_INT(write(fd, ticket, sizeof(*ticket)), sizeof(*ticket));
}

static bool
get(int fd, struct ticket *ticket)
{
    char *octets = (char *)ticket;
    size_t at = 0;

    while (at < sizeof(*ticket)) {
        ssize_t got = read(fd, octets + at, sizeof(*ticket) - at);

        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

/* A worker: opens (or not) the ticket it is shown, gives one of its own. */
struct worker {
    pid_t pid;
    int fd;
};

struct given {
    bool opened;
    struct ticket ticket;
};

static void
work(int fd, int version, const struct ticket *shown)
{
    SSL_CTX *context = server_new();
    struct ticket ticket = { .size = 0 };

    if (shown != NULL)
        ticket = visit(context, version, shown);
    put(fd, &ticket); /* .resumed says whether it opened */
    ticket = first_visit(context, version);
    put(fd, &ticket);
    SSL_CTX_free(context);
}

/* By a fork, as kpopd's master makes them; `later` is how far the worker's
 * clock has gone when the first client comes. */
static struct given
ask_worker(int version, const struct ticket *shown, time_t later)
{
    struct given given = { .opened = false };
    struct ticket first;
    int ends[2];
    int status = -1;
    bool good;
    pid_t pid;

    CHECK(pipe(ends) == 0);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)close(ends[0]);
        now += later;
        work(ends[1], version, shown);
        (void)close(ends[1]);
        _exit(0);
    }
    (void)close(ends[1]);
    good = get(ends[0], &first) && get(ends[0], &given.ticket);
    (void)close(ends[0]);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_INT(status, 0);
    CHECK(good);
    given.opened = first.resumed;
    return given;
}

TEST(processes_open_each_others_tickets)
{
    new_secret();
    EACH_VERSION(version) {
        SSL_CTX *parent = server_new();
        struct ticket ticket = first_visit(parent, *version);
        struct given one = ask_worker(*version, &ticket, 0);
        struct given other = ask_worker(*version, &one.ticket, 0);

        CHECK(one.opened);
        CHECK(other.opened);
        CHECK(opens(parent, *version, &one.ticket));
        CHECK(opens(parent, *version, &other.ticket));
        SSL_CTX_free(parent);
    }
}

/* Each makes the next key by itself, without a word to the others. */
TEST(processes_change_keys_alike)
{
    static const int hours[] = { 1, 2, 100 };

    EACH_VERSION(version) {
        for (size_t i = 0; i < sizeof(hours) / sizeof(hours[0]); i++) {
            time_t later = (time_t)hours[i] * HOUR;
            SSL_CTX *parent;
            struct ticket ticket;
            struct given one, other;

            new_secret();
            parent = server_new();
            ticket = first_visit(parent, *version);
            one = ask_worker(*version, &ticket, later);
            CHECK_INT(one.opened, hours[i] == 1);
            other = ask_worker(*version, &one.ticket, later);
            CHECK(other.opened);
            now += later;
            CHECK(opens(parent, *version, &other.ticket));
            SSL_CTX_free(parent);
        }
    }
}

/* What was never secret together cannot be known together: were the years
 * walked hour by hour, the workers would agree. */
TEST(jump_of_years_makes_a_new_secret)
{
    EACH_VERSION(version) {
        SSL_CTX *parent;
        struct given one, other;

        new_secret();
        parent = server_new();
        one = ask_worker(*version, NULL, YEARS);
        other = ask_worker(*version, &one.ticket, YEARS);
        CHECK(!other.opened);
        CHECK(!same_key(&one.ticket, &other.ticket));
        SSL_CTX_free(parent);
    }
}

/* ---- when OpenSSL can do nothing ---- */

TEST(without_random_octets_there_are_no_tickets)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    CHECK(context != NULL);
    new_secret();
    no_random = true;
    CHECK(!tls_ticket_use(context));
    no_random = false;
    CHECK(tls_ticket_use(context));
    SSL_CTX_free(context);
}

/* Each hash fails once.  A key of what memory held would be no secret: rather
 * the handshake fails, and the next one goes well. */
TEST(hash_that_fails_makes_no_key)
{
    EACH_VERSION(version) {
        for (int until = 0; until < 4; until++) {
            SSL_CTX *context;
            struct ticket old, next;

            new_secret();
            context = server_new();
            old = first_visit(context, *version);
            now += HOUR;
            hmacs_until = until;
            CHECK(!tls_ticket_use(context));
            next = visit(context, *version, &old);
            CHECK(!next.resumed);
            CHECK_INT(next.size, 0);
            hmacs_until = -1;
            /* As if nothing had been: the same key as a worker has. */
            CHECK(opens(context, *version, &old));
            next = first_visit(context, *version);
            CHECK(!same_key(&old, &next));
            CHECK(ask_worker(*version, &next, 0).opened);
            SSL_CTX_free(context);
        }
    }
}

TEST(hash_that_fails_makes_no_first_key)
{
    for (int until = 0; until < 3; until++) {
        SSL_CTX *context = SSL_CTX_new(TLS_server_method());

        CHECK(context != NULL);
        new_secret();
        hmacs_until = until;
        CHECK(!tls_ticket_use(context));
        hmacs_until = -1;
        CHECK(tls_ticket_use(context));
        SSL_CTX_free(context);
    }
}

TEST_MAIN("tlsticket",
          T(contexts_open_each_others_tickets),
          T(context_made_later_opens_tickets_of_one_that_is_gone),
          T(context_without_our_keys_opens_nothing),
          T(tickets_are_said_to_be_good_for_an_hour),
          T(changed_ticket_does_not_open),
          T(within_the_hour_the_key_stays),
          T(next_hour_opens_the_ticket_and_renews_it),
          T(two_hours_later_the_ticket_does_not_open),
          T(clock_that_goes_back_changes_nothing),
          T(jump_of_years_opens_nothing_old),
          T(processes_open_each_others_tickets),
          T(processes_change_keys_alike),
          T(jump_of_years_makes_a_new_secret),
          T(without_random_octets_there_are_no_tickets),
          T(hash_that_fails_makes_no_key),
          T(hash_that_fails_makes_no_first_key))
