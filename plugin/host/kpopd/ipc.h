/*
 * ipc.h - frames between the processes of kpopd.
 *
 * A frame is one message on a SOCK_SEQPACKET pair: version, type, length,
 * then fields.  Writer and reader are sticky: put or get freely and test once
 * at the end.  The reader believes nothing: the other side may have been
 * taken over.  Numbers are in the machine's order, both ends being here.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_IPC_H
#define KPOPD_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define IPC_VERSION 1u

/* An AP-REQ of 128 KiB with its facts fits, and so does one message of the
 * kernel's default socket buffer (208 KiB). */
enum { IPC_FRAME_MAX = 192 * 1024, IPC_HEADER = 12 };

struct ipc_writer {
    uint8_t *data;
    size_t len;
    size_t max;
    bool failed;
};

struct ipc_reader {
    const uint8_t *data;
    size_t left;
    uint32_t type;
    bool failed;
};

void ipc_begin(struct ipc_writer *w, void *buffer, size_t max,
               uint32_t type);
void ipc_put_u32(struct ipc_writer *w, uint32_t value);
void ipc_put_u64(struct ipc_writer *w, uint64_t value);
void ipc_put_bytes(struct ipc_writer *w, const void *data, size_t len);
/* At most IPC_FRAME_MAX octets; NULL is "". */
void ipc_put_text(struct ipc_writer *w, const char *text);
/* The length of the whole frame, 0 when something did not fit. */
size_t ipc_finish(struct ipc_writer *w);

/* False: no frame of ours. */
bool ipc_open(struct ipc_reader *r, const void *frame, size_t len);
uint32_t ipc_get_u32(struct ipc_reader *r);
uint64_t ipc_get_u64(struct ipc_reader *r);
/* Never NULL; lent from the frame; *len_out at most max. */
const uint8_t *ipc_get_bytes(struct ipc_reader *r, size_t max,
                             size_t *len_out);
/* Never NULL; at most max octets without its NUL, no NUL inside. */
const char *ipc_get_text(struct ipc_reader *r, size_t max);
/* All was read, nothing was wrong. */
bool ipc_done(const struct ipc_reader *r);

/* A connected pair, close-on-exec and non-blocking; 0 or -1 with errno. */
int ipc_pair(int fds_out[2]);
/* One frame, and a descriptor unless pass is -1.  0 or -1 with errno, EAGAIN
 * when there is no room for it now. */
int ipc_send(int fd, const void *frame, size_t len, int pass);
/*
 * One frame: its length; 0 at the end; -1 with errno: EAGAIN when none can be
 * had now, EBADMSG for one that was too long or carried more than one
 * descriptor.  *pass_out (when
 * pass_out is not NULL) is the descriptor that came, the caller's; -1; or
 * IPC_LOST: one came, but this process may open no more.
 */
enum { IPC_LOST = -2 };
ssize_t ipc_recv(int fd, void *buffer, size_t size, int *pass_out);

/* The short ones that are there, by one system call. */
enum { IPC_SOME = 8, IPC_SHORT_MAX = 512, IPC_BAD = 0xFFFF };
struct ipc_frame {
    size_t len; /* 0 at the end; IPC_BAD for EBADMSG */
    int pass;   /* as *pass_out above */
    uint8_t octets[IPC_SHORT_MAX];
};
/* How many of frames[IPC_SOME] came; fewer than that: no more is there now.
 * -1 with errno. */
int ipc_recv_some(int fd, struct ipc_frame *frames);

#endif
