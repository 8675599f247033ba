/*
 * control.c - the frames between master and children.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/control.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "plugin/host/kpopd/ipc.h"

_Static_assert((int)CONTROL_FRAME_MAX <= (int)IPC_SHORT_MAX,
               "a frame is short");

size_t
control_encode(const struct control *control, void *frame, size_t size)
{
    struct ipc_writer w;

    ipc_begin(&w, frame, size, (uint32_t)control->type);
    ipc_put_u64(&w, control->id);
    ipc_put_u32(&w, (uint32_t)control->pool);
    ipc_put_u32(&w, control->peer_port);
    ipc_put_u32(&w, control->proxied);
    ipc_put_bytes(&w, control->peer.octets, sizeof(control->peer.octets));
    ipc_put_text(&w, control->service);
    ipc_put_text(&w, control->tls);
    ipc_put_text(&w, control->mechanism);
    ipc_put_text(&w, control->user);
    return ipc_finish(&w);
}

/* Copies a text; false when an admin's terminal should not see it.  size is
 * that of out, and the frame was asked for one octet less. */
static bool
take_text(struct ipc_reader *r, char *out, size_t size)
{
    const char *text = ipc_get_text(r, size - 1);
    const unsigned char *p = (const unsigned char *)text;

    for (; *p != '\0'; p++)
        if (*p < 0x20 || *p == 0x7f)
            return false;
    memcpy(out, text, strlen(text) + 1);
    return true;
}

bool
control_decode(const void *frame, size_t len, struct control *control_out)
{
    struct ipc_reader r;
    const uint8_t *peer;
    uint32_t pool;
    uint32_t proxied;
    size_t peer_len;

    memset(control_out, 0, sizeof(*control_out));
    if (!ipc_open(&r, frame, len))
        return false;
    control_out->id = ipc_get_u64(&r);
    pool = ipc_get_u32(&r);
    control_out->peer_port = ipc_get_u32(&r);
    proxied = ipc_get_u32(&r);
    peer = ipc_get_bytes(&r, sizeof(control_out->peer.octets), &peer_len);
    if (!take_text(&r, control_out->service, sizeof(control_out->service))
        || !take_text(&r, control_out->tls, sizeof(control_out->tls))
        || !take_text(&r, control_out->mechanism,
                      sizeof(control_out->mechanism))
        || !take_text(&r, control_out->user, sizeof(control_out->user)))
        return false;
    if (!ipc_done(&r) || r.type < CONTROL_CONNECTION || r.type >= CONTROL_LAST
        || pool >= POOL_COUNT || proxied > 1
        || peer_len != sizeof(control_out->peer.octets))
        return false;
    control_out->type = (enum control_type)r.type;
    control_out->pool = (enum auth_pool)pool;
    control_out->proxied = proxied == 1;
    memcpy(control_out->peer.octets, peer, peer_len);
    return true;
}

int
control_send(int fd, const struct control *control, int pass)
{
    uint8_t frame[CONTROL_FRAME_MAX];
    size_t len = control_encode(control, frame, sizeof(frame));

    if (len == 0) {
        errno = EMSGSIZE;
        return -1;
    }
    return ipc_send(fd, frame, len, pass);
}

static int
decode(const struct ipc_frame *frame, struct control *control_out,
       int *pass_out)
{
    *pass_out = -1;
    if (frame->len == 0)
        return 0;
    if (frame->len > sizeof(frame->octets)
        || !control_decode(frame->octets, frame->len, control_out)) {
        if (frame->pass >= 0)
            close(frame->pass);
        errno = EBADMSG;
        return -1;
    }
    *pass_out = frame->pass;
    return 1;
}

int
control_recv(int fd, struct control *control_out, int *pass_out)
{
    struct ipc_frame frame;
    ssize_t len = ipc_recv(fd, frame.octets, sizeof(frame.octets),
                           &frame.pass);

    *pass_out = -1;
    if (len < 0)
        return errno == ECONNRESET ? 0 : -1;
    frame.len = (size_t)len;
    return decode(&frame, control_out, pass_out);
}

int
control_recv_some(int fd, control_take_fn *take, void *arg)
{
    struct ipc_frame frames[IPC_SOME];
    struct control control;
    int count = ipc_recv_some(fd, frames);
    int rc = 1;
    int pass;
    int i;

    if (count < 0)
        return errno == ECONNRESET ? 0 : -1;
    for (i = 0; i < count; i++) {
        /* Behind the end there is nothing, behind nonsense no sense. */
        if (rc > 0)
            rc = decode(&frames[i], &control, &pass);
        else if (frames[i].pass >= 0)
            close(frames[i].pass);
        if (rc > 0)
            take(arg, &control, pass);
    }
    return rc > 0 ? count : rc;
}
