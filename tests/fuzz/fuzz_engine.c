/*
 * fuzz_engine.c - the engine under a fuzzer: the first octet chooses listener
 * and mechanisms, the rest is the client's octets.  Every request is answered
 * by a small maildrop; what may go wrong is a crash, a sanitizer's report, an
 * output above its mark or a loop without progress.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kpop/engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGES = 3, WINDOW = 64 * 1024 };

static const char message[] = "Subject: x\n\n.dot\r\n..\n.\r\nno end";

static void
answer_list(struct engine *engine, const struct engine_request *request)
{
    static const char *const uidl[MESSAGES] = { "a", "b", "c" };

    for (uint32_t i = 0; i < request->count; i++)
        if (engine_put_msg(engine, sizeof(message),
                           uidl[(request->first + i) % MESSAGES]) != 0)
            abort();
}

static int64_t
answer_fetch(const struct engine_request *request)
{
    size_t len = sizeof(message) - 1;

    if (request->msg >= MESSAGES)
        abort();
    if (request->offset >= len)
        return 0;
    len -= (size_t)request->offset;
    if (len > request->size)
        len = request->size;
    memcpy(request->buffer, message + request->offset, len);
    return (int64_t)len;
}

/* PLAIN and APOP end at once, SCRAM has final data, the others go on. */
static int64_t
start(struct engine *engine, const struct engine_request *request)
{
    if (request->len > 0 && request->data == NULL)
        abort();
    if (strcmp(request->mechanism, "PLAIN") != 0
        && strcmp(request->mechanism, "APOP") != 0)
        (void)engine_put_challenge(engine, "challenge", 9);
    if (strcmp(request->mechanism, "KPOP") == 0
        || strcmp(request->mechanism, "CRAM-MD5") == 0
        || strcmp(request->mechanism, "GSSAPI") == 0)
        return STATUS_CONTINUE;
    return engine_put_user(engine, "alice");
}

static int64_t
result_of(struct engine *engine, const struct engine_request *request)
{
    switch (request->need) {
    case ENGINE_START:
        return start(engine, request);
    case ENGINE_STEP:
        /* A name that ends in x is refused, one in y may try again. */
        if (request->len > 0 && request->data[request->len - 1] == 'x')
            return STATUS_DENIED;
        if (request->len > 0 && request->data[request->len - 1] == 'y')
            return STATUS_TEMP;
        return engine_put_user(engine, "alice");
    case ENGINE_REFUSE:
        return engine_put_challenge(engine, "krb-error", 9);
    case ENGINE_OPEN:
        return engine_put_box(engine, MESSAGES, ENGINE_OCTETS_UNKNOWN);
    case ENGINE_LIST:
        answer_list(engine, request);
        return STATUS_OK;
    case ENGINE_FETCH:
        return answer_fetch(request);
    case ENGINE_ENVELOPE:
        return engine_put_envelope(engine, "a@example.org", "b@example.org");
    case ENGINE_END:
    case ENGINE_COMMIT:
    case ENGINE_TLS:
        break;
    }
    return STATUS_OK;
}

/* Answers and drains until nothing moves. */
static void
settle(struct engine *engine)
{
    const struct engine_request *request;
    const uint8_t *out;
    size_t len;
    unsigned rounds = 0;

    do {
        request = engine_request(engine);
        if (request != NULL)
            engine_answer(engine, result_of(engine, request));
        len = engine_output(engine, &out);
        if (len > WINDOW || ++rounds > 100000)
            abort();
        engine_wrote(engine, len);
    } while (request != NULL || len > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct engine_settings settings = {
        .hostname = "h", .implementation = "i", .kpop_versions = "KPOPV1.0",
    };
    struct engine *engine;
    size_t used;

    if (size == 0)
        return 0;
    settings.kpop = (data[0] & 1) != 0;
    settings.plaintext_needs_tls = (data[0] & 2) != 0;
    engine = engine_new(&settings);
    if (engine == NULL)
        return 0;
    if (engine_set_mechanisms(engine,
                              (data[0] & 4) ? "KPOP USER APOP GSSAPI PLAIN "
                                              "CRAM-MD5 SCRAM-SHA-256"
                                            : "KPOP")
            != STATUS_OK
        || engine_set_banner(engine, "<1@h>") != STATUS_OK)
        abort();
    engine_begin(engine);
    settle(engine);
    for (data++, size--; size > 0; data += used, size -= used) {
        used = engine_input(engine, data, size);
        if (used == 0 && engine_request(engine) == NULL)
            abort();
        settle(engine);
    }
    engine_input_end(engine);
    settle(engine);
    engine_free(engine);
    return 0;
}
