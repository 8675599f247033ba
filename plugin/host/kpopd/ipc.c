/*
 * ipc.c - builds, checks, sends and receives the frames of ipc.h.  Knows
 * nothing of what is in them.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/ipc.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void
put(struct ipc_writer *w, const void *data, size_t len)
{
    if (w->failed || len > w->max - w->len) {
        w->failed = true;
        return;
    }
    if (len > 0)
        memcpy(w->data + w->len, data, len);
    w->len += len;
}

void
ipc_begin(struct ipc_writer *w, void *buffer, size_t max, uint32_t type)
{
    w->data = buffer;
    w->len = 0;
    w->max = max;
    w->failed = false;
    ipc_put_u32(w, IPC_VERSION);
    ipc_put_u32(w, type);
    ipc_put_u32(w, 0);
}

void
ipc_put_u32(struct ipc_writer *w, uint32_t value)
{
    put(w, &value, sizeof(value));
}

void
ipc_put_u64(struct ipc_writer *w, uint64_t value)
{
    put(w, &value, sizeof(value));
}

void
ipc_put_bytes(struct ipc_writer *w, const void *data, size_t len)
{
    if (len > IPC_FRAME_MAX) {
        w->failed = true;
        return;
    }
    ipc_put_u32(w, (uint32_t)len);
    put(w, data, len);
}

void
ipc_put_text(struct ipc_writer *w, const char *text)
{
    if (text == NULL)
        text = "";
    /* With its NUL, so that the reader can lend it. */
    ipc_put_bytes(w, text, strlen(text) + 1);
}

size_t
ipc_finish(struct ipc_writer *w)
{
    uint32_t len = (uint32_t)w->len;

    if (w->failed)
        return 0;
    memcpy(w->data + 8, &len, sizeof(len));
    return w->len;
}

static const uint8_t *
get(struct ipc_reader *r, size_t len)
{
    const uint8_t *data = r->data;

    if (r->failed || len > r->left) {
        r->failed = true;
        return NULL;
    }
    r->data += len;
    r->left -= len;
    return data;
}

bool
ipc_open(struct ipc_reader *r, const void *frame, size_t len)
{
    uint32_t version;
    uint32_t length;

    r->data = frame;
    r->left = len;
    r->failed = false;
    version = ipc_get_u32(r);
    r->type = ipc_get_u32(r);
    length = ipc_get_u32(r);
    if (version != IPC_VERSION || length != len)
        r->failed = true;
    return !r->failed;
}

uint32_t
ipc_get_u32(struct ipc_reader *r)
{
    uint32_t value = 0;
    const uint8_t *data = get(r, sizeof(value));

    if (data != NULL)
        memcpy(&value, data, sizeof(value));
    return value;
}

uint64_t
ipc_get_u64(struct ipc_reader *r)
{
    uint64_t value = 0;
    const uint8_t *data = get(r, sizeof(value));

    if (data != NULL)
        memcpy(&value, data, sizeof(value));
    return value;
}

const uint8_t *
ipc_get_bytes(struct ipc_reader *r, size_t max, size_t *len_out)
{
    static const uint8_t none[1];
    uint32_t len = ipc_get_u32(r);
    const uint8_t *data;

    *len_out = 0;
    if (len > max)
        r->failed = true;
    data = get(r, len);
    if (data == NULL)
        return none;
    *len_out = len;
    return data;
}

const char *
ipc_get_text(struct ipc_reader *r, size_t max)
{
    size_t len;
    const uint8_t *data = ipc_get_bytes(r, max + 1, &len);

    if (len == 0 || memchr(data, '\0', len) != data + len - 1) {
        r->failed = true;
        return "";
    }
    return (const char *)data;
}

bool
ipc_done(const struct ipc_reader *r)
{
    return !r->failed && r->left == 0;
}

int
ipc_pair(int fds_out[2])
{
    int size = IPC_FRAME_MAX;
    int i;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                   fds_out)
        != 0)
        return -1;
    /* Where the default is smaller; a refusal shows as EMSGSIZE later. */
    for (i = 0; i < 2; i++)
        (void)setsockopt(fds_out[i], SOL_SOCKET, SO_SNDBUF, &size,
                         sizeof(size));
    return 0;
}

/* Room for one descriptor, aligned as the kernel wants it. */
union passing {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
};

/* sendmsg only reads, but struct iovec can't say so. */
static void *
unconst(const void *data)
{
    void *same;

    memcpy(&same, &data, sizeof(same));
    return same;
}

/* Short of memory: nothing was lost, and the next try may find some. */
static void
note_shortage(void)
{
    if (errno == ENOMEM || errno == ENOBUFS)
        errno = EAGAIN;
}

int
ipc_send(int fd, const void *frame, size_t len, int pass)
{
    struct iovec iov = { unconst(frame), len };
    struct msghdr msg;
    union passing passing;
    struct cmsghdr *cmsg;
    ssize_t sent;

    memset(&msg, 0, sizeof(msg));
    memset(&passing, 0, sizeof(passing));
    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;
    if (pass >= 0) {
        msg.msg_control = &passing;
        msg.msg_controllen = sizeof(passing);
        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &pass, sizeof(pass));
    }
    do
        sent = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        note_shortage();
    return sent == (ssize_t)len ? 0 : -1;
}

static int
passed_fd(struct msghdr *msg)
{
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
    int fd = -1;

    if (cmsg != NULL && cmsg->cmsg_level == SOL_SOCKET
        && cmsg->cmsg_type == SCM_RIGHTS
        && cmsg->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
    return fd;
}

/* What a message needs to be received into. */
struct reception {
    struct iovec iov;
    _Alignas(struct cmsghdr) char passing[CMSG_SPACE(sizeof(int))];
};

static void
prepare(struct msghdr *msg, struct reception *into, void *buffer, size_t size)
{
    memset(msg, 0, sizeof(*msg));
    memset(into->passing, 0, sizeof(into->passing));
    into->iov.iov_base = buffer;
    into->iov.iov_len = size;
    msg->msg_iov = &into->iov;
    msg->msg_iovlen = 1;
    msg->msg_control = into->passing;
    msg->msg_controllen = sizeof(into->passing);
}

/* 0, or -1 with EBADMSG. */
static int
take_passed(struct msghdr *msg, int *pass_out)
{
    int pass = passed_fd(msg);

    /* No descriptor was free here: the kernel closed what was passed. */
    if ((msg->msg_flags & MSG_CTRUNC) != 0 && pass < 0 && pass_out != NULL)
        pass = IPC_LOST;
    else if ((msg->msg_flags & MSG_CTRUNC) != 0)
        msg->msg_flags |= MSG_TRUNC;
    if ((msg->msg_flags & MSG_TRUNC) != 0
        || (pass >= 0 && pass_out == NULL)) {
        if (pass >= 0)
            close(pass);
        errno = EBADMSG;
        return -1;
    }
    if (pass_out != NULL)
        *pass_out = pass;
    return 0;
}

ssize_t
ipc_recv(int fd, void *buffer, size_t size, int *pass_out)
{
    struct reception into;
    struct msghdr msg;
    ssize_t len;

    prepare(&msg, &into, buffer, size);
    if (pass_out != NULL)
        *pass_out = -1;
    do
        len = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (len < 0 && errno == EINTR);
    if (len < 0) {
        note_shortage();
        return -1;
    }
    return take_passed(&msg, pass_out) == 0 ? len : -1;
}

int
ipc_recv_some(int fd, struct ipc_frame *frames)
{
    struct reception into[IPC_SOME];
    struct mmsghdr messages[IPC_SOME];
    int count;
    int i;

    for (i = 0; i < IPC_SOME; i++)
        prepare(&messages[i].msg_hdr, &into[i], frames[i].octets,
                sizeof(frames[i].octets));
    do
        count = recvmmsg(fd, messages, IPC_SOME,
                         MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
    while (count < 0 && errno == EINTR);
    if (count < 0)
        note_shortage();
    for (i = 0; i < count; i++) {
        frames[i].pass = -1;
        frames[i].len = messages[i].msg_len;
        if (take_passed(&messages[i].msg_hdr, &frames[i].pass) != 0)
            frames[i].len = IPC_BAD;
    }
    return count;
}
