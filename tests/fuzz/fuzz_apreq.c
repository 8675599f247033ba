/*
 * fuzz_apreq.c - mechanism KPOP, and what GSSAPI has examined, with AP-REQs
 * that are genuine for a real keytab but for how they are bent: outside, or
 * inside the ticket or authenticator before that is sealed, so that what is
 * behind the decryption is reached, too.  Dies when somebody gets in as whom
 * not both name, when an AP-REQ gets in twice, when one gets in that its
 * time, key, addresses or protocol forbid, when one that nobody bent is not
 * judged as it should be, or when a refusal has no KRB_ERROR or no log line.
 *
 * The script begins with eight octets: user, key, circumstances, times,
 * session key, how often each of four parts is bent (2), and the name that is
 * asked for.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sasl/apreq.h"
#include "sasl/clean.h"
#include "tests/fuzz/forge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MUTUAL = 1, SUBKEY = 2, GSS = 4, FOR_GSS = 8, CHECK_ADDRESSES = 16,
       WEAK = 32, RAW = 64 };
enum { TICKET_PART, TICKET, AUTHENTICATOR, APREQ, PARTS };

struct try {
    struct forge_facts facts;
    unsigned how;
    long skew;
    bool in_time;
    bool good_address;
    bool bent[PARTS];
    struct octets part[PARTS];
    struct octets sealed[2]; /* of the ticket, of the authenticator */
    struct mech_peer peer;
    struct buf out;
    struct mech_ask ask;
    char principal[PRINCIPAL_MAX + 1];
    unsigned logged;
};

static struct sasl_world *worlds[4];

/* "\0" is between components.  The long one makes more than PRINCIPAL_MAX. */
#define LONG "123456789012345678901234567890123456789012345678901234567890" \
             "123456789012345678901234567890123456789012345678901234567890" \
             "123456789012345678901234567890123456789012345678901234567890"
static const struct user {
    const char *name;
    const char *realm;
    const char *principal; /* NULL = nothing that a log should see */
} users[] = {
    { "alice\0", "EXAMPLE.ORG", "alice@EXAMPLE.ORG" },
    { "alice\0admin", "EXAMPLE.ORG", "alice/admin@EXAMPLE.ORG" },
    { "dave\0", "OTHER.ORG", "dave@OTHER.ORG" },
    { "a@b\0", "EXAMPLE.ORG", "a\\@b@EXAMPLE.ORG" },
    { "j\xc3\xbcrgen\0", "EXAMPLE.ORG", "j\xc3\xbcrgen@EXAMPLE.ORG" },
    { "al\x1bice\0", "EXAMPLE.ORG", NULL },
    { "al\xffice\0", "EXAMPLE.ORG", NULL },
    { LONG LONG "\0" LONG, "EXAMPLE.ORG", NULL },
};

static void
check_log(void *arg, unsigned level, const char *event, const char *line)
{
    struct try *try = arg;

    expect(level <= 3, "a level");
    expect(clean_text((const uint8_t *)line, strlen(line)),
           "a clean log line");
    if (strcmp(event, "kpop.mapped") != 0)
        try->logged++;
}

static struct sasl_world *
world_for(unsigned how)
{
    struct sasl_settings settings = {
        .hostname = "localhost", .keytab = forge_path("keytab"),
        .services = "pop pop3", .replay_cache = forge_path("cache"),
        .realms = "", .principal_map = "",
    };
    struct sasl_world **world = &worlds[how / CHECK_ADDRESSES % 4];
    char error[300];

    settings.check_addresses = (how & CHECK_ADDRESSES) != 0;
    settings.allow_weak_enctypes = (how & WEAK) != 0;
    if (*world == NULL)
        expect(sasl_world_new(&settings, world, error, sizeof(error))
                   == STATUS_OK, "a world");
    return *world;
}

/* ---- making it ---- */

static void
choose_times(struct try *try, unsigned choice)
{
    static const long skews[] = { 0, 200, -200, 400, -400, 100000 };
    static const long lives[][2] = { { -60, 36000 }, { -7200, -3600 },
                                     { 3600, 7200 } };
    static const uint8_t addresses[][4] = { { 127, 0, 0, 1 },
                                            { 192, 0, 2, 9 } };
    const long *life = lives[choice / 6 % 3];
    unsigned address = choice / 18 % 3;
    time_t now = time(NULL);

    try->skew = skews[choice % 6];
    try->facts.now = now + try->skew;
    try->facts.start = now + life[0];
    try->facts.end = now + life[1];
    try->in_time = choice / 6 % 3 == 0;
    try->facts.address = address > 0 ? addresses[address - 1] : NULL;
    try->good_address = address < 2;
}

static const struct user *
choose(struct try *try, struct script *script)
{
    static const krb5_enctype sessions[] = { ENCTYPE_AES256_CTS_HMAC_SHA1_96,
                                             ENCTYPE_AES128_CTS_HMAC_SHA1_96,
                                             ENCTYPE_ARCFOUR_HMAC };
    const struct user *user = &users[script_octet(script) % 8];

    try->facts.user = user->name;
    try->facts.realm = user->realm;
    try->facts.key = &forge_keys[script_octet(script) % FORGE_KEYS];
    try->how = script_octet(script);
    choose_times(try, script_octet(script));
    try->facts.session = sessions[script_octet(script) % 3];
    try->facts.usec = 4711;
    try->facts.mutual = (try->how & MUTUAL) != 0;
    try->facts.subkey = (try->how & SUBKEY) != 0;
    try->facts.gss = (try->how & GSS) != 0;
    return user;
}

static void
bend_part(struct try *try, struct script *script, unsigned part,
          unsigned times)
{
    for (; times > 0 && script->size > 0; times--) {
        bend(script, &try->part[part]);
        try->bent[part] = true;
    }
}

static void
make(struct try *try, struct script *script, unsigned times)
{
    struct octets *part = try->part;

    forge_ticket_part(&try->facts, &part[TICKET_PART]);
    bend_part(try, script, TICKET_PART, times & 15);
    forge_ticket(&try->facts, &part[TICKET_PART], &part[TICKET],
                 &try->sealed[0]);
    bend_part(try, script, TICKET, times >> 4 & 15);
    forge_authenticator(&try->facts, &part[AUTHENTICATOR]);
    bend_part(try, script, AUTHENTICATOR, times >> 8 & 15);
    forge_apreq(&try->facts, &part[TICKET], &part[AUTHENTICATOR],
                &part[APREQ], &try->sealed[1]);
    bend_part(try, script, APREQ, times >> 12);
    if ((try->how & RAW) != 0) {
        octets_set(&part[APREQ], script->data, script->size);
        try->bent[APREQ] = true;
    }
}

/* ---- what must hold ---- */

/* Is a part of the principal's name in both of what was sealed?  What has a
 * backslash is written otherwise there. */
static void
check_word(const struct try *try, const char *word, size_t len)
{
    if (len == 0 || memchr(word, '\\', len) != NULL)
        return;
    expect(octets_have(&try->part[TICKET_PART], word, len)
               && octets_have(&try->part[AUTHENTICATOR], word, len),
           "as nobody but whom ticket and authenticator name");
}

static void
check_principal(const struct try *try, const struct user *user)
{
    const char *at = try->principal;
    size_t len;

    expect(clean_text((const uint8_t *)at, strlen(at)), "a clean principal");
    if (!try->bent[TICKET_PART] || !try->bent[AUTHENTICATOR])
        expect(user->principal != NULL && strcmp(at, user->principal) == 0,
               "as nobody else");
    for (; *at != '\0'; at += len + (at[len] != '\0')) {
        len = strcspn(at, "/@");
        check_word(try, at, len);
    }
}

static bool
key_is_good(const struct try *try)
{
    const struct forge_key *key = try->facts.key;

    return key == &forge_keys[FORGE_POP] || key == &forge_keys[FORGE_POP3]
           || (key == &forge_keys[FORGE_WEAK] && (try->how & WEAK) != 0);
}

static bool
outside_is_bent(const struct try *try)
{
    return try->bent[TICKET] || try->bent[APREQ];
}

/* As far as what nobody bent must be good for. */
static void
check_accepted(const struct try *try, const struct user *user)
{
    static const char gss[] = "\x02\x03\x00\x80\x03"; /* the checksum's type */
    bool for_gss = (try->how & FOR_GSS) != 0;

    expect(octets_have(&try->part[APREQ], try->sealed[0].data,
                       try->sealed[0].len)
               && octets_have(&try->part[APREQ], try->sealed[1].data,
                              try->sealed[1].len),
           "what is sealed is as it was");
    check_principal(try, user);
    expect(key_is_good(try)
               || (outside_is_bent(try)
                   && try->facts.key == &forge_keys[FORGE_SHARED]
                   && octets_have(&try->part[APREQ], "pop", 3)),
           "for a service of ours, by its key");
    expect(try->bent[TICKET_PART]
               || (try->in_time
                   && (try->good_address
                       || (try->how & CHECK_ADDRESSES) == 0)),
           "within the ticket's life, from where it may be used");
    expect(try->bent[AUTHENTICATOR] || labs(try->skew) <= 300, "a clock");
    expect(try->bent[AUTHENTICATOR]
               ? !for_gss
                     || octets_have(&try->part[AUTHENTICATOR], gss, 5)
               : for_gss == try->facts.gss,
           "of this protocol");
}

/* Should it be accepted if nobody bends it? */
static bool
is_good(const struct try *try, const struct user *user)
{
    return user->principal != NULL && key_is_good(try) && try->in_time
           && labs(try->skew) <= 300
           && (try->good_address || (try->how & CHECK_ADDRESSES) == 0)
           && try->facts.gss == ((try->how & FOR_GSS) != 0);
}

static bool
nobody_bent(const struct try *try)
{
    return !try->bent[TICKET_PART] && !try->bent[AUTHENTICATOR]
           && !outside_is_bent(try);
}

static void
check_refusal(struct try *try)
{
    krb5_data message = { .length = (unsigned)buf_len(&try->out) };
    krb5_error *error = NULL;
    char octets[4096];

    expect(message.length > 0 && message.length <= sizeof(octets),
           "a KRB_ERROR");
    memcpy(octets, buf_data(&try->out), message.length);
    message.data = octets;
    expect(krb5_rd_error(forge_context(), &message, &error) == 0,
           "a KRB_ERROR that can be read");
    expect(error->error <= 127 && error->text.length > 0
               && clean_text((const uint8_t *)error->text.data,
                             error->text.length),
           "its text");
    krb5_free_error(forge_context(), error);
}

/* ---- showing it ---- */

/* The last octet of what is shown is the last of its memory, for ASan. */
static int
show(struct try *try, const struct octets *message, void **state_out)
{
    const struct mech *mech = mech_find("KPOP");
    uint8_t *copy = malloc(message->len > 0 ? message->len : 1);
    int status;

    expect(copy != NULL, "memory");
    memcpy(copy, message->data, message->len);
    buf_reset(&try->out);
    try->logged = 0;
    expect(mech->start(world_for(try->how), &try->peer, state_out)
               == STATUS_OK, "a start");
    status = mech->step(*state_out, copy, message->len, &try->out, &try->ask);
    free(copy);
    expect(try->logged == 1, "one log line");
    if (status != STATUS_CONTINUE) {
        expect(status == STATUS_AUTH || status == STATUS_DENIED,
               "it is taken or refused");
        check_refusal(try);
        expect(mech->step(*state_out, (const uint8_t *)"alice", 5, &try->out,
                          &try->ask) == STATUS_INVALID,
               "what is refused stays refused");
    }
    return status;
}

static void
check_name(struct try *try, void *state, struct script *script)
{
    static const char *const names[] = { "alice", "dave", "", "bob" };
    uint8_t choice = script_octet(script);
    const char *name = names[choice % 4];
    const struct mech *mech = mech_find("KPOP");
    int status = mech->step(state, (const uint8_t *)name, strlen(name),
                            &try->out, &try->ask);

    if (name[0] == '\0') {
        expect(status == STATUS_AUTH, "a name is needed");
        return;
    }
    expect(status == STATUS_PENDING && try->ask.need == MECH_AUTHORIZE,
           "the host is asked");
    expect(strcmp(try->ask.requested, name) == 0, "for this mailbox");
    (void)snprintf(try->principal, sizeof(try->principal), "%s",
                   try->ask.authcid);
    if (strcmp(try->principal, "alice@EXAMPLE.ORG") == 0)
        expect(strcmp(try->ask.local, choice % 4 == 0 ? "alice" : "") == 0,
               "one's own mailbox");
    if (try->ask.local[0] != '\0')
        expect(clean_mailbox(try->ask.local)
                   && strstr(try->principal, "@EXAMPLE.ORG") != NULL
                   && strncmp(try->principal, try->ask.local,
                              strlen(try->ask.local)) == 0
                   && try->principal[strlen(try->ask.local)] == '@',
               "no mailbox of anybody else");
    expect(mech->resume(state, STATUS_OK, NULL, 0, &try->out, &try->ask)
               == STATUS_OK, "the host decides");
}

/* Neither as it is nor with what nobody has sealed bent. */
static void
check_replay(struct try *try, struct script *script)
{
    static struct octets again;
    void *state;

    again = try->part[APREQ];
    for (unsigned i = 0; i < 2; i++) {
        expect(show(try, &again, &state) != STATUS_CONTINUE,
               "nobody gets in twice");
        mech_find("KPOP")->free(state);
        bend(script, &again);
    }
}

static void
login(struct try *try, const struct user *user, struct script *script)
{
    void *state;
    int status = show(try, &try->part[APREQ], &state);

    if (nobody_bent(try))
        expect((status == STATUS_CONTINUE) == is_good(try, user),
               "what nobody bent is judged rightly");
    if (status == STATUS_CONTINUE) {
        if (!try->bent[TICKET_PART] && !try->bent[AUTHENTICATOR]
            && !try->bent[APREQ])
            expect(try->facts.mutual
                       ? forge_is_reply(&try->facts, buf_data(&try->out),
                                        buf_len(&try->out))
                       : buf_len(&try->out) == 0,
                   "an AP-REP for who asked for one");
        check_name(try, state, script);
        if (try->principal[0] != '\0')
            check_accepted(try, user);
        check_replay(try, script);
    }
    mech_find("KPOP")->free(state);
}

/* What GSSAPI does with it then is not looked at here. */
static void
examine(struct try *try, const struct user *user)
{
    struct apreq_message message = { try->part[APREQ].data,
                                     try->part[APREQ].len };
    struct note note;
    int status = apreq_examine(world_for(try->how), &try->peer, &message,
                               try->principal, &note);

    expect(try->logged == (status != STATUS_OK), "refusals are logged");
    if (nobody_bent(try))
        expect((status == STATUS_OK) == is_good(try, user),
               "what nobody bent is judged rightly");
    if (status == STATUS_OK)
        check_accepted(try, user);
    else
        expect(status == STATUS_AUTH || status == STATUS_DENIED,
               "it is taken or refused");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script script = { data, size };
    static struct try try;
    const struct user *user;

    if (forge_context() == NULL)
        forge_begin();
    forge_forget();
    memset(&try, 0, sizeof(try));
    buf_init(&try.out, 65536);
    try.peer.address = "127.0.0.1";
    try.peer.session_id = "s1";
    try.peer.log = check_log;
    try.peer.log_arg = &try;
    user = choose(&try, &script);
    make(&try, &script, script_pair(&script));
    if ((try.how & FOR_GSS) != 0)
        examine(&try, user);
    else
        login(&try, user, &script);
    buf_reset(&try.out);
    return 0;
}
