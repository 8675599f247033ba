/*
 * peer.h - an engine between a client of the test's and a small host: four
 * messages at most, results that a test bends, every question written down.
 *
 * Only for the unit tests of kpop/; whole sessions through the ABI are
 * dialogues.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_UNIT_PEER_H
#define KPOP_TESTS_UNIT_PEER_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kpop/engine.h"
#include "tests/lib/check.h"

#define NEED(need) (1u << (need))
#define HELLO                                                               \
    "\0\0\0\x13KRB5_SENDAUTH_V1.0\0\0\0\0\x09KPOPV1.0\0"
#define AP_REQ "\0\0\0\x06TICKET"

struct peer {
    struct engine_settings settings;
    struct engine *engine;

    /* the host */
    const char *mechanisms;  /* NULL = as the listener needs them */
    const char *banner;      /* NULL = none */
    const char *user;        /* put_user */
    const char *challenge;   /* of START and STEP; NULL = none */
    const char *krb_error;   /* of REFUSE; NULL = it fails */
    int start, step, open, list, commit, tls;
    int64_t fetch;           /* negative: instead of octets */
    uint64_t fetch_from;     /* offset from which `fetch` holds */
    uint32_t fetch_max;      /* octets a time */
    bool no_user, no_box, unknown_octets;
    int list_short;          /* so many messages are kept back */
    const char *uidl;        /* instead of the own ones */
    uint32_t count;          /* messages */
    const char *texts[4];    /* of messages; the last one for all others */
    size_t lens[4];
    unsigned hold;           /* NEED()s that are not answered */

    /* the client */
    bool stalls;             /* reads nothing */
    char *seen;              /* what it got */
    size_t seen_len;
    char data[600];          /* of the last START */
    size_t data_len;
    char asked[65536];       /* "OPEN alice;..." */
};

static inline void
peer_init(struct peer *peer, bool kpop)
{
    memset(peer, 0, sizeof(*peer));
    peer->settings.kpop = kpop;
    peer->settings.hostname = "mail.example.org";
    peer->settings.implementation = "kpop-test";
    peer->settings.kpop_versions = "KPOPV1.0";
    peer->user = "alice";
    peer->krb_error = "KRBERR";
    peer->start = kpop ? STATUS_CONTINUE : STATUS_OK;
    peer->fetch_max = ENGINE_FETCH_SIZE;
    peer->count = 2;
    peer->texts[0] = "A: b\n\none\n";
    peer->texts[1] = peer->texts[2] = peer->texts[3] = "C: d\n\ntwo\n.\n";
    peer->fetch_from = UINT64_MAX;
}

static inline void
peer_note(struct peer *peer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline void
peer_note(struct peer *peer, const char *format, ...)
{
    size_t len = strlen(peer->asked);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(peer->asked + len, sizeof(peer->asked) - len, format,
                    args);
    va_end(args);
}

static inline const char *
peer_text(const struct peer *peer, uint32_t msg, size_t *len_out)
{
    size_t i = msg < 4 ? msg : 3;

    *len_out = peer->lens[i] > 0 ? peer->lens[i] : strlen(peer->texts[i]);
    return peer->texts[i];
}

static inline int64_t
peer_exchange(struct peer *peer, int result)
{
    if (peer->challenge != NULL)
        (void)engine_put_challenge(peer->engine, peer->challenge,
                                   strlen(peer->challenge));
    if (result == STATUS_OK && !peer->no_user)
        (void)engine_put_user(peer->engine, peer->user);
    return result;
}

static inline int64_t
peer_fetch(struct peer *peer, const struct engine_request *request)
{
    size_t len;
    const char *text = peer_text(peer, request->msg, &len);

    if (request->offset >= peer->fetch_from)
        return peer->fetch;
    if (request->offset >= len)
        return 0;
    len -= (size_t)request->offset;
    if (len > request->size)
        len = request->size;
    if (len > peer->fetch_max)
        len = peer->fetch_max;
    memcpy(request->buffer, text + request->offset, len);
    return (int64_t)len;
}

static inline int64_t
peer_list(struct peer *peer, const struct engine_request *request)
{
    uint32_t i, count = request->count - (uint32_t)peer->list_short;

    for (i = 0; i < count; i++) {
        size_t len;
        char uidl[16];

        (void)peer_text(peer, request->first + i, &len);
        (void)snprintf(uidl, sizeof(uidl), "u%u",
                       (unsigned)(request->first + i + 1));
        (void)engine_put_msg(peer->engine, len,
                             peer->uidl != NULL ? peer->uidl : uidl);
    }
    return peer->list;
}

static inline int64_t
peer_answer(struct peer *peer, const struct engine_request *request)
{
    uint32_t i;

    switch (request->need) {
    case ENGINE_START:
        if (request->data == NULL)
            peer_note(peer, "START %s none;", request->mechanism);
        else
            peer_note(peer, "START %s %zu;", request->mechanism,
                      request->len);
        peer->data_len = request->len < sizeof(peer->data)
                             ? request->len
                             : sizeof(peer->data);
        if (peer->data_len > 0)
            memcpy(peer->data, request->data, peer->data_len);
        return peer_exchange(peer, peer->start);
    case ENGINE_STEP:
        peer_note(peer, "STEP %.*s;", (int)request->len,
                  (const char *)request->data);
        return peer_exchange(peer, peer->step);
    case ENGINE_END:
        peer_note(peer, "END;");
        return 0;
    case ENGINE_REFUSE:
        peer_note(peer, "REFUSE %d %s;", request->krb_code, request->text);
        if (peer->krb_error == NULL)
            return STATUS_NO_MEMORY;
        (void)engine_put_challenge(peer->engine, peer->krb_error,
                                   strlen(peer->krb_error));
        return 0;
    case ENGINE_OPEN:
        peer_note(peer, "OPEN %s %s %s;", request->user, request->requested,
                  request->mechanism);
        if (!peer->no_box)
            (void)engine_put_box(peer->engine, peer->count,
                                 peer->unknown_octets ? ENGINE_OCTETS_UNKNOWN
                                                      : 100 * peer->count);
        return peer->open;
    case ENGINE_LIST:
        peer_note(peer, "LIST %u %u;", (unsigned)request->first,
                  (unsigned)request->count);
        return peer_list(peer, request);
    case ENGINE_FETCH:
        peer_note(peer, "%s %u %llu;", request->peek ? "PEEK" : "FETCH",
                  (unsigned)request->msg,
                  (unsigned long long)request->offset);
        return peer_fetch(peer, request);
    case ENGINE_COMMIT:
        peer_note(peer, "COMMIT");
        for (i = 0; i < request->count; i++)
            peer_note(peer, " %u", request->marks[i]);
        peer_note(peer, ";");
        return peer->commit;
    case ENGINE_TLS:
        peer_note(peer, "TLS;");
        if (peer->tls == STATUS_OK)
            engine_set_tls(peer->engine, false, true);
        return peer->tls;
    case ENGINE_ENVELOPE:
        break;
    }
    CHECK(request->need == ENGINE_START);
    return STATUS_INVALID;
}

/* What can be done without more input; false when there was nothing. */
static inline bool
peer_turn(struct peer *peer)
{
    const struct engine_request *request = engine_request(peer->engine);
    const uint8_t *data;
    size_t len;

    if (request != NULL && (peer->hold & NEED(request->need)) == 0) {
        engine_answer(peer->engine, peer_answer(peer, request));
        return true;
    }
    len = engine_output(peer->engine, &data);
    if (len == 0 || peer->stalls)
        return false;
    peer->seen = realloc(peer->seen, peer->seen_len + len + 1);
    CHECK(peer->seen != NULL);
    memcpy(peer->seen + peer->seen_len, data, len);
    peer->seen_len += len;
    peer->seen[peer->seen_len] = '\0';
    engine_wrote(peer->engine, len);
    return true;
}

static inline void
peer_run(struct peer *peer)
{
    while (peer_turn(peer))
        continue;
}

/* Sends in pieces; how many octets were taken before it got stuck. */
static inline size_t
peer_send_pieces(struct peer *peer, const void *data, size_t len,
                 size_t piece)
{
    const uint8_t *octets = data;
    size_t at = 0;

    while (at < len) {
        size_t part = len - at < piece ? len - at : piece;
        size_t used = engine_input(peer->engine, octets + at, part);

        CHECK(used <= part);
        at += used;
        if (!peer_turn(peer) && used == 0)
            break;
        peer_run(peer);
    }
    return at;
}

static inline void
peer_send(struct peer *peer, const char *text)
{
    CHECK_INT(peer_send_pieces(peer, text, strlen(text), strlen(text)),
              strlen(text));
}

/* Forgets what the client got so far. */
static inline void
peer_forget(struct peer *peer)
{
    free(peer->seen);
    peer->seen = NULL;
    peer->seen_len = 0;
    peer->asked[0] = '\0';
}

static inline void
peer_begin(struct peer *peer)
{
    peer->engine = engine_new(&peer->settings);
    CHECK(peer->engine != NULL);
    if (peer->mechanisms == NULL)
        peer->mechanisms = peer->settings.kpop ? "KPOP" : "USER";
    CHECK_INT(engine_set_mechanisms(peer->engine, peer->mechanisms), 0);
    if (peer->banner != NULL)
        CHECK_INT(engine_set_banner(peer->engine, peer->banner), 0);
    engine_begin(peer->engine);
    peer_run(peer);
}

static inline void
peer_end(struct peer *peer)
{
    engine_free(peer->engine);
    peer_forget(peer);
}

/* Ready for USER. */
static inline void
peer_greeted(struct peer *peer)
{
    peer_begin(peer);
    if (peer->settings.kpop) {
        (void)peer_send_pieces(peer, HELLO, sizeof(HELLO) - 1, 100);
        (void)peer_send_pieces(peer, AP_REQ, sizeof(AP_REQ) - 1, 100);
    }
    peer_forget(peer);
}

/* In TRANSACTION. */
static inline void
peer_logged_in(struct peer *peer)
{
    peer_greeted(peer);
    peer_send(peer, "USER alice\r\nPASS x\r\n");
    CHECK(engine_is_logged_in(peer->engine));
    peer_forget(peer);
}

/* What the client got since, all of it; then forgets. */
#define CHECK_SEEN(peer, text)                                              \
    do {                                                                    \
        CHECK_MEM((peer)->seen, (peer)->seen_len, text, sizeof(text) - 1);  \
        peer_forget(peer);                                                  \
    } while (0)
/* The same, and what the host was asked. */
#define CHECK_BOTH(peer, text, questions)                                   \
    do {                                                                    \
        CHECK_STR((peer)->asked, questions);                                \
        CHECK_SEEN(peer, text);                                             \
    } while (0)

static inline bool
peer_saw(const struct peer *peer, const char *text)
{
    return peer->seen != NULL && strstr(peer->seen, text) != NULL;
}

#endif
