/*
 * authmsg.c - the frames between workers and auth processes.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/authmsg.h"

#include <string.h>

#include "plugin/host/kpopd/ipc.h"

static void
put_facts(struct ipc_writer *w, const struct kpop_facts *f)
{
    ipc_put_u32(w, f->flags);
    ipc_put_text(w, f->service);
    ipc_put_text(w, f->session_id);
    ipc_put_text(w, f->peer_address);
    ipc_put_text(w, f->local_address);
    ipc_put_u32(w, f->peer_port);
    ipc_put_u32(w, f->local_port);
    ipc_put_u32(w, f->ssf);
    ipc_put_text(w, f->tls_version);
    ipc_put_text(w, f->tls_cipher);
    ipc_put_text(w, f->tls_server_name);
    ipc_put_bytes(w, f->client_certificate, f->client_certificate_size);
    ipc_put_text(w, f->binding_type);
    ipc_put_bytes(w, f->binding, f->binding_size);
    ipc_put_bytes(w, f->end_point, f->end_point_size);
    ipc_put_bytes(w, f->finished, f->finished_size);
}

static void
get_facts(struct ipc_reader *r, struct kpop_facts *f)
{
    f->size = sizeof(*f);
    f->flags = ipc_get_u32(r);
    f->service = ipc_get_text(r, AUTH_TEXT_MAX);
    f->session_id = ipc_get_text(r, AUTH_TEXT_MAX);
    f->peer_address = ipc_get_text(r, AUTH_TEXT_MAX);
    f->local_address = ipc_get_text(r, AUTH_TEXT_MAX);
    f->peer_port = ipc_get_u32(r);
    f->local_port = ipc_get_u32(r);
    f->ssf = ipc_get_u32(r);
    f->tls_version = ipc_get_text(r, AUTH_TEXT_MAX);
    f->tls_cipher = ipc_get_text(r, AUTH_TEXT_MAX);
    f->tls_server_name = ipc_get_text(r, AUTH_TEXT_MAX);
    f->client_certificate = ipc_get_bytes(r, AUTH_CERTIFICATE_MAX,
                                          &f->client_certificate_size);
    f->binding_type = ipc_get_text(r, AUTH_TEXT_MAX);
    f->binding = ipc_get_bytes(r, AUTH_BINDING_MAX, &f->binding_size);
    f->end_point = ipc_get_bytes(r, AUTH_BINDING_MAX, &f->end_point_size);
    f->finished = ipc_get_bytes(r, AUTH_BINDING_MAX, &f->finished_size);
}

static void
get_claim(struct ipc_reader *r, struct auth_claim *claim)
{
    claim->authcid = ipc_get_text(r, AUTH_TEXT_MAX);
    claim->requested = ipc_get_text(r, AUTH_TEXT_MAX);
    claim->local = ipc_get_text(r, AUTH_TEXT_MAX);
}

static bool
has_facts(enum auth_request_type type)
{
    return type == AUTH_START || type == AUTH_DECIDE;
}

static bool
has_data(enum auth_request_type type)
{
    return type == AUTH_START || type == AUTH_STEP;
}

size_t
auth_request_encode(const struct auth_request *request, void *frame,
                    size_t size)
{
    struct ipc_writer w;

    if (request->size > AUTH_DATA_MAX)
        return 0;
    ipc_begin(&w, frame, size, (uint32_t)request->type);
    ipc_put_u64(&w, request->exchange);
    if (has_facts(request->type)) {
        ipc_put_text(&w, request->mechanism);
        put_facts(&w, &request->facts);
    }
    if (request->type == AUTH_DECIDE) {
        ipc_put_text(&w, request->claim.authcid);
        ipc_put_text(&w, request->claim.requested);
        ipc_put_text(&w, request->claim.local);
    }
    if (has_data(request->type)) {
        ipc_put_u32(&w, request->data != NULL);
        ipc_put_bytes(&w, request->data, request->size);
    }
    return ipc_finish(&w);
}

bool
auth_request_decode(const void *frame, size_t len,
                    struct auth_request *request_out)
{
    struct ipc_reader r;
    uint32_t came = 0;

    memset(request_out, 0, sizeof(*request_out));
    if (!ipc_open(&r, frame, len) || r.type < AUTH_START
        || r.type > AUTH_DECIDE)
        return false;
    request_out->type = (enum auth_request_type)r.type;
    request_out->exchange = ipc_get_u64(&r);
    if (has_facts(request_out->type)) {
        request_out->mechanism = ipc_get_text(&r, 32);
        get_facts(&r, &request_out->facts);
    }
    if (request_out->type == AUTH_DECIDE)
        get_claim(&r, &request_out->claim);
    if (has_data(request_out->type)) {
        came = ipc_get_u32(&r);
        request_out->data =
            ipc_get_bytes(&r, AUTH_DATA_MAX, &request_out->size);
        if (came > 1 || (came == 0 && request_out->size != 0))
            return false;
    }
    if (came == 0)
        request_out->data = NULL;
    return ipc_done(&r);
}

size_t
auth_answer_encode(const struct auth_answer *answer, void *frame, size_t size)
{
    const struct kpop_outcome *o = &answer->outcome;
    struct ipc_writer w;

    ipc_begin(&w, frame, size, AUTH_ANSWER);
    ipc_put_u64(&w, answer->exchange);
    ipc_put_u32(&w, (uint32_t)answer->result);
    ipc_put_bytes(&w, o->challenge, o->challenge_size);
    ipc_put_text(&w, o->user);
    ipc_put_text(&w, o->authcid);
    ipc_put_bytes(&w, o->credential, o->credential_size);
    return ipc_finish(&w);
}

bool
auth_answer_decode(const void *frame, size_t len,
                   struct auth_answer *answer_out)
{
    struct kpop_outcome *o = &answer_out->outcome;
    struct ipc_reader r;

    memset(answer_out, 0, sizeof(*answer_out));
    if (!ipc_open(&r, frame, len) || r.type != AUTH_ANSWER)
        return false;
    o->size = sizeof(*o);
    answer_out->exchange = ipc_get_u64(&r);
    answer_out->result = (int32_t)ipc_get_u32(&r);
    o->challenge = ipc_get_bytes(&r, KPOP_CHALLENGE_MAX, &o->challenge_size);
    o->user = ipc_get_text(&r, KPOP_USER_MAX);
    o->authcid = ipc_get_text(&r, AUTH_TEXT_MAX);
    o->credential =
        ipc_get_bytes(&r, KPOP_CHALLENGE_MAX, &o->credential_size);
    /* Only what an exchange can answer; TAKEN and PENDING are not among it. */
    if (answer_out->result > KPOP_CONTINUE
        || answer_out->result < KPOP_NO_MEMORY
        || answer_out->result == KPOP_PENDING)
        return false;
    return ipc_done(&r);
}
