/*
 * talk.h - a small listener for local tools: one request, one answer, goodbye.
 *
 * Bounded in everything, so that who talks badly or not at all costs a place
 * among few for a few seconds: a request has TALK_REQUEST_MAX octets, there
 * are TALK_CLIENTS at a time, and when one more comes, the oldest goes.
 * Nothing here blocks.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOPD_TALK_H
#define KPOPD_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/host/kpopd/worker.h"

enum {
    TALK_CLIENTS = 8,
    TALK_REQUEST_MAX = 2048,
    TALK_MS = 10000 /* for a request, and for an answer to be taken */
};

struct talk;

struct talk_client {
    struct source source; /* first: epoll gives it back */
    struct talk *talk;
    int fd;               /* -1: this place is free */
    uint64_t since;
    uint64_t end_by;
    size_t len;           /* of the request */
    char *answer;         /* NULL: none yet */
    size_t answer_len;
    size_t sent;
    bool asked;           /* the request is whole */
    bool told;            /* the answer was sent */
    void *wait;           /* the user's, freed with the place; see hold */
    char request[TALK_REQUEST_MAX + 1];
};

struct talk_rules {
    /* May the peer of this socket talk?  NULL: everybody. */
    bool (*admit)(void *arg, int fd);
    /* Is what came so far (terminated) a whole request? */
    bool (*is_whole)(const char *request);
    /* Answers by talk_answer(), now or, after talk_hold(), later. */
    void (*ask)(void *arg, struct talk_client *client);
};

struct talk {
    struct source source; /* of the listening socket */
    const struct talk_rules *rules;
    void *arg;
    int epoll;
    int fd;               /* listening; -1: closed */
    uint64_t again;       /* when it accepts again; 0: it does */
    struct talk_client clients[TALK_CLIENTS];
};

/* Nothing is open yet. */
void talk_init(struct talk *talk, const struct talk_rules *rules, void *arg,
               int epoll);
/* Listens on fd and owns it; 0 or -1 with errno, and fd is closed. */
int talk_open(struct talk *talk, int fd);
/* Takes an allocated answer; NULL: none can be made, the client is let go. */
void talk_answer(struct talk_client *client, char *answer, size_t len);
/* The answer comes later, by end_by at the latest. */
void talk_hold(struct talk_client *client, void *wait, uint64_t end_by);
/* Lets those go who take too long. */
void talk_tend(struct talk *talk, uint64_t now);
/* Takes nobody more; those who are here come to an end within seconds. */
void talk_leave(struct talk *talk, uint64_t now);
bool talk_is_empty(const struct talk *talk);
void talk_close(struct talk *talk);

#endif
