/*
 * tickets.h - tickets of many users, and what a client makes of them.  Every
 * failure ends the program.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef KPOP_TESTS_BENCH_TICKETS_H
#define KPOP_TESTS_BENCH_TICKETS_H

#include <stdbool.h>
#include <stddef.h>

/* One octet string; free(octets). */
struct token {
    char *octets;
    size_t len;
};

struct tickets;
struct gss_login;

/* Of user FIRST to FIRST + COUNT - 1, straight from the KDC. */
struct tickets *tickets_get(const char *service, const char *user,
                            unsigned long first, unsigned long count,
                            const char *password);

/* Makes so many for each user, for the functions below to give out; when they
 * are used up, those make more. */
void tickets_keep_ap_reqs(struct tickets *tickets, size_t each);
void tickets_keep_gss(struct tickets *tickets, size_t each);

/* An AP-REQ that asks for mutual authentication. */
struct token tickets_ap_req(struct tickets *tickets, unsigned long user);

/* A context of the user, and its first token made. */
struct gss_login *tickets_gss(struct tickets *tickets, unsigned long user);

/* The first token; its life is the login's. */
const struct token *gss_first(const struct gss_login *login);

/* The server's token; the context is complete. */
void gss_answer(struct gss_login *login, const void *octets, size_t len);

/* The server's offer of layers; the choice of none, wrapped. */
struct token gss_choose(struct gss_login *login, const void *octets,
                         size_t len);

void gss_end(struct gss_login *login);

#endif
